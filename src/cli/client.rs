//! `starterctl`'s side of the control socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::control::{Instance, Target};
use super::display::NOT_ALLOWED;
use crate::os::reason::Reason;
use crate::protocol::control::{MAX_CALL, Reply, parse_reply, render_call};
use crate::protocol::duration::Limit;

/// Where the instances of the system have their directories.
const SYSTEM_DIRECTORY: &str = "/run/sd-starter";

/// An answer longer than this is not one of ours.
const MAX_REPLY: usize = 64 * MAX_CALL;

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// No name was given and no environment says which instance is meant.
    NoName,
    /// There is no such instance, or it does not run.
    NotThere {
        /// Where it was looked for.
        path: PathBuf,
        /// What was found instead.
        error: io::Error,
    },
    /// Its socket lets only root and its own user in.
    NotAllowed,
    /// It went away before it answered.
    WentAway,
    /// `--timeout` passed first.
    TimedOut,
    /// What came is no answer, or talking failed.
    Garbled(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str(
                "which instance? give a unit's name or a control socket's path \
                 (RUNTIME_DIRECTORY is not set)",
            ),
            Self::NotThere { path, error } => {
                write!(
                    f,
                    "no instance answers at {}: {}",
                    path.display(),
                    Reason(error)
                )
            }
            Self::NotAllowed => f.write_str(NOT_ALLOWED),
            Self::WentAway => f.write_str("the supervisor went away before it answered"),
            Self::TimedOut => f.write_str("--timeout passed; what was asked for goes on"),
            Self::Garbled(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// The variables that say which instance is meant when nobody does.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// `RUNTIME_DIRECTORY`, in a unit's own commands.
    pub runtime_directory: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, for a user manager's units.
    pub xdg_runtime_dir: Option<PathBuf>,
}

impl Whereabouts {
    /// The control socket that a command line means.
    ///
    /// # Errors
    /// [`NoAnswer::NoName`] when nothing says which.
    pub fn find(&self, target: &Target) -> Result<PathBuf, NoAnswer> {
        if let Some(path) = &target.control_socket {
            return Ok(path.clone());
        }
        match &target.instance {
            Some(Instance::Socket(path)) => Ok(path.clone()),
            Some(Instance::Unit(name)) => {
                let mut places = self.directories().map(|dir| dir.join(name).join("control"));
                let found = places.clone().find(|path| path.exists());
                Ok(found.or_else(|| places.next()).unwrap_or_default())
            }
            None => {
                let directory = self.runtime_directory.as_ref().ok_or(NoAnswer::NoName)?;
                Ok(directory.join("control"))
            }
        }
    }

    /// The directories that instances have theirs in.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> + Clone + '_ {
        let user = self
            .xdg_runtime_dir
            .iter()
            .map(|dir| dir.join("sd-starter"));
        std::iter::once(PathBuf::from(SYSTEM_DIRECTORY)).chain(user)
    }
}

/// Calls a method and waits for its answer.
///
/// # Errors
/// See [`NoAnswer`]. That the supervisor refuses is an answer.
pub fn call(
    socket: &Path,
    method: &str,
    parameters: &impl Serialize,
    timeout: Limit,
) -> Result<Reply, NoAnswer> {
    let not_there = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => NoAnswer::NotAllowed,
        _ => NoAnswer::NotThere {
            path: socket.to_owned(),
            error,
        },
    };
    let mut stream = UnixStream::connect(socket).map_err(not_there)?;
    stream
        .write_all(&render_call(method, parameters))
        .map_err(|_| NoAnswer::WentAway)?;
    let deadline = match timeout {
        Limit::After(timeout) => Some(Instant::now() + timeout),
        Limit::Never => None,
    };
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(NoAnswer::TimedOut);
        }
        // A timeout of zero would mean "for ever" to the socket.
        let left = left.map(|left| left.max(Duration::from_millis(1)));
        stream
            .set_read_timeout(left)
            .map_err(|error| NoAnswer::Garbled(error.to_string()))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Err(NoAnswer::WentAway),
            Ok(count) => answer.extend(&buffer[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                _ => return Err(NoAnswer::WentAway),
            },
        }
        if let Some(end) = answer.iter().position(|byte| *byte == 0) {
            return parse_reply(&answer[..end])
                .map_err(|error| NoAnswer::Garbled(error.to_string()));
        }
        if answer.len() > MAX_REPLY {
            return Err(NoAnswer::Garbled("the answer does not end".to_owned()));
        }
    }
}
