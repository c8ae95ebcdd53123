//! `--status-file`: its text, and when it exists.

use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::{Scene, free_port};
use std::fs;

const AT_ONCE: &str = "--interval=0 --status-file=status";

#[test]
fn one_line_for_each_generation() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let supervisor = scene.start(AT_ONCE);
    let first = scene.await_ready(1);
    assert_eq!(scene.read("status"), Some(format!("1:{}\n", first.pid)));
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    let second = scene.worker(2);
    let both = format!("1:{}\n2:{}\n", first.pid, second.pid);
    wait_until("both lines", || {
        scene.read("status").as_ref() == Some(&both)
    });
}

#[test]
fn a_new_generation_is_listed_after_its_interval() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=3 --status-file=status");
    let first = scene.await_ready(1);
    supervisor.hup();
    scene.worker(2);
    assert_eq!(scene.status(), [(1, first.pid)]);
    scene.await_ready(2);
}

#[test]
fn it_is_replaced_and_leaves_no_other_file() {
    let scene = Scene::new();
    fs::create_dir(scene.path("run")).expect("a directory");
    let supervisor = scene.start("--interval=0 --status-file=run/status");
    wait_until("the file", || scene.exists("run/status"));
    scene.worker(1);
    supervisor.hup();
    wait_until("the swap", || {
        scene
            .read("run/status")
            .is_some_and(|text| text.starts_with("2:"))
    });
    let names: Vec<_> = fs::read_dir(scene.path("run"))
        .expect("it is there")
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    assert_eq!(names, ["status"]);
}

#[test]
fn it_is_removed_at_the_end() {
    let scene = Scene::new();
    let mut supervisor = scene.start(AT_ONCE);
    scene.await_ready(1);
    supervisor.stop();
    assert!(!scene.exists("status"));
}

#[test]
fn it_stays_when_another_instance_fails_to_start() {
    let scene = Scene::new();
    let port = free_port();
    let _supervisor = scene.start(format!("{AT_ONCE} --port={port}"));
    let worker = scene.await_ready(1);
    let second = scene
        .launch()
        .options(format!("{AT_ONCE} --port={port}"))
        .worker()
        .start()
        .finished();
    assert_eq!(second.code, Some(98));
    assert_eq!(scene.status(), [(1, worker.pid)]);
}

#[test]
fn the_order_of_generations() {
    let scene = Scene::new();
    scene.build("9: hold=1");
    let supervisor = scene.start(AT_ONCE);
    for generation in 1..9 {
        scene.await_alone(generation);
        supervisor.hup();
    }
    scene.await_alone(9);
    supervisor.hup();
    scene.await_event(9, "signal TERM");
    scene.await_ready(10);
    let generations: Vec<u64> = scene
        .status()
        .iter()
        .map(|(generation, _)| *generation)
        .collect();
    assert_eq!(generations, pick("numeric-order", [10, 9], [9, 10]));
}
