//! A worker's own watchdog (`--worker-watchdog`, sd_watchdog_enabled(3)): it promised a sign of
//! life in every period, and a period passed without one.
//!
//! As under systemd it counts from the moment when the worker is ready: whoever boots has the
//! start timeout. Whoever was told to leave may stop giving signs, because many event loops do
//! so while they finish what they have begun; one that gives another sign is counted on again.

use std::time::Duration;

use super::clock::Now;
use super::failure::Cause;
use super::machine::{Machine, Phase};
use super::note::{Note, Overstay, Silence};
use super::out::Out;
use super::policy::worth_a_line;
use super::worker::{Candidate, Kill, Presence, Reason, Step};

/// What is expected of a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Watch {
    /// No signs of life.
    Off,
    /// None for now: it boots, or it leaves.
    Resting { period: Duration },
    /// One until this moment.
    Armed { period: Duration, due: Now },
    /// One was due and did not come: it hangs.
    Missed { period: Duration },
}

impl Watch {
    pub(super) fn new(period: Option<Duration>) -> Self {
        match period.filter(|period| !period.is_zero()) {
            Some(period) => Self::Resting { period },
            None => Self::Off,
        }
    }

    const fn period(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Resting { period } | Self::Armed { period, .. } | Self::Missed { period } => {
                Some(period)
            }
        }
    }

    /// From now on signs are expected; also what a sign of life does.
    pub(super) fn arm(&mut self, now: Now) {
        if let Some(period) = self.period() {
            let due = now.after(period);
            *self = Self::Armed { period, due };
        }
    }

    /// For now none are.
    pub(super) fn rest(&mut self) {
        *self = Self::new(self.period());
    }

    /// A sign was due and did not come, or the worker says so itself.
    fn miss(&mut self) {
        // One without a watchdog can say WATCHDOG=trigger too.
        let period = self.period().unwrap_or_default();
        *self = Self::Missed { period };
    }

    /// WATCHDOG_USEC=: another period, or with 0 none at all.
    pub(super) fn set(&mut self, period: Duration, now: Now) {
        let rests = match self {
            Self::Resting { .. } => true,
            Self::Off | Self::Armed { .. } | Self::Missed { .. } => false,
        };
        *self = Self::new(Some(period));
        if !rests {
            self.arm(now);
        }
    }

    /// Whether a sign of life is expected.
    pub(super) const fn is_armed(self) -> bool {
        match self {
            Self::Armed { .. } => true,
            Self::Off | Self::Resting { .. } | Self::Missed { .. } => false,
        }
    }

    pub(super) const fn is_missed(self) -> bool {
        match self {
            Self::Missed { .. } => true,
            Self::Off | Self::Resting { .. } | Self::Armed { .. } => false,
        }
    }

    pub(super) const fn deadline(self) -> Option<Now> {
        match self {
            Self::Armed { due, .. } => Some(due),
            Self::Off | Self::Resting { .. } | Self::Missed { .. } => None,
        }
    }

    /// The period that has passed without a sign.
    fn overdue(self, now: Now) -> Option<Duration> {
        match self {
            Self::Armed { period, due } if due <= now => Some(period),
            Self::Armed { .. } | Self::Off | Self::Resting { .. } | Self::Missed { .. } => None,
        }
    }
}

impl Machine {
    /// Everybody whose sign of life is overdue.
    pub(super) fn watch_tick(&mut self, now: Now, out: &mut Out) {
        for leaving in &mut self.leaving {
            let Some(period) = leaving.worker.watch.overdue(now) else {
                continue;
            };
            leaving.worker.watch.rest();
            if leaving.kill != Kill::Done && leaving.presence == Presence::Main {
                leaving.end(Overstay::Silent(Silence::Missed(period)), out);
            }
        }
        let serving = match &self.phase {
            Phase::Steady { current }
            | Phase::Swapping {
                current: Some(current),
                ..
            } => current.worker.watch.overdue(now),
            Phase::New
            | Phase::Swapping { current: None, .. }
            | Phase::Stopping(_)
            | Phase::Finished => None,
        };
        if let Some(period) = serving {
            self.serving_hangs(Silence::Missed(period), now, out);
        }
        if let Phase::Swapping { next, .. } = &mut self.phase {
            let overdue = next
                .step
                .worker()
                .and_then(|worker| worker.watch.overdue(now));
            if let Some(period) = overdue {
                self.candidate_hangs(Silence::Missed(period), now, out);
            }
        }
    }

    /// The candidate hangs: its attempt has failed, and it need not be waited for long.
    pub(super) fn candidate_hangs(&mut self, how: Silence, now: Now, out: &mut Out) {
        if let Phase::Swapping { next, .. } = &mut self.phase {
            if let Some(worker) = next.step.worker_mut() {
                worker.watch.miss();
            }
        }
        self.abandon(Cause::Hung { how }, now, out);
    }

    /// The serving one hangs: another one is started beside it, until one serves. It may still
    /// be finishing something, so it is told to leave only then, and killed soon after.
    pub(super) fn serving_hangs(&mut self, how: Silence, now: Now, out: &mut Out) {
        let (Phase::Steady { current }
        | Phase::Swapping {
            current: Some(current),
            ..
        }) = &mut self.phase
        else {
            return;
        };
        if current.worker.watch.is_missed() {
            return;
        }
        current.worker.watch.miss();
        let (worker, lived) = (current.worker.name(), now.since(current.since));
        let pause = self.pause_after_death(lived);
        let count = self.deaths;
        if worth_a_line(count) {
            out.note(Note::Hung {
                worker,
                how,
                count,
                pause,
            });
        }
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Steady { current } => {
                // Whoever waited for its turn has it now: one start for both.
                let requests = self.take_queued(Some(worker.generation), out);
                if pause.is_zero() {
                    self.begin(Some(current), Reason::Replacement, requests, now, out);
                } else {
                    self.announce(&requests, out);
                    let until = now.after(pause);
                    let step = Step::Pausing { until };
                    self.phase = Phase::Swapping {
                        current: Some(current),
                        next: Candidate::new(Reason::Replacement, step, requests),
                    };
                }
            }
            // The one that is on its way is as good as any, and must not be the last.
            Phase::Swapping { current, mut next } => {
                next.reason = Reason::Replacement;
                self.phase = Phase::Swapping { current, next };
            }
            phase @ (Phase::New | Phase::Stopping(_) | Phase::Finished) => self.phase = phase,
        }
    }
}
