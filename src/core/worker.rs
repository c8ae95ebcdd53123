//! The states of one generation: candidate, serving, leaving. Each carries its own data.

use std::time::Duration;

use super::action::Action;
use super::clock::Now;
use super::failure::{Cause, Failure};
use super::note::{Name, Note, Overstay};
use super::out::Out;
use super::probing::Probe;
use super::request::Request;
use super::watch::Watch;
use crate::protocol::generation::Generation;

/// A process that was forked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Worker {
    pub(super) generation: Generation,
    pub(super) pid: i32,
    pub(super) forked: Now,
    /// The last STATUS= that it sent.
    pub(super) words: Option<String>,
    /// Whether it has sent an ERRNO= while it served.
    pub(super) complaint: Complaint,
    pub(super) watch: Watch,
}

/// Whether a serving worker has said that something is wrong with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Complaint {
    /// No.
    None,
    /// Yes, and the log has it.
    Noted,
}

impl Worker {
    pub(super) const fn name(&self) -> Name {
        Name {
            generation: self.generation,
            pid: self.pid,
        }
    }

    pub(super) fn failure(&self, cause: Cause) -> Failure {
        Failure {
            generation: self.generation,
            cause,
            last_words: self.words.clone(),
        }
    }
}

/// The generation that serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Serving {
    pub(super) worker: Worker,
    pub(super) since: Now,
    /// The last swap or failed reload: the automatic restart counts from here, so that one that
    /// fails is not tried again at once.
    pub(super) settled: Now,
}

/// Why a candidate exists; this decides what happens when it fails for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// The first one ever: when its attempts are used up the program ends.
    First,
    /// Somebody asked: when its attempts are used up the old one keeps serving.
    Reload,
    /// The serving one died: tried until one serves, whatever `--attempts` says, because
    /// ending the program would close the sockets that clients wait on.
    Replacement,
}

/// The generation that is to serve next, over all its attempts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Candidate {
    pub(super) reason: Reason,
    pub(super) step: Step,
    /// Failures in a row; the pauses grow with it.
    pub(super) failures: u32,
    /// Failures since the requests below joined; their verdict hangs on it.
    pub(super) tries: u32,
    /// Who asked before the present attempt's exec.
    pub(super) requests: Vec<Request>,
}

/// How far the present attempt is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The shell was asked to fork.
    Forking { generation: Generation },
    /// Forked; whether its program runs is not known yet.
    Executing {
        worker: Worker,
        timeout_at: Option<Now>,
    },
    /// Its program runs.
    Booting {
        worker: Worker,
        alive_at: Option<Now>,
        probe: Probe,
        timeout_at: Option<Now>,
    },
    /// It is ready and watched; the old one still serves too.
    Trial {
        worker: Worker,
        ready_at: Now,
        until: Now,
    },
    /// Between two attempts: no process.
    Pausing { until: Now },
}

impl Step {
    /// The process of this attempt, if there is one.
    pub(super) const fn worker(&self) -> Option<&Worker> {
        match self {
            Self::Executing { worker, .. }
            | Self::Booting { worker, .. }
            | Self::Trial { worker, .. } => Some(worker),
            Self::Forking { .. } | Self::Pausing { .. } => None,
        }
    }

    pub(super) const fn worker_mut(&mut self) -> Option<&mut Worker> {
        match self {
            Self::Executing { worker, .. }
            | Self::Booting { worker, .. }
            | Self::Trial { worker, .. } => Some(worker),
            Self::Forking { .. } | Self::Pausing { .. } => None,
        }
    }

    /// Whether this attempt's process is `generation`.
    pub(super) fn is(&self, generation: Generation) -> bool {
        self.worker()
            .is_some_and(|worker| worker.generation == generation)
    }

    /// The next moment at which time alone changes something.
    pub(super) fn deadline(&self) -> Option<Now> {
        match self {
            Self::Forking { .. } => None,
            Self::Executing { timeout_at, .. } => *timeout_at,
            Self::Booting {
                alive_at,
                probe,
                timeout_at,
                ..
            } => earliest(earliest(*alive_at, probe.deadline()), *timeout_at),
            Self::Trial { worker, until, .. } => earliest(Some(*until), worker.watch.deadline()),
            Self::Pausing { until } => Some(*until),
        }
    }

    /// When the state is left at the latest, as far as an operator cares.
    pub(super) fn limit(&self) -> Option<Now> {
        match self {
            Self::Forking { .. } => None,
            Self::Executing { timeout_at, .. } => *timeout_at,
            Self::Booting {
                alive_at,
                timeout_at,
                ..
            } => earliest(*alive_at, *timeout_at),
            Self::Trial { until, .. } | Self::Pausing { until } => Some(*until),
        }
    }

    /// The worker asked for more time (EXTEND_TIMEOUT_USEC): only ever later, never sooner.
    pub(super) fn extend(&mut self, more: Duration, now: Now) {
        match self {
            Self::Executing { timeout_at, .. } | Self::Booting { timeout_at, .. } => {
                *timeout_at = timeout_at.map(|moment| moment.max(now.after(more)));
            }
            Self::Forking { .. } | Self::Trial { .. } | Self::Pausing { .. } => {}
        }
    }

    /// The worker changes its watchdog's period; while it boots that does not count yet.
    pub(super) fn set_period(&mut self, period: Duration, now: Now) {
        match self {
            Self::Executing { worker, .. } | Self::Booting { worker, .. } => {
                worker.watch = Watch::new(Some(period));
            }
            Self::Trial { worker, .. } => worker.watch.set(period, now),
            Self::Forking { .. } | Self::Pausing { .. } => {}
        }
    }
}

/// Why a worker was told to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Farewell {
    /// A newer generation serves.
    Replaced,
    /// It failed as a candidate.
    Abandoned,
    /// We are stopping.
    Stopped,
    /// It died by itself, and only what it left behind is still to be reaped.
    Died,
}

/// Who is left of a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presence {
    /// Its process, and perhaps others.
    Main,
    /// Only others of its cgroup.
    Rest,
}

/// A worker that was told to leave and is not gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Leaving {
    pub(super) worker: Worker,
    pub(super) why: Farewell,
    pub(super) since: Now,
    pub(super) kill: Kill,
    pub(super) presence: Presence,
}

impl Leaving {
    pub(super) const fn new(worker: Worker, why: Farewell, since: Now, kill: Kill) -> Self {
        Self {
            worker,
            why,
            since,
            kill,
            presence: Presence::Main,
        }
    }

    /// Kills what is left of it, once.
    pub(super) fn end(&mut self, limit: Overstay, out: &mut Out) {
        self.kill = Kill::Done;
        let worker = self.worker.name();
        out.note(Note::Overstayed { worker, limit });
        out.act(match self.presence {
            Presence::Main => Action::Kill(worker.generation),
            Presence::Rest => Action::Sweep(worker.generation),
        });
    }
}

/// When a leaving worker is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kill {
    /// Not before it goes by itself.
    Never,
    /// At this moment, after this patience.
    At { moment: Now, patience: Duration },
    /// It was.
    Done,
}

impl Kill {
    pub(super) fn after(patience: Option<Duration>, now: Now) -> Self {
        match patience {
            Some(patience) => Self::At {
                moment: now.after(patience),
                patience,
            },
            None => Self::Never,
        }
    }

    pub(super) const fn deadline(self) -> Option<Now> {
        match self {
            Self::At { moment, .. } => Some(moment),
            Self::Never | Self::Done => None,
        }
    }
}

/// The earlier of two moments, either of which may be missing.
pub(super) fn earliest(a: Option<Now>, b: Option<Now>) -> Option<Now> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
