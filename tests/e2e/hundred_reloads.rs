//! A hundred reloads, and no client notices one.

use std::collections::VecDeque;

use crate::app::{App, SOON};
use crate::support::load::{Load, Plan};

const RELOADS: u64 = 100;
/// A held request lives through so many swaps.
const SWAPS_HELD: usize = 3;

#[test]
fn a_hundred_reloads_under_load_and_no_client_notices() {
    let Some(app) = App::started("") else { return };
    let load = Load::start(&app.target(), Plan::default());
    let mut held = VecDeque::new();
    for reload in 1..=RELOADS {
        let gate = app.rig.gate(&format!("swap.{reload}"));
        let request = load.hold(&gate);
        assert!(
            request.generation <= reload,
            "generation {} is not there yet",
            reload + 1
        );
        held.push_back((gate, request));
        app.reload_well();
        load.wait_for_generation(reload + 1, SOON);
        if held.len() == SWAPS_HELD {
            let (mut gate, request) = held.pop_front().expect("there are three");
            gate.open();
            load.finish(request);
        }
    }
    for (mut gate, request) in held {
        gate.open();
        load.finish(request);
    }
    load.wait_for_generation(RELOADS + 1, SOON);
    let report = load.stop();
    println!("{RELOADS} reloads\n{report}");
    report.assert_no_failures();
    let generations: Vec<u64> = report.generations.keys().copied().collect();
    let all: Vec<u64> = (1..=RELOADS + 1).collect();
    assert_eq!(generations, all, "every generation has answered");
    app.wait_until_drained();
    assert_eq!(app.property("NRestarts"), "0");
}

#[test]
fn a_unix_socket_is_swapped_like_any_other() {
    let Some(app) = App::new("") else { return };
    let socket = "[Socket]\nListenStream=\nListenStream=/run/app.sock\nNoDelay=no\n";
    app.rig.drop_in("app.socket", socket);
    app.rig.ok(&["systemctl", "start", "app.socket"]);
    let target = crate::support::http::Target::unix(app.rig.path("/run/app.sock"));
    let load = Load::start(&target, Plan::default());
    load.wait_for_generation(1, SOON);
    for _ in 0..10 {
        app.reload_well();
    }
    load.wait_for_generation(11, SOON);
    let report = load.stop();
    println!("10 reloads on a unix socket\n{report}");
    report.assert_no_failures();
}
