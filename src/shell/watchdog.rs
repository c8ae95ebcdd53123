//! systemd's watchdog over us (sd_watchdog_enabled(3)): petted by the loop itself, so that a
//! loop that is stuck is caught.

use std::time::Duration;

/// More signs of life than this would keep systemd and us busy with nothing else.
const SHORTEST: Duration = Duration::from_millis(10);

/// When the next sign of life is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watchdog {
    every: Duration,
    due: Duration,
}

impl Watchdog {
    /// The watchdog that `WATCHDOG_USEC` and `WATCHDOG_PID` ask for, if they mean us.
    #[must_use]
    pub fn from_environment(usec: Option<&str>, pid: Option<&str>, now: Duration) -> Option<Self> {
        let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
        if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
            return None;
        }
        // Half of the time, as sd_watchdog_enabled(3) recommends.
        Some(Self {
            every: Duration::from_micros(usec / 2).max(SHORTEST),
            due: now,
        })
    }

    /// The moment, as time since boot.
    #[must_use]
    pub const fn due(&self) -> Duration {
        self.due
    }

    /// Whether a sign of life is due; if so, the next one is set.
    pub fn is_due(&mut self, now: Duration) -> bool {
        let due = self.due <= now;
        if due {
            self.due = now.saturating_add(self.every);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pets_twice_per_period_and_only_for_us() {
        let own = std::process::id().to_string();
        let mut watchdog = Watchdog::from_environment(Some("10000000"), Some(&own), Duration::ZERO)
            .expect("it means us");
        assert!(watchdog.is_due(Duration::ZERO));
        assert_eq!(watchdog.due(), Duration::from_secs(5));
        assert!(!watchdog.is_due(Duration::from_secs(4)));
        assert_eq!(
            Watchdog::from_environment(Some("1000"), Some("1"), Duration::ZERO),
            None
        );
        assert_eq!(
            Watchdog::from_environment(Some("x"), None, Duration::ZERO),
            None
        );
        assert_eq!(Watchdog::from_environment(None, None, Duration::ZERO), None);
    }
}
