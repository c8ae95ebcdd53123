//! Listening sockets that a worker shuts down.
//!
//! A server that ends its accept loop with shutdown(2) on the listener does it for everybody who
//! holds the socket, the next generation among them: connections are refused from then on, and
//! nobody else hears of it (systemd logs "the service probably invoked shutdown() on it", but looks
//! only while no service runs). A TCP socket can be told to listen again.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Listener, Listeners};
use crate::os::epoll::{Epoll, Interest};
use crate::os::socket;
use crate::protocol::address::SocketKind;
use crate::shell::bound;
use crate::shell::token::Token;

impl Listeners {
    /// Has `epoll` tell when one of them is shut down. What it has no room for is not watched.
    pub(in crate::shell) fn watch(&self, epoll: &Epoll) {
        for (token, listener) in (0..).map(Token::Listener).zip(&self.all) {
            if matches!(listener.kind, SocketKind::Stream | SocketKind::SeqPacket) {
                let _ = epoll.add(listener.fd.as_fd(), token.into(), Interest::Changed);
            }
        }
    }

    /// Has it listen again if somebody has shut it down; `None` when nobody has.
    ///
    /// # Errors
    /// As listen(2); `EPIPE` for one that stays shut down, as a unix socket does.
    pub fn revive(&self, number: u64, backlog: Option<i32>) -> Option<(&Listener, io::Result<()>)> {
        let listener = self.all.get(usize::try_from(number).ok()?)?;
        if !is_shut_down(listener) {
            return None;
        }
        let backlog = backlog.unwrap_or(bound::LONGEST_BACKLOG);
        let done = socket::listen_again(listener.fd.as_fd(), backlog);
        let done = done.and_then(|()| match is_shut_down(listener) {
            true => Err(io::Error::from_raw_os_error(libc::EPIPE)),
            false => Ok(()),
        });
        Some((listener, done))
    }
}

/// Whether it polls as hung up, which a socket that listens does not.
fn is_shut_down(listener: &Listener) -> bool {
    let mut asked = [PollFd::new(listener.fd.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    answered
        && asked[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLHUP))
}
