//! `--kill-old-delay`: how long the old generation stays after the new one is ready.

use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::Scene;
use std::fs;
use std::time::Duration;

/// How long the old generation stayed after the new one was forked.
fn measured_delay(scene: &Scene) -> Duration {
    let new = scene.worker(2);
    scene
        .logged_at(1, "signal TERM")
        .saturating_sub(new.started_at())
}

#[test]
fn no_delay_by_default() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0 --status-file=status");
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    assert!(!supervisor.said("sleeping"));
}

#[test]
fn the_old_generation_stays_for_the_delay() {
    let scene = Scene::new();
    // So that both are listed however late we look; what tells the delay is when it got the signal.
    scene.build("1: hold=1");
    let supervisor = scene.start("--interval=0 --status-file=status --kill-old-delay=2");
    let old = scene.await_ready(1);
    supervisor.hup();
    supervisor.await_line("sleeping 2 secs before killing old workers");
    let new = scene.worker(2);
    wait_until("both in the status file", || {
        scene.status() == [(1, old.pid), (2, new.pid)]
    });
    let delay = measured_delay(&scene);
    assert!(delay > Duration::from_millis(1950), "{delay:?}");
}

#[test]
fn a_hup_does_not_cut_the_delay_short() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0 --status-file=status --kill-old-delay=2");
    scene.await_ready(1);
    supervisor.hup();
    supervisor.await_line("sleeping 2 secs");
    supervisor.hup();
    let delay = measured_delay(&scene);
    // Perl counts in whole seconds here: up to one of the two may be missing.
    assert!(delay > Duration::from_millis(950), "{delay:?}");
    scene.await_alone(3);
}

#[test]
fn it_can_come_from_the_environment() {
    let scene = Scene::new();
    let launch = scene
        .launch()
        .options("--interval=0 --status-file=status")
        .variable("KILL_OLD_DELAY", "1");
    let supervisor = launch.worker().start();
    assert_eq!(
        scene.await_ready(1).variable("KILL_OLD_DELAY").as_deref(),
        Some("1")
    );
    supervisor.hup();
    supervisor.await_line("sleeping 1 secs before killing old workers");
    scene.await_alone(2);
}

#[test]
fn the_option_wins_over_the_environment() {
    let scene = Scene::new();
    let launch = scene
        .launch()
        .options("--interval=0 --status-file=status --kill-old-delay=0");
    let supervisor = launch.variable("KILL_OLD_DELAY", "9").worker().start();
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    assert!(!supervisor.said("sleeping"));
}

#[test]
fn it_can_change_through_envdir() {
    let scene = Scene::new();
    fs::create_dir(scene.path("env")).expect("a directory");
    let supervisor =
        scene.start("--interval=0 --status-file=status --envdir=env --kill-old-delay=9");
    scene.await_ready(1);
    scene.write("env/KILL_OLD_DELAY", "1\n");
    supervisor.hup();
    supervisor.await_line("sleeping 1 secs before killing old workers");
    scene.await_alone(2);
}

#[test]
fn it_is_5_with_automatic_restarts() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0 --status-file=status --enable-auto-restart");
    scene.await_ready(1);
    supervisor.hup();
    supervisor.await_line("sleeping 5 secs before killing old workers");
}

#[test]
fn zero_is_zero_with_automatic_restarts() {
    let scene = Scene::new();
    let supervisor =
        scene.start("--interval=0 --status-file=status --enable-auto-restart --kill-old-delay=0");
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    assert!(!supervisor.said("sleeping"));
}

#[test]
fn a_new_worker_that_dies_during_the_delay() {
    let scene = Scene::new();
    scene.build("2: die_on=broken");
    let supervisor = scene.start("--interval=1 --status-file=status --kill-old-delay=6");
    scene.await_ready(1);
    supervisor.hup();
    supervisor.await_line("sleeping 6 secs before killing old workers");
    scene.write("broken", "");
    scene.await_event(2, "exit");
    // Was the old one told to leave before there was another?
    assert_eq!(supervisor.killed_before(3), pick("trial", true, false));
}
