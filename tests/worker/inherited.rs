//! The listening sockets, as a supervisor hands them over: the crate's own way for workers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use sd_starter::protocol::listen_fds::ListenEnv;
use sd_starter::protocol::worker_sockets;
use sd_starter::worker::{self, Socket};

/// A socket that accepts connections; TCP or unix makes no difference here.
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Accepts one connection. Unlike std's accept this returns on EINTR, and the caller needs that.
    pub(crate) fn accept(&self) -> rustix::io::Result<OwnedFd> {
        rustix::net::accept(&self.0)
    }

    /// Sets O_NONBLOCK, for every process that shares the socket.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.0)?;
        Ok(rustix::fs::fcntl_setfl(
            &self.0,
            flags | rustix::fs::OFlags::NONBLOCK,
        )?)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Everything that was passed to us.
pub(crate) struct Inherited {
    /// What accepts connections.
    pub(crate) listeners: Vec<Listener>,
    /// The rest (UDP, FIFOs, what the store has): kept open and left alone.
    _others: Vec<Socket>,
}

/// Takes the sockets; without one that listens there is nothing to do.
pub(crate) fn take() -> Result<Inherited, String> {
    let sockets = worker::sockets().map_err(|error| error.to_string())?;
    let (listening, others) = sockets.into_iter().partition::<Vec<_>, _>(|socket| {
        rustix::net::sockopt::socket_acceptconn(socket.as_fd()).unwrap_or(false)
    });
    if listening.is_empty() {
        return Err(
            "no listening socket: start me with `sd-starter --port 8080 -- hello`, \
                    or from a systemd .socket unit"
                .to_owned(),
        );
    }
    let listeners = listening.into_iter().map(|socket| Listener(socket.into()));
    Ok(Inherited {
        listeners: listeners.collect(),
        _others: others,
    })
}

/// The numbers that the environment names, without taking anything: for the report.
pub(crate) fn numbers() -> Vec<RawFd> {
    let text = |name| std::env::var(name).ok();
    let (pid, fds) = (text("LISTEN_PID"), text("LISTEN_FDS"));
    let listen = ListenEnv {
        pid: pid.as_deref(),
        fds: fds.as_deref(),
        ..ListenEnv::default()
    };
    let own_pid = std::process::id().try_into().expect("a pid is an i32");
    let handed = worker_sockets::parse(text("SERVER_STARTER_PORT").as_deref(), &listen, own_pid);
    let passed = handed.map(|handed| handed.passed).unwrap_or_default();
    passed.iter().map(|passed| passed.fd).collect()
}
