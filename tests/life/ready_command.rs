//! `--ready=command:CMD`: ready is whom the command finds ready.

use super::support::scratch::Scratch;
use super::support::wait;
use super::{SOON, pid_in, runs, start_script};

const WORKER: &str = "exec sleep 1000";

#[test]
fn the_command_is_told_whom_to_ask_about_and_asked_until_it_says_yes() {
    let scratch = Scratch::new();
    let (asked, answer) = (scratch.join("asked"), scratch.join("answer"));
    let command = format!(
        "command:echo $WORKER_PID $SERVER_STARTER_GENERATION >>{}; test -e {}",
        asked.display(),
        answer.display()
    );
    let supervisor = start_script(&["--ready", &command, "--interval", "0.1"], WORKER);
    let line = supervisor.wait_for_line("starting generation 1 (pid ", SOON);
    let pid = line
        .split("(pid ")
        .nth(1)
        .expect("a pid")
        .trim_end_matches(')');
    wait::until("three questions", SOON, || {
        std::fs::read_to_string(&asked).is_ok_and(|text| text.lines().count() >= 3)
    });
    let text = std::fs::read_to_string(&asked).expect("asked");
    assert_eq!(text.lines().next(), Some(format!("{pid} 1").as_str()));
    assert!(!supervisor.stderr().contains("is ready"));
    std::fs::write(&answer, "").expect("writable");
    supervisor.wait_for_line("is ready after", SOON);
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let scratch = Scratch::new();
    let pid = scratch.join("pid");
    let command = format!("command:sleep 1000 & echo $! >{}; wait", pid.display());
    let options = [
        "--ready",
        &command,
        "--start-timeout",
        "3",
        "--attempts",
        "1",
    ];
    let mut supervisor = start_script(&options, WORKER);
    let child = pid_in(&pid);
    assert!(runs(child));
    assert_eq!(supervisor.wait(SOON).code(), Some(69));
    wait::until("the end of the command's child", SOON, || !runs(child));
}

#[test]
fn what_a_command_leaves_behind_is_killed_too() {
    let scratch = Scratch::new();
    let pid = scratch.join("pid");
    let command = format!("command:sleep 1000 & echo $! >{}", pid.display());
    let supervisor = start_script(&["--ready", &command], WORKER);
    supervisor.wait_for_line("is ready after", SOON);
    let child = pid_in(&pid);
    wait::until("the end of the command's child", SOON, || !runs(child));
}

#[test]
fn a_command_is_of_no_use_once_its_worker_is_dead() {
    let scratch = Scratch::new();
    let pid = scratch.join("pid");
    let command = format!("command:echo $$ >{}; exec sleep 1000", pid.display());
    let script = format!(
        "until [ -s {} ]; do sleep 0.01; done; exit 4",
        pid.display()
    );
    let mut supervisor = start_script(&["--ready", &command, "--attempts", "1"], &script);
    assert_eq!(supervisor.wait(SOON).code(), Some(69));
    assert!(supervisor.stderr().contains("exited with status 4"));
    let asked = pid_in(&pid);
    wait::until("the end of the command", SOON, || !runs(asked));
}
