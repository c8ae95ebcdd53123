//! Those whom we tell things: a manager that does not listen, or is gone; a log command that ends.

use std::time::{Duration, Instant};

use crate::SOON;
use serde_json::json;

use crate::siege::{Client, Siege, lost, verdict};
use crate::support::manager::FakeManager;
use crate::support::record::{self, Promise};
use crate::support::wait;

const TRIES: u64 = 20;
/// How long an answer waits for systemd (`shell/manager.rs`).
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients that wait at once are held to a pace.
const STUCK: u64 = 5;

#[test]
fn a_manager_that_does_not_listen_delays_no_swap_and_no_answer_for_long_and_hears_the_end_of_it() {
    let manager = FakeManager::at_abstract_name();
    let variable = format!("NOTIFY_SOCKET={}", manager.address());
    let siege = Siege::start_as(&["env", &variable], &[], &[]);
    siege.settle();
    let load = siege.load();
    let before = siege.cost();
    manager.get_stuck();
    // The last word to systemd goes before the answer, so the answers wait for a while; the swaps do not.
    let asked = Instant::now();
    let mut newest = siege.newest();
    let mut clients = Vec::new();
    for _ in 0..STUCK {
        let mut client = Client::connect(&siege.control());
        client.send("Reload", &json!({}));
        clients.push(client);
        newest += 1;
        wait::until("the swap", SOON, || siege.status()["serving"] == newest);
    }
    let grown = siege.cost().memory.saturating_sub(before.memory);
    assert!(grown < 1024, "{grown} KiB more");
    // What they say is true, whether systemd listens or not: so they wait no longer than that.
    for client in &mut clients {
        verdict(&client.answer()).expect("a good build");
    }
    let waited = asked.elapsed();
    assert!(
        waited > PATIENCE / 2,
        "the answers did not wait: {waited:?}"
    );
    assert!(waited < PATIENCE + SOON, "{waited:?}");
    // Who asks now has waited long enough already.
    let mut client = Client::connect(&siege.control());
    client.send("Reload", &json!({}));
    verdict(&client.answer()).expect("a good build");
    newest += 1;
    manager.get_unstuck();
    // STATUS is the last one, however many were not taken.
    let last = format!("serving generation {newest} ");
    manager.wait_for("the last status", SOON, |message| {
        message.text.contains(&last)
    });
    wait::for_value("the READYs that are owed", SOON, 0, || {
        let order = manager.order(&["STATUS", "EXTEND_TIMEOUT_USEC", "MONOTONIC_USEC"]);
        order.iter().fold(0_i32, |owed, name| match name.as_str() {
            "RELOADING" => {
                assert_eq!(owed, 0, "{order:?}");
                1
            }
            "READY" => 0,
            _ => owed,
        })
    });
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "a stuck PID 1 (it does not read its notify socket)",
        STUCK,
        &format!(
            "swaps good, their answers wait five seconds for it and no longer; memory +{grown} KiB; afterwards it hears the last STATUS and every READY"
        ),
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn a_notify_socket_that_is_gone_delays_nothing() {
    let manager = FakeManager::at_abstract_name();
    let variable = format!("NOTIFY_SOCKET={}", manager.address());
    let siege = Siege::start_as(&["env", &variable], &[], &[]);
    siege.settle();
    let load = siege.load();
    drop(manager);
    let lines = siege.log_lines();
    for _ in 0..TRIES {
        siege.reload().expect("a good build");
    }
    siege.settle();
    let written = siege.log_lines() - lines;
    assert!(written < 200, "{}", siege.supervisor.stderr());
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "the notify socket is gone",
        TRIES,
        "reloads good; the log bounded",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn a_log_command_that_ends_at_once_stops_nobody() {
    let siege = Siege::start(&["--log-file", "| exec true"]);
    siege.settle();
    let load = siege.load();
    for _ in 0..TRIES {
        siege.reload().expect("a good build");
    }
    siege.settle();
    wait::for_value("zombies", SOON, 0, || siege.cost().zombies);
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "EPIPE: the log command ends at once, again and again",
        TRIES,
        "reloads good; the command is started again, with growing pauses",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}
