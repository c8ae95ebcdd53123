//! Every system call of a reload fails once, in the program as it is: strace(1) makes the kernel's
//! answer an error. Whatever fails, the old generation serves on, the answer is true, and the next
//! reload is as good as the one before.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::siege::{Client, Siege, lost, verdict};
use crate::support::record::{self, Promise};
use crate::support::{requirement, wait};
use crate::{SOON, is_full};

/// How each call can fail on a machine that is out of something. In the bounded form the first error
/// is enough.
const ERRORS: [(&str, &[&str]); 27] = [
    ("accept4", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("bind", &["ENOSPC", "EROFS"]),
    ("clone", &["EAGAIN", "ENOMEM", "EMFILE"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("connect", &["ENOMEM"]),
    ("dup", &["EMFILE"]),
    ("epoll_ctl", &["ENOSPC", "ENOMEM"]),
    ("fchmod", &["EROFS"]),
    ("fcntl", &["EMFILE"]),
    ("fork", &["EAGAIN", "ENOMEM"]),
    ("fstat", &["ENOMEM"]),
    ("getdents64", &["ENOMEM"]),
    ("getsockopt", &["ENOMEM"]),
    ("memfd_create", &["ENFILE", "ENOMEM"]),
    ("newfstatat", &["ENOMEM"]),
    ("openat", &["ENFILE", "EMFILE", "ENOMEM"]),
    ("pidfd_open", &["ENFILE", "EMFILE", "ENOMEM"]),
    ("pipe2", &["ENFILE", "EMFILE"]),
    ("recvfrom", &["ENOMEM"]),
    ("recvmsg", &["ENOMEM"]),
    ("sendmsg", &["ENOBUFS", "ECONNREFUSED"]),
    ("sendto", &["ENOBUFS", "EPIPE"]),
    ("setsockopt", &["ENOMEM"]),
    ("socket", &["ENFILE", "EMFILE", "ENOMEM"]),
    ("statx", &["ENOMEM"]),
    ("unlink", &["EROFS"]),
    ("write", &["EPIPE", "ENOSPC"]),
];

/// The same for the child, between its fork and its program.
const CHILDS_ERRORS: [(&str, &str); 4] = [
    ("execve", "ENOMEM"),
    ("execve", "EACCES"),
    ("chdir", "ENOMEM"),
    ("dup3", "EMFILE"),
];

/// Where those are counted.
const CHILD: &str = "child";

/// What is left out, and why.
const NOT_INJECTED: [(&str, &str); 26] = [
    (
        "brk",
        "an allocation that fails ends a Rust program; systemd starts it again",
    ),
    ("clock_gettime", "it cannot fail with a clock that exists"),
    ("close", "whatever it answers, the descriptor is closed"),
    (
        "epoll_wait",
        "with a good descriptor only EINTR, which is retried",
    ),
    ("epoll_pwait", "as epoll_wait"),
    ("exit_group", "it does not return"),
    ("futex", "no second thread"),
    ("getpid", "it cannot fail"),
    ("getsockname", "of a socket that exists it cannot fail"),
    ("gettid", "it cannot fail"),
    ("ioctl", "FIONREAD of a pipe cannot fail"),
    ("lstat", "where it stands for newfstatat"),
    ("madvise", "advice only"),
    ("mmap", "as brk"),
    ("mprotect", "as brk"),
    ("munmap", "it cannot fail with what mmap gave"),
    (
        "pidfd_send_signal",
        "only for one that is gone, which is no failure",
    ),
    ("poll", "as epoll_wait"),
    (
        "pread64",
        "of proc(5), about memory that is given back: without an answer none is",
    ),
    (
        "read",
        "of a signalfd, an inotify descriptor or a pipe: only EINTR and EAGAIN",
    ),
    ("prctl", "a name for the process, or none"),
    ("rt_sigprocmask", "it cannot fail"),
    ("rt_sigreturn", "it does not return"),
    ("umask", "it cannot fail"),
    ("waitid", "of our own child it cannot fail"),
    ("getrandom", "as read"),
];

/// Traces the supervisor until it is dropped.
struct Tracer {
    strace: Child,
    /// It is read no more, but strace may say something.
    _said: BufReader<ChildStderr>,
}

impl Tracer {
    fn attach(siege: &Siege, arguments: &[&str]) -> Self {
        let child = Command::new("strace")
            .args(["-p", &siege.pid.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut strace = child.expect("strace is there");
        // TracerPid is there before the interruption from which on each system call is seen.
        let mut said = BufReader::new(strace.stderr.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        assert!(line.ends_with(" attached\n"), "strace: {line}");
        Self {
            strace,
            _said: said,
        }
    }

    fn detach(mut self, siege: &Siege) {
        let pid = i32::try_from(self.strace.id()).expect("a pid");
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        let _ = self.strace.wait();
        wait::until("strace to be gone", SOON, || !is_traced(siege.pid));
    }
}

fn is_traced(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

/// The system calls of one good reload, with how many of each.
fn calls_of_a_reload(siege: &Siege) -> BTreeMap<String, usize> {
    let trace = siege.scratch.join("trace");
    // What is left of the start is no part of it.
    siege.settle();
    let tracer = Tracer::attach(siege, &["-o", trace.to_str().expect("UTF-8")]);
    siege.reload().expect("a good build");
    siege.settle();
    tracer.detach(siege);
    let text = std::fs::read_to_string(&trace).expect("strace has written it");
    let mut calls = BTreeMap::new();
    // To take something out of an epoll set, or to change it there, needs nothing and cannot fail so:
    // of these calls the first ones count, as long as they add.
    let mut adds_only = true;
    for line in text.lines() {
        let Some((name, arguments)) = line.split_once('(') else {
            continue;
        };
        if name == "epoll_ctl" {
            adds_only &= arguments.contains("EPOLL_CTL_ADD");
            if !adds_only {
                continue;
            }
        }
        if name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// One reload in which a call fails. Nobody has to answer: the connection may be what failed.
fn reload_with(siege: &Siege, what: &str, follow: bool) -> Result<u64, String> {
    let case = siege.supervisor.stderr().lines().count();
    let before = siege.pid;
    siege.settle();
    let inject = format!("inject={what}");
    let mut arguments = vec!["-o", "/dev/null", "-e", inject.as_str()];
    if follow {
        arguments.push("-f");
    }
    let tracer = Tracer::attach(siege, &arguments);
    let mut client = Client::connect(&siege.control());
    let sent = client.try_send("Reload", &json!({}));
    let answer = sent.ok().and_then(|()| client.next(SOON));
    tracer.detach(siege);
    assert!(
        kill(Pid::from_raw(before), None).is_ok(),
        "{what}: it is gone after line {case}"
    );
    answer.map_or_else(|| Err("no answer".to_owned()), |answer| verdict(&answer))
}

#[test]
fn every_system_call_of_a_reload_may_fail_and_the_old_generation_serves_on() {
    if !requirement::file("/usr/bin/strace", "strace") {
        return;
    }
    // Of two sockets one is moved to its number, in each child; the other stands there already.
    let siege = Siege::start(&["--dir", "/", "--port", "127.0.0.1:0=11"]);
    let calls = calls_of_a_reload(&siege);
    let known = |name: &str| {
        ERRORS.iter().any(|(call, _)| *call == name)
            || NOT_INJECTED.iter().any(|(call, _)| *call == name)
    };
    let unknown: Vec<_> = calls.keys().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "how can they fail? {unknown:?}");
    siege.settle();
    let before = siege.cost();
    let load = siege.load();
    let mut tries: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (name, count) in &calls {
        let Some((name, errors)) = ERRORS.iter().find(|(call, _)| call == name) else {
            continue;
        };
        let errors = if is_full() { errors } else { &errors[..1] };
        // What one call does for a client and another for a worker: each place is tried.
        let places = if is_full() || *name == "epoll_ctl" {
            *count
        } else {
            (*count).min(2)
        };
        for error in errors {
            for place in 1..=places {
                let what = format!("{name}:error={error}:when={place}");
                let answer = reload_with(&siege, &what, false);
                println!("{what}: {answer:?}");
                let row = tries.entry(error).or_default();
                row.0 += 1;
                row.1 += u64::from(answer.is_ok());
                assert!(
                    siege.reload().is_ok(),
                    "after {what} there is no good reload:\n{}",
                    siege.supervisor.stderr()
                );
            }
        }
    }
    for (name, error) in CHILDS_ERRORS {
        let what = format!("{name}:error={error}:when=1");
        let answer = reload_with(&siege, &what, true);
        println!("{what} in the child: {answer:?}");
        let reason = answer.expect_err("it cannot have been started");
        assert!(reason.contains("ReloadFailed"), "{what}: {reason}");
        let row = tries.entry(CHILD).or_default();
        row.0 += 1;
        assert!(
            siege.reload().is_ok(),
            "after {what} there is no good reload"
        );
    }
    siege.settle();
    let report = load.stop();
    report.assert_no_failures();
    wait::until("the descriptors to be as before", SOON, || {
        siege.cost().descriptors <= before.descriptors
    });
    wait::for_value("zombies", SOON, 0, || siege.cost().zombies);
    for (error, (count, good)) in tries {
        let name = if error == CHILD {
            "a system call fails in the child, before and at exec".to_owned()
        } else {
            format!("{error} in a system call of a reload")
        };
        let bad = count - good;
        record::row(
            &name,
            count,
            &format!(
                "{good} reloads good all the same, {bad} failed and said so; the next one good each time"
            ),
            Promise::NoneLost,
            lost(&report),
        );
    }
    siege.ends_well();
}

#[test]
fn an_epoll_ctl_that_fails_does_not_end_the_supervisor() {
    if !requirement::file("/usr/bin/strace", "strace") {
        return;
    }
    let siege = Siege::start(&[]);
    let count = calls_of_a_reload(&siege)["epoll_ctl"];
    // At the least the client, the worker's pidfd, its mailbox.
    assert!(count >= 3, "{count}");
    for place in 1..=count {
        let answer = reload_with(
            &siege,
            &format!("epoll_ctl:error=ENOSPC:when={place}"),
            false,
        );
        // A client that cannot be waited for is turned away; a worker is looked at now and then.
        assert!(
            answer.is_ok() || place == 1,
            "place {place} of {count}: {answer:?}"
        );
        siege.reload().expect("a good build");
    }
    assert!(
        siege
            .supervisor
            .stderr()
            .contains("cannot wait for generation")
    );
    siege.ends_well();
}

#[test]
fn a_recvmsg_that_fails_does_not_throw_away_a_ready() {
    if !requirement::file("/usr/bin/strace", "strace") {
        return;
    }
    let siege = Siege::start(&[]);
    let count = calls_of_a_reload(&siege)["recvmsg"];
    assert!(
        count >= 2,
        "the READY=1, and that there is no more: {count}"
    );
    for place in 1..=count {
        let answer = reload_with(&siege, &format!("recvmsg:error=ENOMEM:when={place}"), false);
        answer.unwrap_or_else(|why| panic!("place {place} of {count}: {why}"));
    }
    siege.ends_well();
}

#[test]
fn a_supervisor_that_was_stopped_blames_nobody_for_its_own_absence() {
    // As after a stall of the machine: everything is due at once, and the worker's signs of life
    // wait in its mailbox.
    let actor = crate::support::programs::hello().with_file_name("actor");
    let actor = actor.to_str().expect("UTF-8");
    let pet = "\"$1\" pet:100 2>/dev/null & shift; exec \"$@\"";
    let siege = Siege::start_as(
        &[],
        &["--worker-watchdog", "2", "--drain-timeout", "2"],
        &["sh", "-c", pet, "sh", actor],
    );
    let load = siege.load();
    let tries = if is_full() { 20 } else { 3 };
    for _ in 0..tries {
        let newest = siege.newest();
        siege.signal(Signal::SIGSTOP);
        // The stall itself.
        std::thread::sleep(Duration::from_millis(3500));
        siege.signal(Signal::SIGHUP);
        siege.signal(Signal::SIGCONT);
        wait::until("the reload that was asked for", SOON, || {
            siege.newest() > newest
        });
        siege.settle();
        assert_eq!(siege.newest(), newest + 1, "{}", siege.supervisor.stderr());
    }
    let log = siege.supervisor.stderr();
    assert!(!log.contains("no sign of life"), "{log}");
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "the supervisor stalls for 3.5 s",
        tries,
        "late, but nobody is blamed for it: no healthy worker replaced or killed",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}
