//! Whatever a worker gets beside its sockets, it gets nothing else.

use super::support::process::free_address;
use super::support::wait;
use super::{SOON, start_script};
use nix::sys::signal::Signal;

#[test]
fn the_readiness_pipe_and_the_sockets_are_all_there_is() {
    let address = free_address().to_string();
    let options = ["--ready", "fd:7", "--fd-store-max", "2", "--port", &address];
    let supervisor = start_script(&options, "echo >&7; exec sleep 1000");
    let line = supervisor.wait_for_line("is ready", SOON);
    let words = line
        .split("(pid ")
        .nth(1)
        .and_then(|rest| rest.split(')').next());
    let worker = format!("/proc/{}", words.expect("a pid"));
    // Until the dynamic loader has closed what it reads for sleep.
    let expected = ["0", "1", "2", "3", "7"];
    wait::for_value("the worker's descriptors", SOON, expected, || {
        let list = std::fs::read_dir(format!("{worker}/fd")).expect("it lives");
        let names = list
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    });
}

#[test]
fn a_worker_that_dies_of_its_signal_is_named_once() {
    let supervisor = start_script(&["--interval", "0.1"], "exec sleep 1000");
    for generation in [1, 2, 3] {
        supervisor.wait_for_lines("is ready", generation, SOON);
        supervisor.signal(Signal::SIGHUP);
    }
    supervisor.wait_for_lines("has left", 3, SOON);
    let log = supervisor.stderr();
    assert_eq!(log.matches("does not catch TERM").count(), 1, "{log}");
}

/// AnyEvent for one does not catch a signal that was ignored when it began, as SIGQUIT is in whatever a
/// script has started with "&".
#[test]
fn a_worker_that_ignores_its_signal_is_named_once() {
    let options = ["--ready", "fd:5", "--drain-timeout", "0.2"];
    let supervisor = start_script(&options, "trap '' TERM; echo >&5; exec sleep 1000");
    for generation in [1, 2, 3] {
        supervisor.wait_for_lines("is ready", generation, SOON);
        supervisor.signal(Signal::SIGHUP);
    }
    supervisor.wait_for_lines("has left", 3, SOON);
    let log = supervisor.stderr();
    assert_eq!(log.matches("ignores TERM").count(), 1, "{log}");
}

#[test]
fn a_worker_that_catches_its_signal_is_not_named() {
    let script = "trap 'exit 0' TERM; echo >&5; while :; do sleep 0.05; done";
    let supervisor = start_script(&["--ready", "fd:5"], script);
    supervisor.wait_for_lines("is ready", 1, SOON);
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("has left", SOON);
    let log = supervisor.stderr();
    assert!(
        !log.contains("does not catch") && !log.contains("ignores"),
        "{log}"
    );
}
