//! How a process ended.

use std::fmt;

use crate::protocol::signal_name::Signal;

/// How a worker ended, as waitid(2) tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It returned this status.
    Status(i32),
    /// A signal ended it.
    Killed {
        /// The signal.
        signal: Signal,
        /// Whether it left a core dump.
        core: bool,
    },
    /// It is gone and nobody can tell how: it was not our child (taken over after a crash).
    Unknown,
}

impl Exit {
    /// The status word of wait(2), as `start_server` prints it: 256 is "exited with 1".
    #[must_use]
    pub fn wait_status(self) -> i32 {
        match self {
            Self::Status(status) => (status & 0xff) << 8,
            Self::Killed { signal, core } => (signal.get() & 0x7f) | if core { 0x80 } else { 0 },
            Self::Unknown => 0,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exited with status {status}"),
            Self::Killed {
                signal,
                core: false,
            } => write!(f, "killed by signal {signal}"),
            Self::Killed { signal, core: true } => {
                write!(f, "killed by signal {signal} (core dumped)")
            }
            Self::Unknown => f.write_str("gone, with a status that nobody can know any more"),
        }
    }
}
