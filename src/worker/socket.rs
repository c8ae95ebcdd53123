//! One descriptor that we were given.

use crate::os::inherited::{self, Nature};
use crate::protocol::address::{Address, SocketKind, key_of};
use crate::protocol::listen_fds::Name;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener};

/// What a descriptor is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A listening stream socket, IPv4 or IPv6.
    Tcp,
    /// A datagram socket, IPv4 or IPv6.
    Udp,
    /// A listening unix stream socket.
    UnixStream,
    /// A unix datagram socket.
    UnixDatagram,
    /// Any other socket: seqpacket, netlink, vsock, a connection...
    OtherSocket,
    /// No socket: a FIFO, a message queue, a memfd from the store...
    NoSocket,
}

impl Kind {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let Some(Nature {
            domain,
            kind,
            accepting,
        }) = inherited::nature(fd)?
        else {
            return Ok(Kind::NoSocket);
        };
        let inet = matches!(domain, libc::AF_INET | libc::AF_INET6);
        Ok(match kind {
            libc::SOCK_STREAM if inet && accepting => Kind::Tcp,
            libc::SOCK_DGRAM if inet => Kind::Udp,
            libc::SOCK_STREAM if domain == libc::AF_UNIX && accepting => Kind::UnixStream,
            libc::SOCK_DGRAM if domain == libc::AF_UNIX => Kind::UnixDatagram,
            _ => Kind::OtherSocket,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Tcp => "a TCP listener",
            Kind::Udp => "a UDP socket",
            Kind::UnixStream => "a unix listener",
            Kind::UnixDatagram => "a unix datagram socket",
            Kind::OtherSocket => "a socket of another kind",
            Kind::NoSocket => "no socket",
        })
    }
}

/// A descriptor that we were given, with what is known of it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    number: RawFd,
    kind: Kind,
    key: Option<String>,
    name: Option<Name>,
}

impl Socket {
    pub(super) fn adopt(
        number: RawFd,
        key: Option<String>,
        name: Option<Name>,
    ) -> io::Result<Self> {
        let fd = match number {
            libc::STDIN_FILENO => inherited::duplicate_standard_input()?,
            other => inherited::adopt(other)?,
        };
        let kind = Kind::of(fd.as_fd())?;
        if key.is_some() && kind == Kind::NoSocket {
            // Leaked to us by a parent that is a worker: the number means something else here.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it has a key in SERVER_STARTER_PORT and is no socket",
            ));
        }
        let key = match key {
            Some(key) => Some(key),
            None => address(fd.as_fd(), kind)?.and_then(|(address, kind)| key_of(&address, kind)),
        };
        Ok(Socket {
            fd,
            number,
            kind,
            key,
            name,
        })
    }

    /// Its key in `SERVER_STARTER_PORT`, or what `start_server` would have written there; none for a
    /// socket that `start_server` does not know.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Its name in `LISTEN_FDNAMES`; none when it came without that variable.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_ref().map(Name::as_str)
    }

    /// The number it came with.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.number
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// As a person finds it in an error.
    pub(super) fn describe(&self) -> String {
        let label = match (self.key(), self.name()) {
            (Some(key), Some(name)) if key != name => format!("{key} ({name})"),
            (Some(label), _) | (None, Some(label)) => label.to_owned(),
            (None, None) => format!("descriptor {}", self.number),
        };
        format!("{label}: {}", self.kind)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

/// Where it is bound, for the kinds that can have a key. std reads the address; it is asked through a
/// duplicate, because it wants to own what it reads.
fn address(fd: BorrowedFd<'_>, kind: Kind) -> io::Result<Option<(Address, SocketKind)>> {
    let copy = fd.try_clone_to_owned()?;
    Ok(match kind {
        Kind::Tcp => Some((
            inet(TcpListener::from(copy).local_addr()?),
            SocketKind::Stream,
        )),
        Kind::Udp => Some((
            inet(UdpSocket::from(copy).local_addr()?),
            SocketKind::Datagram,
        )),
        Kind::UnixStream => Some((unix(&UnixListener::from(copy))?, SocketKind::Stream)),
        // start_server makes none of these, so they have no key.
        Kind::UnixDatagram | Kind::OtherSocket | Kind::NoSocket => None,
    })
}

fn inet(address: SocketAddr) -> Address {
    match address {
        SocketAddr::V4(v4) => Address::Inet4 {
            ip: *v4.ip(),
            port: v4.port(),
        },
        SocketAddr::V6(v6) => Address::Inet6 {
            ip: *v6.ip(),
            port: v6.port(),
            scope: v6.scope_id(),
            // It makes no difference to the key.
            v6only: false,
        },
    }
}

fn unix(listener: &UnixListener) -> io::Result<Address> {
    let address = listener.local_addr()?;
    Ok(match address.as_pathname() {
        Some(path) => Address::UnixPath(path.as_os_str().as_bytes().into()),
        None => Address::Unnamed,
    })
}

/// A type that a socket can be taken as.
pub(super) trait Typed: From<OwnedFd> {
    const KIND: Kind;
}

impl Typed for TcpListener {
    const KIND: Kind = Kind::Tcp;
}

impl Typed for UdpSocket {
    const KIND: Kind = Kind::Udp;
}

impl Typed for UnixListener {
    const KIND: Kind = Kind::UnixStream;
}

impl Typed for UnixDatagram {
    const KIND: Kind = Kind::UnixDatagram;
}
