//! What takes the place of a generation that died, and what is restarted by the clock.

use super::*;

#[test]
fn a_serving_generation_that_dies_is_replaced_at_once_then_with_pauses() {
    let mut machine = serving(policy());
    let killed = Exit::Killed {
        signal: Signal::KILL,
        core: false,
    };
    assert_eq!(
        deeds(&mut machine, exited(1, killed), at(5000)),
        [Action::Spawn(generation(2))]
    );
    machine.step(forked(2), at(5000));
    machine.step(said(2, Word::Ready), at(5100));
    assert_eq!(
        deeds(&mut machine, exited(2, killed), at(5200)),
        [],
        "not a fork storm"
    );
    assert_eq!(machine.deadline(), Some(at(6200)));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(6200)),
        [Action::Spawn(generation(3))]
    );
}

#[test]
fn a_worker_that_now_fails_and_now_dies_young_has_pauses_that_grow_all_the_same() {
    let mut machine = serving(policy());
    let mut now = at(5000);
    let mut pauses = Vec::new();
    machine.step(exited(1, Exit::Status(1)), now);
    for number in 2..=9 {
        machine.step(forked(number), now);
        // Each second one comes up, only to die.
        if number % 2 == 1 {
            machine.step(said(number, Word::Ready), now);
        }
        machine.step(exited(number, Exit::Status(1)), now);
        let until = machine.deadline().unwrap();
        pauses.push(until.since(now).as_secs());
        now = until;
        machine.step(Event::Tick, now);
    }
    assert_eq!(pauses, [1, 1, 2, 2, 4, 4, 8, 8]);
}

#[test]
fn a_replacement_is_tried_whatever_attempts_says() {
    let mut machine = serving(policy());
    machine.step(exited(1, Exit::Status(1)), at(0));
    machine.step(forked(2), at(0));
    machine.step(exited(2, Exit::Status(1)), at(10));
    assert!(!machine.is_finished());
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(1010)),
        [Action::Spawn(generation(3))]
    );
}

#[test]
fn the_automatic_restart_waits_for_the_drained_but_not_for_ever() {
    let mut machine = serving(Policy {
        auto_restart: Some(Duration::from_secs(60)),
        ..policy()
    });
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(60_000)),
        [Action::Spawn(generation(2))]
    );
    machine.step(forked(2), at(60_000));
    machine.step(said(2, Word::Ready), at(60_000));
    assert_eq!(
        machine.deadline(),
        Some(at(180_000)),
        "generation 1 still drains"
    );
    machine.step(exited(1, Exit::Status(0)), at(70_000));
    assert_eq!(machine.deadline(), Some(at(120_000)));
}

#[test]
fn an_automatic_restart_that_fails_is_not_tried_again_at_once() {
    let mut machine = serving(Policy {
        auto_restart: Some(Duration::from_secs(60)),
        ..policy()
    });
    machine.step(Event::Tick, at(60_000));
    machine.step(forked(2), at(60_000));
    let actions = deeds(&mut machine, exited(2, Exit::Status(1)), at(60_100));
    assert_eq!(actions, [], "found by the laws: a fork storm");
    assert_eq!(machine.deadline(), Some(at(120_100)));
}

#[test]
fn the_automatic_restart_says_whether_it_was_put_off() {
    let mut machine = serving(Policy {
        auto_restart: Some(Duration::from_secs(60)),
        ..policy()
    });
    let note = |actions: Vec<Action>| actions.into_iter().next();
    let restart = |forced| {
        let interval = Duration::from_secs(60);
        Some(Action::Note(Note::AutoRestart { interval, forced }))
    };
    assert_eq!(note(machine.step(Event::Tick, at(60_000))), restart(false));
    machine.step(forked(2), at(60_000));
    machine.step(said(2, Word::Ready), at(60_000));
    assert_eq!(
        note(machine.step(Event::Tick, at(180_000))),
        restart(true),
        "generation 1 still drains"
    );
}

#[test]
fn a_crash_loop_of_a_thousand_exits_writes_a_few_dozen_lines() {
    let mut machine = serving(policy());
    let mut lines = 0;
    let mut now = 0;
    for number in 1..1000 {
        lines += machine_lines(machine.step(exited(number, Exit::Status(1)), at(now)));
        now += 31_000;
        lines += machine_lines(machine.step(Event::Tick, at(now)));
        lines += machine_lines(machine.step(forked(number + 1), at(now)));
        lines += machine_lines(machine.step(said(number + 1, Word::Ready), at(now)));
        now += 100;
    }
    assert!((12..60).contains(&lines), "{lines}");
}

#[test]
fn a_thousand_failing_attempts_write_a_few_dozen_lines() {
    let mut machine = Machine::new(Policy {
        attempts: Attempts::Unlimited,
        ..policy()
    });
    let mut lines = machine_lines(machine.step(Event::Start, at(0)));
    let mut now = 0;
    for number in 1..1000 {
        lines += machine_lines(machine.step(forked(number), at(now)));
        lines += machine_lines(machine.step(exited(number, Exit::Status(1)), at(now)));
        now += 31_000;
        lines += machine_lines(machine.step(Event::Tick, at(now)));
    }
    assert!((12..40).contains(&lines), "{lines}");
}

fn machine_lines(actions: Vec<Action>) -> usize {
    let worth = |action: &&Action| match action {
        Action::Note(Note::Ready { again, .. }) => !again,
        Action::Note(_) => true,
        _ => false,
    };
    actions.iter().filter(worth).count()
}
