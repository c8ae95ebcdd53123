//! Two requests on each other's heels: none is lost, and nobody is believed before his time.

use std::thread;
use std::time::Duration;

use crate::app::{App, SOON};
use crate::support::load::{Load, Plan};
use crate::support::wait;

/// Between the two requests.
const APART: Duration = Duration::from_millis(100);
/// What the worker needs to boot.
const BOOT: Duration = Duration::from_millis(3500);
/// The worker's clock starts in its `main`, the supervisor's once it is scheduled again after the
/// fork: on a machine with more to do than processors that is the later of the two.
const FORK: Duration = Duration::from_secs(2);
/// Of `--interval 4`.
const INTERVAL: Duration = Duration::from_secs(4);
/// If an old generation left before the new one had booted, clients would wait about 3.4 s.
const GAP: Duration = Duration::from_secs(3);

#[test]
fn two_reloads_100_ms_apart_end_with_what_was_deployed_before_the_second() {
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());

    app.deploy("--ready --boot-ms 3500 --text first");
    let first = app.rig.spawn(&["starterctl", "reload", "app"]);
    // Not a wait for anything: the distance is what this story is about.
    thread::sleep(APART);
    app.deploy("--ready --boot-ms 3500 --text second");
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
    for (generation, after) in ready_after(&app) {
        assert!(
            generation == 1 || after + FORK >= BOOT,
            "generation {generation} was believed after {after:?}"
        );
    }
}

/// Each generation that was judged ready, and how long after its start, as the journal says.
fn ready_after(app: &App) -> Vec<(u64, Duration)> {
    let parse = |line: &str| -> Option<(u64, Duration)> {
        let (generation, rest) = line.strip_prefix("generation ")?.split_once(" (pid ")?;
        let (_, after) = rest.split_once(") is ready after ")?;
        let (number, unit) = after.split_once(' ')?;
        let second = match unit {
            "ms" => 1e-3,
            "s" => 1.0,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * second;
        Some((generation.parse().ok()?, Duration::from_secs_f64(seconds)))
    };
    let look = || -> Vec<_> { app.journal().lines().filter_map(parse).collect() };
    // The old one is told to leave first, and that is said then.
    let ready = wait::for_some("three generations", SOON, || {
        Some(look()).filter(|ready| ready.len() >= 3)
    });
    let generations: Vec<_> = ready.iter().map(|(generation, _)| *generation).collect();
    assert_eq!(generations, [1, 2, 3], "{}", app.journal());
    ready
}

#[test]
fn a_second_hangup_does_not_cut_the_interval_short() {
    let Some(app) = App::started("--ready alive --interval 4") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    app.deploy("--boot-ms 3500 --text first");
    hang_up(&app);
    wait::until("the first swap", SOON, || {
        app.journal().contains("starting generation 2 ")
    });
    // Not a wait for anything, here as above.
    thread::sleep(APART);
    app.deploy("--boot-ms 3500 --text second");
    hang_up(&app);

    load.wait_for_generation(3, SOON);
    app.wait_for_version("second");
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    assert!(report.slowest() < GAP, "somebody left too early:\n{report}");
    for (generation, after) in ready_after(&app) {
        assert!(
            after >= INTERVAL,
            "generation {generation} was believed after {after:?}"
        );
    }
}

fn hang_up(app: &App) {
    app.signal("HUP");
}
