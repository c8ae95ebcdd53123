//! Where cargo has put what it built.

use std::path::{Path, PathBuf};

/// The supervisor.
pub(crate) const SD_STARTER: &str = env!("CARGO_BIN_EXE_sd-starter");
/// Its control program.
pub(crate) const STARTERCTL: &str = env!("CARGO_BIN_EXE_starterctl");

/// The test worker, which cargo builds beside them (but not when told `--test NAME` alone).
pub(crate) fn hello() -> PathBuf {
    example("hello")
}

/// One of the other programs that are built for tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let programs = Path::new(SD_STARTER).parent().expect("in a directory");
    let example = programs.join("examples").join(name);
    assert!(
        example.exists(),
        "build it first: cargo build --example {name}"
    );
    example
}

/// What a rig is given.
pub(crate) fn all() -> [PathBuf; 3] {
    match std::env::var_os("SD_STARTER_RIG_PROGRAMS") {
        Some(directory) => {
            ["sd-starter", "starterctl", "hello"].map(|name| Path::new(&directory).join(name))
        }
        None => [SD_STARTER.into(), STARTERCTL.into(), hello()],
    }
}
