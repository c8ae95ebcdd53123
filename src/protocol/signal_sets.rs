//! What a process does with its signals: the masks in `/proc/PID/status` (proc(5)).

use super::signal_name::Signal;

/// Whether a signal would end the process at once: it has a default that ends, and the
/// process neither catches nor ignores nor blocks it (as users of signalfd(2) do). `None`
/// where the text does not tell.
#[must_use]
pub fn would_die(status: &str, signal: Signal) -> Option<bool> {
    let bit = u32::try_from(signal.get().checked_sub(1)?).ok()?;
    let mut dies = ends_by_default(signal);
    for name in ["SigBlk:\t", "SigIgn:\t", "SigCgt:\t"] {
        let hex = status.lines().find_map(|line| line.strip_prefix(name))?;
        let mask = u64::from_str_radix(hex.trim(), 16).ok()?;
        dies &= mask.checked_shr(bit).unwrap_or(0) & 1 == 0;
    }
    Some(dies)
}

/// The default action is Term or Core (signal(7)).
fn ends_by_default(signal: Signal) -> bool {
    let harmless = [
        "CHLD", "CONT", "URG", "WINCH", "STOP", "TSTP", "TTIN", "TTOU",
    ];
    !harmless.iter().any(|name| name.parse() == Ok(signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SIGTERM is bit 14.
    fn status(blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tx\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn who_does_nothing_about_a_signal_dies_of_it() {
        let term = 1 << 14;
        assert_eq!(would_die(&status(0, 0, 0), Signal::TERM), Some(true));
        assert_eq!(
            would_die(&status(!term, !term, !term), Signal::TERM),
            Some(true)
        );
        for (blocked, ignored, caught) in [(term, 0, 0), (0, term, 0), (0, 0, term)] {
            let text = status(blocked, ignored, caught);
            assert_eq!(would_die(&text, Signal::TERM), Some(false));
        }
        assert_eq!(would_die(&status(0, 0, 0), Signal::CHLD), Some(false));
        assert_eq!(would_die("Name:\tx\n", Signal::TERM), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = would_die(&text, Signal::TERM);
            let _ = would_die(&format!("SigBlk:\t{text}"), Signal::TERM);
        }
    }
}
