//! What a process does with its signals: the masks in `/proc/PID/status` (proc(5)).

use super::signal_name::Signal;

/// What a signal comes to in a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It ends at once: that is the default, and nothing in it does anything about it.
    Dies,
    /// Nothing happens.
    Ignores,
    /// It catches the signal, or blocks it, as users of signalfd(2) do.
    Sees,
}

/// What a signal would come to in the process whose `/proc/PID/status` this is. `None` where the text
/// does not tell.
#[must_use]
pub fn fate(status: &str, signal: Signal) -> Option<Fate> {
    let bit = u32::try_from(signal.get().checked_sub(1)?).ok()?;
    let has = |name: &str| {
        let hex = status.lines().find_map(|line| line.strip_prefix(name))?;
        let mask = u64::from_str_radix(hex.trim(), 16).ok()?;
        Some(mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
    };
    let (blocked, ignored, caught) = (has("SigBlk:\t")?, has("SigIgn:\t")?, has("SigCgt:\t")?);
    Some(match blocked || caught {
        true => Fate::Sees,
        false if ignored || !ends_by_default(signal) => Fate::Ignores,
        false => Fate::Dies,
    })
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
        let of = |blocked, ignored, caught| fate(&status(blocked, ignored, caught), Signal::TERM);
        assert_eq!(of(0, 0, 0), Some(Fate::Dies));
        assert_eq!(of(!term, !term, !term), Some(Fate::Dies));
        assert_eq!(of(0, term, 0), Some(Fate::Ignores));
        assert_eq!(of(term, 0, 0), Some(Fate::Sees));
        assert_eq!(of(0, 0, term), Some(Fate::Sees));
        // sigwait(3) gets a signal that is ignored as well, if it is blocked.
        assert_eq!(of(term, term, 0), Some(Fate::Sees));
        let child = fate(&status(0, 0, 0), Signal::CHLD);
        assert_eq!(child, Some(Fate::Ignores));
        assert_eq!(fate("Name:\tx\n", Signal::TERM), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = fate(&text, Signal::TERM);
            let _ = fate(&format!("SigBlk:\t{text}"), Signal::TERM);
        }
    }
}
