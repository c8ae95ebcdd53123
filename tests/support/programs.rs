//! Where cargo has put what it built.

use std::path::{Path, PathBuf};

/// The supervisor.
pub(crate) const SD_STARTER: &str = env!("CARGO_BIN_EXE_sd-starter");
/// Its control program.
pub(crate) const STARTERCTL: &str = env!("CARGO_BIN_EXE_starterctl");

/// The test worker, which cargo builds beside them (but not when told `--test NAME` alone).
pub(crate) fn hello() -> PathBuf {
    let programs = Path::new(SD_STARTER).parent().expect("in a directory");
    let hello = programs.join("examples/hello");
    assert!(
        hello.exists(),
        "build it first: cargo build --example hello"
    );
    hello
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
