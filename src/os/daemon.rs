//! Becoming a daemon (daemon(7), the SysV way): fork, setsid, fork, with a pipe through which
//! the daemon tells the command that was typed how its start went.
#![expect(unsafe_code, reason = "fork and _exit")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::retry;
use super::signals::Original;

/// The longest report that is read: a line or two.
const MAX_REPORT: usize = 4096;

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Side {
    /// The one that was started. It must end through [`leave`].
    Parent(Waiting),
    /// The daemon.
    Daemon(Herald),
}

/// The parent's end of the pipe.
#[derive(Debug)]
pub struct Waiting(File);

/// The daemon's end of the pipe.
#[derive(Debug)]
pub struct Herald(File);

/// What the daemon says of its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The exit status for the parent.
    pub code: u8,
    /// Why, if that is not 0.
    pub reason: String,
}

/// Splits the process in two. The daemon has a session without a terminal that it does not lead,
/// and /dev/null as its standard input; everything else is as it was. The process must have a
/// single thread and no epoll set with a signalfd in it: that one would stay with the parent.
///
/// # Errors
/// As pipe2(2), fork(2) and open(2) of /dev/null. One that comes late is the child's: it has to
/// undo what was prepared and to end, and the parent sees a daemon that has ended.
pub fn daemonize() -> io::Result<Side> {
    let null = File::open("/dev/null")?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    if let Some(child) = fork()? {
        drop(write);
        // It forks once more and ends at once.
        retry(|| nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None))?;
        return Ok(Side::Parent(Waiting(File::from(read))));
    }
    drop(read);
    // A fresh child leads no process group, so this cannot fail.
    let _ = nix::unistd::setsid();
    if fork()?.is_some() {
        leave(0);
    }
    nix::unistd::dup2_stdin(null.as_fd())?;
    Ok(Side::Daemon(Herald(File::from(write))))
}

/// fork(2): the child's pid in the parent, nothing in the child.
fn fork() -> io::Result<Option<i32>> {
    // SAFETY: with one thread no lock is held by another, so the child may do what it likes.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid))
}

/// Ends this process and nothing else: no destructor removes files that the daemon needs.
pub fn leave(code: u8) -> ! {
    // SAFETY: _exit(2) has no conditions.
    unsafe { libc::_exit(code.into()) }
}

impl Waiting {
    /// Waits for the daemon's report; `None` when it ended without one. Signals mean again what
    /// they meant at our start: whoever loses patience can end the wait.
    #[must_use]
    pub fn report(self, signals: &Original) -> Option<Report> {
        signals.restore();
        self.read()
    }

    fn read(self) -> Option<Report> {
        let mut bytes = Vec::new();
        // What was read before an error is still the report.
        let limit = u64::try_from(MAX_REPORT).expect("4 KiB");
        let _ = self.0.take(limit).read_to_end(&mut bytes);
        let (code, reason) = bytes.split_first()?;
        Some(Report {
            code: *code,
            reason: String::from_utf8_lossy(reason).into_owned(),
        })
    }
}

impl Herald {
    /// The daemon's end in another program that took its place.
    #[must_use]
    pub fn inherited(pipe: OwnedFd) -> Self {
        Self(File::from(pipe))
    }

    /// Tells the parent; that it has gone meanwhile is no concern of the daemon's.
    pub fn tell(&mut self, code: u8, reason: &str) {
        let mut bytes = vec![code];
        bytes.extend(reason.bytes().take(MAX_REPORT - 1));
        let _ = self.0.write_all(&bytes);
    }
}

impl AsFd for Herald {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_through_and_silence_is_none() {
        for (code, reason) in [(0, ""), (69, "generation 1 failed: exited")] {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let mut herald = Herald(File::from(write));
            herald.tell(code, reason);
            drop(herald);
            let report = Waiting(File::from(read)).read().unwrap();
            assert_eq!((report.code, report.reason.as_str()), (code, reason));
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(write);
        assert_eq!(Waiting(File::from(read)).read(), None);
    }
}
