//! Another build of ourselves takes over: tried first, then put in our place.
//!
//! ```text
//!            Action::Check          Checked: yes            (the shell executes it)
//!  (nothing) ─────────────▶ Checking ───────────▶ Replacing ─────────────────────▶ Replaced
//!                              │ no, or too late      │ NotReplaced, or too late
//!                              ▼                      ▼
//!                         refused: nothing has happened, and the requesters hear why
//! ```
//!
//! A reload, a drain, a start that fails go on meanwhile and afterwards; a stop ends it.

use std::time::Duration;

use super::action::Action;
use super::clock::Now;
use super::failure::Rough;
use super::machine::{Machine, Phase};
use super::note::Note;
use super::out::Out;
use super::request::{Requester, Verdict};

/// How long the new program may take to say whether it can take over. It reads one small file.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the right moment for the exec may take to come: only a systemd that does not take our
/// messages puts it off.
pub(super) const REPLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// An upgrade that is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Upgrade {
    pub(super) step: Step,
    /// Who waits for it.
    pub(super) requesters: Vec<Requester>,
    /// Who asked since it began, if anybody did: they may mean a program that was put there after
    /// the one that is being tried, so another upgrade is theirs.
    pub(super) again: Option<Vec<Requester>>,
}

/// How far it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The new program is being tried.
    Checking { until: Now },
    /// The trial was cut off, and its end has not been seen.
    Ending,
    /// It can take over, and is to be executed.
    Replacing { version: String, until: Now },
}

impl Step {
    pub(super) const fn deadline(&self) -> Option<Now> {
        match self {
            Self::Checking { until } | Self::Replacing { until, .. } => Some(*until),
            Self::Ending => None,
        }
    }
}

impl Machine {
    pub(super) fn upgrade(&mut self, requester: Option<Requester>, now: Now, out: &mut Out) {
        match (&self.phase, &mut self.upgrade) {
            (Phase::Stopping(_) | Phase::Finished, _) => {
                answer(requester, &Verdict::Stopping, out);
            }
            (Phase::New | Phase::Steady { .. } | Phase::Swapping { .. }, Some(upgrade)) => {
                let again = upgrade.again.get_or_insert_with(Vec::new);
                again.extend(requester);
            }
            (Phase::New | Phase::Steady { .. } | Phase::Swapping { .. }, None) => {
                self.begin_upgrade(requester.into_iter().collect(), now, out);
            }
        }
    }

    fn begin_upgrade(&mut self, requesters: Vec<Requester>, now: Now, out: &mut Out) {
        out.note(Note::UpgradeAsked);
        out.act(Action::Check);
        let until = now.after(CHECK_TIMEOUT);
        self.upgrade = Some(Upgrade {
            step: Step::Checking { until },
            requesters,
            again: None,
        });
    }

    /// The trial has ended: the version of the program that can take over, or why it cannot.
    pub(super) fn checked(&mut self, answer: Result<String, String>, now: Now, out: &mut Out) {
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        match (&upgrade.step, answer) {
            (Step::Checking { .. }, Ok(version)) => {
                let until = now.after(REPLACE_TIMEOUT);
                upgrade.step = Step::Replacing { version, until };
            }
            (Step::Checking { .. }, Err(reason)) => self.refuse_upgrade(reason, now, out),
            // Its requesters have their answer.
            (Step::Ending, _) => self.next_upgrade(now, out),
            (Step::Replacing { .. }, _) => {}
        }
    }

    /// The exec has failed.
    pub(super) fn not_replaced(&mut self, reason: String, now: Now, out: &mut Out) {
        if self.successor().is_some() {
            self.refuse_upgrade(reason, now, out);
        }
    }

    /// We are the one that took over, and this is what we took over from.
    pub(super) fn replaced(&mut self, from: String, now: Now, out: &mut Out) {
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        let Step::Replacing { version, .. } = &mut upgrade.step else {
            return;
        };
        let to = std::mem::take(version);
        let requesters = std::mem::take(&mut upgrade.requesters);
        let verdict = Verdict::Upgraded { from, to };
        if let Verdict::Upgraded { from, to } = &verdict {
            let (from, to) = (from.clone(), to.clone());
            out.note(Note::Upgraded { from, to });
        }
        for requester in requesters {
            answer(Some(requester), &verdict, out);
        }
        self.next_upgrade(now, out);
    }

    fn refuse_upgrade(&mut self, reason: String, now: Now, out: &mut Out) {
        self.answer_refused(reason, out);
        self.next_upgrade(now, out);
    }

    fn answer_refused(&mut self, reason: String, out: &mut Out) {
        let upgrade = self.upgrade.as_mut();
        let requesters = upgrade.map(|upgrade| std::mem::take(&mut upgrade.requesters));
        out.note(Note::UpgradeRefused {
            reason: reason.clone(),
        });
        let verdict = Verdict::NotUpgraded { reason };
        for requester in requesters.unwrap_or_default() {
            answer(Some(requester), &verdict, out);
        }
    }

    /// The present one is over; another one may be due.
    fn next_upgrade(&mut self, now: Now, out: &mut Out) {
        let again = self.upgrade.take().and_then(|upgrade| upgrade.again);
        if let Some(requesters) = again {
            self.begin_upgrade(requesters, now, out);
        }
    }

    pub(super) fn upgrade_tick(&mut self, now: Now, out: &mut Out) {
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        if upgrade.step.deadline().is_none_or(|until| until > now) {
            return;
        }
        match upgrade.step {
            Step::Checking { .. } => {
                upgrade.step = Step::Ending;
                out.act(Action::EndCheck);
                let time = Rough(CHECK_TIMEOUT);
                self.answer_refused(format!("the new program did not answer within {time}"), out);
            }
            Step::Replacing { .. } => {
                let time = Rough(REPLACE_TIMEOUT);
                let reason = format!("systemd took no messages from us for {time}");
                self.refuse_upgrade(reason, now, out);
            }
            Step::Ending => {}
        }
    }

    /// Whoever stops does not begin anew.
    pub(super) fn end_upgrade_if_stopping(&mut self, out: &mut Out) {
        match self.phase {
            Phase::New | Phase::Steady { .. } | Phase::Swapping { .. } => return,
            Phase::Stopping(_) | Phase::Finished => {}
        }
        let Some(upgrade) = self.upgrade.take() else {
            return;
        };
        if let Step::Checking { .. } = upgrade.step {
            out.act(Action::EndCheck);
        }
        let again = upgrade.again.unwrap_or_default();
        for requester in upgrade.requesters.into_iter().chain(again) {
            answer(Some(requester), &Verdict::Stopping, out);
        }
    }

    /// The version of the program that is to be executed in our place now, if one is. The shell
    /// chooses the moment: when nothing is half done.
    #[must_use]
    pub fn successor(&self) -> Option<&str> {
        match &self.upgrade.as_ref()?.step {
            Step::Replacing { version, .. } => Some(version),
            Step::Checking { .. } | Step::Ending => None,
        }
    }
}

fn answer(requester: Option<Requester>, verdict: &Verdict, out: &mut Out) {
    if let Some(requester) = requester {
        out.act(Action::Answer(requester, verdict.clone()));
    }
}
