//! A machine that has been up for ten years: the clocks that count from its start are far away from
//! everything else, and every time that is waited for is what it was.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::SOON;
use crate::siege::{Siege, lost};
use crate::support::programs;
use crate::support::record::{self, Promise};
use crate::support::wait;

const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;
const TRIES: u64 = 10;

fn only_child(pid: i32) -> i32 {
    let read = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok();
    let child = read().and_then(|list| list.split_whitespace().next()?.parse().ok());
    child.unwrap_or_else(|| panic!("{pid} has no child"))
}

#[test]
fn ten_years_after_the_start_of_the_machine_all_times_are_as_ever() {
    let years = TEN_YEARS.to_string();
    // With a fork, for only its child is in the new namespace on every kernel (time_namespaces(7)).
    let wrapper = ["unshare", "--time", "--boottime", &years];
    let wrapper = [&wrapper[..], &["--monotonic", &years, "--fork"]].concat();
    let actor = programs::hello().with_file_name("actor");
    let actor = actor.to_str().expect("UTF-8");
    let pet = "\"$1\" pet:100 2>/dev/null & shift; exec \"$@\"";
    let options = ["--worker-watchdog", "2", "--drain-timeout", "2"];
    let mut siege = Siege::start_as(&wrapper, &options, &["sh", "-c", pet, "sh", actor]);
    siege.pid = only_child(siege.pid);
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/time")).expect("it lives");
    assert_ne!(namespace(&siege.pid.to_string()), namespace("self"));

    siege.settle();
    let load = siege.load();
    for _ in 0..TRIES {
        siege.reload().expect("a good build");
    }
    siege.settle();
    let report = load.stop();
    report.assert_no_failures();
    let log = siege.supervisor.stderr();
    assert!(!log.contains("no sign of life"), "{log}");

    // Who is silent is replaced, and not before it was due.
    let serving = siege.serving().expect("one serves");
    let newest = siege.newest();
    let silent = Instant::now();
    kill(Pid::from_raw(only_child(serving)), Signal::SIGKILL).expect("it lives");
    wait::until("a replacement", SOON, || siege.newest() > newest);
    // Its last sign of life was before that, by 100 ms or a little more.
    assert!(silent.elapsed() > Duration::from_secs(1), "too early");
    siege.settle();
    let log = siege.supervisor.stderr();
    assert!(log.contains("no sign of life"), "{log}");

    // Who will not leave is killed when that is due, and not before.
    siege.deploy("--ready --text v2 --ignore-term");
    siege.reload().expect("a good build");
    siege.settle();
    let stubborn = siege.serving().expect("one serves");
    siege.deploy("--ready --text v1");
    let told = Instant::now();
    siege.reload().expect("a good build");
    wait::until("the end of it", SOON, || {
        kill(Pid::from_raw(stubborn), None).is_err()
    });
    assert!(told.elapsed() > Duration::from_millis(1900), "too early");
    siege.settle();

    record::row(
        "the machine's clocks ten years on (a time namespace)",
        TRIES,
        "reloads good; --drain-timeout and --worker-watchdog as long as ever",
        Promise::NoneLost,
        lost(&report),
    );
    siege.signal(Signal::SIGTERM);
    assert_eq!(siege.supervisor.wait_for_code(SOON), 0);
}
