//! Bugs with numbers: B16, B19.

use super::{Outcome, judge};
use crate::eventually::happens_within;
use crate::scene::Scene;
use nix::sys::signal::Signal;
use std::time::Duration;

/// `10` sorts before `9`.
#[test]
fn b16_generations_sort_as_strings() {
    let scene = Scene::new();
    scene.build("9: hold=1");
    let supervisor = scene.start("--interval=0 --status-file=status");
    for generation in 1..9 {
        scene.await_alone(generation);
        supervisor.hup();
    }
    scene.await_alone(9);
    supervisor.hup();
    scene.await_event(9, "signal TERM");
    scene.await_ready(10);
    let lines: Vec<u64> = scene
        .status()
        .iter()
        .map(|(generation, _)| *generation)
        .collect();
    judge(
        "B16",
        &Outcome::bug_if(
            lines != [9, 10],
            format!("in this order: {lines:?}"),
            "in order",
        ),
    );
}

/// While a dead worker is being replaced, the status file still lists it.
#[test]
fn b16_a_dead_worker_stays_listed() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let supervisor = scene.start("--interval=5 --status-file=status");
    let dead = scene.await_ready(1);
    dead.kill(Signal::SIGKILL);
    scene.worker(2);
    supervisor.await_line("died unexpectedly");
    // Of the interval of 5 s two may pass until the file is right.
    let unlisted = happens_within(Duration::from_secs(2), || {
        scene.status().iter().all(|(_, pid)| *pid != dead.pid)
    });
    judge(
        "B16",
        &Outcome::bug_if(!unlisted, "the dead pid is listed", "it is not"),
    );
}

/// Half a second cannot be said.
#[test]
fn b19_no_fractions_of_a_second() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0.5 --kill-old-delay=0.25 --status-file=status");
    let refused = happens_within(Duration::from_secs(5), || {
        !supervisor.running() || scene.exists("status")
    }) && !supervisor.running();
    judge(
        "B19",
        &Outcome::bug_if(refused, "--interval=0.5 was refused", "it was taken"),
    );
}
