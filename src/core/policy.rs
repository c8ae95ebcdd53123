//! What the administrator asked for: the machine's constants.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::protocol::signal_name::Signal;

/// When a generation counts as ready (`--ready`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readiness {
    /// READY=1, or alive after the interval, whichever comes first.
    Auto,
    /// Alive after the interval, as `start_server` judges.
    Alive,
    /// Told so, by READY=1, and by nothing else.
    Notify,
    /// A newline on a descriptor (the s6 convention).
    Descriptor,
    /// A command that exits 0.
    Command,
}

impl Readiness {
    /// Whether being alive after the interval is enough.
    #[must_use]
    pub const fn accepts_alive(self) -> bool {
        match self {
            Self::Auto | Self::Alive => true,
            Self::Notify | Self::Descriptor | Self::Command => false,
        }
    }

    /// Whether READY=1 from the worker is enough.
    #[must_use]
    pub const fn accepts_notify(self) -> bool {
        match self {
            Self::Auto | Self::Notify => true,
            Self::Alive | Self::Descriptor | Self::Command => false,
        }
    }
}

/// How often a new generation is tried before the verdict is "failed" (`--attempts`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attempts {
    /// For ever, with growing pauses, as `start_server`.
    Unlimited,
    /// This many times.
    AtMost(NonZeroU32),
}

impl Attempts {
    /// Whether `failures` used them up.
    #[must_use]
    pub const fn exhausted_by(self, failures: u32) -> bool {
        match self {
            Self::Unlimited => false,
            Self::AtMost(limit) => failures >= limit.get(),
        }
    }
}

/// The rules of a [`Machine`](super::Machine). Durations of `None` mean "for ever".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// When a generation counts as ready.
    pub readiness: Readiness,
    /// The age at which "alive" is believed, and the first pause between attempts.
    pub interval: Duration,
    /// How long a generation may take to become ready.
    pub start_timeout: Option<Duration>,
    /// How often a new generation is tried.
    pub attempts: Attempts,
    /// How long a ready generation is on trial before the old one is told to stop.
    pub kill_old_delay: Duration,
    /// How long a generation that was told to stop may take.
    pub drain_timeout: Option<Duration>,
    /// How long everything may take once we were told to stop.
    pub stop_timeout: Option<Duration>,
    /// How many old generations may linger.
    pub max_draining: Option<usize>,
    /// What tells an old generation to leave.
    pub signal_on_hup: Signal,
    /// What tells every generation to leave when we stop.
    pub signal_on_term: Signal,
    /// How often a worker has to give a sign of life.
    pub worker_watchdog: Option<Duration>,
    /// Swap by itself this long after the last swap.
    pub auto_restart: Option<Duration>,
    /// How many sockets are handed over; shown in STATUS.
    pub sockets: usize,
}

/// A failed candidate was told to go and is not listening to anybody: how long it may take.
pub(super) const ABANDONED_GRACE: Duration = Duration::from_secs(10);

/// How long the command of `--ready=command:CMD` may take for one try. Long against any command
/// that only asks, and short against the default start timeout.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest pause between attempts, and between restarts of a worker that keeps dying.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The shortest pause: `--interval=0` must not become a fork storm (bug B17 of `start_server`).
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// A worker that served this long did not die of its start: the next death is a first one again.
pub(super) const STEADY_AGE: Duration = Duration::from_secs(30);

/// How often systemd is asked for more time while it waits for us, and how much more.
/// Short against every TimeoutStartSec= in use, long against a busy machine.
pub(super) const EXTENSION_EVERY: Duration = Duration::from_secs(10);
/// The extension asked for, each time (EXTEND_TIMEOUT_USEC, sd_notify(3)).
pub(super) const EXTENSION: Duration = Duration::from_secs(30);

/// The most that one EXTEND_TIMEOUT_USEC of a worker can add to its start.
pub(super) const LONGEST_WORKER_EXTENSION: Duration = Duration::from_secs(600);

/// The pause before try number `failures + 1`: doubled each time, from the interval to 30 s.
#[must_use]
pub fn pause_after(failures: u32, interval: Duration) -> Duration {
    let first = interval.max(SHORTEST_PAUSE);
    let doublings = failures.saturating_sub(1).min(16);
    first
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE.max(first))
}

/// Whether the `count`th repetition of one event is worth a line: the first few, then each doubling.
/// So a crash loop of a thousand exits writes a dozen lines, with counts.
#[must_use]
pub const fn worth_a_line(count: u32) -> bool {
    count <= 4 || count.is_power_of_two()
}
