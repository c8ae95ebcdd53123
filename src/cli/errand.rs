//! `--restart` and `--stop`: speaking to the supervisor that is already running.
//!
//! The pid file says whom to signal, and its lock that it is still the same process. What becomes
//! of a reload is read in the status file, as start_server does; why it fails only the control
//! socket tells, which a supervisor of ours opens beside its pid file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::call;
use super::reload_watch::{Before, Seen, judge};
use crate::os::reason::Reason;
use crate::protocol::duration::Limit;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;
use crate::protocol::status_file;
use crate::shell::control::beside_pid_file;
use crate::shell::holder::{Holder, NoHolder};
use crate::shell::settings::Errand;

/// The pause between two looks. A supervisor that ends meanwhile is noticed at once.
const GLANCE: Duration = Duration::from_millis(100);

/// A supervisor that does not answer in this time is not asked for reasons.
const ANSWER: Duration = Duration::from_secs(1);

/// The reload failed, or the supervisor with it.
const EXIT_FAILED: u8 = 1;
/// `--timeout` passed first.
const EXIT_TIMEOUT: u8 = 4;
/// Where Perl would `die`.
const EXIT_DIED: u8 = 255;

/// Why the errand was in vain.
#[derive(Debug)]
pub struct InVain {
    /// One line.
    pub line: String,
    /// The exit status.
    pub code: u8,
}

impl InVain {
    fn new(code: u8, line: impl Into<String>) -> Self {
        let line = line.into();
        Self { line, code }
    }

    fn system(stage: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().and_then(|errno| errno.try_into().ok());
        let code = errno.unwrap_or(EXIT_DIED);
        Self::new(code, format!("{stage}:{}", Reason(error)))
    }
}

impl fmt::Display for InVain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for InVain {}

impl From<NoHolder> for InVain {
    fn from(no_holder: NoHolder) -> Self {
        Self::new(no_holder.exit_code(), no_holder.to_string())
    }
}

/// `--stop`: TERM, and the wait for the end of the lock. `say` gets a line for stderr.
///
/// # Errors
/// [`InVain`]: there is no such supervisor, it may not be signalled, or `--timeout` passed.
pub fn stop(errand: &Errand, say: impl FnOnce(&str)) -> Result<(), InVain> {
    let holder = Holder::find(&errand.pid_file)?;
    say(&format!(
        "stop_server (pid:{}) stopping now (pid:{})...",
        std::process::id(),
        holder.pid()
    ));
    signal(&holder, Signal::TERM)?;
    let deadline = Deadline::new(errand.timeout);
    loop {
        let lock = holder.is_locked();
        let is_over = holder
            .wait(Some(deadline.glance()))
            .and_then(|ended| Ok(ended || !lock?))
            .map_err(|error| InVain::system("waiting for the server process", &error))?;
        if is_over {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(InVain::new(
                EXIT_TIMEOUT,
                "--timeout passed; it is stopping",
            ));
        }
    }
}

/// `--restart`: HUP, and the wait until only newer generations are left.
///
/// # Errors
/// [`InVain`]: there is no such supervisor, the new generation failed, or `--timeout` passed.
pub fn restart(errand: &Errand) -> Result<(), InVain> {
    let holder = Holder::find(&errand.pid_file)?;
    let channel = Channel::new(errand, holder.pid());
    let path = errand.status_file.as_deref();
    let path = path.ok_or_else(|| InVain::new(EXIT_DIED, "no status file"))?;
    let listed = read_list(path)?;
    let newest = listed.iter().max().copied();
    let before = Before {
        listed: newest
            .ok_or_else(|| InVain::new(EXIT_DIED, "no active process found in the status file"))?,
        newest: channel.ask().and_then(|status| status.newest),
    };
    signal(&holder, Signal::HUP)?;
    let deadline = Deadline::new(errand.timeout);
    loop {
        let ended = holder
            .wait(Some(deadline.glance()))
            .map_err(|error| InVain::system("waiting for the server process", &error))?;
        if ended {
            let line = format!("the server process (pid:{}) has ended", holder.pid());
            return Err(InVain::new(EXIT_FAILED, line));
        }
        // First the reasons, then the list: a failure that is seen late is none any more.
        let status = channel.ask();
        let seen = Seen {
            // One that cannot be read now may be readable the next time.
            listed: read_list(path).unwrap_or_default(),
            serving: status.as_ref().map(|status| status.serving),
            failure: status.as_ref().and_then(|status| status.failure.clone()),
            stopping: status.is_some_and(|status| status.stopping),
        };
        match judge(&before, &seen) {
            Some(Ok(())) => return Ok(()),
            Some(Err(reason)) => return Err(InVain::new(EXIT_FAILED, reason)),
            None if deadline.has_passed() => {
                return Err(InVain::new(
                    EXIT_TIMEOUT,
                    "--timeout passed; the reload goes on",
                ));
            }
            None => {}
        }
    }
}

fn signal(holder: &Holder, signal: Signal) -> Result<(), InVain> {
    let stage = format!("failed to send SIG{signal} to the server process");
    holder
        .signal(signal)
        .map_err(|error| InVain::system(&stage, &error))
}

fn read_list(path: &Path) -> Result<Vec<Generation>, InVain> {
    let stage = format!("failed to open file:{}", path.display());
    let content = std::fs::read(path).map_err(|error| InVain::system(&stage, &error))?;
    let workers = status_file::parse(&content)
        .map_err(|error| InVain::new(EXIT_DIED, format!("{}: {error}", path.display())))?;
    Ok(workers
        .into_iter()
        .map(|(generation, _)| generation)
        .collect())
}

/// When to give up.
struct Deadline(Option<Instant>);

impl Deadline {
    fn new(timeout: Limit) -> Self {
        Self(timeout.duration().map(|timeout| Instant::now() + timeout))
    }

    fn glance(&self) -> Duration {
        let left = self
            .0
            .map(|moment| moment.saturating_duration_since(Instant::now()));
        left.map_or(GLANCE, |left| left.min(GLANCE))
    }

    fn has_passed(&self) -> bool {
        self.0.is_some_and(|moment| moment <= Instant::now())
    }
}

/// The way to the supervisor's own view. Perl's has none.
struct Channel {
    candidates: Vec<PathBuf>,
    pid: i32,
}

struct Status {
    newest: Option<Generation>,
    serving: Option<Generation>,
    failure: Option<(Generation, String)>,
    stopping: bool,
}

impl Channel {
    fn new(errand: &Errand, pid: i32) -> Self {
        let mut candidates: Vec<_> = errand.control_socket.iter().cloned().collect();
        candidates.push(beside_pid_file(&errand.pid_file));
        // As ExecReload= of the supervisor's own unit we have the directory that it has.
        let directory = std::env::var_os("RUNTIME_DIRECTORY");
        candidates.extend(directory.map(|directory| PathBuf::from(directory).join("control")));
        Self { candidates, pid }
    }

    /// Its status; `None` where nobody answers, or only somebody else.
    fn ask(&self) -> Option<Status> {
        self.candidates.iter().find_map(|path| self.ask_at(path))
    }

    fn ask_at(&self, socket: &Path) -> Option<Status> {
        let until = Instant::now() + ANSWER;
        let reply = call(socket, "GetStatus", &json!({}), Some(until), || None).ok()?;
        let status = reply.parameters;
        let number = |name: &str| status.get(name).and_then(Value::as_u64);
        if status.get("pid").and_then(Value::as_i64) != Some(self.pid.into()) {
            return None;
        }
        let generation = |name| number(name).and_then(Generation::new);
        let reason = status.get("lastFailure").and_then(Value::as_str);
        Some(Status {
            newest: generation("newest"),
            serving: generation("serving"),
            failure: generation("lastFailureGeneration").zip(reason.map(str::to_owned)),
            stopping: status.get("stopping").and_then(Value::as_bool) == Some(true),
        })
    }
}
