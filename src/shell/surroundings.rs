//! What surrounds the workers beside their sockets: where they say that they are ready, what is
//! kept for them, their cgroups, their way to the journal.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use super::cgroups::{self, Cgroups};
use super::fd_store::FdStore;
use super::journal_stream::JournalStreams;
use super::probes::Probes;
use super::readiness::Readiness;
use super::settings::Settings;
use crate::core::worth_a_line;
use crate::os::reason::Reason;
use crate::protocol::signal_name::Signal;
use crate::protocol::signal_sets::Fate;
use crate::protocol::worker_env::Variable;
use crate::protocol::{cgroup_path, signal_sets};

/// All of it.
#[derive(Debug)]
pub struct Surroundings {
    /// The pipes of `--ready=fd:N`.
    pub readiness: Readiness,
    /// The commands of `--ready=command:CMD`.
    pub probes: Probes,
    /// The variables that the newest worker was given (envdir), for whoever asks about it.
    pub variables: Vec<Variable>,
    /// What workers have given us to keep.
    pub fd_store: FdStore,
    /// Where systemd has delegated ours.
    pub cgroups: Option<Cgroups>,
    /// Where we write to the journal.
    pub journal_streams: Option<JournalStreams>,
    /// What is said rarely.
    pub nuisances: Nuisances,
}

/// Troubles that can come with every generation or every message: a line each time would fill
/// the disk, so each kind is counted.
#[derive(Debug, Default)]
pub struct Nuisances {
    /// No cgroup for a generation.
    pub cgroup: u32,
    /// No stream to the journal.
    pub stream: u32,
    /// No room in the fd store.
    pub fd_store: u32,
    /// A probe that could not be started.
    pub probe: u32,
    /// A listener that a worker has shut down.
    pub shutdown: u32,
    /// A worker that does nothing about the signal that tells it to leave.
    pub handler: Handler,
}

/// Whether workers do anything about the signal that tells them to leave: looked at now and then, said
/// once.
#[derive(Debug, Default)]
pub struct Handler {
    /// Whether it has been said.
    pub said: bool,
    looked: Option<Duration>,
}

impl Handler {
    /// Between two looks. What deploys change is seen; for each look the kernel writes a page of text,
    /// and forgets that file when the process ends.
    const PAUSE: Duration = Duration::from_secs(60);

    /// Whether it is time for a look.
    pub fn is_due(&mut self, now: Duration) -> bool {
        let past = self.looked.map(|looked| now.saturating_sub(looked));
        let due = !self.said && past.is_none_or(|past| past >= Self::PAUSE);
        if due {
            self.looked = Some(now);
        }
        due
    }
}

impl Nuisances {
    /// Whether this one, the next of its kind, is worth a line.
    pub fn is_worth_a_line(count: &mut u32) -> bool {
        *count = count.saturating_add(1);
        worth_a_line(*count)
    }
}

impl Surroundings {
    /// As `settings` ask for and the machine allows. `journal_stream` is JOURNAL_STREAM of our
    /// environment. Moves this process into its own cgroup where it has to.
    #[must_use]
    pub fn arrange(settings: &Settings, journal_stream: Option<&str>) -> Self {
        let path = cgroups::own_path();
        let unit = path.as_deref().and_then(cgroup_path::unit);
        let journal_stream = journal_stream.filter(|_| settings.log.is_none());
        Self {
            readiness: Readiness::default(),
            probes: Probes::default(),
            variables: Vec::new(),
            fd_store: FdStore::new(settings.fd_store_max),
            journal_streams: JournalStreams::from_environment(
                journal_stream,
                &settings.program,
                unit,
            ),
            cgroups: path
                .filter(|_| !settings.no_cgroup)
                .and_then(|path| cgroups(&path)),
            nuisances: Nuisances::default(),
        }
    }

    /// `FDSTORE=`, which tells a worker how much it may give us (systemd 254).
    #[must_use]
    pub fn fd_store_variable(&self) -> Option<Variable> {
        let limit = Some(self.fd_store.limit()).filter(|limit| *limit > 0)?;
        Variable::new("FDSTORE", limit.to_string()).ok()
    }
}

fn cgroups(path: &str) -> Option<Cgroups> {
    match Cgroups::take_over(path) {
        Ok(cgroups) => {
            if let Some(cgroups) = &cgroups {
                let unit = cgroups.unit().display();
                log::info!("each generation gets a cgroup of its own below {unit}");
            }
            cgroups
        }
        Err(error) => {
            let reason = Reason(&error);
            log::warn!("no cgroup for each generation, although ours is delegated: {reason}");
            None
        }
    }
}

/// What a signal would come to in a process; `None` where /proc does not tell.
#[must_use]
pub fn fate(pid: i32, signal: Signal) -> Option<Fate> {
    // It is asked at every reload, and the kernel gives all of it in one piece.
    let mut status = [0; 4096];
    let mut file = File::open(format!("/proc/{pid}/status")).ok()?;
    let length = file.read(&mut status).ok()?;
    signal_sets::fate(&String::from_utf8_lossy(&status[..length]), signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_looked_at_now_and_then_until_it_is_said() {
        let mut handler = Handler::default();
        let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
        assert!(handler.is_due(at(0)));
        assert!(!handler.is_due(at(0)) && !handler.is_due(at(59)));
        assert!(handler.is_due(at(60)) && !handler.is_due(at(61)));
        handler.said = true;
        assert!(!handler.is_due(at(1_000)));
    }
}
