//! A check that cannot fail shows nothing: for each law a machine that breaks it, and is caught.

use super::lives;
use super::world::World;
use crate::core::{Action, Event, Now, Telling, Verdict};
use crate::protocol::generation::Generation;

/// What is wrong with the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bug {
    StartsTwo,
    DismissesTooEarly,
    DismissesDuringTheTrial,
    OwesReady,
    AnnouncesTwice,
    SignalsTheDead,
    LosesARequest,
    StacksStarts,
    ReusesANumber,
    StartsAfterAStop,
    NeverKills,
    NeverEnds,
    Panics,
    NeverAnswers,
    AnswersTwice,
    Lies,
    NeverTriesAgain,
    WritesAfterTheDeeds,
    ForgetsWhatItOwes,
}

impl World {
    /// The machine's step, through the bug that it is to have.
    pub(super) fn step_with_bug(&mut self, event: Event, now: Now) -> Vec<Action> {
        let Some(bug) = self.bug else {
            return self.machine.step(event, now);
        };
        let asked = matches!(event, Event::Reload(_));
        let stop = matches!(event, Event::Stop { .. });
        let tick = matches!(event, Event::Tick);
        let ended = if let Event::Exited { generation, .. } = event {
            Some(generation)
        } else {
            None
        };
        let swapping = self.machine.snapshot().swapping;
        let served = self.machine.serving_generation();
        let trial = self
            .machine
            .snapshot()
            .generations
            .iter()
            .any(|seen| seen.state == crate::core::State::Trial);
        let hup = self.machine.policy.signal_on_hup;
        if bug == Bug::LosesARequest && asked && swapping {
            return Vec::new();
        }
        if bug == Bug::Panics && ended.is_some() && swapping {
            assert!(!trial, "law 8: seeded");
        }
        let mut actions = self.machine.step(event, now);
        let spawned = actions.iter().find_map(|action| {
            if let Action::Spawn(generation) = action {
                Some(*generation)
            } else {
                None
            }
        });
        match bug {
            Bug::StartsTwo => {
                actions.extend(spawned.map(|generation| Action::Spawn(generation.next())));
            }
            Bug::DismissesTooEarly => {
                let old = served.filter(|_| spawned.is_some() && asked);
                actions.extend(old.map(|generation| Action::Signal(generation, hup)));
            }
            Bug::DismissesDuringTheTrial => {
                let old = served.filter(|_| trial);
                actions.extend(old.map(|generation| Action::Signal(generation, hup)));
            }
            Bug::OwesReady => {
                let first = !self.heard.active;
                actions.retain(|action| first || *action != Action::Tell(Telling::Ready));
            }
            Bug::AnnouncesTwice => {
                if actions.contains(&Action::Tell(Telling::Reloading)) {
                    actions.insert(0, Action::Tell(Telling::Reloading));
                }
            }
            Bug::SignalsTheDead => {
                actions.extend(ended.map(|generation| Action::Signal(generation, hup)));
            }
            Bug::StacksStarts => {
                // A start for each request that waited, and not one for all of them.
                if asked && swapping {
                    self.stacked += 1;
                }
                let again = &mut self.machine.again;
                if again.is_empty() && self.stacked > 0 && spawned.is_some() {
                    self.stacked -= 1;
                    again.push(crate::core::queue::TIMER_REQUEST);
                }
            }
            Bug::ReusesANumber => {
                for action in &mut actions {
                    if let Action::Spawn(generation) = action {
                        *generation = Generation::FIRST;
                    }
                }
            }
            Bug::StartsAfterAStop => {
                if stop {
                    let next = self
                        .machine
                        .newest
                        .map_or(Generation::FIRST, Generation::next);
                    actions.push(Action::Spawn(next));
                }
            }
            Bug::NeverKills => {
                actions.retain(|action| !matches!(action, Action::Kill(_) | Action::Sweep(_)));
            }
            Bug::NeverEnds => actions.retain(|action| !matches!(action, Action::Finish(_))),
            Bug::NeverAnswers => actions.retain(|action| !matches!(action, Action::Answer(..))),
            Bug::AnswersTwice => {
                let first = actions
                    .iter()
                    .find(|action| matches!(action, Action::Answer(..)));
                let first = first.cloned();
                actions.extend(first);
            }
            Bug::Lies => {
                for action in &mut actions {
                    if let Action::Answer(_, verdict @ Verdict::Failed { .. }) = action {
                        let newest = self.machine.newest.unwrap_or(Generation::FIRST);
                        *verdict = Verdict::Serving(newest);
                    }
                }
            }
            Bug::NeverTriesAgain => {
                if tick {
                    actions.retain(|action| !matches!(action, Action::Spawn(_)));
                }
            }
            // The last two are the shell's: see `die`.
            Bug::LosesARequest
            | Bug::Panics
            | Bug::WritesAfterTheDeeds
            | Bug::ForgetsWhatItOwes => {}
        }
        actions
    }
}

/// Some life shows it, and the complaint is about that law.
#[track_caller]
fn is_caught(bug: Bug, law: &str) {
    let mut others = Vec::new();
    for seed in 0..2000 {
        match lives::live(seed, 60, Some(bug), None) {
            Ok(_) => {}
            Err(complaint) if complaint.contains(law) => return,
            Err(complaint) => others.push(complaint),
        }
    }
    others.truncate(3);
    assert_eq!(others, [""; 0], "{bug:?} is not caught by {law}");
}

macro_rules! caught {
    ($($test:ident: $bug:ident, $law:literal;)*) => {
        $(#[test]
        fn $test() {
            is_caught(Bug::$bug, $law);
        })*
    };
}

caught! {
    law_1_catches_two_candidates: StartsTwo, "law 1";
    law_2_catches_a_dismissal_before_the_successor: DismissesTooEarly, "law 2";
    law_2_catches_a_dismissal_during_the_trial: DismissesDuringTheTrial, "law 2";
    law_3_catches_a_ready_that_is_owed: OwesReady, "law 3";
    law_3_catches_a_second_reloading: AnnouncesTwice, "law 3";
    law_4_catches_a_signal_to_the_dead: SignalsTheDead, "law 4";
    law_5_catches_a_lost_request: LosesARequest, "law 5";
    law_5_catches_stacked_starts: StacksStarts, "law 5";
    law_6_catches_a_number_used_twice: ReusesANumber, "law 6";
    law_7_catches_a_start_after_a_stop: StartsAfterAStop, "law 7";
    law_7_catches_a_deadline_that_passes: NeverKills, "law 7";
    law_7_catches_a_stop_that_never_ends: NeverEnds, "law 7";
    law_8_catches_a_panic: Panics, "law 8";
    law_9_catches_a_silence: NeverAnswers, "law 9";
    law_9_catches_a_second_answer: AnswersTwice, "law 9";
    law_9_catches_a_lie: Lies, "law 9";
    liveness_catches_a_build_that_is_never_tried_again: NeverTriesAgain, "alive";
    law_6_catches_a_fork_that_was_not_written_down_before: WritesAfterTheDeeds, "law 6";
    liveness_catches_a_signal_that_was_lost_with_a_supervisor: ForgetsWhatItOwes, "alive: nobody told";
}
