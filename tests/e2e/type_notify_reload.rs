//! `Type=notify-reload`: systemd sends SIGHUP itself, and waits until it hears READY=1 after RELOADING=1.

use crate::app::{App, SOON};
use crate::support::requirement;
use crate::support::wait;

#[test]
fn systemctl_reload_waits_for_the_new_generation() {
    let Some(app) = App::new("--ready notify --start-timeout 5") else {
        return;
    };
    if !requirement::systemd(&app.rig, 253, "before it, there is no Type=notify-reload") {
        return;
    }
    app.rig.drop_in(
        "app.service",
        "[Service]\nType=notify-reload\nExecReload=\n",
    );
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);
    app.deploy("--ready --boot-ms 700 --text v2");
    app.reload_well();
    // It has waited: there is nothing to wait for any more.
    let status = app.rig.ok(&["starterctl", "status", "app", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["serving"], 2);
    app.wait_for_version("v2");
    let journal = app.journal();
    assert!(journal.contains("reload asked for by HUP"), "{journal}");

    // A signal has no answer: systemd takes it for done, and the status says how it went.
    app.deploy("--exit-at-start 3");
    app.reload_well();
    wait::until("the verdict", SOON, || {
        app.property("StatusText").contains("generation 3 failed")
    });
    assert_eq!(app.property("ActiveState"), "active");
    app.wait_for_version("v2");
}
