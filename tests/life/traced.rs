//! Workers that a debugger holds.

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::time::Duration;

use super::support::wait;
use super::{SOON, start_script};

/// How long a process has had a processor (schedstats of proc(5)).
fn running_time(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it runs");
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

fn state(pid: Pid) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Its pidfd polls as ended, but only the debugger can wait for it: the loop once went round and round.
#[test]
fn a_dead_worker_that_a_debugger_holds_costs_no_processor() {
    let options = ["--interval", "0.1", "--drain-timeout", "0.2"];
    let supervisor = start_script(&options, "trap '' TERM; exec sleep 1000");
    let line = supervisor.wait_for_line("starting generation 1 (pid ", SOON);
    let pid = line.split("(pid ").nth(1).expect("a pid");
    let worker = pid.trim_end_matches(|c: char| !c.is_ascii_digit());
    let worker = Pid::from_raw(worker.parse().expect("a pid"));
    supervisor.wait_for_lines("is ready", 1, SOON);
    ptrace::seize(worker, ptrace::Options::empty()).expect("we are root");
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("killing generation 1", SOON);
    wait::for_value("the worker", SOON, Some('Z'), || state(worker));
    // What is left of the kill, and what a machine that stands still counts as ours, is in one second and
    // not in the next; a loop that goes round and round has no second without work.
    wait::until("a second without work", SOON, || {
        let before = running_time(supervisor.pid());
        std::thread::sleep(Duration::from_secs(1));
        running_time(supervisor.pid()) - before < Duration::from_millis(20)
    });
    assert!(!supervisor.stderr().contains("has left"));
    waitpid(worker, Some(WaitPidFlag::__WALL)).expect("it is dead, and ours to look at");
    supervisor.wait_for_line("has left", SOON);
}
