//! Sockets: what an unknown one is, and making new ones.
//!
//! [`describe`] asks the kernel and never the one who handed the descriptor over;
//! it has an answer for every kind that a socket unit can pass on. New sockets are
//! what start_server makes (SO_REUSEADDR, IPV6_V6ONLY, blocking), but close-on-exec.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;

use rustix::fs::{FileType, fstat, fstatfs};
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, getsockname, listen, shutdown,
    socket_with, sockopt,
};

/// `f_type` of the file system behind POSIX message queues (magic.h of Linux).
const MQUEUE_MAGIC: i64 = 0x1980_0202;

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// A socket of any family.
    Socket(Socket),
    /// Something else that a socket unit can hand over.
    NotASocket(Kind),
}

/// What a socket is, in the kernel's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `AF_*`.
    pub domain: i32,
    /// `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_SEQPACKET`, ...
    pub kind: i32,
    /// `IPPROTO_*`, or what the family means by it; 0 where it has none.
    pub protocol: i32,
    /// Whether it listens (SO_ACCEPTCONN): a connection that was accepted does not.
    pub accepting: bool,
    /// Where it is bound.
    pub name: LocalName,
    /// SO_COOKIE: the same for two descriptors of one socket, unique until reboot.
    pub cookie: u64,
}

/// The address a socket is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalName {
    /// AF_INET.
    V4(SocketAddrV4),
    /// AF_INET6.
    V6 {
        /// The address and port.
        address: SocketAddrV6,
        /// Unset, a wildcard address takes IPv4 connections as well.
        v6only: bool,
    },
    /// AF_UNIX in the file system; the bytes of sun_path, perhaps relative.
    UnixPath(Vec<u8>),
    /// AF_UNIX in the abstract namespace, without the leading NUL.
    UnixAbstract(Vec<u8>),
    /// AF_UNIX, not bound.
    UnixUnnamed,
    /// Any other family (netlink, vsock, ...), by its number.
    Other(i32),
}

/// Descriptors that are no sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ListenFIFO=`.
    Fifo,
    /// `ListenMessageQueue=`.
    Mqueue,
    /// A file, say a memfd from the fd store.
    Regular,
    /// `ListenSpecial=` on a device.
    CharDevice,
    /// Anything else: an eventfd, a pidfd, a directory.
    Other,
}

/// Says what `fd` is. An unknown kind is an answer, not an error.
///
/// # Errors
/// Only when fstat(2) or the basic socket options fail.
pub fn describe(fd: BorrowedFd<'_>) -> io::Result<Description> {
    let kind = match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Socket => return Ok(Description::Socket(describe_socket(fd)?)),
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice,
        // A message queue says that it is a regular file.
        FileType::RegularFile if fstatfs(fd)?.f_type == MQUEUE_MAGIC => Kind::Mqueue,
        FileType::RegularFile => Kind::Regular,
        FileType::Directory | FileType::Symlink | FileType::BlockDevice | FileType::Unknown => {
            Kind::Other
        }
    };
    Ok(Description::NotASocket(kind))
}

fn describe_socket(fd: BorrowedFd<'_>) -> io::Result<Socket> {
    let domain = sockopt::socket_domain(fd)?;
    let kind = sockopt::socket_type(fd)?.as_raw();
    let protocol = sockopt::socket_protocol(fd)?.map_or(0, |protocol| protocol.as_raw().get());
    Ok(Socket {
        domain: i32::from(domain.as_raw()),
        kind: i32::try_from(kind).unwrap_or(-1),
        protocol: i32::try_from(protocol).unwrap_or(-1),
        accepting: sockopt::socket_acceptconn(fd)?,
        cookie: sockopt::socket_cookie(fd)?,
        name: match domain {
            AddressFamily::INET => LocalName::V4(getsockname(fd)?.try_into()?),
            AddressFamily::INET6 => LocalName::V6 {
                address: getsockname(fd)?.try_into()?,
                v6only: sockopt::ipv6_v6only(fd)?,
            },
            AddressFamily::UNIX => unix_name(fd)?,
            // Not asked: some families (AF_ALG, AF_XDP) have no getsockname.
            other => LocalName::Other(i32::from(other.as_raw())),
        },
    })
}

/// Through std, because rustix 1.1 takes an unnamed socket for an abstract one with
/// an empty name, and panics at a path that fills sun_path.
fn unix_name(fd: BorrowedFd<'_>) -> io::Result<LocalName> {
    let address = UnixDatagram::from(fd.try_clone_to_owned()?).local_addr()?;
    Ok(if let Some(path) = address.as_pathname() {
        LocalName::UnixPath(path.as_os_str().as_bytes().to_vec())
    } else if let Some(name) = address.as_abstract_name() {
        LocalName::UnixAbstract(name.to_vec())
    } else {
        LocalName::UnixUnnamed
    })
}

/// Has a bound stream socket listen, also one that listens already: then only its queue changes.
///
/// # Errors
/// As listen(2).
pub fn listen_again(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    Ok(listen(fd, backlog)?)
}

/// Ends the listening of a TCP socket for everybody who holds it, so that its address is free
/// for another one while copies of it are still open somewhere.
///
/// # Errors
/// As shutdown(2).
pub fn stop_listening(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(fd, Shutdown::Both)?)
}

/// A listening TCP socket; `backlog` is capped by net.core.somaxconn. An IPv6 one
/// takes no IPv4 connections.
///
/// # Errors
/// As bind(2): `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, ...
pub fn listen_tcp(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let socket = bound(address, SocketType::STREAM)?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// A bound UDP socket.
///
/// # Errors
/// As bind(2).
pub fn bind_udp(address: SocketAddr) -> io::Result<OwnedFd> {
    bound(address, SocketType::DGRAM)
}

fn bound(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // So that a restart binds while old connections are in TIME_WAIT. UDP has no such
    // state; there it would let a second instance share the port in silence.
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    // Afterwards it harms nobody, and workers find what they find under start_server: servers that
    // bind a socket of their own for each peer on this port need it.
    if kind != SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fd;
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use rustix::net::SocketAddrUnix;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn socket(fd: impl AsFd) -> Socket {
        match describe(fd.as_fd()).unwrap() {
            Description::Socket(socket) => socket,
            Description::NotASocket(kind) => panic!("a {kind:?}"),
        }
    }

    fn kind(fd: impl AsFd) -> Kind {
        match describe(fd.as_fd()).unwrap() {
            Description::Socket(socket) => panic!("a {socket:?}"),
            Description::NotASocket(kind) => kind,
        }
    }

    #[test]
    fn a_tcp_listener_is_blocking_close_on_exec_and_described() {
        let fd = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16).unwrap();
        assert!(fd::is_close_on_exec(fd.as_fd()).unwrap());
        assert!(!fd::is_nonblocking(fd.as_fd()).unwrap());
        let socket = socket(&fd);
        assert!(socket.accepting);
        assert_eq!(
            (socket.domain, socket.kind),
            (libc::AF_INET, libc::SOCK_STREAM)
        );
        assert_eq!(socket.protocol, libc::IPPROTO_TCP);
        assert!(matches!(socket.name, LocalName::V4(name) if name.port() != 0));
    }

    #[test]
    fn our_ipv6_listener_leaves_ipv4_alone() {
        let fd = listen_tcp((Ipv6Addr::LOCALHOST, 0).into(), 16).unwrap();
        assert!(matches!(
            socket(&fd).name,
            LocalName::V6 { v6only: true, .. }
        ));
    }

    #[test]
    fn a_dual_stack_listener_is_told_apart() {
        let fd = socket_with(
            AddressFamily::INET6,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let fd = fd.unwrap();
        sockopt::set_ipv6_v6only(&fd, false).unwrap();
        assert!(matches!(
            socket(&fd).name,
            LocalName::V6 { v6only: false, .. }
        ));
    }

    #[test]
    fn a_second_udp_socket_on_the_port_is_refused() {
        let first = bind_udp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let LocalName::V4(name) = socket(&first).name else {
            panic!("not IPv4");
        };
        let error = bind_udp(name.into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn unix_names_of_all_three_sorts() {
        let (unnamed, _peer) = UnixStream::pair().unwrap();
        assert_eq!(socket(&unnamed).name, LocalName::UnixUnnamed);
        assert!(!socket(&unnamed).accepting);
        let fd = UnixDatagram::unbound().unwrap();
        let name = format!("sd-starter-{}", std::process::id()).into_bytes();
        bind(&fd, &SocketAddrUnix::new_abstract_name(&name).unwrap()).unwrap();
        assert_eq!(socket(&fd).name, LocalName::UnixAbstract(name));
    }

    #[test]
    fn a_path_that_fills_the_address_is_read_whole() {
        let path = format!("/tmp/{:x<103}", std::process::id());
        let fd = UnixDatagram::unbound().unwrap();
        bind(&fd, &SocketAddrUnix::new(path.as_str()).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(socket(&fd).name, LocalName::UnixPath(path.into_bytes()));
    }

    #[test]
    fn an_address_is_free_once_its_socket_does_not_listen() {
        let first = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 8).unwrap();
        let LocalName::V4(name) = socket(&first).name else {
            panic!("not IPv4");
        };
        assert!(listen_tcp(name.into(), 8).is_err());
        listen_again(first.as_fd(), 16).unwrap();
        stop_listening(first.as_fd()).unwrap();
        assert!(!socket(&first).accepting);
        let _second = listen_tcp(name.into(), 8).unwrap();
    }

    #[test]
    fn strange_families_are_described() {
        for (family, kind) in [
            (AddressFamily::NETLINK, SocketType::RAW),
            (AddressFamily::VSOCK, SocketType::STREAM),
        ] {
            // A kernel without vsock has nothing to describe.
            if let Ok(fd) = socket_with(family, kind, SocketFlags::CLOEXEC, None) {
                let raw = i32::from(family.as_raw());
                assert_eq!(socket(&fd).name, LocalName::Other(raw));
            }
        }
    }

    #[test]
    fn what_is_no_socket_has_a_kind() {
        let (read, _write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        assert_eq!(kind(&read), Kind::Fifo);
        assert_eq!(
            kind(std::fs::File::open("/dev/null").unwrap()),
            Kind::CharDevice
        );
        assert_eq!(
            kind(
                std::env::current_exe()
                    .map(std::fs::File::open)
                    .unwrap()
                    .unwrap()
            ),
            Kind::Regular
        );
        assert_eq!(
            kind(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap()),
            Kind::Other
        );
    }
}
