//! Why a socket cannot be had.

use super::{Kind, Malformed, NotForUs};
use std::fmt;
use std::io;

/// Why a socket cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// [`sockets`](super::sockets) has been called in this process before.
    AskedTwice,
    /// A variable is not UTF-8.
    NotText {
        /// Its name.
        variable: &'static str,
    },
    /// The environment contradicts itself.
    Malformed(Malformed),
    /// A descriptor that the environment speaks of cannot be taken.
    Descriptor {
        /// Its number.
        fd: i32,
        /// Not open, or not inherited.
        reason: io::Error,
    },
    /// Nothing was passed to this process at all.
    NothingPassed {
        /// What `LISTEN_FDS` said.
        reason: Option<NotForUs>,
    },
    /// No socket with this key or name.
    NoSuchSocket {
        /// What was asked for.
        which: String,
        /// What there is to take, with kinds.
        left: Vec<String>,
    },
    /// It was there, and was taken before.
    Taken {
        /// What was asked for.
        which: String,
    },
    /// [`Which::Only`](super::Which::Only), and several are left.
    Several {
        /// What there is to take, with kinds.
        left: Vec<String>,
    },
    /// It is of another kind. It has not been taken.
    OtherKind {
        /// What was asked for.
        which: String,
        /// What it is.
        is: Kind,
        /// What it should be.
        wanted: Kind,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::AskedTwice => f.write_str("the sockets of this process were asked for before"),
            Error::NotText { variable } => write!(f, "{variable} is not UTF-8"),
            Error::Malformed(error) => error.fmt(f),
            Error::Descriptor { fd, reason } => write!(
                f,
                "the environment speaks of descriptor {fd}, which cannot be taken: {reason}"
            ),
            Error::NothingPassed { reason } => match reason {
                Some(NotForUs::Unset) | None => f.write_str(
                    "no sockets were passed, neither in SERVER_STARTER_PORT nor in LISTEN_FDS",
                ),
                Some(other) => other.fmt(f),
            },
            Error::NoSuchSocket { which, left } if left.is_empty() => {
                write!(f, "no socket is left for {which}")
            }
            Error::NoSuchSocket { which, left } => {
                write!(f, "no socket for {which} among {}", left.join(", "))
            }
            Error::Taken { which } => write!(f, "the socket for {which} was taken before"),
            Error::Several { left } => {
                write!(
                    f,
                    "more than one socket to choose from: {}",
                    left.join(", ")
                )
            }
            Error::OtherKind { which, is, wanted } => {
                write!(f, "the socket for {which} is {is}, not {wanted}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Descriptor { reason, .. } => Some(reason),
            Error::Malformed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}
