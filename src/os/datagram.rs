//! Notify datagrams, sent and received, with descriptors and credentials.
//!
//! Sending never waits: PID 1 may be slow, and its queue holds few datagrams (ten by
//! default), so "later" is an answer. Receiving never leaks: every descriptor that
//! the kernel has put into our table has an owner before anything else is looked at.
#![expect(unsafe_code, reason = "control messages of recvmsg")]

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recv, sendmsg_addr, socket_with, sockopt,
};

use super::socket_file::{SocketFile, remove_stale};
use super::{fd, retry};

/// The most descriptors in one datagram (SCM_MAX_FD, unix(7)).
pub const MAX_FDS: usize = 253;

/// Everybody may write to a notify socket, because a worker may have given up its
/// privileges; the directory and the credentials keep strangers out.
const ANYBODY: u32 = 0o666;

/// Room for the most descriptors and credentials, in the alignment of cmsghdr.
const CONTROL_WORDS: usize = 160;

/// Where notifications go: a manager's address, and the socket to write there.
#[derive(Debug)]
pub struct Target {
    address: SocketAddrUnix,
    socket: OwnedFd,
}

/// How sending went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the manager's queue.
    Done,
    /// The queue is full; the target becomes writable when there is room.
    WouldBlock,
}

impl Target {
    /// Reads the value of NOTIFY_SOCKET: `/path` or `@abstract` (sd_notify(3)).
    ///
    /// # Errors
    /// `Unsupported` for `vsock:` and its kin, which lead out of the machine;
    /// `InvalidInput` for anything else; as socket(2).
    pub fn parse(value: &OsStr) -> io::Result<Self> {
        let bytes = value.as_bytes();
        let address = match bytes {
            [b'/', _, ..] => SocketAddrUnix::new(bytes)?,
            [b'@', name @ ..] if !name.is_empty() => SocketAddrUnix::new_abstract_name(name)?,
            [b'v', b's', b'o', b'c', b'k', ..] => {
                let reason = "NOTIFY_SOCKET is a vsock address, which is not supported";
                return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
            }
            _ => {
                let reason = "NOTIFY_SOCKET is neither a path nor an abstract name";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
        };
        Ok(Target {
            address,
            socket: datagram_socket()?,
        })
    }
}

/// For waiting until it is writable, after [`Sent::WouldBlock`].
impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn datagram_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Sends one datagram with up to [`MAX_FDS`] descriptors, without waiting.
///
/// # Errors
/// As sendmsg(2): `ENOENT` and `ECONNREFUSED` when the manager is gone, `EMSGSIZE`,
/// `EINVAL` for too many descriptors.
pub fn send(target: &Target, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<Sent> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(fds.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MAX_FDS
        || (!fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)))
    {
        return Err(Errno::EINVAL.into());
    }
    let payload = [IoSlice::new(bytes)];
    // By address each time, so that a manager that was restarted is found again.
    let sent = rustix::io::retry_on_intr(|| {
        let flags = SendFlags::NOSIGNAL;
        sendmsg_addr(
            &target.socket,
            &target.address,
            &payload,
            &mut control,
            flags,
        )
    });
    match sent {
        Ok(_) => Ok(Sent::Done),
        Err(rustix::io::Errno::AGAIN) => {
            // Only a connected datagram socket tells by EPOLLOUT that its peer has room.
            connect(&target.socket, &target.address)?;
            Ok(Sent::WouldBlock)
        }
        Err(error) => Err(error.into()),
    }
}

/// Who sent a datagram, as the kernel vouches for it. A privileged sender may name
/// another pid, so this tells strangers apart and not one worker from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process; 0 when it is outside of our pid namespace.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// One datagram that was received.
#[derive(Debug)]
pub struct Datagram {
    /// How much of the buffer is filled.
    pub len: usize,
    /// The datagram was longer than the buffer.
    pub truncated: bool,
    /// Descriptors are missing: too many were sent, or our table is full.
    pub control_truncated: bool,
    /// The sender.
    pub credentials: Option<Credentials>,
    /// The descriptors that came with it, close-on-exec; dropping closes them.
    pub fds: Vec<OwnedFd>,
}

/// A notify socket of our own.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
    file: SocketFile,
}

impl Receiver {
    /// Binds a notify socket at `path`, which must be free and at most 107 bytes long.
    ///
    /// # Errors
    /// As bind(2).
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = datagram_socket()?;
        // Before bind, so that no datagram comes without credentials.
        sockopt::set_socket_passcred(&socket, true)?;
        let file = match SocketFile::bind(&socket, path, Some(ANYBODY)) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => {
                // Left behind by a supervisor that was killed.
                remove_stale(path, SocketType::DGRAM)?;
                SocketFile::bind(&socket, path, Some(ANYBODY))?
            }
            other => other?,
        };
        Ok(Receiver { socket, file })
    }

    /// A notify socket that a predecessor of ours has bound.
    #[must_use]
    pub const fn inherited(socket: OwnedFd, file: SocketFile) -> Self {
        Receiver { socket, file }
    }

    /// The file, to be removed when the generation is gone.
    #[must_use]
    pub fn file(&self) -> &SocketFile {
        &self.file
    }

    /// The next datagram; `None` when there is none.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        self.look(buffer, 0)
    }

    /// The same, but the datagram stays the next one, with copies of its descriptors: whoever
    /// is killed before it has done what was asked leaves it to a successor.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        self.look(buffer, libc::MSG_PEEK)
    }

    /// Throws the next datagram away, with its descriptors; without one, nothing happens.
    ///
    /// # Errors
    /// As recv(2).
    pub fn discard(&self) -> io::Result<()> {
        let nothing: &mut [u8] = &mut [];
        match recv(&self.socket, nothing, RecvFlags::DONTWAIT) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn look(&self, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Option<Datagram>> {
        match receive(self.socket.as_fd(), buffer, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

// By hand, because nix gives up on truncated control data and leaks what is in it, and
// rustix holds the pid in a type that has no 0, which a foreign namespace sends.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Datagram> {
    let mut payload = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut control = [0u64; CONTROL_WORDS];
    // SAFETY: zeroes are a valid msghdr: no name, no buffers.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &mut payload;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = flags | libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    let received = retry(|| {
        // SAFETY: every pointer in `message` leads to a live buffer of the length beside it.
        Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) })
    })?;
    let mut datagram = Datagram {
        len: usize::try_from(received).unwrap_or(0),
        truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        control_truncated: message.msg_flags & libc::MSG_CTRUNC != 0,
        credentials: None,
        fds: Vec::new(),
    };
    // SAFETY: `message` and its control buffer are as recvmsg left them.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR answer null or a header inside of the buffer.
    while let Some(header) = unsafe { next.as_ref() } {
        // SAFETY: the header is inside of the buffer, and the kernel wrote it.
        unsafe { take(header, &mut datagram) };
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(&message, header) };
    }
    Ok(datagram)
}

/// Moves what stands behind one control header into the datagram.
///
/// # Safety
/// The header was written by recvmsg, its data follow it, and it is taken once.
unsafe fn take(header: &libc::cmsghdr, datagram: &mut Datagram) {
    // SAFETY: the data follow their header; a length of 0 asks for the header's own.
    let (data, head) = unsafe { (libc::CMSG_DATA(header), libc::CMSG_LEN(0) as usize) };
    let length = header.cmsg_len.saturating_sub(head);
    match (header.cmsg_level, header.cmsg_type) {
        (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
            for index in 0..length / size_of::<RawFd>() {
                // SAFETY: inside of the data; each is a new descriptor that is ours alone.
                let fd = unsafe { fd::fresh(data.cast::<RawFd>().add(index).read_unaligned()) };
                datagram.fds.push(fd);
            }
        }
        (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
            // SAFETY: the data hold one ucred.
            let sender = unsafe { data.cast::<libc::ucred>().read_unaligned() };
            datagram.credentials = Some(Credentials {
                pid: sender.pid,
                uid: sender.uid,
                gid: sender.gid,
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
