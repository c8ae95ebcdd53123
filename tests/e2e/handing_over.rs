//! Servers that know neither protocol: placeholders, einhorn's variables, a socket on standard input.
//! And a program that is its own supervisor.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::http::Target;
use crate::support::process::{Supervisor, command, free_address, free_port};
use crate::support::programs::{self, SD_STARTER, STARTERCTL};
use crate::support::scratch::Scratch;
use crate::support::wait;

const SOON: Duration = Duration::from_secs(30);

/// Runs a shell command as the worker, and returns the lines that it has written to the file `$OUT`.
fn worker_says(options: &[&str], out: &Path, script: &str, arguments: &[&str]) -> Vec<String> {
    let mut start = command(SD_STARTER);
    start
        .args(options)
        .args(["--", "/bin/sh", "-c"])
        .arg(format!(
            "{script} >$OUT.new; mv $OUT.new $OUT; exec sleep 600"
        ))
        .arg("sh")
        .args(arguments)
        .env("OUT", out)
        .env(
            "LISTEN",
            "{addr:[::1]:PORT}={fd:[::1]:PORT}".replace("PORT", port_of(options)),
        )
        .env("JSON", "{\"fd\": {}}");
    let _supervisor = Supervisor::start(&mut start);
    wait::until("the worker's words", SOON, || out.exists());
    let text = fs::read_to_string(out).expect("written whole");
    text.lines().map(str::to_owned).collect()
}

/// The port of the option `[::1]:PORT`.
fn port_of<'a>(options: &[&'a str]) -> &'a str {
    let inet6 = options
        .iter()
        .find_map(|option| option.strip_prefix("[::1]:"));
    inet6.expect("an IPv6 address among the options")
}

#[test]
fn placeholders_are_filled_in() {
    let scratch = Scratch::new();
    let (one, two) = (free_address(), free_port());
    let path = scratch.join("a.sock");
    let (tcp, inet6, path) = (
        one.to_string(),
        format!("[::1]:{two}"),
        path.display().to_string(),
    );
    let options = [
        "--expand", "--port", &tcp, "--port", &inet6, "--path", &path,
    ];
    let arguments = [
        format!("--fd={{fd:{tcp}}}"),
        format!("{{port:{tcp}}}"),
        format!("{{addr:{path}}}:{{fd:{path}}}"),
        format!("{{{{fd:{tcp}}}"),
    ];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let script = "for each in \"$@\" \"$LISTEN\" \"$JSON\"; do echo \"$each\"; done";
    let lines = worker_says(&options, &scratch.join("out"), script, &arguments);
    let expected = [
        "--fd=3".to_owned(),
        one.port().to_string(),
        format!("{path}:5"),
        format!("{{fd:{tcp}}}"),
        format!("{inet6}=4"),
        "{\"fd\": {}}".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn without_the_option_nothing_is_looked_at() {
    let scratch = Scratch::new();
    let inet6 = format!("[::1]:{}", free_port());
    let script = "echo \"$1\"; echo \"${EINHORN_FDS-none}\"";
    let out = scratch.join("out");
    let lines = worker_says(
        &["--port", &inet6],
        &out,
        &format!("{{ {script}; }}"),
        &["{fd:x}"],
    );
    assert_eq!(lines, ["{fd:x}", "none"]);
}

#[test]
fn a_placeholder_that_stands_for_nothing_is_an_error_at_the_start() {
    let scratch = Scratch::new();
    let (tcp, path) = (
        free_address().to_string(),
        scratch.join("a.sock").display().to_string(),
    );
    for (argument, reason) in [
        (
            "{fd:ftp}".to_owned(),
            "no socket has the key or the name \"ftp\"",
        ),
        (format!("{{port:{path}}}"), "has no port"),
        (
            format!("{{dir:{tcp}}}"),
            "unknown placeholder; there are fd, port and addr",
        ),
        (
            "{fd:unknown}".to_owned(),
            "2 sockets have the name \"unknown\"",
        ),
    ] {
        let inet6 = format!("[::1]:{}", free_port());
        let output = command(SD_STARTER)
            .args(["--port", &inet6, "--attempts", "1"])
            .args([
                "--expand",
                "--port",
                &tcp,
                "--path",
                &path,
                "--",
                "/bin/true",
                "x",
            ])
            .arg(&argument)
            .stdin(Stdio::null())
            .output()
            .expect("it can be started");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let place = format!("--expand: argument 2: {argument}: ");
        assert!(
            text.contains(&place) && text.contains(reason),
            "{argument}: {text}"
        );
    }
}

#[test]
fn einhorns_variables() {
    let scratch = Scratch::new();
    let tcp = free_address().to_string();
    let inet6 = format!("[::1]:{}", free_port());
    let options = ["--einhorn", "--port", &tcp, "--port", &inet6];
    let lines = worker_says(
        &options,
        &scratch.join("out"),
        "env | grep ^EINHORN_ | sort",
        &[],
    );
    let expected = [
        "EINHORN_FDS=3 4",
        "EINHORN_FD_0=3",
        "EINHORN_FD_1=4",
        "EINHORN_FD_COUNT=2",
        "EINHORN_FD_FAMILY_0=AF_INET",
        "EINHORN_FD_FAMILY_1=AF_INET6",
    ];
    assert_eq!(lines, expected);
}

/// `Starter`, from a program of somebody else's: it starts, swaps and stops as ours does.
#[test]
fn a_program_that_is_its_own_supervisor() {
    let (address, scratch) = (free_address(), Scratch::new());
    let control = scratch.join("control");
    let program = programs::example("own-supervisor");
    let mut start = command(program.to_str().expect("text"));
    start.arg(address.to_string()).arg(&control);
    let mut supervisor = Supervisor::start(&mut start);
    let target = Target::inet(address);
    wait::until("the first answer", SOON, || target.get("/").is_ok());
    let reload = Command::new(STARTERCTL)
        .arg("reload")
        .arg(&control)
        .output();
    let reload = reload.expect("it can be started");
    assert!(reload.status.success(), "{reload:?}");
    wait::until("the second generation", SOON, || {
        target
            .get("/")
            .is_ok_and(|answer| answer.generation().is_ok_and(|number| number == 2))
    });
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_for_code(SOON), 0, "{}", supervisor.stderr());
}
