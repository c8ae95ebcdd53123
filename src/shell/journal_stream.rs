//! A stream to journald for each generation, as systemd gives one to each unit
//! (systemd-journald.service(8)): lines of two generations do not mix, each has its own
//! identifier, and they arrive whether we live or not.
//!
//! Only where both standard output and error are the journal; else workers inherit ours.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown,
    socket_with,
};

use crate::protocol::generation::Generation;
use crate::protocol::worker_env::Variable;

/// Where journald takes streams.
const SOCKET: &str = "/run/systemd/journal/stdout";

/// LOG_INFO, what systemd gives to lines without a `<N>` of their own.
const PRIORITY: u8 = 6;

/// How streams are opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JournalStreams {
    program: String,
    unit: Option<String>,
}

/// The stream of one generation.
#[derive(Debug)]
pub struct JournalStream {
    /// For standard output and error.
    pub socket: OwnedFd,
    /// `JOURNAL_STREAM=`, by which a worker knows that it writes to the journal.
    pub variable: Variable,
}

impl JournalStreams {
    /// For the program's workers, if `journal_stream` (JOURNAL_STREAM, systemd.exec(5)) says that
    /// our own standard output and error are the journal. journald takes the `unit` only from
    /// root; of others it finds out, if they live long enough.
    #[must_use]
    pub fn from_environment(
        journal_stream: Option<&str>,
        program: &OsStr,
        unit: Option<&str>,
    ) -> Option<Self> {
        let ours = journal_stream?;
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let is_ours = |fd: BorrowedFd<'_>| identity(fd).is_ok_and(|identity| identity == ours);
        if !is_ours(stdout.as_fd()) || !is_ours(stderr.as_fd()) {
            return None;
        }
        let name = Path::new(program).file_name().unwrap_or(program);
        let root = nix::unistd::geteuid().is_root();
        Some(Self {
            program: name.to_string_lossy().into_owned(),
            unit: unit.filter(|_| root).map(str::to_owned),
        })
    }

    /// Opens a generation's stream, without waiting for a journald that is busy.
    ///
    /// # Errors
    /// As connect(2) and write(2); `EAGAIN` when journald has no room.
    pub fn open(&self, generation: Generation) -> io::Result<JournalStream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(SOCKET)?)?;
        shutdown(&socket, Shutdown::Read)?;
        let header = self.header(generation);
        let written = rustix::io::write(&socket, header.as_bytes())?;
        if written != header.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // A worker expects a standard output that waits.
        rustix::fs::fcntl_setfl(&socket, OFlags::empty())?;
        let identity = identity(socket.as_fd())?;
        let variable = Variable::new("JOURNAL_STREAM", identity).map_err(io::Error::other)?;
        Ok(JournalStream { socket, variable })
    }

    /// Identifier, unit, priority, level prefix, forwarding to syslog, kmsg and console.
    fn header(&self, generation: Generation) -> String {
        let line = |text: &str| text.replace(|c: char| c.is_control(), "?");
        let unit = self.unit.as_deref().unwrap_or_default();
        let mut header = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(header, "{}[{generation}]", line(&self.program));
        let _ = writeln!(header, "{}\n{PRIORITY}\n1\n0\n0\n0", line(unit));
        header
    }
}

/// `DEVICE:INODE`, as JOURNAL_STREAM has it.
fn identity(fd: BorrowedFd<'_>) -> io::Result<String> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_seven_lines_whatever_the_program_is_called() {
        let streams = JournalStreams {
            program: "a\nb".to_owned(),
            unit: Some("app.service".to_owned()),
        };
        let header = streams.header(Generation::FIRST.next());
        assert_eq!(header, "a?b[2]\napp.service\n6\n1\n0\n0\n0\n");
    }

    #[test]
    fn without_the_journal_there_is_no_stream() {
        let program = OsStr::new("/usr/bin/app");
        for variable in [None, Some(""), Some("0:0"), Some("8:1\n")] {
            let streams = JournalStreams::from_environment(variable, program, None);
            assert_eq!(streams, None);
        }
    }
}
