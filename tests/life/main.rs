//! The whole life of a generation, with real processes: how it becomes ready, what it may say and
//! what not, how it hangs, what it leaves to the next one, and that nothing of it stays.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]
#![expect(
    dead_code,
    reason = "the support is shared with test crates that use more of it"
)]

#[path = "../support/mod.rs"]
mod support;

mod draining;
mod fd_store;
mod hostile;
mod inheritance;
mod listeners;
mod pid_one;
mod ready_command;
mod ready_fd;
mod rest;
mod rig;
mod traced;
mod trial;
mod upgrade;
mod watchdog;

use std::path::PathBuf;
use std::time::Duration;

use support::process::{Supervisor, command};
use support::programs;

/// What is expected to happen at once gets so long on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The worker that plays a part.
fn actor() -> String {
    let actor: PathBuf = programs::hello().with_file_name("actor");
    assert!(
        actor.exists(),
        "build it first: cargo build --example actor"
    );
    actor.to_str().expect("UTF-8").to_owned()
}

/// `sd-starter OPTIONS -- PROGRAM...`
fn start(options: &[&str], program: &[&str]) -> Supervisor {
    let mut command = command(programs::SD_STARTER);
    command.args(options).arg("--").args(program);
    Supervisor::start(&mut command)
}

/// `sd-starter OPTIONS -- actor PART...`
fn start_actor(options: &[&str], part: &[&str]) -> Supervisor {
    let actor = actor();
    start(options, &[&[actor.as_str()], part].concat())
}

/// `sd-starter OPTIONS -- sh -c SCRIPT`
fn start_script(options: &[&str], script: &str) -> Supervisor {
    start(options, &["sh", "-c", script])
}

/// Whether a process runs; a zombie does not.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// A pid that a script has written to a file, once it is there.
#[track_caller]
fn pid_in(path: &std::path::Path) -> i32 {
    support::wait::for_some("a pid in a file", SOON, || {
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}
