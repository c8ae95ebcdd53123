//! Input that cannot be right: one line that names the thing and the reason, the documented exit code,
//! and nothing left running or bound.

use std::net::TcpListener;

use crate::app::SOON;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::programs;

/// The exit code when no generation could be started.
const NEVER_SERVED: i32 = 69;

/// `sd-starter ARGUMENTS`, and an address that it is given as `ADDRESS`.
#[track_caller]
fn refuses(arguments: &[&str], code: i32, words: &[&str]) {
    let address = free_address();
    let spelled = |argument: &&str| argument.replace("ADDRESS", &address.to_string());
    let mut start = command(programs::SD_STARTER);
    start.args(arguments.iter().map(spelled));
    let mut supervisor = Supervisor::start(&mut start);
    let ended = supervisor.wait_for_code(SOON);
    let stderr = supervisor.stderr();
    assert_eq!(ended, code, "exit code of {arguments:?}:\n{stderr}");
    for word in words {
        let word = word.replace("ADDRESS", &address.to_string());
        assert!(
            stderr.contains(&word),
            "{arguments:?} must say {word:?}:\n{stderr}"
        );
    }
    // Where a generation was tried there is a story to tell; else one line says it all.
    let lines = stderr.lines().filter(|line| !line.is_empty()).count();
    assert!(
        lines == 1 || code == NEVER_SERVED,
        "one line for {arguments:?}:\n{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(
        supervisor.members().is_empty(),
        "left running: {:?}",
        supervisor.members()
    );
    TcpListener::bind(address).expect("nothing is left bound");
}

#[test]
fn an_unknown_signal_is_refused() {
    refuses(
        &["--signal-on-hup", "FOO", "--port", "ADDRESS", "--", "true"],
        1,
        &["FOO"],
    );
    refuses(
        &[
            "--signal-on-term",
            "SIGFOO",
            "--port",
            "ADDRESS",
            "--",
            "true",
        ],
        1,
        &["SIGFOO"],
    );
}

#[test]
fn a_port_in_use_is_refused() {
    let holder = TcpListener::bind(free_address()).expect("a free address");
    let taken = holder.local_addr().expect("a bound socket").to_string();
    let both = ["--port", "ADDRESS", "--port", &taken, "--", "true"];
    refuses(&both, 98, &[&format!("{taken}: Address already in use")]);
}

#[test]
fn a_host_that_nobody_knows_is_refused() {
    let both = [
        "--port",
        "ADDRESS",
        "--port",
        "nowhere.invalid:80",
        "--",
        "true",
    ];
    refuses(&both, 255, &["nowhere.invalid"]);
}

#[test]
fn a_port_above_65535_is_refused() {
    refuses(
        &["--port", "ADDRESS", "--port", "99999", "--", "true"],
        255,
        &["99999"],
    );
}

#[test]
fn two_sockets_on_one_fd_are_refused() {
    let other = free_address();
    let pinned = format!("{other}=4");
    let both = ["--port", "ADDRESS=4", "--port", &pinned, "--", "true"];
    refuses(&both, 255, &[&format!("{other}")]);
    TcpListener::bind(other).expect("nothing is left bound");
}

#[test]
fn a_directory_that_is_not_there_is_refused() {
    let there = [
        "--attempts",
        "1",
        "--dir",
        "/nowhere",
        "--port",
        "ADDRESS",
        "--",
        "true",
    ];
    refuses(
        &there,
        NEVER_SERVED,
        &["/nowhere: No such file or directory"],
    );
}

#[test]
fn no_program_is_refused() {
    refuses(&["--port", "ADDRESS"], 255, &["program"]);
}
