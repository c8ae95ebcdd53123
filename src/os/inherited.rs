//! Descriptors that came through exec: bare numbers, until somebody owns them.
//!
//! [`adopt`] is the door where one gets an owner, and the flag that tells the two
//! worlds apart is close-on-exec itself: whatever survived exec cannot have it, and
//! whatever Rust's library, this process or [`adopt`] opened always has it. So
//! nothing that has an owner is adopted, and nothing is adopted twice.
//!
//! The worker's side of the crate uses this too: libc is all that it needs.
#![expect(unsafe_code, reason = "inherited descriptors come as bare numbers")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first descriptor after standard input, output and error; where systemd
/// starts counting (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
pub const FIRST: RawFd = 3;

/// Takes an inherited descriptor into ownership and sets close-on-exec on it.
/// Call it before anything that sets the flag on what it does not own.
///
/// # Errors
/// `InvalidInput` for 0, 1, 2 and negative numbers; `EBADF` when it is not open;
/// `InvalidInput` when it is close-on-exec, so not inherited or adopted already.
pub fn adopt(raw: RawFd) -> io::Result<OwnedFd> {
    if raw < FIRST {
        return Err(invalid("standard streams are not adopted"));
    }
    // SAFETY: F_GETFD takes no third argument and touches no memory.
    let flags = result(unsafe { libc::fcntl(raw, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(invalid("not inherited, or adopted before"));
    }
    set_close_on_exec(raw)?;
    // SAFETY: open, as the calls above have just shown, and nobody's: everything
    // that this process opens or adopts is close-on-exec, and this one was not.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A close-on-exec duplicate of standard input, which itself stays where it is: as long as the
/// number 0 is taken, no file that is opened later becomes standard input by accident.
///
/// # Errors
/// `EBADF` when it is closed, `EMFILE`.
pub fn duplicate_standard_input() -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int and touches no memory; a closed number is EBADF.
    let copy = result(unsafe { libc::fcntl(libc::STDIN_FILENO, libc::F_DUPFD_CLOEXEC, FIRST) })?;
    // SAFETY: the kernel has just made it, so it has no owner.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Sets close-on-exec on a number.
///
/// # Errors
/// `EBADF` when it is not open.
pub(super) fn set_close_on_exec(raw: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD takes an int and touches no memory; a closed number is EBADF.
    result(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// What a socket is, in the kernel's numbers (socket(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// SO_DOMAIN: `AF_*`.
    pub domain: i32,
    /// SO_TYPE: `SOCK_STREAM`, `SOCK_DGRAM`, ...
    pub kind: i32,
    /// SO_ACCEPTCONN: it listens; a connection that was accepted does not.
    pub accepting: bool,
}

/// Asks the kernel what a descriptor is; `None` when it is no socket.
///
/// # Errors
/// Only those of a kernel that knows none of these options.
pub fn nature(fd: BorrowedFd<'_>) -> io::Result<Option<Nature>> {
    let kind = match option(fd, libc::SO_TYPE) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => return Ok(None),
        other => other?,
    };
    Ok(Some(Nature {
        domain: option(fd, libc::SO_DOMAIN)?,
        kind,
        accepting: option(fd, libc::SO_ACCEPTCONN)? != 0,
    }))
}

fn option(fd: BorrowedFd<'_>, name: libc::c_int) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).expect("4 fits");
    // SAFETY: the value is an int and the length is its size, so the kernel writes only there.
    let returned = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    result(returned).map(|_| value)
}

/// -1 is an error; everything else is an answer.
pub(super) fn result(returned: libc::c_int) -> io::Result<libc::c_int> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        other => Ok(other),
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch;
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd, IntoRawFd};

    /// A descriptor as exec would have left it.
    fn inherited() -> RawFd {
        let raw = File::open("/dev/null").unwrap().into_raw_fd();
        // SAFETY: just given up above, so nobody else uses it.
        unsafe { libc::fcntl(raw, libc::F_SETFD, 0) };
        raw
    }

    fn is_close_on_exec(fd: &OwnedFd) -> bool {
        // SAFETY: F_GETFD takes no third argument and touches no memory.
        let flags = result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) });
        flags.unwrap() & libc::FD_CLOEXEC != 0
    }

    #[test]
    fn adopting_sets_close_on_exec() {
        let _alone = scratch::inheritance();
        assert!(is_close_on_exec(&adopt(inherited()).unwrap()));
    }

    #[test]
    fn a_descriptor_is_not_adopted_twice() {
        let _alone = scratch::inheritance();
        let fd = adopt(inherited()).unwrap();
        let again = adopt(fd.as_raw_fd()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn standard_streams_and_closed_numbers_are_refused() {
        for raw in [-1, 0, 1, 2] {
            assert_eq!(adopt(raw).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        let closed = adopt(1_000_000).unwrap_err();
        assert_eq!(closed.raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn standard_input_keeps_its_number() {
        let copy = duplicate_standard_input().unwrap();
        assert!(copy.as_raw_fd() >= FIRST);
        assert!(is_close_on_exec(&copy));
    }

    #[test]
    fn a_socket_has_a_nature_and_a_file_has_none() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let listening = nature(listener.as_fd()).unwrap().unwrap();
        assert_eq!(
            (listening.domain, listening.kind),
            (libc::AF_INET6, libc::SOCK_STREAM)
        );
        assert!(listening.accepting);
        assert!(!nature(client.as_fd()).unwrap().unwrap().accepting);
        assert_eq!(
            nature(File::open("/dev/null").unwrap().as_fd()).unwrap(),
            None
        );
    }
}
