//! Long lives, each made of one number: what goes wrong in one can be lived again.
//!
//! `SD_STARTER_SEED=N cargo test --lib core::laws::lives` lives life N alone;
//! `SD_STARTER_LIVES=N` lives that many.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::bugs::Bug;
use super::conclude;
use super::coverage::{Coverage, pairs};
use super::moves::{Move, moves, policies};
use super::world::World;
use crate::core::{Event, StopBy};

/// How many of them are part of every test run, and how long they are.
const LIVES: u64 = 3000;
const MOVES: usize = 1500;

/// Before the first Start there is a request now and then.
const BEFORE: usize = 6;

/// What a life came to.
pub(super) struct Lived {
    pub(super) steps: usize,
    pub(super) coverage: Option<Coverage>,
}

/// Lives the life of a seed; an error is what was wrong with it.
pub(super) fn live(
    seed: u64,
    length: usize,
    bug: Option<Bug>,
    coverage: Option<Coverage>,
) -> Result<Lived, String> {
    let life = || {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let policy = draw(&policies(), &mut runner);
        let all = moves();
        let mut world = World::new(policy);
        world.bug = bug;
        world.coverage = coverage;
        if seed % 8 == 0 {
            for _ in 0..BEFORE {
                let a_move = draw(&all, &mut runner);
                if !world.finished && !starts(&a_move) {
                    world.make(a_move);
                }
            }
        }
        if !world.finished {
            world.feed(Event::Start);
        }
        for at in 0..length {
            if world.finished {
                break;
            }
            let a_move = draw(&all, &mut runner);
            // Most stops are left out: they would end most lives before these become interesting.
            let is_stop = matches!(a_move, Move::Stop { .. });
            if !is_stop || at % 16 == 0 {
                world.make(a_move);
            }
        }
        conclude(&mut world);
        if !world.finished && seed % 2 == 1 {
            world.make(Move::Stop {
                by: StopBy::Terminate,
            });
            conclude(&mut world);
        }
        Lived {
            steps: world.step,
            coverage: world.coverage,
        }
    };
    catch_unwind(AssertUnwindSafe(life)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_default()
    })
}

fn draw<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    let tree = strategy.new_tree(runner);
    tree.expect("none of them filters").current()
}

/// Nonsense has a Start of its own in it.
fn starts(a_move: &Move) -> bool {
    matches!(a_move, Move::Nonsense { .. })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the seeds and the figures are for the reader of the suite"
)]
fn nine_laws_hold_over_long_lives_and_every_event_was_met_in_every_state() {
    let one = number("SD_STARTER_SEED");
    let lives = one.map_or(0..number("SD_STARTER_LIVES").unwrap_or(LIVES), |seed| {
        seed..seed + 1
    });
    let mut coverage = Coverage::default();
    let mut steps = 0;
    for seed in lives.clone() {
        match live(seed, MOVES, None, Some(std::mem::take(&mut coverage))) {
            Ok(lived) => {
                steps += lived.steps;
                coverage = lived.coverage.unwrap_or_default();
            }
            Err(complaint) => {
                let again = "cargo test --lib core::laws::lives";
                let complaint = format!(
                    "life {seed}: {complaint}\nlive it again: SD_STARTER_SEED={seed} {again}"
                );
                assert_eq!(complaint, "");
            }
        }
    }
    let all = pairs();
    let lived = all
        .iter()
        .filter(|pair| coverage.lived.contains_key(pair))
        .count();
    println!(
        "lives {lives:?}: {steps} steps, and {} on copies; {} pairs of a state and an event, \
         {lived} of them lived through",
        coverage.asked,
        all.len()
    );
    if one.is_none() {
        let missing = coverage.missing();
        assert!(missing.is_empty(), "never met: {missing:#?}");
        // What the lists leave out does not exist.
        let unforeseen: Vec<_> = coverage
            .lived
            .keys()
            .filter(|pair| !all.contains(pair))
            .collect();
        assert!(unforeseen.is_empty(), "not in the list: {unforeseen:#?}");
        let unforeseen: Vec<_> = coverage
            .told
            .iter()
            .filter(|pair| !all.contains(pair))
            .collect();
        assert!(unforeseen.is_empty(), "not in the list: {unforeseen:#?}");
    }
}

#[test]
fn a_seed_is_a_life() {
    let steps = |seed| live(seed, 300, None, None).map(|lived| lived.steps);
    for seed in 0..20 {
        assert!(steps(seed).is_ok_and(|steps| steps > 0));
        assert_eq!(steps(seed), steps(seed));
    }
}
