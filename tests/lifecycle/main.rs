//! The packages, whole: made, checked, and put through their lives in containers with a real systemd of
//! Debian 11, 12 and 13: installed, enabled, started, reloaded, upgraded, downgraded, removed, purged.
//!
//! `SD_STARTER_FULL=1` upgrades twenty times where else it is three times, and compiles twice.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]
#![expect(
    clippy::print_stdout,
    reason = "tables are for the reader of a test's output"
)]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "gates and fake managers are for the tests of the program"
)]
mod support;

mod apps;
mod bytes;
mod deb;
mod exposure;
mod machine;
mod made;
mod rpm;
mod template;
mod upgrades;
mod user;
