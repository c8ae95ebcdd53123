//! The machine: one event in, the actions that it calls for out.

use std::time::Duration;

use super::action::Action;
use super::clock::Now;
use super::event::Event;
use super::failure::Failure;
use super::out::Out;
use super::pace::Pace;
use super::policy::{Policy, STEADY_AGE};
use super::request::{Request, Requester, Verdict};
use super::upgrade::Upgrade;
use super::worker::{Candidate, Leaving, Reason, Serving, Step, earliest};
use crate::protocol::generation::Generation;

/// What the machine is about. Old generations that drain stand beside it, in every phase.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Nothing was asked for yet.
    New,
    /// One generation serves and nothing is under way.
    Steady { current: Serving },
    /// A candidate is on its way; `current` serves meanwhile, if there is one.
    Swapping {
        current: Option<Serving>,
        next: Candidate,
    },
    /// Told to stop (or the start failed); everybody leaves.
    Stopping(super::stop::Stopping),
    /// Everybody is gone.
    Finished,
}

/// Whether RELOADING=1 was sent and READY=1 is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Announced {
    /// Nothing is owed.
    Nothing,
    /// READY=1 is owed (or STOPPING=1).
    Reloading,
}

/// Whether the unit is "active" in systemd's eyes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// READY=1 was never sent.
    Starting,
    /// It was.
    Active,
}

/// What the operator asks afterwards.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct History {
    /// How the last reload that was decided ended, and when.
    pub(super) last: Option<(Now, Verdict)>,
    /// Reloads that failed.
    pub(super) failed: u64,
    /// Serving generations that died by themselves.
    pub(super) deaths: u64,
}

/// The state machine of the supervisor. See the [module](super) for the invariants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Machine {
    pub(super) policy: Policy,
    pub(super) phase: Phase,
    /// The newest generation number given out.
    pub(super) newest: Option<Generation>,
    /// Told to leave, oldest first.
    pub(super) leaving: Vec<Leaving>,
    /// Requests that came too late for the candidate under way.
    pub(super) again: Vec<Request>,
    /// When the next swap may begin, if they are asked for in a flood.
    pub(super) pace: Pace,
    pub(super) announced: Announced,
    pub(super) standing: Standing,
    /// Deaths of serving generations in quick succession.
    pub(super) deaths: u32,
    /// Whom a `--ready=command:CMD` that runs was asked about.
    pub(super) probing: Option<Generation>,
    /// The failure that STATUS mentions until a swap succeeds.
    pub(super) last_failure: Option<Failure>,
    pub(super) history: History,
    /// When systemd is to be asked for more time.
    pub(super) extend_at: Option<Now>,
    /// The STATUS that systemd knows.
    pub(super) status: String,
    /// An upgrade of ourselves that is under way.
    pub(super) upgrade: Option<Upgrade>,
}

impl Machine {
    /// A machine that waits for [`Event::Start`].
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            pace: Pace::new(policy.interval),
            policy,
            phase: Phase::New,
            newest: None,
            leaving: Vec::new(),
            again: Vec::new(),
            announced: Announced::Nothing,
            standing: Standing::Starting,
            deaths: 0,
            probing: None,
            last_failure: None,
            history: History {
                last: None,
                failed: 0,
                deaths: 0,
            },
            extend_at: None,
            status: String::new(),
            upgrade: None,
        }
    }

    /// Takes one event in and says what is to be done, in order.
    ///
    /// Total: any event may come in any state, and one that means nothing there does nothing. The
    /// events of one wake-up end with a [`Event::Tick`].
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut out = Out::default();
        match event {
            Event::Start => self.start(now, &mut out),
            Event::Forked { generation, pid } => self.forked(generation, pid, now, &mut out),
            Event::Executed { generation } => self.executed(generation, now, &mut out),
            Event::NotStarted {
                generation,
                text,
                errno,
            } => {
                self.not_started(generation, text, errno, now, &mut out);
            }
            Event::Exited { generation, exit } => self.exited(generation, exit, now, &mut out),
            Event::Lingers { generation, exit } => self.lingers(generation, exit, now, &mut out),
            Event::Probed { generation, ready } => {
                self.probed(generation, ready, now, &mut out);
            }
            Event::Said { generation, word } => self.said(generation, word, now, &mut out),
            Event::Reload(request) => self.reload(request, now, &mut out),
            Event::Stop { requester, by } => self.stop(requester, by, now, &mut out),
            Event::Gone { requester } => self.gone(requester),
            Event::Recovered => self.recovered(now, &mut out),
            Event::Upgrade { requester } => self.upgrade(requester, now, &mut out),
            Event::Checked { answer } => self.checked(answer, now, &mut out),
            Event::Replaced { from } => self.replaced(from, now, &mut out),
            Event::NotReplaced { reason } => self.not_replaced(reason, now, &mut out),
            Event::Retuned {
                kill_old_delay,
                auto_restart,
            } => {
                self.policy.kill_old_delay = kill_old_delay;
                self.policy.auto_restart = auto_restart;
            }
            // Only now, when whatever was to be heard has been heard: after a stall of ours a sign of
            // life, or that it is ready, may wait behind other news.
            Event::Tick => {
                self.watch_tick(now, &mut out);
                self.tick(now, &mut out);
            }
        }
        self.settle(now, &mut out);
        out.into_actions()
    }

    /// The next moment at which a [`Event::Tick`] is due, if time alone can change anything.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        let phase = match &self.phase {
            Phase::New | Phase::Finished => None,
            Phase::Steady { current } => {
                let watch = current.worker.watch.deadline();
                let queued = (!self.again.is_empty()).then(|| self.pace.slot());
                earliest(
                    earliest(self.auto_restart_at(current), watch),
                    queued.flatten(),
                )
            }
            Phase::Swapping { current, next } => {
                let serving = current.as_ref();
                let watch = serving.and_then(|current| current.worker.watch.deadline());
                earliest(next.step.deadline(), watch)
            }
            Phase::Stopping(stopping) => stopping.kill.deadline(),
        };
        let leaving = self
            .leaving
            .iter()
            .filter_map(|leaving| {
                earliest(leaving.kill.deadline(), leaving.worker.watch.deadline())
            })
            .min();
        let upgrade = self.upgrade.as_ref();
        let upgrade = upgrade.and_then(|upgrade| upgrade.step.deadline());
        earliest(earliest(phase, leaving), earliest(self.extend_at, upgrade))
    }

    /// Whether the program is over.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    fn gone(&mut self, requester: Requester) {
        let forget = |requests: &mut Vec<Request>| {
            for request in requests
                .iter_mut()
                .filter(|r| r.requester == Some(requester))
            {
                // The request stands: going away changes nothing but who is told.
                request.requester = None;
            }
        };
        forget(&mut self.again);
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.requesters.retain(|other| *other != requester);
            let again = upgrade.again.iter_mut();
            again.for_each(|again| again.retain(|other| *other != requester));
        }
        match &mut self.phase {
            Phase::Swapping { next, .. } => forget(&mut next.requests),
            Phase::Stopping(stopping) => stopping.requesters.retain(|other| *other != requester),
            Phase::New | Phase::Steady { .. } | Phase::Finished => {}
        }
    }

    /// A pause before the serving generation's successor starts: none for the first death.
    pub(super) fn pause_after_death(&mut self, lived: Duration) -> Duration {
        if lived >= STEADY_AGE {
            self.deaths = 0;
        }
        let pause = match self.deaths {
            0 => Duration::ZERO,
            deaths => super::policy::pause_after(deaths, self.policy.interval),
        };
        self.deaths = self.deaths.saturating_add(1);
        self.history.deaths = self.history.deaths.saturating_add(1);
        pause
    }
}

/// The first candidate, and every other, begins without failures.
impl Candidate {
    pub(super) const fn new(reason: Reason, step: Step, requests: Vec<Request>) -> Self {
        Self {
            reason,
            step,
            failures: 0,
            tries: 0,
            requests,
        }
    }
}
