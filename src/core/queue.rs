//! Requests for a reload: which swap is whose, who waits for the next one, what systemd hears.

use super::action::{Action, Telling};
use super::clock::Now;
use super::machine::{Announced, Machine, Phase, Standing};
use super::note::Note;
use super::out::Out;
use super::request::{Origin, Request, Verdict};
use super::worker::{Candidate, Reason, Serving, Step};
use crate::protocol::generation::Generation;

/// What `--enable-auto-restart` asks for.
pub(super) const TIMER_REQUEST: Request = Request {
    requester: None,
    origin: Origin::Timer,
    only_if: None,
};

impl Machine {
    pub(super) fn start(&mut self, now: Now, out: &mut Out) {
        match self.phase {
            Phase::New => {
                let requests = self.take_queued(None, out);
                self.begin(None, Reason::First, requests, now, out);
            }
            // A second Start means nothing.
            Phase::Steady { .. }
            | Phase::Swapping { .. }
            | Phase::Stopping(_)
            | Phase::Finished => {}
        }
    }

    pub(super) fn reload(&mut self, request: Request, now: Now, out: &mut Out) {
        let serving = self.serving_generation();
        if request.only_if.is_some() && request.only_if != serving {
            out.answer(&[request], &Verdict::OtherGeneration { serving });
            return;
        }
        if request.origin == Origin::ControlProcess {
            // It has a timer of its own, which no extension before it has moved.
            self.extend_at = None;
        }
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Steady { current } if self.may_begin(&request, now) => {
                out.note(Note::ReloadAsked {
                    origin: request.origin,
                    queued: false,
                });
                self.begin(Some(current), Reason::Reload, vec![request], now, out);
            }
            Phase::Swapping {
                current,
                next:
                    Candidate {
                        step: Step::Pausing { until },
                        requests,
                        reason,
                        failures,
                        ..
                    },
            } => {
                // No exec has happened yet for the next attempt, so this request joins it; and
                // whoever asks again has changed something: no reason to pause any longer.
                let at_once = self.may_begin(&request, now);
                let mut requests = requests;
                if join(&mut requests, request) || at_once {
                    out.note(Note::ReloadAsked {
                        origin: request.origin,
                        queued: !at_once,
                    });
                }
                self.announce(&requests, out);
                let step = if at_once {
                    self.pace.spend(now);
                    self.spawn(out)
                } else {
                    let slot = self.pace.slot().unwrap_or(now);
                    Step::Pausing {
                        until: until.min(slot),
                    }
                };
                let next = Candidate {
                    reason,
                    step,
                    failures,
                    tries: 0,
                    requests,
                };
                self.phase = Phase::Swapping { current, next };
            }
            phase @ (Phase::Steady { .. } | Phase::Swapping { .. } | Phase::New) => {
                self.phase = phase;
                if join(&mut self.again, request) {
                    out.note(Note::ReloadAsked {
                        origin: request.origin,
                        queued: true,
                    });
                }
            }
            phase @ (Phase::Stopping(_) | Phase::Finished) => {
                self.phase = phase;
                out.answer(&[request], &Verdict::Stopping);
            }
        }
    }

    /// Whether a request begins its swap at once, or waits for others that are to come (`pace`).
    fn may_begin(&self, request: &Request, now: Now) -> bool {
        let alone = self.again.is_empty() && !self.pace.is_crowded(now);
        (request.requester.is_some() && alone) || self.pace.is_due(now)
    }

    /// Begins the swap that waited for its turn, if one did.
    pub(super) fn begin_queued(&mut self, now: Now, out: &mut Out) {
        let Phase::Steady { current } = &self.phase else {
            return;
        };
        if self.again.is_empty() || !self.pace.is_due(now) {
            return;
        }
        let current = current.clone();
        let wanted = self.take_queued(Some(current.worker.generation), out);
        if !wanted.is_empty() {
            self.pace.crowd(now);
            self.begin(Some(current), Reason::Reload, wanted, now, out);
        }
    }

    /// The requests that wait, for an attempt whose exec is still to come. Whoever named another
    /// generation than `serving` is refused.
    pub(super) fn take_queued(
        &mut self,
        serving: Option<Generation>,
        out: &mut Out,
    ) -> Vec<Request> {
        let (wanted, refused): (Vec<_>, Vec<_>) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|request| request.only_if.is_none() || request.only_if == serving);
        out.answer(&refused, &Verdict::OtherGeneration { serving });
        wanted
    }

    pub(super) fn begin(
        &mut self,
        current: Option<Serving>,
        reason: Reason,
        requests: Vec<Request>,
        now: Now,
        out: &mut Out,
    ) {
        if reason == Reason::Reload {
            self.pace.spend(now);
        }
        self.announce(&requests, out);
        let step = self.spawn(out);
        self.phase = Phase::Swapping {
            current,
            next: Candidate::new(reason, step, requests),
        };
    }

    /// Tells systemd that a reload begins, where it has to hear it: not while `ExecReload=` runs
    /// (one that has just been answered included), because the unit is "reloading" already and
    /// RELOADING=1 could leave it stuck there.
    pub(super) fn announce(&mut self, requests: &[Request], out: &mut Out) {
        if self.announced == Announced::Nothing
            && self.standing == Standing::Active
            && !out.freed_control_process()
            && !requests
                .iter()
                .any(|request| request.origin == Origin::ControlProcess)
            && requests.iter().any(|request| request.origin.announces())
        {
            self.announced = Announced::Reloading;
            out.tell(Telling::Reloading);
        }
    }

    /// The other half of [`announce`](Self::announce), and the first READY=1.
    pub(super) fn conclude(&mut self, out: &mut Out) {
        if self.announced == Announced::Reloading {
            self.announced = Announced::Nothing;
            out.tell(Telling::Ready);
        }
    }

    pub(super) fn spawn(&mut self, out: &mut Out) -> Step {
        let generation = self.newest.map_or(Generation::FIRST, Generation::next);
        self.newest = Some(generation);
        out.act(Action::Spawn(generation));
        Step::Forking { generation }
    }

    /// The generation that serves, if one does.
    #[must_use]
    pub const fn serving_generation(&self) -> Option<Generation> {
        match &self.phase {
            Phase::Steady { current }
            | Phase::Swapping {
                current: Some(current),
                ..
            } => Some(current.worker.generation),
            Phase::New
            | Phase::Swapping { current: None, .. }
            | Phase::Stopping(_)
            | Phase::Finished => None,
        }
    }
}

/// Adds a request. Those that nobody waits for are alike, so a thousand SIGHUPs are one.
/// Says whether it is a new one.
pub(super) fn join(requests: &mut Vec<Request>, request: Request) -> bool {
    let new = request.requester.is_some() || !requests.contains(&request);
    if new {
        requests.push(request);
    }
    new
}
