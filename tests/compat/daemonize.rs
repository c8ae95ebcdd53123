//! `--daemonize`.

use crate::client::{ask_path, ask_port};
use crate::eventually::{eventually, wait_until};
use crate::scene::{Scene, free_port};
use std::fs::{self, File};

const OPTIONS: &str = "--interval=0 --daemonize --log-file=log --pid-file=pid --status-file=status";

/// The daemon's pid, from its pid file.
fn daemon(scene: &Scene) -> i32 {
    eventually("the pid file", || {
        scene.read("pid")?.strip_suffix('\n')?.parse().ok()
    })
}

fn stat(pid: i32, index: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living daemon");
    let (_, after_name) = stat.rsplit_once(") ").expect("a name in parentheses");
    after_name
        .split_whitespace()
        .nth(index - 3)
        .expect("a field")
        .to_owned()
}

#[test]
fn the_command_returns_and_the_daemon_serves() {
    let scene = Scene::new();
    let port = free_port();
    let mut supervisor = scene.start(format!("{OPTIONS} --port={port} --path=s.sock"));
    assert_eq!(supervisor.exit_code(), 0);
    assert_ne!(daemon(&scene), supervisor.pid());
    scene.await_ready(1);
    // The end of the parent took neither of them along.
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(1));
    assert_eq!(
        ask_path(&scene.path("s.sock")).map(|answer| answer.generation),
        Some(1)
    );
}

#[test]
fn the_daemon_has_a_session_of_its_own_and_does_not_lead_it() {
    let scene = Scene::new();
    let mut supervisor = scene.start(OPTIONS);
    supervisor.exit_code();
    let daemon = daemon(&scene);
    let own_session = stat(i32::try_from(std::process::id()).expect("a pid"), 6);
    let session = stat(daemon, 6);
    assert_ne!(session, own_session);
    assert_ne!(session, daemon.to_string());
    assert_eq!(stat(daemon, 7), "0", "no terminal");
    assert_eq!(
        fs::read_link(format!("/proc/{daemon}/cwd")).expect("a living daemon"),
        scene.dir()
    );
}

#[test]
fn the_worker_reads_from_dev_null_and_writes_to_the_log() {
    let scene = Scene::new();
    scene.write("input", "text");
    let input = File::open(scene.path("input")).expect("the file");
    let _supervisor = scene
        .launch()
        .options(OPTIONS)
        .stdin(input)
        .worker()
        .start();
    let descriptors = scene.await_ready(1).descriptors();
    let log = scene.path("log").display().to_string();
    assert_eq!(descriptors.get(&0).map(String::as_str), Some("/dev/null"));
    assert_eq!(descriptors.get(&1), Some(&log));
    assert_eq!(descriptors.get(&2), Some(&log));
}

#[test]
fn a_socket_pinned_to_stdin_stays_there() {
    let scene = Scene::new();
    let port = free_port();
    let _supervisor = scene.start(format!("{OPTIONS} --port={port}=0"));
    scene.await_ready(1);
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(1));
}

#[test]
fn it_needs_a_log_file() {
    let finished = Scene::new().run("--daemonize -- true");
    assert_eq!(finished.code, Some(255));
    let expected = "Usage: --log-file option must be specified together with --deamonize\n";
    assert!(finished.stderr.ends_with(expected), "{}", finished.stderr);
}

#[test]
fn reload_and_stop_through_its_files() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!("{OPTIONS} --path=s.sock"));
    assert_eq!(supervisor.exit_code(), 0);
    scene.await_ready(1);
    assert_eq!(
        scene
            .run("--restart --pid-file=pid --status-file=status")
            .code,
        Some(0)
    );
    let worker = scene.await_alone(2);
    assert_eq!(scene.run("--stop --pid-file=pid").code, Some(0));
    assert!(!worker.alive());
    wait_until("all files to be gone", || {
        ["pid", "status", "s.sock"]
            .iter()
            .all(|name| !scene.exists(name))
    });
    assert!(scene.read("log").expect("the log").ends_with("exiting\n"));
}

#[test]
fn an_error_before_the_fork_is_the_exit_code() {
    let scene = Scene::new();
    let port = free_port();
    let _holder = std::net::TcpListener::bind(("0.0.0.0", port)).expect("the port");
    let finished = scene
        .launch()
        .options(format!("{OPTIONS} --port={port}"))
        .worker()
        .start()
        .finished();
    assert_eq!(finished.code, Some(98));
    assert!(!scene.exists("pid"));
}
