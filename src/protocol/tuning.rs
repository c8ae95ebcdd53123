//! The rules that can change while the supervisor runs, because they are
//! variables too: `KILL_OLD_DELAY`, `ENABLE_AUTO_RESTART` and
//! `AUTO_RESTART_INTERVAL`, from the environment or from `--envdir`.
//!
//! Source: Server::Starter 0.35, which looks them up in its own environment.

use super::duration::{self, DurationError};
use std::fmt;
use std::time::Duration;

/// The trial time.
pub const KILL_OLD_DELAY: &str = "KILL_OLD_DELAY";
/// Whether there are automatic restarts.
pub const ENABLE_AUTO_RESTART: &str = "ENABLE_AUTO_RESTART";
/// How far they are apart.
pub const AUTO_RESTART_INTERVAL: &str = "AUTO_RESTART_INTERVAL";

/// The interval when none is given.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(360);

/// The trial time with automatic restarts when none is given: nobody watches those.
const UNWATCHED_DELAY: Duration = Duration::from_secs(5);

/// What the variables come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How long a new generation is on trial.
    pub kill_old_delay: Duration,
    /// The interval of automatic restarts; `None` is off.
    pub auto_restart: Option<Duration>,
}

/// A variable that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTuning {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub error: DurationError,
}

impl fmt::Display for BadTuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.escape_debug();
        write!(f, "bad value '{value}' of {}: {}", self.name, self.error)
    }
}

impl std::error::Error for BadTuning {}

impl Tuning {
    /// Fills in the defaults. An interval of 0 is as good as none, as in Perl's `||=`.
    #[must_use]
    pub fn settle(
        enabled: bool,
        interval: Option<Duration>,
        kill_old_delay: Option<Duration>,
    ) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero());
        let default_delay = if enabled {
            UNWATCHED_DELAY
        } else {
            Duration::ZERO
        };
        Self {
            kill_old_delay: kill_old_delay.unwrap_or(default_delay),
            auto_restart: enabled.then(|| interval.unwrap_or(DEFAULT_INTERVAL)),
        }
    }

    /// Reads the variables; an empty one is as good as none.
    ///
    /// # Errors
    /// [`BadTuning`], and the first one there is.
    pub fn read<'a>(variable: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, BadTuning> {
        let duration = |name: &'static str| {
            let value = variable(name).filter(|value| !value.is_empty());
            let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
            let parse = |value: String| {
                duration::parse(&value).map_err(|error| BadTuning { name, value, error })
            };
            value.map(parse).transpose()
        };
        Ok(Self::settle(
            is_true(variable(ENABLE_AUTO_RESTART)),
            duration(AUTO_RESTART_INTERVAL)?,
            duration(KILL_OLD_DELAY)?,
        ))
    }
}

/// What Perl takes for true: there, not empty and not `0`.
#[must_use]
pub fn is_true(value: Option<&[u8]>) -> bool {
    !matches!(value, None | Some(b"" | b"0"))
}

/// The default interval as workers find it in their environment.
#[must_use]
pub fn default_interval_text() -> String {
    DEFAULT_INTERVAL.as_secs().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(variables: &[(&str, &'static str)]) -> Result<Tuning, BadTuning> {
        Tuning::read(|name| {
            let found = variables.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| value.as_bytes())
        })
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn defaults_are_those_of_start_server() {
        for (variables, delay, auto) in [
            (&[][..], 0, None),
            (&[(ENABLE_AUTO_RESTART, "1")], 5, Some(360)),
            (&[(ENABLE_AUTO_RESTART, "0")], 0, None),
            (&[(AUTO_RESTART_INTERVAL, "9")], 0, None),
            (
                &[(ENABLE_AUTO_RESTART, "1"), (AUTO_RESTART_INTERVAL, "0")],
                5,
                Some(360),
            ),
            (
                &[(ENABLE_AUTO_RESTART, "yes"), (KILL_OLD_DELAY, "0")],
                0,
                Some(360),
            ),
            (&[(KILL_OLD_DELAY, "7")], 7, None),
            (&[(KILL_OLD_DELAY, "")], 0, None),
        ] {
            let expected = Tuning {
                kill_old_delay: secs(delay),
                auto_restart: auto.map(secs),
            };
            assert_eq!(read(variables), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        let bad = read(&[(KILL_OLD_DELAY, "soon")]).unwrap_err().to_string();
        assert!(
            bad.starts_with("bad value 'soon' of KILL_OLD_DELAY: "),
            "{bad}"
        );
    }

    proptest! {
        #[test]
        fn never_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Tuning::read(|_| Some(&value));
        }
    }
}
