//! Bugs with signals: B7, B13.

use super::{Outcome, judge, judge_race};
use crate::eventually::{happens_within, wait_until};
use crate::scene::Scene;
use nix::sys::signal::Signal;
use std::time::Duration;

/// A mistyped signal is found at the first reload, which orphans both generations.
#[test]
fn b7_an_unknown_signal_kills_the_supervisor_at_the_first_reload() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --status-file=status --signal-on-hup=NOSUCH");
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    if !supervisor.running() {
        let code = supervisor.exit_code();
        judge(
            "B7",
            &Outcome::good(format!("refused at start, exit code {code}")),
        );
        assert_eq!(code, 1);
        assert!(supervisor.said("NOSUCH"));
        return;
    }
    scene.await_ready(1);
    supervisor.hup();
    let new = scene.worker(2);
    let dead = happens_within(Duration::from_secs(3), || !supervisor.running());
    judge(
        "B7",
        &Outcome::bug_if(
            dead && new.alive(),
            "it died and orphaned its workers",
            "it goes on",
        ),
    );
}

/// A signal between the fork of a worker and its exec goes to the handler that the child has from
/// its parent, and vanishes with it: the supervisor waits for a worker that was never told.
///
/// Found by this suite; the PATH is so long that execvp(3) takes its time.
#[test]
fn b22_a_stop_just_after_the_fork_is_lost() {
    judge_race("B22", 10, || {
        let scene = Scene::new();
        let launch = scene
            .launch()
            .options("--interval=0 -- perl")
            .argument(scene.path("worker.pl").display().to_string());
        let mut supervisor = launch
            .variable("PATH", format!("{}/usr/bin:/bin", "/n:".repeat(40_000)))
            .start();
        supervisor.await_line("starting new worker");
        supervisor.term();
        let ended = happens_within(Duration::from_secs(5), || !supervisor.running());
        Outcome::bug_if(
            !ended,
            "the worker runs on, the supervisor waits",
            "it stopped",
        )
    });
}

/// Signals that mean nothing to it kill it; files and workers stay.
#[test]
fn b13_stray_signals_orphan_everything() {
    for signal in [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2] {
        let scene = Scene::new();
        let mut supervisor =
            scene.start("--interval=0 --pid-file=pid --status-file=status --path=s.sock");
        let worker = scene.await_ready(1);
        supervisor.signal(signal);
        let dead = happens_within(Duration::from_secs(3), || !supervisor.running());
        let left: Vec<_> = ["pid", "status", "s.sock"]
            .into_iter()
            .filter(|name| scene.exists(name))
            .collect();
        let bug = dead && (worker.alive() || !left.is_empty());
        judge(
            "B13",
            &Outcome::bug_if(
                bug,
                format!("{signal}: dead, left behind: {left:?}"),
                "nothing is orphaned",
            ),
        );
    }
}
