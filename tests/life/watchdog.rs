//! The workers' watchdog: who gives no sign of life is replaced.

use super::{SOON, runs, start_actor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::process::Supervisor;
use super::support::wait;

const WATCHED: &[&str] = &[
    "--worker-watchdog",
    "2",
    "--interval",
    "0.1",
    "--drain-timeout",
    "1",
    "--ready",
    "notify",
];

#[track_caller]
fn pid_of(supervisor: &Supervisor, generation: u64) -> i32 {
    let line = supervisor.wait_for_line(&format!("starting generation {generation} (pid "), SOON);
    let pid = line
        .split("(pid ")
        .nth(1)
        .and_then(|rest| rest.split(')').next());
    pid.and_then(|pid| pid.parse().ok()).expect("a pid")
}

#[test]
fn a_stopped_worker_is_replaced_and_killed_once_another_one_serves() {
    let supervisor = start_actor(WATCHED, &["say:READY=1", "pet:100"]);
    supervisor.wait_for_line("is ready", SOON);
    let first = pid_of(&supervisor, 1);
    kill(Pid::from_raw(first), Signal::SIGSTOP).expect("our worker");
    supervisor.wait_for_line(
        "hangs: no sign of life (WATCHDOG=1) for 2 s; starting another",
        SOON,
    );
    supervisor.wait_for_lines("is ready", 2, SOON);
    supervisor.wait_for_line("killing generation 1", SOON);
    wait::until("the end of the one that hung", SOON, || !runs(first));
    assert!(runs(pid_of(&supervisor, 2)));
}

#[test]
fn a_worker_that_says_it_hangs_is_believed() {
    let part = ["say:READY=1", "1?say:WATCHDOG=trigger", "wait"];
    let supervisor = start_actor(&["--ready", "notify", "--interval", "0.1"], &part);
    supervisor.wait_for_line("hangs: it sent WATCHDOG=trigger; starting another", SOON);
    supervisor.wait_for_line("sending TERM to generation 1", SOON);
}

#[test]
fn a_worker_finds_its_watchdog_in_its_environment_and_can_set_its_own_pace() {
    let part = [
        "tell:WATCHDOG_USEC",
        "tell:WATCHDOG_PID",
        "say:WATCHDOG_USEC=0",
        "say:READY=1",
        "wait",
    ];
    let supervisor = start_actor(WATCHED, &part);
    supervisor.wait_for_line("WATCHDOG_USEC=2000000", SOON);
    let pid = pid_of(&supervisor, 1);
    supervisor.wait_for_line(&format!("WATCHDOG_PID={pid}"), SOON);
    supervisor.wait_for_line("is ready", SOON);
    // The next word to the log is ours: nothing was missed meanwhile.
    std::thread::sleep(std::time::Duration::from_millis(3000));
    assert!(!supervisor.stderr().contains("hangs"));
}

#[test]
fn a_candidate_that_hangs_on_trial_is_a_failed_deploy() {
    let options = [WATCHED, &["--kill-old-delay", "60", "--attempts", "1"]].concat();
    let supervisor = start_actor(&options, &["say:READY=1", "1?pet:100", "wait"]);
    supervisor.wait_for_line("is ready", SOON);
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("generation 2 failed: it hangs: no sign of life", SOON);
    assert!(runs(pid_of(&supervisor, 1)));
}
