//! Drains and stops: how generations go, and what they leave behind.

use super::*;

#[test]
fn a_drain_that_takes_too_long_ends_in_a_kill() {
    let mut machine = serving(Policy {
        drain_timeout: Some(Duration::from_secs(2)),
        ..policy()
    });
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(said(2, Word::Ready), at(100));
    assert_eq!(machine.deadline(), Some(at(2100)));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(2100)),
        [Action::Kill(generation(1))]
    );
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(9000)),
        [],
        "and is killed once"
    );
}

#[test]
fn too_many_draining_generations_cost_the_oldest_its_life() {
    let mut machine = serving(Policy {
        max_draining: Some(1),
        ..policy()
    });
    for number in 2..4 {
        machine.step(HANGUP, at(0));
        machine.step(forked(number), at(0));
        let actions = deeds(&mut machine, said(number, Word::Ready), at(100));
        assert_eq!(actions.contains(&Action::Kill(generation(1))), number == 3);
    }
}

#[test]
fn a_stop_tells_everybody_and_waits_for_them() {
    let mut machine = serving(policy());
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    let stop = Event::Stop {
        requester: Some(Requester(8)),
        by: StopBy::Terminate,
    };
    assert_eq!(
        deeds(&mut machine, stop, at(1)),
        [
            Action::Tell(Telling::Stopping),
            Action::Signal(generation(1), Signal::TERM),
            Action::Signal(generation(2), Signal::TERM),
            Action::Answer(Requester(7), Verdict::Stopping),
        ]
    );
    assert_eq!(
        deeds(&mut machine, HANGUP, at(2)),
        [],
        "nothing starts any more"
    );
    machine.step(exited(2, Exit::Status(0)), at(3));
    assert_eq!(
        deeds(&mut machine, exited(1, Exit::Status(0)), at(4)),
        [
            Action::Answer(Requester(8), Verdict::Stopped),
            Action::Finish(Outcome::Stopped)
        ]
    );
}

#[test]
fn a_stop_that_takes_too_long_ends_in_a_kill() {
    let mut machine = serving(Policy {
        stop_timeout: Some(Duration::from_secs(2)),
        ..policy()
    });
    machine.step(
        Event::Stop {
            requester: None,
            by: StopBy::Terminate,
        },
        at(0),
    );
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(2000)),
        [Action::Kill(generation(1))]
    );
}

#[test]
fn each_occasion_has_its_signal_and_a_stop_is_for_those_who_drain_too() {
    let drained = || {
        let mut machine = serving(Policy {
            signal_on_hup: Signal::HUP,
            signal_on_term: Signal::QUIT,
            drain_timeout: Some(Duration::from_secs(60)),
            stop_timeout: Some(Duration::from_secs(2)),
            ..policy()
        });
        machine.step(HANGUP, at(0));
        machine.step(forked(2), at(0));
        let actions = deeds(&mut machine, said(2, Word::Ready), at(10));
        assert_eq!(actions[0], Action::Signal(generation(1), Signal::HUP));
        machine
    };
    for (by, signal) in [
        (StopBy::Terminate, Signal::QUIT),
        (StopBy::Quit, Signal::QUIT),
        (StopBy::Interrupt, Signal::TERM),
    ] {
        let mut machine = drained();
        let requester = None;
        assert_eq!(
            deeds(&mut machine, Event::Stop { requester, by }, at(1000)),
            [
                Action::Tell(Telling::Stopping),
                Action::Signal(generation(1), signal),
                Action::Signal(generation(2), signal),
            ]
        );
        assert_eq!(
            deeds(&mut machine, Event::Tick, at(3000)),
            [Action::Kill(generation(1)), Action::Kill(generation(2))],
            "whatever time it had to drain"
        );
    }
}

#[test]
fn a_stop_waits_for_the_answer_to_a_fork() {
    let mut machine = Machine::new(policy());
    machine.step(Event::Start, at(0));
    let stop = Event::Stop {
        requester: None,
        by: StopBy::Terminate,
    };
    assert_eq!(
        deeds(&mut machine, stop, at(0)),
        [Action::Tell(Telling::Stopping)],
        "a process may be about to exist"
    );
    assert_eq!(
        deeds(&mut machine, forked(1), at(1)),
        [Action::Signal(generation(1), Signal::TERM)]
    );
    assert_eq!(
        deeds(&mut machine, exited(1, Exit::Status(0)), at(2)),
        [Action::Finish(Outcome::Stopped)]
    );
}

#[test]
fn a_second_interrupt_kills_at_once() {
    let mut machine = serving(policy());
    let interrupt = Event::Stop {
        requester: None,
        by: StopBy::Interrupt,
    };
    machine.step(interrupt.clone(), at(0));
    assert_eq!(
        deeds(&mut machine, interrupt, at(1)),
        [Action::Kill(generation(1))]
    );
}

#[test]
fn what_an_old_generation_left_behind_has_its_drain_timeout() {
    let mut machine = serving(Policy {
        drain_timeout: Some(Duration::from_secs(5)),
        ..policy()
    });
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(said(2, Word::Ready), at(0));
    assert_eq!(
        deeds(&mut machine, lingers(1, Exit::Status(0)), at(1000)),
        []
    );
    assert!(machine.snapshot().is_draining());
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(5000)),
        [Action::Sweep(generation(1))]
    );
    machine.step(exited(1, Exit::Status(0)), at(5010));
    assert!(!machine.snapshot().is_draining());
}

#[test]
fn what_a_dead_generation_left_behind_is_killed_at_once() {
    let mut machine = serving(policy());
    assert_eq!(
        deeds(&mut machine, lingers(1, Exit::Status(1)), at(1000)),
        [Action::Spawn(generation(2)), Action::Sweep(generation(1))]
    );
    machine.step(forked(2), at(1000));
    let stop = Event::Stop {
        requester: None,
        by: StopBy::Terminate,
    };
    assert_eq!(
        deeds(&mut machine, stop, at(1100)),
        [
            Action::Tell(Telling::Stopping),
            Action::Signal(generation(2), Signal::TERM)
        ],
        "what is left of the first one is not signalled"
    );
    assert_eq!(
        deeds(&mut machine, exited(2, Exit::Status(0)), at(1200)),
        []
    );
    assert_eq!(
        deeds(&mut machine, exited(1, Exit::Status(1)), at(1300)),
        [Action::Finish(Outcome::Stopped)]
    );
}

#[test]
fn a_stop_does_not_wait_for_what_nobody_leads() {
    let mut machine = serving(policy());
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(said(2, Word::Ready), at(0));
    machine.step(lingers(1, Exit::Status(0)), at(10));
    let stop = Event::Stop {
        requester: None,
        by: StopBy::Terminate,
    };
    machine.step(stop, at(20));
    assert_eq!(
        deeds(&mut machine, lingers(2, Exit::Status(0)), at(30)),
        [Action::Sweep(generation(1)), Action::Sweep(generation(2))]
    );
}
