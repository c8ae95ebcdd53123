//! A stop or a restart that comes while something else is under way: the unit ends as it should.

use std::thread;
use std::time::Duration;

use crate::app::{App, SOON};
use crate::support::wait;

/// Both, or the next request would start the service again.
const STOP: [&str; 4] = ["systemctl", "stop", "app.socket", "app.service"];
/// A worker that boots for longer than any of these stories lasts.
const SLOW: &str = "--ready --boot-ms 3000 --text slow";
const FAST: &str = "--ready --text fast";
/// How many moments are tried.
const MOMENTS: u32 = 10;
/// How far apart they are.
const STEP: Duration = Duration::from_millis(12);

#[track_caller]
fn assert_inactive(app: &App, when: &str) {
    assert_eq!(app.property("ActiveState"), "inactive", "{when}");
    assert_eq!(app.property("Result"), "success", "{when}");
    assert_eq!(app.processes(), 0, "{when}: the cgroup is empty");
}

/// A moment is no condition: that it is any moment is what these stories are about.
fn let_pass(moment: u32) {
    thread::sleep(STEP * moment);
}

#[test]
fn a_stop_during_a_reload_ends_inactive_at_whatever_moment() {
    let Some(app) = App::new("--ready notify") else {
        return;
    };
    for moment in 0..MOMENTS {
        app.deploy(FAST);
        app.rig.ok(&["systemctl", "start", "app.service"]);
        app.deploy(SLOW);
        let reload = app.rig.spawn(&["systemctl", "reload", "app"]);
        wait::for_value("the service", SOON, "reloading", || {
            app.property("ActiveState")
        });
        let_pass(moment);
        app.rig.ok(&STOP);
        assert_inactive(&app, &format!("stopped {:?} later", STEP * moment));
        // Cancelled, says systemctl; what matters is that it does not wait for ever.
        reload.wait(SOON);
    }
    let journal = app.rig.journal(&["_PID=1", "UNIT=app.service"]);
    assert!(!journal.contains("Failed with result"), "{journal}");
}

#[test]
fn a_stop_during_the_first_start_ends_inactive() {
    let Some(app) = App::new("--ready notify") else {
        return;
    };
    app.deploy(SLOW);
    for moment in 0..MOMENTS {
        app.rig
            .ok(&["systemctl", "start", "--no-block", "app.service"]);
        wait::for_value("the service", SOON, "activating", || {
            app.property("ActiveState")
        });
        let_pass(moment);
        app.rig.ok(&STOP);
        assert_inactive(&app, &format!("stopped {:?} later", STEP * moment));
    }
    let journal = app.rig.journal(&["_PID=1", "UNIT=app.service"]);
    assert!(!journal.contains("Failed with result"), "{journal}");
}

#[test]
fn a_restart_during_a_reload_serves_again() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.deploy(SLOW);
    let reload = app.rig.spawn(&["systemctl", "reload", "app"]);
    wait::for_value("the service", SOON, "reloading", || {
        app.property("ActiveState")
    });
    app.deploy(FAST);
    app.rig.ok(&["systemctl", "restart", "app.service"]);
    reload.wait(SOON);
    assert_eq!(app.property("ActiveState"), "active");
    assert_eq!(app.property("Result"), "success");
    assert_eq!(app.property("NRestarts"), "0", "nobody failed");
    let answer = app.target().get("/").expect("an answer");
    assert_eq!(answer.generation().expect("a greeting"), 1, "a new life");
    assert_eq!(answer.version().expect("a greeting"), "fast");
}

#[test]
fn a_stop_that_goes_to_the_whole_group_is_no_death() {
    let Some(app) = App::new("--ready notify") else {
        return;
    };
    app.rig
        .drop_in("app.service", "[Service]\nKillMode=control-group\n");
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);
    for _ in 0..MOMENTS {
        app.rig.ok(&["systemctl", "restart", "app.service"]);
    }
    app.rig.ok(&STOP);
    assert_inactive(&app, "after the last");
    let journal = app.journal();
    assert_eq!(
        journal.matches("is ready after").count(),
        11,
        "one generation for each life:\n{journal}"
    );
    assert!(!journal.contains("died"), "{journal}");
    assert!(!journal.contains("starting another one"), "{journal}");
}
