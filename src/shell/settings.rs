//! What the user asked for, checked and with every default filled in.
//!
//! Plain data: the command line writes it once, the shell reads it, and nobody
//! changes it. No option is looked up in the environment after this.

use crate::core::{Attempts, Readiness};
use crate::protocol::duration::Limit;
use crate::protocol::listen_fds::Name;
use crate::protocol::port::PortSpec;
use crate::protocol::signal_name::Signal;
use crate::protocol::worker_env::Variable;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The name we were called by. It chooses defaults and the wording of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramName {
    /// `sd-starter`.
    SdStarter,
    /// `start_server`: a drop-in for Perl's Server::Starter 0.35.
    StartServer,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Supervise a program.
    Supervise(Box<Settings>),
    /// `--restart`: have the running supervisor reload, and wait for it.
    Restart(Errand),
    /// `--stop`: have the running supervisor stop, and wait for it.
    Stop(Errand),
    /// `--check-state`: say whether this program could take over from a running supervisor with
    /// this command line.
    CheckState(Box<Settings>),
}

/// How to reach the supervisor that is already running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The name we were called by.
    pub name: ProgramName,
    /// `--pid-file`: whom to signal, and the lock to wait for.
    pub pid_file: PathBuf,
    /// `--status-file`; always given for `--restart`.
    pub status_file: Option<PathBuf>,
    /// `--control-socket`: where a true answer can be had.
    pub control_socket: Option<PathBuf>,
    /// `--timeout`, `infinity` by default.
    pub timeout: Limit,
}

/// Everything that a supervisor needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name we were called by.
    pub name: ProgramName,
    /// The program to run, looked up in `PATH` when it has no slash.
    pub program: OsString,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
    /// `--expand`: placeholders in the arguments and the environment are filled in.
    pub expand: bool,
    /// `--einhorn`: workers get `EINHORN_FD_n` besides.
    pub einhorn: bool,
    /// `--port`, in order.
    pub ports: Vec<PortSpec>,
    /// `--path`, in order; each can be a key (no `;`, no `=`, at most 107 bytes).
    pub paths: Vec<PathBuf>,
    /// `--path-mode`; `None` leaves it to the umask. 0777 for `start_server`.
    pub path_mode: Option<u32>,
    /// `--backlog`; `None` is SOMAXCONN.
    pub backlog: Option<i32>,
    /// `--listen-key`, in order; of a name that is there twice the last counts.
    pub listen_keys: Vec<ListenKey>,
    /// `--ready`.
    pub ready: Ready,
    /// `--interval`: how long a worker must live to count as started.
    pub interval: Duration,
    /// `--start-timeout`: how long a worker may take to report that it is ready.
    pub start_timeout: Limit,
    /// `--attempts`: how often a generation is tried.
    pub attempts: Attempts,
    /// `--kill-old-delay`: how long a new generation is on trial.
    pub kill_old_delay: Duration,
    /// `--signal-on-hup`, to old generations after a swap.
    pub signal_on_hup: Signal,
    /// `--signal-on-term`, to all generations at the end.
    pub signal_on_term: Signal,
    /// `--drain-timeout`: SIGKILL for an old generation after this.
    pub drain_timeout: Limit,
    /// `--stop-timeout`: SIGKILL for everybody after this.
    pub stop_timeout: Limit,
    /// `--max-draining`: how many old generations may linger at once.
    pub max_draining: Option<NonZeroU32>,
    /// `--forward`: the signals passed on to the serving generation.
    pub forward: Vec<Signal>,
    /// `--dir`: the working directory of workers.
    pub dir: Option<PathBuf>,
    /// `--envdir`, or `ENVDIR`.
    pub envdir: Option<PathBuf>,
    /// `--pid-file`.
    pub pid_file: Option<PathBuf>,
    /// `--status-file`.
    pub status_file: Option<PathBuf>,
    /// `--log-file`.
    pub log: Option<LogTarget>,
    /// `--daemonize`; a log is given then.
    pub daemonize: bool,
    /// `--worker-watchdog`: how often a worker has to give a sign of life; `None` is off.
    pub worker_watchdog: Option<Duration>,
    /// `--fd-store-max`: how many descriptors workers may give us to keep; 0 is off.
    pub fd_store_max: usize,
    /// `--no-cgroup`: no cgroup for each generation.
    pub no_cgroup: bool,
    /// `--no-fd-store`: systemd keeps nothing for us.
    pub no_fd_store: bool,
    /// `--crash-adoption`: workers outlive a crash of ours.
    pub crash_adoption: bool,
    /// The interval of `--enable-auto-restart`; `None` is off.
    pub auto_restart: Option<Duration>,
    /// `--control-socket`; `None` is `$RUNTIME_DIRECTORY/control`.
    pub control_socket: Option<PathBuf>,
    /// The options that `start_server` repeats to its workers: `ENVDIR`,
    /// `ENABLE_AUTO_RESTART`, `AUTO_RESTART_INTERVAL`, `KILL_OLD_DELAY`, as given.
    pub told_to_workers: Vec<Variable>,
}

/// The default of `--interval`.
const INTERVAL: Duration = Duration::from_secs(1);
/// The default of `--start-timeout` and of `--stop-timeout`.
const PATIENCE: Duration = Duration::from_secs(90);

impl Settings {
    /// What `sd-starter -- PROGRAM` asks for, without a service manager.
    #[must_use]
    pub fn new(program: OsString) -> Self {
        Settings {
            name: ProgramName::SdStarter,
            program,
            arguments: Vec::new(),
            expand: false,
            einhorn: false,
            ports: Vec::new(),
            paths: Vec::new(),
            path_mode: None,
            backlog: None,
            listen_keys: Vec::new(),
            ready: Ready::Auto,
            interval: INTERVAL,
            start_timeout: Limit::After(PATIENCE),
            attempts: Attempts::Unlimited,
            kill_old_delay: Duration::ZERO,
            signal_on_hup: Signal::TERM,
            signal_on_term: Signal::TERM,
            drain_timeout: Limit::Never,
            stop_timeout: Limit::After(PATIENCE),
            max_draining: None,
            forward: Vec::new(),
            dir: None,
            envdir: None,
            pid_file: None,
            status_file: None,
            log: None,
            daemonize: false,
            worker_watchdog: None,
            fd_store_max: 0,
            no_cgroup: false,
            no_fd_store: false,
            crash_adoption: false,
            auto_restart: None,
            control_socket: None,
            told_to_workers: Vec::new(),
        }
    }
}

/// `--ready`: what makes a generation ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// READY=1, or alive after the interval: whichever comes first.
    Auto,
    /// READY=1 and nothing else.
    Notify,
    /// Alive after the interval.
    Alive,
    /// A line feed on this descriptor (3 or above).
    Fd(i32),
    /// This command, run by a shell, exits 0.
    Command(OsString),
}

impl Ready {
    /// What of it matters to the core.
    #[must_use]
    pub const fn readiness(&self) -> Readiness {
        match self {
            Ready::Auto => Readiness::Auto,
            Ready::Notify => Readiness::Notify,
            Ready::Alive => Readiness::Alive,
            Ready::Fd(_) => Readiness::Descriptor,
            Ready::Command(_) => Readiness::Command,
        }
    }
}

/// `--log-file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Append to this file.
    File(PathBuf),
    /// Write to the standard input of this command, run by a shell.
    Command(OsString),
}

/// `--listen-key`: the key of a socket that systemd passes under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenKey {
    /// The socket's `FileDescriptorName=`.
    pub name: Name,
    /// Its key in `SERVER_STARTER_PORT`.
    pub key: String,
}
