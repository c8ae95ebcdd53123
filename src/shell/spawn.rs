//! Starting workers: a program and its surroundings, prepared once, spawned often.
//!
//! The program is looked up anew at every spawn, in the PATH that the worker will
//! have, and from the directory that it will run in: so a deploy that moves a
//! `current` link is followed, and what execvp(3) would find is what runs.

use super::listeners::Listeners;
use super::settings::{Ready, Settings};
use crate::os::child::{self, Child, Plan, Stage};
use crate::os::fd;
use crate::os::reason::{self, Reason};
use crate::os::signals::Original;
use crate::protocol::einhorn;
use crate::protocol::generation::Generation;
use crate::protocol::listen_fds::Name;
use crate::protocol::worker_env::{self, Variable};
use handover::Handover;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Where execvp(3) looks without a PATH: `_CS_PATH` of confstr(3).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What every worker has in common.
pub struct Spawner {
    program: Vec<u8>,
    argv: Vec<CString>,
    directory: Option<CString>,
    environment: Vec<(OsString, OsString)>,
    told: Vec<Variable>,
    readiness: Option<RawFd>,
    watchdog: Option<Duration>,
    einhorn: bool,
    signals: Original,
}

/// What one worker has for itself.
#[derive(Clone, Copy, Debug)]
pub struct Birth<'a> {
    /// Its generation.
    pub generation: Generation,
    /// Its `NOTIFY_SOCKET`, absolute.
    pub notify_socket: Option<&'a OsStr>,
    /// Variables that override the environment and what start_server tells (envdir).
    pub variables: &'a [Variable],
    /// Variables of ours, which nothing overrides.
    pub ours: &'a [Variable],
    /// What an earlier generation gave us to keep, with its names.
    pub stored: &'a [(&'a Name, BorrowedFd<'a>)],
    /// The writing end of a pipe, for `--ready fd:N`.
    pub readiness: Option<BorrowedFd<'a>>,
    /// Its standard output and error, if not ours.
    pub stdout_stderr: Option<BorrowedFd<'a>>,
    /// The open `cgroup.procs` of its cgroup, if not ours.
    pub cgroup_procs: Option<BorrowedFd<'a>>,
}

impl<'a> Birth<'a> {
    /// A worker with nothing special.
    #[must_use]
    pub fn new(generation: Generation, notify_socket: Option<&'a OsStr>) -> Self {
        Birth {
            generation,
            notify_socket,
            variables: &[],
            ours: &[],
            stored: &[],
            readiness: None,
            stdout_stderr: None,
            cgroup_procs: None,
        }
    }
}

/// Why there is not even a process. (What fails in the process is its outcome.)
#[derive(Debug)]
pub struct SpawnError(io::Error);

impl SpawnError {
    /// The errno of the call that failed; 0 when it was none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.0.raw_os_error().unwrap_or(0)
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "creating a process: {}", Reason(&self.0))
    }
}

impl std::error::Error for SpawnError {}

impl Spawner {
    /// Prepares for the program of `settings`; `environment` and `signals` are as we
    /// were started with them.
    #[must_use]
    pub fn new(
        settings: &Settings,
        environment: Vec<(OsString, OsString)>,
        signals: Original,
    ) -> Self {
        let arguments = settings.arguments.iter();
        let argv = std::iter::once(&settings.program).chain(arguments);
        Spawner {
            program: settings.program.as_bytes().to_vec(),
            argv: argv.map(|text| c_string(text.as_bytes())).collect(),
            directory: settings
                .dir
                .as_ref()
                .map(|dir| c_string(dir.as_os_str().as_bytes())),
            environment,
            told: settings.told_to_workers.clone(),
            readiness: match settings.ready {
                Ready::Fd(number) => Some(number),
                Ready::Auto | Ready::Notify | Ready::Alive | Ready::Command(_) => None,
            },
            watchdog: settings.worker_watchdog,
            einhorn: settings.einhorn,
            signals,
        }
    }

    /// Starts a worker with all listeners.
    ///
    /// # Errors
    /// See [`child::spawn`].
    pub fn spawn(&self, listeners: &Listeners, birth: &Birth<'_>) -> Result<Child, SpawnError> {
        let mut extra: Vec<_> = self.told.iter().chain(birth.variables).cloned().collect();
        extra.extend(self.watchdog.and_then(watchdog_usec));
        if self.einhorn {
            let sockets = listeners.as_slice().iter();
            let sockets: Vec<_> = sockets
                .map(|socket| (&socket.address, socket.target))
                .collect();
            extra.extend(einhorn::variables(&sockets));
        }
        extra.extend_from_slice(birth.ours);
        let handover = Handover::plan(listeners, birth.stored, self.readiness);
        let env = worker_env::build(
            &self.environment,
            &extra,
            &listeners.ports(),
            &handover.names,
            birth.generation,
            birth.notify_socket,
        );
        let mut sockets: Vec<_> = listeners.sockets().collect();
        let stored = birth.stored.iter().map(|(_, fd)| *fd);
        sockets.extend(stored.zip(handover.places.iter().copied()));
        let pipe = match (birth.readiness, self.readiness) {
            (Some(pipe), Some(target)) => Some((aside(pipe, &sockets)?, target)),
            _ => None,
        };
        sockets.extend(pipe.iter().map(|(pipe, target)| (pipe.as_fd(), *target)));
        // Stored descriptors stand anywhere, also where something will be put.
        let copies = match handover.places.as_slice() {
            [] => Vec::new(),
            _ => handover::above(&sockets).map_err(SpawnError)?,
        };
        if !copies.is_empty() {
            let copies = copies.iter();
            sockets = copies
                .map(|(copy, target)| (copy.as_fd(), *target))
                .collect();
        }
        let plan = Plan {
            programs: &candidates(&self.program, &env),
            argv: &self.argv,
            env: &env,
            with_listen_pid: !handover.names.is_empty(),
            with_watchdog_pid: self.watchdog.is_some(),
            new_session: false,
            sockets: &sockets,
            directory: self.directory.as_deref(),
            signals: &self.signals,
            cgroup_procs: birth.cgroup_procs,
            stdout_stderr: birth.stdout_stderr,
        };
        child::spawn(&plan).map_err(SpawnError)
    }

    /// What failed in a child, with the thing's name and the reason.
    #[must_use]
    pub fn describe(&self, stage: Stage, errno: i32) -> String {
        let reason = reason::describe(errno);
        match (stage, &self.directory) {
            (Stage::Exec, _) => format!("{stage} {}: {reason}", text(&self.program)),
            (Stage::Directory, Some(dir)) => {
                format!("{stage} to {}: {reason}", text(dir.as_bytes()))
            }
            (Stage::Directory | Stage::Cgroup | Stage::Output | Stage::Sockets, _) => {
                format!("{stage}: {reason}")
            }
        }
    }
}

/// `WATCHDOG_USEC=` (sd_watchdog_enabled(3)); the child adds `WATCHDOG_PID=`.
fn watchdog_usec(period: Duration) -> Option<Variable> {
    Variable::new("WATCHDOG_USEC", period.as_micros().to_string()).ok()
}

/// A duplicate that stands at no number where a socket or the pipe itself will.
fn aside(
    pipe: BorrowedFd<'_>,
    sockets: &[(BorrowedFd<'_>, RawFd)],
) -> Result<std::os::fd::OwnedFd, SpawnError> {
    let is_target = |number| sockets.iter().any(|(_, target)| *target == number);
    fd::duplicate_above(pipe, fd::FIRST)
        .and_then(|copy| fd::move_out_of_the_way(copy, is_target))
        .map_err(SpawnError)
}

/// The paths that execvp(3) would try: the program itself when there is a slash in
/// it, else it in each directory of the worker's PATH, where nothing means here.
fn candidates(program: &[u8], env: &[CString]) -> Vec<CString> {
    let path = env
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    candidates_in(program, path)
}

/// The same with the value of PATH.
pub(super) fn candidates_in(program: &[u8], path: Option<&[u8]>) -> Vec<CString> {
    if program.contains(&b'/') {
        return vec![c_string(program)];
    }
    let directories = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
    let in_directory = |directory: &[u8]| match directory {
        b"" => c_string(program),
        _ => c_string(&[directory, b"/", program].concat()),
    };
    directories.map(in_directory).collect()
}

/// Command lines and environments come through execve(2) and hold no NUL; if the
/// library is given one all the same, the text ends there, as it would in C.
fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0);
    CString::new(&bytes[..end.unwrap_or(bytes.len())]).expect("cut before the first NUL")
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

mod handover;
mod probe;

#[cfg(test)]
mod tests;
