//! The control socket, asked by systemd's own Varlink client in the shipped sandbox.

use serde_json::{Value, json};

use crate::app::{App, SOON};
use crate::operator::settled;
use crate::support::requirement;
use crate::support::wait;

const SOCKET: &str = "/run/sd-starter/app/control";
/// What `Monitor` says, inside.
const EVENTS: &str = "/run/events";

fn started() -> Option<App> {
    let app = App::started("--ready notify")?;
    requirement::systemd(&app.rig, 257, "before it, Debian has no varlinkctl").then_some(app)
}

fn method(name: &str) -> String {
    format!("org.sdstarter.Supervisor.{name}")
}

#[test]
fn varlinkctl_reads_what_starterctl_reads() {
    let Some(app) = started() else { return };
    app.deploy("--ready --text v2");
    app.reload_well();
    app.rig
        .ok(&["starterctl", "wait", "--drained", "--timeout", "20", "app"]);
    let text = app.rig.ok(&["starterctl", "status", "app", "--json"]);
    let by_us: Value = serde_json::from_str(&text).expect("JSON");
    let text = app.rig.ok(&[
        "varlinkctl",
        "call",
        "--json=short",
        SOCKET,
        &method("GetStatus"),
        "{}",
    ]);
    let by_varlinkctl: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(by_varlinkctl["serving"], 2);
    assert_eq!(settled(by_varlinkctl), settled(by_us));
}

#[test]
fn varlinkctl_knows_what_can_be_asked() {
    let Some(app) = started() else { return };
    let info = app.rig.ok(&["varlinkctl", "info", SOCKET]);
    for interface in ["org.sdstarter.Supervisor", "io.systemd.service"] {
        assert!(info.contains(interface), "{info}");
        let shown = app.rig.ok(&["varlinkctl", "introspect", SOCKET, interface]);
        assert!(shown.contains(&format!("interface {interface}")), "{shown}");
    }
    let ping = [
        "varlinkctl",
        "call",
        SOCKET,
        "io.systemd.service.Ping",
        "{}",
    ];
    app.rig.ok(&ping);

    // An error of ours, and one of Varlink's.
    let stale = json!({ "ifGeneration": 7 }).to_string();
    let refused = app
        .rig
        .run(&["varlinkctl", "call", SOCKET, &method("Reload"), &stale]);
    println!("{refused}");
    assert!(!refused.status.success(), "{refused}");
    assert!(
        refused.stderr.contains(&method("OtherGeneration")),
        "{refused}"
    );
    let unknown = app
        .rig
        .run(&["varlinkctl", "call", SOCKET, &method("Dance"), "{}"]);
    // What it makes of org.varlink.service.MethodNotFound depends on its version.
    assert!(
        !unknown.status.success() && unknown.to_string().contains("Dance"),
        "{unknown}"
    );
}

#[test]
fn varlinkctl_monitors_a_reload_from_beginning_to_end() {
    let Some(app) = started() else { return };
    let command = format!(
        "exec varlinkctl call --more --json=short {SOCKET} {} {{}} >{EVENTS}",
        method("Monitor")
    );
    let monitor = app.rig.spawn(&["sh", "-c", &command]);
    let heard = || -> Vec<String> {
        let text = std::fs::read_to_string(app.rig.path(EVENTS)).unwrap_or_default();
        // A record begins with RS (RFC 7464) and ends with a newline.
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| {
                let record = serde_json::from_str(line.trim_start_matches('\x1e'));
                let record: Value = record.unwrap_or_else(|_| panic!("not JSON: {line}"));
                record["event"].as_str().expect("a name").to_owned()
            })
            .collect()
    };
    wait::for_value("the first event", SOON, ["watching"].as_slice(), &heard);
    app.deploy("--ready --text v2");
    app.reload_well();
    let swap = [
        "watching",
        "reload-asked",
        "starting",
        "ready",
        "draining",
        "drained",
    ];
    wait::for_value("the events of a swap", SOON, swap.as_slice(), &heard);
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert!(monitor.wait(SOON).status.success(), "it ends with us");
    assert_eq!(heard().last().map(String::as_str), Some("exiting"));
}
