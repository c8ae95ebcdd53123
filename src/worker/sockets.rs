//! All descriptors that we were given, to be taken one by one.

use super::socket::Typed;
use super::{Error, NotForUs, Socket, Which};
use crate::protocol::listen_fds::ListenEnv;
use crate::protocol::worker_sockets;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};

/// The descriptors that this process was given: each can be taken once.
///
/// What nobody takes is closed with this value. So a program keeps it until it has what it wants, and
/// an unexpected socket does not stay in its table, full of connections that nobody accepts.
#[derive(Debug)]
pub struct Sockets {
    held: Vec<Socket>,
    /// Keys and names of what was taken, for the error that says so.
    taken: Vec<(Option<String>, Option<String>)>,
    not_for_us: Option<NotForUs>,
}

impl Sockets {
    pub(super) fn take(
        ports: Option<&str>,
        listen: &ListenEnv<'_>,
        own_pid: i32,
    ) -> Result<Self, Error> {
        let handed = worker_sockets::parse(ports, listen, own_pid).map_err(Error::Malformed)?;
        let held = handed.passed.into_iter().map(|passed| {
            let fd = passed.fd;
            Socket::adopt(fd, passed.key, passed.name)
                .map_err(|reason| Error::Descriptor { fd, reason })
        });
        Ok(Sockets {
            held: held.collect::<Result<_, _>>()?,
            taken: Vec::new(),
            not_for_us: handed.not_for_us,
        })
    }

    /// Whether nothing is there, or nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many have not been taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// What has not been taken: those of `SERVER_STARTER_PORT` first, in its order.
    pub fn iter(&self) -> std::slice::Iter<'_, Socket> {
        self.held.iter()
    }

    /// Takes a TCP listener.
    ///
    /// # Errors
    /// [`Error::NothingPassed`], [`Error::NoSuchSocket`], [`Error::Taken`], [`Error::Several`] or
    /// [`Error::OtherKind`], each with what there is instead.
    pub fn tcp_listener<'a>(&mut self, which: impl Into<Which<'a>>) -> Result<TcpListener, Error> {
        self.typed(which.into())
    }

    /// Takes a UDP socket.
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener).
    pub fn udp_socket<'a>(&mut self, which: impl Into<Which<'a>>) -> Result<UdpSocket, Error> {
        self.typed(which.into())
    }

    /// Takes a unix stream listener.
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener).
    pub fn unix_listener<'a>(
        &mut self,
        which: impl Into<Which<'a>>,
    ) -> Result<UnixListener, Error> {
        self.typed(which.into())
    }

    /// Takes a unix datagram socket.
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener).
    pub fn unix_datagram<'a>(
        &mut self,
        which: impl Into<Which<'a>>,
    ) -> Result<UnixDatagram, Error> {
        self.typed(which.into())
    }

    /// Takes a descriptor of any kind: a seqpacket or vsock socket, a FIFO, or what an earlier
    /// generation has given the supervisor to [`keep`](super::keep).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut sockets = sd_starter::worker::sockets()?;
    /// // There is none when we are the first generation.
    /// if let Ok(state) = sockets.raw("state") {
    ///     let state = std::fs::File::from(state);
    ///     println!("{} bytes of the old generation's", state.metadata()?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`tcp_listener`](Self::tcp_listener), without a kind that could be wrong.
    pub fn raw<'a>(&mut self, which: impl Into<Which<'a>>) -> Result<OwnedFd, Error> {
        let which = which.into();
        let index = self.find(which, |_| true)?;
        Ok(self.remove(index).into())
    }

    fn typed<T: Typed>(&mut self, which: Which<'_>) -> Result<T, Error> {
        let index = self.find(which, |socket| socket.kind() == T::KIND)?;
        let socket = &self.held[index];
        if socket.kind() != T::KIND {
            return Err(Error::OtherKind {
                which: which.to_string(),
                is: socket.kind(),
                wanted: T::KIND,
            });
        }
        Ok(T::from(self.remove(index).into()))
    }

    /// The first that fits and is wanted; else the first that fits.
    fn find(&self, which: Which<'_>, is_wanted: impl Fn(&Socket) -> bool) -> Result<usize, Error> {
        if self.held.is_empty() && self.taken.is_empty() {
            return Err(Error::NothingPassed {
                reason: self.not_for_us,
            });
        }
        if which == Which::Only && self.held.len() > 1 {
            return Err(Error::Several { left: self.left() });
        }
        let mut second_best = None;
        for way in which.ways() {
            let fitting = || (0..self.held.len()).filter(|index| way.fits(&self.held[*index]));
            let wanted = fitting().find(|index| is_wanted(&self.held[*index]));
            if let Some(index) = wanted {
                return Ok(index);
            }
            second_best = second_best.or(fitting().next());
        }
        second_best.ok_or_else(|| self.nothing_for(which))
    }

    fn nothing_for(&self, which: Which<'_>) -> Error {
        let was = |taken: &Option<String>, text| taken.as_deref() == Some(text);
        let is_taken = self.taken.iter().any(|(key, name)| match which {
            Which::Called(text) => was(key, text) || was(name, text),
            Which::Key(text) => was(key, text),
            Which::Name(text) => was(name, text),
            Which::Only => true,
        });
        let which = which.to_string();
        if is_taken {
            Error::Taken { which }
        } else {
            Error::NoSuchSocket {
                which,
                left: self.left(),
            }
        }
    }

    fn left(&self) -> Vec<String> {
        self.held.iter().map(Socket::describe).collect()
    }

    fn remove(&mut self, index: usize) -> Socket {
        let socket = self.held.remove(index);
        let label = |text: Option<&str>| text.map(str::to_owned);
        self.taken.push((label(socket.key()), label(socket.name())));
        socket
    }
}

/// Takes all that is left.
impl IntoIterator for Sockets {
    type Item = Socket;
    type IntoIter = std::vec::IntoIter<Socket>;

    fn into_iter(self) -> Self::IntoIter {
        self.held.into_iter()
    }
}

impl<'a> IntoIterator for &'a Sockets {
    type Item = &'a Socket;
    type IntoIter = std::slice::Iter<'a, Socket>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
