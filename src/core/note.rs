//! What is worth a line in the log. The shell renders it, in our words or in start_server's.

use std::fmt;
use std::time::Duration;

use super::exit::Exit;
use super::failure::{Failure, Rough};
use super::request::Origin;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// A worker as the log names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Name {
    /// Its generation.
    pub generation: Generation,
    /// Its process id.
    pub pid: i32,
}

/// Something worth a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// A reload begins, or joins the one that is under way.
    ReloadAsked {
        /// By whom.
        origin: Origin,
        /// Whether a swap is under way, so that this one waits for its turn.
        queued: bool,
    },
    /// An automatic restart is due, and begins.
    AutoRestart {
        /// The interval that has passed.
        interval: Duration,
        /// Whether old generations are left: then it was put off to twice the interval.
        forced: bool,
    },
    /// A worker was forked.
    Starting(Name),
    /// An attempt failed.
    AttemptFailed {
        /// Why.
        failure: Failure,
        /// Its process, if there was one.
        pid: Option<i32>,
        /// How many in a row.
        count: u32,
        /// What happens next.
        next: Next,
    },
    /// A generation is ready.
    Ready {
        /// Which.
        worker: Name,
        /// How long it took.
        after: Duration,
        /// The generation that it replaces, not those that are leaving already: they were told;
        /// nobody when none was serving.
        old: Vec<Name>,
        /// The signal that they will get.
        signal: Signal,
        /// Whether it is one of many in a crash loop, so that a line says nothing new.
        again: bool,
    },
    /// A ready generation is on trial.
    OnTrial {
        /// Which.
        worker: Name,
        /// For how long.
        delay: Duration,
    },
    /// The old generations are told to stop now.
    Draining {
        /// Which.
        old: Vec<Name>,
        /// With what.
        signal: Signal,
    },
    /// An old generation is gone.
    Drained {
        /// Which.
        worker: Name,
        /// How it ended.
        exit: Exit,
        /// How long after it was told to stop.
        after: Duration,
    },
    /// The serving generation died by itself.
    Died {
        /// Which.
        worker: Name,
        /// How.
        exit: Exit,
        /// How many in quick succession.
        count: u32,
        /// When the next one starts.
        pause: Duration,
    },
    /// The serving generation hangs.
    Hung {
        /// Which.
        worker: Name,
        /// How we know.
        how: Silence,
        /// How many deaths and hang-ups there were in quick succession.
        count: u32,
        /// When the next one starts.
        pause: Duration,
    },
    /// The serving generation says that something is wrong with it.
    Complained {
        /// Which.
        worker: Name,
        /// What it said.
        text: String,
    },
    /// A worker is gone, but not everybody whom it started.
    Lingering {
        /// Which.
        worker: Name,
        /// How its own process ended.
        exit: Exit,
    },
    /// A worker outstayed its time and is killed.
    Overstayed {
        /// Which.
        worker: Name,
        /// Why now.
        limit: Overstay,
    },
    /// We were told to stop.
    Stopping {
        /// How.
        by: super::event::StopBy,
        /// What the workers get.
        signal: Signal,
        /// Who gets it.
        workers: Vec<Name>,
    },
    /// A worker is gone while we stop.
    Left {
        /// Which.
        worker: Name,
        /// How it ended.
        exit: Exit,
    },
    /// The first generation could not be started, and we give up.
    GivingUp(Failure),
    /// Everybody is gone.
    Exiting,
    /// We are the successor of a supervisor that crashed, and have taken these over.
    Recovered {
        /// The one that serves.
        serving: Option<Name>,
        /// All others.
        others: Vec<Name>,
    },
    /// The program that is now on disk is being tried.
    UpgradeAsked,
    /// It has taken over.
    Upgraded {
        /// The version before.
        from: String,
        /// The version since.
        to: String,
    },
    /// It has not; nothing has happened.
    UpgradeRefused {
        /// Why.
        reason: String,
    },
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// This generation keeps serving; the reload has failed.
    Kept(Generation),
    /// This generation keeps serving, and there is another try after the pause.
    Retry {
        /// The one that serves, if one does.
        kept: Option<Generation>,
        /// The pause.
        pause: Duration,
    },
    /// The program ends.
    GiveUp,
}

/// Which limit a worker outstayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overstay {
    /// `--drain-timeout`, or the grace of a failed candidate.
    Drain(Duration),
    /// `--stop-timeout`.
    Stop(Duration),
    /// `--max-draining`.
    TooMany(usize),
    /// A second SIGINT.
    Impatience,
    /// Its watchdog.
    Silent(Silence),
    /// It died without being told to, so that nobody leads the rest.
    Orphaned,
}

/// How we know that a worker hangs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Silence {
    /// For its watchdog's whole period it gave no sign of life (WATCHDOG=1).
    Missed(Duration),
    /// It said so (WATCHDOG=trigger).
    Triggered,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(period) => {
                write!(f, "no sign of life (WATCHDOG=1) for {}", Rough(*period))
            }
            Self::Triggered => f.write_str("it sent WATCHDOG=trigger"),
        }
    }
}
