//! `--enable-auto-restart`: a new generation every so many seconds.

use crate::eventually::holds_for;
use crate::scene::Scene;
use std::fs;
use std::time::Duration;

const AT_ONCE: &str = "--interval=0 --status-file=status --kill-old-delay=0";

#[test]
fn a_new_generation_after_the_interval() {
    let scene = Scene::new();
    let supervisor = scene.start(format!(
        "{AT_ONCE} --enable-auto-restart --auto-restart-interval=3"
    ));
    let first = scene.worker(1).started_at();
    let second = scene.worker(2).started_at();
    // Perl counts in whole seconds: up to one of them may be missing.
    assert!(second.saturating_sub(first) > Duration::from_millis(1950));
    supervisor.await_line("autorestart triggered (interval=3)");
    assert!(!supervisor.said("received HUP"));
    scene.await_event(3, "start");
}

#[test]
fn it_can_come_from_the_environment() {
    let scene = Scene::new();
    let launch = scene
        .launch()
        .options(AT_ONCE)
        .variable("ENABLE_AUTO_RESTART", "1");
    let supervisor = launch
        .variable("AUTO_RESTART_INTERVAL", "2")
        .worker()
        .start();
    supervisor.await_line("autorestart triggered (interval=2)");
    scene.await_event(2, "start");
}

#[test]
fn the_interval_alone_does_nothing() {
    let scene = Scene::new();
    let _supervisor = scene.start(format!("{AT_ONCE} --auto-restart-interval=1"));
    scene.await_alone(1);
    holds_for("one generation", Duration::from_millis(2500), || {
        !scene.happened(2, "start")
    });
}

#[test]
fn the_interval_can_change_through_envdir() {
    let scene = Scene::new();
    fs::create_dir(scene.path("env")).expect("a directory");
    let options = "--envdir=env --enable-auto-restart --auto-restart-interval=600";
    let supervisor = scene.start(format!("{AT_ONCE} {options}"));
    scene.await_alone(1);
    scene.write("env/AUTO_RESTART_INTERVAL", "2");
    supervisor.await_line("autorestart triggered (interval=2)");
    // Not alone for long: the next one comes 2 s later.
    scene.await_event(2, "start");
}

#[test]
fn an_old_worker_puts_it_off_to_twice_the_interval() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    fs::create_dir(scene.path("env")).expect("a directory");
    let options = "--envdir=env --enable-auto-restart --auto-restart-interval=600";
    let supervisor = scene.start(format!("{AT_ONCE} {options}"));
    scene.await_ready(1);
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    let second = scene.await_ready(2).started_at();
    // Only now: a machine that is slow must not be overtaken by the first generation's interval.
    scene.write("env/AUTO_RESTART_INTERVAL", "2");
    supervisor.await_line("autorestart triggered (forced, interval=2)");
    let third = scene.worker(3).started_at();
    assert!(third.saturating_sub(second) > Duration::from_millis(2950));
}

#[test]
fn a_reload_starts_the_interval_anew() {
    let scene = Scene::new();
    let supervisor = scene.start(format!(
        "{AT_ONCE} --enable-auto-restart --auto-restart-interval=6"
    ));
    scene.await_alone(1);
    holds_for("not before", Duration::from_millis(1500), || {
        !scene.happened(2, "start")
    });
    supervisor.hup();
    let second = scene.worker(2).started_at();
    let third = scene.worker(3).started_at();
    // Counted from the first generation it would be 4.5 s.
    assert!(third.saturating_sub(second) > Duration::from_millis(4950));
}
