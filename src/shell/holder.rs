//! Whom a pid file stands for: the process that holds it, or nobody.
//!
//! A number in a file says nothing by itself: its process may be gone and the number given to an
//! innocent one (B9). So the file must be locked, and the process must have it open; it is then
//! spoken to through a pidfd, which never comes to mean another process.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::own_file::OwnFile;
use super::pid_file::{is_locked, named};
use crate::os::process;
use crate::os::reason::Reason;
use crate::protocol::signal_name::Signal;

/// The supervisor behind a pid file.
#[derive(Debug)]
pub struct Holder {
    file: File,
    pid: i32,
    pidfd: OwnedFd,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoHolder {
    /// The file cannot be opened.
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Nobody holds its lock.
    Stale {
        /// Where it is.
        path: PathBuf,
        /// Whom it names.
        pid: Option<i32>,
    },
    /// Somebody holds its lock, but it names nobody: the supervisor is just starting.
    Nameless(PathBuf),
    /// Somebody holds its lock, but not the process that it names.
    Another {
        /// Where it is.
        path: PathBuf,
        /// Whom it names.
        pid: i32,
    },
    /// A system call failed.
    System(io::Error),
}

impl NoHolder {
    /// The exit status: the errno that tells the same.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let errno = match self {
            Self::Open { error, .. } | Self::System(error) => error.raw_os_error(),
            Self::Stale { .. } | Self::Another { .. } => Some(libc::ESRCH),
            Self::Nameless(_) => Some(libc::EAGAIN),
        };
        errno
            .and_then(|errno| u8::try_from(errno).ok())
            .unwrap_or(super::start::exit_code::OTHER)
    }
}

impl fmt::Display for NoHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => {
                write!(
                    f,
                    "failed to open file:{}:{}",
                    path.display(),
                    Reason(error)
                )
            }
            Self::Stale { path, pid } => {
                write!(f, "the pid file {} is stale: ", path.display())?;
                if let Some(pid) = pid {
                    write!(f, "it names process {pid}, but ")?;
                }
                f.write_str("nobody holds its lock; nobody was signalled")
            }
            Self::Nameless(path) => write!(
                f,
                "the pid file {} names nobody yet: its supervisor is starting",
                path.display()
            ),
            Self::Another { path, pid } => write!(
                f,
                "the pid file {} names process {pid}, which does not hold it; \
                 nobody was signalled",
                path.display()
            ),
            Self::System(error) => Reason(error).fmt(f),
        }
    }
}

impl std::error::Error for NoHolder {}

impl Holder {
    /// Finds the process that a pid file stands for.
    ///
    /// # Errors
    /// [`NoHolder`].
    pub fn find(path: &Path) -> Result<Self, NoHolder> {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        let file = opened.map_err(|error| NoHolder::Open {
            path: path.to_owned(),
            error,
        })?;
        let own_file = OwnFile::new(path, &file).map_err(NoHolder::System)?;
        let pid = named(&file);
        let locked = || is_locked(&file).map_err(NoHolder::System);
        let stale = |pid| NoHolder::Stale {
            path: path.to_owned(),
            pid,
        };
        if !locked()? {
            return Err(stale(pid));
        }
        let pid = pid.ok_or_else(|| NoHolder::Nameless(path.to_owned()))?;
        let pidfd = match process::pidfd_open(pid) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                return Err(NoHolder::Another {
                    path: path.to_owned(),
                    pid,
                });
            }
            other => other.map_err(NoHolder::System)?,
        };
        // From here on the process is pinned down: if it is still the holder, it was all along.
        if has_open(pid, &own_file) == Some(false) {
            return Err(NoHolder::Another {
                path: path.to_owned(),
                pid,
            });
        }
        if !locked()? {
            return Err(stale(Some(pid)));
        }
        let holder = Self { file, pid, pidfd };
        // The name may have changed hands while we looked.
        match holder.is_named() && holder.is_alive() {
            true => Ok(holder),
            false => Err(stale(Some(pid))),
        }
    }

    /// Its pid, for people.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// As pidfd_send_signal(2).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        process::send_signal(self.pidfd.as_fd(), signal.get())
    }

    /// Waits until it has ended, at most for `patience`; says whether it has.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self, patience: Option<Duration>) -> io::Result<bool> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                // Beyond a month the loop simply comes round again.
                let millis = i32::try_from(left.as_nanos().div_ceil(1_000_000));
                PollTimeout::try_from(millis.unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
            });
            let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ended, timeout) {
                Ok(0) if left.is_some_and(|left| left > Duration::from_secs(1)) => {}
                Ok(count) => return Ok(count > 0),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.wait(Some(Duration::ZERO)), Ok(false))
    }

    /// Whether somebody holds the lock on the file.
    ///
    /// # Errors
    /// As flock(2).
    pub fn is_locked(&self) -> io::Result<bool> {
        is_locked(&self.file)
    }

    fn is_named(&self) -> bool {
        let mut content = [0; 64];
        let Ok(length) = self.file.read_at(&mut content, 0) else {
            return false;
        };
        let line = content[..length].split(|byte| *byte == b'\n').next();
        line.is_some_and(|line| crate::protocol::pid_file::parse(line) == Ok(self.pid))
    }
}

/// Whether a process has this file open; `None` where that cannot be seen (another user's, or no
/// /proc): then a signal would be refused as well, or the lock has to be enough.
fn has_open(pid: i32, file: &OwnFile) -> Option<bool> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let is_it = |entry: io::Result<fs::DirEntry>| {
        let opened = entry.and_then(|entry| fs::metadata(entry.path()));
        opened.is_ok_and(|metadata| file.is(&metadata))
    };
    Some(entries.into_iter().any(is_it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::Scratch;
    use crate::shell::pid_file::PidFile;
    use std::process::{Command, Stdio};

    fn refused(path: &Path) -> String {
        Holder::find(path).unwrap_err().to_string()
    }

    #[test]
    fn the_holder_is_found() {
        let scratch = Scratch::new();
        let path = scratch.path("pid");
        let pid_file = PidFile::lock(&path).unwrap();
        assert!(refused(&path).contains("names nobody yet"));
        pid_file.write().unwrap();
        let holder = Holder::find(&path).unwrap();
        assert_eq!(holder.pid().unsigned_abs(), std::process::id());
        assert!(holder.is_alive() && holder.is_locked().unwrap());
        drop(pid_file);
        // The children hold it, too, that other tests fork in this moment, until they execute something.
        let deadline = Instant::now() + Duration::from_secs(10);
        while holder.is_locked().unwrap() {
            assert!(Instant::now() < deadline, "nobody holds it");
            std::thread::yield_now();
        }
    }

    #[test]
    fn b9_a_stale_file_and_one_that_names_another_are_refused() {
        let scratch = Scratch::new();
        let path = scratch.path("pid");
        let mut innocent = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        fs::write(&path, format!("{}\n", innocent.id())).unwrap();
        assert!(refused(&path).contains("is stale: it names process"));
        let lock = File::open(&path).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert!(refused(&path).contains("which does not hold it"));
        assert!(innocent.try_wait().unwrap().is_none());
        drop(innocent.stdin.take());
        innocent.wait().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(refused(&path).starts_with("failed to open file:"));
    }
}
