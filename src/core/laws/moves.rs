//! What can happen to a random world, and under which rules.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::death::Death;
use crate::core::{Attempts, Origin, Policy, Readiness, StopBy, stories};
use crate::protocol::signal_name::Signal;

/// What the random world can do next; what does not apply does nothing.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// Answer the oldest open Spawn.
    Fork {
        works: bool,
    },
    /// The worker's exec is seen, or fails.
    Exec {
        which: usize,
        works: bool,
    },
    Exit {
        which: usize,
        status: i32,
        /// Others of its cgroup live on.
        lingers: bool,
    },
    /// The last of those others goes.
    Empty {
        which: usize,
    },
    /// The probe that runs ends.
    Probed {
        ready: bool,
    },
    /// One that was cut off ends.
    CutProbed {
        ready: bool,
    },
    Pet {
        which: usize,
    },
    Period {
        which: usize,
        millis: u64,
    },
    Hung {
        which: usize,
    },
    Ready {
        which: usize,
    },
    Broken {
        which: usize,
    },
    Extend {
        which: usize,
    },
    Words {
        which: usize,
    },
    Reload {
        origin: Origin,
        waits: bool,
        only_if: Option<u64>,
    },
    Gone {
        which: usize,
    },
    Wait {
        millis: u64,
    },
    Retune {
        delay: u64,
    },
    /// Something about a generation that never was.
    Nonsense {
        generation: u64,
    },
    Stop {
        by: StopBy,
    },
    /// The supervisor is replaced, as by a crash: saved and restored.
    Resume,
    /// The supervisor is killed and its successor takes over; some workers end meanwhile.
    Crash {
        dead: u8,
    },
    /// The next step is not carried out to its end: the supervisor is killed in the middle of it.
    Die(Death),
    Upgrade {
        waits: bool,
    },
    /// The trial of the new program ends.
    Checked {
        works: bool,
    },
    /// The new program is executed.
    Replace {
        works: bool,
    },
}

pub(super) fn moves() -> impl Strategy<Value = Move> {
    let origin = prop_oneof![
        Just(Origin::ControlProcess),
        Just(Origin::Client),
        Just(Origin::Hangup),
        Just(Origin::Timer)
    ];
    let which = 0..4usize;
    prop_oneof![
        12 => prop::bool::weighted(0.9).prop_map(|works| Move::Fork { works }),
        12 => (which.clone(), prop::bool::weighted(0.9)).prop_map(|(which, works)| Move::Exec { which, works }),
        6 => (which.clone(), 0..3i32, prop::bool::weighted(0.3))
            .prop_map(|(which, status, lingers)| Move::Exit { which, status, lingers }),
        2 => which.clone().prop_map(|which| Move::Empty { which }),
        6 => prop::bool::weighted(0.3).prop_map(|ready| Move::Probed { ready }),
        1 => any::<bool>().prop_map(|ready| Move::CutProbed { ready }),
        6 => which.clone().prop_map(|which| Move::Pet { which }),
        1 => (which.clone(), 0..3000u64).prop_map(|(which, millis)| Move::Period { which, millis }),
        1 => which.clone().prop_map(|which| Move::Hung { which }),
        8 => which.clone().prop_map(|which| Move::Ready { which }),
        1 => which.clone().prop_map(|which| Move::Broken { which }),
        1 => which.clone().prop_map(|which| Move::Extend { which }),
        1 => which.clone().prop_map(|which| Move::Words { which }),
        10 => (origin, any::<bool>(), prop::option::weighted(0.2, 0..6u64))
            .prop_map(|(origin, waits, only_if)| Move::Reload { origin, waits, only_if }),
        3 => Just(Move::Resume),
        3 => prop_oneof![Just(0), any::<u8>()].prop_map(|dead| Move::Crash { dead }),
        3 => deaths().prop_map(Move::Die),
        2 => any::<bool>().prop_map(|waits| Move::Upgrade { waits }),
        3 => any::<bool>().prop_map(|works| Move::Checked { works }),
        3 => prop::bool::weighted(0.7).prop_map(|works| Move::Replace { works }),
        1 => which.prop_map(|which| Move::Gone { which }),
        14 => prop_oneof![0..200u64, 900..1100u64, 0..40_000u64].prop_map(|millis| Move::Wait { millis }),
        1 => (0..3000u64).prop_map(|delay| Move::Retune { delay }),
        1 => (50..60u64).prop_map(|generation| Move::Nonsense { generation }),
        1 => prop_oneof![Just(StopBy::Terminate), Just(StopBy::Quit), Just(StopBy::Interrupt)].prop_map(|by| Move::Stop { by }),
    ]
}

fn deaths() -> impl Strategy<Value = Death> {
    let dead = prop_oneof![3 => Just(0), 1 => any::<u8>()];
    let deeds = prop::option::weighted(0.8, 0..4usize);
    let all = (deeds, any::<bool>(), any::<bool>(), dead);
    all.prop_map(|(deeds, struck, forked, dead)| Death {
        deeds,
        struck,
        forked,
        dead,
    })
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    (
        prop_oneof![
            Just(Readiness::Auto),
            Just(Readiness::Alive),
            Just(Readiness::Notify),
            Just(Readiness::Descriptor),
            Just(Readiness::Command)
        ],
        prop_oneof![Just(Attempts::Unlimited), (1..4u32).prop_map(attempts)],
        prop_oneof![Just(0u64), Just(2000)],
        prop::option::of(1000..5000u64),
        prop::option::of(1000..5000u64),
        prop::option::of(0..3usize),
        prop::option::weighted(0.2, 5000..20_000u64),
        prop::option::weighted(0.3, 500..5000u64),
    )
        .prop_map(
            |(readiness, attempts, delay, drain, stop, max_draining, auto, watchdog)| Policy {
                readiness,
                attempts,
                kill_old_delay: Duration::from_millis(delay),
                drain_timeout: drain.map(Duration::from_millis),
                stop_timeout: stop.map(Duration::from_millis),
                max_draining,
                auto_restart: auto.map(Duration::from_millis),
                worker_watchdog: watchdog.map(Duration::from_millis),
                signal_on_hup: Signal::HUP,
                signal_on_term: Signal::QUIT,
                ..stories::policy()
            },
        )
}

fn attempts(count: u32) -> Attempts {
    Attempts::AtMost(NonZeroU32::new(count).expect("the strategy starts at 1"))
}
