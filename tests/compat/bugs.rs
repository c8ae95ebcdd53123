//! B1 to B22: bugs of the original that ours does not have.
//!
//! Each scenario tells what it saw. On the original it must see the bug, which proves that the
//! scenario can; on ours it must not.

mod files;
mod inherited;
mod numbers;
mod reload;
mod signals;
mod starting;

use crate::program::{self, Program};

/// What a scenario saw.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The bad thing happened: what.
    Bug(String),
    /// It did not: what happened instead.
    Good(String),
}

impl Outcome {
    pub(crate) fn bug(what: impl Into<String>) -> Outcome {
        Outcome::Bug(what.into())
    }

    pub(crate) fn good(what: impl Into<String>) -> Outcome {
        Outcome::Good(what.into())
    }

    pub(crate) fn bug_if(
        bug: bool,
        what: impl Into<String>,
        otherwise: impl Into<String>,
    ) -> Outcome {
        if bug {
            Outcome::bug(what)
        } else {
            Outcome::good(otherwise)
        }
    }
}

/// Judges one part of a bug: the program under test decides what must have been seen.
pub(crate) fn judge(id: &str, outcome: &Outcome) {
    match (program::under_test(), outcome) {
        (Program::Original, Outcome::Bug(_)) | (Program::Ours, Outcome::Good(_)) => {}
        (Program::Original, Outcome::Good(what)) => panic!("{id} was not demonstrated: {what}"),
        (Program::Ours, Outcome::Bug(what)) => panic!("{id}: {what}"),
    }
}

/// Judges a bug that is a race: on the original it must show at least once, on ours never.
pub(crate) fn judge_race(id: &str, times: usize, scenario: impl Fn() -> Outcome) {
    let mut outcome = scenario();
    for _ in 1..times {
        if matches!(outcome, Outcome::Bug(_)) {
            break;
        }
        outcome = scenario();
    }
    judge(id, &outcome);
}
