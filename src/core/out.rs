//! The actions of one step, in the order in which the shell carries them out.

use super::action::{Action, Telling};
use super::note::Note;
use super::request::{Origin, Request, Verdict};

/// The actions of one step: the last word to systemd goes before the answers.
#[derive(Debug, Default)]
pub(super) struct Out {
    actions: Vec<Action>,
    answers: Vec<Action>,
    /// A control process got its answer in this step, and is still there: `ExecReload=` runs.
    freed_control_process: bool,
    end: Option<Action>,
}

impl Out {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Answer(..) => self.answers.push(action),
            Action::Finish(_) => self.end = Some(action),
            Action::Spawn(_)
            | Action::Signal(..)
            | Action::Kill(_)
            | Action::Sweep(_)
            | Action::Probe(_)
            | Action::EndProbe(_)
            | Action::Check
            | Action::EndCheck
            | Action::Tell(_)
            | Action::Note(_) => self.actions.push(action),
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.act(Action::Note(note));
    }

    pub(super) fn tell(&mut self, telling: Telling) {
        self.act(Action::Tell(telling));
    }

    pub(super) const fn freed_control_process(&self) -> bool {
        self.freed_control_process
    }

    pub(super) fn answer(&mut self, requests: &[Request], verdict: &Verdict) {
        self.freed_control_process |= requests
            .iter()
            .any(|request| request.origin == Origin::ControlProcess);
        for requester in requests.iter().filter_map(|request| request.requester) {
            self.act(Action::Answer(requester, verdict.clone()));
        }
    }

    pub(super) fn into_actions(mut self) -> Vec<Action> {
        self.actions.append(&mut self.answers);
        self.actions.extend(self.end);
        self.actions
    }
}
