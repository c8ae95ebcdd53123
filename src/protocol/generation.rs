//! The number of a generation.

use std::fmt;
use std::str::FromStr;

/// The number of one generation of workers, `SERVER_STARTER_GENERATION`.
///
/// Counts from 1 and only grows. There is no arithmetic on it: the only way
/// to another generation is [`next`](Generation::next).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    /// The first generation that a supervisor starts.
    pub const FIRST: Generation = Generation(1);

    /// The generation with this number; there is no generation 0.
    pub const fn new(number: u64) -> Option<Generation> {
        match number {
            0 => None,
            number => Some(Generation(number)),
        }
    }

    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Generation {
        // A spawn per nanosecond would take 584 years to get to the end.
        Generation(self.0.saturating_add(1))
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not the number of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAGeneration;

impl fmt::Display for NotAGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the number of a generation (1, 2, 3...)")
    }
}

impl std::error::Error for NotAGeneration {}

impl FromStr for Generation {
    type Err = NotAGeneration;

    fn from_str(text: &str) -> Result<Generation, NotAGeneration> {
        // u64's own parser takes a leading "+", which nobody writes.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAGeneration);
        }
        text.parse()
            .ok()
            .and_then(Generation::new)
            .ok_or(NotAGeneration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_from_one_upwards() {
        assert_eq!(Generation::FIRST.get(), 1);
        assert_eq!(Generation::FIRST.next().get(), 2);
        assert!(Generation::FIRST < Generation::FIRST.next());
        assert_eq!(Generation::new(0), None);
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in [
            "",
            "0",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1.5",
            "18446744073709551616",
        ] {
            assert_eq!(text.parse::<Generation>(), Err(NotAGeneration), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn survives_a_round_trip(number in 1u64..) {
            let generation = Generation::new(number).expect("not 0");
            prop_assert_eq!(generation.to_string().parse(), Ok(generation));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = text.parse::<Generation>();
        }
    }
}
