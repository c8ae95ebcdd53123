//! How a generation comes up, or does not.

use super::*;

#[test]
fn the_first_generation_is_ready_after_the_interval() {
    let mut machine = Machine::new(policy());
    assert_eq!(
        deeds(&mut machine, Event::Start, at(0)),
        [Action::Spawn(generation(1))]
    );
    assert_eq!(deeds(&mut machine, forked(1), at(1)), []);
    assert_eq!(deeds(&mut machine, executed(1), at(2)), []);
    assert_eq!(machine.deadline(), Some(at(1002)));
    assert_eq!(deeds(&mut machine, Event::Tick, at(1001)), []);
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(1002)),
        [Action::Tell(Telling::Ready)]
    );
    assert_eq!(machine.deadline(), None, "idle means no timer");
}

#[test]
fn ready_from_the_worker_cuts_the_interval_short() {
    let mut machine = Machine::new(policy());
    machine.step(Event::Start, at(0));
    machine.step(forked(1), at(0));
    assert_eq!(
        deeds(&mut machine, said(1, Word::Ready), at(5)),
        [Action::Tell(Telling::Ready)]
    );
}

#[test]
fn under_alive_ready_from_the_worker_means_nothing() {
    let mut machine = Machine::new(Policy {
        readiness: Readiness::Alive,
        ..policy()
    });
    machine.step(Event::Start, at(0));
    machine.step(forked(1), at(0));
    machine.step(executed(1), at(0));
    assert_eq!(deeds(&mut machine, said(1, Word::Ready), at(5)), []);
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(1000)),
        [Action::Tell(Telling::Ready)]
    );
}

#[test]
fn b1_a_second_hangup_does_not_cut_the_interval_short() {
    let mut machine = serving(policy());
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(executed(2), at(0));
    assert_eq!(deeds(&mut machine, HANGUP, at(300)), []);
    let actions = deeds(&mut machine, exited(2, Exit::Status(1)), at(600));
    assert_eq!(
        actions,
        [
            Action::Tell(Telling::Ready),
            Action::Tell(Telling::Reloading),
            Action::Spawn(generation(3))
        ],
        "the old one was not told to stop; the second request gets its own try"
    );
}

#[test]
fn a_candidate_that_is_never_ready_is_told_to_go_and_killed_after_its_grace() {
    let mut machine = serving(Policy {
        readiness: Readiness::Notify,
        start_timeout: Some(Duration::from_secs(3)),
        ..policy()
    });
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    machine.step(executed(2), at(0));
    let actions = deeds(&mut machine, Event::Tick, at(3000));
    assert_eq!(actions[0], Action::Signal(generation(2), Signal::TERM));
    assert_eq!(
        verdict(&actions),
        [(
            7,
            "generation 2 failed: not ready after 3 s; generation 1 keeps serving".to_owned()
        )]
    );
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(13_000)),
        [Action::Kill(generation(2))]
    );
}

#[test]
fn the_worker_can_extend_its_start() {
    let mut machine = serving(Policy {
        readiness: Readiness::Notify,
        start_timeout: Some(Duration::from_secs(3)),
        ..policy()
    });
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(executed(2), at(0));
    machine.step(said(2, Word::Extend(Duration::from_secs(10))), at(1000));
    assert_eq!(deeds(&mut machine, Event::Tick, at(10_999)), []);
    assert_eq!(
        deeds(&mut machine, said(2, Word::Ready), at(10_999)).len(),
        2
    );
}

#[test]
fn the_worker_cannot_shorten_its_start() {
    let mut machine = serving(Policy {
        readiness: Readiness::Notify,
        start_timeout: Some(Duration::from_secs(3)),
        ..policy()
    });
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    let word = || Word::Extend(Duration::from_millis(500));
    machine.step(said(2, word()), at(1000));
    machine.step(executed(2), at(1001));
    machine.step(said(2, word()), at(1002));
    assert_eq!(deeds(&mut machine, Event::Tick, at(2999)), []);
    assert!(!deeds(&mut machine, Event::Tick, at(3000)).is_empty());
}

#[test]
fn ready_is_about_the_one_that_says_it() {
    let mut machine = serving(policy());
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(said(2, Word::Ready), at(10));
    machine.step(HANGUP, at(20));
    machine.step(forked(3), at(20));
    for number in [1, 2, 9] {
        let actions = deeds(&mut machine, said(number, Word::Ready), at(30));
        assert_eq!(actions, [], "{number} is not on its way");
    }
    assert_eq!(machine.serving_generation(), Some(generation(2)));
}

#[test]
fn attempts_pause_longer_each_time() {
    let mut machine = serving(Policy {
        attempts: Attempts::Unlimited,
        ..policy()
    });
    machine.step(HANGUP, at(0));
    let mut now = 0;
    for (number, pause) in [(2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30)] {
        machine.step(forked(number), at(now));
        machine.step(exited(number, Exit::Status(1)), at(now));
        assert_eq!(machine.snapshot().newest, Some(generation(number)));
        now += pause * 1000;
        assert_eq!(deeds(&mut machine, Event::Tick, at(now - 1)), []);
        let actions = deeds(&mut machine, Event::Tick, at(now));
        assert_eq!(actions, [Action::Spawn(generation(number + 1))]);
    }
}

#[test]
fn the_first_generation_that_cannot_start_ends_the_program() {
    let mut machine = Machine::new(policy());
    machine.step(Event::Start, at(0));
    machine.step(forked(1), at(0));
    let actions = deeds(&mut machine, exited(1, Exit::Status(1)), at(10));
    assert_eq!(actions, [Action::Finish(Outcome::NeverServed)]);
    assert!(machine.is_finished());
}

#[test]
fn systemd_is_asked_for_more_time_while_it_waits() {
    let mut machine = serving(Policy {
        readiness: Readiness::Notify,
        ..policy()
    });
    let extends = |actions: Vec<Action>| {
        actions
            .iter()
            .any(|action| matches!(action, Action::Tell(Telling::Extend(_))))
    };
    assert!(extends(machine.step(asked_by(1), at(0))));
    machine.step(forked(2), at(0));
    assert_eq!(machine.deadline(), Some(at(10_000)));
    assert!(extends(machine.step(Event::Tick, at(10_000))));
    machine.step(said(2, Word::Ready), at(10_001));
    assert_eq!(machine.deadline(), None);
}
