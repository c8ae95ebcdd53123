//! The first request starts everything, and `systemctl status` says how things are.

use std::collections::BTreeSet;

use crate::app::{App, SOON};
use crate::support::wait;

#[test]
fn the_first_request_starts_the_service_and_status_says_how_it_is() {
    let Some(app) = App::new("") else { return };
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    assert_eq!(
        app.property("ActiveState"),
        "inactive",
        "nobody has asked yet"
    );

    let answer = app
        .target()
        .get("/")
        .expect("the first request is answered");

    assert_eq!(answer.generation().expect("a greeting"), 1);
    assert_eq!(answer.version().expect("a greeting"), "v1");
    // It may answer before systemd has read that it is ready.
    wait::for_value("the service", SOON, "active", || {
        app.property("ActiveState")
    });
    // And it is ready before it says what it does.
    wait::until("its STATUS", SOON, || {
        app.property("StatusText").contains("serving")
    });
    let status = app.rig.ok(&["systemctl", "status", "app.service"]);
    let sentence = status
        .lines()
        .find_map(|line| line.trim().strip_prefix("Status: "));
    let sentence = sentence.unwrap_or_else(|| panic!("no STATUS in:\n{status}"));
    assert!(
        sentence.contains("serving generation 1 (pid "),
        "{sentence}"
    );
    assert!(sentence.contains("on 1 socket"), "{sentence}");
}

#[test]
fn status_follows_the_swap() {
    let Some(app) = App::started("") else { return };
    app.deploy("--ready --text v2");
    app.reload_well();
    app.wait_for_version("v2");
    let text = app.property("StatusText");
    assert!(text.contains("serving generation 2 (pid "), "{text}");
    // The old one has gone, and we are about to notice and to say so.
    wait::until("a STATUS without anybody draining", SOON, || {
        !app.property("StatusText").contains("draining")
    });
}

#[test]
fn the_watchdog_is_kept_content() {
    let Some(app) = App::new("") else { return };
    // It has half of that to be late in.
    app.rig.drop_in("app.service", "[Service]\nWatchdogSec=5\n");
    app.rig.ok(&["systemctl", "start", "app.service"]);
    let mut heard = BTreeSet::new();
    wait::until("four signs of life", SOON, || {
        heard.insert(app.property("WatchdogTimestampMonotonic"));
        heard.len() >= 4
    });
    assert_eq!(app.property("NRestarts"), "0");
}
