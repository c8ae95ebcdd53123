//! The program under test.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Which of the two programs the stories run against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// Perl's Server::Starter 0.35.
    Original,
    /// sd-starter, called by the name `start_server`.
    Ours,
}

/// The file to execute: `START_SERVER_UNDER_TEST`, else the binary that cargo built for this test.
pub(crate) fn path() -> PathBuf {
    std::env::var_os("START_SERVER_UNDER_TEST").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_sd-starter")),
        PathBuf::from,
    )
}

/// Told by the file itself: the original is a Perl script, ours is not a script.
pub(crate) fn under_test() -> Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    *PROGRAM.get_or_init(|| recognise(&path()))
}

fn recognise(path: &Path) -> Program {
    let mut head = [0; 64];
    let read = File::open(path)
        .and_then(|mut file| file.read(&mut head))
        .unwrap_or_else(|error| panic!("no program to test at {}: {error}", path.display()));
    let head = String::from_utf8_lossy(&head[..read]);
    let first_line = head.lines().next().unwrap_or_default();
    if first_line.starts_with("#!") && first_line.contains("perl") {
        Program::Original
    } else {
        Program::Ours
    }
}
