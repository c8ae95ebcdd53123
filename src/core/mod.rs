//! The core: the state machine of the supervisor. Pure: events in, actions out.
//!
//! No operating system, no clock, no log: what happens comes in as an [`Event`] with the moment
//! ([`Now`]), what is to be done goes out as [`Action`]s, and the shell does it.
//!
//! # A generation's life
//!
//! ```text
//!             Action::Spawn     Forked        Executed          ready            promoted
//!   (nothing) ───────────▶ Forking ──▶ Executing ──▶ Booting ──────────▶ Trial ──────────▶ serving
//!                             │            │            │                  │                 │
//!                             │ NotStarted │ Exited     │ Exited, timeout, │ Exited,         │ successor
//!                             ▼            ▼            ▼ "broken"         ▼ "broken"        ▼ promoted
//!                          failed: the old one keeps serving; retry after a pause,        leaving ──▶ gone
//!                          or the verdict
//! ```
//!
//! A serving one that gives no sign of life (`watch`) is replaced like a dead one, but told to leave
//! only when its successor serves. A process that ends while others of its cgroup live on lingers:
//! its generation is gone when they are. Those of an old generation have as long as it had; those of
//! one that died by itself are swept away at once.
//!
//! # Phases of the machine
//!
//! `New` → `Swapping` (the first candidate, nobody serves) → `Steady` ⇄ `Swapping` → `Stopping` →
//! `Finished`. A serving generation that dies leads from `Steady` to `Swapping` without a current.
//!
//! All of that can be written down and taken up again by another process (`saved`, `restored`): by
//! the build that replaces this one (`upgrade`), or after a crash (`recovered`).
//!
//! # Invariants
//!
//! Each is checked over random event sequences (`core::laws`):
//!
//! 1. at most one generation is not yet ready (those that were told to leave apart);
//! 2. no generation that serves is told to stop before its successor is ready and its trial is
//!    over, unless we are stopping;
//! 3. every RELOADING is followed by exactly one READY or STOPPING, also when the swap fails, and
//!    none is sent while `ExecReload=` waits for its answer;
//! 4. a worker is never signalled after its exit was seen (what it left in its cgroup may be
//!    killed);
//! 5. after the last reload request one generation starts whose exec came after that request
//!    (nothing lost, nothing stacked), unless we are stopping;
//! 6. generation numbers only grow;
//! 7. after a stop request nothing starts, and the program finishes: every worker is gone, by its
//!    own will or by SIGKILL at the deadline (one that crashes meanwhile and is started again has
//!    not been asked);
//! 8. [`Machine::step`] is total: any event in any state; it never panics;
//! 9. every requester of a reload gets exactly one verdict, and it is true.

#![forbid(unsafe_code)]
// No wildcard arm: the compiler keeps the table of states and events complete.
#![warn(clippy::wildcard_enum_match_arm)]

mod action;
mod attempt;
mod clock;
mod ending;
mod event;
mod exit;
mod failing;
mod failure;
mod hearing;
mod machine;
mod note;
mod out;
mod pace;
mod policy;
mod probing;
mod queue;
mod recovered;
mod request;
mod restored;
mod saved;
mod status;
mod stop;
mod succession;
mod upgrade;
mod upkeep;
mod watch;
mod worker;

#[cfg(test)]
mod laws;
#[cfg(test)]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks one action out of many"
)]
mod stories;

pub use action::{Action, Foretold, Outcome, Telling};
pub use clock::Now;
pub use event::{Event, StopBy, Word};
pub use exit::Exit;
pub use failure::{Cause, Failure, Rough};
pub use machine::Machine;
pub use note::{Name, Next, Note, Overstay, Silence};
pub use policy::{Attempts, Policy, Readiness, pause_after, worth_a_line};
pub use request::{Origin, Request, Requester, Verdict};
pub use restored::Unfit;
pub use status::{Seen, Snapshot, State};
