//! Lengths of time as people write them: `5`, `0.5`, `500ms`, `1m 30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Ten years: a longer wait is a slip of the keyboard, or `infinity`.
const MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Longer texts are refused.
const MAX_LENGTH: usize = 64;

/// How long to wait for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Not longer than this.
    After(Duration),
    /// As long as it takes, `infinity`.
    Never,
}

impl Limit {
    /// How long; `None` is for ever.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Limit::After(duration) => Some(duration),
            Limit::Never => None,
        }
    }
}

/// Why a text is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Neither a number of seconds nor numbers with units.
    Form,
    /// More than ten years.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DurationError::Form => "not a time: write seconds (5, 0.5) or units (500ms, 1m 30s)",
            DurationError::TooLong => "longer than ten years",
        })
    }
}

impl std::error::Error for DurationError {}

/// Reads a length of time: a plain number is seconds, with a fraction if you
/// like (`start_server` takes whole seconds only, B19); else units as in
/// systemd.time(7), `ms`, `s`, `min`, `h`...
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_LENGTH {
        return Err(DurationError::Form);
    }
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let duration = if plain {
        parse_seconds(text)?
    } else {
        humantime::parse_duration(text).map_err(|error| {
            let is_too_long = error == humantime::DurationError::NumberOverflow;
            if is_too_long {
                DurationError::TooLong
            } else {
                DurationError::Form
            }
        })?
    };
    if duration > MAX {
        Err(DurationError::TooLong)
    } else {
        Ok(duration)
    }
}

/// Decimal, not floating: 0.1 stays a tenth. Below a nanosecond is cut off.
fn parse_seconds(text: &str) -> Result<Duration, DurationError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(DurationError::Form);
    }
    let seconds = match whole {
        "" => 0,
        whole => whole.parse().map_err(|_| DurationError::TooLong)?,
    };
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Ok(Duration::new(seconds, nanos))
}

impl FromStr for Limit {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Limit, DurationError> {
        match text.trim() {
            "infinity" => Ok(Limit::Never),
            text => parse(text).map(Limit::After),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::After(duration) => humantime::format_duration(*duration).fmt(f),
            Limit::Never => f.write_str("infinity"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_number_is_seconds() {
        for (text, millis) in [
            ("0", 0),
            ("5", 5000),
            ("007", 7000),
            ("0.5", 500),
            (".5", 500),
            ("5.", 5000),
            (" 1 ", 1000),
            ("0.0010000000009", 1),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn units_are_understood() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("1m 30s", 90_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn infinity_is_a_limit_but_not_a_duration() {
        assert_eq!("infinity".parse(), Ok(Limit::Never));
        assert_eq!("5".parse(), Ok(Limit::After(Duration::from_secs(5))));
        assert_eq!(parse("infinity"), Err(DurationError::Form));
    }

    #[test]
    fn refuses_the_rest_with_a_reason() {
        for text in [
            "", " ", ".", "1.2.3", "-1", "+1", "5x", "x", "1e3", "0x10", "1,5",
        ] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text:?}");
        }
        for text in [
            "99999999999999999999",
            "99999999999",
            "11y",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn survives_a_round_trip(nanos in 0u64..300_000_000_000_000_000) {
            let limit = Limit::After(Duration::from_nanos(nanos));
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
        }

        #[test]
        fn never_panics(text in "[0-9. a-z]{0,70}|.{0,20}") {
            let _ = text.parse::<Limit>();
        }
    }
}
