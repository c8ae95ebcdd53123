//! The rows: who is compared, and how each is started and told to reload.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::process::command;
use crate::support::scratch::Scratch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    Floor,
    Ours,
    StartServer0,
    StartServer1,
    Circus,
    Gunicorn,
    Haproxy,
    /// Another build of ours, to be compared with this one: its name and its path.
    Build(&'static str, &'static str),
}

/// One who takes part, and its number: each has ports of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) contender: Contender,
    pub(crate) number: u16,
}

/// Where everything is.
pub(crate) struct Place {
    pub(crate) scratch: Scratch,
    /// The release profile's.
    pub(crate) sd_starter: PathBuf,
    pub(crate) starterctl: PathBuf,
    /// Where the others are, and where the tables go.
    pub(crate) programs: PathBuf,
    pub(crate) worker: PathBuf,
    pub(crate) floor: PathBuf,
    /// Of the virtual environment.
    pub(crate) circusd: PathBuf,
}

impl Row {
    pub(crate) const fn name(&self) -> &'static str {
        self.contender.name()
    }

    pub(crate) fn ports(&self, count: u16) -> Vec<u16> {
        // Below the ephemeral ports.
        let first = 10_000 + self.number * 1_100;
        (first..first + count).collect()
    }
}

impl Contender {
    /// Another build of ours, from `NAME=PATH`.
    pub(crate) fn build(text: &str) -> Option<Self> {
        let (name, path) = String::leak(text.to_owned()).split_once('=')?;
        Some(Self::Build(name, path))
    }

    pub(crate) const ALL: [Self; 7] = [
        Self::Floor,
        Self::Ours,
        Self::StartServer0,
        Self::StartServer1,
        Self::Circus,
        Self::Gunicorn,
        Self::Haproxy,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "sd-starter",
            Self::StartServer0 => "start_server --interval 0",
            Self::StartServer1 => "start_server --interval 1",
            Self::Circus => "circus",
            Self::Gunicorn => "gunicorn",
            Self::Haproxy => "haproxy",
            Self::Build(name, _) => name,
        }
    }

    /// Whether it is measured with very many sockets.
    pub(crate) const fn takes_1000_sockets(self) -> bool {
        matches!(
            self,
            Self::Floor | Self::Ours | Self::StartServer0 | Self::Build(..)
        )
    }

    /// Whether its workers write records.
    pub(crate) const fn has_records(self) -> bool {
        !matches!(self, Self::Haproxy)
    }

    /// One reload in so many rounds: a second each is too long for all of them.
    pub(crate) const fn every(self) -> usize {
        match self {
            Self::Floor | Self::Ours | Self::StartServer0 | Self::Build(..) => 1,
            Self::Gunicorn | Self::Haproxy => 4,
            Self::StartServer1 | Self::Circus => 20,
        }
    }

    pub(crate) const fn reload_signal(self) -> Signal {
        match self {
            Self::Haproxy => Signal::SIGUSR2,
            _ => Signal::SIGHUP,
        }
    }

    /// The program, and where to get it.
    pub(crate) fn program(self, place: &Place) -> (PathBuf, &'static str) {
        match self {
            Self::Floor => (place.floor.clone(), "tests/bench/run builds it"),
            Self::Ours => (place.sd_starter.clone(), "tests/bench/run builds it"),
            Self::Build(_, path) => (path.into(), "--build=NAME=PATH"),
            Self::StartServer0 | Self::StartServer1 => (
                "/usr/bin/start_server".into(),
                "apt-get install libserver-starter-perl",
            ),
            Self::Circus => (place.circusd.clone(), "pip install circus"),
            Self::Gunicorn => ("/usr/bin/gunicorn".into(), "apt-get install gunicorn"),
            Self::Haproxy => ("/usr/sbin/haproxy".into(), "apt-get install haproxy"),
        }
    }

    /// Its command line, for listeners on these ports of 127.0.0.1. `tag` is this instance's own.
    pub(crate) fn command(self, place: &Place, ports: &[u16], tag: &str) -> Command {
        let mut line = command(text(&self.program(place).0));
        // cargo's: the loader of whoever is not static would look into all of its directories first.
        line.env_remove("LD_LIBRARY_PATH");
        let listen = ports.iter().map(|port| format!("--port=127.0.0.1:{port}"));
        let file = |end: &str, text: &str| {
            let path = place.scratch.join(format!("{tag}{end}"));
            fs::write(&path, text).expect("our own directory");
            path
        };
        match self {
            Self::Floor => {
                line.args(ports.iter().map(u16::to_string)).arg("--");
                line.arg(&place.worker);
            }
            Self::Ours | Self::Build(..) => {
                // As a unit gives it one, in memory (tests/bench/run).
                let directory = place.scratch.join(format!("{tag}.run"));
                fs::create_dir_all(&directory).expect("our own directory");
                line.env("RUNTIME_DIRECTORY", directory);
                // Signals that come faster than this are gathered, so that a flood is one swap.
                line.arg("--interval=0.1");
                line.arg("--control-socket").arg(control(place, tag));
                line.args(listen).arg("--").arg(&place.worker);
            }
            Self::StartServer0 | Self::StartServer1 => {
                let interval = i32::from(self == Self::StartServer1);
                line.args(listen).arg(format!("--interval={interval}"));
                line.arg("--").arg(&place.worker);
            }
            Self::Circus => {
                let ini = file(".ini", &circus(place, ports, tag));
                line.arg(ini);
            }
            Self::Gunicorn => {
                file("app.py", GUNICORN_APP);
                let bind: Vec<_> = ports
                    .iter()
                    .map(|port| format!("127.0.0.1:{port}"))
                    .collect();
                let conf = file(".conf.py", &format!("bind = {bind:?}\n{GUNICORN}"));
                line.arg("-c").arg(conf).arg(format!("{tag}app:app"));
                line.current_dir(place.scratch.join(""));
            }
            Self::Haproxy => {
                let bind = ports.iter().fold(String::new(), |mut bind, port| {
                    let _ = writeln!(bind, "  bind 127.0.0.1:{port}");
                    bind
                });
                let socket = place.scratch.join(format!("{tag}.stats"));
                let cfg = HAPROXY.replace("  BIND\n", &bind);
                let cfg = file(".cfg", &cfg.replace("SOCKET", text(&socket)));
                line.arg("-W").arg("-f").arg(cfg);
            }
        }
        line
    }
}

/// Where our instance `tag` can be asked.
pub(crate) fn control(place: &Place, tag: &str) -> PathBuf {
    place.scratch.join(format!("{tag}.control"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the bench are UTF-8")
}

fn circus(place: &Place, ports: &[u16], tag: &str) -> String {
    let socket = |name: &str| place.scratch.join(format!("{tag}.{name}"));
    let fds = (0..ports.len()).fold(String::new(), |mut fds, index| {
        let _ = write!(fds, " $(circus.sockets.s{index})");
        fds
    });
    let mut ini = format!(
        "[circus]\nendpoint = ipc://{}\npubsub_endpoint = ipc://{}\n\n\
         [watcher:worker]\ncmd = {}{fds}\nnumprocesses = 1\ncopy_env = True\nuse_sockets = True\n",
        socket("endpoint").display(),
        socket("pubsub").display(),
        place.worker.display(),
    );
    for (index, port) in ports.iter().enumerate() {
        let _ = write!(
            ini,
            "\n[socket:s{index}]\nhost = 127.0.0.1\nport = {port}\n"
        );
    }
    ini
}

const GUNICORN: &str = "
import os, signal, struct, time
workers = 1
worker_class = 'gthread'
threads = 4
log = os.open(os.environ['BENCH_LOG'], os.O_WRONLY)

def note(what):
    os.write(log, struct.pack('=IiQQQ', ord(what), os.getpid(), time.monotonic_ns(), time.process_time_ns(), 0))

def post_fork(server, worker):
    note('M')

def post_worker_init(worker):
    leave = signal.getsignal(signal.SIGTERM)
    def told(*arguments):
        note('T')
        leave(*arguments)
    signal.signal(signal.SIGTERM, told)
    note('R')
";

const GUNICORN_APP: &str = "
import os

def app(environment, start):
    body = b'hello from generation 0 (gunicorn, pid %d)' % os.getpid()
    start('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

// With the socket of Debian's own configuration, through which a new process gets the listeners.
const HAPROXY: &str = r#"
global
  stats socket SOCKET mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend bench
  BIND
  http-request return status 200 content-type text/plain lf-string "hello from generation 0 (haproxy, pid %pid)"
"#;
