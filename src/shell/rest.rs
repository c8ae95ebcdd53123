//! What the loop does when a start or a swap is over, before it goes to sleep for long.

use std::time::Duration;

use crate::os::memory;
use crate::protocol::generation::Generation;

/// So long nothing has to happen. A rest costs a tenth of a millisecond of CPU, half of it then and half of
/// it at the next reload, whose pages come back one by one: a storm of reloads shall not pay it each time.
const QUIET: Duration = Duration::from_secs(1);

/// How far we have come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Done {
    /// The generation that serves, alone.
    pub(super) generation: Generation,
    /// How many clients have come to the control socket, and left.
    pub(super) visits: u64,
}

/// Gives back the memory that only starts, swaps and clients need, once after each: it is due when
/// nothing has come after it for a second.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What had been done at the last one.
    last: Option<Done>,
    /// What has been done since, and when the next one is due.
    next: Option<(Done, Duration)>,
}

impl Rest {
    /// When it is due, monotonic; nothing is while there is nothing to rest from.
    pub(super) fn due(&self) -> Option<Duration> {
        self.next.map(|(_, due)| due)
    }

    /// To be called before each sleep, with what has been done, if nothing is under way.
    pub(super) fn before_sleep(&mut self, done: Option<Done>, now: Duration) {
        if self.is_due(done, now) {
            memory::give_back_heap();
            memory::give_back_program();
        }
    }

    fn is_due(&mut self, done: Option<Done>, now: Duration) -> bool {
        let Some(done) = done.filter(|done| self.last != Some(*done)) else {
            self.next = None;
            return false;
        };
        match self.next {
            Some((next, due)) if next == done => {
                let is_due = due <= now;
                if is_due {
                    *self = Rest {
                        last: Some(done),
                        next: None,
                    };
                }
                is_due
            }
            _ => {
                self.next = Some((done, now.saturating_add(QUIET)));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_swap_and_each_visit_is_rested_from_once_when_it_is_quiet() {
        let mut rest = Rest::default();
        let mut is_due = |done: Option<(u64, u64)>, now, due: Option<u64>| {
            let done = done.map(|(number, visits)| Done {
                generation: Generation::new(number).unwrap(),
                visits,
            });
            let is_due = rest.is_due(done, Duration::from_millis(now));
            assert_eq!(rest.due(), due.map(Duration::from_millis));
            is_due
        };
        assert!(!is_due(None, 0, None), "it starts");
        assert!(!is_due(Some((1, 0)), 10, Some(1010)));
        assert!(!is_due(Some((1, 0)), 1009, Some(1010)));
        assert!(is_due(Some((1, 0)), 1010, None));
        assert!(
            !is_due(Some((1, 0)), 5000, None),
            "nothing has happened since"
        );
        assert!(!is_due(Some((2, 0)), 5000, Some(6000)));
        assert!(!is_due(None, 5900, None), "a swap");
        assert!(!is_due(Some((3, 0)), 5950, Some(6950)));
        assert!(!is_due(Some((3, 1)), 6900, Some(7900)), "a visit");
        assert!(is_due(Some((3, 1)), 9000, None), "late");
    }
}
