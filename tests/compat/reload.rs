//! HUP: the swap of generations, its failure, and workers that die.

use crate::client::{ask_path, ask_port};
use crate::differences::pick;
use crate::eventually::{eventually, happens_within, holds_for, wait_until};
use crate::scene::{Scene, free_port};
use crate::worker::Event;
use nix::sys::signal::Signal;
use std::time::Duration;

const READY: &str = "--interval=1 --status-file=status";
const AT_ONCE: &str = "--interval=0 --status-file=status";

#[test]
fn the_old_generation_is_told_to_leave_after_the_new_one_started() {
    let scene = Scene::new();
    let supervisor = scene.start(READY);
    let old = scene.await_ready(1);
    supervisor.hup();
    let new = scene.await_alone(2);
    old.await_gone();
    // By the time of its fork: what it takes to report its start is not the supervisor's.
    let told = scene.logged_at(1, "signal TERM");
    assert!(told.saturating_sub(new.started_at()) > Duration::from_millis(950));
}

#[test]
fn the_old_generation_serves_during_the_interval() {
    let scene = Scene::new();
    let port = free_port();
    scene.build("2: hold=1");
    let supervisor = scene.start(format!("{READY} --port={port}"));
    scene.await_ready(1);
    supervisor.hup();
    scene.worker(2);
    // No request is refused or cut from here to the end of the swap.
    wait_until("the swap", || {
        assert!(ask_port(port).is_some());
        scene.happened(1, "exit")
    });
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(2));
}

#[test]
fn a_unix_socket_is_served_through_a_swap() {
    let scene = Scene::new();
    let supervisor = scene.start(format!("{READY} --path=s.sock"));
    scene.await_ready(1);
    supervisor.hup();
    wait_until("the swap", || {
        assert!(ask_path(&scene.path("s.sock")).is_some());
        scene.happened(1, "exit")
    });
    assert_eq!(
        ask_path(&scene.path("s.sock")).map(|answer| answer.generation),
        Some(2)
    );
}

#[test]
fn a_new_generation_that_fails_leaves_the_old_one_serving() {
    let scene = Scene::new();
    let port = free_port();
    scene.build("2+: die_after=0");
    let supervisor = scene.start(format!("--interval=2 --status-file=status --port={port}"));
    scene.await_ready(1);
    supervisor.hup();
    scene.await_event(3, "exit");
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(1));
    assert!(!scene.happened(1, "signal TERM"));
    // It is tried again until it succeeds.
    scene.build("");
    let new = eventually(
        "a generation that replaces it",
        || match scene.status()[..] {
            [(generation, _)] if generation > 3 => Some(scene.worker(generation)),
            _ => None,
        },
    );
    let told = scene.logged_at(1, "signal TERM");
    assert!(told.saturating_sub(new.started_at()) > Duration::from_millis(1950));
}

#[test]
fn an_old_worker_that_lingers_stays_in_the_status_file() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let supervisor = scene.start(AT_ONCE);
    let old = scene.await_ready(1);
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    let new = scene.await_ready(2);
    wait_until("both in the status file", || {
        scene.status() == [(1, old.pid), (2, new.pid)]
    });
    scene.release();
    scene.await_alone(2);
}

#[test]
fn hups_during_a_swap() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=3 --status-file=status");
    scene.await_ready(1);
    for hup in 1..=3 {
        supervisor.hup();
        // Apart, so that the kernel does not merge them; nor does the next one find a worker that has
        // not come far enough to be told to leave.
        supervisor.await_hup_taken();
        scene.worker(pick("reload-requests-coalesce", hup + 1, 2));
    }
    let last = pick("reload-requests-coalesce", 4, 3);
    let worker = scene.await_alone(last);
    holds_for("it is the last", Duration::from_millis(1500), || {
        !scene.happened(last + 1, "start")
    });
    assert!(worker.alive());
}

#[test]
fn an_old_worker_at_the_next_reload() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let supervisor = scene.start(AT_ONCE);
    let first = scene.await_ready(1).pid;
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    let second = scene.await_ready(2).pid;
    supervisor.hup();
    scene.await_event(2, "exit");
    let told = |event: &Event| event.generation == 1 && event.what == "signal TERM";
    let twice = happens_within(Duration::from_secs(3), || {
        scene.events().iter().filter(|event| told(event)).count() > 1
    });
    assert_eq!(twice, pick("old-workers-signalled-once", true, false));
    // The line before names those who get the signal, and nobody else.
    let named = |pids: String| supervisor.said(&format!("sending TERM to old workers:{pids}"));
    let both = named(format!("{first},{second}")) || named(format!("{second},{first}"));
    assert_eq!(both, twice);
}

#[test]
fn a_worker_that_dies_is_replaced() {
    let scene = Scene::new();
    let port = free_port();
    let supervisor = scene.start(format!("{READY} --port={port}"));
    let first = scene.await_ready(1);
    first.kill(Signal::SIGKILL);
    scene.await_alone(2);
    assert!(supervisor.said(&format!(
        "worker {} died unexpectedly with status:9, restarting",
        first.pid
    )));
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(2));
}

#[test]
fn a_worker_that_dies_while_an_old_one_lingers_is_replaced() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let supervisor = scene.start(AT_ONCE);
    let old = scene.await_ready(1);
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    scene.await_ready(2).kill(Signal::SIGKILL);
    let third = scene.await_ready(3);
    wait_until("both in the status file", || {
        scene.status() == [(1, old.pid), (3, third.pid)]
    });
}

#[test]
fn an_old_worker_that_dies_early_does_not_stop_the_swap() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=3 --status-file=status");
    let old = scene.await_ready(1);
    supervisor.hup();
    scene.worker(2);
    old.kill(Signal::SIGKILL);
    scene.await_alone(2);
    holds_for("no further generation", Duration::from_millis(500), || {
        !scene.happened(3, "start")
    });
}

#[test]
fn children_of_a_worker_do_not_delay_the_swap() {
    let scene = Scene::new();
    scene.build("1: forked=1");
    let supervisor = scene.start(format!("{AT_ONCE} --port={}", free_port()));
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
}

#[test]
fn two_reloads_one_after_the_other() {
    let scene = Scene::new();
    let supervisor = scene.start(AT_ONCE);
    for generation in 1..=4 {
        scene.await_alone(generation);
        supervisor.hup();
    }
    scene.await_alone(5);
    assert_eq!(scene.count("start"), 5);
}
