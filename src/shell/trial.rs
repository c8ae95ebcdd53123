//! A successor that is being tried: the program that is now on disk, run once with our state and
//! `--check-state`, in a session of its own. It says whether it could take over, and ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::own_program::OwnProgram;
use crate::os::child::{self, Child, Outcome, Plan, read_outcome};
use crate::os::process::{self, WaitStatus};
use crate::os::reason::{self, Reason};
use crate::os::signals::Original;
use crate::protocol::state::consent;

/// The hidden option.
pub const OPTION: &str = "--check-state";

/// How much of what it says is read.
const MOST: u64 = 4096;

/// The trial.
#[derive(Debug)]
pub struct Trial {
    child: Child,
    output: File,
    path: String,
    program: OwnedFd,
}

/// A program that can take over.
#[derive(Debug)]
pub struct Successor {
    /// Its version.
    pub version: String,
    /// The very file that was tried.
    pub program: OwnedFd,
}

/// A file in memory with these bytes, which nobody can change any more.
///
/// # Errors
/// As memfd_create(2) and write(2).
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(c"sd-starter state", flags)?);
    file.write_all(bytes)?;
    file.rewind()?;
    let seals = SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// The path by which an open program is executed.
#[must_use]
pub fn path_of(program: BorrowedFd<'_>) -> std::ffi::CString {
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    std::ffi::CString::new(path).expect("no NUL in it")
}

impl Trial {
    /// Begins it, with the state on standard input.
    ///
    /// # Errors
    /// Why it cannot even begin, in a line.
    pub fn begin(own: &OwnProgram, state: &[u8], signals: &Original) -> Result<Self, String> {
        let path = own.path().display().to_string();
        let program = own.open();
        let program = program.map_err(|error| format!("cannot open {path}: {}", Reason(&error)))?;
        let started = (|| {
            let state = sealed(state)?;
            let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
            // A grandchild may keep the writing end: whoever reads must not wait for it.
            rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)?;
            let plan = Plan {
                programs: &[path_of(program.as_fd())],
                argv: &own.argv_with(OPTION),
                env: own.environment(),
                with_listen_pid: false,
                with_watchdog_pid: false,
                new_session: true,
                sockets: &[
                    // Open for the interpreter, in case that it is a script.
                    (program.as_fd(), program.as_raw_fd()),
                    (state.as_fd(), 0),
                    (their_output.as_fd(), 1),
                    (their_output.as_fd(), 2),
                ],
                directory: None,
                signals,
                cgroup_procs: None,
                stdout_stderr: None,
            };
            Ok((child::spawn(&plan)?, output))
        })();
        let (child, output) =
            started.map_err(|error: io::Error| format!("cannot try {path}: {}", Reason(&error)))?;
        Ok(Self {
            child,
            output: output.into(),
            path,
            program,
        })
    }

    /// Readable when it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Whether a process is it.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        self.child.pid == pid
    }

    /// Kills it with everybody whom it has started. Its end is seen later.
    ///
    /// # Errors
    /// As kill(2).
    pub fn kill(&self) -> io::Result<()> {
        process::kill_group(self.child.pid, self.child.pidfd.as_fd())
    }

    /// It has ended: the program that can take over, or why it cannot.
    ///
    /// # Errors
    /// The reason, in a line.
    pub fn judge(self) -> Result<Successor, String> {
        let path = &self.path;
        // Whoever is left of its group has nothing to do any more.
        let _ = self.kill();
        let exit = process::try_wait(self.child.pidfd.as_fd());
        let exit = exit.map_err(|error| format!("cannot try {path}: {}", Reason(&error)))?;
        if let Ok(Outcome::Failed { stage, errno }) = read_outcome(self.child.outcome.as_fd()) {
            let reason = reason::describe(errno);
            return Err(format!("{stage} {path}: {reason}"));
        }
        let said = read(&self.output);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        match (exit, last.and_then(consent::parse)) {
            (Some(WaitStatus::Exited(0)), Some(version)) => Ok(Successor {
                version: version.to_owned(),
                program: self.program,
            }),
            (exit, _) => {
                let first = said.lines().map(str::trim).find(|line| !line.is_empty());
                let words = first.map_or_else(String::new, |line| format!(": {}", plain(line)));
                let how = describe(exit);
                Err(format!("{path}, tried with {OPTION}, {how}{words}"))
            }
        }
    }
}

fn describe(exit: Option<WaitStatus>) -> String {
    match exit {
        Some(WaitStatus::Exited(0)) => "ended without saying that it can take over".to_owned(),
        Some(WaitStatus::Exited(status)) => format!("exited with status {status}"),
        Some(WaitStatus::Signaled { signal, .. }) => format!("was killed by signal {signal}"),
        None => "is gone".to_owned(),
    }
}

/// What there is, up to a bound.
fn read(output: &File) -> String {
    let mut bytes = Vec::new();
    // At the latest where nothing is left for now.
    let _ = output.take(MOST).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A line that can stand in the log.
fn plain(line: &str) -> String {
    let plain = line.chars().filter(|c| !c.is_control());
    plain.take(200).collect()
}
