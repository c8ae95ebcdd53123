//! Descriptors: owning what the kernel has just made, close-on-exec, moving one up.
#![expect(unsafe_code, reason = "the kernel's descriptors come as bare numbers")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use rustix::fs::OFlags;

use super::inherited::set_close_on_exec;
pub use super::inherited::{FIRST, adopt};

/// Owns a descriptor that the kernel has just made for us.
///
/// # Safety
/// `raw` is open and has no owner yet.
pub(super) unsafe fn fresh(raw: RawFd) -> OwnedFd {
    // SAFETY: the caller's promise is the same as this one's.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Sets close-on-exec on every descriptor from `first` on, so that nothing we
/// were started with (a shell's open script, a lock of our parent) reaches a worker.
///
/// # Errors
/// Only when neither close_range(2) nor /proc/self/fd can do it.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let from = libc::c_uint::try_from(first).map_err(|_| invalid("negative descriptor"))?;
    // By number, because glibc wraps it only since 2.34.
    // SAFETY: close_range with this flag changes descriptor flags and closes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            from,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match Errno::result(result) {
        // ENOSYS: before 5.9. EINVAL: the flag came with 5.11. EPERM: old seccomp filters.
        Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => close_on_exec_each(first),
        other => Ok(other.map(drop)?),
    }
}

fn close_on_exec_each(first: RawFd) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|text| text.parse::<RawFd>().ok());
        if let Some(raw) = number.filter(|raw| *raw >= first) {
            match set_close_on_exec(raw) {
                // What another thread has closed since nobody inherits.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// A close-on-exec duplicate with the lowest free number that is at least `floor`.
///
/// # Errors
/// `EMFILE`, or `EINVAL` when `floor` is beyond the limit of open files.
pub fn duplicate_above(fd: BorrowedFd<'_>, floor: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, floor)?)
}

/// `fd` or a close-on-exec duplicate of it whose number is not `taken`: neither a
/// standard stream nor a place where something else will be put.
///
/// # Errors
/// As [`duplicate_above`].
pub fn move_out_of_the_way(fd: OwnedFd, taken: impl Fn(RawFd) -> bool) -> io::Result<OwnedFd> {
    let mut moved = fd;
    while moved.as_raw_fd() < FIRST || taken(moved.as_raw_fd()) {
        // From the last number on, so that the search ends at the limit at the latest.
        let floor = moved.as_raw_fd().saturating_add(1).max(FIRST);
        moved = duplicate_above(moved.as_fd(), floor)?;
    }
    Ok(moved)
}

/// Whether O_NONBLOCK is set on the open file description, which is shared with
/// everybody who holds the same socket.
///
/// # Errors
/// None on an open descriptor.
pub fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

/// Sets or clears O_NONBLOCK, for everybody who shares the open file description.
///
/// # Errors
/// None on an open descriptor.
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}

/// Whether two descriptors share an open file description: they are one thing then,
/// with one offset and one set of flags.
///
/// Where kcmp(2) is not to be had (a seccomp filter, an old kernel), the same file with
/// the same flags counts, as in systemd; for sockets and pipes that is the same thing.
///
/// # Errors
/// None on open descriptors.
pub fn is_same_description(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<bool> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // KCMP_FILE, which libc does not know (linux/kcmp.h).
    let file = 0;
    // SAFETY: kcmp compares two numbers of our own table and touches no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            own,
            own,
            file,
            one.as_raw_fd(),
            other.as_raw_fd(),
        )
    };
    if let Ok(order) = Errno::result(result) {
        return Ok(order == 0);
    }
    let (a, b) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    let flags = |fd| rustix::fs::fcntl_getfl(fd);
    let same_file = (a.st_dev, a.st_ino, a.st_mode) == (b.st_dev, b.st_ino, b.st_mode);
    Ok(same_file && flags(one)? == flags(other)?)
}

/// Opens /dev/null on each of 0, 1 and 2 that is closed, so that no socket of ours
/// lands there and receives what somebody prints. Rust's runtime does the same
/// before `main`; this is for those who call the supervisor from elsewhere.
///
/// # Errors
/// As open(2) of /dev/null.
pub fn ensure_standard() -> io::Result<()> {
    for raw in 0..FIRST {
        // SAFETY: F_GETFD takes no third argument and touches no memory.
        if unsafe { libc::fcntl(raw, libc::F_GETFD) } == -1 {
            // Ascending order: the lowest free number is this one.
            // SAFETY: the path is a C string; the new descriptor stays open for good.
            Errno::result(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
        }
    }
    Ok(())
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// Whether `fd` is close-on-exec.
///
/// # Errors
/// None on an open descriptor.
pub fn is_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = rustix::io::fcntl_getfd(fd)?;
    Ok(flags.contains(rustix::io::FdFlags::CLOEXEC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch;
    use std::fs::File;

    #[test]
    fn both_ways_reach_every_descriptor_from_the_first_on() {
        let _alone = scratch::inheritance();
        for close_on_exec in [close_on_exec_from, close_on_exec_each] {
            let low = duplicate_above(io::stdin().as_fd(), 700).unwrap();
            let high = duplicate_above(low.as_fd(), 710).unwrap();
            for fd in [&low, &high] {
                rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).unwrap();
            }
            close_on_exec(high.as_raw_fd()).unwrap();
            assert!(is_close_on_exec(high.as_fd()).unwrap());
            assert!(!is_close_on_exec(low.as_fd()).unwrap());
        }
    }

    #[test]
    fn a_duplicate_lies_above_the_floor() {
        let fd = duplicate_above(io::stdin().as_fd(), 500).unwrap();
        assert!(fd.as_raw_fd() >= 500);
        assert!(is_close_on_exec(fd.as_fd()).unwrap());
    }

    #[test]
    fn what_is_in_the_way_is_moved_and_the_rest_stays() {
        let fd = duplicate_above(io::stdin().as_fd(), 800).unwrap();
        let number = fd.as_raw_fd();
        let fd = move_out_of_the_way(fd, |raw| raw < 800).unwrap();
        assert_eq!(fd.as_raw_fd(), number);
        let fd = move_out_of_the_way(fd, |raw| (number..number + 5).contains(&raw)).unwrap();
        assert!(fd.as_raw_fd() >= number + 5);
        assert!(is_close_on_exec(fd.as_fd()).unwrap());
    }

    #[test]
    fn a_duplicate_is_the_same_and_another_opening_is_not() {
        let file = File::open("/dev/null").unwrap();
        let (copy, pipe) = (file.try_clone().unwrap(), File::open("/dev/zero").unwrap());
        assert!(is_same_description(file.as_fd(), copy.as_fd()).unwrap());
        assert!(!is_same_description(file.as_fd(), pipe.as_fd()).unwrap());
    }

    #[test]
    fn closed_standard_streams_become_dev_null() {
        // SAFETY: the child makes system calls only, and ends with _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: the child owns its copies of 0 and 2 and uses neither.
            let bad = unsafe { libc::close(0) + libc::close(2) };
            let done = ensure_standard().is_ok();
            // SAFETY: F_GETFD touches no memory.
            let open = unsafe { libc::fcntl(0, libc::F_GETFD) | libc::fcntl(2, libc::F_GETFD) };
            // SAFETY: the child's end.
            unsafe { libc::_exit(i32::from(bad != 0 || !done || open != 0)) };
        }
        let mut status = -1;
        // SAFETY: our own child, and a place for its status.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!(status, 0);
    }
}
