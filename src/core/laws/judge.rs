//! The judge: what the machine wants done, held against what the world knows.

use std::time::Duration;

use super::world::{Told, World};
use crate::core::{Action, Note, Now, Outcome, Request, Telling, Verdict};
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// What systemd has heard.
#[derive(Default)]
pub(super) struct Heard {
    /// READY=1, at least once.
    pub(super) active: bool,
    /// RELOADING=1, and neither READY=1 nor STOPPING=1 since.
    pub(super) reloading: bool,
    pub(super) stopping: bool,
}

/// How it was before the step that is judged.
pub(super) struct Before {
    pub(super) served: Option<Generation>,
    /// The trial that is due to one that becomes ready.
    pub(super) trial: Duration,
}

impl World {
    /// One action, in its turn.
    pub(super) fn judge(&mut self, action: Action, before: &Before) {
        assert!(!self.finished, "an action after the end: {action:?}");
        if self.recovers && is_for_the_gone(&action) {
            // It went with the supervisor, or its client did.
            return;
        }
        match action {
            Action::Spawn(generation) => self.judge_spawn(generation),
            Action::Signal(generation, signal) => {
                let expected = self.stop_signal;
                let expected = expected.unwrap_or(self.machine.policy.signal_on_hup);
                assert_eq!(signal, expected, "the signal for another occasion");
                self.judge_farewell(generation, Told::Leave, before);
            }
            Action::Kill(generation) => self.judge_farewell(generation, Told::Die, before),
            Action::Sweep(generation) => {
                let told = self.lingering.get_mut(&generation);
                *told.expect("law 4: swept while its process lives, or nobody is left") = Told::Die;
            }
            Action::Probe(generation) => {
                assert_eq!(self.probe, None, "two probes at once");
                assert!(self.alive.contains_key(&generation), "a probe of the dead");
                assert!(self.unready.contains(&generation), "a probe of the ready");
                self.probe = Some(generation);
            }
            Action::EndProbe(generation) => {
                assert_eq!(self.probe, Some(generation), "no such probe");
                self.probe = None;
                self.cut_probes.push(generation);
            }
            Action::Check => {
                assert_eq!(self.check, None, "two checks at once");
                assert!(!self.leaves, "law 7: a check after a stop");
                self.check = Some(true);
            }
            Action::EndCheck => {
                assert_eq!(self.check, Some(true), "no such check");
                self.check = Some(false);
            }
            Action::Tell(telling) => self.judge_telling(&telling),
            Action::Answer(requester, verdict) if self.upgraders.remove(&requester) => {
                let fits = match verdict {
                    Verdict::Upgraded { .. } | Verdict::NotUpgraded { .. } => true,
                    Verdict::Stopping => self.leaves,
                    Verdict::Serving(_)
                    | Verdict::Failed { .. }
                    | Verdict::OtherGeneration { .. }
                    | Verdict::Stopped => false,
                };
                assert!(fits, "law 9: {verdict} to whoever asked for an upgrade");
            }
            Action::Answer(requester, verdict) => {
                let request = self.waiting.remove(&requester);
                let request = request.expect("law 9: nobody waits, or a second verdict");
                self.judge_verdict(&request, &verdict);
            }
            Action::Note(Note::Ready { worker, .. }) => {
                self.judge_ready(worker.generation, before.trial);
            }
            Action::Note(Note::GivingUp(_)) => {
                assert!(!self.heard.active, "given up although it served once");
                self.everybody_leaves();
            }
            Action::Note(_) => {}
            Action::Finish(outcome) => {
                self.finished = true;
                assert!(self.alive.is_empty(), "law 7: somebody is left");
                assert!(self.open_forks.is_empty(), "law 7: somebody is to come");
                assert!(self.lingering.is_empty(), "law 7: something is left");
                assert_eq!(self.probe, None, "law 7: a probe is left");
                assert!(self.heard.stopping || outcome == Outcome::NeverServed);
            }
        }
    }

    fn judge_spawn(&mut self, generation: Generation) {
        assert!(!self.stop_asked, "law 7: a spawn after a stop");
        assert!(
            self.last_spawned < Some(generation),
            "law 6: numbers only grow"
        );
        self.last_spawned = Some(generation);
        self.spawns += 1;
        self.spawned_at = self.step;
        self.open_forks.push(generation);
        self.unready.insert(generation);
        assert!(
            self.unready.len() <= 1,
            "law 1: {:?} are not ready",
            self.unready
        );
    }

    fn judge_ready(&mut self, generation: Generation, trial: Duration) {
        let policy = &self.machine.policy;
        let executed = self.executed_at.get(&generation);
        let old = executed.is_some_and(|since| self.now().since(*since) >= policy.interval);
        assert!(
            self.said_ready.contains(&generation) || (policy.readiness.accepts_alive() && old),
            "law 2: ready neither by its own word nor by its age"
        );
        self.unready.remove(&generation);
        self.ready_at.insert(generation, (self.now(), trial));
    }

    fn judge_farewell(&mut self, generation: Generation, farewell: Told, before: &Before) {
        assert!(
            !self.dead.contains(&generation),
            "law 4: signalled after its exit"
        );
        self.unready.remove(&generation);
        if before.served == Some(generation) && !self.stop_asked {
            let successor = self.machine.serving_generation();
            let ready = successor.and_then(|next| self.ready_at.get(&next));
            assert!(
                successor > before.served,
                "law 2: told to stop without a successor"
            );
            let (since, trial) = ready.expect("law 2: the successor is ready");
            let age = self.now().since(*since);
            assert!(age >= *trial, "law 2: told to stop during the trial");
        }
        let told = self.alive.get_mut(&generation);
        *told.expect("law 4: no such process") = farewell;
    }

    fn judge_telling(&mut self, telling: &Telling) {
        let heard = &mut self.heard;
        match telling {
            Telling::Ready => {
                assert!(!heard.stopping, "law 3: READY after STOPPING");
                let owed = heard.reloading || !heard.active;
                assert!(owed, "law 3: a READY that is not owed");
                heard.active = true;
                heard.reloading = false;
            }
            Telling::Reloading => {
                assert!(heard.active, "law 3: RELOADING before READY");
                assert!(!heard.stopping, "law 3: RELOADING after STOPPING");
                assert!(!heard.reloading, "law 3: RELOADING twice");
                heard.reloading = true;
                // Whoever gets its answer in this step is among them: answers come last.
                let control = self.waiting.values().find(|request| is_control(request));
                assert_eq!(
                    control, None,
                    "law 3: RELOADING while ExecReload= waits, which leaves the unit stuck"
                );
            }
            Telling::Stopping => {
                assert!(!heard.stopping, "law 3: STOPPING twice");
                heard.stopping = true;
                heard.reloading = false;
            }
            Telling::Status(_) | Telling::Extend(_) => {}
        }
    }

    /// A verdict must be true, and fit what was asked for.
    fn judge_verdict(&self, request: &Request, verdict: &Verdict) {
        let serves = self.machine.serving_generation();
        match verdict {
            Verdict::Serving(generation) => {
                assert_eq!(serves, Some(*generation), "law 9: it does not serve");
                let fits = request.only_if.is_none() || request.only_if == self.last_served;
                assert!(fits, "law 9: another generation was to be replaced");
            }
            Verdict::Failed { failure, kept } => {
                assert_eq!(serves, *kept, "law 9: it does not keep serving");
                assert_ne!(serves, Some(failure.generation), "law 9: it serves");
            }
            Verdict::OtherGeneration { serving } => {
                assert_eq!(serves, *serving, "law 9: another one serves");
                let fits = request.only_if.is_some() && request.only_if != serves;
                assert!(fits, "law 9: refused without a reason");
            }
            Verdict::Stopping => assert!(self.leaves, "law 9: nobody stops"),
            Verdict::Stopped | Verdict::Upgraded { .. } | Verdict::NotUpgraded { .. } => {
                panic!("law 9: a reload is not a stop, and no upgrade")
            }
        }
    }

    /// The end of a step: what must be true whatever happened.
    pub(super) fn judge_the_rest(&mut self) {
        let now = self.now();
        self.last_served = self.machine.serving_generation().or(self.last_served);
        self.judge_who_leaves();
        if self.leaves {
            let told = |told: &Told| *told != Told::Nothing;
            assert!(self.alive.values().all(told), "law 7: not told to leave");
        }
        if self.kill_at.is_some_and(|moment| moment <= now) {
            let mut all = self.alive.values().chain(self.lingering.values());
            let killed = all.all(|told| *told == Told::Die);
            assert!(killed, "law 7: not killed at the deadline");
        }
        if !self.finished {
            let deadline = self.machine.deadline();
            let ahead = |moment: Now| moment > now;
            assert!(deadline.is_none_or(ahead), "a timer in the past");
        }
    }

    /// The end begins: everybody is to be told (again), and killed when the time is up.
    pub(super) fn everybody_leaves(&mut self) {
        let patience = self.machine.policy.stop_timeout;
        self.kill_at = patience.map(|patience| self.now().after(patience));
        self.leaves = true;
    }

    /// A stop was asked for, and is carried out in this step unless the end has begun already.
    pub(super) fn stop_begins(&mut self, signal: Signal) {
        self.stop_asked = true;
        self.told_before.clear();
        if self.leaves {
            return;
        }
        self.stop_signal = Some(signal);
        self.everybody_leaves();
        self.told_before.clone_from(&self.alive);
        for told in self.alive.values_mut().filter(|told| **told != Told::Die) {
            // Those who drain already are told as well.
            *told = Told::Nothing;
        }
    }
}

pub(super) fn last_word_before_the_answers(actions: &[Action]) {
    let is_answer = |action: &Action| matches!(action, Action::Answer(..));
    let mut from_first_answer = actions.iter().skip_while(|action| !is_answer(action));
    assert!(
        !from_first_answer.any(|action| matches!(action, Action::Tell(_))),
        "the last word to systemd goes before the answer"
    );
}

fn is_control(request: &Request) -> bool {
    request.origin == crate::core::Origin::ControlProcess
}

fn is_for_the_gone(action: &Action) -> bool {
    matches!(
        action,
        Action::EndProbe(_) | Action::EndCheck | Action::Answer(..)
    )
}
