//! Bugs in what a worker inherits: B10, B15, B18.

use super::{Outcome, judge};
use crate::client::ask_port;
use crate::eventually::wait_until;
use crate::scene::{Scene, free_port};
use std::fs;
use std::os::unix::net::UnixDatagram;

/// A pin on the number of another socket replaces it without a word.
#[test]
fn b10_a_pin_replaces_another_socket() {
    // Which number would the first socket get?
    let scene = Scene::new();
    let (first, second) = (free_port(), free_port());
    let mut supervisor = scene.start(format!("--interval=0 --port={first}"));
    let number = scene.worker(1).entries()[0].1;
    supervisor.stop();

    let scene = Scene::new();
    let _supervisor = scene.start(format!(
        "--interval=0 --port={first} --port={second}={number}"
    ));
    let entries = scene.worker(1).entries();
    let lost = entries[0].1 == entries[1].1;
    if !lost {
        assert_eq!(entries[1].1, number);
        assert_eq!(
            ask_port(first).map(|answer| answer.key),
            Some(first.to_string())
        );
        assert_eq!(
            ask_port(second).map(|answer| answer.key),
            Some(second.to_string())
        );
    }
    judge(
        "B10",
        &Outcome::bug_if(
            lost,
            format!("one descriptor for two ports: {entries:?}"),
            "both are served",
        ),
    );
}

/// A port that does not exist is accepted, and another one bound.
#[test]
fn b10_a_port_above_65535_is_accepted() {
    let scene = Scene::new();
    // The original binds it modulo 65536.
    let port = 65_536 + u32::from(free_port());
    let mut supervisor = scene.start(format!("--interval=0 --port={port}"));
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    let accepted = supervisor.running();
    judge(
        "B10",
        &Outcome::bug_if(
            accepted,
            "a worker serves on some other port",
            "it was refused",
        ),
    );
}

/// A variable whose file is gone comes back with the value that it had when the supervisor started.
#[test]
fn b15_a_deleted_file_of_the_envdir_reverts_to_the_first_value() {
    let scene = Scene::new();
    fs::create_dir(scene.path("env")).expect("a directory");
    scene.write("env/FOO", "v1");
    scene.write("env/GONE", "v1");
    let launch = scene
        .launch()
        .options("--interval=0 --status-file=status --envdir=env")
        .variable("FOO", "outer");
    let supervisor = launch.worker().start();
    scene.await_ready(1);
    fs::remove_file(scene.path("env/FOO")).expect("it is there");
    fs::remove_file(scene.path("env/GONE")).expect("it is there");
    supervisor.hup();
    let worker = scene.await_alone(2);
    let values = (worker.variable("FOO"), worker.variable("GONE"));
    let right = values == (Some("outer".to_owned()), None);
    judge(
        "B15",
        &Outcome::bug_if(
            !right,
            format!("FOO and GONE are {values:?}"),
            "as without the files",
        ),
    );
}

/// Perl warns of an empty file at every wake-up.
#[test]
fn b15_an_empty_file_of_the_envdir_gives_a_warning_at_every_wake_up() {
    let scene = Scene::new();
    fs::create_dir(scene.path("env")).expect("a directory");
    scene.write("env/EMPTY", "");
    let supervisor = scene.start("--interval=0 --status-file=status --envdir=env");
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    let warnings = supervisor.stderr().matches("uninitialized").count();
    judge(
        "B15",
        &Outcome::bug_if(warnings > 1, format!("{warnings} warnings"), "none"),
    );
}

/// systemd's variables for the supervisor reach the worker, who takes them for its own.
#[test]
fn b18_the_managers_variables_leak() {
    let scene = Scene::new();
    let manager = UnixDatagram::bind(scene.path("notify")).expect("a socket");
    let notify = scene.path("notify").display().to_string();
    // A pid that is not its own: these sockets are for somebody else, so it must not take them.
    let launch = scene
        .launch()
        .options("--interval=0")
        .variable("LISTEN_FDS", "1")
        .variable("LISTEN_PID", "1");
    let _supervisor = launch.variable("NOTIFY_SOCKET", &notify).worker().start();
    let worker = scene.worker(1);
    let leaked: Vec<_> = [("LISTEN_PID", "1"), ("NOTIFY_SOCKET", notify.as_str())]
        .into_iter()
        .filter(|(name, value)| worker.variable(name).as_deref() == Some(value))
        .collect();
    drop(manager);
    judge(
        "B18",
        &Outcome::bug_if(
            !leaked.is_empty(),
            format!("unchanged: {leaked:?}"),
            "none unchanged",
        ),
    );
}

/// What the caller left open reaches every worker. Under systemd these are the sockets of a unit, which
/// the original does not take either.
#[test]
fn b18_a_descriptor_leaks() {
    let scene = Scene::new();
    let launch = scene.launch().program("sh").argument("-c");
    let launch = launch.argument(r#"exec 7</dev/zero && exec "$0" "$@""#);
    let launch = launch.argument(scene.path("start_server").display().to_string());
    let launch = launch.options(format!("--interval=0 --port={}", free_port()));
    let _supervisor = launch.worker().start();
    let worker = scene.worker(1);
    let expected = [0, 1, 2, worker.entries()[0].1];
    let mut strangers = worker.descriptors();
    strangers.retain(|fd, _| !expected.contains(fd));
    judge(
        "B18",
        &Outcome::bug_if(
            !strangers.is_empty(),
            format!("leaked: {strangers:?}"),
            "0, 1, 2 and the socket",
        ),
    );
}
