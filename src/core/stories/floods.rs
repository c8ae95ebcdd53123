//! Stories of those who ask too often: what is gathered into one swap, and what never waits.

use std::collections::VecDeque;

use super::*;

/// A worker that boots so fast keeps the machine idle between two requests of a flood.
const BOOT: u64 = 10;

fn client(requester: u64) -> Event {
    Event::Reload(Request {
        requester: Some(Requester(requester)),
        origin: Origin::Client,
        only_if: None,
    })
}

/// A machine that serves, its workers, and everybody who got a verdict.
struct Flooded {
    machine: Machine,
    /// When each start was asked for, in milliseconds.
    starts: Vec<u64>,
    booting: VecDeque<(u64, u64)>,
    answered: Vec<u64>,
    builds_work: bool,
}

impl Flooded {
    fn new(policy: Policy) -> Self {
        Self {
            machine: serving(policy),
            starts: Vec::new(),
            booting: VecDeque::new(),
            answered: Vec::new(),
            builds_work: true,
        }
    }

    fn step(&mut self, event: Event, now: u64) {
        for action in self.machine.step(event, at(now)) {
            match action {
                Action::Spawn(generation) => {
                    self.starts.push(now);
                    self.booting.push_back((generation.get(), now + BOOT));
                }
                Action::Answer(Requester(who), _) => self.answered.push(who),
                _ => {}
            }
        }
    }

    /// A millisecond passes, with this event in it.
    fn pass(&mut self, event: Option<Event>, now: u64) {
        self.step(event.unwrap_or(Event::Tick), now);
        let due = self.booting.front().is_some_and(|(_, ready)| *ready <= now);
        if let Some((number, _)) = due.then(|| self.booting.pop_front()).flatten() {
            self.step(forked(number), now);
            self.step(executed(number), now);
            if self.builds_work {
                self.step(said(number, Word::FoundReady), now);
            } else {
                self.step(exited(number, Exit::Status(1)), now);
            }
        }
    }

    fn flood(mut self, length: u64, event: impl Fn(u64) -> Option<Event>) -> Self {
        for now in 0..length + 3000 {
            let event = (now < length).then(|| event(now)).flatten();
            self.pass(event, now);
        }
        self
    }
}

#[test]
fn a_thousand_hangups_in_a_second_are_a_handful_of_generations() {
    let flooded = Flooded::new(policy()).flood(1000, |_| Some(HANGUP));
    assert_eq!(flooded.starts, [0, 10, 1000], "the last one after them all");
}

#[test]
fn a_hangup_in_every_swap_and_one_between_is_a_flood_too() {
    // Each finds the machine idle: the one before was ready by then.
    let flooded = Flooded::new(policy()).flood(1400, |now| (now % 20 == 0).then_some(HANGUP));
    assert_eq!(flooded.starts, [0, 20, 1000, 2000]);
}

#[test]
fn a_thousand_clients_at_once_are_a_handful_of_generations_and_all_are_answered() {
    let flooded = Flooded::new(policy()).flood(1000, |now| Some(client(now)));
    assert_eq!(flooded.starts, [0, 10, 1000]);
    let mut answered = flooded.answered;
    answered.sort_unstable();
    assert_eq!(answered, (0..1000).collect::<Vec<_>>());
}

#[test]
fn one_client_after_the_other_is_never_kept_waiting() {
    let mut flooded = Flooded::new(policy());
    for reload in 0..100 {
        let now = reload * (BOOT + 1);
        flooded.pass(Some(client(reload)), now);
        assert_eq!(flooded.starts.last(), Some(&now));
        for later in 1..=BOOT {
            flooded.pass(None, now + later);
        }
        assert_eq!(flooded.answered.last(), Some(&reload));
    }
}

#[test]
fn a_flood_on_a_build_that_fails_is_no_storm_of_forks() {
    for attempts in [Attempts::Unlimited, policy().attempts] {
        let mut flooded = Flooded::new(Policy {
            attempts,
            ..policy()
        });
        flooded.builds_work = false;
        let flooded = flooded.flood(3000, |_| Some(HANGUP));
        let begun = flooded.starts.len();
        assert!(begun <= 9, "{attempts:?}: {:?}", flooded.starts);
        let mut flooded = Flooded::new(Policy {
            attempts,
            ..policy()
        });
        flooded.builds_work = false;
        let flooded = flooded.flood(3000, |now| Some(client(now)));
        let begun = flooded.starts.len();
        assert!(begun <= 9, "{attempts:?}: {:?}", flooded.starts);
        assert_eq!(flooded.answered.len(), 3000);
    }
}

/// A machine in which two swaps have just been, so that the next hangup waits, and one does.
fn waiting() -> Machine {
    let mut machine = serving(policy());
    for number in [2, 3] {
        assert!(deeds(&mut machine, HANGUP, at(0)).contains(&Action::Spawn(generation(number))));
        machine.step(forked(number), at(0));
        machine.step(said(number, Word::Ready), at(0));
    }
    assert_eq!(deeds(&mut machine, HANGUP, at(10)), []);
    assert_eq!(machine.deadline(), Some(at(1000)));
    machine
}

#[test]
fn one_that_waits_for_its_turn_has_it_when_the_serving_one_dies() {
    let mut machine = waiting();
    let actions = deeds(&mut machine, exited(3, Exit::Status(1)), at(20));
    assert!(actions.contains(&Action::Spawn(generation(4))));
    machine.step(forked(4), at(20));
    machine.step(said(4, Word::Ready), at(30));
    assert_eq!(machine.deadline(), None, "one start for both");
}

#[test]
fn one_that_waits_for_its_turn_has_it_when_the_serving_one_hangs() {
    let mut machine = waiting();
    let actions = deeds(&mut machine, said(3, Word::Hung), at(20));
    assert!(actions.contains(&Action::Spawn(generation(4))));
    machine.step(forked(4), at(20));
    machine.step(said(4, Word::Ready), at(30));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(9000)),
        [],
        "one start for both"
    );
}

#[test]
fn one_that_waits_for_its_turn_is_answered_by_a_stop() {
    let mut machine = waiting();
    machine.step(client(7), at(20));
    let stop = Event::Stop {
        requester: None,
        by: StopBy::Terminate,
    };
    let actions = machine.step(stop, at(30));
    assert!(actions.contains(&Action::Answer(Requester(7), Verdict::Stopping)));
}

#[test]
fn systemd_is_asked_for_time_while_exec_reload_waits_for_its_turn() {
    let mut machine = waiting();
    let actions = machine.step(asked_by(7), at(20));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Tell(Telling::Extend(_)))),
        "{actions:?}"
    );
}

#[test]
fn somebody_who_waits_is_not_held_to_the_pace_of_hangups_that_are_over() {
    let mut machine = serving(policy());
    for number in [2, 3] {
        machine.step(HANGUP, at(0));
        machine.step(forked(number), at(0));
        machine.step(said(number, Word::Ready), at(0));
    }
    assert_eq!(
        deeds(&mut machine, asked_by(7), at(5)),
        [Action::Spawn(generation(4))]
    );
}
