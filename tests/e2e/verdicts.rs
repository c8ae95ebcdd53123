//! The exit codes of `starterctl reload`: scripts live by them.

use crate::app::{App, SOON};

#[test]
fn each_outcome_has_its_exit_code() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let reload = |arguments: &[&str]| {
        let output = app
            .rig
            .run(&[&["starterctl", "reload"], arguments].concat());
        (output.status.code(), output.stderr)
    };

    assert_eq!(reload(&["app"]).0, Some(0), "the new generation serves");
    assert_eq!(
        reload(&["app.service"]).0,
        Some(0),
        "as systemctl, it takes the unit's name"
    );

    app.deploy("--exit-at-start 3");
    assert_eq!(reload(&["app"]).0, Some(1), "it failed, the old one serves");
    assert_eq!(reload(&["--no-such-option"]).0, Some(2), "usage");

    let (code, why) = reload(&["nobody"]);
    assert_eq!(code, Some(3), "no such instance: {why}");
    assert!(why.contains("nobody"), "{why}");

    app.deploy("--ready --boot-ms 2000 --text late");
    assert_eq!(
        reload(&["--timeout", "0.2", "app"]).0,
        Some(4),
        "no verdict in time"
    );
    // Who asked has given up; the swap has not.
    app.target().get("/").expect("an answer");
    crate::support::wait::until("the late version", SOON, || {
        app.target()
            .get("/")
            .and_then(|answer| answer.version())
            .is_ok_and(|version| version == "late")
    });
}
