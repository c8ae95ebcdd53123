//! Another build of the supervisor: the same program, that calls itself another version.
//!
//! A second compilation would cost minutes and differ in nothing that is looked at here; so the text
//! of the version is changed in the file. What that shows is which file runs, not that other code
//! reads our state: that is what the fixtures of old states are for.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::programs;

/// The version of the build under test.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Another one of the same length, so that nothing in the file moves.
pub(crate) fn other_version() -> String {
    let (kept, last) = VERSION.split_at(VERSION.len() - 1);
    format!("{kept}{}", if last == "9" { "8" } else { "9" })
}

/// Puts a build of this version at `path` as a package manager does: a new file, renamed into place.
pub(crate) fn install(version: &str, path: &Path) {
    assert_eq!(version.len(), VERSION.len(), "nothing may move");
    let mut program = fs::read(programs::SD_STARTER).expect("cargo has built it");
    let title = format!("sd-starter {VERSION}").into_bytes();
    let places: Vec<_> = (0..program.len() - title.len())
        .filter(|at| program[*at..].starts_with(&title))
        .collect();
    assert!(!places.is_empty(), "the file says what version it is");
    for at in places {
        program[at..at + title.len()].copy_from_slice(format!("sd-starter {version}").as_bytes());
    }
    install_bytes(&program, path);
}

/// A copy of a program that can be executed at once.
pub(crate) fn copy(program: &Path, path: &Path) {
    install_bytes(&fs::read(program).expect("it was built"), path);
}

/// Puts any file there, executable. Another process writes it: a program that is open for writing
/// cannot be executed (`ETXTBSY`), and whatever we have open, a child has that another test forks
/// in this moment, until that child is executed.
pub(crate) fn install_bytes(program: &[u8], path: &Path) {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut target = OsString::from("of=");
    target.push(&new);
    let mut writer = Command::new("dd")
        .arg(target)
        .arg("status=none")
        .stdin(Stdio::piped())
        .spawn()
        .expect("coreutils");
    let mut pipe = writer.stdin.take().expect("it is a pipe");
    pipe.write_all(program).expect("a writable directory");
    drop(pipe);
    assert!(writer.wait().expect("our child").success());
    fs::set_permissions(&new, Permissions::from_mode(0o755)).expect("our file");
    fs::rename(&new, path).expect("a writable directory");
}
