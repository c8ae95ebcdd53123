//! From settings to a running loop, and the order in which everything ends.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::control::Control;
use super::journal::Journal;
use super::listen_failure::ListenFailure;
use super::listeners::Listeners;
use super::manager::Manager;
use super::runtime::Runtime;
use super::settings::{ProgramName, Ready, Settings};
use super::spawn::Spawner;
use super::supervisor::{Broken, Parts, Supervisor};
use super::surroundings::Surroundings;
use super::token::Token;
use super::voice::Voice;
use super::watchdog::Watchdog;
use crate::core::{Machine, Outcome, Policy, Readiness};
use crate::os::epoll::{Epoll, Interest};
use crate::os::reason::Reason;
use crate::os::{clock, fd, signals};
use crate::protocol::duration::Limit;
use crate::protocol::listen_fds::ListenEnv;

/// The signals that are ours to hear; those of `--forward` come on top.
const SIGNALS: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
];

/// The exit codes of `sd-starter`, as its man page lists them.
pub mod exit_code {
    /// A clean stop.
    pub const OK: u8 = 0;
    /// The first generation could not be started (EX_UNAVAILABLE of sysexits.h).
    pub const NEVER_SERVED: u8 = 69;
    /// Anything that no errno(3) and no other code describes.
    pub const OTHER: u8 = 255;
}

/// Why nothing runs.
#[derive(Debug)]
pub enum Failure {
    /// A listener could not be had.
    Listen(ListenFailure),
    /// A system call failed.
    System {
        /// What was being done.
        stage: String,
        /// Why it failed.
        error: io::Error,
    },
}

impl Failure {
    /// The exit status: the errno of the call that failed, else 255.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen(failure) => failure.exit_code(),
            Self::System { error, .. } => error
                .raw_os_error()
                .and_then(|errno| u8::try_from(errno).ok())
                .unwrap_or(exit_code::OTHER),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(failure) => failure.fmt(f),
            Self::System { stage, error } => write!(f, "{stage}: {}", Reason(error)),
        }
    }
}

impl std::error::Error for Failure {}

impl From<ListenFailure> for Failure {
    fn from(failure: ListenFailure) -> Self {
        Self::Listen(failure)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::System {
            stage: broken.stage.to_owned(),
            error: broken.error,
        }
    }
}

fn system(stage: &str) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |error| Failure::System {
        stage: stage.to_owned(),
        error,
    }
}

/// The environment that we were started with: read once, never changed.
#[derive(Clone, Debug)]
pub struct Environment(pub Vec<(OsString, OsString)>);

impl Environment {
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }
}

/// Supervises until the end.
///
/// # Errors
/// When the listeners, the control socket or the loop's own descriptors cannot be had; nothing
/// is left bound or running then.
pub fn supervise(settings: Settings, environment: Environment) -> Result<Outcome, Failure> {
    let voice = match settings.name {
        ProgramName::SdStarter => Voice::Ours,
        ProgramName::StartServer => Voice::StartServer,
    };
    fd::ensure_standard().map_err(system("opening /dev/null"))?;
    Journal::install(
        "sd-starter",
        if voice == Voice::Ours {
            "sd-starter: "
        } else {
            ""
        },
    );

    // First of all, so that no signal is lost from here on.
    let mut heard = SIGNALS.to_vec();
    heard.extend(settings.forward.iter().map(|signal| signal.get()));
    if std::process::id() == 1 {
        heard.push(libc::SIGCHLD);
    }
    let (original, signal_fd) =
        signals::take_over(&heard).map_err(system("taking over the signals"))?;
    if voice == Voice::StartServer {
        log::info!("start_server (pid:{}) starting now...", std::process::id());
    }

    let manager = Manager::from_environment(environment.get("NOTIFY_SOCKET"))
        .map_err(system("reading NOTIFY_SOCKET"))?;
    let watchdog = Watchdog::from_environment(
        environment.text("WATCHDOG_USEC"),
        environment.text("WATCHDOG_PID"),
        clock::now(),
    )
    .filter(|_| manager.is_there());
    let runtime = Runtime::open(
        environment.get("RUNTIME_DIRECTORY"),
        environment.get("XDG_RUNTIME_DIR"),
    )
    .map_err(system("creating a runtime directory"))?;
    let control: Option<PathBuf> = settings
        .control_socket
        .clone()
        .or_else(|| runtime.control_socket());
    let epoll = Epoll::new().map_err(system("creating an epoll set"))?;
    epoll
        .add(signal_fd.as_fd(), Token::Signals.into(), Interest::Readable)
        .map_err(system("waiting for signals"))?;
    let control = control
        .map(|path| Control::open(&path, &epoll).map_err(|error| (path, error)))
        .transpose()
        .map_err(|(path, error)| Failure::System {
            stage: format!("cannot open the control socket {}", path.display()),
            error,
        })?;

    // Last of what can fail: a socket file that we bind is ours to remove from here on.
    let listen_env = ListenEnv {
        pid: environment.text("LISTEN_PID"),
        fds: environment.text("LISTEN_FDS"),
        names: environment.text("LISTEN_FDNAMES"),
        pidfdid: environment.text("LISTEN_PIDFDID"),
    };
    let listeners = Listeners::gather(&settings, &listen_env)?;
    // After adoption, which refuses what is close-on-exec already: that is ours, not inherited.
    fd::close_on_exec_from(fd::FIRST).map_err(system("looking at inherited descriptors"))?;
    for warning in listeners.warnings() {
        log::warn!("{warning}");
    }
    let machine = Machine::new(policy(&settings, listeners.as_slice().len()));
    let invocation_id = environment.text("INVOCATION_ID").map(str::to_owned);
    let surroundings = Surroundings::arrange(&settings, environment.text("JOURNAL_STREAM"));
    let spawner = Spawner::new(&settings, environment.0, original);

    let parts = Parts {
        settings,
        machine,
        epoll,
        signals: signal_fd,
        spawner,
        listeners,
        manager,
        watchdog,
        control,
        runtime,
        surroundings,
        voice,
        invocation_id,
    };
    let mut supervisor = Supervisor::new(parts);
    let outcome = supervisor.run();
    for (path, error) in supervisor.remove_socket_files() {
        log::warn!("cannot remove the socket {}: {error}", path.display());
    }
    Ok(outcome?)
}

/// The machine's constants.
fn policy(settings: &Settings, sockets: usize) -> Policy {
    Policy {
        readiness: match settings.ready {
            Ready::Auto => Readiness::Auto,
            Ready::Notify => Readiness::Notify,
            Ready::Alive => Readiness::Alive,
            Ready::Fd(_) => Readiness::Descriptor,
            Ready::Command(_) => Readiness::Command,
        },
        interval: settings.interval,
        start_timeout: patience(settings.start_timeout),
        attempts: settings.attempts,
        kill_old_delay: settings.kill_old_delay,
        drain_timeout: patience(settings.drain_timeout),
        stop_timeout: patience(settings.stop_timeout),
        max_draining: settings
            .max_draining
            .and_then(|limit| usize::try_from(limit.get()).ok()),
        signal_on_hup: settings.signal_on_hup,
        signal_on_term: settings.signal_on_term,
        worker_watchdog: settings.worker_watchdog,
        auto_restart: settings.auto_restart,
        sockets,
    }
}

const fn patience(limit: Limit) -> Option<std::time::Duration> {
    match limit {
        Limit::After(patience) => Some(patience),
        Limit::Never => None,
    }
}
