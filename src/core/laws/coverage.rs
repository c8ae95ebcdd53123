//! Every event in every state: what the world brings about by itself, and for the rest a copy of the
//! machine that is told something that is not so.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds::{About, EventKind, State};
use crate::core::machine::Machine;
use crate::core::{Action, Event, Now, Requester};
use crate::protocol::generation::Generation;

/// An event, about whom.
pub(super) type Happening = (EventKind, Option<About>);

/// What was exercised.
#[derive(Default)]
pub(super) struct Coverage {
    /// In a world in which it was true.
    pub(super) lived: BTreeMap<(State, Happening), u64>,
    /// On a copy.
    pub(super) told: BTreeSet<(State, Happening)>,
    visits: BTreeMap<State, u64>,
    /// How many questions that were.
    pub(super) asked: u64,
}

/// A copy is asked at so many of the first visits of each state, and then at one in so many: many
/// different pasts of one state.
const ASKED_AT_FIRST: u64 = 100;
const THEN_ONE_IN: u64 = 128;

impl Coverage {
    pub(super) fn happens(&mut self, machine: &Machine, event: &Event) {
        let (kind, generation) = EventKind::of(event);
        let about = generation.map(|generation| About::of(machine, generation));
        let key = (State::of(machine), (kind, about));
        *self.lived.entry(key).or_default() += 1;
    }

    /// Asks copies of the machine about everything that could be told to it here.
    pub(super) fn ask(&mut self, machine: &Machine, now: Now) {
        let state = State::of(machine);
        let visits = self.visits.entry(state).or_default();
        *visits += 1;
        if *visits > ASKED_AT_FIRST && *visits % THEN_ONE_IN != 0 {
            return;
        }
        let mut known: Vec<Generation> = machine
            .leaving
            .iter()
            .map(|l| l.worker.generation)
            .collect();
        known.extend(machine.serving_generation());
        known.extend(machine.newest);
        // Of the future, so that it is nobody for sure.
        let newest = machine.newest.unwrap_or(Generation::FIRST);
        known.push(newest.next().next());
        for generation in known {
            for kind in EventKind::ALL {
                let requester = Requester(u64::MAX - 1);
                let (event, is_about) = kind.sample(generation, requester);
                let about = is_about.then(|| About::of(machine, generation));
                check_told(machine, event, about, now);
                self.asked += 1;
                self.told.insert((state, (*kind, about)));
            }
        }
    }

    /// The pairs that nobody has exercised.
    pub(super) fn missing(&self) -> Vec<(State, Happening)> {
        let done =
            |pair: &(State, Happening)| self.told.contains(pair) || self.lived.contains_key(pair);
        pairs().into_iter().filter(|pair| !done(pair)).collect()
    }
}

/// Every pair that there is.
pub(super) fn pairs() -> Vec<(State, Happening)> {
    let mut pairs = Vec::new();
    for state in State::all() {
        for kind in EventKind::ALL {
            let (_, is_about) = kind.sample(Generation::FIRST, Requester(0));
            if is_about {
                let abouts = About::ALL.iter().filter(|about| state.has(**about));
                pairs.extend(abouts.map(|about| (state, (*kind, Some(*about)))));
            } else {
                pairs.push((state, (*kind, None)));
            }
        }
    }
    pairs
}

/// Whatever it is told, and be it a lie: what holds of every single step.
fn check_told(machine: &Machine, event: Event, about: Option<About>, now: Now) {
    let mut copy = machine.clone();
    let case = format!("{event:?} in {:?}", State::of(machine));
    let was_over = machine.is_finished();
    // A crash ends what was asked for: whoever starts us again wants it to run.
    let was_stopping = machine.snapshot().stopping && !matches!(event, Event::Recovered);
    let actions = copy.step(event, now);
    if about == Some(About::Stranger) {
        // A stranger's news are no news.
        let same = machine.clone().step(Event::Tick, now);
        assert_eq!(actions, same, "law 8: heard a stranger: {case}");
    }
    let mut newest = machine.newest;
    for (place, action) in actions.iter().enumerate() {
        match action {
            Action::Spawn(generation) => {
                assert!(newest < Some(*generation), "law 6: {case}");
                assert!(!was_stopping, "law 7: {case}");
                newest = Some(*generation);
            }
            Action::Finish(_) => {
                assert!(!was_over, "law 7: the end twice: {case}");
                assert_eq!(
                    place + 1,
                    actions.len(),
                    "law 7: more after the end: {case}"
                );
            }
            Action::Signal(..)
            | Action::Kill(_)
            | Action::Sweep(_)
            | Action::Probe(_)
            | Action::EndProbe(_)
            | Action::Check
            | Action::EndCheck
            | Action::Tell(_)
            | Action::Answer(..)
            | Action::Note(_) => {}
        }
    }
    copy.step(Event::Tick, now);
    let ahead = copy.deadline().is_none_or(|moment| moment > now);
    assert!(ahead || copy.is_finished(), "a timer in the past: {case}");
}
