//! Waiting for a condition, with a deadline; tests never just sleep.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a condition is looked at that nothing announces.
const INTERVAL: Duration = Duration::from_millis(5);

/// Looks at `condition` until it is `Some`, and returns what it holds.
///
/// Panics with `what` when `limit` has passed.
#[track_caller]
pub(crate) fn for_some<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        // Asked before the clock is read: a condition that holds at the end of the limit still counts.
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            started.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        std::thread::sleep(INTERVAL);
    }
}

/// Looks at `condition` until it is true; see [`for_some`].
#[track_caller]
pub(crate) fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    for_some(what, limit, || condition().then_some(()));
}

/// Looks at a value until it equals `wanted`; a failure shows what it was instead.
#[track_caller]
pub(crate) fn for_value<T, W>(what: &str, limit: Duration, wanted: W, mut look: impl FnMut() -> T)
where
    T: Debug + PartialEq<W>,
    W: Debug,
{
    let started = Instant::now();
    loop {
        let value = look();
        if value == wanted {
            return;
        }
        let waited = started.elapsed();
        assert!(
            waited < limit,
            "waited {limit:?} for {what} to be {wanted:?}; it is {value:?}"
        );
        std::thread::sleep(INTERVAL);
    }
}
