//! Pinned descriptors: `--port=8080=9`.

use crate::client::ask_port;
use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::{Scene, free_port};

fn sockets_of(descriptors: &std::collections::BTreeMap<i32, String>) -> Vec<i32> {
    let sockets = descriptors
        .iter()
        .filter(|(_, target)| target.starts_with("socket:"));
    sockets.map(|(fd, _)| *fd).collect()
}

#[test]
fn a_pinned_socket_has_the_number_asked_for_and_no_other() {
    let scene = Scene::new();
    let port = free_port();
    let supervisor = scene.start(format!("--interval=0 --port={port}=9"));
    let worker = scene.worker(1);
    assert_eq!(worker.ports(), format!("{port}=9"));
    assert_eq!(sockets_of(&worker.descriptors()), [9]);
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(1));
    assert!(supervisor.said("socket is duplicated to file descriptor 9"));
}

#[test]
fn the_pin_holds_in_every_generation() {
    let scene = Scene::new();
    let (pinned, free) = (free_port(), free_port());
    let supervisor = scene.start(format!("--interval=0 --port={pinned}=42 --port={free}"));
    scene.worker(1);
    supervisor.hup();
    let worker = scene.worker(2);
    assert_eq!(worker.entries()[0], (pinned.to_string(), 42));
    assert!(worker.descriptors().contains_key(&worker.entries()[1].1));
}

#[test]
fn a_socket_pinned_to_stdin() {
    let scene = Scene::new();
    let port = free_port();
    // A JVM inherits no other descriptor.
    let _supervisor = scene.start(format!("--interval=0 --port={port}=0"));
    let worker = scene.worker(1);
    assert_eq!(worker.ports(), format!("{port}=0"));
    assert_eq!(sockets_of(&worker.descriptors()), [0]);
    assert_eq!(ask_port(port).map(|answer| answer.generation), Some(1));
}

#[test]
fn two_pins_on_one_number() {
    let scene = Scene::new();
    let (first, second) = (free_port(), free_port());
    let mut supervisor = scene.start(format!("--interval=0 --port={first}=9 --port={second}=9"));
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    let outcome = if supervisor.running() {
        Ok(scene.worker(1).ports())
    } else {
        Err(supervisor.exit_code())
    };
    assert_eq!(
        outcome,
        pick(
            "colliding-pins",
            Ok(format!("{first}=9;{second}=9")),
            Err(255)
        )
    );
}

#[test]
fn a_pin_on_stdout() {
    let scene = Scene::new();
    let port = free_port();
    let mut supervisor = scene.start(format!("--interval=0 --port={port}=1"));
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    let outcome = if supervisor.running() {
        Ok(scene.worker(1).ports())
    } else {
        Err(supervisor.exit_code())
    };
    assert_eq!(
        outcome,
        pick("pin-on-output", Ok(format!("{port}=1")), Err(255))
    );
}

#[test]
fn a_pin_on_stderr() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!("--interval=0 --port={}=2", free_port()));
    // The original's next line kills it by SIGPIPE.
    assert_eq!(
        supervisor.exit_code(),
        pick("pin-on-output", 128 + libc::SIGPIPE, 255)
    );
}
