//! Compatibility stories: one set of stories, two programs.
//!
//! The program under test comes from the environment:
//!
//! ```text
//! cargo test --test compat -- --test-threads=8                                          # ours, called `start_server`
//! START_SERVER_UNDER_TEST=/usr/bin/start_server cargo test --test compat -- ...         # Perl's 0.35
//! ```
//!
//! Every story states what the world sees of `start_server`: what a worker inherits, the files,
//! the lines on stderr, the exit codes. A story passes on both programs with the same
//! expectations. Where ours differs on purpose, the story asks [`differences`], by the id of an
//! entry of its table; no story looks at which program it runs.
//!
//! [`bugs`] is the exception by design: each of its tests must *find* its bug on the original (so
//! we know that it can) and must not find it on ours.
//!
//! Rooms: `program`, `scene`, `supervisor`, `worker`, `client` and `eventually` set the stage;
//! `differences` and `bugs` hold the two lists; every other file is a topic.
//!
//! Needs a Debian with perl-base (the workers are small Perl scripts) and util-linux (setpriv).

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]

mod bugs;
mod client;
mod differences;
mod eventually;
mod program;
mod scene;
mod supervisor;
mod worker;

mod auto_restart;
mod command_line;
mod daemonize;
mod envdir;
mod environment;
mod exit_codes;
mod kill_old_delay;
mod log_file;
mod messages;
mod pid_file;
mod pins;
mod ports;
mod reload;
mod restart;
mod signals;
mod start;
mod status_file;
mod stop;
mod unix_paths;
