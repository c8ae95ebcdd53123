//! What a worker is given, and nothing else.

use serde_json::Value;

use crate::app::App;

/// Those of the manager to us, and of ours alone.
const NOT_FOR_WORKERS: [&str; 9] = [
    "LISTEN_PIDFDID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
    "MAINPID",
    "MANAGERPID",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
];

/// No other program is started: a shell that does blocks its own signals for a moment (vfork).
pub(crate) const NOTING: &str = r#"#!/bin/sh
while read -r line; do
    case $line in Sig*) echo "$line" ;; esac
done </proc/$$/status >"$RUNTIME_DIRECTORY/signals"
exec /usr/bin/hello --ready
"#;

/// The two that glibc keeps to itself, 32 and 33: its posix_spawn, which starts the rig, has them
/// ignored, and nobody after it can change that.
pub(crate) const GLIBC: u64 = 0b11 << 31;

/// One of the sets in /proc/PID/status.
pub(crate) fn signal_set(status: &str, name: &str) -> u64 {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let set = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.unwrap_or_else(|| panic!("no {name} in:\n{status}"))
}

pub(crate) fn report(app: &App) -> Value {
    let answer = app.target().get("/report").expect("a report");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn a_worker_gets_its_sockets_its_environment_and_clean_signals() {
    let Some(app) = App::new("") else { return };
    // A shell takes down what it is given, before a Rust program would change SIGPIPE, and becomes
    // the worker. systemd itself starts services with SIGPIPE ignored (IgnoreSIGPIPE=).
    app.rig.write("/srv/app/noting", NOTING, 0o755);
    app.exec_start("/usr/bin/sd-starter -- /srv/app/noting");
    app.rig.drop_in(
        "app.socket",
        "[Socket]\nListenStream=/run/app.sock\nListenDatagram=127.0.0.1:5353\n\
        ListenSequentialPacket=@app\nFileDescriptorName=web\n",
    );
    app.rig.ok(&["systemctl", "start", "app.socket"]);

    for generation in ["1", "2"] {
        let report = report(&app);
        assert_eq!(report["generation"], generation);
        let signals = app.rig.read("/run/sd-starter/app/signals");
        assert_eq!(
            signal_set(&signals, "SigBlk") & !GLIBC,
            0,
            "nothing is blocked:\n{signals}"
        );
        assert_eq!(
            signal_set(&signals, "SigIgn") & !GLIBC,
            0,
            "nothing is ignored:\n{signals}"
        );

        let fds = report["fds"].as_object().expect("a map");
        let numbers: Vec<&str> = fds.keys().map(String::as_str).collect();
        assert_eq!(numbers, ["0", "1", "2", "3", "4", "5", "6"], "{fds:?}");
        for socket in ["3", "4", "5", "6"] {
            assert!(
                fds[socket]
                    .as_str()
                    .is_some_and(|to| to.starts_with("socket:")),
                "{fds:?}"
            );
        }
        let blocking = report["nonblocking"].as_object().expect("a map");
        assert!(
            blocking.values().all(|nonblocking| nonblocking == false),
            "{blocking:?}"
        );

        let environment = &report["environment"];
        // The abstract seqpacket socket has no key there: it comes with LISTEN_FDS alone.
        assert_eq!(
            environment["SERVER_STARTER_PORT"],
            "8080=3;/run/app.sock=4;127.0.0.1:5353=5"
        );
        assert_eq!(environment["LISTEN_FDS"], "4");
        assert_eq!(environment["LISTEN_FDNAMES"], "web:web:web:web");
        assert_eq!(environment["LISTEN_PID"], report["pid"].to_string());
        let names = serde_json::json!(["web", "web", "web", "web"]);
        assert_eq!(report["libsystemd"], names, "somebody else reads the same");
        assert_ne!(environment["NOTIFY_SOCKET"], "/run/systemd/notify");
        assert!(
            environment["NOTIFY_SOCKET"].is_string(),
            "it can say that it is ready"
        );
        for name in NOT_FOR_WORKERS {
            assert_eq!(environment[name], Value::Null, "{name}");
        }
        if generation == "1" {
            app.reload_well();
            app.wait_until_drained();
        }
    }
}

#[test]
fn nonblocking_sockets_stay_as_they_came() {
    let Some(app) = App::new("") else { return };
    app.exec_start("/usr/bin/sd-starter -- /usr/bin/hello --ready\nNonBlocking=yes");
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    let report = report(&app);
    assert_eq!(report["nonblocking"]["3"], true, "{report:#}");
}
