//! Readiness by command, and generations that hang.

use super::*;

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
