//! Becoming another program in place (execve(2)): same process, same children, and only those
//! descriptors that are named.
#![expect(unsafe_code, reason = "execve, and the process's name")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use rustix::io::{FdFlags, fcntl_setfd};

use super::after_fork::Strings;

/// Replaces this process by `program`, which keeps the descriptors `kept` under their numbers and
/// everything else that execve(2) keeps: the pid, the children, the signal mask, pending signals.
/// The process must have a single thread: any other would vanish in the middle of its work.
///
/// Returns only if that failed, with everything as it was before.
#[must_use]
pub fn replace(
    program: &CStr,
    argv: &[CString],
    env: &[CString],
    kept: &[BorrowedFd<'_>],
) -> io::Error {
    let keep =
        |flags| -> rustix::io::Result<()> { kept.iter().try_for_each(|fd| fcntl_setfd(fd, flags)) };
    let error = match keep(FdFlags::empty()) {
        Ok(()) => {
            let (argv, env) = (Strings::new(argv, &[]), Strings::new(env, &[]));
            // SAFETY: C strings, and lists of them that end with null; all of them live on here.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
            Errno::last().into()
        }
        Err(error) => error.into(),
    };
    // Nothing is forked in between, so no worker can have seen them. Open as they are, this
    // cannot fail.
    let _ = keep(FdFlags::CLOEXEC);
    error
}

/// The name of this process in ps(1), `comm` of proc(5): at most 15 bytes of it. An exec through
/// /proc/self/fd leaves a number there.
pub fn set_name(name: &CStr) {
    // SAFETY: a C string, of which the kernel copies as much as fits.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{fd, scratch};
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_failed_exec_leaves_everything_as_it_was() {
        let _alone = scratch::inheritance();
        let file = File::open("/dev/null").unwrap();
        let error = replace(c"/nowhere/at/all", &[], &[], &[file.as_fd()]);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(fd::is_close_on_exec(file.as_fd()).unwrap());
    }
}
