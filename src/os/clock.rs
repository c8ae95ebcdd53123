//! The one clock: monotonic, so that no step of the wall clock moves a deadline.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since boot without suspends, CLOCK_MONOTONIC of clock_gettime(2).
#[must_use]
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .expect("every Linux has CLOCK_MONOTONIC")
        .into()
}

/// The same in microseconds, as `MONOTONIC_USEC=` wants it (sd_notify(3)).
#[must_use]
pub fn monotonic_usec() -> u64 {
    u64::try_from(now().as_micros()).expect("584,000 years of uptime fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_what_systemd_reads() {
        let before = u128::from(monotonic_usec());
        let now = now().as_micros();
        let after = u128::from(monotonic_usec());
        assert!(before <= now && now <= after);
        assert!(before > 0);
    }
}
