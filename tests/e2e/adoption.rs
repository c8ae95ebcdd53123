//! What systemd hands over, and what comes along with it: sockets of every kind, sockets of somebody
//! else, a connection, descriptors and signals that a wrapper has left.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::app::{App, SOON};
use crate::inheritance::{GLIBC, NOTING, report, signal_set};
use crate::support::rig::Rig;
use crate::support::{requirement, wait};

/// Says what it was given, and stays.
const TELLING: &str = r#"#!/bin/sh
{
    env
    # The directory itself was open while it was read.
    for fd in /proc/$$/fd/*; do [ ! -e "$fd" ] || echo "fd ${fd##*/}"; done
} >"$RUNTIME_DIRECTORY/new"
mv "$RUNTIME_DIRECTORY/new" "$RUNTIME_DIRECTORY/seen"
exec sleep 1000
"#;

/// Since 259 systemd names the process in another way as well: by the inode of its pidfd. 434 is
/// pidfd_open(2) on every architecture.
const NAMING: &str = r#"#!/usr/bin/perl
my $pidfd = syscall(434, $$ + 0, 0);
$ENV{LISTEN_PIDFDID} = (stat "/proc/self/fd/$pidfd")[1] or die "no pidfd: $!";
exec { $ARGV[0] } @ARGV;
"#;

#[test]
fn a_connection_is_refused() {
    let Some(rig) = Rig::boot() else { return };
    rig.write(
        "/etc/systemd/system/each.socket",
        "[Socket]\nListenStream=127.0.0.1:8081\nAccept=yes\n",
        0o644,
    );
    let service = "[Service]\nExecStart=/usr/bin/sd-starter -- /usr/bin/hello\n";
    rig.write("/etc/systemd/system/each@.service", service, 0o644);
    rig.ok(&["systemctl", "start", "each.socket"]);
    rig.tcp(8081).get("/").expect_err("nobody can answer");
    // Not with --grep: journalctl fails while there is nothing to be found.
    let ended = wait::for_some("the end", SOON, || {
        let journal = rig.journal(&["_PID=1"]);
        let mut lines = journal.lines();
        let is_it = |line: &&str| line.contains("each@") && line.contains("Main process exited");
        lines.find(is_it).map(str::to_owned)
    });
    assert!(ended.contains("code=exited, status=255"), "{ended}");
    let said = rig.journal(&["SYSLOG_IDENTIFIER=sd-starter"]);
    assert_eq!(
        said.trim_end(),
        "sd-starter: fd 3 (connection): not a listening socket: the socket unit must use Accept=no, \
         or a program has shut it down (shutdown(2))"
    );
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    let Some(app) = App::new("") else { return };
    app.rig.write("/srv/app/telling", TELLING, 0o755);
    // A shell that does not exec: what systemd says to it is not said to us.
    app.exec_start(
        "/bin/sh -c '/usr/bin/sd-starter --ready alive --interval 0.1 -- /srv/app/telling; true'\n\
         Type=exec",
    );
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);
    let shell = app.property("MainPID");
    wait::until("the worker", SOON, || {
        app.rig
            .run(&["test", "-f", "/run/sd-starter/app/seen"])
            .status
            .success()
    });
    let journal = app.journal();
    let warning = format!(
        "sockets were passed to process {shell} (LISTEN_PID), which is not this one; \
         they are not used"
    );
    assert!(journal.contains(&warning), "{warning} in:\n{journal}");
    let seen = app.rig.read("/run/sd-starter/app/seen");
    assert!(!seen.contains("LISTEN_"), "{seen}");
    assert!(seen.contains("SERVER_STARTER_PORT=\n"), "{seen}");
    // The shell's own are 10 and up.
    let fds = seen.lines().filter_map(|line| line.strip_prefix("fd "));
    let fds: BTreeSet<u32> = fds.map(|fd| fd.parse().expect("a number")).collect();
    let low: Vec<_> = fds.into_iter().filter(|fd| *fd < 10).collect();
    assert_eq!(low, [0, 1, 2], "{seen}");
}

#[test]
fn what_is_no_socket_of_a_port_comes_through_listen_fds_alone() {
    let Some(app) = App::new("") else { return };
    app.exec_start("/usr/bin/sd-starter -- /usr/bin/hello --ready");
    app.rig.drop_in(
        "app.socket",
        "[Socket]\nListenFIFO=/run/app.fifo\nListenNetlink=kobject-uevent 1\n\
         ListenMessageQueue=/app\n",
    );
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    for generation in ["1", "2"] {
        let report = report(&app);
        assert_eq!(report["generation"], generation);
        let environment = &report["environment"];
        assert_eq!(environment["SERVER_STARTER_PORT"], "8080=3");
        assert_eq!(environment["LISTEN_FDS"], "4");
        assert_eq!(environment["LISTEN_FDNAMES"], "http:http:http:http");
        let fds = report["fds"].as_object().expect("a map");
        let numbers: Vec<&str> = fds.keys().map(String::as_str).collect();
        assert_eq!(numbers, ["0", "1", "2", "3", "4", "5", "6"], "{fds:?}");
        assert_eq!(fds["4"], "/run/app.fifo", "{fds:?}");
        assert_eq!(fds["6"], "/app", "{fds:?}");
        app.reload_well();
        app.wait_until_drained();
    }
    let journal = app.journal();
    let alone = "has no name in SERVER_STARTER_PORT; workers find it through LISTEN_FDS alone";
    assert_eq!(journal.matches(alone).count(), 3, "{journal}");
}

#[test]
fn a_leaked_descriptor_goes_no_further() {
    let Some(app) = App::new("") else { return };
    app.exec_start(
        "/bin/bash -c 'exec 55</etc/passwd 4</etc/passwd; \
         exec /usr/bin/sd-starter -- /usr/bin/hello --ready'",
    );
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    let fds = &report(&app)["fds"];
    let numbers: Vec<_> = fds.as_object().expect("a map").keys().collect();
    assert_eq!(numbers, ["0", "1", "2", "3"], "{fds}");
}

#[test]
fn blocked_and_ignored_signals_are_handed_on_as_they_came() {
    /// Of /proc/PID/status: signal N is bit N-1.
    const USR1: u64 = 1 << 9;
    const USR2: u64 = 1 << 11;
    let Some(app) = App::new("") else { return };
    app.rig.write("/srv/app/noting", NOTING, 0o755);
    app.exec_start(
        "/usr/bin/env --ignore-signal=USR1 --block-signal=USR1 --block-signal=USR2 \
         /usr/bin/sd-starter -- /srv/app/noting",
    );
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    for generation in ["1", "2"] {
        assert_eq!(report(&app)["generation"], generation);
        let signals = app.rig.read("/run/sd-starter/app/signals");
        let set = |name| signal_set(&signals, name) & !GLIBC;
        assert_eq!(set("SigBlk"), USR1 | USR2, "{signals}");
        assert_eq!(set("SigIgn"), USR1, "{signals}");
        app.reload_well();
        app.wait_until_drained();
    }
}

#[test]
fn the_pidfd_by_which_systemd_names_us_is_not_the_workers() {
    if !requirement::file("/usr/bin/perl", "perl") {
        return;
    }
    let Some(app) = App::new("") else { return };
    app.rig.write("/srv/app/naming", NAMING, 0o755);
    app.exec_start("/srv/app/naming /usr/bin/sd-starter -- /usr/bin/hello --ready");
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    let report = report(&app);
    assert_eq!(report["environment"]["LISTEN_FDS"], "1", "they are for us");
    assert_eq!(report["environment"]["LISTEN_PIDFDID"], Value::Null);
    assert_eq!(report["libsystemd"], serde_json::json!(["http"]));
}
