//! systemd's timers do not end what we wait for with good reason: EXTEND_TIMEOUT_USEC is renewed
//! whenever another of them begins to run.

use std::time::{Duration, Instant};

use crate::app::{App, SOON};
use crate::support::held::Held;
use crate::support::wait;

#[test]
fn a_stop_during_a_swap_outlasts_timeout_stop_sec() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.rig
        .drop_in("app.service", "[Service]\nTimeoutStopSec=3\n");
    let mut gate = app.rig.gate("stop");
    let held = Held::take(&app.target(), &gate).expect("a request to be held");
    app.deploy("--ready --boot-ms 5000 --text slow");
    let reload = app.rig.spawn(&["systemctl", "reload", "app"]);
    wait::for_value("the service", SOON, "reloading", || {
        app.property("ActiveState")
    });

    let stop = app
        .rig
        .spawn(&["systemctl", "stop", "app.socket", "app.service"]);
    wait::for_value("the service", SOON, "deactivating", || {
        app.property("ActiveState")
    });
    let told = Instant::now();
    wait::until("what systemd would wait", SOON, || {
        assert!(!stop.is_done(), "a request is in flight");
        told.elapsed() > TIMEOUT + TIMEOUT / 3
    });
    gate.open();

    assert_eq!(held.finish().expect("its answer, whole"), 1);
    let stop = stop.wait(SOON);
    assert!(stop.status.success(), "systemctl stop: {stop}");
    reload.wait(SOON);
    assert_eq!(app.property("ActiveState"), "inactive");
    assert_eq!(app.property("Result"), "success");
    assert_eq!(app.processes(), 0, "the cgroup is empty");
}

#[test]
fn a_reload_behind_a_slow_replacement_outlasts_timeout_start_sec() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.rig
        .drop_in("app.service", "[Service]\nTimeoutStartSec=5\n");
    // Two boots, one after the other, last longer.
    app.deploy("--ready --boot-ms 6000 --text slow");
    let report = app.target().get("/report").expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report.body).expect("JSON");
    let worker = report["pid"].to_string();
    app.rig.ok(&["kill", "-KILL", &worker]);
    wait::until("the replacement", SOON, || {
        app.journal().contains("starting generation 2 ")
    });

    let asked = Instant::now();
    app.reload_well();
    assert!(
        asked.elapsed() > Duration::from_secs(5),
        "this proves nothing, after {:?}",
        asked.elapsed()
    );
    assert_eq!(app.property("ReloadResult"), "success");
    assert_eq!(app.property("ActiveState"), "active");
    app.wait_for_version("slow");
}
