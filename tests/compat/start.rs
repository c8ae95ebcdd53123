//! Starting the first generation.

use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::Scene;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// From the fork of the first worker to the status file, which says that it counts as started.
fn time_to_ready(options: &str) -> Duration {
    let scene = Scene::new();
    let _supervisor = scene.start(format!("{options} --status-file=status"));
    let worker = scene.await_ready(1);
    scene
        .written_at("status")
        .saturating_sub(worker.started_at())
}

#[test]
fn a_worker_counts_as_started_when_it_lived_for_the_interval() {
    let time = time_to_ready("--interval=2");
    assert!(
        time > Duration::from_millis(1950) && time < Duration::from_millis(4000),
        "{time:?}"
    );
}

#[test]
fn the_interval_is_one_second_by_default() {
    let time = time_to_ready("");
    assert!(
        time > Duration::from_millis(950) && time < Duration::from_millis(3000),
        "{time:?}"
    );
}

#[test]
fn a_worker_that_fails_to_start_is_tried_again() {
    let scene = Scene::new();
    scene.build("1: die_after=0\n2: die_after=0");
    let supervisor = scene.start("--interval=2 --status-file=status");
    scene.await_alone(3);
    let failures = supervisor
        .stderr()
        .matches("seems to have failed to start, exit status:256")
        .count();
    assert_eq!(failures, 2);
}

#[test]
fn a_stop_is_obeyed_while_workers_fail_to_start() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scene = Scene::new();
        scene.build("die_after=0");
        let mut supervisor = scene.start("--interval=2 --pid-file=pid --path=s.sock");
        scene.await_event(2, "exit");
        supervisor.signal(signal);
        assert_eq!(supervisor.exit_code(), 0);
        assert!(!scene.exists("pid") && !scene.exists("s.sock"));
    }
}

#[test]
fn a_stop_is_obeyed_during_the_interval() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=15");
    scene.worker(1);
    // A signal before the original's sleep begins does not end it.
    supervisor.await_line("starting new worker");
    wait_until("the sleep", || supervisor.state() == 'S');
    let asked = Instant::now();
    assert_eq!(supervisor.stop(), 0);
    assert!(scene.happened(1, "signal TERM"));
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn attempts_can_be_limited() {
    let scene = Scene::new();
    scene.build("die_after=0");
    let mut supervisor = scene.start("--interval=2 --attempts=2");
    assert_eq!(supervisor.exit_code(), pick("attempts", 1, 69));
    assert_eq!(scene.count("start"), pick("attempts", 0, 2));
}
