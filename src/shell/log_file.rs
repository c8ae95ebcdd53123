//! `--log-file`: where our lines and the workers' output go, once everything is bound.
//!
//! Our own standard output and error become the log, and workers inherit them. Until then, and
//! when the log is closed, they are what we were started with.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{dup2_stderr, dup2_stdout, geteuid};

use super::journal::Journal;
use super::log_command::{LogCommand, presence};
use super::settings::LogTarget;
use crate::os::fd;
use crate::os::reason::Reason;
use crate::os::signals::Original;

/// The log, before it is in use.
pub enum LogFile {
    /// A file, appended to.
    File(File),
    /// A command's standard input.
    Command(OsString),
}

/// Why there is no log.
#[derive(Debug)]
pub struct LogFailure {
    /// The file, or the command behind its `|`.
    pub path: PathBuf,
    /// What open(2) said, or why the command cannot be executed.
    pub error: io::Error,
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let is_command = self.path.as_os_str().as_bytes().starts_with(b"|");
        let kind = if is_command { "pipe" } else { "log file" };
        write!(f, "failed to open {kind}:{path}: {}", Reason(&self.error))
    }
}

impl std::error::Error for LogFailure {}

impl LogFile {
    /// Opens the file, or looks for the command's program in `path` (PATH), so that a mistake is known
    /// early.
    ///
    /// # Errors
    /// [`LogFailure`].
    pub fn open(target: &LogTarget, path: Option<&OsStr>) -> Result<Self, LogFailure> {
        match target {
            LogTarget::Command(command) => {
                presence::check(command, path).map_err(|error| {
                    let mut bar = OsString::from("|");
                    bar.push(command);
                    let path = bar.into();
                    LogFailure { path, error }
                })?;
                Ok(Self::Command(command.clone()))
            }
            LogTarget::File(path) => {
                let opened = match open(path, libc::O_NOFOLLOW) {
                    Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                        if is_trustworthy(path).unwrap_or(false) {
                            open(path, 0)
                        } else {
                            Err(error)
                        }
                    }
                    other => other,
                };
                opened.map(Self::File).map_err(|error| LogFailure {
                    path: path.clone(),
                    error,
                })
            }
        }
    }

    /// Makes it our standard output and error. A command is left for the loop to start; it has
    /// the output and error that we had, but those of a daemon are nobody's.
    ///
    /// # Errors
    /// As dup(2), dup2(2) and pipe2(2).
    pub fn redirect(
        self,
        environment: Vec<CString>,
        signals: Original,
        is_daemon: bool,
    ) -> io::Result<Option<LogCommand>> {
        match self {
            Self::File(file) => {
                become_output(file.as_fd())?;
                Ok(None)
            }
            Self::Command(command) => {
                let outputs = if is_daemon {
                    [null()?, null()?]
                } else {
                    [
                        fd::duplicate_above(io::stdout().as_fd(), fd::FIRST)?,
                        fd::duplicate_above(io::stderr().as_fd(), fd::FIRST)?,
                    ]
                };
                let command = LogCommand::open(&command, environment, signals, outputs)?;
                if let Some(writer) = command.writer() {
                    become_output(writer.as_fd())?;
                }
                // Without /proc the log has to do with stderr, which it asks before it writes.
                if let Ok(ours) = command.our_writer() {
                    Journal::write_to(ours);
                }
                Ok(Some(command))
            }
        }
    }
}

/// The end of a log command: our output and error are what they were before, so that it reads to
/// the end.
pub fn close(command: LogCommand) {
    Journal::write_to_stderr();
    let [output, error] = command.outputs();
    let restored = dup2_stdout(output).and_then(|()| dup2_stderr(error));
    if restored.is_ok() && !command.finish() {
        log::warn!("the log command has not taken everything yet");
    }
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o666)
        .custom_flags(libc::O_NOCTTY | flags)
        .open(path)
}

/// Whether the link at `path` can be nobody's but ours or root's: the kernel's own rule
/// (protected_symlinks of proc_sys_fs(5)), which can be switched off, and which leaves directories
/// without the sticky bit out. There whoever may write may also have put another link in its place.
fn is_trustworthy(path: &Path) -> io::Result<bool> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = std::fs::metadata(directory)?;
    let link = std::fs::symlink_metadata(path)?;
    let is_ours = |owner: u32| owner == 0 || owner == geteuid().as_raw();
    let is_shared = directory.mode() & 0o022 != 0;
    let is_sticky = directory.mode() & 0o1000 != 0;
    Ok(is_ours(directory.uid()) && is_ours(link.uid()) && (!is_shared || is_sticky))
}

/// Whatever happens to what is written there is nobody's concern any more.
fn null() -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().write(true).open("/dev/null")?.into())
}

fn become_output(fd: BorrowedFd<'_>) -> io::Result<()> {
    dup2_stdout(fd)?;
    dup2_stderr(fd)?;
    Ok(())
}
