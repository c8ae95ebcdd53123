//! `--help` and `--version`: texts that a test makes of the definitions (`tests/manual`).

use crate::protocol::version::version;
use crate::shell::settings::ProgramName;

const LONG: &str = include_str!("help/long.txt");
const SHORT: &str = include_str!("help/short.txt");

/// What stands in them for either name.
const USAGE: &str = "Usage: sd-starter ";

pub(super) fn long(name: ProgramName) -> String {
    named(LONG, name)
}

pub(super) fn short(name: ProgramName) -> String {
    named(SHORT, name)
}

pub(super) fn version_of(_: ProgramName) -> String {
    format!("sd-starter {}", version())
}

fn named(text: &str, name: ProgramName) -> String {
    match name {
        ProgramName::SdStarter => text.to_owned(),
        ProgramName::StartServer => text.replacen(USAGE, "Usage: start_server ", 1),
    }
}
