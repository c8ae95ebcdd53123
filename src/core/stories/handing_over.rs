//! The machine goes on in another process. Its laws are checked over random lives (`laws`); here are
//! the states that were written by every released version, kept as files and still read.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::protocol::state::record::{self, Record};
use crate::protocol::state::{self, Held, State};

/// One directory for each version of the format. Released ones never change: a new version adds one.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state")
}

fn generation_said(machine: &mut Machine, number: u64, words: &[Word]) {
    for word in words {
        machine.step(said(number, word.clone()), at(2000));
    }
}

fn reload(requester: u64, origin: Origin, only_if: Option<Generation>) -> Event {
    Event::Reload(Request {
        requester: Some(Requester(requester)),
        origin,
        only_if,
    })
}

/// A machine in each of its states, with as much in it as there can be.
fn lives() -> Vec<(&'static str, Machine)> {
    let policy = Policy {
        readiness: Readiness::Command,
        attempts: Attempts::Unlimited,
        kill_old_delay: Duration::from_secs(5),
        drain_timeout: Some(Duration::from_secs(30)),
        stop_timeout: Some(Duration::from_secs(60)),
        ..policy()
    };
    let mut forking = Machine::new(policy.clone());
    forking.step(Event::Start, at(0));
    let mut executing = forking.clone();
    executing.step(forked(1), at(10));
    let mut booting = executing.clone();
    booting.step(executed(1), at(20));

    let mut steady = serving(policy);
    generation_said(
        &mut steady,
        1,
        &[
            Word::Period(Duration::from_secs(3)),
            Word::Alive,
            Word::Status("warm, \"quoted\" \u{1f980}".to_owned()),
            Word::Broken("ERRNO=5 (Input/output error)".to_owned()),
        ],
    );
    let mut swapping = steady.clone();
    swapping.step(reload(7, Origin::Client, Some(generation(1))), at(2500));
    swapping.step(HANGUP, at(2501));
    swapping.step(reload(8, Origin::ControlProcess, None), at(2502));
    let mut failing = swapping.clone();
    failing.step(forked(2), at(2510));
    failing.step(
        exited(
            2,
            Exit::Killed {
                signal: Signal::TERM,
                core: true,
            },
        ),
        at(2520),
    );
    let mut pausing = failing.clone();
    for (number, exit) in [(3, Exit::Status(3)), (4, Exit::Unknown)] {
        pausing.step(forked(number), at(2600 + number * 100));
        pausing.step(exited(number, exit), at(2610 + number * 100));
    }
    let mut trial = swapping.clone();
    for event in [forked(2), executed(2), said(2, Word::FoundReady)] {
        trial.step(event, at(2600));
    }
    let mut draining = trial.clone();
    draining.step(Event::Tick, at(7601));
    draining.step(
        Event::Lingers {
            generation: generation(1),
            exit: Exit::Status(0),
        },
        at(7700),
    );
    let mut hanging = steady.clone();
    hanging.step(said(1, Word::Hung), at(2600));
    let mut upgrading = draining.clone();
    for requester in [Some(Requester(9)), None, Some(Requester(10))] {
        upgrading.step(Event::Upgrade { requester }, at(7800));
    }
    let mut replacing = upgrading.clone();
    let answer = Ok("0.2.0".to_owned());
    replacing.step(Event::Checked { answer }, at(7900));
    let mut stopping = draining.clone();
    let requester = Some(Requester(11));
    stopping.step(
        Event::Stop {
            requester,
            by: StopBy::Interrupt,
        },
        at(8000),
    );
    vec![
        ("forking", forking),
        ("executing", executing),
        ("booting", booting),
        ("steady", steady),
        ("swapping", swapping),
        ("failing", failing),
        ("pausing", pausing),
        ("trial", trial),
        ("draining", draining),
        ("hanging", hanging),
        ("upgrading", upgrading),
        ("replacing", replacing),
        ("stopping", stopping),
    ]
}

fn written(machine: &Machine) -> Vec<u8> {
    let held = Held {
        boot: "2f4f3d3e-0000-4000-8000-000000000001".to_owned(),
        pid: 4000,
        log_level: "INFO".to_owned(),
        ..Held::default()
    };
    let state = State {
        writer: "0.1.0".to_owned(),
        machine: machine.save(),
        held,
        fds: std::collections::BTreeMap::new(),
    };
    state::render(&state).expect("it is short")
}

#[test]
fn what_this_version_writes_is_kept_as_a_fixture() {
    let directory = fixtures().join(state::VERSION.to_string());
    for (name, machine) in lives() {
        let path = directory.join(name);
        if std::env::var_os("SD_STARTER_REWRITE").is_some() && !path.exists() {
            fs::create_dir_all(&directory).expect("the repository is writable");
            fs::write(&path, written(&machine)).expect("the repository is writable");
        }
        let kept = fs::read(&path);
        let kept = kept.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let kept = state::parse(&kept).expect("a state");
        let restored = Machine::restore(&kept.machine, machine.policy.clone());
        assert_eq!(restored.as_ref(), Ok(&machine), "{name}");
    }
}

#[test]
fn the_states_of_every_version_are_read_and_go_on() {
    let mut read = 0;
    for directory in fs::read_dir(fixtures()).expect("there are fixtures") {
        for file in fs::read_dir(directory.expect("readable").path()).expect("a version") {
            let path = file.expect("readable").path();
            let state = state::parse(&fs::read(&path).expect("readable"));
            let state = state.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut machine = Machine::restore(&state.machine, policy()).expect("it is consistent");
            let newest = machine.newest;
            let by = StopBy::Terminate;
            machine.step(HANGUP, at(100_000));
            machine.step(
                Event::Stop {
                    requester: None,
                    by,
                },
                at(100_001),
            );
            assert!(machine.newest >= newest, "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= lives().len());
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let (_, machine) = lives()
        .into_iter()
        .find(|(name, _)| *name == "draining")
        .expect("it is there");
    let good = machine.save();
    let refused = |change: fn(&mut state::machine::Machine)| {
        let mut bad = good.clone();
        change(&mut bad);
        Machine::restore(&bad, policy())
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refused(|bad| bad.newest = Some(1)),
        "generation 2 is in two places, or was never begun"
    );
    assert_eq!(
        refused(|bad| bad.newest = None),
        "generation 1 is in two places, or was never begun"
    );
    assert_eq!(
        refused(|bad| bad.newest = Some(0)),
        "0 is not the number of a generation"
    );
    assert_eq!(
        refused(|bad| bad.leaving[0].worker.pid = 0),
        "0 is not a process id"
    );
    assert_eq!(
        refused(|bad| bad.leaving[0].worker.generation = 2),
        "generation 2 is in two places, or was never begun"
    );
    let last = bad_signal();
    assert_eq!(last, "65 is not a signal");
}

fn bad_signal() -> String {
    let (_, machine) = lives()
        .into_iter()
        .find(|(name, _)| *name == "stopping")
        .expect("it is there");
    let mut bad = machine.save();
    let state::machine::Phase::Stopping(stopping) = &mut bad.phase else {
        panic!("it stops")
    };
    stopping.signal = 65;
    Machine::restore(&bad, policy())
        .expect_err("refused")
        .to_string()
}

mod garbage {
    use super::*;
    use proptest::prelude::*;

    /// Puts `value` in the place of the `which`th part of a text of JSON.
    fn mutate(whole: &mut serde_json::Value, which: &mut usize, value: &serde_json::Value) {
        if *which == 0 {
            *whole = value.clone();
        }
        *which = which.wrapping_sub(1);
        match whole {
            serde_json::Value::Array(parts) => {
                parts.iter_mut().for_each(|part| mutate(part, which, value));
            }
            serde_json::Value::Object(parts) => {
                parts
                    .values_mut()
                    .for_each(|part| mutate(part, which, value));
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn is_refused_or_lives_on_without_a_panic(
            life in 0..13usize,
            which in 0..120usize,
            number in prop_oneof![Just(0u64), Just(1), Just(2), Just(65), Just(u64::MAX), any::<u64>()],
            kind in 0..4u8,
        ) {
            let (_, machine) = lives().swap_remove(life);
            let mut saved = serde_json::from_slice(&record::to_json(&machine.save())).expect("JSON");
            let value = match kind {
                0 => serde_json::Value::Null,
                1 => serde_json::json!([]),
                2 => serde_json::json!("x"),
                _ => number.into(),
            };
            mutate(&mut saved, &mut { which }, &value);
            let Ok(saved) = state::machine::Machine::load(&saved) else { return Ok(()) };
            let Ok(mut machine) = Machine::restore(&saved, policy()) else { return Ok(()) };
            for event in [
                Event::Tick, HANGUP, forked(3), executed(3), said(3, Word::FoundReady),
                exited(2, Exit::Status(0)), exited(1, Exit::Status(0)), exited(3, Exit::Unknown),
                Event::Replaced { from: String::new() },
                Event::Stop { requester: None, by: StopBy::Terminate },
            ] {
                machine.step(event, at(20_000));
                let _ = (machine.deadline(), machine.snapshot());
            }
        }
    }
}
