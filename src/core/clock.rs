//! Moments: time is an argument of the core, never read by it.

use std::time::Duration;

/// A moment of the monotonic clock, as the time since some fixed start.
///
/// The shell reads `CLOCK_MONOTONIC` (clock_gettime(2)) once per wake-up and hands the result in.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Now(Duration);

impl Now {
    /// The moment that lies `since_start` after the clock's start.
    #[must_use]
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The moment `delay` later; a delay beyond the clock's range is as good as never.
    #[must_use]
    pub const fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// The moment `time` earlier; before the clock's start is its start.
    #[must_use]
    pub const fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the clock's start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }
}
