//! A running program under test.

use crate::eventually::{PATIENCE, eventually, wait_until, within};
use crate::scene::{Finished, MARK, Scene};
use crate::worker::state_of;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A command line and an environment in the making.
pub(crate) struct Launch<'a> {
    scene: &'a Scene,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    stdin: Option<File>,
    output_name: String,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(scene: &'a Scene) -> Launch<'a> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // The first supervisor of a scene writes to `stderr`, further commands to files of their own.
        let output_name = if scene.exists("stderr") {
            format!("stderr.{}", NEXT.fetch_add(1, Ordering::Relaxed))
        } else {
            "stderr".to_owned()
        };
        Launch {
            scene,
            program: scene.path("start_server"),
            arguments: Vec::new(),
            variables: Vec::new(),
            stdin: None,
            output_name,
        }
    }

    /// Another program than the one under test, to call that one.
    pub(crate) fn program(mut self, program: &str) -> Launch<'a> {
        self.program = PathBuf::from(program);
        self
    }

    /// Options separated by blanks.
    pub(crate) fn options(mut self, options: impl AsRef<str>) -> Launch<'a> {
        self.arguments
            .extend(options.as_ref().split_whitespace().map(str::to_owned));
        self
    }

    /// One argument, taken verbatim.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Launch<'a> {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Launch<'a> {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn stdin(mut self, file: File) -> Launch<'a> {
        self.stdin = Some(file);
        self
    }

    /// `--` and the worker's command line.
    pub(crate) fn worker(mut self) -> Launch<'a> {
        self.arguments.push("--".to_owned());
        self.arguments.extend(self.scene.worker_command());
        self
    }

    /// Executes it, in the scene's directory, with a bare environment and its own process group.
    pub(crate) fn start(self) -> Supervisor<'a> {
        let stderr = File::create(self.scene.path(&self.output_name)).expect("the file for stderr");
        let stdout_name = self.output_name.replace("stderr", "stdout");
        let stdout = File::create(self.scene.path(&stdout_name)).expect("the file for stdout");
        // setpriv becomes the program (same pid) and arranges that it dies with the story's thread.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(&self.arguments)
            .current_dir(self.scene.dir())
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C")
            .env(MARK, self.scene.dir())
            .envs(
                self.variables
                    .iter()
                    .map(|(name, value)| (OsStr::new(name), OsStr::new(value))),
            )
            .stdin(self.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .expect("setpriv of util-linux");
        Supervisor {
            scene: self.scene,
            child,
            stderr_name: self.output_name,
            stdout_name,
        }
    }
}

/// The program, running or ended.
pub(crate) struct Supervisor<'a> {
    scene: &'a Scene,
    child: Child,
    stderr_name: String,
    stdout_name: String,
}

impl Supervisor<'_> {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Not reaped yet, so the pid is still its own.
        kill(Pid::from_raw(self.pid()), signal).expect("a process of ours");
    }

    /// HUP, when it is asleep.
    pub(crate) fn hup(&self) {
        await_sleep(self.pid());
        self.signal(Signal::SIGHUP);
    }

    /// TERM, when it is asleep.
    pub(crate) fn term(&self) {
        await_sleep(self.pid());
        self.signal(Signal::SIGTERM);
    }

    /// INT, when it is asleep.
    pub(crate) fn int(&self) {
        await_sleep(self.pid());
        self.signal(Signal::SIGINT);
    }

    /// Waits until it has taken the HUP that it was sent, and acted upon it: it sleeps again.
    pub(crate) fn await_hup_taken(&self) {
        let pending = || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
            let status = status.expect("not reaped yet");
            let mask = |name| status.lines().find_map(|line| line.strip_prefix(name));
            let mask = mask("ShdPnd:").expect("a field of the kernel");
            u64::from_str_radix(mask.trim(), 16).expect("a mask") & 1 << (Signal::SIGHUP as i32 - 1)
        };
        wait_until("a HUP to be taken", || {
            pending() == 0 && self.state() == 'S'
        });
    }

    pub(crate) fn stderr(&self) -> String {
        self.scene.read(&self.stderr_name).unwrap_or_default()
    }

    /// Waits for a line on stderr that contains `text`.
    pub(crate) fn await_line(&self, text: &str) {
        eventually(&format!("the line {text:?}"), || {
            self.said(text).then_some(())
        });
    }

    pub(crate) fn said(&self, text: &str) -> bool {
        self.stderr().lines().any(|line| line.contains(text))
    }

    /// Waits for its word that it started the worker of this generation (the n-th of all); whether it
    /// had told the old ones to leave before. By its own lines: those of two workers have no order.
    pub(crate) fn killed_before(&self, generation: usize) -> bool {
        eventually(&format!("the line of generation {generation}"), || {
            let text = self.stderr();
            let (start, _) = text
                .match_indices("starting new worker ")
                .nth(generation - 1)?;
            Some(text[..start].contains("\nkilling old workers\n"))
        })
    }

    /// The exit status, if it ended within `time`.
    pub(crate) fn exit_within(&mut self, time: Duration) -> Option<ExitStatus> {
        within(time, || self.child.try_wait().expect("our own child"))
    }

    pub(crate) fn running(&mut self) -> bool {
        self.exit_within(Duration::ZERO).is_none()
    }

    /// Waits for the end: the exit code, or 128 plus the signal.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self
            .exit_within(PATIENCE)
            .unwrap_or_else(|| panic!("the program never ended"));
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().expect("no code, so a signal"))
    }

    /// The letter of proc(5): `S` asleep, `T` stopped, `Z` dead.
    pub(crate) fn state(&self) -> char {
        state_of(self.pid()).expect("not reaped yet")
    }

    /// TERM, and its end.
    pub(crate) fn stop(&mut self) -> i32 {
        self.term();
        self.exit_code()
    }

    pub(crate) fn finished(mut self) -> Finished {
        let status = self
            .exit_within(PATIENCE)
            .unwrap_or_else(|| panic!("the program never ended"));
        Finished {
            code: status.code(),
            stdout: self.scene.read(&self.stdout_name).unwrap_or_default(),
            stderr: self.stderr(),
        }
    }

    /// What it printed, with the pids by name: `S` the supervisor, `W1` the first worker, and so on.
    pub(crate) fn transcript(&self) -> String {
        name_pids(&self.stderr(), self.pid())
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        if self.running() {
            // Its workers are the scene's: it kills them by their mark.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() && self.stderr_name != "stderr" {
            let text = fs::read_to_string(self.scene.path(&self.stderr_name)).unwrap_or_default();
            eprintln!("--- {}\n{text}", self.stderr_name);
        }
    }
}

/// Waits until a supervisor is asleep. The original overlooks a signal that comes just before it goes to
/// sleep: between its look at the list of signals and its wait(2). Stories about something else keep
/// clear of that. One that does not sleep (it is gone, it starts workers all the time) gets no more time.
pub(crate) fn await_sleep(pid: i32) {
    within(Duration::from_secs(5), || {
        matches!(state_of(pid), None | Some('S' | 'Z' | 'X')).then_some(())
    });
}

/// Replaces the pids in a transcript by names, workers in the order in which they were started.
pub(crate) fn name_pids(text: &str, supervisor: i32) -> String {
    let workers: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("starting new worker "))
        .collect();
    let name = |number: &str| {
        let worker = workers.iter().position(|pid| *pid == number);
        worker
            .map(|index| format!("W{}", index + 1))
            .or_else(|| (number == supervisor.to_string()).then(|| "S".to_owned()))
    };
    let mut named = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, tail) = rest.split_at(start);
        let length = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (number, after) = tail.split_at(length);
        named.push_str(before);
        // A wait status is no pid, even where pids are small.
        let replacement = if before.ends_with("status:") {
            None
        } else {
            name(number)
        };
        named.push_str(replacement.as_deref().unwrap_or(number));
        rest = after;
    }
    named.push_str(rest);
    named
}
