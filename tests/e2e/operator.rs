//! The same state, read in every way that there is, with the shipped units in their sandbox.

use serde_json::Value;

use crate::app::{App, SOON};
use crate::instance::Client;
use crate::support::requirement;
use crate::support::wait;
use crate::units::NO_STRICT_VERIFY;

/// Beside the control socket, where the service may write.
const STATUS_FILE: &str = "/run/sd-starter/app/status";

/// What may differ between two looks at the same state.
pub(crate) fn settled(mut status: Value) -> Value {
    status["uptimeUSec"].take();
    let mut workers = status["workers"].take();
    for worker in workers.as_array_mut().expect("a list") {
        for moving in ["ageUSec", "stateUSec", "deadlineUSec", "memory", "cpuUSec"] {
            worker[moving].take();
        }
    }
    status["workers"] = workers;
    // The moment is counted back from now, so it jitters.
    status["lastVerdict"]["timeUSec"].take();
    status
}

#[test]
fn every_way_to_look_shows_the_same() {
    let Some(app) = App::started(&format!("--ready notify --status-file {STATUS_FILE}")) else {
        return;
    };
    app.deploy("--ready --text v2");
    app.reload_well();
    app.deploy("--exit-at-start 3");
    assert!(!app.reload().status.success());
    app.rig
        .ok(&["starterctl", "wait", "--drained", "--timeout", "20", "app"]);

    let text = app.rig.ok(&["starterctl", "status", "app", "--json"]);
    let by_name: Value = serde_json::from_str(&text).expect("JSON");
    let socket = app.rig.path("/run/sd-starter/app/control");
    let raw = Client::connect(&socket).call("GetStatus", serde_json::json!({}));
    assert_eq!(settled(by_name.clone()), settled(raw["parameters"].clone()));

    wait::for_value(
        "STATUS",
        SOON,
        by_name["statusText"].as_str().expect("a text"),
        || app.property("StatusText"),
    );
    assert_eq!(by_name["pid"].to_string(), app.property("MainPID"));
    assert_eq!(by_name["serving"], 2);
    assert_eq!(by_name["listeners"][0]["origin"], "adopted");
    assert_eq!(by_name["listeners"][0]["name"], "http");
    assert_eq!(by_name["listeners"][0]["address"], "0.0.0.0:8080");
    assert_eq!(by_name["lastVerdict"]["verdict"], "failed");
    let worker = &by_name["workers"][0];
    assert!(
        worker["memory"].as_u64() > Some(0),
        "also in the sandbox: {worker}"
    );

    let line = format!("{}:{}\n", worker["generation"], worker["pid"]);
    assert_eq!(app.rig.read(STATUS_FILE), line);

    let list = app.rig.ok(&["starterctl", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(settled(list["app"].clone()), settled(by_name.clone()));
    let table = app.rig.ok(&["starterctl", "list"]);
    let row = table.lines().nth(1).expect("a row below the head");
    let words: Vec<_> = row.split_whitespace().take(3).collect();
    assert_eq!(words, ["app", "serving", "2"]);
}

#[test]
fn a_generation_with_a_cgroup_is_counted_by_it() {
    let Some(app) = App::new("--ready notify") else {
        return;
    };
    let delegate = std::fs::read_to_string("systemd/delegate.conf").expect("we ship it");
    app.rig.drop_in("app.service", &delegate);
    app.rig.ok(&["systemctl", "start", "app"]);
    let text = app.rig.ok(&["starterctl", "status", "app", "--json"]);
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let worker = &status["workers"][0];
    let main = app.property("MainPID");
    let cgroup = |pid: &str| app.rig.ok(&["cat", &format!("/proc/{pid}/cgroup")]);
    assert_ne!(
        cgroup(&worker["pid"].to_string()),
        cgroup(&main),
        "one of its own"
    );
    println!("{worker}");
    assert!(worker["memory"].as_u64() > Some(0), "{worker}");
    assert!(
        worker["cpuUSec"].as_u64() > Some(0),
        "exact to the microsecond: {worker}"
    );
    assert_eq!(worker["processes"], 1);
    // On a machine where the memory controller is cgroup v1's the kernel does not do the sum.
    let unit = "/sys/fs/cgroup/system.slice/app.service/cgroup.controllers";
    let kernel = app
        .rig
        .read(unit)
        .split_whitespace()
        .any(|name| name == "memory");
    assert_eq!(worker["memoryOf"], if kernel { "cgroup" } else { "rss" });
}

#[test]
fn only_root_and_the_services_own_user_are_served() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let pid = app.property("MainPID");
    let own = app
        .rig
        .ok(&["stat", "--format=%u", &format!("/proc/{pid}")]);
    let own = own.trim();
    assert_ne!(own, "0", "the unit has DynamicUser=yes");
    let as_user = |user: &str, words: &[&str]| {
        let setpriv = [
            "setpriv",
            "--clear-groups",
            "--reuid",
            user,
            "--regid",
            user,
        ];
        app.rig.run(&[&setpriv, words].concat())
    };
    for words in [&["reload"][..], &["status"], &["stop"]] {
        let output = as_user("65534", &[&["starterctl"], words, &["app"]].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output}");
        assert!(output.stderr.contains("permission denied"), "{output}");
    }
    app.deploy("--ready --text own");
    let output = as_user(own, &["starterctl", "reload", "app"]);
    assert_eq!(output.stdout, "generation 2 serves\n", "{output}");
    app.deploy("--ready --text root");
    let output = app.rig.run(&["starterctl", "reload", "app"]);
    assert_eq!(output.stdout, "generation 3 serves\n", "{output}");
    let listed = as_user("65534", &["starterctl", "list"]);
    assert!(listed.stderr.contains("app: permission denied"), "{listed}");
}

#[test]
fn the_journal_can_be_asked_by_generation_and_explains_itself() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.deploy("--ready --text v2");
    app.reload_well();
    app.deploy("--exit-at-start 3");
    assert!(!app.reload().status.success());

    let second = app.rig.journal(&["SD_STARTER_GENERATION=2"]);
    assert!(
        second.contains("generation 2 (pid") && second.contains("is ready"),
        "{second}"
    );
    assert!(!second.contains("generation 3"), "{second}");
    let failed = app
        .rig
        .journal(&["SD_STARTER_EVENT=attempt-failed", "--output=json"]);
    let entry: Value = serde_json::from_str(failed.lines().next().expect("one")).expect("JSON");
    assert_eq!(entry["SD_STARTER_GENERATION"], "3");
    let id = entry["MESSAGE_ID"].as_str().expect("an id");
    assert!(entry["SD_STARTER_WORKER_PID"].is_string());

    let catalog = std::fs::read_to_string("packaging/sd-starter.catalog").expect("we ship it");
    app.rig.write(
        "/usr/lib/systemd/catalog/sd-starter.catalog",
        &catalog,
        0o644,
    );
    app.rig.ok(&["journalctl", "--update-catalog"]);
    let listed = app.rig.ok(&["journalctl", "--list-catalog", id]);
    assert!(listed.contains("could not be started"), "{listed}");
    let explained = app
        .rig
        .ok(&["journalctl", "--no-pager", "--catalog", "--unit=app"]);
    println!("{explained}");
    assert!(
        explained.contains("Subject: Generation 3 could not be started"),
        "{explained}"
    );
    assert!(
        explained.contains("systemctl reload app.service"),
        "{explained}"
    );
}

/// Has `starterctl units` write a pair for port 9090; the paths of the two.
fn install_a_pair(app: &App) -> [String; 2] {
    let order = [
        "starterctl",
        "units",
        "web",
        "--listen=9090",
        "--listen=/run/web.sock",
        "--install",
        "--",
        "/usr/bin/hello",
        "--ready",
        "--text",
        "100%",
    ];
    app.rig.ok(&order);
    let again = app.rig.run(&order);
    assert_eq!(
        again.status.code(),
        Some(1),
        "nothing is overwritten: {again}"
    );
    ["web.socket", "web.service"].map(|unit| format!("/etc/systemd/system/{unit}"))
}

#[test]
fn units_that_we_make_are_right() {
    let Some(app) = App::new("") else { return };
    if !requirement::systemd(&app.rig, 250, NO_STRICT_VERIFY) {
        return;
    }
    let units = install_a_pair(&app);
    let verified = app.rig.run(&[
        "systemd-analyze",
        "--man=no",
        "--recursive-errors=no",
        "verify",
        &units[0],
        &units[1],
    ]);
    let fine = verified.status.success() && verified.stderr.is_empty();
    assert!(fine, "{verified}");
    app.rig.ok(&[
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=13",
        &units[1],
    ]);
}

#[test]
fn units_that_we_make_work() {
    let Some(app) = App::new("") else { return };
    install_a_pair(&app);
    app.rig.ok(&["systemctl", "daemon-reload"]);
    app.rig
        .ok(&["systemctl", "enable", "--now", "web.socket", "web.service"]);
    let answer = app
        .rig
        .tcp(9090)
        .get("/")
        .and_then(|answer| answer.version());
    assert_eq!(answer.expect("an answer"), "100%");
    app.rig.ok(&["systemctl", "reload", "web"]);
    let status = app.rig.ok(&["starterctl", "status", "web"]);
    assert!(status.contains("serving generation 2"), "{status}");
    assert!(status.contains("/run/web.sock"), "{status}");
    app.rig
        .ok(&["starterctl", "stop", "web", "--timeout", "20"]);
}
