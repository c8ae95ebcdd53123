//! One attempt of a candidate that fails: another try, or the verdict.

use super::clock::Now;
use super::exit::Exit;
use super::failure::{Cause, Failure};
use super::machine::{Machine, Phase};
use super::note::{Next, Note};
use super::out::Out;
use super::policy::{ABANDONED_GRACE, Attempts, pause_after, worth_a_line};
use super::queue::join;
use super::request::Verdict;
use super::worker::{Candidate, Farewell, Reason, Serving, Step};

impl Machine {
    pub(super) fn not_ready_in_time(&mut self, now: Now, out: &mut Out) {
        let timeout = self.policy.start_timeout.unwrap_or_default();
        self.abandon(Cause::NotReady { timeout }, now, out);
    }

    /// The worker says itself that it is broken.
    pub(super) fn candidate_broken(&mut self, text: String, now: Now, out: &mut Out) {
        self.abandon(Cause::Reported { text }, now, out);
    }

    /// The candidate's process lives but has failed: it must go.
    pub(super) fn abandon(&mut self, cause: Cause, now: Now, out: &mut Out) {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Swapping { current, next } => {
                let (worker, patience) = match &next.step {
                    // It was ready, so it may hold requests: it drains like any other. (One that
                    // hangs has the same short time in every state, see `dismiss`.)
                    Step::Trial { worker, .. } => (worker.clone(), self.policy.drain_timeout),
                    Step::Executing { worker, .. } | Step::Booting { worker, .. } => {
                        let grace = self.policy.drain_timeout.unwrap_or(ABANDONED_GRACE);
                        (worker.clone(), Some(grace.min(ABANDONED_GRACE)))
                    }
                    Step::Forking { .. } | Step::Pausing { .. } => {
                        self.phase = Phase::Swapping { current, next };
                        return;
                    }
                };
                let failure = worker.failure(cause);
                let pid = worker.pid;
                self.dismiss(worker, Farewell::Abandoned, patience, now, out);
                self.attempt_failed(current, next, failure, Some(pid), now, out);
            }
            phase @ (Phase::New | Phase::Steady { .. } | Phase::Stopping(_) | Phase::Finished) => {
                self.phase = phase;
            }
        }
    }

    pub(super) fn candidate_exited(
        &mut self,
        current: Option<Serving>,
        next: Candidate,
        exit: Exit,
        now: Now,
        out: &mut Out,
    ) {
        let failure = match &next.step {
            Step::Trial {
                worker, ready_at, ..
            } => worker.failure(Cause::ExitedOnTrial {
                exit,
                after: now.since(*ready_at),
            }),
            Step::Executing { worker, .. } | Step::Booting { worker, .. } => {
                worker.failure(Cause::Exited {
                    exit,
                    after: now.since(worker.forked),
                })
            }
            Step::Forking { .. } | Step::Pausing { .. } => {
                self.phase = Phase::Swapping { current, next };
                return;
            }
        };
        let pid = next.step.worker().map(|worker| worker.pid);
        self.attempt_failed(current, next, failure, pid, now, out);
    }

    /// One attempt is over: another one, or the verdict.
    pub(super) fn attempt_failed(
        &mut self,
        current: Option<Serving>,
        mut next: Candidate,
        failure: Failure,
        pid: Option<i32>,
        now: Now,
        out: &mut Out,
    ) {
        next.failures = next.failures.saturating_add(1);
        next.tries = next.tries.saturating_add(1);
        let count = next.failures;
        let kept = current.as_ref().map(|current| current.worker.generation);
        let exhausted = self.policy.attempts.exhausted_by(next.tries);
        let asked_again = !self.again.is_empty();
        self.last_failure = Some(failure.clone());
        if exhausted || self.policy.attempts == Attempts::Unlimited {
            // Whoever asked before this attempt has the answer now. Where it is tried for ever the
            // first failure is the verdict: a deploy script must not wait for ever, too.
            let requests = std::mem::take(&mut next.requests);
            let verdict = Verdict::Failed {
                failure: failure.clone(),
                kept,
            };
            self.conclude(out);
            out.answer(&requests, &verdict);
            if !requests.is_empty() {
                self.history.last = Some((now, verdict));
                self.history.failed = self.history.failed.saturating_add(1);
            }
        }
        match (current, next.reason, exhausted) {
            // One that hangs does not really keep serving: tried on, whatever `--attempts` says.
            (Some(mut current), Reason::First | Reason::Reload, true) => {
                current.settled = now;
                let next = Next::Kept(current.worker.generation);
                out.note(Note::AttemptFailed {
                    failure,
                    pid,
                    count,
                    next,
                });
                self.phase = Phase::Steady { current };
            }
            (None, Reason::First, true) if !asked_again => {
                out.note(Note::AttemptFailed {
                    failure: failure.clone(),
                    pid,
                    count,
                    next: Next::GiveUp,
                });
                self.give_up(failure, now, out);
            }
            (current, _, _) => {
                let pause = if asked_again {
                    // Asked again since that attempt's exec: the next one is theirs, and at once
                    // (but not as fast as they can ask).
                    for request in self.take_queued(kept, out) {
                        join(&mut next.requests, request);
                    }
                    next.tries = 0;
                    self.announce(&next.requests, out);
                    self.pace.crowd(now);
                    let slot = self.pace.slot().unwrap_or(now);
                    slot.since(now)
                } else {
                    let deaths = match next.reason {
                        Reason::First | Reason::Reload => 0,
                        // A worker that comes up now and then, only to die at once, must not begin
                        // anew each time; the first death is no reason to wait longer.
                        Reason::Replacement => self.deaths.saturating_sub(1),
                    };
                    pause_after(count.saturating_add(deaths), self.policy.interval)
                };
                if worth_a_line(count) {
                    let next = Next::Retry { kept, pause };
                    out.note(Note::AttemptFailed {
                        failure,
                        pid,
                        count,
                        next,
                    });
                }
                next.step = if pause.is_zero() {
                    self.pace.spend(now);
                    self.spawn(out)
                } else {
                    Step::Pausing {
                        until: now.after(pause),
                    }
                };
                self.phase = Phase::Swapping { current, next };
            }
        }
    }
}
