//! A datagram with descriptors, from a worker to its manager: sendmsg(2) with SCM_RIGHTS.
//!
//! The supervisor's own datagrams (`datagram`) never wait; a worker's may, as those
//! of sd_notify(3) do.
#![expect(unsafe_code, reason = "sendmsg takes pointers to what it sends")]

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::ptr;

/// As many as Linux takes in one message (SCM_MAX_FD, unix(7)).
pub const MOST: usize = 253;

/// Sends `message` with `fds` over a connected socket. The receiver gets duplicates; the sender's
/// may be closed at once.
///
/// # Errors
/// `InvalidInput` for more than [`MOST`] descriptors; those of sendmsg(2).
pub fn send(socket: &UnixDatagram, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MOST {
        let reason = "more descriptors than one message can carry";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let raw: Vec<libc::c_int> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let bytes = size_of_val(raw.as_slice());
    let length = libc::c_uint::try_from(bytes).expect("253 ints fit");
    // SAFETY: CMSG_SPACE and CMSG_LEN compute sizes and touch no memory.
    let (space, cmsg_len) = unsafe { (libc::CMSG_SPACE(length), libc::CMSG_LEN(length)) };
    // Of u64, so that it is aligned as a cmsghdr must be.
    let space = usize::try_from(space).expect("a kilobyte fits");
    let mut control = vec![0_u64; space.div_ceil(size_of::<u64>())];
    let mut data = [IoSlice::new(message)];

    // SAFETY: a msghdr of zeros is a valid one that sends nothing.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // An IoSlice has the layout of an iovec (std guarantees it).
    header.msg_iov = data.as_mut_ptr().cast();
    header.msg_iovlen = 1;
    if !raw.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = space as _;
        // SAFETY: the control buffer has room for one header and the descriptors, so CMSG_FIRSTHDR
        // points into it, CMSG_DATA behind that header, and the copy ends within it.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = cmsg_len as _;
            ptr::copy_nonoverlapping(raw.as_ptr().cast(), libc::CMSG_DATA(first), bytes);
        }
    }
    loop {
        // SAFETY: header, data, control and descriptors live until the call returns.
        let sent =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
        match sent {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn without_descriptors_it_is_a_plain_datagram() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        send(&ours, b"READY=1", &[]).unwrap();
        let mut bytes = [0; 16];
        let length = theirs.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
    }

    #[test]
    fn too_many_descriptors_are_refused() {
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        let many = vec![ours.as_fd(); MOST + 1];
        let refused = send(&ours, b"FDSTORE=1", &many).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        send(&ours, b"FDSTORE=1", &many[..MOST]).unwrap();
    }

    #[cfg(feature = "supervisor")]
    #[test]
    fn descriptors_arrive_as_duplicates() {
        use crate::os::fd::is_same_description;
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
        use std::fs::File;
        use std::io::IoSliceMut;
        use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let files = [
            File::open("/dev/null").unwrap(),
            File::open("/dev/zero").unwrap(),
        ];
        send(&ours, b"FDSTORE=1", &[files[0].as_fd(), files[1].as_fd()]).unwrap();
        let mut bytes = [0; 16];
        let mut data = [IoSliceMut::new(&mut bytes)];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 2]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received =
            recvmsg::<()>(theirs.as_raw_fd(), &mut data, Some(&mut space), flags).unwrap();
        let Some(ControlMessageOwned::ScmRights(fds)) = received.cmsgs().unwrap().next() else {
            panic!("no descriptors arrived");
        };
        assert_eq!(fds.len(), 2);
        for (raw, file) in fds.into_iter().zip(&files) {
            // SAFETY: just received, so it has no owner yet.
            let arrived = unsafe { OwnedFd::from_raw_fd(raw) };
            assert!(is_same_description(arrived.as_fd(), file.as_fd()).unwrap());
        }
    }
}
