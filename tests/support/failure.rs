//! How a request fails.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// How a request failed. What a client of ours must never see has a class of its own each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nobody listens (ECONNREFUSED; for a unix socket also: there is none).
    Refused,
    /// ECONNRESET, or EPIPE while writing.
    Reset,
    /// The connection ended before the answer was complete.
    Eof,
    Timeout,
    /// An answer, but not the one that the request must have.
    Wrong,
    /// Everything else.
    Unexpected,
}

impl Class {
    pub(crate) const ALL: [Self; 6] = [
        Self::Refused,
        Self::Reset,
        Self::Eof,
        Self::Timeout,
        Self::Wrong,
        Self::Unexpected,
    ];
}

/// A failed request, with its reason for the reader of the test's output.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.class, self.reason)
    }
}

impl Failure {
    pub(crate) fn wrong(reason: impl Into<String>) -> Self {
        Self {
            class: Class::Wrong,
            reason: reason.into(),
        }
    }

    pub(crate) fn eof(stage: &str) -> Self {
        Self {
            class: Class::Eof,
            reason: format!("{stage}: end of the connection"),
        }
    }

    pub(crate) fn io(stage: &str, error: &io::Error) -> Self {
        let class = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::CONNREFUSED | Errno::NOENT) => Class::Refused,
            Some(Errno::CONNRESET | Errno::PIPE) => Class::Reset,
            // What a socket's own timeout says (socket(7)): to a read or a write, and to connect.
            Some(Errno::AGAIN | Errno::INPROGRESS | Errno::TIMEDOUT) => Class::Timeout,
            _ => Class::Unexpected,
        };
        Self {
            class,
            reason: format!("{stage}: {error}"),
        }
    }
}
