//! What a started child reports before it becomes its program.
//!
//! The report travels through a close-on-exec pipe. An exec that succeeds closes
//! it, so silence is good news; a step that fails writes its name and its errno
//! first. A worker that merely exits with 255 is thus never taken for a failed exec.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::retry;

/// The length of a report: the stage and the errno, native-endian.
const REPORT: usize = 8;

/// A step between fork and exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Moving into a cgroup of its own.
    Cgroup,
    /// Replacing standard output and error.
    Output,
    /// Putting the sockets where the environment says they are.
    Sockets,
    /// chdir(2).
    Directory,
    /// execve(2).
    Exec,
}

impl Stage {
    const ALL: [Stage; 5] = [
        Stage::Cgroup,
        Stage::Output,
        Stage::Sockets,
        Stage::Directory,
        Stage::Exec,
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Cgroup => "joining its cgroup",
            Stage::Output => "placing standard output",
            Stage::Sockets => "placing sockets",
            Stage::Directory => "changing directory",
            Stage::Exec => "executing",
        })
    }
}

/// How far a child came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not reached exec yet.
    Pending,
    /// It runs its program; or it was killed on the way there, which its end tells.
    Execed,
    /// It could not become its program, and ends.
    Failed {
        /// The step that failed.
        stage: Stage,
        /// Why, as in errno(3).
        errno: i32,
    },
}

/// The bytes of a report; nothing here allocates, for it is made after fork.
pub(super) fn report(stage: Stage, errno: i32) -> [u8; REPORT] {
    let [a, b, c, d] = (stage as u32).to_ne_bytes();
    let [e, f, g, h] = errno.to_ne_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Reads the report of a child from [`super::child::Child::outcome`] without waiting.
///
/// # Errors
/// `EBADMSG` when the bytes are no report, else as read(2).
pub fn read_outcome(pipe: BorrowedFd<'_>) -> io::Result<Outcome> {
    let mut bytes = [0; REPORT];
    let read = match retry(|| nix::unistd::read(pipe, &mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Outcome::Pending),
        other => other?,
    };
    // Eight bytes fit a pipe at once or not at all (PIPE_BUF): there are no halves.
    if read == 0 {
        return Ok(Outcome::Execed);
    }
    let [a, b, c, d, e, f, g, h] = bytes;
    let stage = u32::from_ne_bytes([a, b, c, d]);
    let known = Stage::ALL.into_iter().find(|known| *known as u32 == stage);
    match known {
        Some(stage) if read == REPORT => Ok(Outcome::Failed {
            stage,
            errno: i32::from_ne_bytes([e, f, g, h]),
        }),
        _ => Err(Errno::EBADMSG.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::os::fd::AsFd;

    #[test]
    fn every_stage_survives_the_pipe() {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        assert_eq!(read_outcome(read.as_fd()).unwrap(), Outcome::Pending);
        for stage in Stage::ALL {
            rustix::io::write(&write, &report(stage, libc::ENOENT)).unwrap();
            let errno = libc::ENOENT;
            let outcome = read_outcome(read.as_fd()).unwrap();
            assert_eq!(outcome, Outcome::Failed { stage, errno });
        }
        drop(write);
        // The children have it, too, that other tests fork in this moment, until they execute something.
        let flags = nix::poll::PollFlags::empty();
        let mut closed = [nix::poll::PollFd::new(read.as_fd(), flags)];
        assert_eq!(nix::poll::poll(&mut closed, 10_000u16).unwrap(), 1);
        assert_eq!(read_outcome(read.as_fd()).unwrap(), Outcome::Execed);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for bytes in [&b"x"[..], &[0xff; REPORT]] {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            rustix::io::write(&write, bytes).unwrap();
            assert!(read_outcome(read.as_fd()).is_err());
        }
    }
}
