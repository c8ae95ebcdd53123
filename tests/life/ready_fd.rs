//! `--ready=fd:N`: ready is who writes a line feed there, and nobody else.

use super::support::scratch::Scratch;
use super::{SOON, start_script};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

const FD: &[&str] = &["--ready", "fd:5", "--interval", "0.1", "--attempts", "1"];

#[test]
fn early() {
    let supervisor = start_script(FD, "echo >&5; exec sleep 1000");
    supervisor.wait_for_line("generation 1 (pid ", SOON);
    supervisor.wait_for_line("is ready after", SOON);
}

#[test]
fn late_and_with_the_old_one_serving_until_then() {
    let scratch = Scratch::new();
    let gate = scratch.join("gate");
    mkfifo(&gate, Mode::S_IRWXU).expect("a new FIFO");
    let script = format!(
        "read x <{}; echo ready >&5; exec sleep 1000",
        gate.display()
    );
    let supervisor = start_script(FD, &script);
    supervisor.wait_for_line("starting generation 1", SOON);
    std::fs::write(&gate, "go\n").expect("somebody reads");
    supervisor.wait_for_line("generation 1 (pid ", SOON);
    supervisor.wait_for_line("is ready after", SOON);
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("starting generation 2", SOON);
    std::fs::write(&gate, "go\n").expect("somebody reads");
    supervisor.wait_for_lines("is ready after", 2, SOON);
    supervisor.wait_for_line("sending TERM to generation 1", SOON);
}

#[test]
fn never() {
    // A descriptor that is closed says nothing; nor does a text without a line feed.
    let options = [FD, &["--start-timeout", "0.5"]].concat();
    let script = "printf nearly >&5; exec 5>&-; exec sleep 1000";
    let mut supervisor = start_script(&options, script);
    assert_eq!(supervisor.wait(SOON).code(), Some(69));
    let log = supervisor.stderr();
    assert!(log.contains("not ready after 500 ms"), "{log}");
}

#[test]
fn dies_before() {
    let mut supervisor = start_script(FD, "exit 3");
    assert_eq!(supervisor.wait(SOON).code(), Some(69));
    let log = supervisor.stderr();
    assert!(log.contains("exited with status 3 after"), "{log}");
    assert!(log.contains("before it was ready"), "{log}");
}

#[test]
fn dies_after() {
    // Once the line feed has been read nobody reads any more: then it dies.
    let script = "[ $SERVER_STARTER_GENERATION = 1 ] || { echo >&5; exec sleep 1000; }; \
                  trap '' PIPE; while echo >&5; do :; done 2>&-; exit 7";
    let supervisor = start_script(FD, script);
    supervisor.wait_for_line("died: exited with status 7; starting another one now", SOON);
    supervisor.wait_for_lines("is ready after", 2, SOON);
}
