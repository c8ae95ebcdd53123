//! The machine's life in readable stories: given this state, these events, expect these actions.

mod asking;
mod floods;
mod handing_over;

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// One attempt, one second, no trial, nobody is ever killed.
pub(super) fn policy() -> Policy {
    Policy {
        readiness: Readiness::Auto,
        interval: Duration::from_secs(1),
        start_timeout: Some(Duration::from_secs(90)),
        attempts: Attempts::AtMost(NonZeroU32::MIN),
        kill_old_delay: Duration::ZERO,
        drain_timeout: None,
        stop_timeout: None,
        max_draining: None,
        signal_on_hup: Signal::TERM,
        signal_on_term: Signal::TERM,
        worker_watchdog: None,
        auto_restart: None,
        sockets: 2,
    }
}

const fn at(millis: u64) -> Now {
    Now::at(Duration::from_millis(millis))
}

fn generation(number: u64) -> Generation {
    (1..number).fold(Generation::FIRST, |generation, _| generation.next())
}

fn pid(number: u64) -> i32 {
    4000 + i32::try_from(number).expect("small")
}

fn forked(number: u64) -> Event {
    Event::Forked {
        generation: generation(number),
        pid: pid(number),
    }
}

fn executed(number: u64) -> Event {
    Event::Executed {
        generation: generation(number),
    }
}

fn said(number: u64, word: Word) -> Event {
    Event::Said {
        generation: generation(number),
        word,
    }
}

fn exited(number: u64, exit: Exit) -> Event {
    Event::Exited {
        generation: generation(number),
        exit,
    }
}

fn asked_by(requester: u64) -> Event {
    Event::Reload(Request {
        requester: Some(Requester(requester)),
        origin: Origin::ControlProcess,
        only_if: None,
    })
}

const HANGUP: Event = Event::Reload(Request {
    requester: None,
    origin: Origin::Hangup,
    only_if: None,
});

/// A machine whose first generation serves since moment 0.
fn serving(policy: Policy) -> Machine {
    let mut machine = Machine::new(policy);
    for event in [
        Event::Start,
        forked(1),
        executed(1),
        said(1, Word::FoundReady),
    ] {
        machine.step(event, at(0));
    }
    assert_eq!(machine.serving_generation(), Some(generation(1)));
    machine
}

/// The actions of a step but for the log lines and the STATUS.
fn deeds(machine: &mut Machine, event: Event, now: Now) -> Vec<Action> {
    let mut actions = machine.step(event, now);
    actions.retain(|action| {
        !matches!(
            action,
            Action::Note(_) | Action::Tell(Telling::Status(_) | Telling::Extend(_))
        )
    });
    actions
}

fn status(machine: &mut Machine, event: Event, now: Now) -> Option<String> {
    machine
        .step(event, now)
        .into_iter()
        .rev()
        .find_map(|action| match action {
            Action::Tell(Telling::Status(text)) => Some(text),
            _ => None,
        })
}

fn verdict(actions: &[Action]) -> Vec<(u64, String)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Answer(Requester(who), verdict) => Some((*who, verdict.to_string())),
            _ => None,
        })
        .collect()
}

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
fn a_reload_swaps_and_only_then_tells_the_old_one_to_stop() {
    let mut machine = serving(policy());
    assert_eq!(
        deeds(&mut machine, asked_by(7), at(10_000)),
        [Action::Spawn(generation(2))]
    );
    machine.step(forked(2), at(10_000));
    machine.step(executed(2), at(10_001));
    let actions = deeds(&mut machine, said(2, Word::Ready), at(10_050));
    assert_eq!(
        actions,
        [
            Action::Signal(generation(1), Signal::TERM),
            Action::Answer(Requester(7), Verdict::Serving(generation(2))),
        ],
        "a control process's reload is not announced"
    );
    assert_eq!(
        status(&mut machine, exited(1, Exit::Status(0)), at(11_000)).as_deref(),
        Some("serving generation 2 (pid 4002) on 2 sockets")
    );
}

#[test]
fn a_failed_reload_keeps_the_old_one_and_says_why() {
    let mut machine = serving(policy());
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    machine.step(executed(2), at(1));
    machine.step(
        said(2, Word::Status("cannot open the database".into())),
        at(100),
    );
    let actions = deeds(&mut machine, exited(2, Exit::Status(3)), at(312));
    assert_eq!(
        verdict(&actions),
        [(
            7,
            "generation 2 failed: exited with status 3 after 312 ms, before it was ready \
             (it said: cannot open the database); generation 1 keeps serving"
                .to_owned()
        )]
    );
    assert_eq!(actions.len(), 1, "nobody is told to stop: {actions:?}");
    let snapshot = machine.snapshot();
    assert!(!snapshot.swapping);
    assert_eq!(
        snapshot.last_failure.map(|failure| failure.generation),
        Some(generation(2))
    );
}

#[test]
fn a_hangup_is_announced_and_concluded_also_when_the_swap_fails() {
    let mut machine = serving(policy());
    assert_eq!(
        deeds(&mut machine, HANGUP, at(0)),
        [
            Action::Tell(Telling::Reloading),
            Action::Spawn(generation(2))
        ]
    );
    let text = "executing /srv/app: No such file or directory".to_owned();
    let failed = Event::NotStarted {
        generation: generation(2),
        text,
        errno: 2,
    };
    assert_eq!(
        deeds(&mut machine, failed, at(1)),
        [Action::Tell(Telling::Ready)]
    );
}

#[test]
fn requests_during_a_swap_are_neither_lost_nor_stacked() {
    let mut machine = serving(policy());
    machine.step(asked_by(1), at(0));
    machine.step(forked(2), at(0));
    for requester in 2..5 {
        assert_eq!(deeds(&mut machine, asked_by(requester), at(100)), []);
    }
    let actions = deeds(&mut machine, said(2, Word::Ready), at(700));
    assert_eq!(
        actions,
        [
            Action::Signal(generation(1), Signal::TERM),
            Action::Spawn(generation(3)),
            Action::Answer(Requester(1), Verdict::Serving(generation(2))),
        ],
        "the exec of generation 3 comes after the last request, and it is the only one"
    );
    machine.step(forked(3), at(701));
    let actions = deeds(&mut machine, said(3, Word::Ready), at(1400));
    assert_eq!(verdict(&actions).len(), 3);
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
fn b5_a_death_on_trial_keeps_the_old_one() {
    let mut machine = serving(Policy {
        kill_old_delay: Duration::from_secs(5),
        ..policy()
    });
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    assert_eq!(deeds(&mut machine, said(2, Word::Ready), at(100)), []);
    let actions = deeds(&mut machine, exited(2, Exit::Status(1)), at(2600));
    assert_eq!(
        verdict(&actions),
        [(
            7,
            "generation 2 failed: exited with status 1 2.5 s after it was ready, while on trial; \
             generation 1 keeps serving"
                .to_owned()
        )]
    );
    assert_eq!(machine.serving_generation(), Some(generation(1)));
}

#[test]
fn a_trial_that_is_passed_ends_in_a_swap() {
    let mut machine = serving(Policy {
        kill_old_delay: Duration::from_secs(5),
        ..policy()
    });
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    machine.step(said(2, Word::Ready), at(100));
    assert_eq!(machine.deadline(), Some(at(5100)));
    let actions = deeds(&mut machine, Event::Tick, at(5100));
    assert_eq!(
        actions,
        [
            Action::Signal(generation(1), Signal::TERM),
            Action::Answer(Requester(7), Verdict::Serving(generation(2))),
        ]
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
fn the_serving_one_dies_during_a_trial_and_the_candidate_takes_over() {
    let mut machine = serving(Policy {
        kill_old_delay: Duration::from_secs(5),
        ..policy()
    });
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    machine.step(said(2, Word::Ready), at(100));
    let actions = deeds(&mut machine, exited(1, Exit::Status(1)), at(200));
    assert_eq!(
        actions,
        [Action::Answer(
            Requester(7),
            Verdict::Serving(generation(2))
        )]
    );
}

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
fn if_generation_is_a_compare_and_swap() {
    let mut machine = serving(policy());
    let only = |number| {
        Event::Reload(Request {
            requester: Some(Requester(9)),
            origin: Origin::Client,
            only_if: Some(generation(number)),
        })
    };
    let other = Verdict::OtherGeneration {
        serving: Some(generation(1)),
    };
    assert_eq!(
        deeds(&mut machine, only(3), at(0)),
        [Action::Answer(Requester(9), other)]
    );
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    assert_eq!(
        deeds(&mut machine, only(1), at(0)),
        [],
        "it waits for its turn"
    );
    let actions = deeds(&mut machine, said(2, Word::Ready), at(0));
    let other = Verdict::OtherGeneration {
        serving: Some(generation(2)),
    };
    assert!(
        actions.contains(&Action::Answer(Requester(9), other)),
        "and is judged again then"
    );
    assert!(!machine.snapshot().swapping);
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

fn lingers(number: u64, exit: Exit) -> Event {
    Event::Lingers {
        generation: generation(number),
        exit,
    }
}

fn probed(number: u64, ready: bool) -> Event {
    Event::Probed {
        generation: generation(number),
        ready,
    }
}

/// Each worker has to give a sign of life every two seconds.
fn watched() -> Policy {
    Policy {
        worker_watchdog: Some(Duration::from_secs(2)),
        ..policy()
    }
}

/// The lines of a step, as debug text.
fn notes(machine: &mut Machine, event: Event, now: Now) -> Vec<Note> {
    machine
        .step(event, now)
        .into_iter()
        .filter_map(|action| match action {
            Action::Note(note) => Some(note),
            _ => None,
        })
        .collect()
}

#[test]
fn a_command_is_asked_until_it_says_yes() {
    let mut machine = Machine::new(Policy {
        readiness: Readiness::Command,
        ..policy()
    });
    machine.step(Event::Start, at(0));
    machine.step(forked(1), at(0));
    let probe = [Action::Probe(generation(1))];
    assert_eq!(deeds(&mut machine, executed(1), at(10)), probe);
    assert_eq!(deeds(&mut machine, said(1, Word::Ready), at(20)), []);
    assert_eq!(deeds(&mut machine, probed(1, false), at(100)), []);
    assert_eq!(machine.deadline(), Some(at(1100)));
    assert_eq!(deeds(&mut machine, Event::Tick, at(1100)), probe);
    assert_eq!(
        deeds(&mut machine, probed(1, true), at(1200)),
        [Action::Tell(Telling::Ready)]
    );
    assert_eq!(machine.deadline(), None);
}

#[test]
fn a_command_that_takes_too_long_is_cut_off_and_asked_again() {
    let mut machine = Machine::new(Policy {
        readiness: Readiness::Command,
        ..policy()
    });
    machine.step(Event::Start, at(0));
    machine.step(forked(1), at(0));
    machine.step(executed(1), at(0));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(10_000)),
        [Action::EndProbe(generation(1))]
    );
    assert_eq!(
        deeds(&mut machine, probed(1, true), at(10_010)),
        [],
        "cut off: too late to say yes"
    );
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(11_010)),
        [Action::Probe(generation(1))]
    );
    // Its worker dies meanwhile: nobody wants to know any more.
    let actions = deeds(&mut machine, exited(1, Exit::Status(1)), at(11_100));
    assert!(actions.contains(&Action::EndProbe(generation(1))));
}

#[test]
fn a_serving_generation_that_hangs_is_replaced_and_then_killed_soon() {
    let mut machine = serving(watched());
    assert_eq!(machine.deadline(), Some(at(2000)));
    machine.step(said(1, Word::Alive), at(1500));
    assert_eq!(machine.deadline(), Some(at(3500)));
    let two = generation(2);
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(3500)),
        [Action::Spawn(two)]
    );
    machine.step(forked(2), at(3500));
    machine.step(executed(2), at(3500));
    assert_eq!(
        deeds(&mut machine, said(2, Word::Ready), at(4000)),
        [Action::Signal(generation(1), Signal::TERM)],
        "gracefully, now that another one serves"
    );
    // The policy's drain timeout is infinity; one that hangs would drain for ever.
    machine.step(said(2, Word::Period(Duration::ZERO)), at(4000));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(14_000)),
        [Action::Kill(generation(1))]
    );
}

#[test]
fn a_replacement_for_one_that_hangs_is_tried_whatever_attempts_says() {
    let mut machine = serving(policy());
    machine.step(said(1, Word::Hung), at(1000));
    machine.step(forked(2), at(1000));
    let actions = deeds(&mut machine, exited(2, Exit::Status(1)), at(1100));
    assert_eq!(actions, [], "one attempt is used up");
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(2100)),
        [Action::Spawn(generation(3))]
    );
    assert_eq!(machine.serving_generation(), Some(generation(1)));
}

#[test]
fn a_candidate_that_hangs_on_trial_has_failed() {
    let mut machine = serving(Policy {
        kill_old_delay: Duration::from_secs(5),
        ..watched()
    });
    machine.step(said(1, Word::Period(Duration::ZERO)), at(0));
    machine.step(asked_by(9), at(1000));
    machine.step(forked(2), at(1000));
    machine.step(executed(2), at(1000));
    machine.step(said(2, Word::Ready), at(1500));
    let actions = machine.step(Event::Tick, at(3500));
    let why = "generation 2 failed: it hangs: no sign of life (WATCHDOG=1) for 2 s; \
               generation 1 keeps serving";
    assert_eq!(verdict(&actions), [(9, why.to_owned())]);
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(13_500)),
        [Action::Kill(generation(2))]
    );
}

#[test]
fn one_that_leaves_is_only_watched_if_it_goes_on_giving_signs() {
    let mut machine = serving(watched());
    machine.step(HANGUP, at(100));
    machine.step(forked(2), at(100));
    machine.step(said(2, Word::Ready), at(200));
    machine.step(said(2, Word::Period(Duration::ZERO)), at(200));
    assert_eq!(deeds(&mut machine, Event::Tick, at(60_000)), []);
    machine.step(said(1, Word::Alive), at(60_000));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(62_000)),
        [Action::Kill(generation(1))]
    );
}

#[test]
fn a_complaint_of_the_serving_one_is_a_line_and_no_more() {
    let mut machine = serving(policy());
    let errno = || said(1, Word::Broken("ERRNO=5".into()));
    assert_eq!(notes(&mut machine, errno(), at(10)).len(), 1);
    assert_eq!(machine.step(errno(), at(20)), []);
    assert_eq!(machine.serving_generation(), Some(generation(1)));
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

#[test]
fn a_sign_of_life_behind_other_news_of_the_same_wake_up_counts() {
    let period = Duration::from_secs(1);
    let mut machine = serving(Policy {
        worker_watchdog: Some(period),
        ..policy()
    });
    machine.step(HANGUP, at(100));
    machine.step(forked(2), at(100));
    machine.step(said(2, Word::Ready), at(100));
    // We were stopped for a while: everything comes at once, the exit of the old one first.
    let actions = deeds(&mut machine, exited(1, Exit::Status(0)), at(9000));
    assert_eq!(actions, [], "the worker is not blamed for our absence");
    assert_eq!(deeds(&mut machine, said(2, Word::Alive), at(9000)), []);
    assert_eq!(deeds(&mut machine, Event::Tick, at(9000)), []);
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(10_000)),
        [Action::Spawn(generation(3))],
        "and from here on it is counted again"
    );
}
