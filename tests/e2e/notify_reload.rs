//! `Type=notify-reload` (systemd 253 and later): SIGHUP, then RELOADING=1 with a MONOTONIC_USEC that is
//! not before the signal, then READY=1. The manager is ours, as this machine's systemd may be older.

use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};

use crate::app::SOON;
use crate::support::http::Target;
use crate::support::manager::{FakeManager, Message};
use crate::support::process::{Supervisor, command, free_address};
use crate::support::scratch::Scratch;
use crate::support::{programs, wait};

/// The clock of MONOTONIC_USEC=, in microseconds.
fn monotonic_usec() -> u128 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Duration::from(now).as_micros()
}

fn says(name: &'static str) -> impl Fn(&Message) -> bool {
    move |message| message.value(name).is_some()
}

fn notify_reload(manager: &FakeManager) {
    let scratch = Scratch::new();
    let deploy = scratch.join("deploy");
    std::fs::write(&deploy, "--ready\n").expect("our directory");
    let address = free_address();
    let mut start = command(programs::SD_STARTER);
    start.args([
        "--ready",
        "notify",
        "--start-timeout",
        "5",
        "--port",
        &address.to_string(),
        "--",
    ]);
    start.arg(programs::hello()).arg("--deploy").arg(&deploy);
    start.env("NOTIFY_SOCKET", manager.address());
    let mut supervisor = Supervisor::start(&mut start);
    let ready = manager.wait_for("the first READY", SOON, says("READY"));
    assert_eq!(ready.pid, supervisor.pid(), "from us, not from the worker");
    assert_eq!(ready.uid, nix::unistd::getuid().as_raw());

    for (reload, flags, serving) in [(1, "--ready\n", 2), (2, "--exit-at-start 3\n", 2)] {
        std::fs::write(&deploy, flags).expect("our directory");
        let asked = monotonic_usec();
        supervisor.signal(Signal::SIGHUP);
        let reloading = manager.wait_for_nth("RELOADING", reload, SOON, says("RELOADING"));
        let usec = reloading
            .value("MONOTONIC_USEC")
            .and_then(|usec| usec.parse::<u128>().ok());
        let usec = usec.expect("a number, in the same datagram");
        assert!(
            (asked..=monotonic_usec()).contains(&usec),
            "{usec} is not the time of {asked}"
        );
        let ready = manager.wait_for_nth("READY", reload + 1, SOON, says("READY"));
        assert!(ready.at >= reloading.at);
        // The old generation may take one more, until SIGTERM has reached it.
        let target = Target::inet(address);
        let generation = || target.get("/").and_then(|answer| answer.generation()).ok();
        wait::for_value(
            "the generation that answers",
            SOON,
            Some(serving),
            generation,
        );
    }
    supervisor.signal(Signal::SIGTERM);
    manager.wait_for("STOPPING", SOON, says("STOPPING"));
    assert_eq!(supervisor.wait_for_code(SOON), 0);
    let order = manager.order(&["STATUS", "MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC"]);
    assert_eq!(
        order,
        [
            "READY",
            "RELOADING",
            "READY",
            "RELOADING",
            "READY",
            "STOPPING"
        ]
    );
}

#[test]
fn a_manager_on_a_path_hears_each_reload() {
    let scratch = Scratch::new();
    notify_reload(&FakeManager::at_path(&scratch.join("notify")));
}

#[test]
fn a_manager_on_an_abstract_address_hears_each_reload() {
    notify_reload(&FakeManager::at_abstract_name());
}

#[test]
fn a_manager_that_is_stuck_stops_nothing() {
    let manager = FakeManager::at_abstract_name();
    let address = free_address();
    let mut start = command(programs::SD_STARTER);
    start.args(["--ready", "notify", "--port", &address.to_string(), "--"]);
    start
        .arg(programs::hello())
        .arg("--ready")
        .env("NOTIFY_SOCKET", manager.address());
    let mut supervisor = Supervisor::start(&mut start);
    manager.wait_for("the first READY", SOON, says("READY"));
    manager.get_stuck();
    let target = Target::inet(address);
    let generation = || {
        target
            .get("/")
            .and_then(|answer| answer.generation())
            .unwrap_or(0)
    };
    // The queue holds ten datagrams (net.unix.max_dgram_qlen), and each reload has three to say.
    for reload in 1..=10 {
        supervisor.signal(Signal::SIGHUP);
        wait::until("the next generation", SOON, || generation() > reload);
    }
    manager.get_unstuck();
    let relieved = |message: &Message| message.text.contains("serving generation 11");
    manager.wait_for("the last STATUS", SOON, relieved);
    wait::for_value("the last word, not reloading", SOON, Some("READY"), || {
        let order = manager.order(&["STATUS", "MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC"]);
        order
            .last()
            .filter(|last| *last == "READY")
            .map(|_| "READY")
    });
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_for_code(SOON), 0);
}
