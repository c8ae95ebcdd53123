//! `starterctl`'s side of the control socket.
//!
//! Every wait is a poll(2) with a timeout, so that a stuck supervisor costs no more than
//! `--timeout`, and whoever waits can say meanwhile what for.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::TimeVal;
use serde::Serialize;

use crate::os::reason::Reason;
use crate::protocol::control::{MAX_CALL, Reply, parse_reply, render_call, render_subscription};

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
    /// It may not be asked: the socket is another user's.
    Denied {
        /// Where it is.
        path: PathBuf,
    },
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
            Self::Denied { path } => write!(
                f,
                "permission denied at {}: only root and the service's own user may ask",
                path.display()
            ),
            Self::WentAway => f.write_str("the supervisor went away before it answered"),
            Self::TimedOut => f.write_str("--timeout passed; what was asked for goes on"),
            Self::Garbled(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NoAnswer {}

impl NoAnswer {
    /// Its name, for `--json`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoName => "NoName",
            Self::NotThere { .. } => "NotThere",
            Self::Denied { .. } => "PermissionDenied",
            Self::WentAway => "WentAway",
            Self::TimedOut => "TimedOut",
            Self::Garbled(_) => "Garbled",
        }
    }
}

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// Received and not yet read.
    input: Vec<u8>,
}

impl Connection {
    /// Connects, before `deadline`: a supervisor that hangs accepts nobody.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub fn open(path: &Path, deadline: Option<Instant>) -> Result<Self, NoAnswer> {
        match connect(path, deadline) {
            Ok(stream) => Ok(Self {
                stream,
                input: Vec::new(),
            }),
            Err(Errno::EAGAIN) => Err(NoAnswer::TimedOut),
            Err(Errno::EACCES | Errno::EPERM) => Err(NoAnswer::Denied {
                path: path.to_owned(),
            }),
            Err(errno) => Err(NoAnswer::NotThere {
                path: path.to_owned(),
                error: errno.into(),
            }),
        }
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`NoAnswer::WentAway`].
    pub fn call(&mut self, method: &str, parameters: &impl Serialize) -> Result<(), NoAnswer> {
        self.send(&render_call(method, parameters))
    }

    /// Calls a method that answers again and again.
    ///
    /// # Errors
    /// [`NoAnswer::WentAway`].
    pub fn subscribe(&mut self, method: &str) -> Result<(), NoAnswer> {
        self.send(&render_subscription(method))
    }

    fn send(&mut self, message: &[u8]) -> Result<(), NoAnswer> {
        self.stream
            .write_all(message)
            .map_err(|_| NoAnswer::WentAway)
    }

    /// The next answer, or `None` when there is none until then.
    ///
    /// # Errors
    /// See [`NoAnswer`]. That the supervisor refuses is an answer.
    pub fn receive(&mut self, until: Option<Instant>) -> Result<Option<Reply>, NoAnswer> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.input.drain(..=end).collect();
                return match parse_reply(&message[..end]) {
                    Ok(reply) => Ok(Some(reply)),
                    Err(error) => Err(NoAnswer::Garbled(error.to_string())),
                };
            }
            if self.input.len() > MAX_REPLY {
                return Err(NoAnswer::Garbled("the answer does not end".to_owned()));
            }
            if !self.has_something(until)? {
                return Ok(None);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(NoAnswer::WentAway),
                Ok(count) => self.input.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(NoAnswer::WentAway),
            }
        }
    }

    /// Waits for something to read.
    fn has_something(&self, until: Option<Instant>) -> Result<bool, NoAnswer> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(PollTimeout::NONE, rounded_up);
            let mut polled = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, timeout) {
                Ok(0) if left.is_none_or(|left| left.is_zero()) => return Ok(false),
                // Longer than poll's longest, or interrupted: again.
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(NoAnswer::Garbled(errno.to_string())),
            }
        }
    }
}

/// Never early, so that nobody spins through a last millisecond.
fn rounded_up(left: Duration) -> PollTimeout {
    let millis = left.as_nanos().div_ceil(1_000_000);
    let millis = i32::try_from(millis).unwrap_or(i32::MAX);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

/// As `UnixStream::connect`, but with an end: for a unix socket connect(2) honours SO_SNDTIMEO.
fn connect(path: &Path, deadline: Option<Instant>) -> nix::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let fd = socket::socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean "for ever".
        let left = left.max(Duration::from_millis(1));
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let timeout = TimeVal::new(seconds, i64::from(left.subsec_micros()));
        socket::setsockopt(&fd, sockopt::SendTimeout, &timeout)?;
    }
    let stream = UnixStream::from(fd);
    socket::connect(std::os::fd::AsRawFd::as_raw_fd(&stream), &address)?;
    Ok(stream)
}

/// Calls a method and waits for its answer. While there is none, `tick` is called: it says until
/// when to wait quietly, `None` for as long as it takes.
///
/// # Errors
/// See [`NoAnswer`]. That the supervisor refuses is an answer.
pub fn call(
    socket: &Path,
    method: &str,
    parameters: &impl Serialize,
    deadline: Option<Instant>,
    mut tick: impl FnMut() -> Option<Instant>,
) -> Result<Reply, NoAnswer> {
    let mut connection = Connection::open(socket, deadline)?;
    connection.call(method, parameters)?;
    loop {
        let until = [deadline, tick()].into_iter().flatten().min();
        if let Some(reply) = connection.receive(until)? {
            return Ok(reply);
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(NoAnswer::TimedOut);
        }
    }
}
