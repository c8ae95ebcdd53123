//! Why nothing runs, and with which exit status that ends.

use std::fmt;
use std::io;

use super::expansion::ExpansionFailure;
use super::listen_failure::ListenFailure;
use super::log_file::LogFailure;
use super::pid_file::PidFileFailure;
use super::supervisor::Broken;
use super::voice::Voice;
use crate::os::reason::Reason;

/// The exit codes of `sd-starter`, as its man page lists them.
pub mod exit_code {
    /// A clean stop.
    pub const OK: u8 = 0;
    /// An option, or a value of one, that makes no sense.
    pub const BAD_VALUE: u8 = 1;
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
    /// A placeholder stands for nothing.
    Expansion(ExpansionFailure),
    /// The pid file could not be had.
    PidFile(PidFileFailure),
    /// The log could not be had.
    Log(LogFailure),
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
        let errno = match self {
            Self::Listen(failure) => return failure.exit_code(),
            Self::Expansion(_) => return exit_code::BAD_VALUE,
            Self::PidFile(failure) => failure.errno(),
            Self::Log(LogFailure { error, .. }) | Self::System { error, .. } => {
                error.raw_os_error()
            }
        };
        errno
            .and_then(|errno| u8::try_from(errno).ok())
            .unwrap_or(exit_code::OTHER)
    }

    /// The reason in one line; where start_server has words for it, in those.
    #[must_use]
    pub fn say(&self, voice: Voice) -> String {
        match (self, voice) {
            (Self::Listen(failure), Voice::StartServer) => failure.start_servers(),
            (Self::Listen(failure), Voice::Ours) => failure.to_string(),
            (Self::Expansion(failure), _) => failure.to_string(),
            (Self::PidFile(failure), _) => failure.to_string(),
            (Self::Log(failure), _) => failure.to_string(),
            (Self::System { stage, error }, _) => format!("{stage}: {}", Reason(error)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say(Voice::Ours))
    }
}

impl std::error::Error for Failure {}

impl From<ListenFailure> for Failure {
    fn from(failure: ListenFailure) -> Self {
        Self::Listen(failure)
    }
}

impl From<ExpansionFailure> for Failure {
    fn from(failure: ExpansionFailure) -> Self {
        Self::Expansion(failure)
    }
}

impl From<PidFileFailure> for Failure {
    fn from(failure: PidFileFailure) -> Self {
        Self::PidFile(failure)
    }
}

impl From<LogFailure> for Failure {
    fn from(failure: LogFailure) -> Self {
        Self::Log(failure)
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

/// Names the stage at which a system call failed.
pub(super) fn system(stage: &str) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |error| Failure::System {
        stage: stage.to_owned(),
        error,
    }
}
