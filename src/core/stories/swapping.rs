//! Reloads: what is swapped, what is kept, and what those who asked are told.

use super::*;

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
