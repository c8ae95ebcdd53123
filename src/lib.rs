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
