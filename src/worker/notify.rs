//! What a worker tells whoever supervises it: sd_notify(3), over `NOTIFY_SOCKET`.
//!
//! Every function answers whether there was somebody to tell: `Ok(false)` when the program was started
//! by hand, or by a supervisor that does not listen, which is no error.

use crate::os::passing;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// "I serve": with `--ready=notify` or `auto` the swap goes on from here, and under systemd the unit
/// has started. To be said when connections can be accepted, not before.
///
/// # Errors
/// Those of sendmsg(2): the supervisor has gone.
pub fn ready() -> io::Result<bool> {
    notify("READY=1", &[])
}

/// One line for `systemctl status` and `starterctl status`. Line breaks become blanks.
///
/// ```
/// sd_starter::worker::status("warming up the cache")?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`ready`].
pub fn status(text: &str) -> io::Result<bool> {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    notify(&format!("STATUS={line}"), &[])
}

/// "I am on my way out".
///
/// # Errors
/// As [`ready`].
pub fn stopping() -> io::Result<bool> {
    notify("STOPPING=1", &[])
}

/// "I cannot serve, for this reason": while this generation is not ready, or on trial, the old one
/// simply keeps serving and the reload has failed. `errno` is what `systemctl status` shows.
///
/// # Errors
/// As [`ready`].
pub fn failed(errno: i32, reason: &str) -> io::Result<bool> {
    status(reason)?;
    notify(&format!("ERRNO={errno}"), &[])
}

/// "I need so much longer, from now on", while starting or stopping.
///
/// # Errors
/// As [`ready`].
pub fn extend_timeout(more: Duration) -> io::Result<bool> {
    notify(&format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()), &[])
}

/// How often somebody wants a [`sign_of_life`]: `WATCHDOG_USEC`, if `WATCHDOG_PID` is ours or not
/// set. Half of it is a good interval (sd_watchdog_enabled(3)).
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = match std::env::var_os("WATCHDOG_PID") {
        Some(_) => number("WATCHDOG_PID") == Some(std::process::id().into()),
        None => true,
    };
    let period = number("WATCHDOG_USEC").filter(|usec| *usec > 0);
    period.filter(|_| is_ours).map(Duration::from_micros)
}

/// `WATCHDOG=1`.
///
/// # Errors
/// As [`ready`].
pub fn sign_of_life() -> io::Result<bool> {
    notify("WATCHDOG=1", &[])
}

/// Gives descriptors to the supervisor to keep: the next generation finds them in its
/// [`sockets`](super::sockets) under `name`, after the listeners. Under sd-starter this needs
/// `--fd-store-max`; under systemd alone, `FileDescriptorStoreMax=`.
///
/// The caller's own may be closed afterwards.
///
/// # Errors
/// `InvalidInput` for a name that is empty, longer than 255 bytes, or has a control character, a `:`
/// or anything but ASCII in it; otherwise as [`ready`].
pub fn keep(name: &str, fds: &[BorrowedFd<'_>]) -> io::Result<bool> {
    notify(&format!("FDSTORE=1\nFDNAME={}", checked(name)?), fds)
}

/// Has the supervisor forget what it keeps under `name`.
///
/// # Errors
/// As [`keep`].
pub fn forget(name: &str) -> io::Result<bool> {
    notify(&format!("FDSTOREREMOVE=1\nFDNAME={}", checked(name)?), &[])
}

/// Waits until everything that was sent before has been read: a program that exits right after a
/// message can be sure then that it was not too late to be believed.
///
/// # Errors
/// As [`ready`]; `TimedOut` when nobody reads for so long.
pub fn barrier(limit: Duration) -> io::Result<bool> {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    if !notify("BARRIER=1", &[theirs.as_fd()])? {
        return Ok(false);
    }
    // The manager closes its duplicate when it has read so far: that is the end of our file.
    drop(theirs);
    ours.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
    match ours.read(&mut [0]) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "nobody has read the notifications",
        )),
        Err(error) => Err(error),
    }
}

/// Any message of sd_notify(3), with descriptors.
///
/// # Errors
/// As [`ready`]; `Unsupported` for a `NOTIFY_SOCKET` that is neither a path nor abstract.
pub fn notify(message: &str, fds: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(false);
    };
    let bytes = address.as_bytes();
    let address = match bytes {
        [] => return Ok(false),
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(&address)?,
        _ => {
            let reason = "NOTIFY_SOCKET is neither a path nor an abstract address";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    passing::send(&socket, message.as_bytes(), fds).map(|()| true)
}

fn checked(name: &str) -> io::Result<&str> {
    let fits = crate::protocol::listen_fds::Name::new(name).is_some() && !name.is_empty();
    fits.then_some(name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a name for a descriptor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_survive_the_list() {
        assert!(checked("state").is_ok());
        for bad in ["", "a:b", "a\nb", "ü", &"x".repeat(256)] {
            assert_eq!(
                checked(bad).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{bad:?}"
            );
        }
    }
}
