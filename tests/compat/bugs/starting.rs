//! Bugs of the start: B17.

use super::{Outcome, judge};
use crate::differences::pick;
use crate::eventually::happens_within;
use crate::scene::Scene;
use std::time::Duration;

/// Some starts are fine, one after the other at growing distances; a storm reaches this in a second.
const MANY: usize = 20;
const SPAN: Duration = Duration::from_secs(5);

/// With interval 0 a worker that fails is started hundreds of times a second.
#[test]
fn b17_failing_starts_have_no_back_off() {
    let scene = Scene::new();
    let supervisor = scene.launch().options("--interval=0 -- false").start();
    let starts = || supervisor.stderr().matches("starting new worker").count();
    let storm = happens_within(SPAN, || starts() > MANY);
    judge(
        "B17",
        &Outcome::bug_if(
            storm,
            format!("more than {MANY} starts in {SPAN:?}"),
            format!("{} starts", starts()),
        ),
    );
}

/// A worker that dies just after its interval is restarted for ever, as fast as it dies.
#[test]
fn b17_deaths_have_no_back_off() {
    let scene = Scene::new();
    let supervisor = scene
        .launch()
        .options("--interval=0 -- sh -c")
        .argument("exec sleep 0.05")
        .start();
    let starts = || supervisor.stderr().matches("starting new worker").count();
    let storm = happens_within(SPAN, || starts() > MANY);
    judge(
        "B17",
        &Outcome::bug_if(
            storm,
            format!("more than {MANY} starts in {SPAN:?}"),
            format!("{} starts", starts()),
        ),
    );
}

/// The daemon's parent reports success before any worker was started.
#[test]
fn b17_daemonize_reports_success_at_once() {
    let scene = Scene::new();
    scene.build("die_after=0");
    let limit = pick("attempts", "", "--attempts=1");
    let mut supervisor = scene.start(format!("--interval=2 --daemonize --log-file=log {limit}"));
    let code = supervisor.exit_code();
    judge(
        "B17",
        &Outcome::bug_if(
            code == 0,
            "success, and no worker runs",
            format!("exit code {code}"),
        ),
    );
}

/// A service that never came up never fails.
#[test]
fn b17_a_first_start_that_fails_never_ends() {
    let scene = Scene::new();
    scene.build("die_after=0");
    let limit = pick("attempts", "", "--attempts=2");
    let mut supervisor = scene.start(format!("--interval=2 {limit}"));
    scene.await_event(2, "exit");
    let ended = happens_within(Duration::from_secs(3), || !supervisor.running());
    judge(
        "B17",
        &Outcome::bug_if(!ended, "it tries for ever", "it gave up"),
    );
}
