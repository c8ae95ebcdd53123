//! What is worth a line in the log about the listeners, but no reason to stop.

use crate::protocol::address::Address;
use crate::protocol::listen_fds::{Name, NotForUs};
use std::fmt;
use std::path::PathBuf;

/// Something about a listener that its owner may not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The environment announces sockets, but to another process.
    NotForUs(NotForUs),
    /// A socket that start_server knows nothing of: workers that read only
    /// SERVER_STARTER_PORT do not see it.
    NoKey {
        /// Its FileDescriptorName=.
        name: Name,
        /// Where it is bound.
        address: Address,
    },
    /// Two sockets with one key, TCP and UDP on one number: workers that read keys
    /// into a table see the last.
    SharedKey {
        /// The key.
        key: String,
    },
    /// An IPv6 socket that takes IPv4 as well under the key of an IPv4 one: some
    /// workers (Starlet, Starman) expect an IPv4 address from accept(2) there.
    DualStack {
        /// The key.
        key: String,
    },
    /// A socket file on which nobody listened made room for ours.
    Replaced {
        /// Where it was.
        path: PathBuf,
    },
    /// A `--listen-key` for a name that no adopted socket has.
    UnusedKey {
        /// The name.
        name: Name,
    },
    /// The same socket was passed twice, by its unit and by the fd store.
    PassedTwice {
        /// The name of the copy that was closed.
        name: Name,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::NotForUs(reason) => write!(f, "{reason}; they are not used"),
            Warning::NoKey { name, address } => write!(
                f,
                "socket {name} ({address}) has no name in SERVER_STARTER_PORT; \
                 workers find it through LISTEN_FDS alone"
            ),
            Warning::SharedKey { key } => write!(
                f,
                "two sockets are called {key} in SERVER_STARTER_PORT; \
                 some workers see only the last"
            ),
            Warning::DualStack { key } => write!(
                f,
                "the socket for {key} takes IPv6 and IPv4; some workers fail on that: \
                 use ListenStream=0.0.0.0:{key} for IPv4 alone"
            ),
            Warning::Replaced { path } => write!(
                f,
                "replaced the socket {}, on which nobody listened",
                path.display()
            ),
            Warning::UnusedKey { name } => {
                write!(f, "--listen-key names {name}, but no socket is called that")
            }
            Warning::PassedTwice { name } => {
                write!(f, "socket {name} was passed twice; the copy is closed")
            }
        }
    }
}
