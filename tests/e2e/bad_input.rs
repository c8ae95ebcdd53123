//! Input that cannot be right: one line that names the thing and the reason, the documented exit code,
//! and nothing left running or bound.

use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::app::{App, SOON};
use crate::support::http::Target;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::programs;

/// The exit code when no generation could be started.
const NEVER_SERVED: i32 = 69;

/// `sd-starter ARGUMENTS`, with an address that it is given as `ADDRESS`: one line begins with `line`.
#[track_caller]
fn refuses(arguments: &[&str], code: i32, line: &str) {
    let address = free_address();
    let spelled = |argument: &&str| argument.replace("ADDRESS", &address.to_string());
    let mut start = command(programs::SD_STARTER);
    start.args(arguments.iter().map(spelled));
    let mut supervisor = Supervisor::start(&mut start);
    let ended = supervisor.wait_for_code(SOON);
    let stderr = supervisor.stderr();
    assert_eq!(ended, code, "exit code of {arguments:?}:\n{stderr}");
    let line = format!("sd-starter: {line}");
    let said = stderr.lines().filter(|said| said.starts_with(&line));
    assert_eq!(
        said.count(),
        1,
        "{arguments:?} must say {line:?}:\n{stderr}"
    );
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
        "error: invalid value 'FOO' for '--signal-on-hup': no such signal",
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
        "error: invalid value 'SIGFOO' for '--signal-on-term': no such signal",
    );
}

#[test]
fn a_port_in_use_is_refused() {
    let holder = TcpListener::bind(free_address()).expect("a free address");
    let taken = holder.local_addr().expect("a bound socket").to_string();
    let both = ["--port", "ADDRESS", "--port", &taken, "--", "true"];
    refuses(
        &both,
        98,
        &format!("cannot listen on {taken}: Address already in use"),
    );
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
    refuses(
        &both,
        255,
        "cannot resolve host nowhere.invalid in --port nowhere.invalid:80: ",
    );
}

#[test]
fn a_port_above_65535_is_refused() {
    refuses(
        &["--port", "ADDRESS", "--port", "99999", "--", "true"],
        255,
        "error: invalid value '99999' for '--port': the port number is above 65535",
    );
}

#[test]
fn two_sockets_on_one_fd_are_refused() {
    let other = free_address();
    let pinned = format!("{other}=4");
    let both = ["--port", "ADDRESS=4", "--port", &pinned, "--", "true"];
    let said = format!(
        "error: invalid value '{pinned}' for '--port': \
         another port is put on that file descriptor already"
    );
    refuses(&both, 255, &said);
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
        &gives_up("changing directory to /nowhere: No such file or directory"),
    );
}

/// The one line that says why.
fn gives_up(reason: &str) -> String {
    format!("giving up, nothing ever served: generation 1 failed: {reason}")
}

#[test]
fn a_program_that_is_not_there_is_refused() {
    for (program, reason) in [
        (
            "/nowhere/program",
            "executing /nowhere/program: No such file or directory",
        ),
        // From PATH.
        (
            "no-such-program",
            "executing no-such-program: No such file or directory",
        ),
        ("/etc/passwd", "executing /etc/passwd: Permission denied"),
        ("/etc", "executing /etc: Permission denied"),
    ] {
        let start = [
            "--attempts",
            "1",
            "--port",
            "ADDRESS",
            "--",
            program,
            "argument",
        ];
        refuses(&start, NEVER_SERVED, &gives_up(reason));
    }
}

#[test]
fn a_directory_that_may_not_be_entered_is_refused() {
    let Some(app) = App::new("") else { return };
    app.release("locked", "hello", |_| {});
    app.rig.ok(&["chmod", "0700", "/srv/app/locked"]);
    // Once is enough to see it.
    app.exec_start("/usr/bin/sd-starter --dir /srv/app/locked -- ./hello\nRestart=no");
    let start = app
        .rig
        .run(&["systemctl", "start", "app.socket", "app.service"]);
    assert!(!start.status.success(), "{start}");
    assert_eq!(app.property("Result"), "exit-code");
    assert_eq!(app.property("ExecMainStatus"), NEVER_SERVED.to_string());
    let reason = "generation 1 failed: changing directory to /srv/app/locked: Permission denied";
    assert_eq!(app.property("StatusText"), reason);
    let journal = app.journal();
    let lines = journal
        .lines()
        .filter(|line| line.starts_with("giving up, "));
    let given_up = format!("giving up, nothing ever served: {reason}");
    assert_eq!(lines.collect::<Vec<_>>(), [given_up], "{journal}");
}

#[test]
fn a_pin_takes_its_number_from_nobody() {
    for (pin, numbers) in [(4, (3, 4)), (3, (4, 3)), (9, (3, 9))] {
        let (free, pinned) = (free_address(), free_address());
        let mut start = command(programs::SD_STARTER);
        start.args(["--ready", "notify", "--port", &free.to_string()]);
        start.args(["--port", &format!("{pinned}={pin}"), "--"]);
        start.arg(programs::hello()).arg("--ready");
        let mut supervisor = Supervisor::start(&mut start);
        supervisor.wait_for_line("is ready after", SOON);
        for address in [free, pinned] {
            let report = Target::inet(address).get("/report").expect("both serve");
            let report: serde_json::Value = serde_json::from_str(&report.body).expect("JSON");
            let ports = format!("{free}={};{pinned}={}", numbers.0, numbers.1);
            assert_eq!(report["environment"]["SERVER_STARTER_PORT"], ports);
        }
        supervisor.signal(Signal::SIGTERM);
        assert_eq!(supervisor.wait_for_code(SOON), 0);
    }
}

#[test]
fn no_program_is_refused() {
    refuses(&["--port", "ADDRESS"], 255, "server program not specified");
}
