//! Sockets that came with exec: from systemd's socket units and its fd store.
//!
//! What they are is asked of the kernel; their flags stay as they came, because
//! O_NONBLOCK belongs to the open file description, which the workers share.

use super::listen_failure::ListenFailure;
use crate::os::socket::{self, Description, LocalName};
use crate::os::{fd, process};
use crate::protocol::address::{Address, SocketKind};
use crate::protocol::listen_fds::{self, FIRST_FD, Listen, ListenEnv, Name, NotForUs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// A descriptor that systemd passed.
#[derive(Debug)]
pub struct Inherited {
    /// Its number when it came, for messages.
    pub number: RawFd,
    /// Its FileDescriptorName= or FDNAME=.
    pub name: Name,
    /// The descriptor.
    pub fd: OwnedFd,
}

/// What a descriptor is, in the words of the protocol room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where it is bound.
    pub address: Address,
    /// Stream, datagram...
    pub kind: SocketKind,
    /// Whether it listens; `None` where there is nothing to listen with.
    pub accepting: Option<bool>,
    /// The socket's identity; `None` for what is no socket.
    pub cookie: Option<u64>,
}

/// Takes everything that `LISTEN_FDS` announces, in its order, or says why there is
/// nothing for us. To be called once, before any other descriptor is opened. What
/// is not a listener (the state of a crash, a worker's pidfd) is the caller's to
/// pick out by name before [`super::listeners::Listeners::assemble`].
///
/// # Errors
/// [`ListenFailure::Environment`] and [`ListenFailure::Inherit`].
pub fn adopt(env: &ListenEnv<'_>) -> Result<Result<Vec<Inherited>, NotForUs>, ListenFailure> {
    let own = i32::try_from(std::process::id()).expect("pids are below 2^22");
    let listen = listen_fds::parse(env, own, process::own_pidfd_inode());
    let names = match listen.map_err(ListenFailure::Environment)? {
        Listen::NotForUs(reason) => return Ok(Err(reason)),
        Listen::Sockets(names) => names,
    };
    let adopted = (FIRST_FD..)
        .zip(names)
        .map(|(number, name)| match fd::adopt(number) {
            Ok(fd) => Ok(Inherited { number, name, fd }),
            Err(error) => Err(ListenFailure::Inherit {
                number,
                name,
                error,
            }),
        });
    adopted.collect::<Result<_, _>>().map(Ok)
}

/// Asks the kernel what `fd` is.
///
/// # Errors
/// As fstat(2) and getsockopt(2).
pub fn facts(fd: BorrowedFd<'_>) -> std::io::Result<Facts> {
    let socket = match socket::describe(fd)? {
        Description::Socket(socket) => socket,
        Description::NotASocket(_) => {
            return Ok(Facts {
                address: Address::Unnamed,
                kind: SocketKind::NotASocket,
                accepting: None,
                cookie: None,
            });
        }
    };
    let kind = match socket.kind {
        libc::SOCK_STREAM => SocketKind::Stream,
        libc::SOCK_DGRAM => SocketKind::Datagram,
        libc::SOCK_SEQPACKET => SocketKind::SeqPacket,
        libc::SOCK_RAW => SocketKind::Raw,
        other => SocketKind::Other(i16::try_from(other).unwrap_or(i16::MAX)),
    };
    let connects = matches!(kind, SocketKind::Stream | SocketKind::SeqPacket);
    Ok(Facts {
        address: address(socket.name),
        kind,
        accepting: connects.then_some(socket.accepting),
        cookie: Some(socket.cookie),
    })
}

/// A name in the words of the protocol room.
pub(super) fn address(name: LocalName) -> Address {
    match name {
        LocalName::V4(name) => Address::Inet4 {
            ip: *name.ip(),
            port: name.port(),
        },
        LocalName::V6 { address, v6only } => Address::Inet6 {
            ip: *address.ip(),
            port: address.port(),
            scope: address.scope_id(),
            v6only,
        },
        LocalName::UnixPath(path) => Address::UnixPath(path.into()),
        LocalName::UnixAbstract(name) => Address::UnixAbstract(name.into()),
        LocalName::UnixUnnamed => Address::Unnamed,
        LocalName::Other(family) => Address::Other { family },
    }
}

impl Inherited {
    /// Asks the kernel what it is, and refuses a connection: with Accept=yes systemd
    /// accepts itself, and there is nothing to hand from one generation to the next.
    ///
    /// # Errors
    /// [`ListenFailure::NotListening`] and [`ListenFailure::Inherit`].
    pub fn facts(&self) -> Result<Facts, ListenFailure> {
        let (number, name) = (self.number, self.name.clone());
        match facts(self.fd.as_fd()) {
            Ok(facts) if facts.accepting == Some(false) => {
                Err(ListenFailure::NotListening { number, name })
            }
            Ok(facts) => Ok(facts),
            Err(error) => Err(ListenFailure::Inherit {
                number,
                name,
                error,
            }),
        }
    }
}
