//! What the time goes to, for whoever asks why a target is missed: system calls, ours beside the
//! floor's. They are counted and not timed, because strace(1) makes each as slow as it likes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contender::{Contender, Place, Row};
use crate::log::{Log, What};

const RELOADS: usize = 10;

type Counts = BTreeMap<String, usize>;

/// One run: the supervisor's calls up to its first fork, those from there to the worker's exec, and
/// all that the supervisor ever makes.
struct Trace {
    before: Counts,
    child: Counts,
    all: Counts,
}

/// Tables, in markdown.
pub(crate) fn markdown(place: &Place, rows: &[Row]) -> String {
    let find = |contender| rows.iter().find(|row| row.contender == contender);
    let (Some(floor), Some(ours)) = (find(Contender::Floor), find(Contender::Ours)) else {
        return String::new();
    };
    let mut text = "System calls, of the floor and of sd-starter (strace):\n".to_owned();
    for sockets in [1, 1000] {
        let [floor, ours] = [floor, ours].map(|row| trace(*row, place, sockets, 0));
        let title = format!("before the first fork, {sockets} sockets");
        table(&mut text, &title, &floor.before, &ours.before, 1);
        let title = format!("from there to the worker's exec, {sockets} sockets");
        table(&mut text, &title, &floor.child, &ours.child, 1);
    }
    let [floor, ours] = [floor, ours].map(|row| {
        let mut with = trace(*row, place, 1, RELOADS).all;
        for (call, count) in trace(*row, place, 1, 0).all {
            let more = with.entry(call).or_default();
            *more = more.saturating_sub(count);
        }
        with
    });
    let title = format!("the supervisor's own, for each of {RELOADS} reloads");
    table(&mut text, &title, &floor, &ours, RELOADS);
    text
}

fn trace(row: Row, place: &Place, sockets: u16, reloads: usize) -> Trace {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let tag = format!("strace{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut log = Log::create(place.scratch.join(format!("{tag}.log")));
    let out = place.scratch.join(format!("{tag}.out"));
    let command = row.contender.command(place, &row.ports(sockets), &tag);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&out).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    strace
        .env_remove("NOTIFY_SOCKET")
        .env_remove("LD_LIBRARY_PATH")
        .env("BENCH_LOG", log.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = strace.spawn().expect("tests/bench/packages has strace");
    log.take(What::Ready);
    let pid = supervisor(&out);
    let tell = |signal| kill(Pid::from_raw(pid), signal).expect("it runs");
    for _ in 0..reloads {
        // Signals to ours that come faster are gathered.
        sleep(Duration::from_millis(150));
        tell(Signal::SIGHUP);
        log.take(What::Told);
    }
    sleep(Duration::from_millis(150));
    tell(Signal::SIGTERM);
    child.wait().expect("our child");
    read(&fs::read_to_string(&out).expect("strace wrote it"), pid)
}

fn supervisor(out: &Path) -> i32 {
    let text = fs::read_to_string(out).expect("strace writes it");
    let pid = text
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok());
    pid.expect("a line begins with its process")
}

fn read(text: &str, supervisor: i32) -> Trace {
    let mut trace = Trace {
        before: Counts::new(),
        child: Counts::new(),
        all: Counts::new(),
    };
    let mut first_child = None;
    let mut is_forked = false;
    let mut is_executed = false;
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !call
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            // A call that is resumed, a signal, an exit.
            continue;
        }
        let pid: i32 = pid.parse().unwrap_or_default();
        let add = |counts: &mut Counts| *counts.entry(call.to_owned()).or_default() += 1;
        if pid == supervisor {
            add(&mut trace.all);
            if !is_forked {
                add(&mut trace.before);
            }
            is_forked |= call.starts_with("clone") || call.ends_with("fork");
        } else if !is_executed && *first_child.get_or_insert(pid) == pid {
            add(&mut trace.child);
            is_executed = call == "execve";
        }
    }
    trace
}

/// Names of calls with their counts, the most frequent ones first.
fn table(text: &mut String, title: &str, floor: &Counts, ours: &Counts, times: usize) {
    let _ = writeln!(text, "\n| {title} | floor | sd-starter |\n|---|---:|---:|");
    let sum = |counts: &Counts| counts.values().sum::<usize>();
    let mut row = |name: &str, floor: usize, ours: usize| {
        let [floor, ours] = [floor, ours].map(|count| count as f64 / times as f64);
        let _ = writeln!(text, "| {name} | {floor} | {ours} |");
    };
    row("all", sum(floor), sum(ours));
    let mut calls: Vec<_> = floor.keys().chain(ours.keys()).collect();
    calls.sort_unstable();
    calls.dedup();
    let of = |counts: &Counts, call: &String| counts.get(call).copied().unwrap_or_default();
    calls.sort_by_key(|call| std::cmp::Reverse(of(ours, call)));
    for call in calls {
        row(call, of(floor, call), of(ours, call));
    }
}
