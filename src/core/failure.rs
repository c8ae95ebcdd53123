//! Why a new generation did not come to serve.

use std::fmt;
use std::time::Duration;

use super::exit::Exit;
use super::note::Silence;
use crate::protocol::generation::Generation;

/// One failed attempt: which generation, what happened, and its own last words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The generation that failed.
    pub generation: Generation,
    /// What happened.
    pub cause: Cause,
    /// The last STATUS= that the worker sent, if it did.
    pub last_words: Option<String>,
}

/// What ended an attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cause {
    /// There never was a worker: fork or exec failed. The text names stage, thing and reason;
    /// errno as in errno(3).
    NotStarted {
        /// Stage, thing and reason.
        text: String,
        /// The error number of the call that failed.
        errno: i32,
    },
    /// It ended before it was ready.
    Exited {
        /// How.
        exit: Exit,
        /// How long after its fork.
        after: Duration,
    },
    /// It did not become ready in time.
    NotReady {
        /// The start timeout.
        timeout: Duration,
    },
    /// It ended after it was ready, while it was on trial.
    ExitedOnTrial {
        /// How.
        exit: Exit,
        /// How long after it was ready.
        after: Duration,
    },
    /// It said itself that it is broken (ERRNO=).
    Reported {
        /// What it said.
        text: String,
    },
    /// It hangs.
    Hung {
        /// How we know.
        how: Silence,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { text, .. } => f.write_str(text),
            Self::Exited { exit, after } => {
                write!(f, "{exit} after {}, before it was ready", Rough(*after))
            }
            Self::NotReady { timeout } => write!(f, "not ready after {}", Rough(*timeout)),
            Self::ExitedOnTrial { exit, after } => {
                write!(
                    f,
                    "{exit} {} after it was ready, while on trial",
                    Rough(*after)
                )
            }
            Self::Reported { text } => write!(f, "it reported {text}"),
            Self::Hung { how } => write!(f, "it hangs: {how}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} failed: {}", self.generation, self.cause)?;
        match &self.last_words {
            Some(words) => write!(f, " (it said: {words})"),
            None => Ok(()),
        }
    }
}

/// A duration for people: two or three digits and a unit.
#[derive(Clone, Copy, Debug)]
pub struct Rough(pub Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let tenths = millis / 100;
        match self.0.as_secs() {
            0 => write!(f, "{millis} ms"),
            1..=99 if tenths % 10 != 0 => write!(f, "{}.{} s", tenths / 10, tenths % 10),
            secs @ 1..=99 => write!(f, "{secs} s"),
            secs @ 100..=5999 => write!(f, "{} min", secs / 60),
            secs @ 6000..=359_999 => write!(f, "{} h", secs / 3600),
            secs => write!(f, "{} d", secs / 86400),
        }
    }
}
