//! What a worker is, seen from outside (/proc) and through its own log.

use crate::eventually::eventually;
use crate::scene::has_mark;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One line of the workers' log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) generation: u64,
    pub(crate) pid: i32,
    /// Since boot, in steps of 10 ms: when the worker saw it, however late the story looks.
    pub(crate) at: Duration,
    pub(crate) what: String,
}

impl Event {
    pub(crate) fn parse(line: &str) -> Option<Event> {
        let mut words = line.splitn(4, ' ');
        Some(Event {
            generation: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
            at: Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?,
            what: words.next()?.to_owned(),
        })
    }
}

/// A worker that reported its start.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    scene: PathBuf,
    pub(crate) generation: u64,
    pub(crate) pid: i32,
}

impl Worker {
    pub(crate) fn new(scene: PathBuf, generation: u64, pid: i32) -> Worker {
        Worker {
            scene,
            generation,
            pid,
        }
    }

    pub(crate) fn alive(&self) -> bool {
        has_mark(self.pid, &self.scene)
    }

    /// Waits until it is dead, buried or not.
    pub(crate) fn await_dead(&self) {
        eventually(
            &format!("the death of generation {}", self.generation),
            || matches!(state_of(self.pid), None | Some('Z' | 'X')).then_some(()),
        );
    }

    pub(crate) fn await_gone(&self) {
        eventually(
            &format!("the end of generation {}", self.generation),
            || (!self.alive()).then_some(()),
        );
    }

    /// Kills the worker behind the supervisor's back.
    pub(crate) fn kill(&self, signal: Signal) {
        assert!(
            self.alive(),
            "generation {} is gone already",
            self.generation
        );
        kill(Pid::from_raw(self.pid), signal).expect("a worker of ours");
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).expect("a living worker");
        environ.split(|byte| *byte == 0).find_map(|variable| {
            let text = String::from_utf8_lossy(variable);
            let (key, value) = text.split_once('=')?;
            (key == name).then(|| value.to_owned())
        })
    }

    /// SERVER_STARTER_PORT as it stands in the environment.
    pub(crate) fn ports(&self) -> String {
        self.variable("SERVER_STARTER_PORT")
            .expect("the variable is set")
    }

    /// Keys and descriptors, split as most workers do: at the last `=`.
    pub(crate) fn entries(&self) -> Vec<(String, i32)> {
        let split = |entry: &str| {
            let (key, fd) = entry.rsplit_once('=').expect("key=fd");
            (key.to_owned(), fd.parse().expect("a number"))
        };
        self.ports()
            .split(';')
            .filter(|entry| !entry.is_empty())
            .map(split)
            .collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.entries().into_iter().map(|(key, _)| key).collect()
    }

    /// A field of /proc/PID/status.
    pub(crate) fn status_field(&self, name: &str) -> String {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a living worker");
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.expect("a field of the kernel").trim().to_owned()
    }

    /// Whether a signal is ignored, by number.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        let mask = u64::from_str_radix(&self.status_field("SigIgn"), 16).expect("a mask");
        mask & (1 << (signal as i32 - 1)) != 0
    }

    /// Field `index` (from 1, as in proc(5)) of /proc/PID/stat.
    pub(crate) fn stat(&self, index: usize) -> String {
        self.stat_or_none(index).expect("a living worker")
    }

    fn stat_or_none(&self, index: usize) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let (_, after_name) = stat.rsplit_once(") ")?;
        Some(after_name.split_whitespace().nth(index - 3)?.to_owned())
    }

    /// When it was forked, since boot; also of a worker that is gone.
    pub(crate) fn started_at(&self) -> Duration {
        let name = format!("born.{}", self.generation);
        let text =
            fs::read_to_string(self.scene.join(name)).expect("written before the start is logged");
        // USER_HZ is 100 on every architecture of Debian.
        Duration::from_millis(10 * text.trim().parse::<u64>().expect("a number"))
    }

    /// The process that started it, while it lives.
    pub(crate) fn parent(&self) -> Option<i32> {
        self.alive().then(|| self.stat_or_none(4)?.parse().ok())?
    }

    pub(crate) fn working_directory(&self) -> PathBuf {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).expect("a living worker")
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).expect("a living worker");
        let mut arguments: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        arguments.pop();
        arguments
    }

    /// Its open descriptors and what they lead to, without what it opens itself for a moment to log: a
    /// line is there before the worker has closed the log.
    pub(crate) fn descriptors(&self) -> BTreeMap<i32, String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("a living worker");
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let target = fs::read_link(entry.path()).ok()?;
                if target == self.scene.join("events") || target == Path::new("/proc/uptime") {
                    return None;
                }
                Some((
                    entry.file_name().to_str()?.parse().ok()?,
                    target.to_string_lossy().into_owned(),
                ))
            })
            .collect()
    }

    /// Whether O_NONBLOCK is set on a descriptor.
    pub(crate) fn nonblocking(&self, fd: i32) -> bool {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.pid))
            .expect("an open descriptor");
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .expect("a field of the kernel");
        i32::from_str_radix(flags.trim(), 8).expect("octal") & libc::O_NONBLOCK != 0
    }

    /// What the worker saw on its sockets, in the order of the variable.
    pub(crate) fn sockets(&self) -> Vec<SocketFacts> {
        let name = format!("sockets.{}", self.generation);
        let text =
            fs::read_to_string(self.scene.join(name)).expect("written before the start is logged");
        text.lines().map(SocketFacts::parse).collect()
    }
}

/// The letter of proc(5) for a process: `S` asleep, `T` stopped, `Z` dead; `None` when it is gone.
pub(crate) fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.chars().next()
}

/// One inherited socket, by getsockopt(2) in the worker.
#[derive(Debug)]
pub(crate) struct SocketFacts {
    pub(crate) fd: i32,
    facts: BTreeMap<String, i64>,
    pub(crate) key: String,
}

impl SocketFacts {
    fn parse(line: &str) -> SocketFacts {
        let (numbers, key) = line.split_once(" key=").expect("a key");
        let (fd, numbers) = numbers.split_once(' ').expect("a descriptor");
        let facts = numbers
            .split(' ')
            .filter_map(|fact| fact.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
            .collect();
        SocketFacts {
            fd: fd.parse().expect("a number"),
            facts,
            key: key.to_owned(),
        }
    }

    /// `domain`, `type`, `reuseaddr`, `listening`, `v6only` or `backlog`; -1 where it has none.
    pub(crate) fn fact(&self, name: &str) -> i64 {
        *self
            .facts
            .get(name)
            .unwrap_or_else(|| panic!("no fact {name}"))
    }
}
