//! Getopt::Long's spellings, put into the one that clap reads.
//!
//! `start_server` reads its command line with Perl's Getopt::Long, and scripts
//! make use of it: `-port 80`, `-port=80`, `--por 80`, `--PORT=80` are all
//! `--port=80`. Here each becomes that. What is no option of ours is passed on
//! as it is, for clap to complain about.
//!
//! One thing differs on purpose: reading stops at the program's name, so that
//! its own options are left to it (`start_server --port 80 plackup --server
//! Twiggy` is in Twiggy's manual, and fails with the original).

use super::refusal::Refusal;
use clap::Command;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

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

/// An option as the pre-pass sees it.
struct Known {
    name: String,
    takes_value: bool,
}

/// Rewrites the arguments (without the program's own name) for `command`.
///
/// Every option becomes `--name` or `--name=value`; before the name of the
/// program to run comes a `--`.
pub(super) fn normalize(
    command: &mut Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, Refusal> {
    let known = options_of(command);
    let mut arguments = arguments.into_iter();
    let mut normal = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            break;
        }
        let Some((name, value)) = split(&argument) else {
            normal.push("--".into());
            normal.push(argument);
            normal.extend(arguments);
            return Ok(normal);
        };
        // clap's own: the short help, which `--help` announces.
        if argument == "-h" {
            normal.push(argument);
            continue;
        }
        let Some(option) = find(&known, name)? else {
            normal.push(argument);
            continue;
        };
        let mut whole = OsString::from(format!("--{}", option.name));
        let value = match value {
            // A mandatory value may look like an option: `--dir --port`.
            None if option.takes_value => arguments.next(),
            value => value.map(OsStr::to_owned),
        };
        if option.takes_value && value.as_ref().is_none_or(|value| value.is_empty()) {
            return Err(Refusal::usage(format!(
                "option '--{}' requires a value",
                option.name
            )));
        }
        if let Some(value) = value {
            whole.push("=");
            whole.push(value);
        }
        normal.push(whole);
    }
    normal.push("--".into());
    normal.extend(arguments);
    Ok(normal)
}

fn options_of(command: &mut Command) -> Vec<Known> {
    command.build();
    let option = |argument: &clap::Arg| {
        Some(Known {
            name: argument.get_long()?.to_owned(),
            takes_value: argument.get_action().takes_values(),
        })
    };
    command.get_arguments().filter_map(option).collect()
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
    // No option has a name that is not UTF-8: clap will say so.
    let name = std::str::from_utf8(name).unwrap_or_default();
    Some((name, parts.next().map(OsStr::from_bytes)))
}

/// The option that `name` means: by its whole name, else as an abbreviation.
fn find<'a>(known: &'a [Known], name: &str) -> Result<Option<&'a Known>, Refusal> {
    let begins = |option: &&Known| {
        let beginning = option.name.get(..name.len());
        !name.is_empty() && beginning.is_some_and(|text| text.eq_ignore_ascii_case(name))
    };
    let is_whole = |option: &&Known| option.name.eq_ignore_ascii_case(name);
    if let Some(whole) = known.iter().find(is_whole) {
        return Ok(Some(whole));
    }
    let meant: Vec<&Known> = known.iter().filter(begins).collect();
    let is_original = |option: &&&Known| ORIGINAL.contains(&option.name.as_str());
    let originals: Vec<&Known> = meant.iter().filter(is_original).copied().collect();
    match (meant.as_slice(), originals.as_slice()) {
        ([], _) => Ok(None),
        ([only], _) | (_, [only]) => Ok(Some(only)),
        (several, _) => {
            let names: Vec<String> = several.iter().map(|o| format!("--{}", o.name)).collect();
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
    use crate::cli::arguments::Arguments;
    use clap::CommandFactory;
    use proptest::prelude::*;

    fn normal(arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(OsString::from);
        let normal = normalize(&mut Arguments::command(), arguments).expect("unambiguous");
        let text = |argument: OsString| argument.into_string().expect("tests use UTF-8");
        normal.into_iter().map(text).collect()
    }

    fn refused(arguments: &[&str]) -> String {
        let arguments = arguments.iter().map(OsString::from);
        let refused = normalize(&mut Arguments::command(), arguments);
        refused.expect_err("a mistake").to_string()
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
            assert_eq!(normal(spelling), ["--port=80", "--"], "{spelling:?}");
        }
    }

    #[test]
    fn reading_stops_at_the_program() {
        let line = ["--port", "80", "plackup", "--server", "Twiggy", "--", "-x"];
        let expected = [
            "--port=80",
            "--",
            "plackup",
            "--server",
            "Twiggy",
            "--",
            "-x",
        ];
        assert_eq!(normal(&line), expected);
        assert_eq!(normal(&["--", "--port", "80"]), ["--", "--port", "80"]);
        assert_eq!(normal(&["-", "x"]), ["--", "-", "x"]);
    }

    #[test]
    fn abbreviations_mean_what_they_mean_to_start_server() {
        for (short, long) in [
            ("--pa=x", "--path=x"),
            ("--sta=x", "--status-file=x"),
            ("--sto", "--stop"),
            ("--l=x", "--log-file=x"),
            ("--re", "--restart"),
            ("--a=1", "--auto-restart-interval=1"),
            ("--dr=1", "--drain-timeout=1"),
            ("-v", "--version"),
        ] {
            assert_eq!(normal(&[short])[0], long, "{short}");
        }
        assert!(refused(&["-p", "80"]).contains("'p' is ambiguous: --port, --path"));
        assert!(refused(&["--st"]).contains("ambiguous"));
    }

    #[test]
    fn a_value_may_look_like_an_option_but_must_be_there() {
        assert_eq!(
            normal(&["--dir", "--port", "x"]),
            ["--dir=--port", "--", "x"]
        );
        assert_eq!(normal(&["--port==", "x"]), ["--port==", "--", "x"]);
        assert!(refused(&["--port"]).contains("'--port' requires a value"));
        assert!(refused(&["--port="]).contains("'--port' requires a value"));
    }

    #[test]
    fn what_is_no_option_is_left_to_clap() {
        assert_eq!(normal(&["--bogus=1", "-h"]), ["--bogus=1", "-h", "--"]);
        assert_eq!(normal(&["--daemonize=1"]), ["--daemonize=1", "--"]);
    }

    #[test]
    fn the_original_options_exist() {
        let known = options_of(&mut Arguments::command());
        for name in ORIGINAL {
            assert!(known.iter().any(|option| option.name == name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(arguments in prop::collection::vec("-{0,3}[a-zA-Z=ä-]{0,6}", 0..6)) {
            let arguments = arguments.into_iter().map(OsString::from);
            let _ = normalize(&mut Arguments::command(), arguments);
        }
    }
}
