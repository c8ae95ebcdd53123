//! The drop-in crash-adoption.conf: workers outlive the supervisor, and its successor takes them back.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use sd_starter::shell::ledger::Ledger;
use serde_json::Value;

use crate::app::{App, SOON};
use crate::support::load::{Load, Plan};
use crate::support::{requirement, wait};
use crate::survival_steps;

/// Everything at once: requests that are answered at once, and some that are held.
pub(crate) const PLAN: Plan = Plan {
    new_per_second: 100,
    keep_alive: 4,
    keep_alive_pause: Duration::from_millis(5),
};

/// How often something is done: a few times in CI, and as often as the issue asks for in full.
pub(crate) fn times(few: u32, full: u32) -> u32 {
    match std::env::var_os("SD_STARTER_FULL") {
        Some(_) => full,
        None => few,
    }
}

/// Whether this systemd starts a service again whose main process was killed during a reload that
/// RELOADING=1 had announced. 247 does not, but stays "reloading".
pub(crate) fn restarts_during_a_reload(app: &App) -> bool {
    let why = "before it, who dies during a reload is not started again at once";
    requirement::systemd(&app.rig, 252, why)
}

/// The app with the drop-in, started.
pub(crate) fn start(options: &str, more: &str) -> Option<App> {
    let app = App::new(options)?;
    let shipped = std::fs::read_to_string("systemd/crash-adoption.conf").expect("we ship it");
    app.rig.drop_in("app.service", &format!("{shipped}{more}"));
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);
    Some(app)
}

/// The supervisor's pid as we see it, so that it can be killed at a moment of our own.
pub(crate) fn main_pid(app: &App) -> i32 {
    let list = app
        .rig
        .path("/sys/fs/cgroup/system.slice/app.service/cgroup.procs");
    let pids = std::fs::read_to_string(list).expect("the service runs");
    // A worker has that name, too, before it is executed; but its parent is the supervisor.
    let child = format!(" {} ", app.rig.leader());
    let is_it = |pid: &&str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // proc(5): PID (NAME) STATE PPID
        let named = stat.split_once(" (sd-starter) ");
        named.is_some_and(|(_, rest)| rest[1..].starts_with(&child))
    };
    let pid = pids.lines().find(is_it).expect("a supervisor");
    pid.parse().expect("a number")
}

pub(crate) fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
}

pub(crate) fn wait_for_restart(app: &App, count: u32) {
    wait::for_value("the restarts", SOON, count.to_string(), || {
        app.property("NRestarts")
    });
    wait::for_value("the service", SOON, "active", || {
        app.property("ActiveState")
    });
}

fn status(app: &App) -> Value {
    let status = app.rig.ok(&["starterctl", "status", "--json", "app"]);
    serde_json::from_str(&status).expect("JSON")
}

/// GENERATION and state of every worker.
pub(crate) fn workers(app: &App) -> Vec<(u64, String)> {
    let status = status(app);
    let workers = status["workers"].as_array().expect("workers").iter();
    let of = |worker: &Value| {
        let state = worker["state"].as_str().expect("a state").to_owned();
        (worker["generation"].as_u64().expect("a number"), state)
    };
    workers.map(of).collect()
}

fn is(generation: u64, state: &str) -> (u64, String) {
    (generation, state.to_owned())
}

/// Nobody of the service is left, anywhere.
#[track_caller]
pub(crate) fn assert_nothing_left(app: &App) {
    wait::for_value("the processes of the service", SOON, 0, || app.processes());
    // Pid 1 takes its time with the zombies of those whose parent has died.
    wait::for_value("who is left", SOON, String::new(), || {
        let left = app.rig.run(&["pgrep", "--list-full", "hello|sd-starter"]);
        left.stdout
    });
    assert_eq!(app.property("NFileDescriptorStore"), "0");
    let runtime: PathBuf = app.rig.path("/run/sd-starter/app");
    wait::until("systemd to clear up", SOON, || !runtime.exists());
}

#[test]
fn nobody_notices_kill_9() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    let count = times(10, 100);
    for kills in 1..=count {
        load.lap();
        load.wait_for_answers(20, SOON);
        // One that is held from before the kill until after it.
        let mut gate = app.rig.gate(&format!("gate.{kills}"));
        let held = load.hold(&gate);
        kill(main_pid(&app));
        wait_for_restart(&app, kills);
        gate.open();
        load.finish(held);
        assert_eq!(workers(&app), [is(1, "serving")], "it is the same one");
    }
    load.lap();
    load.wait_for_answers(20, SOON);
    let report = load.stop();
    println!("{count} kills\n{report}");
    report.assert_only_generation(1);
    // It leads them as before.
    app.reload_well();
    app.wait_for_version("v1");
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_nothing_left(&app);
}

/// Sends the supervisor to its death, and answers what its successor said of that.
fn crash(app: &App, kills: u32) -> String {
    kill(main_pid(app));
    wait_for_restart(app, kills);
    app.journal()
}

#[test]
fn a_swap_and_a_drain_go_on_under_the_successor() {
    let Some(app) = start("--ready notify --drain-timeout 60", "") else {
        return;
    };
    if !restarts_during_a_reload(&app) {
        return;
    }
    let load = Load::start(&app.target(), PLAN);
    let mut first = app.rig.gate("first");
    let held = load.hold(&first);
    app.reload_well();
    // Generation 2 serves, 1 drains, 3 boots until long after the crash.
    app.deploy("--ready --text v3 --boot-ms 12000");
    let reload = app.rig.spawn(&["starterctl", "reload", "app"]);
    wait::until("generation 3", SOON, || workers(&app).len() == 3);
    wait::until("its boot", SOON, || {
        workers(&app).contains(&is(3, "booting"))
    });
    let before = status(&app);
    let journal = crash(&app, 1);
    // Whoever waited is told, if not the verdict, that there is none.
    assert_eq!(
        reload.wait(SOON).status.code(),
        Some(3),
        "the supervisor is gone"
    );
    assert!(
        journal.contains("taken over from a supervisor that crashed: serving generation 2"),
        "{journal}"
    );
    let after = status(&app);
    for (old, new) in before["workers"]
        .as_array()
        .expect("workers")
        .iter()
        .zip(after["workers"].as_array().expect("workers"))
    {
        assert_eq!(old["pid"], new["pid"]);
        assert_eq!(old["generation"], new["generation"]);
    }
    // The drain's deadline is the old one's.
    let deadline = |status: &Value| status["workers"][0]["deadlineUSec"].as_u64();
    assert!(deadline(&after) < deadline(&before), "{after}");
    assert_eq!(workers(&app)[..2], [is(1, "draining"), is(2, "serving")]);
    // What generation 3 says to its notify socket arrives, whoever listens there.
    load.wait_for_generation(3, SOON);
    wait::until("the swap", SOON, || {
        workers(&app) == [is(1, "draining"), is(3, "serving")]
    });
    first.open();
    load.finish(held);
    app.wait_until_drained();
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn who_died_meanwhile_is_missed() {
    let Some(app) = start("--ready notify", "RestartSec=3\n") else {
        return;
    };
    let worker = status(&app)["workers"][0]["pid"].to_string();
    kill(main_pid(&app));
    wait::for_value("the end", SOON, "auto-restart", || app.property("SubState"));
    app.rig.ok(&["kill", "-KILL", &worker]);
    let answer = app.target().get("/").expect("it waits for its answer");
    assert_eq!(answer.generation().expect("a greeting"), 2);
    wait_for_restart(&app, 1);
    // Who answers has said that it is ready; that was perhaps not read yet.
    wait::for_value("who serves", SOON, vec![is(2, "serving")], || workers(&app));
    let journal = app.journal();
    let missed = "died: gone, with a status that nobody can know any more";
    assert!(journal.contains(missed), "{journal}");
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn a_stop_leaves_nothing_also_when_nobody_leads() {
    let Some(app) = start("--ready notify", "RestartSec=30\n") else {
        return;
    };
    kill(main_pid(&app));
    wait::for_value("the end", SOON, "auto-restart", || app.property("SubState"));
    assert_eq!(app.processes(), 1, "the worker goes on");
    app.target().get("/").expect("it answers");
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
    // And again from the beginning; a restart while nobody leads is none of a stop.
    app.rig.ok(&["systemctl", "start", "app"]);
    assert_eq!(workers(&app), [is(1, "serving")]);
    kill(main_pid(&app));
    wait::for_value("the end", SOON, "auto-restart", || app.property("SubState"));
    app.rig.ok(&["systemctl", "restart", "app"]);
    assert_eq!(workers(&app), [is(1, "serving")], "taken back");
    assert_eq!(app.processes(), 2);
    // One that is led ends its generations itself.
    app.rig.ok(&["systemctl", "restart", "app"]);
    assert_eq!(workers(&app), [is(1, "serving")], "a new life");
    assert_eq!(app.processes(), 2);
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn what_a_worker_leaves_behind_goes_with_the_stop() {
    let Some(app) = start("--ready alive --interval 0.2", "") else {
        return;
    };
    app.rig.write(
        "/srv/app/good/hello",
        "#!/bin/sh\n(trap '' TERM HUP; setsid sleep 4321 &)\nexec /usr/bin/hello --ready\n",
        0o755,
    );
    app.reload_well();
    wait::for_value("the helper", SOON, 3, || app.processes());
    let journal = crash(&app, 1);
    assert!(
        !journal.contains("left over"),
        "it belongs to generation 2: {journal}"
    );
    app.rig.ok(&["systemctl", "stop", "app"]);
    let left = app.rig.run(&["pgrep", "--full", "sleep 4321"]);
    assert_eq!(left.stdout, "");
    assert_nothing_left(&app);
}

#[test]
fn without_a_state_it_begins_anew_and_ends_the_rest() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    for (kills, garbage) in (1..).zip([&b""[..], b"garbage", &[1; 4096]]) {
        load.lap();
        load.wait_for_answers(20, SOON);
        let mut gate = app.rig.gate(&format!("gate.{kills}"));
        let held = load.hold(&gate);
        let pid = main_pid(&app);
        let memory = File::from(survival_steps::ledger(pid));
        // Torn in both places, or not there at all.
        memory.set_len(0).expect("a memfd");
        std::os::unix::fs::FileExt::write_all_at(&memory, garbage, 0).expect("a memfd");
        kill(pid);
        wait_for_restart(&app, kills);
        wait::until("a new life", SOON, || workers(&app) == [is(1, "serving")]);
        // What the old one has taken in, it answers.
        gate.open();
        load.finish(held);
        app.wait_until_drained();
    }
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    let journal = app.journal();
    let lost = "cannot take back the workers of a supervisor that crashed";
    assert!(journal.contains(lost), "{journal}");
    assert!(
        journal.contains("is left over from a former life"),
        "{journal}"
    );
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn daemon_reload_and_reexec_at_any_moment_are_nothing() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    for kills in 1..=times(3, 20) {
        load.lap();
        load.wait_for_answers(10, SOON);
        for verb in ["daemon-reload", "daemon-reexec"] {
            let asked = app.rig.spawn(&["systemctl", verb]);
            let reload = app.rig.spawn(&["starterctl", "reload", "app"]);
            asked.wait(SOON);
            app.wait_for_systemd();
            let reloaded = reload.wait(SOON);
            assert!(reloaded.status.success(), "{verb}: {reloaded}");
        }
        let pid = main_pid(&app);
        let asked = app.rig.spawn(&["systemctl", "daemon-reexec"]);
        kill(pid);
        asked.wait(SOON);
        app.wait_for_systemd();
        wait_for_restart(&app, kills);
        wait::until(
            "the one that serves",
            SOON,
            || matches!(workers(&app).as_slice(), [(_, state)] if state == "serving"),
        );
        app.wait_until_drained();
    }
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

/// Whether the listening socket has O_NONBLOCK, as the supervisor has just seen it.
fn does_not_wait(app: &App) -> bool {
    let ledger = survival_steps::ledger(main_pid(app));
    let (_, state) = Ledger::open(ledger).expect("the state is whole");
    state.expect("it serves").held.listeners[0].nonblocking
}

#[test]
fn a_socket_that_does_not_wait_does_not_after_a_crash() {
    let Some(app) = start("--ready notify", "") else {
        return;
    };
    app.deploy("--ready --text v2 --nonblocking");
    app.reload_well();
    app.wait_for_version("v2");
    let before = does_not_wait(&app);
    crash(&app, 1);
    // systemd has made it wait when it started the service again.
    assert_eq!((before, does_not_wait(&app)), (true, true));
    app.target().get("/").expect("an answer");
    app.rig.ok(&["systemctl", "stop", "app"]);
}
