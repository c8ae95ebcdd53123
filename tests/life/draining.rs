//! Many old generations that take their time.

use std::time::{Duration, Instant};

use super::support::process::Supervisor;
use super::support::wait;
use super::{SOON, start_script};
use nix::sys::signal::Signal;

const MANY: usize = 50;

/// Of the supervisor: its descriptors, and its memory in KiB.
fn size(supervisor: &Supervisor) -> (usize, u64) {
    let list = std::fs::read_dir(format!("/proc/{}/fd", supervisor.pid()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", supervisor.pid()));
    let status = status.expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    let kib = words.and_then(|kib| kib.parse().ok()).expect("a number");
    (list.expect("it lives").count(), kib)
}

/// Between two looks.
fn rest() {
    std::thread::sleep(Duration::from_millis(10));
}

#[test]
fn fifty_at_once_cost_little_and_a_reload_takes_no_longer() {
    // What is ignored stays ignored over exec.
    let script = "trap '' TERM; echo >&5; exec sleep 1000";
    let mut supervisor = start_script(&["--ready", "fd:5"], script);
    supervisor.wait_for_line("is ready", SOON);
    let before = wait::for_some("who has nothing to do", SOON, || {
        let looks: Vec<_> = (0..10).map(|_| (size(&supervisor), rest()).0).collect();
        looks
            .iter()
            .all(|look| *look == looks[0])
            .then_some(looks[0])
    });
    let mut took = Vec::new();
    for reload in 1..=MANY {
        let asked = Instant::now();
        supervisor.signal(Signal::SIGHUP);
        supervisor.wait_for_lines("is ready", reload + 1, SOON);
        took.push(asked.elapsed());
    }
    supervisor.wait_for_lines("sending TERM to generation", MANY, SOON);
    wait::for_value("the processes", SOON, MANY + 2, || {
        supervisor.members().len()
    });
    // The middle one of ten: what the machine itself took is no matter.
    let middle = |ten: &[Duration]| {
        let mut ten = ten.to_vec();
        ten.sort();
        ten[5]
    };
    let (first, last) = (middle(&took[..10]), middle(&took[MANY - 10..]));
    assert!(last < first * 10 + Duration::from_secs(1), "{took:?}");
    // A pidfd and a notify socket each.
    wait::for_value("its descriptors", SOON, before.0 + 2 * MANY, || {
        size(&supervisor).0
    });
    wait::until("its memory to be less than a MiB more", SOON, || {
        size(&supervisor).1.saturating_sub(before.1) < 1024
    });

    supervisor.signal(Signal::SIGINT);
    supervisor.wait_for_line("stopping", SOON);
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.wait(SOON).code(), Some(0));
    assert_eq!(supervisor.members(), []);
}
