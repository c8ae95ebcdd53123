//! Old generations that do not leave: their time and their number have limits.

use crate::app::{App, SOON};
use crate::support::held::Held;
use crate::support::wait;

#[test]
fn an_old_generation_has_so_long_to_leave() {
    let Some(app) = App::started("--drain-timeout 4") else {
        return;
    };
    let gate = app.rig.gate("closed");
    let held = Held::take(&app.target(), &gate).expect("a request to be held");
    app.reload_well();
    let text = app.property("StatusText");
    assert!(text.contains("draining 1"), "{text}");
    app.wait_until_drained();
    held.finish().expect_err("it was cut");
    // It is killed first, and that is said then.
    let killing = wait::for_some("what is said of it", SOON, || {
        let journal = app.journal();
        let mut lines = journal.lines();
        let killing = lines.find(|line| line.starts_with("killing generation 1 (pid "));
        killing.map(str::to_owned)
    });
    let (_, why) = killing.split_once("): ").expect("a reason");
    assert_eq!(why, "it was told to leave 4 s ago and is still there");
    let answer = app.target().get("/").expect("an answer");
    assert_eq!(answer.generation().expect("a greeting"), 2);
}

#[test]
fn so_many_old_generations_may_be_there_and_the_oldest_goes_first() {
    let Some(app) = App::started("--max-draining 1") else {
        return;
    };
    let mut gate = app.rig.gate("closed");
    let first = Held::take(&app.target(), &gate).expect("a request to be held");
    app.reload_well();
    assert_eq!(first.generation, 1);
    // The first one may take some more, until SIGTERM has reached it: also after the second has answered.
    let mut cut = vec![first];
    let second = wait::for_some("a request of the second", SOON, || {
        let held = Held::take(&app.target(), &gate).expect("a request to be held");
        if held.generation == 2 {
            return Some(held);
        }
        cut.push(held);
        None
    });
    app.reload_well();
    for request in cut {
        request.finish().expect_err("it was cut");
    }
    wait::until("the reason", SOON, || {
        let journal = app.journal();
        journal.lines().any(|line| {
            line.starts_with("killing generation 1 (pid ")
                && line.ends_with("): more than --max-draining 1 old generations")
        })
    });
    gate.open();
    assert_eq!(second.finish().expect("the younger one goes on"), 2);
    assert!(!app.journal().contains("killing generation 2"));
}
