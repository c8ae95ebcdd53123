//! What a worker says means something only in its place: candidate, serving, leaving.

use super::clock::Now;
use super::event::Word;
use super::machine::{Machine, Phase};
use super::note::{Note, Overstay, Silence};
use super::out::Out;
use super::policy::LONGEST_WORKER_EXTENSION;
use super::worker::{Complaint, Kill, Presence, Step};
use crate::protocol::generation::Generation;

impl Machine {
    pub(super) fn said(&mut self, generation: Generation, word: Word, now: Now, out: &mut Out) {
        match &mut self.phase {
            Phase::Steady { current }
            | Phase::Swapping {
                current: Some(current),
                ..
            } if current.worker.generation == generation => {
                let worker = &mut current.worker;
                match word {
                    Word::Status(text) => worker.words = Some(text),
                    Word::Alive => worker.watch.arm(now),
                    Word::Period(period) => worker.watch.set(period, now),
                    Word::Hung => self.serving_hangs(Silence::Triggered, now, out),
                    // To systemd too an ERRNO= is for the record only. Once is enough for ours.
                    Word::Broken(text) => {
                        if worker.complaint == Complaint::None {
                            worker.complaint = Complaint::Noted;
                            let worker = worker.name();
                            out.note(Note::Complained { worker, text });
                        }
                    }
                    // Nobody waits for it.
                    Word::Ready | Word::FoundReady | Word::Extend(_) => {}
                }
            }
            Phase::Swapping { next, .. } if next.step.is(generation) => match word {
                Word::Status(text) => {
                    if let Some(worker) = next.step.worker_mut() {
                        worker.words = Some(text);
                    }
                }
                Word::Alive => {
                    if let Step::Trial { worker, .. } = &mut next.step {
                        worker.watch.arm(now);
                    }
                }
                Word::Period(period) => next.step.set_period(period, now),
                Word::Extend(more) => next.step.extend(more.min(LONGEST_WORKER_EXTENSION), now),
                Word::Ready if self.policy.readiness.accepts_notify() => self.ready(now, out),
                Word::Ready => {}
                Word::FoundReady => self.ready(now, out),
                Word::Broken(text) => self.candidate_broken(text, now, out),
                Word::Hung => self.candidate_hangs(Silence::Triggered, now, out),
            },
            Phase::New
            | Phase::Steady { .. }
            | Phase::Swapping { .. }
            | Phase::Stopping(_)
            | Phase::Finished => self.leaving_said(generation, &word, now, out),
        }
    }

    /// Whoever leaves has little to say; the dead and strangers nothing.
    fn leaving_said(&mut self, generation: Generation, word: &Word, now: Now, out: &mut Out) {
        let leaving = self
            .leaving
            .iter_mut()
            .find(|leaving| leaving.worker.generation == generation);
        let Some(leaving) = leaving
            .filter(|leaving| leaving.presence == Presence::Main && leaving.kill != Kill::Done)
        else {
            return;
        };
        match word {
            Word::Alive => leaving.worker.watch.arm(now),
            Word::Period(period) => leaving.worker.watch.set(*period, now),
            Word::Hung => {
                leaving.end(Overstay::Silent(Silence::Triggered), out);
            }
            Word::Ready
            | Word::FoundReady
            | Word::Status(_)
            | Word::Extend(_)
            | Word::Broken(_) => {}
        }
    }
}
