//! The house, checked: which room a line of code belongs to, by what it may touch.

mod dependencies;
mod generator;

use std::fs;
use std::path::{Path, PathBuf};

/// What would make a pure room impure: the operating system, the clock, the log.
const IMPURE: &[&str] = &[
    "crate::cli",
    "crate::shell",
    "crate::worker",
    "crate::os",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::env",
    "std::thread",
    "std::io",
    "SystemTime",
    "Instant",
    "nix::",
    "rustix::",
    "libc::",
    "log::",
];

/// What the worker's side has no dependency for.
const SUPERVISORS: &[&str] = &["nix::", "rustix::", "log::", "serde", "sd_notify::"];

/// The rooms, and what each may not name. `src/bin` and `src/cli` are the top: they may name all.
const ROOMS: [(&str, &[&[&str]]); 5] = [
    (
        "src/shell",
        &[&[
            "crate::cli",
            "crate::worker",
            "println!",
            "eprintln!",
            "process::exit",
        ]],
    ),
    (
        "src/worker",
        &[
            SUPERVISORS,
            &[
                "crate::cli",
                "crate::shell",
                "crate::core",
                "set_var",
                "println!",
            ],
        ],
    ),
    ("src/core", &[IMPURE]),
    ("src/protocol", &[IMPURE, &["crate::core"]]),
    (
        "src/os",
        &[&[
            "crate::cli",
            "crate::shell",
            "crate::worker",
            "crate::core",
            "crate::protocol",
            "log::",
        ]],
    ),
];

/// Would you know your room? Tests in a file of their own do not count.
const LONGEST_FILE: usize = 450;

#[test]
fn arrows_point_downwards_only() {
    let mut upwards = Vec::new();
    for (room, forbidden) in ROOMS {
        for file in sources(Path::new(room)) {
            for (number, line) in code(&file) {
                for word in forbidden.concat().iter().filter(|word| names(&line, word)) {
                    upwards.push(format!("{}:{number}: {word}", file.display()));
                }
            }
        }
    }
    assert!(
        upwards.is_empty(),
        "a room reaches where it may not:\n{}",
        upwards.join("\n")
    );
}

#[test]
fn the_pure_rooms_forbid_unsafe_code() {
    for room in ["src/core/mod.rs", "src/protocol/mod.rs"] {
        let text = fs::read_to_string(room).expect("the room has a door");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{room}");
    }
}

#[test]
fn s13_unsafe_code_lives_in_os_alone_and_says_why_it_is_sound() {
    for file in sources(Path::new("src")) {
        let in_os = file.starts_with("src/os");
        let text = fs::read_to_string(&file).expect("readable");
        for (number, line) in code(&file) {
            let is_block = names(&line, "unsafe {") || names(&line, "unsafe fn");
            assert!(
                in_os || !is_block,
                "{}:{number}: unsafe outside of src/os",
                file.display()
            );
        }
        let blocks = text.matches("unsafe {").count();
        let reasons = text.matches("SAFETY:").count();
        assert!(
            reasons * 2 >= blocks,
            "{}: {blocks} blocks, {reasons} reasons",
            file.display()
        );
    }
}

#[test]
fn nothing_sleeps_and_nothing_starts_a_thread() {
    for file in sources(Path::new("src")) {
        for (number, line) in code(&file) {
            for word in ["thread::sleep", "thread::spawn", "sleep("] {
                assert!(!names(&line, word), "{}:{number}: {word}", file.display());
            }
        }
    }
}

#[test]
fn the_wall_clock_decides_nothing() {
    // Times that are shown are its only use: so a clock that is set, or stands, moves no deadline.
    let shown = ["src/shell/monitors.rs", "src/shell/report.rs"];
    for room in ["src/core", "src/shell", "src/os"] {
        for file in sources(Path::new(room)) {
            let may = shown.iter().any(|shown| file == Path::new(shown));
            for (number, line) in code(&file) {
                let place = format!("{}:{number}", file.display());
                for word in ["SystemTime", "CLOCK_REALTIME", "CLOCK_BOOTTIME"] {
                    assert!(may || !names(&line, word), "{place}: {word}");
                }
            }
        }
    }
}

#[test]
fn files_are_nouns_of_a_size_that_can_be_read() {
    for file in sources(Path::new("src")) {
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        let vague = ["utils", "helpers", "common", "types", "misc"];
        assert!(!vague.contains(&name), "{}: no noun", file.display());
        let lines = code(&file).count();
        assert!(lines <= LONGEST_FILE, "{}: {lines} lines", file.display());
    }
}

#[test]
fn the_check_sees_a_forbidden_word() {
    assert!(names("use std::fs;", "std::fs"));
    assert!(names("    let now = std::time::Instant::now();", "Instant"));
    assert!(!names("an Instantaneous thing", "Instant"));
    assert!(!names("catalog::entry", "log::"));
}

/// Whether a line of code names something: as a path of its own, not as a part of a longer word.
fn names(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let begins = !before.is_some_and(is_word);
        let ends = !word.ends_with(is_word) || !after.is_some_and(is_word);
        begins && ends
    })
}

/// The lines of a file before its tests, without comments, with their numbers.
fn code(file: &Path) -> impl Iterator<Item = (usize, String)> {
    let text = fs::read_to_string(file).expect("readable");
    let is_test = file.components().any(|part| {
        let name = part.as_os_str().to_str().unwrap_or_default();
        matches!(
            name.strip_suffix(".rs").unwrap_or(name),
            "laws" | "stories" | "tests" | "forms"
        )
    });
    let lines: Vec<_> = text
        .lines()
        .take_while(|line| !is_test && *line != "mod tests {")
        .map(|line| line.split("//").next().unwrap_or_default().to_owned())
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    lines.into_iter()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a room").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{}: empty", folder.display());
    files.sort();
    files
}
