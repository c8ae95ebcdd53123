//! Crashes and upgrades in place one after the other, in units of every kind.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::app::{App, SOON};
use crate::support::builds::{self, VERSION, other_version};
use crate::support::load::Load;
use crate::support::programs;
use crate::support::wait;
use crate::survival_crash::{
    PLAN, assert_nothing_left, main_pid, start, times, wait_for_restart, workers,
};

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

/// Puts the other build in place and has it take over; the two change places.
fn upgrade(app: &App, versions: &mut (String, String)) {
    let (from, to) = versions.clone();
    builds::install(&to, &app.rig.path("/usr/bin/sd-starter"));
    let said = app.rig.ok(&["starterctl", "upgrade", "app"]);
    let expected = format!("version {to} has taken over from {from}");
    assert_eq!(said.trim_end(), expected);
    *versions = (to, from);
}

fn versions() -> (String, String) {
    (VERSION.to_owned(), other_version())
}

/// Descriptors of the supervisor, and what it has of memory for itself alone, in KiB.
fn sizes(app: &App) -> (usize, u64) {
    let process = Path::new("/proc").join(main_pid(app).to_string());
    let descriptors = std::fs::read_dir(process.join("fd")).expect("it lives");
    let status = std::fs::read_to_string(process.join("status")).expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let memory = number.and_then(|number| number.parse().ok());
    (descriptors.count(), memory.expect("a number of KiB"))
}

/// Descriptors of the supervisor, and how many systemd keeps, while nobody is connected.
fn settled(app: &App) -> (usize, String) {
    let count = || (sizes(app).0, app.property("NFileDescriptorStore"));
    (0..5).map(|_| count()).min().expect("five of them")
}

#[test]
fn upgrades_and_crashes_by_turns_leave_nothing() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    let mut versions = versions();
    let few = settled(&app);
    let mut after_first = None;
    let count = times(4, 20);
    for round in 1..=count {
        load.lap();
        load.wait_for_answers(10, SOON);
        // One that is held over all of it.
        let mut gate = app.rig.gate(&format!("mixed.{round}"));
        let held = load.hold(&gate);
        // Of a worker that is a child, in the first round, and of one that is none any more.
        upgrade(&app, &mut versions);
        send(main_pid(&app), Signal::SIGKILL);
        wait_for_restart(&app, round);
        upgrade(&app, &mut versions);
        let generation = u64::from(round);
        assert_eq!(workers(&app), [(generation, "serving".to_owned())]);
        app.reload_well();
        gate.open();
        load.finish(held);
        // Whoever is gone is missed a moment later.
        wait::for_value(
            "the workers",
            SOON,
            vec![(generation + 1, "serving".to_owned())],
            || workers(&app),
        );
        app.wait_until_drained();
        // A connection of ours that is closed is noticed a little later.
        let now = || (sizes(&app).0, app.property("NFileDescriptorStore"));
        wait::until("no more descriptors, here and stored", SOON, || {
            now() <= few.clone()
        });
        let memory = sizes(&app).1;
        let before = *after_first.get_or_insert(memory);
        assert!(
            memory < before + 512,
            "{memory} KiB in round {round}, {before} in the first"
        );
    }
    println!("{count} rounds; KiB after the first: {after_first:?}");
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    // Stopped by one that has come by a crash and an upgrade.
    upgrade(&app, &mut versions);
    send(main_pid(&app), Signal::SIGKILL);
    wait_for_restart(&app, count + 1);
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_nothing_left(&app);
}

#[test]
fn who_is_no_child_any_more_is_missed_after_an_upgrade_too() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    send(main_pid(&app), Signal::SIGKILL);
    wait_for_restart(&app, 1);
    upgrade(&app, &mut versions());
    let supervisor = main_pid(&app);
    let list = app
        .rig
        .path("/sys/fs/cgroup/system.slice/app.service/cgroup.procs");
    let pids = std::fs::read_to_string(list).expect("the service runs");
    let pids = pids.lines().map(|pid| pid.parse().expect("a number"));
    let worker: Vec<i32> = pids.filter(|pid| *pid != supervisor).collect();
    assert_eq!(worker.len(), 1);
    send(worker[0], Signal::SIGKILL);
    wait::until("the next one", SOON, || {
        workers(&app) == [(2, "serving".to_owned())]
    });
    let journal = app.journal();
    let missed = "died: gone, with a status that nobody can know any more";
    assert!(journal.contains(missed), "{journal}");
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn an_abort_is_no_more_than_a_kill_9() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    // What a panic of a release build ends in, what systemd's watchdog sends; and what a program that has
    // gone astray gets.
    for (crashes, signal) in (1..).zip([Signal::SIGABRT, Signal::SIGILL, Signal::SIGTRAP]) {
        load.lap();
        load.wait_for_answers(10, SOON);
        send(main_pid(&app), signal);
        wait_for_restart(&app, crashes);
        assert_eq!(workers(&app), [(1, "serving".to_owned())], "{signal}");
    }
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_nothing_left(&app);
}

#[test]
fn a_supervisor_that_hangs_is_aborted_and_its_workers_taken_back() {
    // Long enough that one is not aborted which only waits for a processor.
    let Some(app) = start("--ready notify", "WatchdogSec=5\n") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    load.wait_for_answers(10, SOON);
    send(main_pid(&app), Signal::SIGSTOP);
    wait_for_restart(&app, 1);
    assert_eq!(workers(&app), [(1, "serving".to_owned())]);
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn with_a_cgroup_for_each_generation_it_is_the_same() {
    let delegate = std::fs::read_to_string("systemd/delegate.conf").expect("we ship it");
    let Some(app) = start("--ready notify --drain-timeout 60", &delegate) else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    for crashes in 1..=times(3, 20) {
        load.lap();
        load.wait_for_answers(10, SOON);
        let mut gate = app.rig.gate(&format!("delegate.{crashes}"));
        let held = load.hold(&gate);
        app.reload_well();
        app.signal("KILL");
        wait_for_restart(&app, crashes);
        let generation = u64::from(crashes);
        let expected = [(generation, "draining"), (generation + 1, "serving")];
        let expected = expected.map(|(number, state)| (number, state.to_owned()));
        assert_eq!(workers(&app), expected);
        gate.open();
        load.finish(held);
        wait::until("the drain", SOON, || workers(&app) == expected[1..]);
    }
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    let journal = app.journal();
    assert!(!journal.contains("left over"), "{journal}");
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn an_odd_name_is_cleaned_up_after_too() {
    let Some(app) = App::new("") else { return };
    let name = r"odd\x2dname.service";
    let unit = app.rig.read("/etc/systemd/system/app.service");
    let unit = unit.replace("Requires=app.socket\n", "");
    app.rig
        .write(&format!("/etc/systemd/system/{name}"), &unit, 0o644);
    let shipped = std::fs::read_to_string("systemd/crash-adoption.conf").expect("we ship it");
    let command = "/usr/bin/sd-starter --port 8082 --ready notify -- /usr/bin/hello --ready";
    // systemd 257 cannot start a service whose RuntimeDirectory= has a backslash in it (README).
    let more = format!(
        "RestartSec=30\nRuntimeDirectory=\nRuntimeDirectory=sd-starter/odd\n\
         ExecStart=\nExecStart={command}\n"
    );
    app.rig.drop_in(name, &format!("{shipped}{more}"));
    app.rig.ok(&["systemctl", "start", name]);
    let main = app.rig.property(name, "MainPID");
    app.rig.ok(&["kill", "-s", "KILL", &main]);
    wait::for_value("the end", SOON, "auto-restart", || {
        app.rig.property(name, "SubState")
    });
    app.rig.tcp(8082).get("/").expect("the worker goes on");
    app.rig.ok(&["systemctl", "stop", name]);
    let left = || app.rig.run(&["pgrep", "--full", "hello|sd-starter"]).stdout;
    wait::for_value("who is left", SOON, "", left);
}

#[test]
fn what_workers_have_stored_outlives_a_crash() {
    let Some(app) = App::new("") else { return };
    let heir = std::fs::read(programs::example("heir")).expect("it was found");
    builds::install_bytes(&heir, &app.rig.path("/usr/bin/heir"));
    app.exec_start("/usr/bin/sd-starter --fd-store-max 4 --ready notify -- /usr/bin/heir");
    let shipped = std::fs::read_to_string("systemd/crash-adoption.conf").expect("we ship it");
    app.rig.drop_in("app.service", &shipped);
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);
    for generation in 1..=4_u32 {
        let answer = app.target().get("/").expect("an answer");
        let earlier: Vec<_> = (1..generation).map(|number| number.to_string()).collect();
        let expected = format!("inherited: {}\n", earlier.join(","));
        assert_eq!(answer.body, expected, "generation {generation}");
        send(main_pid(&app), Signal::SIGKILL);
        wait_for_restart(&app, generation);
        app.reload_well();
        app.wait_until_drained();
    }
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn another_command_line_after_a_crash_takes_the_workers_back_and_says_what_they_lack() {
    let Some(app) = start("--ready notify --port 8082 --port 8083", "") else {
        return;
    };
    let answers = |port: u16| app.rig.tcp(port).get("/").is_ok();
    assert!(answers(8080) && answers(8082) && answers(8083));
    app.exec_start(
        "/usr/bin/sd-starter --ready notify --port 8082 --port 8084 --dir /srv/app/current -- \
         ./hello --deploy /srv/app/deploy",
    );
    send(main_pid(&app), Signal::SIGKILL);
    wait_for_restart(&app, 1);
    assert_eq!(workers(&app), [(1, "serving".to_owned())]);
    assert!(answers(8080) && answers(8082) && answers(8083));
    let journal = app.journal();
    assert!(
        journal.contains("generation 1 does not have 8084,"),
        "{journal}"
    );
    app.reload_well();
    app.wait_until_drained();
    assert!(answers(8080) && answers(8082) && answers(8084) && !answers(8083));
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}
