//! `--log-file '| command'`: a shell command that takes the log through a pipe.
//!
//! We keep the reading end too. So while the command is being started again nobody who writes
//! gets SIGPIPE, nothing that is in the pipe is lost, and the next command reads on where the
//! last one stopped (start_server loses everything from the first death on, B14). When the pipe
//! is full workers wait, as with any slow log; the supervisor itself never does.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::token::Token;
use crate::core::{Rough, pause_after};
use crate::os::child::{self, Plan};
use crate::os::epoll::{Epoll, Interest};
use crate::os::process::{self, WaitStatus};
use crate::os::reason::Reason;
use crate::os::signals::Original;
use crate::os::{clock, fd};

/// The shell that runs it, as that of popen(3).
const SHELL: &str = "/bin/sh";

/// A command that ran this long did not die of its start.
const STEADY: Duration = Duration::from_secs(30);

/// The pauses between two starts double from the first to the longest, which is short: when the
/// pipe is full, workers wait for it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// After this many deaths in a row room is made in the pipe: a broken log must not stop a server.
const PATIENT_DEATHS: u32 = 3;

/// How long the end waits for the command to read what is left.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// How often it looks whether the pipe is empty, when others still write to it.
const LAST_LOOKS: Duration = Duration::from_millis(50);

/// How often the end starts it again for what is left.
const LAST_STARTS: u32 = 3;

/// The command, its pipe, and what it is started with.
pub struct LogCommand {
    command: CString,
    environment: Vec<CString>,
    signals: Original,
    pipe: OwnedFd,
    writer: Option<OwnedFd>,
    /// The command's own output and error.
    outputs: [OwnedFd; 2],
    child: Option<Running>,
    started: Duration,
    deaths: u32,
    due: Option<Duration>,
}

/// The process.
struct Running {
    pid: i32,
    pidfd: OwnedFd,
}

impl LogCommand {
    /// Opens the pipe; nothing runs yet. `outputs` become the command's output and error.
    ///
    /// # Errors
    /// As pipe2(2) and fcntl(2).
    pub fn open(
        command: &OsStr,
        environment: Vec<CString>,
        signals: Original,
        outputs: [OwnedFd; 2],
    ) -> io::Result<Self> {
        let (pipe, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self {
            command: c_string(command),
            environment,
            signals,
            pipe,
            writer: Some(writer),
            outputs,
            child: None,
            started: Duration::ZERO,
            deaths: 0,
            due: None,
        })
    }

    /// The command's own output and error: ours, before they became the log.
    #[must_use]
    pub const fn outputs(&self) -> &[OwnedFd; 2] {
        &self.outputs
    }

    /// The end that workers write to.
    #[must_use]
    pub fn writer(&self) -> Option<&OwnedFd> {
        self.writer.as_ref()
    }

    /// The same end for ourselves: opened anew, so that non-blocking is ours alone.
    ///
    /// # Errors
    /// As open(2) of /proc/self/fd.
    pub fn our_writer(&self) -> io::Result<OwnedFd> {
        let writer = self.writer.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        fd::move_out_of_the_way(opened, |_| false)
    }

    /// Whether a process is the command.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        self.child.as_ref().is_some_and(|child| child.pid == pid)
    }

    /// When it is to be started again, as time since boot.
    #[must_use]
    pub const fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Starts it, if it is time.
    ///
    /// # Errors
    /// As epoll_ctl(2). That it cannot be started is tried again later.
    pub fn start_if_due(&mut self, epoll: &Epoll) -> io::Result<()> {
        if self.due.is_some_and(|due| due <= clock::now()) {
            self.due = None;
            self.start(epoll)?;
        }
        Ok(())
    }

    /// Starts it.
    ///
    /// # Errors
    /// As epoll_ctl(2). That it cannot be started is tried again later.
    pub fn start(&mut self, epoll: &Epoll) -> io::Result<()> {
        let started = self.spawn().map_err(|error| error.to_string());
        let started = started.and_then(|child| {
            let token = Token::LogCommand.into();
            match epoll.add(child.pidfd.as_fd(), token, Interest::Ended) {
                Ok(()) => Ok(child),
                Err(error) => {
                    // It is to be started again, and two would share what they read.
                    let _ = process::kill_and_reap(child.pidfd.as_fd());
                    Err(Reason(&error).to_string())
                }
            }
        });
        match started {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                let pause = self.put_off();
                log::error!(
                    "cannot start the log command: {error}; next try in {}",
                    Rough(pause)
                );
            }
        }
        Ok(())
    }

    /// It has ended: reports it, and sets the time for the next start.
    ///
    /// # Errors
    /// As waitid(2) and epoll_ctl(2).
    pub fn reap(&mut self, epoll: &Epoll) -> io::Result<()> {
        let Some(child) = &self.child else {
            return Ok(());
        };
        let status = match process::try_wait(child.pidfd.as_fd()) {
            Ok(None) => return Ok(()),
            other => other,
        };
        epoll.remove(child.pidfd.as_fd())?;
        self.child = None;
        let pause = self.put_off();
        if self.deaths > PATIENT_DEATHS {
            self.make_room();
        }
        // In the pipe with everything else: the next command brings it to the log.
        log::error!(
            "the log command {}; starting it again in {}",
            ending(status),
            Rough(pause)
        );
        Ok(())
    }

    /// Throws away what is in a pipe that is about to be full; nobody else reads now.
    fn make_room(&self) {
        let capacity = rustix::pipe::fcntl_getpipe_size(&self.pipe).unwrap_or(0);
        let left = usize::try_from(self.left()).unwrap_or(0);
        if left < capacity / 2 {
            return;
        }
        let mut lost = vec![0; left];
        // As much as is there: this does not wait.
        let count = rustix::io::read(&self.pipe, &mut lost).unwrap_or(0);
        log::error!("threw {count} bytes of the log away: its command keeps dying");
    }

    fn put_off(&mut self) -> Duration {
        let now = clock::now();
        if now.saturating_sub(self.started) >= STEADY {
            self.deaths = 0;
        }
        self.deaths = self.deaths.saturating_add(1);
        let pause = pause_after(self.deaths, FIRST_PAUSE).min(LONGEST_PAUSE);
        self.due = Some(now.saturating_add(pause));
        pause
    }

    fn spawn(&mut self) -> io::Result<Running> {
        self.started = clock::now();
        let shell = CString::new(SHELL).expect("no NUL in it");
        let name = CString::new("sh").expect("no NUL in it");
        let option = CString::new("-c").expect("no NUL in it");
        let [output, error] = &self.outputs;
        let plan = Plan {
            programs: &[shell],
            argv: &[name, option, self.command.clone()],
            env: &self.environment,
            with_listen_pid: false,
            with_watchdog_pid: false,
            new_session: false,
            sockets: &[
                (self.pipe.as_fd(), libc::STDIN_FILENO),
                (output.as_fd(), libc::STDOUT_FILENO),
                (error.as_fd(), libc::STDERR_FILENO),
            ],
            directory: None,
            signals: &self.signals,
            cgroup_procs: None,
            stdout_stderr: None,
        };
        let child = child::spawn(&plan)?;
        Ok(Running {
            pid: child.pid,
            pidfd: child.pidfd,
        })
    }

    /// The end: with the last writer gone the command reads to the end of the file. Waits for it
    /// a while; says whether everything was taken. Nobody of ours may hold the pipe any more.
    pub fn finish(self) -> bool {
        self.finish_within(LAST_PATIENCE)
    }

    fn finish_within(mut self, patience: Duration) -> bool {
        self.writer = None;
        for _ in 0..LAST_STARTS {
            if self.child.is_none() {
                if self.left() == 0 {
                    return true;
                }
                self.child = self.spawn().ok();
            }
            let Some(child) = self.child.take() else {
                return false;
            };
            if !self.ends_within(patience, &child) {
                return self.left() == 0;
            }
        }
        self.left() == 0
    }

    /// Waits for the command's end; not for that of others who have the pipe, as the descendant of a
    /// worker may: it is enough that the command has read what was there, and it stays with them.
    fn ends_within(&self, patience: Duration, child: &Running) -> bool {
        let until = clock::now().saturating_add(patience);
        let mut was_empty = false;
        loop {
            let rest = until.saturating_sub(clock::now());
            let others = !is_polled(self.pipe.as_fd(), PollFlags::POLLHUP, Duration::ZERO);
            let pause = if others { LAST_LOOKS } else { rest };
            if is_polled(child.pidfd.as_fd(), PollFlags::POLLIN, pause.min(rest)) {
                return true;
            }
            let is_empty = others && self.left() == 0;
            if rest.is_zero() || is_empty && was_empty {
                return false;
            }
            was_empty = is_empty;
        }
    }

    fn left(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0)
    }
}

fn is_polled(fd: BorrowedFd<'_>, events: PollFlags, limit: Duration) -> bool {
    let mut asked = [PollFd::new(fd, events)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let answered = poll(&mut asked, limit).is_ok_and(|count| count > 0);
    answered
        && asked[0]
            .revents()
            .is_some_and(|found| found.intersects(events))
}

/// A command line holds no NUL; one of a library's user ends there.
fn c_string(text: &OsStr) -> CString {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|byte| *byte == 0);
    CString::new(&bytes[..end.unwrap_or(bytes.len())]).expect("cut before the first NUL")
}

pub mod presence;
mod saved;

fn ending(status: io::Result<Option<WaitStatus>>) -> String {
    match status {
        Ok(Some(WaitStatus::Exited(status))) => format!("exited with status {status}"),
        Ok(Some(WaitStatus::Signaled { signal, .. })) => format!("was killed by signal {signal}"),
        Ok(None) | Err(_) => "is gone".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::{self, Scratch};
    use std::fs::File;

    fn null() -> OwnedFd {
        File::create("/dev/null").unwrap().into()
    }

    fn command(text: &str) -> LogCommand {
        let path = CString::new("PATH=/usr/bin:/bin").unwrap();
        let outputs = [null(), null()];
        LogCommand::open(OsStr::new(text), vec![path], Original::save(), outputs).unwrap()
    }

    #[test]
    fn what_was_written_is_read_to_the_end() {
        let _alone = scratch::inheritance();
        let scratch = Scratch::new();
        let log = scratch.path("log");
        let epoll = Epoll::new().unwrap();
        let mut command = command(&format!("cat >>{}", log.display()));
        command.start(&epoll).unwrap();
        rustix::io::write(command.writer().unwrap(), b"one\n").unwrap();
        assert!(command.finish());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\n");
    }

    #[test]
    fn who_else_has_the_pipe_is_not_waited_for() {
        let _alone = scratch::inheritance();
        let scratch = Scratch::new();
        let log = scratch.path("log");
        let epoll = Epoll::new().unwrap();
        let mut command = command(&format!("cat >>{}", log.display()));
        command.start(&epoll).unwrap();
        let another = command.our_writer().unwrap();
        rustix::io::write(&another, b"one\n").unwrap();
        let begun = clock::now();
        assert!(command.finish_within(Duration::from_secs(60)));
        assert!(clock::now() - begun < Duration::from_secs(50));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\n");
    }

    #[test]
    fn b14_a_dead_command_loses_nothing() {
        let _alone = scratch::inheritance();
        let scratch = Scratch::new();
        let log = scratch.path("log");
        let mut epoll = Epoll::new().unwrap();
        let line = format!("read first; echo $first >>{}", log.display());
        let mut command = command(&line);
        command.start(&epoll).unwrap();
        let ours = command.our_writer().unwrap();
        rustix::io::write(&ours, b"one\n").unwrap();
        assert_eq!(epoll.wait(None).unwrap().len(), 1);
        command.reap(&epoll).unwrap();
        assert!(command.due().is_some() && command.child.is_none());
        rustix::io::write(&ours, b"two\n").unwrap();
        drop(ours);
        assert!(command.finish());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_command_that_keeps_dying_does_not_stop_whoever_writes() {
        let mut command = command("true");
        let ours = command.our_writer().unwrap();
        while rustix::io::write(&ours, &[b'x'; 4096]).is_ok() {}
        command.make_room();
        assert_eq!(command.left(), 0);
        assert!(rustix::io::write(&ours, b"line\n").is_ok());
        command.make_room();
        assert_eq!(command.left(), 5);
        for _ in 0..20 {
            assert!(command.put_off() <= LONGEST_PAUSE);
        }
    }

    #[test]
    fn a_full_pipe_does_not_stop_us() {
        let command = command("true");
        let ours = command.our_writer().unwrap();
        let full = loop {
            if let Err(error) = rustix::io::write(&ours, &[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(full, rustix::io::Errno::WOULDBLOCK);
    }
}
