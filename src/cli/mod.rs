//! The command line: argv in, [`Invocation`] or [`Refusal`] out.
//!
//! | file | does |
//! |---|---|
//! | [`arguments`] | defines the options of `sd-starter`, with their help |
//! | `getopt` | reads them, in Perl's spellings too |
//! | `help` | has the texts of `--help` |
//! | `environment` | reads the variables that stand in for options |
//! | `values` | checks single values |
//! | `settings` | fills in the defaults |
//! | [`refusal`] | says what is wrong, with which exit code |
//! | [`control`] | defines the options of `starterctl` |
//! | [`whereabouts`] | finds the instance that is meant |
//! | [`client`] | asks a supervisor, for `starterctl` |
//! | [`errand`] | does `--restart` and `--stop` |
//! | `reload_watch` | judges whether a reload has ended |
//! | [`answer`] | judges what it answered: exit code, line, JSON |
//! | [`escaped`] | takes what a terminal would obey from words of others |
//! | [`style`] | knows what a terminal can show |
//! | [`status_view`] | shows a status |
//! | [`openmetrics`] | shows it to a machine |
//! | [`progress`] | says what a long wait is for |
//! | [`unit_pair`] | makes a pair of units |
//!
//! Nothing here prints or exits: that is for the programs in `src/bin`.

pub mod answer;
pub mod arguments;
pub mod client;
pub mod control;
mod environment;
pub mod errand;
pub mod escaped;
mod getopt;
mod help;
pub mod openmetrics;
pub mod progress;
pub mod refusal;
mod reload_watch;
mod settings;
pub mod status_view;
pub mod style;
pub mod unit_pair;
mod values;
pub mod whereabouts;

#[cfg(test)]
mod forms;

use crate::shell::settings::{Invocation, ProgramName};
use crate::shell::trial;
use environment::Environment;
pub use refusal::Refusal;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Reads a command line, the program's own name first.
///
/// `environment` is the one that we were started with: `ENVDIR`,
/// `ENABLE_AUTO_RESTART`, `AUTO_RESTART_INTERVAL` and `KILL_OLD_DELAY` stand in
/// for the options of these names, and `NOTIFY_SOCKET` tells that we run under
/// systemd.
pub fn parse(
    argv: impl IntoIterator<Item = OsString>,
    environment: &[(OsString, OsString)],
) -> Result<Invocation, Refusal> {
    let mut argv = argv.into_iter().peekable();
    let name = program_name(&argv.next().unwrap_or_default());
    // Ours alone, and in front of a command line of any age: no option that people see, complete or
    // abbreviate.
    let is_trial = argv.next_if(|first| first == trial::OPTION).is_some();
    let arguments = getopt::read(argv, name)?;
    let invocation = settings::invocation(arguments, name, &Environment(environment))?;
    match (is_trial, invocation) {
        (false, invocation) => Ok(invocation),
        (true, Invocation::Supervise(settings)) => Ok(Invocation::CheckState(settings)),
        (true, _) => Err(Refusal::usage("nothing runs with such a command line")),
    }
}

/// Which of our two names this is: `/usr/bin/start_server`, or with a suffix
/// as alternatives have, `start_server.sd`, is the one; all else the other.
pub fn program_name(argv0: &OsStr) -> ProgramName {
    let base = Path::new(argv0).file_name().unwrap_or_default();
    if base.as_encoded_bytes().starts_with(b"start_server") {
        ProgramName::StartServer
    } else {
        ProgramName::SdStarter
    }
}
