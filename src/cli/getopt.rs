//! The command line, read as Getopt::Long reads it.
//!
//! `start_server` reads its command line with Perl's Getopt::Long, and scripts
//! make use of it: `-port 80`, `-port=80`, `--por 80`, `--PORT=80` are all
//! `--port=80`. So are they here.
//!
//! One thing differs on purpose: reading stops at the program's name, so that
//! its own options are left to it (`start_server --port 80 plackup --server
//! Twiggy` is in Twiggy's manual, and fails with the original).
//!
//! clap has the definitions ([`Arguments`]), of which a test makes help, manual and completions, and
//! with which a test compares the table below. It does not read: as code and as start-up time it
//! would be a fifth of the whole program.

use super::arguments::Arguments;
use super::help;
use super::refusal::Refusal;
use crate::shell::settings::ProgramName;
use Effect::{Flag, Path, Paths, Raw, Show, Text, Texts};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where the value of an option goes.
enum Effect {
    Flag(fn(&mut Arguments) -> &mut bool),
    Text(fn(&mut Arguments) -> &mut Option<String>),
    Texts(fn(&mut Arguments) -> &mut Vec<String>),
    Path(fn(&mut Arguments) -> &mut Option<PathBuf>),
    Paths(fn(&mut Arguments) -> &mut Vec<PathBuf>),
    Raw(fn(&mut Arguments) -> &mut Option<OsString>),
    /// It ends the reading with a text.
    Show(fn(ProgramName) -> String),
}

type Known = (&'static str, Effect);

/// Every option, in the order of the definitions.
static OPTIONS: [Known; 37] = [
    ("port", Texts(|all| &mut all.port)),
    ("path", Paths(|all| &mut all.path)),
    ("path-mode", Text(|all| &mut all.path_mode)),
    ("backlog", Text(|all| &mut all.backlog)),
    ("listen-key", Texts(|all| &mut all.listen_key)),
    ("ready", Text(|all| &mut all.ready)),
    ("interval", Text(|all| &mut all.interval)),
    ("start-timeout", Text(|all| &mut all.start_timeout)),
    ("attempts", Text(|all| &mut all.attempts)),
    ("kill-old-delay", Text(|all| &mut all.kill_old_delay)),
    ("signal-on-hup", Text(|all| &mut all.signal_on_hup)),
    ("drain-timeout", Text(|all| &mut all.drain_timeout)),
    ("max-draining", Text(|all| &mut all.max_draining)),
    (
        "enable-auto-restart",
        Flag(|all| &mut all.enable_auto_restart),
    ),
    (
        "auto-restart-interval",
        Text(|all| &mut all.auto_restart_interval),
    ),
    ("signal-on-term", Text(|all| &mut all.signal_on_term)),
    ("stop-timeout", Text(|all| &mut all.stop_timeout)),
    ("forward", Texts(|all| &mut all.forward)),
    ("expand", Flag(|all| &mut all.expand)),
    ("einhorn", Flag(|all| &mut all.einhorn)),
    ("worker-watchdog", Text(|all| &mut all.worker_watchdog)),
    ("fd-store-max", Text(|all| &mut all.fd_store_max)),
    ("no-cgroup", Flag(|all| &mut all.no_cgroup)),
    ("no-fd-store", Flag(|all| &mut all.no_fd_store)),
    ("crash-adoption", Flag(|all| &mut all.crash_adoption)),
    ("dir", Path(|all| &mut all.dir)),
    ("envdir", Path(|all| &mut all.envdir)),
    ("pid-file", Path(|all| &mut all.pid_file)),
    ("status-file", Path(|all| &mut all.status_file)),
    ("log-file", Raw(|all| &mut all.log_file)),
    ("daemonize", Flag(|all| &mut all.daemonize)),
    ("control-socket", Path(|all| &mut all.control_socket)),
    ("restart", Flag(|all| &mut all.restart)),
    ("stop", Flag(|all| &mut all.stop)),
    ("timeout", Text(|all| &mut all.timeout)),
    ("help", Show(help::long)),
    ("version", Show(help::version_of)),
];

/// The options of `start_server` 0.35. An abbreviation that is unique among
/// them keeps its meaning (`--pa`, `--sto`) whatever we add.
const ORIGINAL: [&str; 19] = [
    "auto-restart-interval",
    "backlog",
    "daemonize",
    "dir",
    "enable-auto-restart",
    "envdir",
    "help",
    "interval",
    "kill-old-delay",
    "log-file",
    "path",
    "pid-file",
    "port",
    "restart",
    "signal-on-hup",
    "signal-on-term",
    "status-file",
    "stop",
    "version",
];

/// Those of `start_server` to which an empty text is false: `--pid-file "$PIDFILE"` without such a
/// variable is as good as nothing. Elsewhere it means something, or is a mistake there, too.
const FALSE_WHEN_EMPTY: [&str; 6] = [
    "envdir",
    "log-file",
    "pid-file",
    "signal-on-hup",
    "signal-on-term",
    "status-file",
];

/// Reads the arguments, without the program's own name.
pub(super) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    program: ProgramName,
) -> Result<Arguments, Refusal> {
    let mut all = Arguments::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            break;
        }
        let Some((name, value)) = split(&argument) else {
            all.command.push(argument);
            break;
        };
        // The short help, which `--help` announces.
        if argument == "-h" {
            return Err(Refusal::Text(help::short(program)));
        }
        let Some((name, effect)) = find(name)? else {
            return Err(unexpected(&argument));
        };
        let is_separate = value.is_none();
        let value = match (effect, value) {
            (Flag(_) | Show(_), Some(value)) => {
                let value = value.to_string_lossy();
                let value = value.escape_debug();
                return Err(Refusal::usage(format!(
                    "unexpected value '{value}' for '--{name}' found; no more were expected"
                )));
            }
            (Flag(place), None) => {
                *place(&mut all) = true;
                continue;
            }
            (Show(text), None) => return Err(Refusal::Text(text(program))),
            // A mandatory value may look like an option: `--dir --port`.
            (_, None) => arguments.next(),
            (_, Some(value)) => Some(value.to_owned()),
        };
        let may_be_empty =
            is_separate && program == ProgramName::StartServer && FALSE_WHEN_EMPTY.contains(name);
        let Some(value) = value.filter(|value| may_be_empty || !value.is_empty()) else {
            return Err(Refusal::usage(format!(
                "option '--{name}' requires a value"
            )));
        };
        match effect {
            Text(place) => *place(&mut all) = Some(text(name, value)?),
            Texts(place) => place(&mut all).push(text(name, value)?),
            Path(place) => *place(&mut all) = Some(value.into()),
            Paths(place) => place(&mut all).push(value.into()),
            Raw(place) => *place(&mut all) = Some(value),
            // Neither has a value.
            Flag(_) | Show(_) => {}
        }
    }
    all.command.extend(arguments);
    Ok(all)
}

fn text(name: &str, value: OsString) -> Result<String, Refusal> {
    value.into_string().map_err(|value| {
        let option = format!("--{name}");
        Refusal::value(&option, &value.to_string_lossy(), "not UTF-8")
    })
}

fn unexpected(argument: &OsStr) -> Refusal {
    let argument = argument.to_string_lossy();
    let (option, _) = argument.split_once('=').unwrap_or((&argument, ""));
    let mut line = format!("unexpected argument '{}' found", option.escape_debug());
    let name = option.trim_start_matches('-');
    let by_distance = |(known, _): &Known| (distance(name, known), *known);
    if let Some((0..=2, similar)) = OPTIONS.iter().map(by_distance).min() {
        line.push_str(&format!(" (did you mean '--{similar}'?)"));
    }
    Refusal::usage(line)
}

/// How many letters are to be put in, left out or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, second) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *second);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// The name and the value of what looks like an option; a lone `-` does not.
fn split(argument: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = argument.as_bytes();
    let body = bytes
        .strip_prefix(b"--")
        .or_else(|| bytes.strip_prefix(b"-"))?;
    if body.is_empty() {
        return None;
    }
    let mut parts = body.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default();
    // No option has a name that is not UTF-8: so it is none of ours.
    let name = std::str::from_utf8(name).unwrap_or_default();
    Some((name, parts.next().map(OsStr::from_bytes)))
}

/// The option that `name` means: by its whole name, else as an abbreviation.
fn find(name: &str) -> Result<Option<&'static Known>, Refusal> {
    let begins = |option: &&Known| {
        let beginning = option.0.get(..name.len());
        !name.is_empty() && beginning.is_some_and(|text| text.eq_ignore_ascii_case(name))
    };
    let is_whole = |option: &&Known| option.0.eq_ignore_ascii_case(name);
    if let Some(whole) = OPTIONS.iter().find(is_whole) {
        return Ok(Some(whole));
    }
    let meant: Vec<&Known> = OPTIONS.iter().filter(begins).collect();
    let is_original = |option: &&&Known| ORIGINAL.contains(&option.0);
    let originals: Vec<&Known> = meant.iter().filter(is_original).copied().collect();
    match (meant.as_slice(), originals.as_slice()) {
        ([], _) => Ok(None),
        ([only], _) | (_, [only]) => Ok(Some(only)),
        (several, _) => {
            let names: Vec<String> = several
                .iter()
                .map(|(name, _)| format!("--{name}"))
                .collect();
            Err(Refusal::usage(format!(
                "option '{name}' is ambiguous: {}",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use proptest::prelude::*;

    fn try_read(arguments: &[&str]) -> Result<Arguments, Refusal> {
        let arguments = arguments.iter().map(OsString::from);
        read(arguments, ProgramName::SdStarter)
    }

    fn good(arguments: &[&str]) -> Arguments {
        try_read(arguments).expect("a good line")
    }

    fn refused(arguments: &[&str]) -> String {
        try_read(arguments).expect_err("a mistake").to_string()
    }

    #[test]
    fn the_table_is_the_definitions() {
        let mut command = Arguments::command();
        command.build();
        let defined: Vec<(&str, bool)> = command
            .get_arguments()
            .filter_map(|argument| {
                Some((argument.get_long()?, argument.get_action().takes_values()))
            })
            .collect();
        let takes_value = |effect: &Effect| !matches!(effect, Flag(_) | Show(_));
        let known: Vec<_> = OPTIONS
            .iter()
            .map(|(name, effect)| (*name, takes_value(effect)))
            .collect();
        assert_eq!(known, defined);
    }

    #[test]
    fn each_option_is_read_as_clap_reads_it() {
        use clap::Parser;
        for (name, effect) in &OPTIONS {
            let lines = match effect {
                Show(_) => continue,
                Flag(_) => vec![format!("--{name}")],
                // Twice: the last one counts, or both.
                _ => vec![format!("--{name}=a"), format!("--{name}=b")],
            };
            let line: Vec<&str> = lines.iter().map(String::as_str).collect();
            let by_clap = Arguments::parse_from([&["sd-starter"], line.as_slice()].concat());
            assert_eq!(good(&line), by_clap, "{name}");
        }
    }

    #[test]
    fn every_spelling_of_an_option_is_the_option() {
        for spelling in [
            &["--port=80"][..],
            &["--port", "80"],
            &["-port", "80"],
            &["-port=80"],
            &["--por=80"],
            &["--por", "80"],
            &["--PORT=80"],
            &["-Po", "80"],
        ] {
            assert_eq!(good(spelling).port, ["80"], "{spelling:?}");
        }
    }

    #[test]
    fn reading_stops_at_the_program() {
        let line = ["--port", "80", "plackup", "--server", "Twiggy", "--", "-x"];
        let arguments = good(&line);
        assert_eq!(arguments.port, ["80"]);
        assert_eq!(
            arguments.command,
            ["plackup", "--server", "Twiggy", "--", "-x"]
        );
        assert_eq!(good(&["--", "--port", "80"]).command, ["--port", "80"]);
        assert_eq!(good(&["-", "x"]).command, ["-", "x"]);
    }

    #[test]
    fn abbreviations_mean_what_they_mean_to_start_server() {
        for (short, long) in [
            ("--pa", "path"),
            ("--sta", "status-file"),
            ("--sto", "stop"),
            ("--l", "log-file"),
            ("--re", "restart"),
            ("--a", "auto-restart-interval"),
            ("--dr", "drain-timeout"),
            ("-v", "version"),
        ] {
            let found = find(short.trim_start_matches('-')).expect("unambiguous");
            assert_eq!(found.map(|(name, _)| *name), Some(long), "{short}");
        }
        assert!(refused(&["-p", "80"]).contains("'p' is ambiguous: --port, --path"));
        assert!(refused(&["--st"]).contains("ambiguous"));
    }

    #[test]
    fn a_value_may_look_like_an_option_but_must_be_there() {
        let arguments = good(&["--dir", "--port", "x"]);
        assert_eq!(arguments.dir, Some("--port".into()));
        assert_eq!(arguments.command, ["x"]);
        assert_eq!(good(&["--port==", "x"]).port, ["="]);
        assert!(refused(&["--port"]).contains("'--port' requires a value"));
        assert!(refused(&["--port="]).contains("'--port' requires a value"));
        for (program, may_be_empty) in [
            (ProgramName::StartServer, true),
            (ProgramName::SdStarter, false),
        ] {
            let reads = |arguments: &[&str]| {
                let arguments = arguments.iter().map(OsString::from);
                read(arguments, program).is_ok()
            };
            assert_eq!(reads(&["--pid-file", ""]), may_be_empty);
            assert!(!reads(&["--pid-file="]) && !reads(&["--port", ""]) && !reads(&["--pid-file"]));
        }
    }

    #[test]
    fn what_is_no_option_is_named() {
        let text = refused(&["--bogus=1", "-h"]);
        assert_eq!(text, "error: unexpected argument '--bogus' found");
        let text = refused(&["--prot", "80"]);
        assert!(
            text.ends_with("'--prot' found (did you mean '--port'?)"),
            "{text}"
        );
        let text = refused(&["--daemonize=1"]);
        assert!(
            text.contains("unexpected value '1' for '--daemonize'"),
            "{text}"
        );
        let bytes = OsStr::from_bytes(b"--port=\xff").to_owned();
        let refusal = read([bytes], ProgramName::SdStarter).expect_err("no text");
        assert!(
            refusal.to_string().contains("'--port': not UTF-8"),
            "{refusal}"
        );
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn the_original_options_exist() {
        for name in ORIGINAL.iter().chain(&FALSE_WHEN_EMPTY) {
            assert!(OPTIONS.iter().any(|(known, _)| known == name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(arguments in prop::collection::vec("-{0,3}[a-zA-Z=ä-]{0,6}", 0..6)) {
            let arguments = arguments.into_iter().map(OsString::from);
            let _ = read(arguments, ProgramName::StartServer);
        }
    }
}
