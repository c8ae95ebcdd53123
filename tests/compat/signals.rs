//! Signals to the supervisor, and the signals that it sends.

use crate::differences::pick;
use crate::eventually::{happens_within, holds_for, wait_until};
use crate::scene::Scene;
use nix::sys::signal::Signal;
use std::time::Duration;

const AT_ONCE: &str = "--interval=0 --status-file=status";

/// The signals that a generation received, in order.
fn signals(scene: &Scene, generation: u64) -> Vec<String> {
    let events = scene
        .events()
        .into_iter()
        .filter(|event| event.generation == generation);
    events
        .filter_map(|event| Some(event.what.strip_prefix("signal ")?.to_owned()))
        .collect()
}

#[test]
fn term_stops_the_worker_then_the_supervisor() {
    let scene = Scene::new();
    let mut supervisor = scene.start(AT_ONCE);
    let worker = scene.await_ready(1);
    assert_eq!(supervisor.stop(), 0);
    assert!(!worker.alive());
    assert_eq!(signals(&scene, 1), ["TERM"]);
}

#[test]
fn term_stops_every_generation() {
    let scene = Scene::new();
    scene.build("1: hold=1\n2: hold=1");
    let mut supervisor = scene.start(AT_ONCE);
    let old = scene.await_ready(1);
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    let new = scene.await_ready(2);
    supervisor.term();
    scene.await_event(2, "signal TERM");
    holds_for(
        "it waits for its workers",
        Duration::from_millis(300),
        || old.alive() && new.alive(),
    );
    assert!(supervisor.running());
    scene.release();
    assert_eq!(supervisor.exit_code(), 0);
    assert!(!old.alive() && !new.alive());
}

#[test]
fn the_signal_on_term_is_a_choice() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!("{AT_ONCE} --signal-on-term=QUIT"));
    scene.await_ready(1);
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(signals(&scene, 1), ["QUIT"]);
}

#[test]
fn int_always_sends_term() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!(
        "{AT_ONCE} --signal-on-term=QUIT --signal-on-hup=QUIT"
    ));
    scene.await_ready(1);
    supervisor.int();
    assert_eq!(supervisor.exit_code(), 0);
    assert_eq!(signals(&scene, 1), ["TERM"]);
}

#[test]
fn the_signal_on_hup_is_a_choice() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!("{AT_ONCE} --signal-on-hup=QUIT"));
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    assert_eq!(signals(&scene, 1), ["QUIT"]);
    // The other one stays as it is by default.
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(signals(&scene, 2), ["TERM"]);
}

#[test]
fn names_of_signals_have_many_forms() {
    for name in ["QUIT", "SIGQUIT", "quit", "sigquit", "SigQuit", "3"] {
        let scene = Scene::new();
        let mut supervisor = scene.start(format!("{AT_ONCE} --signal-on-term={name}"));
        scene.await_ready(1);
        assert_eq!(supervisor.stop(), 0, "{name}");
        assert_eq!(signals(&scene, 1), ["QUIT"], "{name}");
    }
}

#[test]
fn a_name_that_is_no_signal() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --signal-on-term=NOSUCH");
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    let outcome = if supervisor.running() {
        None
    } else {
        Some(supervisor.exit_code())
    };
    assert_eq!(outcome, pick("unknown-signal", None, Some(1)));
}

#[test]
fn alrm_is_ignored() {
    let scene = Scene::new();
    let mut supervisor = scene.start(AT_ONCE);
    let worker = scene.await_ready(1);
    supervisor.signal(Signal::SIGALRM);
    holds_for("it stays", Duration::from_millis(300), || {
        supervisor.running() && worker.alive()
    });
    assert_eq!(scene.count("start"), 1);
}

#[test]
fn a_hup_during_a_stop_starts_nothing() {
    let scene = Scene::new();
    scene.build("hold=1");
    let mut supervisor = scene.start(AT_ONCE);
    scene.await_ready(1);
    supervisor.term();
    scene.await_event(1, "signal TERM");
    supervisor.hup();
    holds_for("nothing starts", Duration::from_millis(300), || {
        !scene.happened(2, "start")
    });
    scene.release();
    assert_eq!(supervisor.exit_code(), 0);
    assert_eq!(scene.count("start"), 1);
}

#[test]
fn a_second_term_is_not_passed_on() {
    let scene = Scene::new();
    scene.build("hold=1");
    let mut supervisor = scene.start(AT_ONCE);
    scene.await_ready(1);
    supervisor.term();
    scene.await_event(1, "signal TERM");
    supervisor.term();
    holds_for("one signal", Duration::from_millis(300), || {
        signals(&scene, 1) == ["TERM"]
    });
    scene.release();
    assert_eq!(supervisor.exit_code(), 0);
}

#[test]
fn other_signals_are_not_passed_to_the_worker() {
    let scene = Scene::new();
    let mut supervisor = scene.start(AT_ONCE);
    scene.await_ready(1);
    supervisor.signal(Signal::SIGWINCH);
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(signals(&scene, 1), ["TERM"]);
}

#[test]
fn a_worker_that_dies_of_the_signal_counts_as_stopped() {
    let scene = Scene::new();
    scene.build("default=TERM");
    let mut supervisor = scene.start(AT_ONCE);
    let worker = scene.await_ready(1);
    assert_eq!(supervisor.stop(), 0);
    assert!(supervisor.said(&format!("worker {} died, status:15", worker.pid)));
}

#[test]
fn signals_that_mean_nothing() {
    for signal in [Signal::SIGQUIT, Signal::SIGUSR1] {
        let scene = Scene::new();
        let mut supervisor = scene.start(AT_ONCE);
        let worker = scene.await_ready(1);
        supervisor.signal(signal);
        let dead = happens_within(Duration::from_secs(3), || !supervisor.running());
        assert_eq!(
            dead && worker.alive(),
            pick("stray-signals", true, false),
            "{signal}"
        );
        let stops = pick("stray-signals", false, signal == Signal::SIGQUIT);
        let line = "received QUIT, sending TERM to all workers:";
        assert_eq!(supervisor.said(line), stops, "{signal}");
    }
}
