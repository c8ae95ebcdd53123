//! `--restart`: a reload, and the wait for it.

use crate::differences::pick;
use crate::eventually::happens_within;
use crate::scene::{Finished, Scene, free_port};
use crate::supervisor::Supervisor;
use nix::sys::signal::Signal;
use std::time::Duration;

const FILES: &str = "--pid-file=pid --status-file=status";

/// What `--restart` came to: its success, or nothing within the time that we grant it.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    Success,
    Failure,
    StillWaiting,
}

/// Far more than any of these swaps takes.
const GRANTED: Duration = Duration::from_secs(10);

fn verdict(mut client: Supervisor<'_>) -> (Verdict, Finished) {
    if happens_within(GRANTED, || !client.running()) {
        let finished = client.finished();
        let verdict = if finished.code == Some(0) {
            Verdict::Success
        } else {
            Verdict::Failure
        };
        return (verdict, finished);
    }
    let stderr = client.stderr();
    (
        Verdict::StillWaiting,
        Finished {
            code: None,
            stdout: String::new(),
            stderr,
        },
    )
}

#[test]
fn it_returns_when_the_old_generation_is_gone() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let _supervisor = scene.start(format!("--interval=0 {FILES}"));
    let old = scene.await_ready(1);
    let mut client = scene.launch().options(format!("--restart {FILES}")).start();
    scene.await_event(1, "signal TERM");
    assert!(
        !happens_within(Duration::from_millis(1200), || !client.running()),
        "the old one is still there"
    );
    scene.release();
    assert_eq!(client.exit_code(), 0);
    assert!(!old.alive());
    scene.await_alone(2);
}

#[test]
fn it_takes_the_whole_command_line_of_the_start() {
    let scene = Scene::new();
    let line = format!(
        "--interval=0 {FILES} --port={} --path=s.sock --signal-on-hup=QUIT",
        free_port()
    );
    let _supervisor = scene.start(&line);
    scene.await_ready(1);
    let client = scene
        .launch()
        .options(format!("--restart {line}"))
        .worker()
        .start();
    assert_eq!(client.finished().code, Some(0));
    scene.await_alone(2);
    assert!(scene.exists("s.sock"));
}

#[test]
fn it_needs_both_files() {
    for options in [
        "--restart",
        "--restart --pid-file=pid",
        "--restart --status-file=status",
    ] {
        let finished = Scene::new().run(options);
        assert_eq!(finished.code, Some(255), "{options}");
        let expected = "--restart option requires --pid-file and --status-file to be set as well\n";
        assert!(finished.stderr.ends_with(expected), "{}", finished.stderr);
    }
}

#[test]
fn without_the_pid_file_it_fails() {
    let finished = Scene::new().run(format!("--restart {FILES}"));
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("No such file or directory"),
        "{}",
        finished.stderr
    );
}

#[test]
fn without_the_status_file_it_fails() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    let finished = scene.run(format!("--restart {FILES}"));
    assert_eq!(finished.code, Some(2));
    assert!(!scene.happened(2, "start"));
}

#[test]
fn with_a_dead_supervisor_it_fails() {
    let scene = Scene::new();
    scene.write("pid", "99999999\n");
    scene.write("status", "1:99999998\n");
    let (verdict, finished) = verdict(scene.launch().options(format!("--restart {FILES}")).start());
    assert_eq!(verdict, Verdict::Failure);
    assert!(!finished.stderr.is_empty());
}

#[test]
fn a_generation_that_failed_in_between() {
    let scene = Scene::new();
    scene.build("2: die_after=0");
    let _supervisor = scene.start(format!("--interval=2 {FILES}"));
    scene.await_ready(1);
    let (verdict, _) = verdict(scene.launch().options(format!("--restart {FILES}")).start());
    // Whether the retry counts as success is ours to say; it must not wait for generation 2.
    assert_eq!(
        verdict == Verdict::StillWaiting,
        pick("restart-tells-the-truth", true, false)
    );
    scene.await_alone(3);
}

#[test]
fn two_at_once() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let _supervisor = scene.start(format!("--interval=0 {FILES}"));
    scene.await_ready(1);
    let first = scene.launch().options(format!("--restart {FILES}")).start();
    scene.await_event(1, "signal TERM");
    scene.await_ready(2);
    // The first client still waits for generation 1 to go, and is overtaken.
    let second = scene.launch().options(format!("--restart {FILES}")).start();
    scene.await_event(2, "exit");
    scene.release();
    let verdicts = [verdict(first).0, verdict(second).0];
    let waits = verdicts.contains(&Verdict::StillWaiting);
    assert_eq!(
        waits,
        pick("restart-tells-the-truth", true, false),
        "{verdicts:?}"
    );
    assert_eq!(
        verdicts.iter().all(|verdict| *verdict == Verdict::Success),
        pick("restart-tells-the-truth", false, true)
    );
}

#[test]
fn a_reload_that_fails() {
    let scene = Scene::new();
    scene.build("2+: die_after=0");
    let _supervisor = scene.start(format!("--interval=2 {FILES}"));
    let old = scene.await_ready(1);
    let (verdict, finished) = verdict(scene.launch().options(format!("--restart {FILES}")).start());
    assert_eq!(
        verdict,
        pick(
            "restart-tells-the-truth",
            Verdict::StillWaiting,
            Verdict::Failure
        )
    );
    assert_eq!(
        finished.stderr.is_empty(),
        pick("restart-tells-the-truth", true, false),
        "it says why"
    );
    assert!(old.alive());
}

#[test]
fn a_supervisor_that_dies_meanwhile() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let supervisor = scene.start(format!("--interval=0 {FILES}"));
    scene.await_ready(1);
    let client = scene.launch().options(format!("--restart {FILES}")).start();
    scene.await_event(1, "signal TERM");
    supervisor.signal(Signal::SIGKILL);
    let (verdict, _) = verdict(client);
    assert_eq!(
        verdict,
        pick(
            "restart-tells-the-truth",
            Verdict::StillWaiting,
            Verdict::Failure
        )
    );
}

#[test]
fn a_limit_in_time() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let _supervisor = scene.start(format!("--interval=0 {FILES}"));
    scene.await_ready(1);
    // The original has no such option, and exits 1 for it.
    let (verdict, finished) = verdict(
        scene
            .launch()
            .options(format!("--restart --timeout=1 {FILES}"))
            .start(),
    );
    assert_eq!(verdict, Verdict::Failure);
    // The client may have given up before the worker heard of it.
    let told = happens_within(Duration::from_secs(3), || scene.happened(1, "signal TERM"));
    assert_eq!(told, pick("restart-tells-the-truth", false, true));
    assert!(!finished.stderr.is_empty());
}
