//! `starterctl upgrade` and SIGUSR2, without systemd: what is refused, and what goes on through one.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::app::SOON;
use crate::instance::{Client, replace, text};
use crate::support::builds::{self, VERSION, install_bytes, other_version};
use crate::support::gate::Gate;
use crate::support::held::Held;
use crate::support::http::Target;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::programs;
use crate::support::scratch::Scratch;
use crate::support::wait;

/// A supervisor from a file of its own, which can be replaced.
struct Upgradable {
    supervisor: Supervisor,
    address: SocketAddr,
    program: PathBuf,
    scratch: Scratch,
}

impl Upgradable {
    fn start(options: &[&str]) -> Self {
        Self::start_as("sd-starter", options)
    }

    /// Called by a name that is a link to the program, unless it is the program's own.
    fn start_as(name: &str, options: &[&str]) -> Self {
        let scratch = Scratch::new();
        let address = free_address();
        let program = scratch.join("sd-starter");
        builds::install(VERSION, &program);
        let called = scratch.join(name);
        if called != program {
            symlink("sd-starter", &called).expect("a scratch directory");
        }
        std::fs::write(scratch.join("deploy"), "--ready\n--text v1").expect("a scratch directory");
        let directory = scratch.join("");
        let in_scratch =
            |option: &&str| option.replace("SCRATCH", directory.to_str().expect("UTF-8"));
        let mut start = command(called.to_str().expect("UTF-8"));
        start
            .args(["--ready", "notify", "--port", &address.to_string()])
            .arg("--control-socket")
            .arg(scratch.join("control"))
            .args(options.iter().map(in_scratch))
            .arg("--")
            .arg(programs::hello())
            .arg("--deploy")
            .arg(scratch.join("deploy"));
        let supervisor = Supervisor::start(&mut start);
        let started = Self {
            supervisor,
            address,
            program,
            scratch,
        };
        wait::for_some("the first answer", SOON, || started.answer());
        // It may answer before it has said that it is ready.
        wait::for_value("the generation", SOON, json!(1), || {
            started.status()["serving"].clone()
        });
        started
    }

    fn target(&self) -> Target {
        Target::inet(self.address)
    }

    /// The version that answers, if one does.
    fn answer(&self) -> Option<String> {
        let answer = self.target().get("/").and_then(|answer| answer.version());
        answer.ok()
    }

    fn deploy(&self, flags: &str) {
        replace(&self.scratch.join("deploy"), flags);
    }

    fn ctl(&self, words: &[&str]) -> Command {
        let mut ctl = command(programs::STARTERCTL);
        ctl.args(words)
            .arg("--control-socket")
            .arg(self.scratch.join("control"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ctl
    }

    fn run(&self, words: &[&str]) -> Output {
        self.ctl(words).output().expect("starterctl can be started")
    }

    #[track_caller]
    fn upgrade_well(&self) {
        let output = self.run(&["upgrade"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    fn status(&self) -> Value {
        Client::connect(&self.scratch.join("control")).call("GetStatus", json!({}))["parameters"]
            .take()
    }

    fn gate(&self, name: &str) -> Gate {
        let path = self.scratch.join(name);
        Gate::closed(path.clone(), &path)
    }

    fn stop(&mut self) {
        self.supervisor.signal(Signal::SIGTERM);
        assert_eq!(self.supervisor.wait_for_code(SOON), 0);
        assert!(self.supervisor.members().is_empty(), "nothing is left");
    }
}

/// A file that cannot take over; the line must say why. Nothing may have happened.
#[track_caller]
fn refuses(running: &Upgradable, reason: &str) {
    let before = running.status();
    let started = std::time::Instant::now();
    let output = running.run(&["upgrade"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("not upgraded, nothing has changed: "),
        "{said}"
    );
    assert!(said.contains(reason), "it must say {reason:?}: {said}");
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "there is a limit"
    );
    let after = running.status();
    for same in ["pid", "version", "serving", "newest", "workers"] {
        let of = |status: &Value| match same {
            // Their age and their use of the processor grow.
            "workers" => status[same].as_array().map_or(0, Vec::len).into(),
            _ => status[same].clone(),
        };
        assert_eq!(of(&before), of(&after), "{same}");
    }
    assert_eq!(running.answer().as_deref(), Some("v1"));
    let supervisor_and_worker = 2;
    wait::for_value("the processes", SOON, supervisor_and_worker, || {
        running.supervisor.members().len()
    });
}

#[test]
fn a_program_that_cannot_take_over_is_refused_and_nothing_happens() {
    let mut running = Upgradable::start(&[]);
    let program = running.program.clone();
    let build = std::fs::read(programs::SD_STARTER).expect("cargo has built it");

    install_bytes(b"#!/bin/sh\nkill -SEGV $$\n", &program);
    refuses(&running, "was killed by signal 11");
    install_bytes(
        b"#!/bin/sh\necho 'cannot open shared object' >&2\nexit 127\n",
        &program,
    );
    refuses(
        &running,
        "exited with status 127: cannot open shared object",
    );
    install_bytes(b"#!/bin/sh\nsleep 600 &\nsleep 600\n", &program);
    refuses(&running, "did not answer within 10 s");
    install_bytes(b"#!/bin/sh\nexit 0\n", &program);
    refuses(&running, "ended without saying that it can take over");
    // e_machine of elf(5): no machine has this one.
    let mut foreign = build.clone();
    foreign[18..20].copy_from_slice(&[0xfe, 0xca]);
    install_bytes(&foreign, &program);
    refuses(&running, "Exec format error");
    // Its headers promise more than there is.
    install_bytes(&build[..64 * 1024], &program);
    refuses(&running, "/sd-starter");
    install_bytes(b"", &program);
    refuses(&running, "Exec format error");
    std::fs::remove_file(&program).expect("it was there");
    refuses(&running, "No such file or directory");
    std::fs::create_dir(&program).expect("nothing is there");
    refuses(&running, "Permission denied");
    std::fs::remove_dir(&program).expect("it is empty");

    builds::install(&other_version(), &program);
    running.upgrade_well();
    assert_eq!(running.status()["version"], other_version());
    running.stop();
}

#[test]
fn sigusr2_upgrades_and_the_log_says_which_version_took_over_from_which() {
    let mut running = Upgradable::start(&[]);
    builds::install(&other_version(), &running.program);
    running.supervisor.signal(Signal::SIGUSR2);
    let other = other_version();
    let line = format!("upgraded in place: version {other} has taken over from {VERSION}");
    running.supervisor.wait_for_line(&line, SOON);
    assert_eq!(running.status()["version"], other);
    running.stop();
}

#[test]
fn a_reload_and_a_drain_go_on_through_an_upgrade_and_everybody_has_an_answer() {
    let mut running = Upgradable::start(&["--drain-timeout", "60"]);
    let mut gate = running.gate("old");
    let held = Held::take(&running.target(), &gate).expect("it is taken");
    running.deploy("--ready --text v2");
    assert!(running.run(&["reload"]).status.success());
    // Generation 1 drains; generation 3 boots; one client waits for it, one for the end of the
    // drain, one hears everything.
    running.deploy("--ready --boot-ms 2000 --text v3");
    let reload = running.ctl(&["reload"]).spawn().expect("starterctl");
    let drained = running
        .ctl(&["wait", "--drained"])
        .spawn()
        .expect("starterctl");
    let mut monitor = Client::connect(&running.scratch.join("control"));
    monitor.send("Monitor", json!({}), true);
    assert_eq!(
        monitor.next().expect("an event")["parameters"]["event"],
        "watching"
    );
    running
        .supervisor
        .wait_for_line("starting generation 3", SOON);
    wait::for_value("those who wait", SOON, 2, || {
        running.status()["workers"].as_array().map_or(0, Vec::len) - 1
    });
    let pid = running.status()["pid"].clone();
    for _ in 0..3 {
        running.upgrade_well();
    }
    let reload = reload.wait_with_output().expect("starterctl");
    assert_eq!(text(&reload.stdout), "generation 3 serves\n");
    let status = running.status();
    assert_eq!((&status["pid"], &status["serving"]), (&pid, &json!(3)));
    assert_eq!(status["lastVerdict"]["verdict"], "serving");
    let drains = |status: &Value| {
        let workers = status["workers"].as_array().expect("a list").clone();
        workers.iter().any(|worker| worker["generation"] == 1)
    };
    assert!(drains(&status), "generation 1 is not forgotten: {status}");
    gate.open();
    assert_eq!(held.finish().expect("the rest of its answer"), 1);
    let drained = drained.wait_with_output().expect("starterctl");
    assert!(drained.status.success(), "{}", text(&drained.stderr));
    // Its exit status is known, because it is a child still.
    let left = running.supervisor.wait_for_line("generation 1 ", SOON);
    assert!(!left.is_empty());
    running
        .supervisor
        .wait_for_line("has left: exited with status 0", SOON);
    // Generation 1 was let go after the upgrades; 2 has left when 3 had booted, and on a slow machine that
    // was before the last of them.
    let mut heard = Vec::new();
    while !heard.contains(&("drained".to_owned(), Some(1))) {
        let event = &monitor.next().expect("events, through every upgrade")["parameters"];
        let name = event["event"].as_str().expect("a name").to_owned();
        heard.push((name, event["generation"].as_u64()));
    }
    assert!(
        heard.iter().filter(|(name, _)| name == "upgraded").count() == 3,
        "{heard:?}"
    );
    running.stop();
}

#[test]
fn a_start_that_fails_again_and_again_is_counted_on() {
    let mut running = Upgradable::start(&["--attempts", "unlimited", "--interval", "0.3"]);
    running.deploy("--exit-at-start 3");
    running.supervisor.signal(Signal::SIGHUP);
    running.supervisor.wait_for_line("(2 times in a row)", SOON);
    running.upgrade_well();
    running.supervisor.wait_for_line("upgraded in place", SOON);
    running.supervisor.wait_for_line("(4 times in a row)", SOON);
    assert_eq!(running.status()["reloadsFailed"], 1, "it is history, too");
    running.deploy("--ready --text v2");
    wait::for_value("the version", SOON, Some("v2".to_owned()), || {
        running.answer()
    });
    running.stop();
}

#[test]
fn a_stop_that_comes_with_an_upgrade_is_a_stop() {
    for _ in 0..5 {
        let mut running = Upgradable::start(&[]);
        running.supervisor.signal(Signal::SIGUSR2);
        running.supervisor.signal(Signal::SIGTERM);
        assert_eq!(running.supervisor.wait_for_code(SOON), 0);
        wait::until("nobody", SOON, || running.supervisor.members().is_empty());
    }
    // And one that comes in the middle of it, at whatever moment.
    for delay in [1, 3, 10, 30] {
        let mut running = Upgradable::start(&[]);
        running.supervisor.signal(Signal::SIGUSR2);
        std::thread::sleep(Duration::from_millis(delay));
        running.supervisor.signal(Signal::SIGTERM);
        assert_eq!(
            running.supervisor.wait_for_code(SOON),
            0,
            "after {delay} ms"
        );
        wait::until("nobody", SOON, || running.supervisor.members().is_empty());
    }
}

#[test]
fn a_worker_that_dies_during_the_trial_is_replaced_whoever_notices() {
    for delay in [0, 1, 3, 10] {
        let mut running = Upgradable::start(&[]);
        let pid = running.status()["workers"][0]["pid"]
            .as_i64()
            .expect("a pid");
        let upgrade = running.ctl(&["upgrade"]).spawn().expect("starterctl");
        std::thread::sleep(Duration::from_millis(delay));
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
        nix::sys::signal::kill(pid, Signal::SIGKILL).expect("our worker");
        let upgrade = upgrade.wait_with_output().expect("starterctl");
        assert!(upgrade.status.success(), "{}", text(&upgrade.stderr));
        running
            .supervisor
            .wait_for_line("died: killed by signal KILL", SOON);
        wait::for_value("the generation", SOON, json!(2), || {
            running.status()["serving"].clone()
        });
        running.stop();
    }
}

#[test]
fn the_name_the_files_and_the_locks_stay() {
    let options = [
        "--pid-file",
        "SCRATCHpid",
        "--status-file",
        "SCRATCHstatus",
        "--path",
        "SCRATCHsock",
        "--log-file",
        "| cat >>SCRATCHlog",
    ];
    let mut running = Upgradable::start_as("start_server", &options);
    let read = |name: &str| std::fs::read_to_string(running.scratch.join(name)).unwrap_or_default();
    let (pid, status) = (read("pid"), read("status"));
    assert_eq!(pid.trim_end(), running.supervisor.pid().to_string());
    for _ in 0..3 {
        builds::install(&other_version(), &running.program);
        running.upgrade_well();
    }
    assert_eq!((read("pid"), read("status")), (pid, status));
    // Another instance still finds the pid file locked, and the socket in use.
    let mut second = command(running.program.to_str().expect("UTF-8"));
    second.arg("--pid-file").arg(running.scratch.join("pid"));
    let second = second
        .args(["--", "true"])
        .output()
        .expect("it can be started");
    assert!(
        text(&second.stderr).contains("is in use"),
        "{}",
        text(&second.stderr)
    );
    // start_server's words, in the same log, written by the same command.
    running.deploy("--ready --text v2");
    running.supervisor.signal(Signal::SIGHUP);
    wait::for_value("the version", SOON, Some("v2".to_owned()), || {
        running.answer()
    });
    wait::until("the log", SOON, || {
        read("log").contains("received HUP, spawning a new worker")
    });
    let said = running.supervisor.stderr();
    assert_eq!(said.matches("starting now...").count(), 1, "it is one life");
    assert!(!read("log").contains("starting now..."));
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", running.supervisor.pid()));
    assert_eq!(comm.expect("it lives"), "start_server\n");
    running.stop();
    for gone in ["pid", "status", "sock", "control"] {
        assert!(!running.scratch.join(gone).exists(), "{gone}");
    }
}

/// `program`, executed in the place of a shell that leaves it this as the state.
fn with_state(state: &[u8], listener: &std::net::TcpListener) -> (Supervisor, Scratch) {
    let scratch = Scratch::new();
    std::fs::write(scratch.join("state"), state).expect("a scratch directory");
    std::fs::write(scratch.join("deploy"), "--ready\n--text v1").expect("a scratch directory");
    let address = listener.local_addr().expect("a bound socket").to_string();
    let mut start = command("sh");
    // The socket is as a predecessor in this process would have left it.
    let script = "exec 9<$1; shift; SD_STARTER_STATE=$$:9 exec \"$@\"";
    start.args(["-c", script, "sh"]).arg(scratch.join("state"));
    start.args([
        programs::SD_STARTER,
        "--ready",
        "notify",
        "--port",
        &address,
        "--",
    ]);
    start
        .arg(programs::hello())
        .arg("--deploy")
        .arg(scratch.join("deploy"));
    let keep = rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty());
    keep.expect("our socket");
    let supervisor = Supervisor::start(&mut start);
    let hide = rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::CLOEXEC);
    hide.expect("our socket");
    (supervisor, scratch)
}

#[test]
fn a_state_that_cannot_be_used_costs_no_listener() {
    let whole = include_bytes!("../fixtures/state/1/steady");
    let half = &whole[..whole.len() / 2];
    let torn = [&whole[..whole.len() / 2], &[b' '; 400]].concat();
    for (state, reason) in [
        (&b"garbage"[..], "it is not a state of sd-starter"),
        (b"", "it is not a state of sd-starter"),
        (half, "it is not as it was written"),
        (&torn, "it is not as it was written"),
        (b"sd-starter state 7 7 1 0\nx", "it has format 7"),
        (whole, "it is of another boot"),
    ] {
        let listener = std::net::TcpListener::bind(free_address()).expect("a free address");
        // Far from the one descriptor that the shell puts the state on.
        let listener = rustix::io::fcntl_dupfd_cloexec(&listener, 100).expect("a free descriptor");
        let listener = std::net::TcpListener::from(listener);
        let address = listener.local_addr().expect("a bound socket");
        // Comes before anybody can answer, and waits in the queue of the very socket.
        let early = Target::inet(address);
        let early = early.connect().expect("the socket listens");
        let (mut supervisor, _scratch) = with_state(state, &listener);
        drop(listener);
        let line = supervisor.wait_for_line("starting afresh: ", SOON);
        assert!(line.contains(reason), "{line}");
        let mut early = early;
        early.send("/", false).expect("it is connected");
        let answer = early.answer().expect("it was not lost").version();
        assert_eq!(answer.expect("a version"), "v1");
        supervisor.signal(Signal::SIGTERM);
        assert_eq!(supervisor.wait_for_code(SOON), 0);
    }
}
