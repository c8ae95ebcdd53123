//! How fast swaps may follow each other when they are asked for faster than they are of use.
//!
//! A swap takes a fast worker some milliseconds, so a flood of requests keeps finding the machine
//! idle: a thousand SIGHUPs in a second would be a hundred generations, each with its drain. One
//! generation that starts after the last request is worth as much. So a request of its own begins
//! at once, and so does the next one; what comes faster is gathered for one swap in each period.
//!
//! Two kinds of request are held to that. A SIGHUP, because nobody waits for it: its sender does
//! not slow down by itself. And whoever asks while others do, because each swap then answers all
//! of them. Somebody who waits for the verdict before asking again is never kept waiting.

use std::time::Duration;

use super::clock::Now;
use super::policy::SHORTEST_PAUSE;

/// How many swaps may begin at once before the period counts.
const BURST: u32 = 2;

/// The longest period: however long `--interval` is, a request waits no longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// When the next swap may begin (the generic cell rate algorithm: one moment is all it keeps).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pace {
    period: Duration,
    /// When the burst is there again in full.
    rested_at: Option<Now>,
    /// Until when a request counts as one of many.
    crowded_until: Option<Now>,
}

impl Pace {
    /// The period is `--interval`, "the minimum interval to respawn" of `start_server`, within
    /// bounds.
    pub(super) const fn new(interval: Duration) -> Self {
        // Duration has no const clamp.
        let period = if interval.as_nanos() < SHORTEST_PAUSE.as_nanos() {
            SHORTEST_PAUSE
        } else if interval.as_nanos() > LONGEST.as_nanos() {
            LONGEST
        } else {
            interval
        };
        Self {
            period,
            rested_at: None,
            crowded_until: None,
        }
    }

    /// What it keeps: when the burst is there again, and until when requests count as many.
    pub(super) const fn to_parts(self) -> (Option<Now>, Option<Now>) {
        (self.rested_at, self.crowded_until)
    }

    /// What [`to_parts`](Self::to_parts) gave, for the interval in force.
    pub(super) const fn from_parts(
        interval: Duration,
        (rested_at, crowded_until): (Option<Now>, Option<Now>),
    ) -> Self {
        Self {
            rested_at,
            crowded_until,
            ..Self::new(interval)
        }
    }

    /// When a swap that is held to the pace may begin; a moment that has passed is "now".
    pub(super) fn slot(&self) -> Option<Now> {
        let credit = self.period.saturating_mul(BURST - 1);
        self.rested_at.map(|rested| rested.before(credit))
    }

    pub(super) fn is_due(&self, now: Now) -> bool {
        self.slot().is_none_or(|slot| slot <= now)
    }

    pub(super) fn is_crowded(&self, now: Now) -> bool {
        self.crowded_until.is_some_and(|until| now < until)
    }

    /// A swap begins. However many did, the next slot is never more than a period away.
    pub(super) fn spend(&mut self, now: Now) {
        let rested = self.rested_at.map_or(now, |rested| rested.max(now));
        let at_most = now.after(self.period.saturating_mul(BURST));
        self.rested_at = Some(rested.after(self.period).min(at_most));
    }

    /// Requests had to wait for each other.
    pub(super) fn crowd(&mut self, now: Now) {
        let from = self.slot().map_or(now, |slot| slot.max(now));
        self.crowded_until = Some(from.after(self.period));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now::at(Duration::from_millis(millis))
    }

    fn pace(interval: u64) -> Pace {
        Pace::new(Duration::from_millis(interval))
    }

    #[test]
    fn two_begin_at_once_and_then_one_in_each_period() {
        let mut pace = pace(1000);
        let mut begun = Vec::new();
        for millis in 0..3500 {
            if pace.is_due(at(millis)) {
                pace.spend(at(millis));
                begun.push(millis);
            }
        }
        assert_eq!(begun, [0, 1, 1000, 2000, 3000]);
    }

    #[test]
    fn however_many_began_the_next_is_a_period_away_at_most() {
        let mut pace = pace(1000);
        for millis in 0..100 {
            pace.spend(at(millis));
        }
        assert_eq!(pace.slot(), Some(at(1099)));
        assert!(pace.is_due(at(1099)));
    }

    #[test]
    fn the_period_is_the_interval_within_bounds() {
        for (interval, period) in [(0, 100), (500, 500), (30_000, 1000)] {
            assert_eq!(pace(interval).period, Duration::from_millis(period));
        }
    }

    #[test]
    fn a_rest_gives_the_burst_back() {
        let mut pace = pace(1000);
        pace.spend(at(0));
        pace.spend(at(0));
        assert!(!pace.is_due(at(999)));
        assert!(pace.is_due(at(5000)));
        pace.spend(at(5000));
        assert!(pace.is_due(at(5000)));
    }
}
