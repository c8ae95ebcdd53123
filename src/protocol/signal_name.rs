//! Signals as people write them: `TERM`, `SIGTERM`, `term`, `15`.

use signal_hook::consts::signal as number;
use signal_hook::low_level::signal_name;
use std::fmt;
use std::str::FromStr;

/// The highest signal of Linux, SIGRTMAX.
const MAX: i32 = 64;

/// Other names of signals that signal(7) lists.
const ALIASES: [(&str, Signal); 3] = [
    ("CLD", Signal::CHLD),
    ("IOT", Signal::ABRT),
    ("POLL", Signal::IO),
];

/// The number of a signal, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// Stop; gracefully, for a worker.
    pub const TERM: Signal = Signal(number::SIGTERM);
    /// Stop, from the keyboard.
    pub const INT: Signal = Signal(number::SIGINT);
    /// Reload.
    pub const HUP: Signal = Signal(number::SIGHUP);
    /// Stop gracefully, for the workers of nginx's school.
    pub const QUIT: Signal = Signal(number::SIGQUIT);
    /// Upgrade in place.
    pub const USR2: Signal = Signal(number::SIGUSR2);
    /// The end.
    pub const KILL: Signal = Signal(number::SIGKILL);
    /// The pause.
    pub const STOP: Signal = Signal(number::SIGSTOP);
    /// A child ended.
    pub const CHLD: Signal = Signal(number::SIGCHLD);
    const ABRT: Signal = Signal(number::SIGABRT);
    const IO: Signal = Signal(number::SIGIO);

    /// The signal with this number.
    pub const fn new(number: i32) -> Option<Signal> {
        if number >= 1 && number <= MAX {
            Some(Signal(number))
        } else {
            None
        }
    }

    /// The number, as kill(2) takes it.
    pub const fn get(self) -> i32 {
        self.0
    }
}

/// Without `SIG`, as in `start_server`'s messages; a nameless one is a number.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match short_name(self.0) {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// A text that names no signal of this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSignal;

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such signal")
    }
}

impl std::error::Error for UnknownSignal {}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Signal, UnknownSignal> {
        let found = if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().ok().and_then(Signal::new)
        } else {
            named(text)
        };
        found.ok_or(UnknownSignal)
    }
}

fn named(text: &str) -> Option<Signal> {
    let name = match text.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("SIG") => text.get(3..)?,
        _ => text,
    };
    let is_it = |known: &str| known.eq_ignore_ascii_case(name);
    let known = (1..=MAX).find(|&number| short_name(number).is_some_and(is_it));
    let alias = || ALIASES.iter().find(|(alias, _)| is_it(alias));
    known
        .map(Signal)
        .or_else(|| alias().map(|(_, signal)| *signal))
}

fn short_name(number: i32) -> Option<&'static str> {
    signal_name(number).map(|name| name.strip_prefix("SIG").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_every_spelling() {
        for text in ["TERM", "SIGTERM", "sigterm", "Term", "15"] {
            assert_eq!(text.parse(), Ok(Signal::TERM), "{text}");
        }
        assert_eq!("CLD".parse(), Ok(Signal::CHLD));
        assert_eq!(
            "SIGUSR1".parse::<Signal>().map(|signal| signal.to_string()),
            Ok("USR1".into())
        );
    }

    #[test]
    fn b7_refuses_unknown_names() {
        for text in [
            "",
            "SIG",
            "BOGUS",
            "0",
            "65",
            "-15",
            "+15",
            "TERM ",
            "SIGSIGTERM",
            "SIÄ",
        ] {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal), "{text:?}");
        }
    }

    #[test]
    fn a_nameless_signal_is_a_number() {
        assert_eq!(
            "40".parse::<Signal>().map(|signal| signal.to_string()),
            Ok("40".into())
        );
    }

    proptest! {
        #[test]
        fn survives_a_round_trip(number in 1..=MAX) {
            let signal = Signal::new(number).expect("in range");
            prop_assert_eq!(signal.to_string().parse(), Ok(signal));
        }

        #[test]
        fn never_panics(text in ".{0,12}") {
            let _ = text.parse::<Signal>();
        }
    }
}
