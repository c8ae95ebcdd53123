//! The machine's life in readable stories: given this state, these events, expect these actions.

mod asking;
mod floods;
mod handing_over;
mod leaving;
mod replacing;
mod starting;
mod swapping;
mod watching;

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

fn lingers(number: u64, exit: Exit) -> Event {
    Event::Lingers {
        generation: generation(number),
        exit,
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
