//! What is written about the programs beside their code cannot drift from it: man pages,
//! completions and the message catalog are compared with the definitions, word for word.
//!
//! `SD_STARTER_REWRITE=1 cargo test --test manual` writes the generated ones anew.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]

mod pages;
mod third_party;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use clap_complete::Shell;
use sd_starter::cli::arguments::Arguments;
use sd_starter::cli::control::Control;
use sd_starter::protocol::message_ids::MESSAGE_IDS;

/// Each program: its name, its definition, the binary that it is.
fn programs() -> [(&'static str, clap::Command, &'static str); 3] {
    let sd_starter = env!("CARGO_BIN_EXE_sd-starter");
    let start_server = Arguments::command()
        .name("start_server")
        .override_usage("start_server [OPTIONS] [--] PROGRAM [ARGS]...");
    [
        ("sd-starter", Arguments::command(), sd_starter),
        ("start_server", start_server, sd_starter),
        (
            "starterctl",
            Control::command(),
            env!("CARGO_BIN_EXE_starterctl"),
        ),
    ]
}

/// Compares a committed file with what it should be, or writes it.
#[track_caller]
fn is_up_to_date(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(path);
    if std::env::var_os("SD_STARTER_REWRITE").is_some() {
        let folder = path.parent().expect("not the root");
        std::fs::create_dir_all(folder).expect("packaging is writable");
        std::fs::write(&path, expected).expect("packaging is writable");
        return;
    }
    let there = std::fs::read_to_string(&path);
    let there = there.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let differs = there
        .lines()
        .zip(expected.lines())
        .position(|(one, other)| one != other);
    assert!(
        there == expected,
        "{} is out of date (first at line {:?}): SD_STARTER_REWRITE=1 cargo test --test manual",
        path.display(),
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_licences_of_what_is_linked_are_up_to_date() {
    is_up_to_date("third-party.txt", &third_party::text());
}

#[test]
fn man_pages_are_up_to_date() {
    for (name, command, _) in programs() {
        is_up_to_date(&format!("man/{name}.1"), &pages::page(name, command));
    }
}

#[test]
fn help_texts_are_up_to_date() {
    // As wide as any terminal: they are not broken anew for each.
    let mut command = Arguments::command().term_width(80);
    let long = command.render_long_help().to_string();
    is_up_to_date("../src/cli/help/long.txt", &long);
    let short = command.render_help().to_string();
    is_up_to_date("../src/cli/help/short.txt", &short);
}

#[test]
fn completions_are_up_to_date() {
    for (name, command, _) in programs() {
        for (shell, file) in [
            (Shell::Bash, format!("completions/bash/{name}")),
            (Shell::Zsh, format!("completions/zsh/_{name}")),
            (Shell::Fish, format!("completions/fish/{name}.fish")),
        ] {
            is_up_to_date(&file, &completion(name, &command, shell));
        }
    }
}

fn completion(name: &str, command: &clap::Command, shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command.clone(), name, &mut text);
    String::from_utf8(text).expect("UTF-8")
}

/// The long options of a command and of those below it, with the words that lead there.
fn options(command: &clap::Command, path: &[String]) -> Vec<(Vec<String>, String)> {
    let own = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set());
    let mut all: Vec<_> = own
        .filter_map(|argument| Some((path.to_vec(), argument.get_long()?.to_owned())))
        .collect();
    for below in command.get_subcommands() {
        let path = [path, &[below.get_name().to_owned()]].concat();
        all.extend(options(below, &path));
    }
    all
}

#[test]
fn every_option_is_in_the_help_the_man_page_and_the_completions() {
    for (name, command, binary) in programs() {
        // Not the committed files, which may be written right now; they are the same texts.
        let man = pages::page(name, command.clone()).replace("\\-", "-");
        let [bash, zsh, fish] =
            [Shell::Bash, Shell::Zsh, Shell::Fish].map(|shell| completion(name, &command, shell));
        let all = options(&command, &[]);
        assert!(all.len() > 10, "{name}: {all:?}");
        for (path, option) in all {
            let help = Command::new(binary).args(&path).arg("--help").output();
            let help = help.expect("it runs").stdout;
            let help = String::from_utf8_lossy(&help);
            for (what, text, word) in [
                ("--help", &*help, format!("--{option}")),
                ("man page", &*man, format!("--{option}")),
                ("bash completion", &*bash, format!("--{option}")),
                ("zsh completion", &*zsh, format!("--{option}")),
                ("fish completion", &*fish, format!("-l {option}")),
            ] {
                let known = text.match_indices(&word).any(|(at, _)| {
                    let next = text[at + word.len()..].chars().next();
                    !next.is_some_and(|c| c.is_alphanumeric() || c == '-')
                });
                assert!(known, "{name} {path:?}: --{option} is not in the {what}");
            }
        }
    }
}

/// `man` would show them; this is what it needs at least, and what a typing error breaks.
#[test]
fn man_pages_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("packaging/man").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        let name = entry.file_name();
        for section in [
            "\n.SH NAME\n",
            "\n.SH SYNOPSIS\n",
            "\n.SH DESCRIPTION\n",
            "\n.SH \"SEE ALSO\"\n",
        ] {
            let section_plain = section.replace('"', "");
            assert!(
                text.contains(section) || text.contains(&section_plain),
                "{name:?}: no {section:?}"
            );
        }
        assert!(text.contains(".TH "), "{name:?}");
        for macro_line in text.lines().filter(|line| line.starts_with('.')) {
            let name = macro_line[1..].split(' ').next().unwrap_or_default();
            let known = [
                "TH", "SH", "SS", "PP", "TP", "IP", "RS", "RE", "br", "B", "I", "BR", "BI", "RB",
                "IR", "nf", "fi", "EX", "EE", "ie", "el", "\\\"",
            ];
            assert!(known.contains(&name), "{:?}: {macro_line}", entry.path());
        }
        count += 1;
    }
    assert_eq!(
        count, 4,
        "sd-starter(1), starterctl(1), start_server(1), sd-starter(7)"
    );
}

#[test]
fn every_message_id_is_in_the_catalog_and_nothing_else() {
    let catalog = include_str!("../../packaging/sd-starter.catalog");
    let entries: Vec<_> = catalog.split("\n-- ").skip(1).collect();
    let ids: BTreeSet<_> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
    let mut described = BTreeSet::new();
    for entry in entries {
        let (id, rest) = entry.split_once('\n').expect("more than an id");
        let (header, body) = rest.split_once("\n\n").expect("a header and a text");
        assert!(header.starts_with("Subject: "), "{id}");
        assert!(header.contains("\nDefined-By: sd-starter"), "{id}");
        assert!(body.trim().len() > 40, "{id}: it says nothing");
        assert!(described.insert(id), "{id} comes twice");
        // journalctl knows only fields of the entry.
        for field in body.split('@').skip(1).step_by(2) {
            let known = [
                "SD_STARTER_GENERATION",
                "SD_STARTER_WORKER_PID",
                "_SYSTEMD_UNIT",
            ];
            assert!(known.contains(&field), "{id}: @{field}@");
        }
    }
    assert_eq!(described, ids);
}

#[test]
fn every_message_id_belongs_to_an_event_that_there_is() {
    let voice = include_str!("../../src/shell/voice.rs");
    for (event, _) in MESSAGE_IDS {
        assert!(
            voice.contains(&format!("\"{event}\"")),
            "nobody says {event}"
        );
    }
}
