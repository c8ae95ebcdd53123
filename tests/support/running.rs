//! Commands inside a rig.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What a command said, and how it ended.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that runs inside a rig.
pub(crate) struct Running {
    command: String,
    pidfd: OwnedFd,
    output: mpsc::Receiver<std::io::Result<std::process::Output>>,
}

impl Running {
    /// Starts `command` in all namespaces of process `leader`.
    pub(crate) fn start(leader: i32, command: &[&str]) -> Self {
        let child = Command::new("nsenter")
            .args(["--target", &leader.to_string(), "--all", "--"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("SYSTEMD_PAGER", "")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter can be started");
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        // Not yet waited for, so the pid is still our child's.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("our child");
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        Self {
            command: command.join(" "),
            pidfd,
            output,
        }
    }

    /// Waits for its end; panics (and kills it) after `limit`.
    #[track_caller]
    pub(crate) fn wait(self, limit: Duration) -> Output {
        self.end(limit)
            .unwrap_or_else(|| panic!("{}: not done after {limit:?}", self.command))
    }

    pub(crate) fn is_done(&self) -> bool {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn end(&self, limit: Duration) -> Option<Output> {
        let Ok(output) = self.output.recv_timeout(limit) else {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            return None;
        };
        let output = output.expect("its output can be read");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Some(Output {
            status: output.status,
            stdout,
            stderr,
        })
    }

    /// Its end, or that there is none: never panics.
    pub(crate) fn output(&self) -> String {
        self.end(Duration::from_secs(10))
            .map_or("no answer".to_owned(), |output| output.stdout)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\nstdout: {}\nstderr: {}",
            self.status, self.stdout, self.stderr
        )
    }
}
