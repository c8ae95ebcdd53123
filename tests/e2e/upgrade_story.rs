//! The supervisor is upgraded under load, again and again, and no client notices.

use std::path::{Path, PathBuf};

use crate::app::{App, SOON};
use crate::support::builds::{self, VERSION, other_version};
use crate::support::load::{Load, Plan};
use crate::support::wait;

/// Where the rig has it.
const PROGRAM: &str = "/usr/bin/sd-starter";

/// In CI, and with SD_STARTER_FULL=1.
fn upgrades() -> u64 {
    match std::env::var_os("SD_STARTER_FULL") {
        Some(_) => 100,
        None => 10,
    }
}

/// Of the supervisor in the rig: `/proc/PID`, as we see it.
fn process(app: &App) -> PathBuf {
    app.rig
        .path(Path::new("/proc").join(app.property("MainPID")))
}

fn descriptors(app: &App) -> usize {
    let list = std::fs::read_dir(process(app).join("fd"));
    list.expect("it lives").count()
}

/// What it has of memory for itself alone, in KiB.
fn memory(app: &App) -> u64 {
    let status = std::fs::read_to_string(process(app).join("status")).expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number of KiB")
}

fn upgrade(app: &App) -> String {
    app.rig.ok(&["starterctl", "upgrade", "app"])
}

#[test]
fn upgrades_of_two_builds_by_turns_under_load_and_no_client_notices() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    let pid = app.property("MainPID");
    let started = app.property("ExecMainStartTimestampMonotonic");
    let program = app.rig.path(PROGRAM);
    let (mut versions, mut before) = ((VERSION.to_owned(), other_version()), None);
    let mut last = 0;
    for count in 1..=upgrades() {
        // Taken by the old generation before the upgrade, answered after the one that follows.
        let mut gate = app.rig.gate(&format!("upgrade.{count}"));
        let held = load.hold(&gate);
        let (from, to) = &versions;
        builds::install(to, &program);
        let said = upgrade(&app);
        assert_eq!(
            said.trim_end(),
            format!("version {to} has taken over from {from}")
        );
        app.reload_well();
        gate.open();
        load.finish(held);
        if count % 5 == 0 {
            app.rig.ok(&["systemctl", "daemon-reload"]);
        }
        if count % 10 == 7 {
            app.rig.ok(&["systemctl", "daemon-reexec"]);
            app.wait_for_systemd();
        }
        app.wait_until_drained();
        let sizes = (descriptors(&app), memory(&app));
        // The first ones may still fill what is kept for good.
        let before = *before.get_or_insert(sizes);
        if count > 2 {
            // A worker that has gone and a connection of ours that is closed are noticed a moment later.
            wait::until("no more descriptors than before", SOON, || {
                descriptors(&app) <= before.0
            });
            assert!(
                sizes.1 < before.1 + 512,
                "{} KiB after {count} upgrades, {} before",
                sizes.1,
                before.1
            );
        }
        versions = (versions.1, versions.0);
        last = count;
    }
    load.wait_for_generation(last + 1, SOON);
    let report = load.stop();
    println!("{last} upgrades by turns, a reload after each\n{report}");
    report.assert_no_failures();
    assert_eq!(app.property("MainPID"), pid, "the same process");
    assert_eq!(app.property("ExecMainStartTimestampMonotonic"), started);
    assert_eq!(app.property("NRestarts"), "0");
    assert_eq!(app.property("ActiveState"), "active");
    let comm = std::fs::read_to_string(process(&app).join("comm")).expect("it lives");
    assert_eq!(comm.trim_end(), "sd-starter", "its name in ps");
    let status = app.rig.ok(&["starterctl", "status", "app", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(
        status["version"], versions.0,
        "the build that was installed last"
    );
    let upgraded = app
        .rig
        .journal(&["MESSAGE_ID=99558c29dff34aa3b6c032129a4b1bc2"]);
    assert_eq!(upgraded.lines().count() as u64, last, "one entry for each");
    let all = app.rig.ok(&["starterctl", "upgrade", "--all"]);
    let name = &versions.0;
    let line = format!("app: version {name} has taken over from {name}");
    assert_eq!(all.trim_end(), line);
    app.rig.ok(&["systemctl", "stop", "app.service"]);
    assert_eq!(app.property("Result"), "success");
    assert_eq!(app.processes(), 0, "it owns its stop as ever");
}

#[test]
fn an_upgrade_inside_a_reload_does_not_disturb_it_whatever_systemd_waits_for() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    let pid = app.property("MainPID");
    for (count, command) in [
        &["systemctl", "reload", "app"][..],
        &["starterctl", "reload", "app"],
        &[
            "sh",
            "-c",
            "kill -s HUP $(systemctl show --property=MainPID --value app)",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let generation = 2 + count as u64;
        app.deploy("--ready --boot-ms 1500 --text slow");
        let reload = app.rig.spawn(command);
        let starting = format!("starting generation {generation} ");
        wait::until("the swap", SOON, || app.journal().contains(&starting));
        upgrade(&app);
        let reload = reload.wait(SOON);
        assert!(reload.status.success(), "{}: {reload}", command.join(" "));
        load.wait_for_generation(generation, SOON);
        wait::for_value("the unit", SOON, "running", || app.property("SubState"));
        app.wait_until_drained();
    }
    // One that fails has its verdict too, from the supervisor that took over.
    app.deploy("--never-ready --exit-after-ms 1500:3");
    let reload = app.rig.spawn(&["systemctl", "reload", "app"]);
    wait::until("the swap", SOON, || {
        app.journal().contains("starting generation 5 ")
    });
    upgrade(&app);
    assert!(!reload.wait(SOON).status.success(), "a bad deploy");
    let journal = app.journal();
    let verdict = "generation 5 failed: exited with status 3";
    assert!(journal.contains(verdict), "{journal}");
    let report = load.stop();
    println!("an upgrade inside each of four reloads\n{report}");
    report.assert_no_failures();
    assert_eq!(app.property("MainPID"), pid);
    assert_eq!(app.property("ActiveState"), "active");
}

#[test]
fn a_supervisor_that_is_killed_around_its_exec_comes_back() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.rig
        .drop_in("app.service", "[Service]\nRestartSec=0.2\n");
    for delay in [0, 2, 5, 10, 20, 40] {
        let pid = app.property("MainPID");
        let asked = app.rig.spawn(&["starterctl", "upgrade", "app"]);
        // Not a wait for anything: each time another moment of the upgrade.
        std::thread::sleep(std::time::Duration::from_millis(delay));
        app.rig.ok(&["kill", "-KILL", &pid]);
        let _ = asked.wait(SOON);
        wait::until("another supervisor that serves", SOON, || {
            app.property("MainPID") != pid && app.property("SubState") == "running"
        });
        let answer = app.target().get("/").and_then(|answer| answer.version());
        assert_eq!(answer.expect("an answer"), "v1");
        app.wait_until_drained();
    }
    app.reload_well();
}

#[test]
fn a_program_that_cannot_take_over_is_refused_under_load_and_no_client_notices() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    let pid = app.property("MainPID");
    let program = app.rig.path(PROGRAM);
    let refused = |reason: &str| {
        let output = app.rig.run(&["starterctl", "upgrade", "app"]);
        assert!(!output.status.success(), "{output}");
        assert!(output.stderr.contains(reason), "{reason}: {output}");
        assert_eq!(app.property("MainPID"), pid);
        assert_eq!(app.property("ActiveState"), "active");
        // Nobody is left of the trial.
        app.wait_until_drained();
    };
    // e_machine of elf(5): no machine has this one.
    let mut foreign = std::fs::read(&program).expect("it is there");
    foreign[18..20].copy_from_slice(&[0xfe, 0xca]);
    for (build, reason) in [
        (
            &b"#!/bin/sh\nkill -SEGV $$\n"[..],
            "was killed by signal 11",
        ),
        (b"#!/bin/sh\nsleep 600\n", "did not answer within 10 s"),
        (&foreign, "Exec format error"),
    ] {
        builds::install_bytes(build, &program);
        refused(reason);
    }
    std::fs::remove_file(&program).expect("it was there");
    refused("No such file or directory");
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    assert_eq!(report.generations.keys().copied().collect::<Vec<_>>(), [1]);
}
