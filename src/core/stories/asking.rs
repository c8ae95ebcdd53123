//! Stories of those who ask: what they are told, and what systemd hears of it.

use super::*;

fn asked(requester: u64, only_if: Option<u64>) -> Event {
    Event::Reload(Request {
        requester: Some(Requester(requester)),
        origin: Origin::Client,
        only_if: only_if.map(generation),
    })
}

fn twice() -> Policy {
    Policy {
        attempts: Attempts::AtMost(NonZeroU32::new(2).expect("not 0")),
        ..policy()
    }
}

#[test]
fn where_it_is_tried_for_ever_the_first_failure_is_the_verdict() {
    let mut machine = serving(Policy {
        attempts: Attempts::Unlimited,
        ..policy()
    });
    machine.step(asked(7, None), at(0));
    machine.step(forked(2), at(0));
    let actions = deeds(&mut machine, exited(2, Exit::Status(1)), at(100));
    assert_eq!(
        actions[0],
        Action::Tell(Telling::Ready),
        "nor does systemd wait any longer"
    );
    let why = "generation 2 failed: exited with status 1 after 100 ms, before it was ready; \
               generation 1 keeps serving";
    assert_eq!(verdict(&actions), [(7, why.to_owned())]);
    assert_eq!(machine.snapshot().reloads_failed, 1);

    let spawn = Action::Spawn(generation(3));
    assert_eq!(
        deeds(&mut machine, Event::Tick, at(1100)),
        [spawn],
        "all the same it is tried on"
    );
    machine.step(forked(3), at(1100));
    assert_eq!(
        deeds(&mut machine, exited(3, Exit::Status(1)), at(1200)),
        [],
        "nobody waits for the second failure"
    );
    assert_eq!(
        machine.snapshot().reloads_failed,
        1,
        "nor does anybody count it"
    );
}

#[test]
fn where_it_is_tried_for_ever_each_request_has_a_verdict_of_its_own() {
    let mut machine = serving(Policy {
        attempts: Attempts::Unlimited,
        ..policy()
    });
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(exited(2, Exit::Status(1)), at(0));
    assert_eq!(
        deeds(&mut machine, asked_by(7), at(500)),
        [Action::Spawn(generation(3))],
        "whoever asks has changed something: no more pause"
    );
    machine.step(forked(3), at(500));
    let actions = deeds(&mut machine, said(3, Word::Ready), at(600));
    let serves = Verdict::Serving(generation(3));
    assert!(actions.contains(&Action::Answer(Requester(7), serves)));
}

#[test]
fn a_limit_of_attempts_keeps_the_verdict_until_it_is_reached() {
    let mut machine = serving(twice());
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    assert_eq!(
        deeds(&mut machine, exited(2, Exit::Status(1)), at(0)),
        [],
        "there is another try"
    );
    machine.step(Event::Tick, at(1000));
    machine.step(forked(3), at(1000));
    let actions = deeds(&mut machine, exited(3, Exit::Status(1)), at(1000));
    assert_eq!(verdict(&actions).len(), 1);
}

#[test]
fn a_named_generation_that_died_while_the_request_waited_is_not_replaced_for_it() {
    let mut machine = serving(policy());
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(asked(8, None), at(10));
    machine.step(asked(9, Some(1)), at(10));
    machine.step(exited(1, Exit::Status(1)), at(20));
    let actions = deeds(&mut machine, exited(2, Exit::Status(1)), at(30));
    let nobody = Verdict::OtherGeneration { serving: None };
    assert_eq!(
        actions.last(),
        Some(&Action::Answer(Requester(9), nobody)),
        "and the other request stands"
    );
    assert!(actions.contains(&Action::Spawn(generation(3))));
    machine.step(forked(3), at(30));
    let actions = deeds(&mut machine, said(3, Word::Ready), at(40));
    assert_eq!(
        verdict(&actions),
        [(8, "generation 3 serves".to_owned())],
        "judged again after the death"
    );
}

#[test]
fn a_named_generation_that_still_serves_is_replaced_at_the_next_try() {
    let mut machine = serving(twice());
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(asked(9, Some(1)), at(10));
    assert_eq!(
        deeds(&mut machine, exited(2, Exit::Status(1)), at(30)),
        [Action::Spawn(generation(3))],
        "asked again: at once"
    );
    machine.step(forked(3), at(30));
    let actions = deeds(&mut machine, said(3, Word::Ready), at(40));
    assert_eq!(verdict(&actions), [(9, "generation 3 serves".to_owned())]);
}

#[test]
fn nothing_is_announced_while_exec_reload_waits_or_has_just_been_answered() {
    let announces = |actions: &[Action]| actions.contains(&Action::Tell(Telling::Reloading));

    // It has just been answered, and the next swap is a hangup's.
    let mut machine = serving(policy());
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    machine.step(HANGUP, at(10));
    let actions = deeds(&mut machine, said(2, Word::Ready), at(20));
    assert_eq!(verdict(&actions).len(), 1);
    assert!(actions.contains(&Action::Spawn(generation(3))));
    assert!(!announces(&actions));

    // It waits for its turn, and a hangup joins it there.
    let mut machine = serving(policy());
    machine.step(HANGUP, at(0));
    machine.step(forked(2), at(0));
    machine.step(HANGUP, at(10));
    machine.step(asked_by(7), at(10));
    let actions = deeds(&mut machine, said(2, Word::Ready), at(20));
    assert!(actions.contains(&Action::Spawn(generation(3))));
    assert!(!announces(&actions));

    // It waits for the second try.
    let mut machine = serving(twice());
    machine.step(asked_by(7), at(0));
    machine.step(forked(2), at(0));
    machine.step(exited(2, Exit::Status(1)), at(0));
    let actions = deeds(&mut machine, HANGUP, at(10));
    assert_eq!(actions, [Action::Spawn(generation(3))]);
}

#[test]
fn a_ready_that_waits_behind_other_news_is_in_time() {
    // After a stall of ours everything is due at once; whatever news came first ended the attempt.
    let policy = Policy {
        readiness: Readiness::Notify,
        start_timeout: Some(Duration::from_secs(1)),
        ..policy()
    };
    let mut machine = serving(policy);
    for event in [asked_by(7), forked(2), executed(2)] {
        machine.step(event, at(100));
    }
    let gone = Event::Gone {
        requester: Requester(8),
    };
    assert_eq!(deeds(&mut machine, gone, at(3000)), []);
    let actions = deeds(&mut machine, said(2, Word::Ready), at(3000));
    assert_eq!(
        verdict(&actions),
        [(7, "generation 2 serves".to_owned())],
        "{actions:?}"
    );
}
