//! The end: nothing that was begun is cut, nothing is left.

use std::time::{Duration, Instant};

use crate::app::{App, SOON};
use crate::support::held::Held;
use crate::support::wait;

/// Both, or the next request would start the service again.
const STOP: [&str; 4] = ["systemctl", "stop", "app.socket", "app.service"];

fn assert_clean_end(app: &App) {
    assert_eq!(app.property("ActiveState"), "inactive");
    assert_eq!(app.property("Result"), "success");
    assert_eq!(app.property("ExecMainStatus"), "0");
    assert_eq!(app.processes(), 0, "the cgroup is empty");
    assert!(
        !app.rig.path("/run/sd-starter/app").exists(),
        "its runtime directory is gone"
    );
}

#[test]
fn a_stop_waits_for_the_request_in_flight() {
    let Some(app) = App::started("") else { return };
    let mut gate = app.rig.gate("stop");
    let held = Held::take(&app.target(), &gate).expect("a request to be held");

    let stop = app.rig.spawn(&STOP);
    wait::for_value("the service", SOON, "deactivating", || {
        app.property("ActiveState")
    });
    assert!(!stop.is_done(), "a request is in flight");
    gate.open();

    assert_eq!(held.finish().expect("its answer, whole"), 1);
    let stop = stop.wait(SOON);
    assert!(stop.status.success(), "systemctl stop: {stop}");
    assert_clean_end(&app);
}

#[test]
fn a_stop_waits_for_every_generation_that_drains() {
    let Some(app) = App::started("") else { return };
    let (mut gate, mut requests) = (app.rig.gate("stop"), Vec::new());
    for _ in 0..3 {
        requests.push(Held::take(&app.target(), &gate).expect("a request to be held"));
        app.reload_well();
    }
    let stop = app.rig.spawn(&STOP);
    wait::for_value("the service", SOON, "deactivating", || {
        app.property("ActiveState")
    });
    gate.open();
    for request in requests {
        request.finish().expect("its answer, whole");
    }
    let stop = stop.wait(SOON);
    assert!(stop.status.success(), "systemctl stop: {stop}");
    assert_clean_end(&app);
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_at_the_stop_timeout() {
    // Believed any sooner, it might not ignore the signal yet.
    let Some(app) = App::new("--ready notify --stop-timeout 1") else {
        return;
    };
    app.deploy("--ready --ignore-term");
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);

    let started = Instant::now();
    app.rig.ok(&STOP);
    let took = started.elapsed();

    assert!(
        took >= Duration::from_secs(1),
        "killed too early, after {took:?}"
    );
    assert!(
        took < Duration::from_secs(10),
        "killed by somebody else, after {took:?}"
    );
    let journal = app.journal();
    assert!(
        journal.contains("--stop-timeout (1 s) has passed"),
        "it is reported:\n{journal}"
    );
    assert_eq!(app.processes(), 0, "the cgroup is empty");
    assert_eq!(app.property("Result"), "success", "we did our part cleanly");
}
