//! The supervisor as a library: what the function `start_server` is in Perl.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{Ready, Settings};
use super::start::{self, Environment, Failure};
use crate::core::{Attempts, Outcome};
use crate::protocol::address::path_key;
use crate::protocol::duration::Limit;
use crate::protocol::port::{self, PortError};
use crate::protocol::signal_name::Signal;
use std::os::unix::ffi::OsStrExt;

/// The longest path of a unix socket: sun_path of unix(7), less its NUL.
const MAX_PATH_LENGTH: usize = 107;

/// A supervisor, to be filled in and [run](Starter::run).
///
/// Its defaults are those of the program `sd-starter`, which is made of it. Whatever has no method
/// here is a field of [`Settings`], and `Starter::from(settings)` takes them whole.
///
/// A program that is its own supervisor: under one it serves, and without one it starts itself
/// (`tests/worker/own_supervisor.rs` is one that does).
///
/// ```no_run
/// use sd_starter::{Starter, worker};
/// use std::time::Duration;
///
/// # fn serve(_: std::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> { Ok(()) }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// if worker::generation().is_some() {
///     let listener = worker::sockets()?.tcp_listener("127.0.0.1:8080")?;
///     worker::ready()?;
///     serve(listener)?;
/// } else {
///     Starter::new(std::env::current_exe()?)
///         .port("127.0.0.1:8080")?
///         .interval(Duration::from_millis(500))
///         .run()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Starter {
    settings: Settings,
    environment: Environment,
}

/// A value that no socket can be made of.
#[derive(Debug)]
pub enum BadListener {
    /// What [`Starter::port`] was given.
    Port {
        /// The text.
        text: String,
        /// What is wrong with it.
        error: PortError,
    },
    /// What [`Starter::path`] was given: too long, not UTF-8, with `;` or `=`, or like a port.
    Path(PathBuf),
}

impl fmt::Display for BadListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadListener::Port { text, error } => write!(f, "cannot listen on {text}: {error}"),
            BadListener::Path(path) => write!(
                f,
                "cannot listen on {}: it must be UTF-8 of at most {MAX_PATH_LENGTH} bytes without ';' \
                 and '=', and not read like a port",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BadListener {}

impl Starter {
    /// For this program, in the environment of this process.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        let environment = Environment(std::env::vars_os().collect());
        let mut settings = Settings::new(program.into());
        if environment.get("NOTIFY_SOCKET").is_some() {
            // Somebody waits for the verdict.
            settings.attempts = Attempts::AtMost(NonZeroU32::MIN);
        }
        Self {
            settings,
            environment,
        }
    }

    /// With this environment instead of the process's own: for the worker, and for what systemd has to
    /// say to us (`LISTEN_FDS`, `NOTIFY_SOCKET`, `RUNTIME_DIRECTORY`...).
    #[must_use]
    pub fn environment(mut self, environment: Vec<(OsString, OsString)>) -> Self {
        self.environment = Environment(environment);
        self
    }

    /// One more argument for the program.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.settings.arguments.push(argument.into());
        self
    }

    /// More arguments for the program.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        self.settings.arguments.extend(arguments);
        self
    }

    /// Listens on a port: `[HOST:]PORT[=FD]`, as `--port`.
    ///
    /// # Errors
    /// [`BadListener::Port`].
    pub fn port(mut self, text: &str) -> Result<Self, BadListener> {
        let spec = port::parse(text).map_err(|error| BadListener::Port {
            text: text.to_owned(),
            error,
        })?;
        self.settings.ports.push(spec);
        Ok(self)
    }

    /// Listens on a unix socket, as `--path`.
    ///
    /// # Errors
    /// [`BadListener::Path`].
    pub fn path(mut self, path: impl Into<PathBuf>) -> Result<Self, BadListener> {
        let path = path.into();
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() > MAX_PATH_LENGTH || path_key(bytes).is_none() {
            return Err(BadListener::Path(path));
        }
        self.settings.paths.push(path);
        Ok(self)
    }

    /// What makes a generation ready: [`Ready::Auto`] unless said.
    #[must_use]
    pub fn ready(mut self, ready: Ready) -> Self {
        self.settings.ready = ready;
        self
    }

    /// How long a generation must live to count as started; 1 second unless said.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// How long a generation may take to become ready; 90 seconds unless said.
    #[must_use]
    pub fn start_timeout(mut self, limit: Limit) -> Self {
        self.settings.start_timeout = limit;
        self
    }

    /// How often a generation is tried; once with a `NOTIFY_SOCKET`, else until it works.
    #[must_use]
    pub fn attempts(mut self, attempts: Attempts) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// How long a generation is on trial once it is ready; 0 unless said.
    #[must_use]
    pub fn kill_old_delay(mut self, delay: Duration) -> Self {
        self.settings.kill_old_delay = delay;
        self
    }

    /// The signals that tell old generations to leave after a swap, and everybody at the end; TERM
    /// unless said.
    #[must_use]
    pub fn signals(mut self, on_hup: Signal, on_term: Signal) -> Self {
        self.settings.signal_on_hup = on_hup;
        self.settings.signal_on_term = on_term;
        self
    }

    /// How long an old generation may take to leave before it is killed; no limit unless said.
    #[must_use]
    pub fn drain_timeout(mut self, limit: Limit) -> Self {
        self.settings.drain_timeout = limit;
        self
    }

    /// How long everybody may take to leave at the end; 90 seconds unless said.
    #[must_use]
    pub fn stop_timeout(mut self, limit: Limit) -> Self {
        self.settings.stop_timeout = limit;
        self
    }

    /// The working directory of workers, looked up anew for each.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.dir = Some(dir.into());
        self
    }

    /// Where `starterctl` finds us; `$RUNTIME_DIRECTORY/control` unless said.
    #[must_use]
    pub fn control_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.control_socket = Some(path.into());
        self
    }

    /// Supervises until the end: SIGTERM, SIGINT, or a first generation that fails.
    ///
    /// It takes over the process: its signals, every descriptor that was inherited (close-on-exec from
    /// here on), the logger of the `log` crate if there is none. So it belongs at the end of a main
    /// that has started no thread: a worker is forked from here.
    ///
    /// # Errors
    /// [`Failure`], when nothing could be started; it knows its exit code.
    pub fn run(self) -> Result<Outcome, Failure> {
        start::supervise(self.settings, self.environment)
    }
}

impl From<Settings> for Starter {
    fn from(settings: Settings) -> Self {
        Self {
            settings,
            environment: Environment(std::env::vars_os().collect()),
        }
    }
}
