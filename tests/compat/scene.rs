//! A scene: one temporary directory with everything that a story makes, and nothing of it survives.

use crate::eventually::{eventually, within};
use crate::program;
use crate::supervisor::{Launch, Supervisor, await_sleep};
use crate::worker::{Event, Worker};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const WORKER: &str = include_str!("worker.pl");

/// Every process below a scene carries its directory in this variable: so we find them all at the
/// end, also those that became daemons, and never touch a process that we did not start.
pub(crate) const MARK: &str = "COMPAT_SCENE";

/// The stage of one story. Dropping it kills what is left of its processes.
pub(crate) struct Scene {
    dir: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // A run that was killed may have left one of the same name, when its pid is used again.
        let dir = eventually("a fresh directory", || {
            let name = format!(
                "compat-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let dir = std::env::temp_dir().join(name);
            fs::create_dir(&dir).ok().map(|()| dir)
        });
        // Called by the old name, whatever the file is called.
        std::os::unix::fs::symlink(program::path(), dir.join("start_server")).expect("the symlink");
        fs::write(dir.join("worker.pl"), WORKER).expect("the worker's script");
        Scene { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the scene. Supervisors run in its directory: on their command line `name` will do.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The text of a file, `None` while there is none.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Atomic: whoever looks meanwhile finds all of the text, or what was there before.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("written"), text).expect("a file of the scene");
        fs::rename(self.path("written"), self.path(name)).expect("the rename");
    }

    /// A socket file that nobody listens on. Nobody ever did: a listener that was closed listens on for
    /// as long as a child has it that another story forked in this moment.
    pub(crate) fn stale_socket(&self, name: &str) {
        let address = SocketAddrUnix::new(self.path(name)).expect("a short path");
        socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .and_then(|socket| bind(&socket, &address))
        .expect("a socket");
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Deploys a build of the worker: see the head of `worker.pl`. Generations read it at start.
    pub(crate) fn build(&self, text: &str) {
        self.write("build", text);
    }

    /// The command line of the worker.
    pub(crate) fn worker_command(&self) -> Vec<String> {
        vec![
            "/usr/bin/perl".into(),
            self.path("worker.pl").display().to_string(),
        ]
    }

    pub(crate) fn launch(&self) -> Launch<'_> {
        Launch::new(self)
    }

    /// Starts a supervisor with these options (separated by blanks) over the worker.
    pub(crate) fn start(&self, options: impl AsRef<str>) -> Supervisor<'_> {
        self.launch().options(options).worker().start()
    }

    /// Runs a command of the program (`--stop`, `--restart`, a bad option) to its end.
    pub(crate) fn run(&self, arguments: impl AsRef<str>) -> Finished {
        self.launch().options(arguments).start().finished()
    }

    /// Everything that the workers logged so far, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        let text = self.read("events").unwrap_or_default();
        // The last line may be half there: the kernel shows a line that crosses a page in two steps.
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        whole.lines().filter_map(Event::parse).collect()
    }

    /// Where an event stands in the log, for questions of order.
    pub(crate) fn position(&self, generation: u64, what: &str) -> Option<usize> {
        self.events()
            .iter()
            .position(|event| event.generation == generation && event.what == what)
    }

    pub(crate) fn happened(&self, generation: u64, what: &str) -> bool {
        self.position(generation, what).is_some()
    }

    /// When a worker logged this, since boot.
    pub(crate) fn logged_at(&self, generation: u64, what: &str) -> Duration {
        self.await_event(generation, what);
        self.events()[self.position(generation, what).expect("just seen")].at
    }

    /// When a file was written last, since boot.
    pub(crate) fn written_at(&self, name: &str) -> Duration {
        let metadata = fs::metadata(self.path(name)).expect("it is there");
        // Two clocks have to be read in one moment.
        eventually("two clocks in one moment", || {
            let before = uptime();
            let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
            let at_once = uptime().saturating_sub(before) < Duration::from_millis(20);
            at_once.then(|| before.saturating_sub(age))
        })
    }

    pub(crate) fn await_event(&self, generation: u64, what: &str) {
        eventually(&format!("generation {generation}: {what}"), || {
            self.position(generation, what)
        });
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.events()
            .iter()
            .filter(|event| event.what == what)
            .count()
    }

    /// The worker of this generation, once it runs; and its supervisor has gone to sleep, see
    /// [`await_sleep`].
    pub(crate) fn worker(&self, generation: u64) -> Worker {
        let worker = self.started(generation);
        if let Some(supervisor) = worker.parent() {
            await_sleep(supervisor);
        }
        worker
    }

    fn started(&self, generation: u64) -> Worker {
        eventually(&format!("a worker of generation {generation}"), || {
            let events = self.events();
            let start = events
                .iter()
                .rfind(|event| event.generation == generation && event.what == "start")?;
            Some(Worker::new(self.dir.clone(), generation, start.pid))
        })
    }

    /// Generations and pids in `--status-file=status`, in the order of its lines.
    pub(crate) fn status(&self) -> Vec<(u64, i32)> {
        let parse = |line: &str| {
            let (generation, pid) = line.split_once(':').expect("GEN:PID");
            (
                generation.parse().expect("a generation"),
                pid.parse().expect("a pid"),
            )
        };
        self.read("status")
            .unwrap_or_default()
            .lines()
            .map(parse)
            .collect()
    }

    /// Waits until the generation passed its interval: the status file lists it.
    pub(crate) fn await_ready(&self, generation: u64) -> Worker {
        eventually(
            &format!("generation {generation} in the status file"),
            || {
                self.status()
                    .iter()
                    .any(|(listed, _)| *listed == generation)
                    .then_some(())
            },
        );
        self.worker(generation)
    }

    /// Waits until the status file lists this generation and no other.
    pub(crate) fn await_alone(&self, generation: u64) -> Worker {
        eventually(
            &format!("generation {generation} alone in the status file"),
            || {
                self.status()
                    .iter()
                    .map(|(listed, _)| *listed)
                    .eq([generation])
                    .then_some(())
            },
        );
        self.worker(generation)
    }

    /// Lets the workers go that `hold=1` keeps.
    pub(crate) fn release(&self) {
        self.write("release", "");
    }

    /// Every process with our mark in its environment.
    fn processes(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| has_mark(*pid, &self.dir))
            .collect()
    }

    /// Kills a process of ours; its end shows in what this returns.
    fn kill(&self, pid: i32) -> Option<OwnedFd> {
        let pid = Pid::from_raw(pid)?;
        // The mark is read again behind the pidfd: the process that we signal is the one that we looked at.
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        has_mark(pid.as_raw_nonzero().get(), &self.dir).then(|| {
            let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            pidfd
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["stderr", "log", "events", "status", "pid"] {
                if let Some(text) = self.read(name) {
                    eprintln!("--- {}/{name}\n{text}", self.dir.display());
                }
            }
        }
        // Looked at twice: a process may have been forked behind the first look's back.
        let mut empty_looks = 0;
        let mut killed = Vec::new();
        let gone = within(Duration::from_secs(5), || {
            let left = self.processes();
            killed.extend(left.iter().filter_map(|pid| self.kill(*pid)));
            empty_looks = if left.is_empty() { empty_looks + 1 } else { 0 };
            // A process loses its mark before it closes its sockets, and these before its pidfd tells.
            (empty_looks >= 2 && killed.iter().all(has_ended)).then_some(())
        });
        let _ = fs::remove_dir_all(&self.dir);
        if gone.is_none() && !std::thread::panicking() {
            panic!("processes of {} cannot be killed", self.dir.display());
        }
    }
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Now, since boot.
fn uptime() -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").expect("a clock of the kernel");
    let seconds = uptime.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.expect("a number"))
}

/// Whether this process was started below the scene in `dir`; false for a zombie.
pub(crate) fn has_mark(pid: i32, dir: &Path) -> bool {
    let mark = format!("{MARK}={}", dir.display());
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    })
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A port that is free for TCP and UDP on every address, and that no other story will get, of whatever run.
///
/// Below the range from which the kernel gives ports to clients, so no connection takes it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    eventually("a free port", || {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(331) + step) % 20_000;
        let port = u16::try_from(port).expect("below 30000");
        let free = can_bind((Ipv4Addr::UNSPECIFIED, port).into(), SocketType::STREAM)
            && can_bind((Ipv4Addr::UNSPECIFIED, port).into(), SocketType::DGRAM)
            && can_bind((Ipv6Addr::UNSPECIFIED, port).into(), SocketType::STREAM);
        (free && reserve(port)).then_some(port)
    })
}

/// Whether no other run of these stories on this machine has taken it; for as long as this process lives.
fn reserve(port: u16) -> bool {
    let name = format!("sd-starter-compat-port-{port}");
    UnixAddress::from_abstract_name(name)
        .and_then(|address| UnixDatagram::bind_addr(&address))
        .map(std::mem::forget)
        .is_ok()
}

/// By a socket that does not listen: what we have open for a moment, the children have that another story
/// forks in this moment, and a listening one would be in the way of whoever gets the port.
fn can_bind(address: SocketAddr, kind: SocketType) -> bool {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let bound = socket_with(family, kind, SocketFlags::CLOEXEC, None).and_then(|socket| {
        set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)
    });
    bound.is_ok()
}
