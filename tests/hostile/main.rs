//! An attempt to break it: floods, faults at the border to the operating system, ten thousand
//! reloads, garbage for every parser, and each claim of SECURITY.md. What is measured goes into
//! `tests/RELIABILITY.md` (see `tests/reliability`).
//!
//! `SD_STARTER_FULL=1` runs the long forms: 10,000 reloads, every system call of a reload failing
//! in every place, a million inputs for each parser.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]
#![expect(
    clippy::print_stdout,
    reason = "tables and figures are for the reader of a test's output"
)]
#![expect(
    dead_code,
    reason = "the support is shared with test crates that use more of it"
)]

#[path = "../support/mod.rs"]
mod support;

mod clocks;
mod disks;
mod floods;
mod fuzz;
mod injection;
mod limits;
mod security;
mod siege;
mod soak;
mod stuck;
mod time;

use std::time::Duration;

/// What is expected to happen at once gets so long on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Whether the long forms are asked for.
fn is_full() -> bool {
    std::env::var_os("SD_STARTER_FULL").is_some()
}
