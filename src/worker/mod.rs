//! The worker's side: what `use Server::Starter qw(server_ports)` gives a Perl program.
//!
//! A program that is started by sd-starter, by Perl's `start_server` or by systemd finds its
//! listening sockets here, under the keys of `SERVER_STARTER_PORT` and under the names of
//! `FileDescriptorName=`, typed and owned; and it can say that it is ready. This part of the crate
//! needs no dependency of the supervisor's:
//!
//! ```toml
//! sd-starter = { version = "0.1", default-features = false }
//! ```
//!
//! # A server that is made to be swapped
//!
//! ```
//! use sd_starter::worker::{self, Which};
//! use std::net::TcpListener;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut sockets = worker::sockets()?;
//! let listener = if sockets.is_empty() {
//!     // Started by hand: nobody has bound anything for us.
//!     TcpListener::bind("127.0.0.1:0")?
//! } else {
//!     sockets.tcp_listener(Which::Only)?
//! };
//! // From here on connections may come; the old generation is told to leave.
//! worker::ready()?;
//! println!("generation {:?} on {}", worker::generation(), listener.local_addr()?);
//! # Ok(())
//! # }
//! ```
//!
//! On SIGTERM it should stop accepting, finish what it has begun, and exit: what is still in the
//! socket's queue belongs to the next generation. `tests/worker` of this repository is a whole
//! server of that kind.
//!
//! # Which socket
//!
//! | `which` | finds |
//! |---|---|
//! | `"8080"`, `"[::1]:80"`, `"/run/app.sock"` | the socket with this key; if there is none, the one with this name |
//! | `"http"` | as above: no key reads like that |
//! | [`Which::Key`], [`Which::Name`] | the one or the other, without a second try |
//! | [`Which::Only`] | the socket that is left, if it is exactly one |
//!
//! A socket that came through systemd's `LISTEN_FDS` alone has the key that `start_server` would have
//! written for it, so that one program runs under all of them: `8080` for `0.0.0.0:8080`,
//! `127.0.0.1:8080`, `[::1]:8080`, or the path.
//!
//! Keys and names may be there more than once (TCP and UDP of one port look alike): the first that
//! is of the kind that was asked for, and not taken yet, is given.
//!
//! # Promises
//!
//! - Each descriptor is taken once, and [`sockets`] answers once in a process: two owners of one
//!   number would close each other's files.
//! - Every descriptor that is taken is close-on-exec. (Under systemd and `start_server` it comes
//!   without.) Only descriptors that really came through exec are taken: see [`crate::os::inherited`].
//!   A socket on standard input is taken as a duplicate: the number 0 stays what it is, for us and for
//!   children that are not given another.
//! - The environment is read, never changed: that would be unsafe beside other threads. A program that
//!   starts others should not hand on what was meant for it; [`VARIABLES`] lists it.
//! - O_NONBLOCK is left as it is. It belongs to the open socket, which the old generation shares.
//!
//! # Limitations
//!
//! `LISTEN_PIDFDID` is not compared (`LISTEN_PID` is). A `NOTIFY_SOCKET` in AF_VSOCK, as virtual
//! machines have it, is an error.

mod error;
mod notify;
mod socket;
mod sockets;
mod which;

pub use crate::protocol::generation::Generation;
pub use crate::protocol::listen_fds::NotForUs;
pub use crate::protocol::worker_sockets::Malformed;
pub use error::Error;
pub use notify::{
    barrier, extend_timeout, failed, forget, keep, notify, ready, sign_of_life, status, stopping,
    watchdog,
};
pub use socket::{Kind, Socket};
pub use sockets::Sockets;
pub use which::Which;

use crate::protocol::listen_fds::ListenEnv;
use std::sync::atomic::{AtomicBool, Ordering};

/// The variables that are addressed to this process alone. A program that starts others removes them
/// there: the descriptors that they speak of are not passed on.
///
/// ```
/// use sd_starter::worker::VARIABLES;
/// use std::process::Command;
///
/// let mut command = Command::new("/bin/true");
/// for variable in VARIABLES {
///     command.env_remove(variable);
/// }
/// # command.status().unwrap();
/// ```
pub const VARIABLES: &[&str] = &[
    "SERVER_STARTER_PORT",
    "SERVER_STARTER_GENERATION",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
    "EINHORN_FDS",
    "EINHORN_FD_COUNT",
];

/// Takes the descriptors that this process was given: call it once, early in main.
///
/// Without any, the answer is an empty [`Sockets`], and asking that for a socket says why.
///
/// # Errors
/// [`Error::Malformed`] for an environment that contradicts itself; [`Error::Descriptor`] for a
/// number that is not open, or was not inherited; [`Error::AskedTwice`] from the second call on.
pub fn sockets() -> Result<Sockets, Error> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    if ASKED.swap(true, Ordering::SeqCst) {
        return Err(Error::AskedTwice);
    }
    let ports = variable("SERVER_STARTER_PORT")?;
    let (pid, fds) = (variable("LISTEN_PID")?, variable("LISTEN_FDS")?);
    let names = variable("LISTEN_FDNAMES")?;
    let listen = ListenEnv {
        pid: pid.as_deref(),
        fds: fds.as_deref(),
        names: names.as_deref(),
        pidfdid: None,
    };
    let own_pid = i32::try_from(std::process::id()).expect("a pid is a positive i32");
    Sockets::take(ports.as_deref(), &listen, own_pid)
}

/// The generation that this process is, from `SERVER_STARTER_GENERATION`; none outside of a
/// supervisor of this protocol.
///
/// ```
/// match sd_starter::worker::generation() {
///     Some(generation) => println!("generation {generation}"),
///     None => println!("on my own"),
/// }
/// ```
#[must_use]
pub fn generation() -> Option<Generation> {
    std::env::var("SERVER_STARTER_GENERATION")
        .ok()?
        .parse()
        .ok()
}

/// A variable as text; one that is no text is not of this protocol.
fn variable(name: &'static str) -> Result<Option<String>, Error> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::NotText { variable: name }),
    }
}
