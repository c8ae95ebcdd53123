//! Who serves: a candidate takes over, the old one leaves, the serving one dies.

use std::time::Duration;

use super::action::{Action, Telling};
use super::clock::Now;
use super::exit::Exit;
use super::machine::{Machine, Phase, Standing};
use super::note::{Note, Overstay};
use super::out::Out;
use super::policy::{ABANDONED_GRACE, worth_a_line};
use super::request::{Request, Verdict};
use super::worker::{Candidate, Farewell, Kill, Leaving, Reason, Serving, Step, Worker};

impl Machine {
    /// The candidate serves; whoever served before is told to leave.
    pub(super) fn promote(
        &mut self,
        old: Option<Serving>,
        worker: Worker,
        reason: Reason,
        requests: Vec<Request>,
        now: Now,
        out: &mut Out,
    ) {
        let generation = worker.generation;
        if reason == Reason::Reload || !requests.is_empty() {
            self.history.last = Some((now, Verdict::Serving(generation)));
        }
        if let Some(old) = old {
            let signal = self.policy.signal_on_hup;
            out.note(Note::Draining {
                old: vec![old.worker.name()],
                signal,
            });
            self.dismiss(
                old.worker,
                Farewell::Replaced,
                self.policy.drain_timeout,
                now,
                out,
            );
            self.kill_surplus(out);
        }
        self.last_failure = None;
        self.phase = Phase::Steady {
            current: Serving {
                worker,
                since: now,
                settled: now,
            },
        };
        if self.standing == Standing::Starting {
            self.standing = Standing::Active;
            out.tell(Telling::Ready);
        }
        self.conclude(out);
        out.answer(&requests, &Verdict::Serving(generation));
    }

    /// Tells a worker to leave.
    pub(super) fn dismiss(
        &mut self,
        worker: Worker,
        why: Farewell,
        patience: Option<Duration>,
        now: Now,
        out: &mut Out,
    ) {
        out.act(Action::Signal(worker.generation, self.policy.signal_on_hup));
        let mut worker = worker;
        let patience = if worker.watch.is_missed() {
            Some(patience.unwrap_or(ABANDONED_GRACE).min(ABANDONED_GRACE))
        } else {
            patience
        };
        worker.watch.rest();
        self.leaving
            .push(Leaving::new(worker, why, now, Kill::after(patience, now)));
    }

    /// `--max-draining`: the oldest of too many is killed.
    pub(super) fn kill_surplus(&mut self, out: &mut Out) {
        let Some(limit) = self.policy.max_draining else {
            return;
        };
        let draining = |leaving: &&mut Leaving| leaving.kill != Kill::Done;
        let count = self.leaving.iter_mut().filter(draining).count();
        for leaving in self
            .leaving
            .iter_mut()
            .filter(draining)
            .take(count.saturating_sub(limit))
        {
            leaving.end(Overstay::TooMany(limit), out);
        }
    }

    /// The serving generation died by itself while nothing else was under way.
    pub(super) fn serving_died(&mut self, dead: &Serving, exit: Exit, now: Now, out: &mut Out) {
        let pause = self.pause_after_death(now.since(dead.since));
        if worth_a_line(self.deaths) {
            let count = self.deaths;
            out.note(Note::Died {
                worker: dead.worker.name(),
                exit,
                count,
                pause,
            });
        }
        // Whoever waited for its turn has it now: one start for both.
        let requests = self.take_queued(None, out);
        if pause.is_zero() {
            self.begin(None, Reason::Replacement, requests, now, out);
        } else {
            self.announce(&requests, out);
            let step = Step::Pausing {
                until: now.after(pause),
            };
            let next = Candidate::new(Reason::Replacement, step, requests);
            self.phase = Phase::Swapping {
                current: None,
                next,
            };
        }
    }

    /// The serving generation died while a candidate was on its way.
    pub(super) fn died_beside_candidate(
        &mut self,
        dead: &Serving,
        mut next: Candidate,
        exit: Exit,
        now: Now,
        out: &mut Out,
    ) {
        let pause = self.pause_after_death(now.since(dead.since));
        let count = self.deaths;
        out.note(Note::Died {
            worker: dead.worker.name(),
            exit,
            count,
            pause: Duration::ZERO,
        });
        next.reason = Reason::Replacement;
        match next.step {
            // It is ready, and nobody else is there: the trial is over.
            Step::Trial { worker, .. } => {
                self.promote(None, worker, next.reason, next.requests, now, out);
            }
            // Nobody serves, so do not sit out the long pause of a failing reload.
            Step::Pausing { until } => {
                next.step = if pause.is_zero() {
                    self.spawn(out)
                } else {
                    Step::Pausing {
                        until: until.min(now.after(pause)),
                    }
                };
                self.phase = Phase::Swapping {
                    current: None,
                    next,
                };
            }
            Step::Forking { .. } | Step::Executing { .. } | Step::Booting { .. } => {
                self.phase = Phase::Swapping {
                    current: None,
                    next,
                };
            }
        }
    }
}
