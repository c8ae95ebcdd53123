//! What a test has measured, for `tests/RELIABILITY.md`: a row of its own in a file of its own, so
//! that tests of any process can write at once. `tests/reliability` makes the page of them.

use std::fs;
use std::path::{Path, PathBuf};

/// What the design says about requests in a fault.
#[derive(Clone, Copy)]
pub(crate) enum Promise {
    /// None is lost.
    NoneLost,
    /// Some may be, for this reason.
    Not(&'static str),
    /// Nobody asked anything meanwhile.
    NoRequests,
}

/// Where the rows are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("reliability")
}

/// Writes the row `name`; `lost` is how many requests failed. A row whose promise is broken is not
/// written: the test fails first.
#[track_caller]
pub(crate) fn row(name: &str, tries: u64, outcome: &str, promise: Promise, lost: u64) {
    let promised = match promise {
        Promise::NoneLost => {
            assert_eq!(lost, 0, "{name}: none may be lost");
            "0".to_owned()
        }
        Promise::Not(reason) => reason.to_owned(),
        Promise::NoRequests => {
            assert_eq!(lost, 0, "{name}: who asked?");
            "none was sent".to_owned()
        }
    };
    let line = [
        name,
        &tries.to_string(),
        outcome,
        &lost.to_string(),
        &promised,
    ]
    .join("\t");
    assert_eq!(line.lines().count(), 1, "{line}");
    fs::create_dir_all(folder()).expect("the target directory is writable");
    let file = folder().join(name.replace([' ', '/'], "-"));
    fs::write(file, line).expect("the target directory is writable");
}
