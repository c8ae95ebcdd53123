//! The supervisor is replaced in the middle of everything: by itself here, which is as good as any
//! other build.

use super::support::process::Supervisor;
use super::support::scratch::Scratch;
use super::support::wait;
use super::{SOON, pid_in, runs, start_actor, start_script};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

fn upgrade(supervisor: &Supervisor, times: usize) {
    supervisor.signal(Signal::SIGUSR2);
    supervisor.wait_for_lines("upgraded in place", times, SOON);
}

#[test]
fn a_worker_can_say_that_it_is_ready_to_whoever_leads_it_by_then() {
    let scratch = Scratch::new();
    let gate = scratch.join("gate");
    mkfifo(&gate, Mode::S_IRWXU).expect("a new FIFO");
    let script = format!(
        "read x <{}; echo ready >&5; exec sleep 1000",
        gate.display()
    );
    let options = ["--ready", "fd:5", "--attempts", "1"];
    let supervisor = start_script(&options, &script);
    supervisor.wait_for_line("starting generation 1", SOON);
    upgrade(&supervisor, 1);
    upgrade(&supervisor, 2);
    std::fs::write(&gate, "go\n").expect("somebody reads");
    supervisor.wait_for_line("is ready after", SOON);
}

#[test]
fn a_message_that_was_sent_meanwhile_is_read() {
    let part = ["say:STATUS=one", "say:READY=1", "pet:50"];
    let options = ["--ready", "notify", "--worker-watchdog", "5"];
    let supervisor = start_actor(&options, &part);
    supervisor.wait_for_line("is ready after", SOON);
    for times in 1..=5 {
        upgrade(&supervisor, times);
    }
    assert!(!supervisor.stderr().contains("no sign of life"));
    assert!(!supervisor.stderr().contains("cannot "));
}

#[test]
fn a_command_that_is_asking_goes_on_and_its_answer_counts() {
    let scratch = Scratch::new();
    let (gate, pid) = (scratch.join("gate"), scratch.join("pid"));
    mkfifo(&gate, Mode::S_IRWXU).expect("a new FIFO");
    let command = format!(
        "command:echo $$ >{}; read x <{}",
        pid.display(),
        gate.display()
    );
    let supervisor = start_script(&["--ready", &command, "--attempts", "1"], "exec sleep 1000");
    let asking = pid_in(&pid);
    upgrade(&supervisor, 1);
    assert!(runs(asking), "it is not asked anew");
    std::fs::write(&gate, "yes\n").expect("it reads");
    supervisor.wait_for_line("is ready after", SOON);
    wait::until("the end of the command", SOON, || !runs(asking));
}

#[test]
fn what_a_worker_has_stored_is_there_for_the_next_one() {
    let part = [
        "tell-store",
        "1?store:state:forty-two",
        "say:READY=1",
        "wait",
    ];
    let options = ["--fd-store-max", "4", "--ready", "notify"];
    let supervisor = start_actor(&options, &part);
    supervisor.wait_for_line("is ready after", SOON);
    upgrade(&supervisor, 1);
    upgrade(&supervisor, 2);
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("generation 2 has state=forty-two", SOON);
}

#[test]
fn a_signal_that_is_forwarded_is_no_upgrade() {
    let script = "trap 'echo got it >&2' USR2; echo up >&2; while :; do sleep 0.1; done";
    let options = ["--ready", "alive", "--interval", "0.3", "--forward", "USR2"];
    let supervisor = start_script(&options, script);
    supervisor.wait_for_line("is ready after", SOON);
    // Before that the signal would end it.
    supervisor.wait_for_line("up", SOON);
    supervisor.signal(Signal::SIGUSR2);
    supervisor.wait_for_line("got it", SOON);
    assert!(!supervisor.stderr().contains("upgrade"));
}
