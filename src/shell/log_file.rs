//! `--log-file`: where our lines and the workers' output go, once everything is bound.
//!
//! Our own standard output and error become the log, and workers inherit them. Until then, and
//! when the log is closed, they are what we were started with.

use std::ffi::{CString, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::unistd::{dup2_stderr, dup2_stdout};

use super::journal::Journal;
use super::log_command::LogCommand;
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
    /// The file.
    pub path: PathBuf,
    /// What open(2) said.
    pub error: io::Error,
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "failed to open log file:{path}: {}", Reason(&self.error))
    }
}

impl std::error::Error for LogFailure {}

impl LogFile {
    /// Opens the file, so that a mistake is known early.
    ///
    /// # Errors
    /// [`LogFailure`].
    pub fn open(target: &LogTarget) -> Result<Self, LogFailure> {
        match target {
            LogTarget::Command(command) => Ok(Self::Command(command.clone())),
            LogTarget::File(path) => {
                let opened = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o666)
                    .custom_flags(libc::O_NOCTTY)
                    .open(path);
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

/// Whatever happens to what is written there is nobody's concern any more.
fn null() -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().write(true).open("/dev/null")?.into())
}

fn become_output(fd: BorrowedFd<'_>) -> io::Result<()> {
    dup2_stdout(fd)?;
    dup2_stderr(fd)?;
    Ok(())
}
