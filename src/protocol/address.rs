//! Where a socket is bound, and the name that `start_server` would give it.

use super::port;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;

/// What getsockname(2) says of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// AF_INET.
    Inet4 {
        /// The address; `0.0.0.0` is every one.
        ip: Ipv4Addr,
        /// The port, in host byte order; 0 is unbound.
        port: u16,
    },
    /// AF_INET6.
    Inet6 {
        /// The address; `::` is every one.
        ip: Ipv6Addr,
        /// The port, in host byte order; 0 is unbound.
        port: u16,
        /// The interface of a link-local address, else 0.
        scope: u32,
        /// `IPV6_V6ONLY`: without it the socket takes IPv4 peers as well.
        v6only: bool,
    },
    /// AF_UNIX, a path in the file system, without the trailing NUL.
    UnixPath(Box<[u8]>),
    /// AF_UNIX, an abstract name, without the leading NUL; see unix(7).
    UnixAbstract(Box<[u8]>),
    /// Nothing to name: an unbound unix socket, or no socket at all.
    Unnamed,
    /// A family that start_server knows nothing of: vsock, netlink...
    Other {
        /// Its AF_ number.
        family: i32,
    },
}

/// What SO_TYPE says of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    SeqPacket,
    /// SOCK_RAW.
    Raw,
    /// Another SOCK_ number; the kernel's are below 16 (SOCK_MAX of net.h).
    Other(i16),
    /// A FIFO, a message queue, a device: whatever else a `.socket` unit opens.
    NotASocket,
}

/// The key in `SERVER_STARTER_PORT` of a socket that we did not bind.
///
/// It is what `start_server` would have written: `PORT` for every IPv4 address
/// (the one form that every known worker reads), `ADDRESS:PORT`,
/// `[ADDRESS]:PORT`, or the path. TCP and UDP look alike there.
///
/// `None` for a socket that start_server could not have bound, and for a path
/// that the `key=fd;key=fd` list cannot carry or that reads like a port: such
/// a socket reaches the worker through `LISTEN_FDS` alone.
pub fn key_of(address: &Address, kind: SocketKind) -> Option<String> {
    match (address, kind) {
        (Address::Inet4 { port: 0, .. } | Address::Inet6 { port: 0, .. }, _) => None,
        (Address::Inet4 { ip, port }, SocketKind::Stream | SocketKind::Datagram) => {
            Some(if ip.is_unspecified() {
                port.to_string()
            } else {
                format!("{ip}:{port}")
            })
        }
        (Address::Inet6 { ip, port, .. }, SocketKind::Stream | SocketKind::Datagram) => {
            Some(format!("[{ip}]:{port}"))
        }
        // Workers accept(2) on a path, which a datagram socket does not do.
        (Address::UnixPath(path), SocketKind::Stream) => path_key(path),
        _ => None,
    }
}

/// The key of a unix socket at `path`: the path itself, if it can be one.
pub fn path_key(path: &[u8]) -> Option<String> {
    let key = std::str::from_utf8(path).ok()?;
    let is_torn = key.contains([';', '=', '\0']);
    let is_port = !key.starts_with('/') && port::parse(key).is_ok();
    (!key.is_empty() && !is_torn && !is_port).then(|| key.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet4 { ip, port } => write!(f, "{ip}:{port}"),
            Address::Inet6 {
                ip, port, scope: 0, ..
            } => write!(f, "[{ip}]:{port}"),
            Address::Inet6 {
                ip, port, scope, ..
            } => write!(f, "[{ip}%{scope}]:{port}"),
            Address::UnixPath(path) => f.write_str(&String::from_utf8_lossy(path)),
            Address::UnixAbstract(name) => write!(f, "@{}", name.escape_ascii()),
            Address::Unnamed => f.write_str("unnamed"),
            Address::Other { family } => write!(f, "address family {family}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inet4(ip: [u8; 4], port: u16) -> Address {
        Address::Inet4 {
            ip: ip.into(),
            port,
        }
    }

    fn inet6(ip: Ipv6Addr, port: u16) -> Address {
        Address::Inet6 {
            ip,
            port,
            scope: 0,
            v6only: false,
        }
    }

    #[test]
    fn keys_are_those_of_start_server() {
        let stream = SocketKind::Stream;
        let key = |address, kind| key_of(&address, kind);
        assert_eq!(key(inet4([0; 4], 80), stream).as_deref(), Some("80"));
        assert_eq!(
            key(inet4([127, 0, 0, 1], 80), stream).as_deref(),
            Some("127.0.0.1:80")
        );
        assert_eq!(
            key(inet4([0; 4], 53), SocketKind::Datagram).as_deref(),
            Some("53")
        );
        assert_eq!(
            key(inet6(Ipv6Addr::UNSPECIFIED, 80), stream).as_deref(),
            Some("[::]:80")
        );
        assert_eq!(
            key(inet6(Ipv6Addr::LOCALHOST, 80), stream).as_deref(),
            Some("[::1]:80")
        );
        let path = Address::UnixPath((*b"/run/a.sock").into());
        assert_eq!(key(path, stream).as_deref(), Some("/run/a.sock"));
    }

    #[test]
    fn what_start_server_cannot_bind_has_no_key() {
        for (address, kind) in [
            (inet4([0; 4], 80), SocketKind::SeqPacket),
            (inet4([0; 4], 0), SocketKind::Stream),
            (inet6(Ipv6Addr::LOCALHOST, 80), SocketKind::Raw),
            (
                Address::UnixPath((*b"/run/a.sock").into()),
                SocketKind::Datagram,
            ),
            (
                Address::UnixPath((*b"/run/a.sock").into()),
                SocketKind::SeqPacket,
            ),
            (Address::UnixAbstract((*b"a").into()), SocketKind::Stream),
            (Address::Unnamed, SocketKind::NotASocket),
            (Address::Other { family: 40 }, SocketKind::Stream),
        ] {
            assert_eq!(key_of(&address, kind), None, "{address} {kind:?}");
        }
    }

    #[test]
    fn a_path_that_the_list_cannot_carry_has_no_key() {
        for path in [
            &b""[..],
            b"/a;b",
            b"/a=b",
            b"/a\0b",
            b"/\xff",
            b"8080",
            b"a:80",
        ] {
            assert_eq!(path_key(path), None, "{}", path.escape_ascii());
        }
        for path in ["a.sock", "/run/app:80", "@a"] {
            assert_eq!(path_key(path.as_bytes()).as_deref(), Some(path));
        }
    }

    #[test]
    fn addresses_read_well_in_messages() {
        assert_eq!(inet6(Ipv6Addr::LOCALHOST, 80).to_string(), "[::1]:80");
        let linked = Address::Inet6 {
            ip: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
            port: 80,
            scope: 2,
            v6only: true,
        };
        assert_eq!(linked.to_string(), "[fe80::1%2]:80");
        assert_eq!(
            Address::UnixAbstract((*b"a\0b").into()).to_string(),
            "@a\\x00b"
        );
    }

    proptest! {
        #[test]
        fn an_internet_key_reads_back_as_a_port(ip: [u8; 4], ip6: [u8; 16], port in 1u16..) {
            for address in [inet4(ip, port), inet6(ip6.into(), port)] {
                let key = key_of(&address, SocketKind::Stream).expect("start_server can bind it");
                let spec = port::parse(&key).expect("a key is a port");
                prop_assert_eq!((spec.port, spec.key), (port, key));
            }
        }

        #[test]
        fn path_keys_never_panic(path: Vec<u8>) {
            let _ = path_key(&path);
        }
    }
}
