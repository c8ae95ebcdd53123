//! A deploy that cannot work: the reload says so, and why, and the old generation goes on serving.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::app::App;
use crate::support::builds;
use crate::support::load::{Load, Plan};

/// How a bad deploy is made, and what must be said about it, word by word; TIME stands for a time.
struct BadDeploy {
    make: fn(&App),
    reason: &'static str,
}

/// The worker must say that it is ready, and has two seconds to do so.
const OPTIONS: &str = "--ready notify --start-timeout 2";

fn tell(bad: &BadDeploy) {
    let Some(app) = App::started(OPTIONS) else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    load.wait_for_answers(100, crate::app::SOON);
    load.lap().assert_only_generation(1);

    (bad.make)(&app);
    let reload = app.reload();

    assert!(
        !reload.status.success(),
        "systemctl reload must fail: {reload}"
    );
    assert_eq!(
        app.rig.ok(&["systemctl", "is-active", "app"]).trim(),
        "active"
    );
    assert_eq!(app.property("ReloadResult"), "exit-code");
    assert_eq!(app.property("Result"), "success");
    assert_eq!(app.property("NRestarts"), "0");
    says(2, "StatusText", &app.property("StatusText"), bad.reason);
    let unit = "_SYSTEMD_UNIT=app.service";
    // Each ends up there by itself: our own lines, and the stderr of ExecReload's starterctl (which has
    // gone when the journal looks for its name, so that has no _COMM).
    says(
        2,
        "the journal",
        &app.rig.journal(&[unit, "_COMM=sd-starter"]),
        bad.reason,
    );
    let starterctl = app.rig.journal(&[unit, "SYSLOG_IDENTIFIER=starterctl"]);
    says(2, "the journal of starterctl", &starterctl, bad.reason);

    let direct = app.rig.run(&["starterctl", "reload", "app"]);
    assert_eq!(direct.status.code(), Some(1), "starterctl reload: {direct}");
    says(3, "stderr of starterctl", &direct.stderr, bad.reason);
    assert_eq!(
        direct.stderr.trim_end().lines().count(),
        1,
        "one line: {direct}"
    );
    load.wait_for_answers(100, crate::app::SOON);
    let during = load.lap();
    println!("during two bad reloads\n{during}");
    during.assert_only_generation(1);

    app.deploy("--ready --text mended");
    app.link("good");
    app.reload_well();
    app.wait_for_version("mended");
    assert_eq!(app.property("ReloadResult"), "success");
    load.stop().assert_no_failures();
}

/// That `text` has "generation N failed: REASON; generation 1 keeps serving" in one of its lines.
#[track_caller]
fn says(generation: u64, what: &str, text: &str, reason: &str) {
    let (head, tail) = reason.split_once("TIME").unwrap_or((reason, ""));
    let head = format!("generation {generation} failed: {head}");
    let tail = format!("{tail}; generation 1 keeps serving");
    let said = text.lines().any(|line| {
        let Some((_, rest)) = line.split_once(&head) else {
            return false;
        };
        let Some((time, _)) = rest.split_once(&tail) else {
            return false;
        };
        let (number, unit) = time.split_once(' ').unwrap_or_default();
        match reason.contains("TIME") {
            true => number.parse::<f64>().is_ok() && ["ms", "s"].contains(&unit),
            false => time.is_empty(),
        }
    });
    assert!(said, "{what} must say {head:?}, {tail:?}: {text}");
}

#[test]
fn exits_at_once() {
    let make = |app: &App| app.deploy("--exit-at-start 7");
    tell(&BadDeploy {
        make,
        reason: "exited with status 7 after TIME, before it was ready",
    });
}

#[test]
fn exits_after_300_ms() {
    let make = |app: &App| app.deploy("--never-ready --exit-after-ms 300:9");
    tell(&BadDeploy {
        make,
        reason: "exited with status 9 after TIME, before it was ready",
    });
}

#[test]
fn is_never_ready() {
    let make = |app: &App| app.deploy("--never-ready");
    tell(&BadDeploy {
        make,
        reason: "not ready after 2 s",
    });
}

#[test]
fn program_is_missing() {
    let make = |app: &App| {
        app.release("empty", "README", |path| {
            std::fs::write(path, "no program here").expect("a file");
        });
        app.link("empty");
    };
    tell(&BadDeploy {
        make,
        reason: "executing ./hello: No such file or directory",
    });
}

#[test]
fn directory_is_missing() {
    let make = |app: &App| app.link("nowhere");
    tell(&BadDeploy {
        make,
        reason: "changing directory to /srv/app/current: No such file or directory",
    });
}

#[test]
fn permission_is_denied() {
    let make = |app: &App| {
        app.release("locked", "hello", |path| {
            std::fs::write(path, "#!/bin/sh\n").expect("a file");
            std::fs::set_permissions(path, Permissions::from_mode(0o644)).expect("our file");
        });
        app.link("locked");
    };
    tell(&BadDeploy {
        make,
        reason: "executing ./hello: Permission denied",
    });
}

#[test]
fn dies_by_a_signal() {
    let make = |app: &App| {
        app.release("dying", "hello", |path| {
            builds::install_bytes(b"#!/bin/sh\nkill -KILL $$\n", path);
        });
        app.link("dying");
    };
    tell(&BadDeploy {
        make,
        reason: "killed by signal KILL after TIME, before it was ready",
    });
}
