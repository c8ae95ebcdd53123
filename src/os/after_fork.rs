//! The child half: from its creation to exec.
//!
//! It may run in its parent's memory, on a stack of its own (`child::memory`), while the parent goes on.
//! So everything is prepared before, nothing here allocates, locks or panics, calls that can fail do
//! not touch errno, and the only ways out are execve and _exit.
#![expect(unsafe_code, reason = "raw system calls on memory prepared before")]

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::RawFd;
use std::ptr;

use libc::c_char;

use super::outcome::{Stage, report};
use super::signals::Original;
use super::system_call::call;

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

/// Everything the child needs, and nothing that anybody else uses.
pub(super) struct Prepared {
    pub(super) programs: Strings,
    pub(super) argv: Strings,
    /// The addresses of `pids` are among them.
    pub(super) env: Strings,
    pub(super) pids: Vec<PidSlot>,
    pub(super) new_session: bool,
    pub(super) cgroup: Option<RawFd>,
    pub(super) output: Option<RawFd>,
    pub(super) sockets: Vec<(RawFd, RawFd)>,
    pub(super) directory: Option<CString>,
    pub(super) signals: Original,
    pub(super) report: RawFd,
}

/// Becomes the program, or reports why not and ends. To be called in a child, once.
pub(super) fn become_program(prepared: &mut Prepared) -> ! {
    let Err((stage, errno)) = stages(prepared);
    let bytes = report(stage, errno);
    let _ = write(prepared.report, &bytes);
    // SAFETY: _exit runs no destructor of the parent.
    unsafe { libc::_exit(CANNOT_EXECUTE) }
}

type Failure = (Stage, i32);

fn stages(prepared: &mut Prepared) -> Result<Infallible, Failure> {
    if prepared.new_session {
        // SAFETY: no memory is touched. It cannot fail: a fresh child leads no group.
        let _ = unsafe { call(libc::SYS_setsid, [0; 3]) };
    }
    if let Some(procs) = prepared.cgroup {
        // "0" means the writer (cgroups(7)).
        write(procs, b"0").map_err(|errno| (Stage::Cgroup, errno))?;
    }
    if let Some(output) = prepared.output {
        place(Stage::Output, output, libc::STDOUT_FILENO)?;
        place(Stage::Output, output, libc::STDERR_FILENO)?;
    }
    for (source, target) in &prepared.sockets {
        place(Stage::Sockets, *source, *target)?;
    }
    if let Some(directory) = &prepared.directory {
        // SAFETY: a C string.
        let changed = unsafe {
            call(
                libc::SYS_chdir,
                [directory.as_ptr().expose_provenance(), 0, 0],
            )
        };
        changed.map_err(|errno| (Stage::Directory, errno))?;
    }
    for slot in &mut prepared.pids {
        // SAFETY: getpid cannot fail.
        slot.fill(unsafe { libc::getpid() }.unsigned_abs());
    }
    // Last, so that a signal that waits for the unblocking meets as little of us as
    // possible, and meets the dispositions that the worker will have.
    prepared.signals.restore();
    Err((Stage::Exec, execute(prepared)))
}

/// Tries the candidates as execvp(3) does, but never hands a file without `#!` to
/// a shell; answers the errno when none could be executed.
fn execute(prepared: &Prepared) -> i32 {
    let [argv, envp] =
        [&prepared.argv, &prepared.env].map(|list| list.as_ptr().expose_provenance());
    let mut reason = libc::ENOENT;
    let programs = prepared.programs.pointers.iter();
    for program in programs.take_while(|path| !path.is_null()) {
        // SAFETY: a C string and null-terminated lists of them; it does not return when it succeeds.
        let failed = unsafe { call(libc::SYS_execve, [program.expose_provenance(), argv, envp]) };
        match failed {
            Err(libc::ENOENT | libc::ENOTDIR) | Ok(_) => {}
            // A later directory may have it, but if not, this is the better reason.
            Err(libc::EACCES) => reason = libc::EACCES,
            Err(other) => return other,
        }
    }
    reason
}

/// Makes `target` a copy of `source` that survives exec.
fn place(stage: Stage, source: RawFd, target: RawFd) -> Result<(), Failure> {
    let numbers = [source, target].map(|number| number.unsigned_abs() as usize);
    // SAFETY: both change descriptors of the child alone, whose parent half never sees them. dup2
    // onto itself would keep close-on-exec, and dup3 refuses it.
    let result = unsafe {
        if source == target {
            call(libc::SYS_fcntl, [numbers[1], libc::F_SETFD as usize, 0])
        } else {
            call(libc::SYS_dup3, [numbers[0], numbers[1], 0])
        }
    };
    result.map(drop).map_err(|errno| (stage, errno))
}

fn write(fd: RawFd, bytes: &[u8]) -> Result<(), i32> {
    let (fd, address) = (
        fd.unsigned_abs() as usize,
        bytes.as_ptr().expose_provenance(),
    );
    // SAFETY: a buffer and its length.
    unsafe { call(libc::SYS_write, [fd, address, bytes.len()]) }.map(drop)
}

/// C strings as exec wants them: a list of pointers, with a null one at its end.
pub(super) struct Strings {
    pointers: Vec<*const c_char>,
    /// To where they point.
    _bytes: Vec<u8>,
}

impl Strings {
    /// Copies `strings`; `first` are not copied and must outlive the list where they are.
    pub(super) fn new(strings: &[CString], first: &[PidSlot]) -> Self {
        let length = |string: &CString| string.as_bytes_with_nul().len();
        let mut bytes = Vec::with_capacity(strings.iter().map(length).sum());
        for string in strings {
            bytes.extend_from_slice(string.as_bytes_with_nul());
        }
        let mut rest = bytes.as_slice();
        let copies = strings.iter().map(|string| {
            let (copy, others) = rest.split_at(length(string));
            rest = others;
            copy.as_ptr()
        });
        let first = first.iter().map(|slot| slot.text.as_ptr());
        let pointers = first.chain(copies).map(<*const u8>::cast);
        Self {
            pointers: pointers.chain([ptr::null()]).collect(),
            _bytes: bytes,
        }
    }

    /// The list.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
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
