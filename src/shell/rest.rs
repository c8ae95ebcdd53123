//! What the loop does when a start or a swap is over, before it goes to sleep for long.

use std::time::Duration;

use crate::os::memory;
use crate::protocol::generation::Generation;

/// Between two rests. Each costs a tenth of a millisecond of CPU, half of it now and half of it at the
/// next reload, whose pages come back one by one: a storm of reloads shall not pay it every time.
const PAUSE: Duration = Duration::from_secs(1);

/// Gives back the memory that only starts and swaps need, once for each.
///
/// It never wakes anybody: what came too soon after the last rest is made up for at the next wake-up,
/// whosever that is.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The generation that served at the last one, and when that was.
    last: Option<(Generation, Duration)>,
}

impl Rest {
    /// To be called before each sleep, with the generation that serves, if it is alone and nothing is
    /// under way.
    pub(super) fn before_sleep(&mut self, settled: Option<Generation>, now: Duration) {
        if self.is_due(settled, now) {
            memory::give_back_program();
        }
    }

    fn is_due(&mut self, settled: Option<Generation>, now: Duration) -> bool {
        let Some(generation) = settled else {
            return false;
        };
        let is_due = self
            .last
            .is_none_or(|(rested, then)| rested != generation && now.saturating_sub(then) >= PAUSE);
        if is_due {
            self.last = Some((generation, now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_swap_is_rested_from_once_and_not_too_soon() {
        let generation = Generation::new;
        let mut rest = Rest::default();
        let mut is_due = |number, now| rest.is_due(generation(number), Duration::from_millis(now));
        assert!(!is_due(0, 0), "nothing serves alone");
        assert!(is_due(1, 10));
        assert!(!is_due(1, 5000), "nothing has happened since");
        assert!(is_due(2, 5000));
        assert!(!is_due(3, 5999));
        assert!(!is_due(0, 6000));
        assert!(is_due(4, 6000), "made up for");
        assert!(!is_due(4, 9000));
    }
}
