//! The child half: from fork to exec.
//!
//! Between fork and exec only async-signal-safe calls are allowed
//! (signal-safety(7)). So everything is prepared in memory before fork, nothing
//! here allocates, locks or panics, and the only ways out are execve and _exit.
#![expect(
    unsafe_code,
    reason = "raw system calls on memory prepared before fork"
)]

use std::convert::Infallible;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use libc::c_char;
use nix::errno::Errno;

use super::outcome::{Stage, report};
use super::signals::Original;

/// The status of a child that could not become its program; the report, not this
/// number, tells why. 127 is what a shell exits with then.
const CANNOT_EXECUTE: i32 = 127;

/// A variable, and room for a pid that is known only after fork. The digits stand
/// at the left and NUL ends them: padded with zeros on the left, they would be
/// octal to the strtoul(3) of the reader.
#[repr(C)]
pub(super) struct PidSlot {
    text: [u8; PidSlot::LENGTH],
    name: usize,
}

impl PidSlot {
    /// `WATCHDOG_PID=`, ten digits, and the NUL.
    const LENGTH: usize = 24;

    pub(super) const fn listen() -> Self {
        PidSlot {
            text: *b"LISTEN_PID=\0\0\0\0\0\0\0\0\0\0\0\0\0",
            name: 11,
        }
    }

    pub(super) const fn watchdog() -> Self {
        PidSlot {
            text: *b"WATCHDOG_PID=\0\0\0\0\0\0\0\0\0\0\0",
            name: 13,
        }
    }

    fn fill(&mut self, pid: u32) {
        let length = pid.checked_ilog10().map_or(1, |log| log as usize + 1);
        let digits = self.text.iter_mut().skip(self.name).take(length);
        let mut rest = pid;
        for digit in digits.rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// Everything the child needs. The pointers lead into memory that the caller of
/// fork keeps alive; the three lists of strings end with a null pointer.
pub(super) struct Prepared<'a> {
    pub(super) programs: Vec<*const c_char>,
    pub(super) argv: Vec<*const c_char>,
    pub(super) envp: Vec<*const c_char>,
    /// Null for none.
    pub(super) pids: [*mut PidSlot; 2],
    pub(super) new_session: bool,
    pub(super) cgroup: Option<RawFd>,
    pub(super) output: Option<RawFd>,
    pub(super) sockets: &'a [(BorrowedFd<'a>, RawFd)],
    /// Null for none.
    pub(super) directory: *const c_char,
    pub(super) signals: &'a Original,
    pub(super) report: RawFd,
}

/// Becomes the program, or reports why not and ends.
///
/// # Safety
/// To be called in the child of a fork, once, with every pointer as [`Prepared`]
/// describes them.
pub(super) unsafe fn become_program(prepared: &Prepared<'_>) -> ! {
    // SAFETY: the caller's promise.
    let Err((stage, errno)) = unsafe { stages(prepared) };
    let bytes = report(stage, errno);
    // SAFETY: a local buffer and its length; _exit runs no destructor of the parent.
    unsafe {
        libc::write(prepared.report, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(CANNOT_EXECUTE)
    }
}

type Failure = (Stage, i32);

unsafe fn stages(prepared: &Prepared<'_>) -> Result<Infallible, Failure> {
    if prepared.new_session {
        // SAFETY: no memory is touched. It cannot fail: a fresh child leads no group.
        unsafe { libc::setsid() };
    }
    if let Some(procs) = prepared.cgroup {
        // SAFETY: a static buffer; "0" means the writer (cgroups(7)).
        check(Stage::Cgroup, unsafe {
            libc::write(procs, b"0".as_ptr().cast(), 1)
        })?;
    }
    if let Some(output) = prepared.output {
        place(Stage::Output, output, libc::STDOUT_FILENO)?;
        place(Stage::Output, output, libc::STDERR_FILENO)?;
    }
    for (source, target) in prepared.sockets {
        place(Stage::Sockets, source.as_raw_fd(), *target)?;
    }
    if !prepared.directory.is_null() {
        // SAFETY: not null, so a C string by the caller's promise.
        check(Stage::Directory, unsafe { libc::chdir(prepared.directory) }
            as isize)?;
    }
    for slot in prepared.pids {
        // SAFETY: by the caller's promise null or a slot, which nobody else uses.
        if let Some(slot) = unsafe { slot.as_mut() } {
            // SAFETY: getpid cannot fail.
            slot.fill(unsafe { libc::getpid() }.unsigned_abs());
        }
    }
    // Last, so that a signal that waits for the unblocking meets as little of us as
    // possible, and meets the dispositions that the worker will have.
    prepared.signals.restore();
    // SAFETY: the caller's promise.
    Err((Stage::Exec, unsafe { execute(prepared) }))
}

/// Tries the candidates as execvp(3) does, but never hands a file without `#!` to
/// a shell; answers the errno when none could be executed.
unsafe fn execute(prepared: &Prepared<'_>) -> i32 {
    let (argv, envp) = (prepared.argv.as_ptr(), prepared.envp.as_ptr());
    let mut reason = libc::ENOENT;
    for program in prepared.programs.iter().take_while(|path| !path.is_null()) {
        // SAFETY: C strings and null-terminated lists of them, by the caller's promise.
        unsafe { libc::execve(*program, argv, envp) };
        match Errno::last_raw() {
            libc::ENOENT | libc::ENOTDIR => {}
            // A later directory may have it, but if not, this is the better reason.
            libc::EACCES => reason = libc::EACCES,
            other => return other,
        }
    }
    reason
}

/// Makes `target` a copy of `source` that survives exec.
fn place(stage: Stage, source: RawFd, target: RawFd) -> Result<(), Failure> {
    // SAFETY: both calls change descriptors of the child alone, whose parent half
    // never sees them; dup2 onto itself keeps close-on-exec, so it is cleared.
    let result = unsafe {
        if source == target {
            libc::fcntl(target, libc::F_SETFD, 0)
        } else {
            libc::dup2(source, target)
        }
    };
    check(stage, result as isize)
}

fn check(stage: Stage, result: isize) -> Result<(), Failure> {
    if result == -1 {
        Err((stage, Errno::last_raw()))
    } else {
        Ok(())
    }
}

/// A list of C strings as exec wants it: pointers, and a null one at the end.
pub(super) fn pointers<'a>(
    strings: impl Iterator<Item = &'a std::ffi::CString>,
) -> Vec<*const c_char> {
    strings
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn the_pid_stands_left_and_is_terminated() {
        for pid in [1, 9, 10, 4_194_304, u32::MAX] {
            for (mut slot, name) in [
                (PidSlot::listen(), "LISTEN_PID"),
                (PidSlot::watchdog(), "WATCHDOG_PID"),
            ] {
                slot.fill(pid);
                let text = CStr::from_bytes_until_nul(&slot.text).unwrap();
                assert_eq!(text.to_str().unwrap(), format!("{name}={pid}"));
            }
        }
    }
}
