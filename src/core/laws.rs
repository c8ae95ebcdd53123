//! The nine invariants, over random sequences of events in a small simulated world.

mod bugs;
mod coverage;
mod death;
mod judge;
mod kinds;
mod lives;
mod moves;
mod world;

use proptest::prelude::*;

use self::moves::{Move, moves, policies};
use self::world::World;
use super::{Event, Policy};

fn play(policy: Policy, moves: Vec<Move>) {
    let mut world = World::new(policy);
    world.feed(Event::Start);
    for a_move in moves {
        if world.finished {
            break;
        }
        world.make(a_move);
    }
    conclude(&mut world);
}

/// The rest of a life in which everything works from now on: what was asked for is done, and
/// nobody waits.
fn conclude(world: &mut World) {
    // Nobody is killed from now on.
    world.death = None;
    let before = world.spawns;
    world.settle();
    assert!(!world.heard.reloading, "law 3: READY or STOPPING is owed");
    assert!(
        world.waiting.is_empty(),
        "law 9: {:?} wait for ever",
        world.waiting
    );
    assert!(
        world.upgraders.is_empty(),
        "law 9: {:?} wait for an upgrade",
        world.upgraders
    );
    if world.stop_asked {
        assert!(world.finished, "law 7: the program finishes");
    } else if !world.finished {
        assert!(
            world.machine.serving_generation().is_some(),
            "alive: a good build is served at last"
        );
        if let Some(asked) = world.last_request {
            assert!(
                world.spawned_at >= asked,
                "law 5: the last request was lost"
            );
        }
        assert!(world.spawns - before <= 1, "law 5: stacked");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nine_laws_hold_over_random_lives(policy in policies(), moves in prop::collection::vec(moves(), 1..50)) {
        play(policy, moves);
    }
}
