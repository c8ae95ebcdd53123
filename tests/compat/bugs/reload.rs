//! Bugs of the swap: B1, B3, B4, B5, B12, B21.

use super::{Outcome, judge, judge_race};
use crate::differences::pick;
use crate::eventually::{happens_within, wait_until};
use crate::scene::{Scene, free_port};
use nix::sys::signal::Signal;
use std::time::Duration;

/// A second HUP during the interval ends the original's sleep: a build that is about to die passes.
#[test]
fn b1_a_hup_during_the_interval_cuts_the_check_short() {
    let scene = Scene::new();
    scene.build("2+: die_on=broken");
    let supervisor = scene.start("--interval=3 --status-file=status");
    scene.await_ready(1);
    supervisor.hup();
    scene.worker(2);
    supervisor.hup();
    supervisor.await_hup_taken();
    scene.write("broken", "");
    // Generation 2 must fail its check; so generation 1 is never told to leave. (The original's word for
    // it comes before generation 3, the worker's own may come after.)
    let killed = || supervisor.said("killing old workers") || scene.happened(1, "signal TERM");
    wait_until("the end of generation 3, or the bug", || {
        scene.happened(3, "exit") || killed()
    });
    judge(
        "B1",
        &Outcome::bug_if(
            killed(),
            "generation 1 was killed for a build that dies",
            "generation 1 serves",
        ),
    );
}

/// `--restart` waits for one exact number; a failed start in between makes it wait for ever.
#[test]
fn b3_restart_hangs_when_a_number_is_skipped() {
    let scene = Scene::new();
    let files = "--pid-file=pid --status-file=status";
    scene.build("2: die_after=0");
    let _supervisor = scene.start(format!("--interval=2 {files}"));
    scene.await_ready(1);
    let mut client = scene.launch().options(format!("--restart {files}")).start();
    scene.await_alone(3);
    // It looks once a second.
    let ended = happens_within(Duration::from_secs(4), || !client.running());
    judge(
        "B3",
        &Outcome::bug_if(
            !ended,
            "it waits although generation 3 serves alone",
            "it ended",
        ),
    );
}

/// Two at once: one waits for a number that the other's reload leaves behind.
#[test]
fn b3_two_restarts_at_once_hang() {
    let scene = Scene::new();
    let files = "--pid-file=pid --status-file=status";
    scene.build("1: hold=1");
    let _supervisor = scene.start(format!("--interval=0 {files}"));
    scene.await_ready(1);
    let mut first = scene.launch().options(format!("--restart {files}")).start();
    scene.await_event(1, "signal TERM");
    scene.await_ready(2);
    let mut second = scene.launch().options(format!("--restart {files}")).start();
    scene.await_event(2, "exit");
    scene.release();
    scene.await_alone(3);
    let ended = happens_within(Duration::from_secs(4), || {
        !first.running() && !second.running()
    });
    judge(
        "B3",
        &Outcome::bug_if(
            !ended,
            "the first waits for generation 2 for ever",
            "both ended",
        ),
    );
}

/// A worker that ignores the signal: the stop never ends.
#[test]
fn b4_a_stop_has_no_bound() {
    let scene = Scene::new();
    scene.build("ignore=TERM,INT");
    let limit = pick("time-bounds", "", "--stop-timeout=1");
    let mut supervisor = scene.start(format!("--interval=0 --status-file=status {limit}"));
    let worker = scene.await_ready(1);
    supervisor.term();
    scene.await_event(1, "signal TERM");
    let ended = happens_within(Duration::from_secs(4), || !supervisor.running());
    assert!(!ended || !worker.alive(), "it left a worker behind");
    judge(
        "B4",
        &Outcome::bug_if(
            !ended,
            "it waits for a worker that stays",
            "it killed the worker",
        ),
    );
}

/// Old generations that ignore the signal pile up.
#[test]
fn b4_old_generations_pile_up() {
    let scene = Scene::new();
    scene.build("ignore=TERM");
    let limit = pick("time-bounds", "", "--drain-timeout=1");
    let supervisor = scene.start(format!("--interval=0 --status-file=status {limit}"));
    let old = scene.await_ready(1);
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    let gone = happens_within(Duration::from_secs(4), || !old.alive());
    judge(
        "B4",
        &Outcome::bug_if(
            !gone,
            "generation 1 stays for ever",
            "generation 1 was killed",
        ),
    );
}

/// The new worker dies during the delay; the original kills the good old one all the same.
#[test]
fn b5_a_death_during_the_delay_goes_unnoticed() {
    let scene = Scene::new();
    scene.build("2: die_on=broken");
    let supervisor = scene.start("--interval=1 --status-file=status --kill-old-delay=4");
    scene.await_ready(1);
    supervisor.hup();
    supervisor.await_line("sleeping 4 secs before killing old workers");
    scene.write("broken", "");
    scene.await_event(2, "exit");
    // The next generation comes first, or the old one's end: that is the question.
    let gap = supervisor.killed_before(3);
    scene.await_event(1, "signal TERM");
    judge(
        "B5",
        &Outcome::bug_if(
            gap,
            "generation 1 was killed with nobody to replace it",
            "generation 1 stayed",
        ),
    );
}

/// TERM waits until the delay has passed.
#[test]
fn b12_a_stop_waits_for_the_delay() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --status-file=status --kill-old-delay=9");
    scene.await_ready(1);
    supervisor.hup();
    supervisor.await_line("sleeping 9 secs");
    supervisor.term();
    let prompt = happens_within(Duration::from_secs(4), || !supervisor.running());
    judge(
        "B12",
        &Outcome::bug_if(
            !prompt,
            "still running after 4 of 9 seconds",
            "it stopped at once",
        ),
    );
}

/// TERM in a loop of failing starts costs one more start and one more interval.
#[test]
fn b12_a_stop_waits_for_the_interval_of_a_failing_start() {
    let scene = Scene::new();
    scene.build("die_after=0");
    let mut supervisor = scene.start("--interval=6");
    scene.worker(1).await_dead();
    supervisor.term();
    // The TERM only ends the sleep; the death is found first, and another worker is forked.
    let prompt = happens_within(Duration::from_secs(4), || !supervisor.running());
    let more = scene.happened(2, "start");
    judge(
        "B12",
        &Outcome::bug_if(
            !prompt || more,
            "another start before the end",
            "it stopped at once",
        ),
    );
}

/// HUP and TERM that are delivered together: the TERM is lost.
#[test]
fn b21_a_term_together_with_a_hup_is_lost() {
    judge_race("B21", 4, || {
        let scene = Scene::new();
        let mut supervisor = scene.start(format!(
            "--interval=0 --status-file=status --port={}",
            free_port()
        ));
        scene.await_ready(1);
        supervisor.signal(Signal::SIGSTOP);
        wait_until("the stop", || supervisor.state() == 'T');
        supervisor.signal(Signal::SIGHUP);
        supervisor.signal(Signal::SIGTERM);
        supervisor.signal(Signal::SIGCONT);
        let ended = happens_within(Duration::from_secs(4), || !supervisor.running());
        Outcome::bug_if(!ended, "it did not stop", "it stopped")
    });
}
