//! One attempt of a candidate, as long as it goes well: forked, executed, ready, on trial.

use super::action::Action;
use super::clock::Now;
use super::failure::{Cause, Failure};
use super::machine::{Machine, Phase};
use super::note::Note;
use super::out::Out;
use super::policy::{Readiness, worth_a_line};
use super::probing::Probe;
use super::request::Request;
use super::watch::Watch;
use super::worker::{Complaint, Farewell, Kill, Leaving, Reason, Step, Worker};
use crate::protocol::generation::Generation;

impl Machine {
    pub(super) fn forked(&mut self, generation: Generation, pid: i32, now: Now, out: &mut Out) {
        let worker = Worker {
            generation,
            pid,
            forked: now,
            words: None,
            complaint: Complaint::None,
            watch: Watch::new(self.policy.worker_watchdog),
        };
        match &mut self.phase {
            Phase::Swapping { next, .. } if next.step == (Step::Forking { generation }) => {
                if !repeats(next.reason, next.failures, &next.requests, self.deaths) {
                    out.note(Note::Starting(worker.name()));
                }
                let timeout_at = self.policy.start_timeout.map(|timeout| now.after(timeout));
                next.step = Step::Executing { worker, timeout_at };
            }
            // A stop came between the wish and the fork: it must leave at once.
            Phase::Stopping(stopping) if stopping.forking == Some(generation) => {
                stopping.forking = None;
                let kill = if stopping.kill == Kill::Done {
                    out.act(Action::Kill(generation));
                    Kill::Done
                } else {
                    out.act(Action::Signal(generation, stopping.signal));
                    Kill::Never
                };
                self.leaving
                    .push(Leaving::new(worker, Farewell::Stopped, now, kill));
            }
            Phase::New
            | Phase::Steady { .. }
            | Phase::Swapping { .. }
            | Phase::Stopping(_)
            | Phase::Finished => {}
        }
    }

    pub(super) fn executed(&mut self, generation: Generation, now: Now, out: &mut Out) {
        let Phase::Swapping { next, .. } = &mut self.phase else {
            return;
        };
        if let Step::Executing { worker, timeout_at } = &next.step {
            if worker.generation == generation {
                let readiness = self.policy.readiness;
                let alive_at = readiness
                    .accepts_alive()
                    .then(|| now.after(self.policy.interval));
                let probe = if readiness == Readiness::Command {
                    Probe::At(now)
                } else {
                    Probe::Off
                };
                let (worker, timeout_at) = (worker.clone(), *timeout_at);
                next.step = Step::Booting {
                    worker,
                    alive_at,
                    probe,
                    timeout_at,
                };
                // The first question is asked at once.
                self.probe_tick(now, out);
            }
        }
    }

    pub(super) fn not_started(
        &mut self,
        generation: Generation,
        text: String,
        errno: i32,
        now: Now,
        out: &mut Out,
    ) {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Swapping { current, next }
                if next.step == (Step::Forking { generation }) || next.step.is(generation) =>
            {
                let pid = next.step.worker().map(|worker| worker.pid);
                let cause = Cause::NotStarted { text, errno };
                let failure = Failure {
                    generation,
                    cause,
                    last_words: None,
                };
                self.attempt_failed(current, next, failure, pid, now, out);
            }
            Phase::Stopping(mut stopping) => {
                if stopping.forking == Some(generation) {
                    stopping.forking = None;
                }
                self.leaving
                    .retain(|leaving| leaving.worker.generation != generation);
                self.phase = Phase::Stopping(stopping);
            }
            phase @ (Phase::New
            | Phase::Steady { .. }
            | Phase::Swapping { .. }
            | Phase::Finished) => {
                self.leaving
                    .retain(|leaving| leaving.worker.generation != generation);
                self.phase = phase;
            }
        }
    }

    /// The candidate is ready, by whatever means: trial, or promotion.
    pub(super) fn ready(&mut self, now: Now, out: &mut Out) {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Swapping { current, mut next } => match next.step {
                // READY=1 can arrive before we noticed that exec happened; it proves that it did.
                Step::Executing { worker, .. } | Step::Booting { worker, .. } => {
                    let mut worker = worker;
                    worker.watch.arm(now);
                    // One that only takes the place of a dead one sends nobody away.
                    let old = current.as_ref().map(|current| current.worker.name());
                    let old = old.into_iter().collect();
                    let after = now.since(worker.forked);
                    let signal = self.policy.signal_on_hup;
                    let again = repeats(next.reason, next.failures, &next.requests, self.deaths);
                    out.note(Note::Ready {
                        worker: worker.name(),
                        after,
                        old,
                        signal,
                        again,
                    });
                    let delay = self.policy.kill_old_delay;
                    if current.is_some() && !delay.is_zero() {
                        out.note(Note::OnTrial {
                            worker: worker.name(),
                            delay,
                        });
                        next.step = Step::Trial {
                            worker,
                            ready_at: now,
                            until: now.after(delay),
                        };
                        self.phase = Phase::Swapping { current, next };
                    } else {
                        self.promote(current, worker, next.reason, next.requests, now, out);
                    }
                }
                Step::Forking { .. } | Step::Trial { .. } | Step::Pausing { .. } => {
                    self.phase = Phase::Swapping { current, next };
                }
            },
            phase @ (Phase::New | Phase::Steady { .. } | Phase::Stopping(_) | Phase::Finished) => {
                self.phase = phase;
            }
        }
    }

    pub(super) fn candidate_tick(&mut self, now: Now, out: &mut Out) {
        let Phase::Swapping { next, .. } = &self.phase else {
            return;
        };
        if next.step.limit().is_none_or(|moment| moment > now) {
            self.probe_tick(now, out);
            return;
        }
        match next.step {
            Step::Booting {
                alive_at: Some(alive_at),
                ..
            } if alive_at <= now => {
                self.ready(now, out);
            }
            Step::Executing { .. } | Step::Booting { .. } => self.not_ready_in_time(now, out),
            Step::Trial { .. } | Step::Pausing { .. } | Step::Forking { .. } => {
                match std::mem::replace(&mut self.phase, Phase::New) {
                    Phase::Swapping { current, mut next } => match next.step {
                        Step::Trial { worker, .. } => {
                            self.promote(current, worker, next.reason, next.requests, now, out);
                        }
                        Step::Pausing { .. } => {
                            if !next.requests.is_empty() {
                                self.pace.spend(now);
                            }
                            next.step = self.spawn(out);
                            self.phase = Phase::Swapping { current, next };
                        }
                        Step::Forking { .. } | Step::Executing { .. } | Step::Booting { .. } => {
                            self.phase = Phase::Swapping { current, next };
                        }
                    },
                    phase @ (Phase::New
                    | Phase::Steady { .. }
                    | Phase::Stopping(_)
                    | Phase::Finished) => self.phase = phase,
                }
            }
        }
    }
}

/// Whether an attempt is one of many alike in a crash loop, so that its lines say nothing new:
/// the same count that thins out the lines about the crashes.
fn repeats(reason: Reason, failures: u32, requests: &[Request], deaths: u32) -> bool {
    let replaces = match reason {
        Reason::First | Reason::Reload => false,
        Reason::Replacement => requests.is_empty(),
    };
    !worth_a_line(failures) || (replaces && !worth_a_line(deaths))
}
