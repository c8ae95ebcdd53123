//! `starterctl`, whoever calls it.

use serde_json::Value;

use crate::app::{App, SOON};
use crate::support::held::Held;
use crate::support::wait;

#[test]
fn a_reload_can_depend_on_who_serves() {
    let Some(app) = App::started("") else { return };
    let reload = |generation: &str| {
        let command = ["starterctl", "reload", "--if-generation", generation, "app"];
        app.rig.run(&command)
    };
    let refused = reload("7");
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert_eq!(
        refused.stderr.trim_end(),
        "starterctl: generation 1 serves, not the one named; nothing was done"
    );
    let done = reload("1");
    assert_eq!(done.status.code(), Some(0), "{done}");
    assert_eq!(done.stdout.trim_end(), "generation 2 serves");
    assert_eq!(reload("1").status.code(), Some(1), "not once more");
    assert!(!app.journal().contains("starting generation 3"));
}

#[test]
fn root_and_the_services_own_user_are_served_and_nobody_else() {
    let Some(app) = App::started("") else { return };
    let socket = "/run/sd-starter/app/control";
    let owner = app.rig.ok(&["stat", "--format=%u", socket]);
    let owner = owner.trim_end();
    assert_ne!(owner, "0", "DynamicUser=");
    let reload_as = |user: &str| {
        let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
        let become_user = ["setpriv", &user, &group, "--clear-groups"];
        let reload = ["starterctl", "reload", "app"];
        app.rig.run(&[&become_user[..], &reload].concat())
    };
    let refused = reload_as("65534");
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert_eq!(
        refused.stderr.trim_end(),
        format!(
            "starterctl: permission denied at {socket}: only root and the service's own user may ask"
        )
    );
    assert!(!app.journal().contains("reload asked for"));
    assert_eq!(reload_as(owner).stdout.trim_end(), "generation 2 serves");
    assert_eq!(reload_as("0").stdout.trim_end(), "generation 3 serves");
    // Whatever the file's mode: the supervisor looks at who it is.
    app.rig.ok(&["chmod", "0666", socket]);
    let refused = reload_as("65534");
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert_eq!(
        refused.stderr.trim_end(),
        "starterctl: permission denied: only root and the service's own user may ask"
    );
}

#[test]
fn it_lists_waits_and_stops() {
    let Some(app) = App::started("") else { return };
    let starterctl = |arguments: &[&str]| app.rig.run(&[&["starterctl"], arguments].concat());
    let list = || starterctl(&["list"]).stdout;
    let lines = list();
    let words: Vec<_> = lines
        .lines()
        .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>())
        .collect();
    let expected = [["NAME", "STATE", "GENERATION"], ["app", "serving", "1"]];
    assert_eq!(words, expected, "{lines}");
    let json: Value = serde_json::from_str(&starterctl(&["list", "--json"]).stdout).expect("JSON");
    assert_eq!(json["app"]["serving"], 1, "{json:#}");

    assert_eq!(
        starterctl(&["wait", "--serving", "app"]).status.code(),
        Some(0)
    );
    let late = starterctl(&["wait", "--generation", "9", "--timeout", "0.2", "app"]);
    assert_eq!(late.status.code(), Some(4), "{late}");
    let mut gate = app.rig.gate("closed");
    let held = Held::take(&app.target(), &gate).expect("a request to be held");
    let second = app
        .rig
        .spawn(&["starterctl", "wait", "--generation", "2", "app"]);
    app.reload_well();
    assert_eq!(second.wait(SOON).status.code(), Some(0), "it serves");
    let drained = app.rig.spawn(&["starterctl", "wait", "--drained", "app"]);
    let early = starterctl(&["wait", "--drained", "--timeout", "0.2", "app"]);
    assert_eq!(early.status.code(), Some(4), "{early}");
    assert!(!drained.is_done(), "a request is held");
    gate.open();
    held.finish().expect("its answer");
    assert_eq!(drained.wait(SOON).status.code(), Some(0));

    // systemd would start it again.
    app.rig.drop_in("app.service", "[Service]\nRestart=no\n");
    app.rig.ok(&["systemctl", "stop", "app.socket"]);
    wait::for_value("the service", SOON, "inactive", || {
        app.property("ActiveState")
    });
    app.rig.ok(&["systemctl", "start", "app.service"]);
    let never = app
        .rig
        .spawn(&["starterctl", "wait", "--generation", "9", "app"]);
    wait::until("the list", SOON, || list().contains("\napp   serving  1 "));
    let stopped = starterctl(&["stop", "app"]);
    assert_eq!(stopped.status.code(), Some(0), "{stopped}");
    assert_eq!(stopped.stdout.trim_end(), "stopped");
    let never = never.wait(SOON);
    assert_eq!(never.status.code(), Some(3), "{never}");
    wait::for_value("the service", SOON, "inactive", || {
        app.property("ActiveState")
    });
    assert_eq!(app.property("Result"), "success");
    assert_eq!(list(), "", "nobody is left");
    let gone = starterctl(&["status", "app"]);
    assert_eq!(gone.status.code(), Some(3), "{gone}");
}
