//! Sockets that sd-starter bound itself outlive it: systemd's fd store keeps them.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::app::{App, SOON};
use crate::support::failure::Class;
use crate::support::http::Target;
use crate::support::load::{Load, Plan};
use crate::support::wait;

/// A port that no socket unit has.
const OWN_PORT: u16 = 8081;
/// In a directory that systemd clears up.
const RUNTIME_PATH: &str = "/run/sd-starter/app/app.sock";
/// In one that nobody does.
const OTHER_PATH: &str = "/var/lib/app/app.sock";

/// The app on a port and two paths of its own, without its socket unit.
pub(crate) fn start(options: &str) -> Option<App> {
    let app = App::new("")?;
    app.rig.drop_in(
        "app.service",
        "[Unit]\nRequires=\nAfter=\n[Service]\nRuntimeDirectoryPreserve=restart\nUMask=0066\nRestartSec=0.3\n\
         StateDirectory=app\n",
    );
    // A dependency cannot be taken back by a drop-in.
    let unit = app.rig.read("/etc/systemd/system/app.service");
    let alone = unit.replace("Requires=app.socket\n", "");
    app.rig
        .write("/etc/systemd/system/app.service", &alone, 0o644);
    set_listeners(&app, options);
    app.rig.ok(&["systemctl", "start", "app.service"]);
    Some(app)
}

pub(crate) fn set_listeners(app: &App, options: &str) {
    app.exec_start(&format!(
        "/usr/bin/sd-starter {options} --ready notify -- /usr/bin/hello --deploy /srv/app/deploy"
    ));
}

fn everything() -> String {
    format!("--port 0.0.0.0:{OWN_PORT} --path {RUNTIME_PATH} --path {OTHER_PATH}")
}

/// The addresses and where each came from.
pub(crate) fn origins(app: &App) -> Vec<(String, String)> {
    let status = app.rig.ok(&["starterctl", "status", "--json", "app"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let listeners = status["listeners"].as_array().expect("listeners").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    listeners
        .map(|listener| (text(&listener["address"]), text(&listener["origin"])))
        .collect()
}

fn all_from(origin: &str) -> Vec<(String, String)> {
    let own = format!("0.0.0.0:{OWN_PORT}");
    [&own, RUNTIME_PATH, OTHER_PATH]
        .map(|address| (address.to_owned(), origin.to_owned()))
        .into()
}

fn kill(app: &App) {
    app.signal("KILL");
}

/// Waits until that many lives were begun and the present one serves.
fn wait_for_restart(app: &App, count: u32) {
    wait::for_value("the restarts", SOON, count.to_string(), || {
        app.property("NRestarts")
    });
    wait::for_value("the service", SOON, "active", || {
        app.property("ActiveState")
    });
}

/// Three loads, one for each socket.
fn loads(app: &App) -> Vec<Load> {
    let plan = Plan {
        new_per_second: 50,
        keep_alive: 1,
        keep_alive_pause: Duration::from_millis(10),
    };
    let unix = |path: &str| Target::unix(app.rig.path(path));
    let targets = [app.rig.tcp(OWN_PORT), unix(RUNTIME_PATH), unix(OTHER_PATH)];
    targets.map(|target| Load::start(&target, plan)).into()
}

/// Nobody was refused; what a worker had taken in when it was killed is cut, and nothing else.
fn assert_only_cut(loads: Vec<Load>) {
    for load in loads {
        let report = load.stop();
        println!("{report}");
        for class in [
            Class::Refused,
            Class::Timeout,
            Class::Wrong,
            Class::Unexpected,
        ] {
            assert_eq!(report.failed(class), 0, "{class:?}:\n{report}");
        }
        assert!(report.answered() > 0, "{report}");
    }
}

#[test]
fn bound_sockets_outlive_a_kill_9_and_nobody_is_refused() {
    let Some(app) = start(&everything()) else {
        return;
    };
    assert_eq!(origins(&app), all_from("bound"));
    assert_eq!(app.property("NFileDescriptorStore"), "3");
    let loads = loads(&app);
    for count in 1..=3 {
        for load in &loads {
            load.lap();
            load.wait_for_answers(10, SOON);
        }
        kill(&app);
        wait_for_restart(&app, count);
        assert_eq!(origins(&app), all_from("stored"));
        app.reload_well();
    }
    for load in &loads {
        load.lap();
        load.wait_for_answers(10, SOON);
    }
    assert_only_cut(loads);
    assert_eq!(app.property("NFileDescriptorStore"), "3");
    let journal = app.journal();
    for word in ["cannot ", "Cannot ", "replaced the socket"] {
        assert!(!journal.contains(word), "{journal}");
    }
}

#[test]
fn a_restart_keeps_what_systemd_clears_up_and_a_stop_leaves_no_file() {
    let Some(app) = start(&everything()) else {
        return;
    };
    let runtime = app.rig.path(RUNTIME_PATH);
    let identity = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).map(|found| found.ino()).ok()
    };
    let before = identity(&runtime);
    let plan = Plan {
        new_per_second: 50,
        keep_alive: 1,
        ..Plan::default()
    };
    let targets = [app.rig.tcp(OWN_PORT), Target::unix(runtime.clone())];
    let loads = targets.map(|target| Load::start(&target, plan));
    for load in &loads {
        load.wait_for_answers(10, SOON);
    }
    app.rig.ok(&["systemctl", "restart", "app"]);
    for load in &loads {
        load.lap();
        load.wait_for_answers(10, SOON);
    }
    // The workers have answered what they had begun, so that not even that was cut.
    for load in loads {
        let report = load.stop();
        println!("{report}");
        report.assert_no_failures();
    }
    assert_eq!(identity(&runtime), before, "it is the same file");
    let expected: Vec<_> = [
        (format!("0.0.0.0:{OWN_PORT}"), "stored".to_owned()),
        (RUNTIME_PATH.to_owned(), "stored".to_owned()),
        (OTHER_PATH.to_owned(), "bound".to_owned()),
    ]
    .into();
    assert_eq!(origins(&app), expected);
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_eq!(app.property("NFileDescriptorStore"), "0");
    for path in [RUNTIME_PATH, OTHER_PATH] {
        assert_eq!(identity(&app.rig.path(path)), None, "{path} is gone");
    }
    app.rig
        .tcp(OWN_PORT)
        .get("/")
        .expect_err("nobody listens any more");
}

#[test]
fn another_command_line_gets_what_it_wants_and_no_more() {
    let Some(app) = start(&everything()) else {
        return;
    };
    // The same port on another address, for which the old socket has to make way.
    set_listeners(
        &app,
        &format!("--port 127.0.0.1:{OWN_PORT} --port 8082 --path {OTHER_PATH}"),
    );
    kill(&app);
    wait_for_restart(&app, 1);
    let expected = [
        (format!("127.0.0.1:{OWN_PORT}"), "bound".to_owned()),
        ("0.0.0.0:8082".to_owned(), "bound".to_owned()),
        (OTHER_PATH.to_owned(), "stored".to_owned()),
    ];
    assert_eq!(origins(&app), expected);
    assert_eq!(app.property("NFileDescriptorStore"), "3");
    for port in [OWN_PORT, 8082] {
        app.rig.tcp(port).get("/").expect("it is listened to");
    }
    assert!(!app.rig.path(RUNTIME_PATH).exists());
    // One that cannot be had: systemd keeps the others all the same.
    set_listeners(&app, "--port 192.0.2.1:8083 --port 8082");
    kill(&app);
    wait::until("the failure", SOON, || {
        app.journal().contains("cannot listen on 192.0.2.1:8083")
    });
    set_listeners(&app, "--port 8082");
    wait::until("the service", SOON, || {
        origins_or_none(&app) == [("0.0.0.0:8082".to_owned(), "stored".to_owned())]
    });
    wait::for_value("what systemd has", SOON, "1", || {
        app.property("NFileDescriptorStore")
    });
}

fn origins_or_none(app: &App) -> Vec<(String, String)> {
    let is_there = app.rig.run(&["starterctl", "status", "app"]);
    match is_there.status.success() {
        true => origins(app),
        false => Vec::new(),
    }
}

#[test]
fn without_a_store_and_with_no_fd_store_systemd_is_asked_for_nothing() {
    for (unit, option) in [
        ("FileDescriptorStoreMax=0\nUnsetEnvironment=FDSTORE\n", ""),
        ("", "--no-fd-store"),
    ] {
        let Some(app) = App::new("") else { return };
        app.rig.drop_in(
            "app.service",
            &format!("[Service]\nRestartSec=0.3\nRuntimeDirectoryPreserve=restart\nUMask=0066\nStateDirectory=app\n{unit}"),
        );
        set_listeners(&app, &format!("{option} {}", everything()));
        app.rig
            .ok(&["systemctl", "start", "app.socket", "app.service"]);
        app.reload_well();
        assert_eq!(app.property("NFileDescriptorStore"), "0");
        kill(&app);
        wait_for_restart(&app, 1);
        let bound: Vec<_> = origins(&app)
            .into_iter()
            .filter(|(_, origin)| origin == "bound")
            .collect();
        assert_eq!(bound, all_from("bound"));
        let systemds = app.rig.journal(&["_PID=1"]);
        assert!(!systemds.contains("Cannot store"), "{systemds}");
        app.rig.ok(&["systemctl", "stop", "app"]);
        assert!(!app.rig.path(OTHER_PATH).exists());
    }
}

#[test]
fn the_shipped_pair_refuses_nobody_over_a_kill_9() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    app.rig
        .drop_in("app.service", "[Service]\nRestartSec=0.3\n");
    let load = Load::start(&app.target(), Plan::default());
    for count in 1..=3 {
        load.lap();
        load.wait_for_answers(50, SOON);
        kill(&app);
        wait_for_restart(&app, count);
    }
    load.lap();
    load.wait_for_answers(50, SOON);
    assert_only_cut(vec![load]);
    assert_eq!(app.property("NFileDescriptorStore"), "0", "nothing of ours");
}
