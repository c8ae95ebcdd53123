//! `--pid-file`: our pid for scripts, and the lock (flock(2)) that says that it is still ours.
//!
//! The lock is taken before anything is bound or started, and released last: whoever waits for it
//! finds nothing of ours left. It belongs to the open file and so survives daemonizing; no worker
//! has it, because the file is close-on-exec.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::poll::poll;
use rustix::fs::{FlockOperation, flock};

use super::luggage::{Luggage, Packed, own_file, saved_own_file};
use super::own_file::OwnFile;
use crate::os::reason::Reason;
use crate::protocol::pid_file;
use crate::protocol::state::{Label, held};

/// How often a file that its holder has just removed is opened anew.
const TRIES: u32 = 10;

/// Between two tries, in milliseconds.
const PAUSE: u8 = 20;

/// The pid file, locked. Dropping it removes the file, then releases the lock.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    ours: OwnFile,
}

/// Why the pid file is not ours.
#[derive(Debug)]
pub enum PidFileFailure {
    /// Another process holds the lock.
    InUse {
        /// Where it is.
        path: PathBuf,
        /// Its pid, if the file says it.
        holder: Option<i32>,
    },
    /// It is a device, a pipe, a directory...
    NotAFile(PathBuf),
    /// A system call failed.
    System {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl PidFileFailure {
    /// The errno of the call that failed; `EAGAIN` for a lock that another has.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::InUse { .. } => Some(libc::EAGAIN),
            Self::NotAFile(_) => None,
            Self::System { error, .. } => error.raw_os_error(),
        }
    }
}

impl fmt::Display for PidFileFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse {
                path,
                holder: Some(pid),
            } => write!(
                f,
                "the pid file {} is in use: process {pid} holds it",
                path.display()
            ),
            Self::InUse { path, holder: None } => write!(
                f,
                "the pid file {} is in use: another process holds its lock",
                path.display()
            ),
            Self::NotAFile(path) => {
                write!(f, "the pid file {} is not a regular file", path.display())
            }
            Self::System { path, error } => {
                write!(f, "cannot open the pid file {}: ", path.display())?;
                match error.raw_os_error() {
                    // What O_NOFOLLOW says; "too many levels" would puzzle.
                    Some(libc::ELOOP) => f.write_str("it is a symbolic link"),
                    _ => Reason(error).fmt(f),
                }
            }
        }
    }
}

impl std::error::Error for PidFileFailure {}

impl PidFile {
    /// Locks the file. A stale content is gone from here on: until [`PidFile::write`] it names
    /// nobody, because the process that it named may be anybody by now.
    ///
    /// # Errors
    /// [`PidFileFailure`]; the file of another instance is as it was (B8).
    pub fn lock(path: &Path) -> Result<Self, PidFileFailure> {
        let system = |error: io::Error| PidFileFailure::System {
            path: path.to_owned(),
            error,
        };
        let mut tries = 1;
        loop {
            let file = open(path).map_err(system)?;
            if !file.metadata().map_err(system)?.is_file() {
                return Err(PidFileFailure::NotAFile(path.to_owned()));
            }
            let ours = OwnFile::new(path, &file).map_err(system)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Removed between our open and our lock: the lock is on a file without a name.
                Ok(()) if tries < TRIES && !ours.is_in_place().map_err(system)? => {}
                Ok(()) => {
                    file.set_len(0).map_err(system)?;
                    return Ok(Self { file, ours });
                }
                // --stop and --restart try the lock for a moment, too.
                Err(rustix::io::Errno::WOULDBLOCK) if tries < TRIES => {
                    poll(&mut [], PAUSE).map_err(|errno| system(errno.into()))?;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(PidFileFailure::InUse {
                        path: path.to_owned(),
                        holder: named(&file),
                    });
                }
                Err(error) => return Err(system(error.into())),
            }
            tries += 1;
        }
    }

    /// The file and its lock, for a successor.
    pub fn save<'a>(&'a self, packed: &mut Packed<'a>) -> held::PidFile {
        held::PidFile {
            fd: packed.add(Label::of("pid-file"), &self.file),
            file: saved_own_file(&self.ours),
        }
    }

    /// The file of a predecessor. Its lock belongs to the open file, and so to us now.
    ///
    /// # Errors
    /// When it did not come along.
    pub fn take_over(saved: &held::PidFile, luggage: &mut Luggage) -> io::Result<Self> {
        Ok(Self {
            file: luggage.take(&saved.fd)?.into(),
            ours: own_file(&saved.file),
        })
    }

    /// Writes our pid.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&self) -> io::Result<()> {
        let pid = i32::try_from(std::process::id()).expect("a pid is positive");
        self.file.write_all_at(pid_file::render(pid).as_bytes(), 0)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While the lock is held, so that no successor's file can be meant. What cannot be
        // removed is stale from now on, and everybody can see that by the lock.
        let _ = self.ours.remove();
    }
}

/// Opens without truncating; a link is not followed, and nothing waits for a FIFO's other end.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Whom a pid file names.
pub(super) fn named(file: &File) -> Option<i32> {
    let mut content = Vec::new();
    // Longer than any pid: the parser refuses it.
    let mut head = file.take(64);
    head.read_to_end(&mut content).ok()?;
    let line = content.split(|byte| *byte == b'\n').next()?;
    pid_file::parse(line).ok()
}

/// Whether somebody holds the lock; it is not kept.
///
/// # Errors
/// As flock(2).
pub(super) fn is_locked(file: &File) -> io::Result<bool> {
    match flock(file.as_fd(), FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            flock(file.as_fd(), FlockOperation::Unlock)?;
            Ok(false)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::Scratch;
    use std::fs;

    #[test]
    fn it_is_ours_from_lock_to_drop() {
        let scratch = Scratch::new();
        let path = scratch.path("pid");
        fs::write(&path, "99999999\nsecond line\n").unwrap();
        let pid_file = PidFile::lock(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        pid_file.write().unwrap();
        let own = std::process::id();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{own}\n"));
        assert!(is_locked(&File::open(&path).unwrap()).unwrap());
        drop(pid_file);
        assert!(!path.exists());
    }

    #[test]
    fn b8_a_second_one_is_refused_and_changes_nothing() {
        let scratch = Scratch::new();
        let path = scratch.path("pid");
        let first = PidFile::lock(&path).unwrap();
        first.write().unwrap();
        let refused = PidFile::lock(&path).unwrap_err().to_string();
        let own = std::process::id();
        let end = format!("is in use: process {own} holds it");
        assert!(refused.ends_with(&end), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{own}\n"));
    }

    #[test]
    fn links_and_devices_are_refused_and_stay() {
        let scratch = Scratch::new();
        let (link, target) = (scratch.path("link"), scratch.path("target"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = PidFile::lock(&link).unwrap_err().to_string();
        assert!(refused.ends_with("it is a symbolic link"), "{refused}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        let refused = PidFile::lock(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(refused, PidFileFailure::NotAFile(_)));
    }

    #[test]
    fn a_file_that_another_made_meanwhile_stays() {
        let scratch = Scratch::new();
        let path = scratch.path("pid");
        let first = PidFile::lock(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = PidFile::lock(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
