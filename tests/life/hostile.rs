//! A worker that says what it must not: systemd hears nothing of it, and we stay as we are.

use super::support::manager::FakeManager;
use super::support::process::{Supervisor, command};
use super::support::{programs, requirement, wait};
use super::{SOON, actor, start_script};

/// What systemd may hear of us while we serve.
const OURS: [&str; 3] = ["READY", "STATUS", "EXTEND_TIMEOUT_USEC"];

fn start_under(manager: &FakeManager, part: &[&str]) -> Supervisor {
    let mut command = command(programs::SD_STARTER);
    command
        .env("NOTIFY_SOCKET", manager.address())
        .args(["--ready", "notify", "--fd-store-max", "3", "--"])
        .arg(actor())
        .args(part);
    Supervisor::start(&mut command)
}

/// Of the supervisor, in KiB.
fn memory(supervisor: &Supervisor) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", supervisor.pid()));
    let status = status.expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words.and_then(|kib| kib.parse().ok()).expect("a number")
}

fn descriptors(supervisor: &Supervisor) -> usize {
    let list = std::fs::read_dir(format!("/proc/{}/fd", supervisor.pid()));
    list.expect("it lives").count()
}

#[test]
fn s6_nothing_of_it_reaches_systemd() {
    let manager = FakeManager::at_abstract_name();
    let part = [
        "say:STOPPING=1",
        "say:MAINPID=1",
        "say:NOTIFYACCESS=all",
        "say:RELOADING=1\\nMONOTONIC_USEC=1",
        "say:WATCHDOG_USEC=1",
        "say:WATCHDOG_USEC=0",
        "say:FDSTORE=1\\nFDNAME=x",
        "say:RESTART_RESET=1",
        "say:ERRNO=0\\nEXIT_STATUS=3\\nBUSERROR=x",
        "say:READY=1\\nSTOPPING=1",
        "1?say:ERRNO=5",
        "1?say:WATCHDOG=trigger",
        "2?say:STATUS=the last word",
        "wait",
    ];
    let mut supervisor = start_under(&manager, &part);
    manager.wait_for("the status of generation 2", SOON, |message| {
        message.text.contains("[gen 2] the last word")
    });
    let foreign = manager.order(&OURS);
    assert_eq!(foreign, [""; 0], "systemd heard these too");
    for message in manager.heard() {
        assert_eq!(message.text.trim_end().lines().count(), 1, "{message:?}");
        assert_eq!(message.pid, supervisor.pid());
    }
    supervisor.wait_for_line("generation 1 (pid ", SOON);
    supervisor.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(supervisor.wait(SOON).code(), Some(0));
}

#[test]
fn s9_floods_and_monsters_cost_neither_memory_nor_descriptors_nor_the_log() {
    let manager = FakeManager::at_abstract_name();
    let part = [
        "say:READY=1",
        "2?say-bytes:100000",
        "2?say-bytes:5000",
        "2?say-binary",
        "2?say-with:250:FDSTORE=1\\nFDNAME=x",
        "2?say-with:253:STATUS=many",
        "2?say-with:253:FDSTORE=1\\nFDNAME=a:b",
        "2?flood:20000",
        "2?say:STATUS=survived",
        "wait",
    ];
    let supervisor = start_under(&manager, &part);
    supervisor.wait_for_line("is ready", SOON);
    let before = (memory(&supervisor), descriptors(&supervisor));
    supervisor.signal(nix::sys::signal::Signal::SIGHUP);
    manager.wait_for("the end of the flood", SOON, |message| {
        message.text.contains("[gen 2] survived")
    });
    // Three are kept in the store; the old generation's go with it.
    wait::until("the descriptors to be as before", SOON, || {
        descriptors(&supervisor) <= before.1 + 3
    });
    wait::until("its memory to be less than a MiB more", SOON, || {
        memory(&supervisor).saturating_sub(before.0) < 1024
    });
    // What was said to the manager may be heard before the line is read.
    supervisor.wait_for_line("threw away what generation 2 sent", SOON);
    let log = supervisor.stderr();
    assert!(log.lines().count() < 40, "{log}");
}

#[test]
fn systemd_notify_and_its_barrier_are_answered() {
    if !requirement::file("/usr/bin/systemd-notify", "systemd") {
        return;
    }
    // It waits until everything before its barrier has been read.
    let script = "systemd-notify --ready --status=hello && echo answered >&2; exec sleep 1000";
    let supervisor = start_script(&["--ready", "notify"], script);
    supervisor.wait_for_line("is ready after", SOON);
    supervisor.wait_for_line("answered", SOON);
}
