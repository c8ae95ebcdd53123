//! A journald that does not read: nothing waits for it, and what it missed is said.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use crate::app::{App, SOON};
use crate::support::failure::Class;
use crate::support::load::{Load, Plan};
use crate::support::record::{self, Promise};

/// Swaps while nobody reads.
const STUCK: u64 = 6;

/// Fills the queue of journald's socket. One sender alone cannot (its send buffer is smaller).
fn fill(app: &App) {
    let journal = app.rig.path("/run/systemd/journal/socket");
    loop {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        socket.connect(&journal).expect("journald's socket");
        let sent = (0..).map(|_| socket.send(b"MESSAGE=filler\n"));
        let sent = sent.map_while(|sent| match sent {
            Ok(_) => Some(()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                None
            }
        });
        if sent.count() == 0 {
            return;
        }
    }
}

fn signal_journald(app: &App, signal: &str) {
    app.rig
        .ok(&["systemctl", "kill", signal, "systemd-journald.service"]);
}

#[test]
fn reloads_go_on_and_lost_lines_are_counted() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    load.wait_for_answers(20, SOON);
    signal_journald(&app, "--signal=STOP");
    fill(&app);
    // Not `systemctl reload`: its control process would wait for journald itself, at its start.
    for _ in 1..STUCK {
        app.rig.ok(&["starterctl", "reload", "app"]);
    }
    app.deploy("--ready --text v2");
    app.rig.ok(&["starterctl", "reload", "app"]);
    app.wait_for_version("v2");

    load.lap();
    load.wait_for_answers(20, SOON);
    signal_journald(&app, "--signal=CONT");
    // It has taken everything that waited.
    app.rig.ok(&["journalctl", "--sync"]);
    app.reload_well();
    app.wait_until_drained();
    let journal = app.journal();
    let mut lines = journal.lines();
    let lost = lines.find_map(|line| line.split_once(" lines of the log were lost"));
    let (count, reason) = lost.unwrap_or_else(|| panic!("nothing said:\n{journal}"));
    assert_eq!(reason, ": nobody took them");
    let count: u32 = count.parse().expect("a number");
    assert!((20..=40).contains(&count), "five lines a reload: {count}");
    let rest: Vec<_> = lines.collect();
    assert!(
        rest.iter().any(|line| line.contains("is ready after")),
        "and what follows is there: {rest:?}"
    );
    assert!(!journal.contains("generation 4 "), "that one was lost");
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "a stuck journald (it does not read its socket)",
        STUCK,
        "reloads good, nothing waits for it; afterwards one line says how many were lost",
        Promise::NoneLost,
        Class::ALL.iter().map(|class| report.failed(*class)).sum(),
    );
}
