//! Which adopted socket an option of the command line means, if there is one.
//!
//! Each is claimed once: a second `--port` with the same number is bound, and fails
//! as it would without systemd.

use super::Listener;
use crate::protocol::address::{Address, SocketKind};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The adopted socket for a `--port`: the one at its address, else a dual-stack one
/// that covers it; `claimed` says of each whether it is somebody's already.
pub(super) fn port(
    adopted: &[Listener],
    claimed: &[bool],
    wanted: SocketAddr,
    udp: bool,
) -> Option<usize> {
    let kind = if udp {
        SocketKind::Datagram
    } else {
        SocketKind::Stream
    };
    // Port 0 asks for a new socket, whatever there is.
    let fits =
        |index: &usize| wanted.port() != 0 && adopted[*index].kind == kind && !claimed[*index];
    let mut fitting = (0..adopted.len()).filter(fits);
    let exact = |index: &usize| is_at(&adopted[*index].address, wanted);
    let covering = |index: &usize| covers(&adopted[*index].address, wanted);
    fitting
        .clone()
        .find(exact)
        .or_else(|| fitting.find(covering))
}

/// The adopted socket for a `--path`.
pub(super) fn path(adopted: &[Listener], claimed: &[bool], wanted: &Path) -> Option<usize> {
    let mut free = (0..adopted.len()).filter(|index| !claimed[*index]);
    free.find(|index| match &adopted[*index] {
        Listener {
            address: Address::UnixPath(path),
            kind: SocketKind::Stream,
            ..
        } => is_same_path(path, wanted),
        _ => false,
    })
}

/// Whether a socket is bound at exactly this address.
fn is_at(address: &Address, wanted: SocketAddr) -> bool {
    match (address, wanted) {
        (Address::Inet4 { ip, port }, SocketAddr::V4(wanted)) => {
            (ip, *port) == (wanted.ip(), wanted.port())
        }
        (Address::Inet6 { ip, port, .. }, SocketAddr::V6(wanted)) => {
            (ip, *port) == (wanted.ip(), wanted.port())
        }
        _ => false,
    }
}

/// Whether a socket takes every IPv4 connection too: what `ListenStream=8080` makes,
/// beside which 0.0.0.0:8080 could not be bound.
fn covers(address: &Address, wanted: SocketAddr) -> bool {
    match (address, wanted) {
        (
            Address::Inet6 {
                ip,
                port,
                v6only: false,
                ..
            },
            SocketAddr::V4(wanted),
        ) => {
            let both_any = ip.is_unspecified() && wanted.ip().is_unspecified();
            both_any && *port == wanted.port()
        }
        _ => false,
    }
}

fn is_same_path(bound: &[u8], wanted: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    let bound = absolute(Path::new(OsStr::from_bytes(bound)));
    bound.is_some() && bound == absolute(wanted)
}
