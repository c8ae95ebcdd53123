//! The listening sockets, as a supervisor hands them over.
//!
//! Server::Starter's way first (`SERVER_STARTER_PORT=8080=4;[::1]:80=5;/run/app.sock=6`: what comes
//! before the last `=` is the address, and of no interest to a server that only accepts), else
//! systemd's (`LISTEN_FDS=2`: fds 3 and 4, if `LISTEN_PID` is ours; sd_listen_fds(3)).

#![expect(
    unsafe_code,
    reason = "an inherited fd is a number until somebody takes ownership of it"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

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

/// The fds that the environment names, in its order.
pub(crate) fn fds() -> Result<Vec<RawFd>, String> {
    if let Ok(ports) = std::env::var("SERVER_STARTER_PORT") {
        let entries = ports.split(';').filter(|entry| !entry.is_empty());
        return entries
            .map(|entry| {
                let fd = entry.rsplit_once('=').and_then(|(_, fd)| fd.parse().ok());
                fd.ok_or_else(|| format!("SERVER_STARTER_PORT: no fd in {entry:?}"))
            })
            .collect();
    }
    let count = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    match (count("LISTEN_PID"), count("LISTEN_FDS")) {
        (Some(pid), Some(fds)) if pid == std::process::id() => {
            Ok((3..).take(fds as usize).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Takes the sockets that accept connections; those of another kind (UDP) stay as they are.
pub(crate) fn listeners() -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for fd in fds()? {
        if !std::path::Path::new(&format!("/proc/self/fd/{fd}")).exists() {
            return Err(format!(
                "fd {fd} is not open, although the environment names it"
            ));
        }
        // SAFETY: the fd is open, it was passed to this process to own, nothing else here closes it,
        // and main calls this function once.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        if rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false) {
            listeners.push(Listener(socket));
        } else {
            let _ = socket.into_raw_fd();
        }
    }
    if listeners.is_empty() {
        return Err(
            "no listening socket: start me with `sd-starter --port 8080 -- hello`, \
                    or from a systemd .socket unit"
                .to_owned(),
        );
    }
    Ok(listeners)
}
