//! `--pid-file`: its text, its lock, its end.

use crate::differences::pick;
use crate::eventually::{happens_within, wait_until};
use crate::scene::{Scene, free_port};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::time::Duration;

#[test]
fn it_holds_the_pid_of_the_supervisor() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    assert_eq!(scene.read("pid"), Some(format!("{}\n", supervisor.pid())));
}

#[test]
fn it_is_locked_as_long_as_the_supervisor_lives() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    let file = File::open(scene.path("pid")).expect("it is there");
    assert!(flock(&file, FlockOperation::NonBlockingLockExclusive).is_err());
    supervisor.stop();
    assert!(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
}

#[test]
fn a_worker_does_not_inherit_the_lock() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --pid-file=pid --status-file=status");
    let worker = scene.await_ready(1);
    let pid_file = scene.path("pid").display().to_string();
    assert!(
        worker
            .descriptors()
            .values()
            .all(|target| *target != pid_file)
    );
    supervisor.stop();
}

#[test]
fn it_is_removed_at_the_end() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    supervisor.stop();
    assert!(!scene.exists("pid"));
}

#[test]
fn a_stale_one_is_taken_over() {
    let scene = Scene::new();
    scene.write("pid", "99999999\nsecond line\n");
    let supervisor = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    assert_eq!(scene.read("pid"), Some(format!("{}\n", supervisor.pid())));
}

#[test]
fn a_second_instance_on_it() {
    let scene = Scene::new();
    let first = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    let mut second = scene
        .launch()
        .options(format!("--port={} --pid-file=pid", free_port()))
        .worker()
        .start();
    // The original waits for the lock, and has emptied the file before.
    wait_until("the file to change or the second to end", || {
        scene.read("pid").is_some_and(|text| text.is_empty()) || !second.running()
    });
    let refused = happens_within(Duration::from_millis(500), || !second.running());
    assert_eq!(refused, pick("pid-file-in-use", false, true));
    let text = scene.read("pid").expect("the file");
    assert_eq!(
        text,
        pick(
            "pid-file-in-use",
            String::new(),
            format!("{}\n", first.pid())
        )
    );
}
