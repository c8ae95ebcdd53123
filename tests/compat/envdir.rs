//! `--envdir`: variables from files, read anew at every start of a worker.

use crate::differences::pick;
use crate::eventually::eventually;
use crate::scene::Scene;
use std::fs;

const OPTIONS: &str = "--interval=0 --status-file=status --envdir=env";

fn scene() -> Scene {
    let scene = Scene::new();
    fs::create_dir(scene.path("env")).expect("a directory");
    scene
}

#[test]
fn the_first_worker_sees_it() {
    let scene = scene();
    scene.write("env/FOO", "v1\n");
    let _supervisor = scene.start(OPTIONS);
    assert_eq!(scene.worker(1).variable("FOO").as_deref(), Some("v1"));
}

#[test]
fn it_wins_over_the_environment() {
    let scene = scene();
    scene.write("env/FOO", "inner");
    let _supervisor = scene
        .launch()
        .options(OPTIONS)
        .variable("FOO", "outer")
        .worker()
        .start();
    assert_eq!(scene.worker(1).variable("FOO").as_deref(), Some("inner"));
}

#[test]
fn a_reload_reads_it_anew() {
    let scene = scene();
    scene.write("env/FOO", "v1");
    let supervisor = scene.start(OPTIONS);
    scene.await_ready(1);
    scene.write("env/FOO", "v2");
    scene.write("env/NEW", "n");
    supervisor.hup();
    let second = scene.await_alone(2);
    assert_eq!(second.variable("FOO").as_deref(), Some("v2"));
    assert_eq!(second.variable("NEW").as_deref(), Some("n"));
    // A file that was not there at start takes its variable along when it goes.
    fs::remove_file(scene.path("env/NEW")).expect("it is there");
    supervisor.hup();
    let third = scene.await_alone(3);
    assert_eq!(third.variable("NEW"), None);
    assert_eq!(third.variable("FOO").as_deref(), Some("v2"));
}

#[test]
fn a_worker_that_replaces_a_dead_one_reads_it_too() {
    let scene = scene();
    let _supervisor = scene.start(OPTIONS);
    let first = scene.await_ready(1);
    scene.write("env/FOO", "v2");
    first.kill(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(scene.worker(2).variable("FOO").as_deref(), Some("v2"));
}

#[test]
fn the_value_is_the_first_line_without_its_newline() {
    let scene = scene();
    for (name, text) in [
        ("PLAIN", "value"),
        ("LINES", "first\nsecond\n"),
        ("BLANKS", "  both sides \t\n"),
        ("CR", "windows\r\n"),
        ("EQUALS", "a=b;c\n"),
        ("NEWLINE", "\n"),
    ] {
        scene.write(&format!("env/{name}"), text);
    }
    let _supervisor = scene.start(OPTIONS);
    let worker = scene.worker(1);
    let value = |name| worker.variable(name);
    assert_eq!(value("PLAIN").as_deref(), Some("value"));
    assert_eq!(value("LINES").as_deref(), Some("first"));
    assert_eq!(value("BLANKS").as_deref(), Some("  both sides \t"));
    assert_eq!(value("CR").as_deref(), Some("windows\r"));
    assert_eq!(value("EQUALS").as_deref(), Some("a=b;c"));
    assert_eq!(value("NEWLINE").as_deref(), Some(""));
}

#[test]
fn empty_files_hidden_files_and_directories_set_nothing() {
    let scene = scene();
    scene.write("env/EMPTY", "");
    scene.write("env/.HIDDEN", "x");
    fs::create_dir(scene.path("env/DIR")).expect("a directory");
    let launch = scene.launch().options(OPTIONS).variable("EMPTY", "outer");
    let _supervisor = launch.worker().start();
    let worker = scene.worker(1);
    assert_eq!(worker.variable("EMPTY").as_deref(), Some("outer"));
    assert_eq!(worker.variable(".HIDDEN"), None);
    assert_eq!(worker.variable("DIR"), None);
}

#[test]
fn a_value_that_no_variable_can_have() {
    let scene = scene();
    let supervisor = scene.start(OPTIONS);
    let first = scene.await_ready(1);
    scene.write("env/ODD", "half\0the other half\n");
    supervisor.hup();
    if let Some(half) = pick("envdir-odd-file", Some("half"), None) {
        assert_eq!(scene.await_alone(2).variable("ODD").as_deref(), Some(half));
        return;
    }
    supervisor.await_line("reading the envdir env: ODD: the value contains a NUL");
    assert!(first.alive() && !scene.happened(1, "signal TERM"));
    assert!(!scene.happened(2, "start"));
    // Mended while it is tried again.
    scene.write("env/ODD", "whole\n");
    scene.await_event(1, "signal TERM");
    let serving = eventually("the one that is tried then", || {
        let (generation, _) = *scene.status().last()?;
        (generation > 1).then_some(generation)
    });
    let serving = scene.worker(serving);
    assert_eq!(serving.variable("ODD").as_deref(), Some("whole"));
}

#[test]
fn it_can_come_from_the_environment() {
    let scene = scene();
    scene.write("env/FOO", "v1");
    let launch = scene
        .launch()
        .options("--interval=0")
        .variable("ENVDIR", "env");
    let _supervisor = launch.worker().start();
    let worker = scene.worker(1);
    assert_eq!(worker.variable("FOO").as_deref(), Some("v1"));
    assert_eq!(worker.variable("ENVDIR").as_deref(), Some("env"));
}

#[test]
fn a_directory_that_does_not_exist_is_no_error() {
    let scene = Scene::new();
    let supervisor = scene.start(OPTIONS);
    scene.await_ready(1);
    // It may appear later.
    fs::create_dir(scene.path("env")).expect("a directory");
    scene.write("env/FOO", "late");
    supervisor.hup();
    assert_eq!(scene.worker(2).variable("FOO").as_deref(), Some("late"));
}

#[test]
fn the_port_of_the_workers_cannot_be_set_from_it_before_the_sockets_are() {
    let scene = scene();
    scene.write("env/SERVER_STARTER_PORT", "1=1");
    let _supervisor = scene.start(format!("{OPTIONS} --path=s.sock"));
    assert_eq!(scene.worker(1).keys(), ["s.sock"]);
}
