//! PID 1 of a container: what nobody else reaps, we do.

use super::SOON;
use super::support::process::{Supervisor, command};
use super::support::{programs, requirement, wait};

/// The children of a process, and which of them are zombies.
fn children(pid: i32) -> (Vec<i32>, usize) {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    let pids: Vec<i32> = list
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    let zombies = pids.iter().filter(|pid| !super::runs(**pid)).count();
    (pids, zombies)
}

#[test]
fn orphans_are_reaped() {
    if !requirement::rig() {
        return;
    }
    // Each orphan loses its parent at once, and ends among others of its kind.
    let script =
        "for i in 1 2 3 4 5 6 7 8; do (sleep 0.$i & ); done; echo orphaned >&2; exec sleep 1000";
    let mut command = command("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL"])
        .args([
            programs::SD_STARTER,
            "--interval",
            "0.1",
            "--",
            "sh",
            "-c",
            script,
        ]);
    let supervisor = Supervisor::start(&mut command);
    supervisor.wait_for_line("orphaned", SOON);
    let init = children(supervisor.pid()).0[0];
    wait::for_value(
        "the children of PID 1 and its zombies",
        SOON,
        (1, 0),
        || {
            let (all, zombies) = children(init);
            (all.len(), zombies)
        },
    );
    supervisor.wait_for_line("is ready", SOON);
}
