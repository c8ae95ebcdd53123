//! sd-starter: a systemd-native socket-activation bridge, and a drop-in `start_server`.
//!
//! It binds its own sockets or adopts those of systemd (`LISTEN_FDS`), hands them to a server
//! program in the environment format of Server::Starter (`SERVER_STARTER_PORT`) and of systemd,
//! and swaps generations of that program on request: the new one starts beside the old one on the
//! same sockets, and only when it is known to be good is the old one told to leave.
//!
//! # Two ways to use this crate
//!
//! - A server that wants to be swapped uses [`worker`], with `default-features = false`.
//! - A program that wants to supervise others uses the rest: feature `supervisor`, which is on by
//!   default, and which the programs `sd-starter` and `starterctl` are made of.
//!
//! # The house
//!
//! Six rooms; arrows only downwards. A line of code knows its room by what it may touch.
//!
//! ```text
//!  src/bin, cli      argv → Settings                 prints, exits
//!  src/shell         the loop and the effects        owns fds and processes; decides nothing
//!  src/worker        the other end                   what a supervised program uses
//!  src/core          the state machine               pure: events in, actions out
//!  src/protocol      the texts                       pure: parse and render
//!  src/os            thin safe wrappers over system calls: the only unsafe; uses nothing of ours
//! ```
//!
//! # A swap, from room to room
//!
//! ```text
//!  starterctl reload ──▶ shell::control ──▶ Event::Reload ──▶ core::Machine::step
//!                                                                   │ Action::Spawn
//!      the worker ◀── os::child (fork, exec) ◀── shell::spawn ◀─────┘
//!          │ READY=1 (worker::ready)
//!          └──▶ shell::mailbox ──▶ Event::Said ──▶ core::Machine::step
//!                                                      ├─ Action::Signal ──▶ TERM to the old worker
//!                                                      └─ Action::Answer ──▶ shell::control ──▶ exit status 0
//! ```
//!
//! # Where to read
//!
//! | question | chapter |
//! |---|---|
//! | what a generation lives through, and what always holds | [`core`]: the lifecycle and the nine invariants |
//! | which texts are spoken, and where each is defined | [`protocol`]: a table with the source of each |
//! | what an effect is, and who owns a descriptor | [`shell`] |
//! | what is unsafe, and why it is sound | [`os`] |
//! | what a server has to do | [`worker`] |
//! | what the options mean | [`cli`] |
//!
//! # The house, kept
//!
//! `shell` and `worker` do not know each other: they meet in `protocol`, and on a wire.
//! `tests/house` reads the sources and fails on an arrow that points upwards.

#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test ends by it, with its reason"
    )
)]

#[cfg(feature = "supervisor")]
pub mod cli;
#[cfg(feature = "supervisor")]
pub mod core;
pub mod os;
pub mod protocol;
#[cfg(feature = "supervisor")]
pub mod shell;
pub mod worker;

#[cfg(feature = "supervisor")]
pub use shell::starter::Starter;
