//! Two requests on each other's heels: none is lost, and nobody is believed before his time.

use std::thread;
use std::time::Duration;

use crate::app::{App, SOON};
use crate::support::load::{Load, Plan};

/// Between the two requests; the worker needs 700 ms to boot.
const APART: Duration = Duration::from_millis(100);
/// If an old generation left before the new one had booted, clients would wait about 600 ms.
const GAP: Duration = Duration::from_millis(500);

#[test]
fn two_reloads_100_ms_apart_end_with_what_was_deployed_before_the_second() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());

    app.deploy("--ready --boot-ms 700 --text first");
    let first = app.rig.spawn(&["starterctl", "reload", "app"]);
    // Not a wait for anything: the distance is what this story is about.
    thread::sleep(APART);
    app.deploy("--ready --boot-ms 700 --text second");
    let second = app.rig.spawn(&["starterctl", "reload", "app"]);

    let (first, second) = (first.wait(SOON), second.wait(SOON));
    assert!(first.status.success(), "the first: {first}");
    assert!(second.status.success(), "the second: {second}");
    app.wait_for_version("second");
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    assert!(report.slowest() < GAP, "somebody left too early:\n{report}");
    let last = report.generations.keys().max().copied();
    assert!(
        last <= Some(3),
        "two requests, at most two generations more:\n{report}"
    );
}

#[test]
fn a_second_hangup_does_not_cut_the_interval_short() {
    let Some(app) = App::started("--ready alive --interval 1") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    app.deploy("--boot-ms 700 --text slow");
    app.rig.ok(&[
        "systemctl",
        "kill",
        "--kill-whom=main",
        "--signal=HUP",
        "app",
    ]);
    thread::sleep(APART);
    app.rig.ok(&[
        "systemctl",
        "kill",
        "--kill-whom=main",
        "--signal=HUP",
        "app",
    ]);

    load.wait_for_generation(3, SOON);
    app.wait_until_drained();
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    assert!(report.slowest() < GAP, "somebody left too early:\n{report}");
}
