//! Why the listeners could not be had: the end of the start, with its exit status.

use crate::os::reason::Reason;
use crate::protocol::listen_fds::{ListenError, Name};
use std::fmt;
use std::io;
use std::os::fd::RawFd;

/// The exit status of what no system call failed for, as of Perl's `die`.
const NO_ERRNO: u8 = 255;

/// Why the listeners could not be had.
#[derive(Debug)]
pub enum ListenFailure {
    /// The LISTEN_ variables contradict themselves.
    Environment(ListenError),
    /// A descriptor that the environment announces cannot be taken.
    Inherit {
        /// Its number.
        number: RawFd,
        /// Its name.
        name: Name,
        /// What fcntl(2) or getsockopt(2) said.
        error: io::Error,
    },
    /// A connection instead of a listening socket.
    NotListening {
        /// Its number.
        number: RawFd,
        /// Its name.
        name: Name,
    },
    /// No address for the host of a `--port`.
    Resolve {
        /// The host as written.
        host: String,
        /// The value of `--port` that it stands in, as its key.
        port: String,
        /// What the resolver said.
        reason: String,
    },
    /// An address or path could not be bound or listened on.
    Listen {
        /// The address or path.
        address: String,
        /// The key, for a `--port`.
        port: Option<String>,
        /// What bind(2) or listen(2) said.
        error: io::Error,
    },
    /// Two sockets are to stand at one number.
    Pins {
        /// The name of the one that comes first.
        first: String,
        /// The name of the other.
        second: String,
        /// The number.
        fd: RawFd,
    },
    /// The number for readiness is one that sockets need.
    Reserved {
        /// The number.
        fd: RawFd,
        /// What stands there: a socket, or all of `LISTEN_FDS`.
        by: String,
    },
    /// Our descriptors could not be moved away from the workers' numbers.
    Move(io::Error),
}

impl ListenFailure {
    /// Whether somebody else has the address.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        match self {
            ListenFailure::Listen { error, .. } => error.kind() == io::ErrorKind::AddrInUse,
            ListenFailure::Inherit { .. }
            | ListenFailure::Move(_)
            | ListenFailure::Environment(_)
            | ListenFailure::NotListening { .. }
            | ListenFailure::Resolve { .. }
            | ListenFailure::Pins { .. }
            | ListenFailure::Reserved { .. } => false,
        }
    }

    /// The exit status: the errno of the call that failed, else 255.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let error = match self {
            ListenFailure::Inherit { error, .. } | ListenFailure::Listen { error, .. } => error,
            ListenFailure::Move(error) => error,
            ListenFailure::Environment(_)
            | ListenFailure::NotListening { .. }
            | ListenFailure::Resolve { .. }
            | ListenFailure::Pins { .. }
            | ListenFailure::Reserved { .. } => return NO_ERRNO,
        };
        let errno = error.raw_os_error().map(u8::try_from);
        errno.and_then(Result::ok).unwrap_or(NO_ERRNO)
    }
}

impl ListenFailure {
    /// The reason in the words of start_server, where it has some: scripts look for them.
    #[must_use]
    pub fn start_servers(&self) -> String {
        match self {
            ListenFailure::Resolve { host, reason, .. } => {
                format!("failed to resolve host:{host}:{reason}")
            }
            ListenFailure::Listen {
                port: Some(key),
                error,
                ..
            } => format!("failed to bind to {key}:{}", Reason(error)),
            ListenFailure::Listen {
                address,
                port: None,
                error,
            } => format!("failed to listen to file {address}:{}", unix_reason(error)),
            ListenFailure::Environment(_)
            | ListenFailure::Inherit { .. }
            | ListenFailure::NotListening { .. }
            | ListenFailure::Pins { .. }
            | ListenFailure::Reserved { .. }
            | ListenFailure::Move(_) => self.to_string(),
        }
    }
}

impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenFailure::Environment(error) => {
                write!(f, "cannot take sockets from systemd: {error}")
            }
            ListenFailure::Inherit {
                number,
                name,
                error,
            } => {
                write!(f, "cannot take fd {number} ({name}): {}", Reason(error))
            }
            ListenFailure::NotListening { number, name } => write!(
                f,
                "fd {number} ({name}): not a listening socket: the socket unit must use Accept=no, \
                 or a program has shut it down (shutdown(2))"
            ),
            ListenFailure::Resolve { host, port, reason } => {
                write!(f, "cannot resolve host {host} in --port {port}: {reason}")
            }
            ListenFailure::Listen { address, error, .. } => {
                write!(f, "cannot listen on {address}: {}", unix_reason(error))
            }
            ListenFailure::Pins { first, second, fd } => {
                write!(f, "{first} and {second} both ask for file descriptor {fd}")
            }
            ListenFailure::Reserved { fd, by } => write!(
                f,
                "--ready fd:{fd} asks for a file descriptor that {by} needs; use a higher one"
            ),
            ListenFailure::Move(error) => {
                write!(f, "cannot hold the sockets: {}", Reason(error))
            }
        }
    }
}

impl std::error::Error for ListenFailure {}

fn unix_reason(error: &io::Error) -> String {
    let more = match error.kind() {
        io::ErrorKind::AlreadyExists => ", and is not a socket",
        _ => "",
    };
    format!("{}{more}", Reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str, errno: i32) -> ListenFailure {
        ListenFailure::Listen {
            address: address.to_owned(),
            port: address.contains(':').then(|| address.to_owned()),
            error: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn messages_name_the_thing_and_the_reason() {
        assert_eq!(
            listen("127.0.0.1:80", libc::EACCES).to_string(),
            "cannot listen on 127.0.0.1:80: Permission denied"
        );
        assert_eq!(
            listen("/run/precious", libc::EEXIST).to_string(),
            "cannot listen on /run/precious: File exists, and is not a socket"
        );
        assert_eq!(
            listen("127.0.0.1:80", libc::EACCES).start_servers(),
            "failed to bind to 127.0.0.1:80:Permission denied"
        );
        assert_eq!(
            listen("s.sock", libc::ENOENT).start_servers(),
            "failed to listen to file s.sock:No such file or directory"
        );
        let name = Name::new("connection").unwrap();
        assert_eq!(
            ListenFailure::NotListening { number: 3, name }.to_string(),
            "fd 3 (connection): not a listening socket: the socket unit must use Accept=no, \
         or a program has shut it down (shutdown(2))"
        );
    }

    #[test]
    fn the_exit_status_is_the_errno_or_255() {
        assert_eq!(listen("80", libc::EADDRINUSE).exit_code(), 98);
        assert_eq!(listen("80", libc::EACCES).exit_code(), 13);
        let error = ListenError::BadName;
        assert_eq!(ListenFailure::Environment(error).exit_code(), 255);
    }
}
