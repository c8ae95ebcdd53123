//! A bare SIGHUP: systemd hears RELOADING, then READY, whatever becomes of the swap.

use crate::app::{App, SOON};
use crate::support::wait;

/// What systemd has heard since `count` messages: the names of the assignments, STATUS left out.
fn heard(app: &App, count: usize) -> Vec<String> {
    let lines = app.rig.journal(&["_PID=1", "UNIT=app.service"]);
    let messages = lines.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Got notification message from PID ")?;
        Some(rest.split_once(' ')?.1.trim_start_matches('('))
    });
    // systemd shows a datagram as "RELOADING=1, MONOTONIC_USEC=5", and did so in parentheses.
    let names = messages
        .filter(|message| !message.starts_with("STATUS="))
        .flat_map(|message| {
            message
                .split(", ")
                .filter_map(|assignment| Some(assignment.split_once('=')?.0))
        });
    // Those two come whenever their time has.
    let names = names.filter(|name| !["EXTEND_TIMEOUT_USEC", "WATCHDOG"].contains(name));
    names.skip(count).map(str::to_owned).collect()
}

/// One SIGHUP to the main pid, up to the READY that ends the reload.
fn hang_up(app: &App) -> Vec<String> {
    let before = heard(app, 0).len();
    app.signal("HUP");
    wait::for_some("READY after SIGHUP", SOON, || {
        let heard = heard(app, before);
        heard
            .last()
            .is_some_and(|name| name == "READY")
            .then_some(heard)
    })
}

#[test]
fn systemd_hears_reloading_then_ready_also_when_the_swap_fails() {
    let Some(app) = App::started("--ready notify --start-timeout 2") else {
        return;
    };
    // At this level systemd says what it was told.
    app.rig.ok(&["systemctl", "log-level", "debug"]);

    app.deploy("--ready --text v2");
    assert_eq!(hang_up(&app), ["RELOADING", "MONOTONIC_USEC", "READY"]);
    wait::for_value("the state", SOON, "active", || app.property("ActiveState"));
    app.wait_for_version("v2");

    app.deploy("--exit-at-start 3");
    assert_eq!(hang_up(&app), ["RELOADING", "MONOTONIC_USEC", "READY"]);
    wait::for_value("the state", SOON, "active", || app.property("ActiveState"));
    wait::until("a status that says who serves on, and why", SOON, || {
        let status = app.property("StatusText");
        status.contains("generation 2") && status.contains("exit") && status.contains('3')
    });
    app.wait_for_version("v2");
}

#[test]
fn nothing_is_announced_while_exec_reload_runs() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.rig.ok(&["systemctl", "log-level", "debug"]);
    app.deploy("--ready --boot-ms 3000 --text v2");
    let reload = app.rig.spawn(&["systemctl", "reload", "app"]);
    // Before that we cannot know that ExecReload= runs, and SIGHUP is announced with good reason.
    wait::until("the request of ExecReload=", SOON, || {
        app.journal().contains("reload asked for by ExecReload=")
    });
    app.signal("HUP");
    let reload = reload.wait(SOON);
    assert!(reload.status.success(), "systemctl reload: {reload}");
    wait::until("the swap that SIGHUP asked for", SOON, || {
        app.journal().contains("generation 3 (pid ") && app.processes() == 2
    });
    wait::for_value("the state", SOON, "running", || app.property("SubState"));
    assert_eq!(app.property("ActiveState"), "active");
    app.wait_for_version("v2");

    let journal = app.rig.journal(&["_PID=1", "UNIT=app.service"]);
    let begun = journal.find("Changed running -> reload");
    let begun = begun.unwrap_or_else(|| panic!("no reload in:\n{journal}"));
    let rest = &journal[begun..];
    let ended = rest.find("Control process exited");
    let ended = ended.unwrap_or_else(|| panic!("no end of the reload in:\n{journal}"));
    let said = rest.find("RELOADING=1");
    assert!(
        said.is_none_or(|said| said > ended),
        "RELOADING=1 while ExecReload= ran:\n{rest}"
    );
}
