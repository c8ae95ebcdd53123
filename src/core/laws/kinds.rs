//! Every state of the machine and every event, by name. The lists are made of the same words as the
//! matches, and the matches have no wildcard: a new state or event does not compile until it is in.

use crate::core::machine::{Machine, Phase};
use crate::core::worker::{Presence, Step};
use crate::core::{Event, Exit, Origin, Request, Requester, StopBy, Word};
use crate::protocol::generation::Generation;
use std::time::Duration;

macro_rules! kinds {
    ($name:ident: $($kind:ident)*) => {
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub(super) enum $name { $($kind),* }

        impl $name {
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind),*];
        }
    };
}

kinds!(PhaseKind: New Steady Swapping Stopping Finished);
kinds!(StepKind: Forking Executing Booting Trial Pausing);
kinds!(About: Serving Candidate Leaving Rest Stranger);
kinds!(EventKind:
    Start Forked Executed NotStarted Lingers Probed Exited
    Ready FoundReady Status Extend Broken Alive Period Hung
    ReloadByControlProcess ReloadByClient ReloadByHangup ReloadByTimer
    Terminate Quit Interrupt Gone Retuned Tick
    Upgrade CanTakeOver CannotTakeOver Replaced NotReplaced Recovered);

/// Where the machine is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct State {
    phase: PhaseKind,
    /// Somebody serves.
    serving: bool,
    step: Option<StepKind>,
    /// Somebody waits for a swap of its own.
    queued: bool,
}

impl State {
    pub(super) fn of(machine: &Machine) -> Self {
        let queued = !machine.again.is_empty();
        let state = |phase, serving, step| Self {
            phase,
            serving,
            step,
            queued,
        };
        match &machine.phase {
            Phase::New => state(PhaseKind::New, false, None),
            Phase::Steady { .. } => state(PhaseKind::Steady, true, None),
            Phase::Swapping { current, next } => {
                let step = match &next.step {
                    Step::Forking { .. } => StepKind::Forking,
                    Step::Executing { .. } => StepKind::Executing,
                    Step::Booting { .. } => StepKind::Booting,
                    Step::Trial { .. } => StepKind::Trial,
                    Step::Pausing { .. } => StepKind::Pausing,
                };
                state(PhaseKind::Swapping, current.is_some(), Some(step))
            }
            Phase::Stopping(stopping) => {
                let step = stopping.forking.map(|_| StepKind::Forking);
                state(PhaseKind::Stopping, false, step)
            }
            Phase::Finished => state(PhaseKind::Finished, false, None),
        }
    }

    /// All that there are: what is missing is missing by construction, as said here.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for phase in PhaseKind::ALL {
            for serving in [false, true] {
                for step in std::iter::once(None).chain(StepKind::ALL.iter().copied().map(Some)) {
                    for queued in [false, true] {
                        let state = Self {
                            phase: *phase,
                            serving,
                            step,
                            queued,
                        };
                        all.extend(state.exists().then_some(state));
                    }
                }
            }
        }
        all
    }

    fn exists(self) -> bool {
        match self.phase {
            // Only a swap has a candidate; only these two can have somebody who serves.
            PhaseKind::New => !self.serving && self.step.is_none(),
            PhaseKind::Steady => self.serving && self.step.is_none(),
            PhaseKind::Swapping => match self.step {
                None => false,
                // Without a current a ready candidate serves at once. And whoever asks during a
                // pause joins the next attempt; those who wait already are taken into it.
                Some(StepKind::Trial) => self.serving,
                Some(StepKind::Pausing) => !self.queued,
                Some(StepKind::Forking | StepKind::Executing | StepKind::Booting) => true,
            },
            // A stop answers everybody; what was about to be forked comes into it.
            PhaseKind::Stopping => {
                let step = self.step.is_none_or(|step| step == StepKind::Forking);
                !self.serving && step && !self.queued
            }
            PhaseKind::Finished => !self.serving && self.step.is_none() && !self.queued,
        }
    }

    /// Whether there can be somebody of that description.
    pub(super) fn has(self, about: About) -> bool {
        match about {
            About::Serving => self.serving,
            About::Candidate => self.step.is_some_and(|step| step != StepKind::Pausing),
            // Nobody has been told to leave before the start, and nobody is left after the end.
            About::Leaving | About::Rest => {
                !matches!(self.phase, PhaseKind::New | PhaseKind::Finished)
            }
            About::Stranger => true,
        }
    }
}

impl About {
    /// Whom the machine takes a generation for.
    pub(super) fn of(machine: &Machine, generation: Generation) -> Self {
        let is = |leaving: &&crate::core::worker::Leaving| leaving.worker.generation == generation;
        if let Some(leaving) = machine.leaving.iter().find(is) {
            return match leaving.presence {
                Presence::Main => Self::Leaving,
                Presence::Rest => Self::Rest,
            };
        }
        if machine.serving_generation() == Some(generation) {
            return Self::Serving;
        }
        match &machine.phase {
            Phase::Swapping { next, .. }
                if next.step.is(generation) || next.step == (Step::Forking { generation }) =>
            {
                Self::Candidate
            }
            Phase::Stopping(stopping) if stopping.forking == Some(generation) => Self::Candidate,
            Phase::New
            | Phase::Steady { .. }
            | Phase::Swapping { .. }
            | Phase::Stopping(_)
            | Phase::Finished => Self::Stranger,
        }
    }
}

impl EventKind {
    pub(super) fn of(event: &Event) -> (Self, Option<Generation>) {
        match event {
            Event::Start => (Self::Start, None),
            Event::Forked { generation, .. } => (Self::Forked, Some(*generation)),
            Event::Executed { generation } => (Self::Executed, Some(*generation)),
            Event::NotStarted { generation, .. } => (Self::NotStarted, Some(*generation)),
            Event::Lingers { generation, .. } => (Self::Lingers, Some(*generation)),
            Event::Probed { generation, .. } => (Self::Probed, Some(*generation)),
            Event::Exited { generation, .. } => (Self::Exited, Some(*generation)),
            Event::Said { generation, word } => {
                let kind = match word {
                    Word::Ready => Self::Ready,
                    Word::FoundReady => Self::FoundReady,
                    Word::Status(_) => Self::Status,
                    Word::Extend(_) => Self::Extend,
                    Word::Broken(_) => Self::Broken,
                    Word::Alive => Self::Alive,
                    Word::Period(_) => Self::Period,
                    Word::Hung => Self::Hung,
                };
                (kind, Some(*generation))
            }
            Event::Reload(request) => {
                let kind = match request.origin {
                    Origin::ControlProcess => Self::ReloadByControlProcess,
                    Origin::Client => Self::ReloadByClient,
                    Origin::Hangup => Self::ReloadByHangup,
                    Origin::Timer => Self::ReloadByTimer,
                };
                (kind, None)
            }
            Event::Stop { by, .. } => match by {
                StopBy::Terminate => (Self::Terminate, None),
                StopBy::Quit => (Self::Quit, None),
                StopBy::Interrupt => (Self::Interrupt, None),
            },
            Event::Gone { .. } => (Self::Gone, None),
            Event::Retuned { .. } => (Self::Retuned, None),
            Event::Tick => (Self::Tick, None),
            Event::Upgrade { .. } => (Self::Upgrade, None),
            Event::Checked { answer: Ok(_) } => (Self::CanTakeOver, None),
            Event::Checked { answer: Err(_) } => (Self::CannotTakeOver, None),
            Event::Replaced { .. } => (Self::Replaced, None),
            Event::Recovered => (Self::Recovered, None),
            Event::NotReplaced { .. } => (Self::NotReplaced, None),
        }
    }

    /// One such event about `generation`, and whether it is about a generation at all.
    pub(super) fn sample(self, generation: Generation, stranger: Requester) -> (Event, bool) {
        let said = |word| (Event::Said { generation, word }, true);
        let second = Duration::from_secs(1);
        let exit = Exit::Status(1);
        let reload = |origin| {
            let request = Request {
                requester: Some(stranger),
                origin,
                only_if: None,
            };
            (Event::Reload(request), false)
        };
        let stop = |by| {
            let requester = Some(stranger);
            (Event::Stop { requester, by }, false)
        };
        match self {
            Self::Start => (Event::Start, false),
            Self::Forked => {
                let pid = 100;
                (Event::Forked { generation, pid }, true)
            }
            Self::Executed => (Event::Executed { generation }, true),
            Self::NotStarted => {
                let (text, errno) = ("forking".into(), 11);
                let event = Event::NotStarted {
                    generation,
                    text,
                    errno,
                };
                (event, true)
            }
            Self::Lingers => (Event::Lingers { generation, exit }, true),
            Self::Probed => {
                let ready = true;
                (Event::Probed { generation, ready }, true)
            }
            Self::Exited => (Event::Exited { generation, exit }, true),
            Self::Ready => said(Word::Ready),
            Self::FoundReady => said(Word::FoundReady),
            Self::Status => said(Word::Status("words".into())),
            Self::Extend => said(Word::Extend(second)),
            Self::Broken => said(Word::Broken("ERRNO=5".into())),
            Self::Alive => said(Word::Alive),
            Self::Period => said(Word::Period(second)),
            Self::Hung => said(Word::Hung),
            Self::ReloadByControlProcess => reload(Origin::ControlProcess),
            Self::ReloadByClient => reload(Origin::Client),
            Self::ReloadByHangup => reload(Origin::Hangup),
            Self::ReloadByTimer => reload(Origin::Timer),
            Self::Upgrade => {
                let requester = Some(stranger);
                (Event::Upgrade { requester }, false)
            }
            Self::CanTakeOver => {
                let answer = Ok("2".into());
                (Event::Checked { answer }, false)
            }
            Self::CannotTakeOver => {
                let answer = Err("crashed".into());
                (Event::Checked { answer }, false)
            }
            Self::Replaced => {
                let from = "1".into();
                (Event::Replaced { from }, false)
            }
            Self::Recovered => (Event::Recovered, false),
            Self::NotReplaced => {
                let reason = "executing".into();
                (Event::NotReplaced { reason }, false)
            }
            Self::Terminate => stop(StopBy::Terminate),
            Self::Quit => stop(StopBy::Quit),
            Self::Interrupt => stop(StopBy::Interrupt),
            Self::Gone => {
                let requester = stranger;
                (Event::Gone { requester }, false)
            }
            Self::Retuned => {
                let event = Event::Retuned {
                    kill_old_delay: second,
                    auto_restart: Some(second * 3600),
                };
                (event, false)
            }
            Self::Tick => (Event::Tick, false),
        }
    }
}
