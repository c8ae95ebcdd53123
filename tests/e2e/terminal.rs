//! What an operator sees: in a terminal (made by script(1)) and in a pipe.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::app::SOON;
use crate::instance::{Instance, text};
use crate::support::programs;
use crate::support::wait;

/// The columns of the terminal.
const COLUMNS: usize = 70;

/// `starterctl WORDS` in a terminal; what that gets goes to `typescript`.
fn terminal(
    instance: &Instance,
    words: &str,
    variables: &[(&str, &str)],
    typescript: &Path,
) -> Command {
    let (program, socket) = (programs::STARTERCTL, instance.socket());
    let line = format!(
        "stty cols {COLUMNS} rows 30; {program} {words} --control-socket {}",
        socket.display()
    );
    // script(1) is in Debian's bsdutils, which is essential.
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--flush", "--return", "--command", &line])
        .arg(typescript)
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    script
}

/// What a terminal gets of `starterctl WORDS`; `variables` are set for it.
fn shown(instance: &Instance, words: &str, variables: &[(&str, &str)]) -> String {
    let output = terminal(instance, words, variables, Path::new("/dev/null")).output();
    text(&output.expect("script(1) can be started").stdout)
}

/// Without what colours and moves.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => drop(characters.find(char::is_ascii_alphabetic)),
            '\r' => {}
            c => out.push(c),
        }
    }
    out
}

#[test]
fn a_status_fits_its_terminal() {
    let instance = Instance::start(&[]);
    instance.deploy("--exit-at-start 3");
    assert!(!instance.run(&["reload"]).status.success());

    let view = shown(&instance, "status", &[]);
    println!("{view}");
    assert!(view.contains("\x1b[1;32m●\x1b[0m "), "a green dot:\n{view}");
    assert!(
        view.contains("\x1b[1;31mgeneration 2 failed"),
        "a red verdict:\n{view}"
    );
    for line in plain(&view).lines() {
        assert!(line.chars().count() <= COLUMNS, "too long: {line}");
    }
    for variables in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let view = shown(&instance, "status", &[variables]);
        assert!(!view.contains('\x1b'), "{variables:?}:\n{view}");
    }

    let piped = text(&instance.run(&["status"]).stdout);
    assert!(!piped.contains('\x1b'), "{piped}");
    let worker = &instance.status()["workers"][0];
    let expected = format!("Serving: generation 1 (pid {})", worker["pid"]);
    assert!(piped.contains(&expected), "{piped}");
    let listener = format!("Listeners: {}  tcp", instance.address);
    assert!(piped.contains(&listener), "{piped}");
    assert!(
        piped.contains("Verdict: generation 2 failed: exited with status 3"),
        "{piped}"
    );
    assert!(piped.contains("So far: 1 failed reload"), "{piped}");
}

#[test]
fn a_long_reload_says_in_a_terminal_what_it_waits_for_and_nothing_in_a_pipe() {
    let instance = Instance::start(&[]);
    instance.deploy("--ready --boot-ms 4000 --text v2");
    let view = shown(&instance, "reload", &[]);
    println!("{}", view.escape_debug());
    assert!(view.contains(": waiting for generation 2 (pid "), "{view}");
    assert!(
        view.ends_with("\r\x1b[Kgeneration 2 serves\r\n"),
        "it is gone in the end:\n{view}"
    );

    instance.deploy("--ready --boot-ms 1000 --text v3");
    let output = instance.run(&["reload"]);
    assert_eq!(text(&output.stdout), "generation 3 serves\n");
    assert_eq!(text(&output.stderr), "");
    instance.deploy("--ready --boot-ms 1000 --text v4");
    let view = shown(&instance, "reload", &[("TERM", "dumb")]);
    assert_eq!(view, "generation 4 serves\r\n");
}

#[test]
fn a_watch_shows_what_happens() {
    let instance = Instance::start(&[]);
    let typescript = instance.socket().with_file_name("typescript");
    let mut watch = terminal(&instance, "status --watch", &[], &typescript);
    let watch = watch.spawn().expect("script(1) can be started");
    let seen = || text(&std::fs::read(&typescript).unwrap_or_default());
    wait::until("the first generation", SOON, || {
        seen().contains("Serving: generation 1 ")
    });
    // The ages move on by themselves.
    wait::until("another look", SOON, || {
        seen().matches("Command: ").count() > 1
    });
    instance.deploy("--ready --text v2");
    assert!(instance.run(&["reload"]).status.success());
    wait::until("the second generation", SOON, || {
        seen().contains("Serving: generation 2 ")
    });
    assert!(instance.run(&["stop"]).status.success());
    let ended = watch.wait_with_output().expect("our child");
    assert!(ended.status.success(), "the watch ends with the supervisor");
    let view = text(&ended.stdout);
    println!("{view}");
    assert!(view.contains("\x1b[H") && view.contains("\x1b[J"), "{view}");
    let plain = plain(&view);
    assert!(plain.contains("Serving: generation 1 "), "{plain}");
    assert!(plain.contains("Serving: generation 2 "), "{plain}");
    assert!(plain.contains("reload asked for by starterctl"), "{plain}");
}

#[test]
fn metrics_are_for_a_textfile_collector() {
    let instance = Instance::start(&[]);
    let metrics = text(&instance.run(&["status", "--openmetrics"]).stdout);
    assert!(metrics.ends_with("\n# EOF\n"), "{metrics}");
    assert!(
        !metrics.contains("last_reload"),
        "there was none:\n{metrics}"
    );
    instance.deploy("--exit-at-start 3");
    assert!(!instance.run(&["reload"]).status.success());
    let metrics = text(&instance.run(&["status", "--openmetrics"]).stdout);
    let value = |name: &str| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("sd_starter_{name}{{")));
        line.and_then(|line| line.rsplit_once(' '))
            .map(|(_, value)| value.to_owned())
    };
    assert_eq!(value("generation").as_deref(), Some("1"));
    assert_eq!(value("last_reload_success").as_deref(), Some("0"));
    assert_eq!(value("reloads_failed_total").as_deref(), Some("1"));
    assert_eq!(value("draining_generations").as_deref(), Some("0"));
    assert!(value("last_reload_timestamp_seconds").is_some());
}
