//! `--envdir`: read anew for every generation, and watched (inotify(7)) in between, because the
//! supervisor's own variables can be changed through it: the interval of automatic restarts
//! counts from the moment that its file is written, and nothing has to wake up to look.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::os::reason::Reason;
use crate::protocol::envdir::{self, EnvdirError, MAX_FILES, MAX_VALUE_LENGTH};
use crate::protocol::generation::Generation;
use crate::protocol::tuning::{self, BadTuning, Tuning};
use crate::protocol::worker_env::Variable;

/// Where the variables come from that are not in our environment, and what they tell ourselves.
#[derive(Debug)]
pub struct Envdir {
    directory: Option<PathBuf>,
    /// Our environment, and over it what the options say.
    environment: Vec<(OsString, OsString)>,
    told: Vec<Variable>,
    watch: Option<OwnedFd>,
    tuning: Tuning,
}

/// What one look at the directory brought.
#[derive(Debug)]
pub struct Reading {
    /// The variables of a worker that starts now.
    pub variables: Vec<Variable>,
    /// The supervisor's own rules, if they have changed.
    pub retuned: Option<Tuning>,
    /// Why the rules stay as they were.
    pub bad: Option<BadTuning>,
}

/// A directory that is there and cannot be an environment.
#[derive(Debug)]
pub struct Unreadable {
    path: PathBuf,
    reason: Why,
}

#[derive(Debug)]
enum Why {
    System(io::Error),
    Content(EnvdirError),
}

impl Unreadable {
    /// The errno of the call that failed; 0 when it was none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match &self.reason {
            Why::System(error) => error.raw_os_error().unwrap_or(0),
            Why::Content(_) => 0,
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reading the envdir {}: ", self.path.display())?;
        match &self.reason {
            Why::System(error) => Reason(error).fmt(f),
            Why::Content(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Envdir {
    /// Prepares; `tuning` is what holds without the directory.
    #[must_use]
    pub fn new(
        directory: Option<PathBuf>,
        environment: Vec<(OsString, OsString)>,
        told: Vec<Variable>,
        tuning: Tuning,
    ) -> Self {
        // Without inotify (its instances are counted per user) changes are seen at the next spawn.
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let watch = directory.as_ref().and_then(|_| inotify::init(flags).ok());
        Self {
            directory,
            environment,
            told,
            watch,
            tuning,
        }
    }

    /// What becomes readable when the directory changes.
    #[must_use]
    pub fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Reads the directory for a worker of this generation. One that is not there sets nothing.
    ///
    /// # Errors
    /// [`Unreadable`]: a worker with half of its settings is worse than none.
    pub fn read(&mut self, generation: Generation) -> Result<Reading, Unreadable> {
        let Some(directory) = &self.directory else {
            return Ok(self.judge(Vec::new(), generation));
        };
        self.keep_watching(directory);
        match read_directory(directory) {
            Ok(variables) => Ok(self.judge(variables, generation)),
            Err(reason) => Err(Unreadable {
                path: directory.clone(),
                reason,
            }),
        }
    }

    /// Takes note of changes, and says whether to look.
    pub fn has_changed(&self) -> bool {
        let Some(watch) = &self.watch else {
            return false;
        };
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut changed = false;
        while rustix::io::read(watch, &mut buffer).is_ok_and(|(filled, _)| !filled.is_empty()) {
            changed = true;
        }
        changed
    }

    /// Watching again what is watched already changes nothing; a directory that appeared or took
    /// the place of another is watched from now on.
    fn keep_watching(&self, directory: &Path) {
        if let Some(watch) = &self.watch {
            let events = WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE
                | WatchFlags::ONLYDIR;
            let _ = inotify::add_watch(watch, directory, events);
        }
    }

    fn judge(&mut self, variables: Vec<Variable>, generation: Generation) -> Reading {
        let mut variables = variables;
        let (tuning, bad) = match Tuning::read(|name| self.look_up(name, &variables)) {
            Ok(tuning) => (tuning, None),
            Err(bad) => (self.tuning, Some(bad)),
        };
        let interval = self.look_up(tuning::AUTO_RESTART_INTERVAL, &variables);
        // start_server sets its default when it has a first worker: the next ones see it.
        if tuning.auto_restart.is_some()
            && generation != Generation::FIRST
            && !tuning::is_true(interval)
        {
            let text = tuning::default_interval_text();
            variables.extend(Variable::new(tuning::AUTO_RESTART_INTERVAL, text));
        }
        let changed = tuning != self.tuning;
        self.tuning = tuning;
        Reading {
            variables,
            retuned: changed.then_some(tuning),
            bad,
        }
    }

    /// The file, else the option, else the environment.
    fn look_up<'a>(&'a self, name: &str, variables: &'a [Variable]) -> Option<&'a [u8]> {
        let called = |variable: &&Variable| variable.name() == name.as_bytes();
        let file = variables.iter().find(called);
        let found = file.or_else(|| self.told.iter().find(called));
        found.map(Variable::value).or_else(|| {
            let ours = self.environment.iter().find(|(key, _)| key == name);
            ours.map(|(_, value)| value.as_encoded_bytes())
        })
    }
}

fn read_directory(directory: &Path) -> Result<Vec<Variable>, Why> {
    let entries = match fs::read_dir(directory) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        other => other.map_err(Why::System)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Why::System)?;
        let name = entry.file_name();
        if envdir::is_skipped(&name) {
            continue;
        }
        match read_file(&entry) {
            Ok(Some(content)) => files.push((name, content)),
            Ok(None) => {}
            Err(error) => return Err(Why::System(named(&name, &error))),
        }
        if files.len() > MAX_FILES {
            break;
        }
    }
    envdir::parse(&files).map_err(Why::Content)
}

/// As much of a file as can matter; `None` for what is no file or gone again.
fn read_file(entry: &DirEntry) -> io::Result<Option<Vec<u8>>> {
    // Non-blocking: whoever puts a FIFO there must not stop the supervisor.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(entry.path());
    let file = match opened {
        Err(error) if is_absent(&error) => return Ok(None),
        other => other?,
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    let limit = u64::try_from(MAX_VALUE_LENGTH + 1).expect("64 KiB");
    file.take(limit).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Not there, or (a socket) nothing that can be opened.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ENXIO)
    )
}

fn named(name: &OsStr, error: &io::Error) -> io::Error {
    let text = format!("{}: {}", name.to_string_lossy(), Reason(error));
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::Scratch;
    use std::time::Duration;

    const OFF: Tuning = Tuning {
        kill_old_delay: Duration::ZERO,
        auto_restart: None,
    };

    fn envdir(scratch: &Scratch, environment: &[(&str, &str)]) -> Envdir {
        let owned = |(name, value): &(&str, &str)| (name.into(), value.into());
        let environment = environment.iter().map(owned).collect();
        Envdir::new(Some(scratch.path("env")), environment, Vec::new(), OFF)
    }

    fn names(reading: &Reading) -> Vec<&str> {
        let mut names: Vec<_> = reading
            .variables
            .iter()
            .map(|variable| std::str::from_utf8(variable.name()).unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn b15_every_reading_is_a_new_one() {
        let scratch = Scratch::new();
        let mut envdir = envdir(&scratch, &[]);
        assert!(envdir.read(Generation::FIRST).unwrap().variables.is_empty());
        fs::create_dir(scratch.path("env")).unwrap();
        fs::create_dir(scratch.path("env/DIR")).unwrap();
        for name in ["A", "B", ".C"] {
            fs::write(scratch.path("env").join(name), "v\n").unwrap();
        }
        assert_eq!(names(&envdir.read(Generation::FIRST).unwrap()), ["A", "B"]);
        fs::remove_file(scratch.path("env/A")).unwrap();
        assert!(envdir.has_changed() && !envdir.has_changed());
        assert_eq!(names(&envdir.read(Generation::FIRST).unwrap()), ["B"]);
    }

    #[test]
    fn our_own_variables_change_the_rules_and_a_bad_one_does_not() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("env")).unwrap();
        let delay = scratch.path("env/KILL_OLD_DELAY");
        let mut envdir = envdir(&scratch, &[("ENABLE_AUTO_RESTART", "1")]);
        fs::write(&delay, "7\n").unwrap();
        let second = Generation::FIRST.next();
        let reading = envdir.read(second).unwrap();
        let tuning = Tuning {
            kill_old_delay: Duration::from_secs(7),
            auto_restart: Some(Duration::from_secs(360)),
        };
        assert_eq!(reading.retuned, Some(tuning));
        assert_eq!(names(&reading), ["AUTO_RESTART_INTERVAL", "KILL_OLD_DELAY"]);
        assert_eq!(envdir.read(second).unwrap().retuned, None);
        fs::write(&delay, "soon\n").unwrap();
        let reading = envdir.read(second).unwrap();
        assert!(reading.retuned.is_none() && reading.bad.is_some());
    }

    #[test]
    fn what_is_no_variable_is_refused_by_name() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("env")).unwrap();
        fs::write(scratch.path("env/A=B"), "v").unwrap();
        let refused = envdir(&scratch, &[]).read(Generation::FIRST).unwrap_err();
        assert!(refused.to_string().contains("A=B: "), "{refused}");
    }
}
