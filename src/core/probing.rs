//! `--ready=command:CMD`: a booting candidate is asked about again and again, one try at a time.

use super::action::Action;
use super::clock::Now;
use super::machine::{Machine, Phase};
use super::out::Out;
use super::policy::{PROBE_TIMEOUT, SHORTEST_PAUSE};
use super::worker::Step;
use crate::protocol::generation::Generation;

/// How far the asking is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Probe {
    /// Another means tells.
    Off,
    /// The next try begins at this moment.
    At(Now),
    /// A try is under way, and is cut off at this moment.
    Running { until: Now },
    /// It was cut off; its end has not been seen.
    Ending,
}

impl Probe {
    pub(super) const fn deadline(self) -> Option<Now> {
        match self {
            Self::At(moment) | Self::Running { until: moment } => Some(moment),
            Self::Off | Self::Ending => None,
        }
    }
}

impl Machine {
    /// Begins a try that is due, cuts off one that takes too long.
    pub(super) fn probe_tick(&mut self, now: Now, out: &mut Out) {
        let Phase::Swapping { next, .. } = &mut self.phase else {
            return;
        };
        let Step::Booting { worker, probe, .. } = &mut next.step else {
            return;
        };
        let generation = worker.generation;
        match *probe {
            Probe::At(moment) if moment <= now => {
                let until = now.after(PROBE_TIMEOUT);
                *probe = Probe::Running { until };
                self.probing = Some(generation);
                out.act(Action::Probe(generation));
            }
            Probe::Running { until } if until <= now => {
                *probe = Probe::Ending;
                self.probing = None;
                out.act(Action::EndProbe(generation));
            }
            Probe::Off | Probe::At(_) | Probe::Running { .. } | Probe::Ending => {}
        }
    }

    /// A try has ended.
    pub(super) fn probed(&mut self, generation: Generation, ready: bool, now: Now, out: &mut Out) {
        if self.probing == Some(generation) {
            self.probing = None;
        }
        let pause = self.policy.interval.max(SHORTEST_PAUSE);
        let Phase::Swapping { next, .. } = &mut self.phase else {
            return;
        };
        let Step::Booting { worker, probe, .. } = &mut next.step else {
            return;
        };
        if worker.generation != generation {
            return;
        }
        match *probe {
            // What was cut off in time says nothing, whatever its status.
            Probe::Running { .. } if ready => self.ready(now, out),
            Probe::Running { .. } | Probe::Ending => *probe = Probe::At(now.after(pause)),
            Probe::Off | Probe::At(_) => {}
        }
    }

    /// A try whose candidate is not booting any more is of no use to anybody.
    pub(super) fn end_stray_probe(&mut self, out: &mut Out) {
        let Some(generation) = self.probing else {
            return;
        };
        let still_booting = match &self.phase {
            Phase::Swapping { next, .. } => match &next.step {
                Step::Booting { worker, .. } => worker.generation == generation,
                Step::Forking { .. }
                | Step::Executing { .. }
                | Step::Trial { .. }
                | Step::Pausing { .. } => false,
            },
            Phase::New | Phase::Steady { .. } | Phase::Stopping(_) | Phase::Finished => false,
        };
        if !still_booting {
            self.probing = None;
            out.act(Action::EndProbe(generation));
        }
    }
}
