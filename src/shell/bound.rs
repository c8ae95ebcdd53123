//! Sockets that we bind ourselves, for `--port` and `--path`.

use super::adopted::{self, Facts};
use super::listen_failure::ListenFailure;
use crate::os::socket::{self, LocalName};
use crate::os::socket_file::{SocketFile, listen_unix};
use crate::protocol::address::SocketKind;
use crate::protocol::port::PortSpec;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// As long a queue as net.core.somaxconn allows, which caps it.
pub(super) const LONGEST_BACKLOG: i32 = i32::MAX;

/// The address that a `--port` means. A host with a colon is an IPv6 address; any
/// other is looked up and its first IPv4 address taken, as start_server does.
///
/// # Errors
/// [`ListenFailure::Resolve`].
pub fn resolve(spec: &PortSpec) -> Result<SocketAddr, ListenFailure> {
    let Some(host) = &spec.host else {
        return Ok((Ipv4Addr::UNSPECIFIED, spec.port).into());
    };
    let failure = |reason: String| ListenFailure::Resolve {
        host: host.clone(),
        port: spec.key.clone(),
        reason,
    };
    if host.contains(':') {
        let ip: Ipv6Addr = host
            .parse()
            .map_err(|_| failure("not an IPv6 address".into()))?;
        return Ok((IpAddr::V6(ip), spec.port).into());
    }
    let found = (host.as_str(), spec.port).to_socket_addrs();
    let mut found = found.map_err(|error| failure(resolver_reason(&error)))?;
    let first = found.find(SocketAddr::is_ipv4);
    first.ok_or_else(|| failure("it has no IPv4 address".into()))
}

/// What the resolver said, without what std puts before it.
fn resolver_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ");
    reason.map_or(text.clone(), str::to_owned)
}

/// Binds the socket of a `--port`.
///
/// # Errors
/// [`ListenFailure::Listen`].
pub fn port(
    spec: &PortSpec,
    address: SocketAddr,
    backlog: Option<i32>,
) -> Result<OwnedFd, ListenFailure> {
    let bound = if spec.udp {
        socket::bind_udp(address)
    } else {
        socket::listen_tcp(address, backlog.unwrap_or(LONGEST_BACKLOG))
    };
    bound.map_err(|error| ListenFailure::Listen {
        address: address.to_string(),
        port: Some(spec.key.clone()),
        error,
    })
}

/// What the socket of a `--port` is: we have made it, and need not ask for more than the number
/// that the kernel has chosen for a 0.
///
/// # Errors
/// As getsockname(2).
pub fn facts(spec: &PortSpec, wanted: SocketAddr, fd: &OwnedFd) -> io::Result<Facts> {
    let name = match wanted {
        _ if wanted.port() == 0 => return adopted::facts(fd.as_fd()),
        SocketAddr::V4(address) => LocalName::V4(address),
        SocketAddr::V6(address) => LocalName::V6 {
            address,
            v6only: true,
        },
    };
    Ok(Facts {
        address: adopted::address(name),
        kind: if spec.udp {
            SocketKind::Datagram
        } else {
            SocketKind::Stream
        },
        accepting: (!spec.udp).then_some(true),
        cookie: None,
    })
}

/// Whether a socket stands at the path already: one that is stale will be replaced.
#[must_use]
pub fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Binds the socket of a `--path`; the file is to be removed at the end.
///
/// # Errors
/// [`ListenFailure::Listen`].
pub fn path(
    path: &Path,
    backlog: Option<i32>,
    mode: Option<u32>,
) -> Result<(OwnedFd, SocketFile), ListenFailure> {
    let backlog = backlog.unwrap_or(LONGEST_BACKLOG);
    listen_unix(path, backlog, mode).map_err(|error| ListenFailure::Listen {
        address: path.display().to_string(),
        port: None,
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::port::parse;

    fn resolved(text: &str) -> String {
        match resolve(&parse(text).unwrap()) {
            Ok(address) => address.to_string(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn hosts_are_read_as_start_server_reads_them() {
        for (text, address) in [
            ("80", "0.0.0.0:80"),
            ("0:80", "0.0.0.0:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("[127.0.0.1]:80", "127.0.0.1:80"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:u53", "[::1]:53"),
            ("::1:80", "[::1]:80"),
        ] {
            assert_eq!(resolved(text), address, "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_there_is_named_with_its_option() {
        let failure = resolved("foo.invalid:80");
        let start = "cannot resolve host foo.invalid in --port foo.invalid:80: ";
        assert!(failure.starts_with(start), "{failure}");
        assert!(!failure.contains("failed to lookup"), "{failure}");
    }

    #[test]
    fn what_we_made_is_what_the_kernel_says() {
        let free = |host: &str| {
            let socket = std::net::UdpSocket::bind((host, 0)).unwrap();
            socket.local_addr().unwrap().port()
        };
        for (host, udp) in [
            ("127.0.0.1", ""),
            ("127.0.0.1", "u"),
            ("::1", ""),
            ("::1", "u"),
        ] {
            // Another number where this one is taken: by somebody else, or by a child that another test
            // forks in this moment, which has the socket that we have just closed.
            let bound = (0..100).find_map(|_| {
                let spec = parse(&format!("[{host}]:{udp}{}", free(host))).unwrap();
                let address = resolve(&spec).unwrap();
                let fd = port(&spec, address, None).ok()?;
                Some((spec, address, fd))
            });
            let (spec, address, fd) = bound.expect("a free port");
            let asked = Facts {
                cookie: None,
                ..adopted::facts(fd.as_fd()).unwrap()
            };
            assert_eq!(facts(&spec, address, &fd).unwrap(), asked);
        }
    }

    #[test]
    fn a_port_in_use_says_so() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = first.local_addr().unwrap();
        let spec = parse(&taken.to_string()).unwrap();
        let failure = port(&spec, taken, None).unwrap_err();
        let text = format!("cannot listen on {taken}: Address already in use");
        assert_eq!((failure.to_string(), failure.exit_code()), (text, 98));
    }
}
