//! Waiting for conditions: a deadline and a name, so that a failure says what never came.

use std::time::{Duration, Instant};

/// Long enough for two cores that run eight stories at once; a story that passes never waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(10);

/// The first `Some` that `probe` gives; panics with `what` when none comes in time.
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, probe).unwrap_or_else(|| panic!("never came: {what}"))
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || condition().then_some(()));
}

/// The first `Some` that `probe` gives within `time`.
pub(crate) fn within<T>(time: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

/// Whether `condition` came true within `time`: for outcomes that one program never reaches.
pub(crate) fn happens_within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    within(time, || condition().then_some(())).is_some()
}

/// Panics when `condition` fails once during `time`: only where the passing of time is the subject.
pub(crate) fn holds_for(what: &str, time: Duration, mut condition: impl FnMut() -> bool) {
    assert!(
        !happens_within(time, || !condition()),
        "did not hold: {what}"
    );
}
