//! What a worker gets, and what it can do.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::AS_STRANGER;
use crate::SOON;
use crate::siege::{Siege, tool};
use crate::support::manager::FakeManager;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::scratch::Scratch;
use crate::support::{builds, programs, wait};

/// A supervisor with every file and socket that it can have, and `sleep` as its worker.
fn start_sleeper(scratch: &Scratch, ready: &str, variables: &[(&str, &str)]) -> Supervisor {
    let path = |name: &str| scratch.join(name).to_str().expect("UTF-8").to_owned();
    std::fs::create_dir_all(scratch.join("env")).expect("ours");
    let mut start = command(programs::SD_STARTER);
    start.envs(variables.iter().copied());
    start.args(["--port", &free_address().to_string(), "--ready", ready]);
    start.args(["--interval", "0.2", "--fd-store-max", "4"]);
    start.args(["--pid-file", &path("pid"), "--status-file", &path("status")]);
    start.args([
        "--control-socket",
        &path("control"),
        "--envdir",
        &path("env"),
    ]);
    start.args(["--", "sleep", "1000"]);
    Supervisor::start(&mut start)
}

fn worker(supervisor: &Supervisor) -> i32 {
    wait::for_some("the worker", SOON, || {
        let members = supervisor.members();
        let sleeps = |pid: &i32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == "sleep\n")
        };
        members.into_iter().find(sleeps)
    })
}

fn environment(pid: i32) -> Vec<String> {
    // In the midst of its exec it has the new name already, and no environment yet.
    let bytes = wait::for_some("its environment", SOON, || {
        let bytes = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
        (!bytes.is_empty()).then_some(bytes)
    });
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

#[test]
fn s4_a_worker_has_its_sockets_and_nothing_of_ours_open() {
    let scratch = Scratch::new();
    let manager = FakeManager::at_abstract_name();
    let supervisor = start_sleeper(&scratch, "alive", &[("NOTIFY_SOCKET", manager.address())]);
    for generation in 1..=3 {
        supervisor.wait_for_lines("is ready", generation, SOON);
        // Not the first of the members: the generation before may still be among them.
        let starting = format!("starting generation {generation} (pid ");
        let stderr = supervisor.stderr();
        let (_, rest) = stderr.split_once(&starting).expect("it says so");
        let (worker, _) = rest.split_once(')').expect("it says so");
        let expected: BTreeSet<String> = (0..4).map(|fd| fd.to_string()).collect();
        // Until the dynamic loader has closed what it reads for sleep.
        wait::for_value("the worker's descriptors", SOON, expected, || {
            let list = std::fs::read_dir(format!("/proc/{worker}/fd"))
                .into_iter()
                .flatten();
            let names = list
                .flatten()
                .filter_map(|fd| fd.file_name().into_string().ok());
            names.collect::<BTreeSet<_>>()
        });
        supervisor.signal(Signal::SIGHUP);
    }
}

#[test]
fn s5_a_worker_has_none_of_the_managers_variables() {
    let scratch = Scratch::new();
    let manager = FakeManager::at_abstract_name();
    let ours = [
        ("NOTIFY_SOCKET", manager.address()),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDS", "7"),
        ("LISTEN_FDNAMES", "theirs"),
        ("LISTEN_PIDFDID", "5"),
        ("WATCHDOG_PID", "1"),
        ("WATCHDOG_USEC", "5000000"),
        ("FDSTORE", "8"),
        ("MAINPID", "1"),
        ("MANAGERPID", "1"),
        ("SYSTEMD_EXEC_PID", "1"),
        ("MEMORY_PRESSURE_WATCH", "/nowhere"),
    ];
    let supervisor = start_sleeper(&scratch, "alive", &ours);
    supervisor.wait_for_line("is ready", SOON);
    let variables = environment(worker(&supervisor));
    for (name, value) in ours {
        let given = format!("{name}={value}");
        // Some it has of its own: its own socket, its own number of sockets.
        assert!(!variables.contains(&given), "{given}");
    }
    for name in [
        "WATCHDOG_PID",
        "MAINPID",
        "MANAGERPID",
        "MEMORY_PRESSURE_WATCH",
    ] {
        let prefix = format!("{name}=");
        assert!(
            !variables.iter().any(|word| word.starts_with(&prefix)),
            "{name}"
        );
    }
    assert!(
        variables
            .iter()
            .any(|word| word.starts_with("SERVER_STARTER_PORT="))
    );
}

#[test]
fn s7_a_notify_socket_takes_no_word_from_another_user() {
    let scratch = Scratch::new();
    let supervisor = start_sleeper(&scratch, "notify", &[]);
    let pid = worker(&supervisor);
    let socket = wait::for_some("the worker's notify socket", SOON, || {
        let mut words = environment(pid).into_iter();
        words.find_map(|word| word.strip_prefix("NOTIFY_SOCKET=").map(str::to_owned))
    });
    let copy = scratch.join("actor");
    builds::copy(&programs::hello().with_file_name("actor"), &copy);
    tool(&["chmod", "0755", scratch.join("").to_str().expect("UTF-8")]);
    let say = |wrapper: &[&str]| {
        let mut actor = Command::new(wrapper[0]);
        actor.args(&wrapper[1..]).arg(&copy).arg("say:READY=1");
        let actor = actor.env("NOTIFY_SOCKET", &socket).stderr(Stdio::null());
        assert!(actor.status().expect("it can be started").success());
    };
    say(&AS_STRANGER);
    supervisor.wait_for_line("a message from another user", SOON);
    assert!(!supervisor.stderr().contains("is ready"));
    say(&["env"]);
    supervisor.wait_for_line("is ready", SOON);
}

#[test]
fn s8_no_word_of_a_worker_names_somebody_whom_we_signal() {
    let mut victim = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let actor = programs::hello().with_file_name("actor");
    let mut start = command(programs::SD_STARTER);
    start
        .args(["--ready", "notify", "--drain-timeout", "0.2", "--"])
        .arg(actor);
    let named = [
        format!("say:MAINPID={}", victim.id()),
        "say:MAINPIDFDID=1".to_owned(),
    ];
    start
        .args(&named)
        .args(["say:FDSTORE=1\\nFDNAME=../../x", "say:READY=1", "wait"]);
    let mut supervisor = Supervisor::start(&mut start);
    supervisor.wait_for_line("is ready", SOON);
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("has left", SOON);
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_for_code(SOON), 0);
    assert_eq!(victim.try_wait().expect("our child"), None, "it lives");
    victim.kill().expect("our child");
    victim.wait().expect("our child");
}

#[test]
fn s12_it_needs_no_privilege_and_gains_none() {
    let wrapper = [
        "setpriv",
        "--no-new-privs",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ];
    let siege = Siege::start_as(&wrapper, &[], &[]);
    siege.reload().expect("a good build");
    let status = std::fs::read_to_string(format!("/proc/{}/status", siege.pid));
    let status = status.expect("it lives");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    siege.ends_well();
    let mut folders = vec![std::path::PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("our sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            for call in ["setuid(", "setgid(", "setresuid(", "setgroups(", "capset("] {
                assert!(!text.contains(call), "{}: {call}", path.display());
            }
        }
    }
}
