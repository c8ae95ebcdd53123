//! One message to whoever supervises us: sd_notify(3), in the few lines that it takes.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `message` to `$NOTIFY_SOCKET`, a path or an abstract address (`@name`); without it, nothing.
pub(crate) fn send(message: &str) -> io::Result<()> {
    let Ok(address) = std::env::var("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&address)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(message.as_bytes(), &address)
        .map(drop)
}
