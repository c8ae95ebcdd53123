//! `--stop`: TERM, and the wait for the end.

use crate::eventually::happens_within;
use crate::scene::{Scene, free_port};
use std::time::Duration;

#[test]
fn it_returns_when_everything_is_gone() {
    let scene = Scene::new();
    scene.build("hold=1");
    let mut supervisor = scene.start("--interval=0 --pid-file=pid --status-file=status");
    let worker = scene.await_ready(1);
    let mut client = scene.launch().options("--stop --pid-file=pid").start();
    scene.await_event(1, "signal TERM");
    assert!(
        !happens_within(Duration::from_millis(500), || !client.running()),
        "the worker is still there"
    );
    scene.release();
    assert_eq!(client.exit_code(), 0);
    assert_eq!(supervisor.exit_code(), 0);
    assert!(!worker.alive());
    assert!(!scene.exists("pid"));
}

#[test]
fn it_says_what_it_stops() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    let client = scene.launch().options("--stop --pid-file=pid").start();
    let own = client.pid();
    let finished = client.finished();
    assert_eq!(
        finished.stderr,
        format!(
            "stop_server (pid:{own}) stopping now (pid:{})...\n",
            supervisor.pid()
        )
    );
}

#[test]
fn it_takes_the_whole_command_line_of_the_start() {
    let scene = Scene::new();
    let line = format!(
        "--interval=0 --pid-file=pid --status-file=status --port={} --backlog=16",
        free_port()
    );
    let mut supervisor = scene.start(&line);
    scene.worker(1);
    let client = scene
        .launch()
        .options(format!("{line} --stop"))
        .worker()
        .start();
    assert_eq!(client.finished().code, Some(0));
    assert_eq!(supervisor.exit_code(), 0);
    assert_eq!(scene.count("start"), 1);
}

#[test]
fn it_needs_the_pid_file_option() {
    let finished = Scene::new().run("--stop");
    assert_eq!(finished.code, Some(255));
    let expected = "--stop option requires --pid-file to be set as well\n";
    assert!(finished.stderr.ends_with(expected), "{}", finished.stderr);
}

#[test]
fn without_the_file_it_fails() {
    let finished = Scene::new().run("--stop --pid-file=pid");
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("No such file or directory"),
        "{}",
        finished.stderr
    );
}

#[test]
fn with_a_dead_supervisor_it_fails() {
    let scene = Scene::new();
    scene.write("pid", "99999999\n");
    let finished = scene.run("--stop --pid-file=pid");
    assert!(finished.code.is_some_and(|code| code != 0), "{finished:?}");
    assert!(!finished.stderr.is_empty());
}
