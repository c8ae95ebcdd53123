//! A supervisor without systemd: started by the test, gone with it.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

use super::wait;

/// What a supervisor would take for its own, if the tests run under one.
const MANAGERS_VARIABLES: [&str; 12] = [
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "MAINPID",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "SERVER_STARTER_GENERATION",
    "SERVER_STARTER_PORT",
    "WATCHDOG_USEC",
];

/// A command for [`Supervisor::start`], free of what the tests themselves were given.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in MANAGERS_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// A running supervisor with its workers, all in one process group. The group's leader is a guard
/// that kills the group when the test ends, also when the test is killed: as long as it lives the
/// group's number cannot be taken by anybody else. (A worker that leaves the group is not covered.)
pub(crate) struct Supervisor {
    guard: Child,
    child: Child,
    ended: Option<ExitStatus>,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines {
    state: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Supervisor {
    /// Starts `command` with stdin closed off, and stderr (not stdout) captured.
    pub(crate) fn start(command: &mut Command) -> Self {
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL 0"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be started");
        let group = i32::try_from(guard.id()).expect("a pid");
        command
            .process_group(group)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().expect("piped above"));
        let lines = Arc::new(Lines::default());
        let captured = Arc::clone(&lines);
        thread::spawn(move || captured.read(stderr));
        Self {
            guard,
            child,
            ended: None,
            lines,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Only we reap the child: until then the pid is its own.
        assert!(
            self.ended.is_none(),
            "{signal} to a supervisor that has ended"
        );
        kill(Pid::from_raw(self.pid()), signal).expect("our child");
    }

    /// Waits for a line with `text` on stderr, from the beginning, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, text: &str, limit: Duration) -> String {
        self.wait_for_lines(text, 1, limit).remove(0)
    }

    /// Waits for `count` such lines.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, text: &str, count: usize, limit: Duration) -> Vec<String> {
        let found = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .filter(|line| line.contains(text))
                .cloned()
                .collect()
        };
        let state = self.lines.state.lock().expect("the reader does not panic");
        let waited = self
            .lines
            .changed
            .wait_timeout_while(state, limit, |(lines, over)| {
                found(lines).len() < count && !*over
            });
        let (state, _) = waited.expect("the reader does not panic");
        let lines = found(&state.0);
        let all = state.0.join("\n");
        drop(state);
        assert!(
            lines.len() >= count,
            "no {count} lines with {text:?} within {limit:?}:\n{all}"
        );
        lines
    }

    /// All of stderr so far; after [`Supervisor::wait`], all of it.
    pub(crate) fn stderr(&self) -> String {
        self.lines
            .state
            .lock()
            .expect("the reader does not panic")
            .0
            .join("\n")
    }

    /// Waits for the supervisor's end and, if nothing else holds it, the end of its stderr.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        let ended = wait::for_some("the supervisor's end", limit, || {
            self.child.try_wait().expect("our child")
        });
        self.ended = Some(ended);
        let left = limit
            .saturating_sub(started.elapsed())
            .min(Duration::from_secs(3));
        let state = self.lines.state.lock().expect("the reader does not panic");
        let waited = self
            .lines
            .changed
            .wait_timeout_while(state, left, |(_, over)| !*over);
        drop(waited.expect("the reader does not panic"));
        ended
    }

    /// Waits for its end with an exit code.
    #[track_caller]
    pub(crate) fn wait_for_code(&mut self, limit: Duration) -> i32 {
        let ended = self.wait(limit);
        let code = ended.code();
        code.unwrap_or_else(|| panic!("ended by signal {:?}:\n{}", ended.signal(), self.stderr()))
    }

    /// The processes that it has started and that still run (zombies do not), and itself.
    pub(crate) fn members(&self) -> Vec<i32> {
        let processes = std::fs::read_dir("/proc")
            .expect("/proc is mounted")
            .flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let in_group = |pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // pid (name) state ppid pgrp; the name may hold anything (proc(5)).
            let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
            let mut words = rest.split(' ');
            let living = words
                .next()
                .is_some_and(|state| state != "Z" && state != "X");
            living
                && words
                    .nth(1)
                    .is_some_and(|group| group == self.guard.id().to_string())
        };
        let guard = i32::try_from(self.guard.id()).expect("a pid");
        pids.filter(|pid| *pid != guard && in_group(pid)).collect()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("stderr of the supervisor:\n{}", self.stderr());
        }
        let group = i32::try_from(self.guard.id()).expect("a pid");
        // The guard is not reaped yet, so this is its group still.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.child.wait();
        let _ = self.guard.wait();
    }
}

impl Lines {
    fn read(&self, stderr: impl BufRead) {
        for line in stderr.split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            self.state
                .lock()
                .expect("nobody panics with the lock held")
                .0
                .push(line);
            self.changed.notify_all();
        }
        self.state
            .lock()
            .expect("nobody panics with the lock held")
            .1 = true;
        self.changed.notify_all();
    }
}

/// A loopback address that nobody else uses: the whole of 127/8 is ours, so tests (this process's and
/// others') get one each, and the port cannot be taken between this call and its use.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [low, middle, ..] = std::process::id().to_le_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed) % 254 + 1;
    // 127.0.0.0/16 is where everybody else is.
    let host = Ipv4Addr::new(127, u8::try_from(count).expect("below 255"), middle, low);
    let address = bound(SocketAddrV4::new(host, 0)).expect("a free port");
    SocketAddr::V4(address)
}

/// The same for a program that listens on 127.0.0.1 whatever it is told: below the ports that the kernel
/// gives to clients, and another one for each process.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    wait::for_some("a free port", Duration::from_secs(10), || {
        let step = u32::from(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + std::process::id().wrapping_mul(331).wrapping_add(step) % 20_000;
        let port = u16::try_from(port).expect("below 30000");
        bound(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).ok()?;
        Some(port)
    })
}

/// Where a socket can be bound. It does not listen: what a test has open for a moment, the children have
/// that another test forks in this moment, and a listening one would be in the way of who asks for this.
fn bound(address: SocketAddrV4) -> rustix::io::Result<SocketAddrV4> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    getsockname(&socket)?.try_into()
}
