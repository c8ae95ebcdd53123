//! What the loop does when a start or a swap is over, before it goes to sleep for long.

use std::time::Duration;

use crate::os::memory;
use crate::protocol::generation::Generation;

/// Between two rests. Each costs a tenth of a millisecond of CPU, half of it now and half of it at the
/// next reload, whose pages come back one by one: a storm of reloads shall not pay it every time.
const PAUSE: Duration = Duration::from_secs(1);

/// How far we have come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Done {
    /// The generation that serves, alone.
    pub(super) generation: Generation,
    /// How many clients have come to the control socket, and left.
    pub(super) visits: u64,
}

/// Gives back the memory that only starts, swaps and clients need, once after each.
///
/// It never wakes anybody: what came too soon after the last rest is made up for at the next wake-up,
/// whosever that is.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What had been done until the last one, and when that was.
    last: Option<(Done, Duration)>,
}

impl Rest {
    /// To be called before each sleep, with what has been done, if nothing is under way.
    pub(super) fn before_sleep(&mut self, done: Option<Done>, now: Duration) {
        if done.is_some_and(|done| self.is_due(done, now)) {
            memory::give_back_program();
        }
    }

    fn is_due(&mut self, done: Done, now: Duration) -> bool {
        let is_due = self
            .last
            .is_none_or(|(before, then)| before != done && now.saturating_sub(then) >= PAUSE);
        if is_due {
            self.last = Some((done, now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_swap_and_each_visit_is_rested_from_once_and_not_too_soon() {
        let mut rest = Rest::default();
        let mut is_due = |number, visits, now| {
            let generation = Generation::new(number).unwrap();
            rest.is_due(Done { generation, visits }, Duration::from_millis(now))
        };
        assert!(is_due(1, 0, 10));
        assert!(!is_due(1, 0, 5000), "nothing has happened since");
        assert!(is_due(2, 0, 5000));
        assert!(!is_due(3, 0, 5999));
        assert!(is_due(4, 0, 6000));
        assert!(!is_due(4, 1, 6999));
        assert!(is_due(4, 1, 9000), "made up for");
        assert!(!is_due(4, 1, 19000));
    }
}
