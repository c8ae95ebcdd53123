//! A worker's process ended: whose end it was, and what is left of it.

use super::clock::Now;
use super::exit::Exit;
use super::machine::{Machine, Phase};
use super::note::{Note, Overstay};
use super::out::Out;
use super::worker::{Farewell, Kill, Leaving, Presence, Worker};
use crate::protocol::generation::Generation;

impl Machine {
    /// It is gone with everybody whom it started, as far as can be known.
    pub(super) fn exited(&mut self, generation: Generation, exit: Exit, now: Now, out: &mut Out) {
        let left = self
            .leaving
            .iter()
            .position(|leaving| leaving.worker.generation == generation);
        let Some(place) = left else {
            self.died(generation, exit, now, out);
            return;
        };
        let leaving = self.leaving.remove(place);
        let worker = leaving.worker.name();
        match leaving.why {
            Farewell::Stopped => out.note(Note::Left { worker, exit }),
            Farewell::Replaced | Farewell::Abandoned => out.note(Note::Drained {
                worker,
                exit,
                after: now.since(leaving.since),
            }),
            // Its death was a line of its own.
            Farewell::Died => {}
        }
    }

    /// Its process is gone, others of its cgroup are not. Of a generation that was told to leave
    /// they have as long as it had; of one that was not, nobody leads them any more.
    pub(super) fn lingers(&mut self, generation: Generation, exit: Exit, now: Now, out: &mut Out) {
        let leaving = self
            .leaving
            .iter_mut()
            .find(|leaving| leaving.worker.generation == generation);
        if let Some(leaving) = leaving {
            let worker = leaving.worker.name();
            if leaving.presence == Presence::Main && leaving.kill != Kill::Done {
                out.note(Note::Lingering { worker, exit });
            }
            leaving.worker.watch.rest();
            leaving.presence = Presence::Rest;
            return;
        }
        let Some(worker) = self.process(generation).cloned() else {
            return;
        };
        self.died(generation, exit, now, out);
        let mut rest = Leaving::new(worker, Farewell::Died, now, Kill::Never);
        rest.worker.watch.rest();
        rest.presence = Presence::Rest;
        rest.end(Overstay::Orphaned, out);
        self.leaving.push(rest);
    }

    /// The worker of this generation, if it was not told to leave.
    fn process(&self, generation: Generation) -> Option<&Worker> {
        let (serving, candidate) = match &self.phase {
            Phase::Steady { current } => (Some(current), None),
            Phase::Swapping { current, next } => (current.as_ref(), next.step.worker()),
            Phase::New | Phase::Stopping(_) | Phase::Finished => (None, None),
        };
        let serving = serving.map(|current| &current.worker);
        let mut both = serving.into_iter().chain(candidate);
        both.find(|worker| worker.generation == generation)
    }

    /// Nobody had told it to.
    fn died(&mut self, generation: Generation, exit: Exit, now: Now, out: &mut Out) {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Steady { current } if current.worker.generation == generation => {
                self.serving_died(&current, exit, now, out);
            }
            Phase::Swapping {
                current: Some(current),
                next,
            } if current.worker.generation == generation => {
                self.died_beside_candidate(&current, next, exit, now, out);
            }
            Phase::Swapping { current, next } if next.step.is(generation) => {
                self.candidate_exited(current, next, exit, now, out);
            }
            phase @ (Phase::New
            | Phase::Steady { .. }
            | Phase::Swapping { .. }
            | Phase::Stopping(_)
            | Phase::Finished) => self.phase = phase,
        }
    }
}
