//! Real servers from Debian under load: each is reloaded ten times on the command line that its
//! users write for `start_server`, and no client may notice.
//!
//! As the compatibility stories, these run against the original too, for the README's table:
//!
//! ```text
//! cargo test --test servers -- --nocapture --test-threads=1
//! START_SERVER_UNDER_TEST=/usr/bin/start_server cargo test --test servers -- ...
//! ```
//!
//! A server that is not installed is skipped, loudly; where CI is set that is a failure. h2o is the
//! exception: Debian 13 has none.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]
#![expect(
    clippy::print_stdout,
    reason = "the tables are for the reader of a test's output"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../support/mod.rs"]
mod support;

mod h2o;
mod node;
mod perl;
mod ten_reloads;
mod unicorn;
