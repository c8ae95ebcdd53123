//! Side by side: sd-starter, its floor and its peers, measured in one go. Start it with `tests/bench/run`.

#![expect(
    clippy::panic,
    reason = "a bench that cannot measure ends, with its reason"
)]
#![expect(
    clippy::print_stdout,
    reason = "the tables are for the reader of its output"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "made for the tests; the bench needs a part of it")]
mod support;

mod alone;
mod anatomy;
mod book;
mod booted;
mod contender;
mod instance;
mod log;
mod machine;
mod metric;
mod options;
mod serving;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::Instant;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use book::Book;
use booted::Booted;
use contender::{Contender, Place, Row};
use metric::Metric;
use options::Options;
use support::scratch::Scratch;

fn main() -> ExitCode {
    let options = Options::parse(std::env::args().skip(1));
    let machine = machine::describe();
    prepare();
    let place = place();
    let rows = rows(&options, &place);
    let mut book = Book::default();
    measure(&mut book, &options, &place, &rows);

    // Not of the smoke, whose figures mean nothing.
    let is_asked_why = !options.is_smoke && targets::are_missed(&book);
    let markdown = [
        format!("{machine}{}\n", options.remark()),
        targets::markdown(&book),
        book.overview(),
        book.details(),
        if is_asked_why {
            anatomy::markdown(&place, &rows)
        } else {
            String::new()
        },
    ];
    let markdown = markdown.join("\n");
    if options.is_smoke {
        println!("it runs; its figures mean nothing");
    } else {
        println!("{markdown}");
    }
    let mut json = book.json();
    json["machine"] = machine.into();
    json["targets"] = targets::json(&book);
    let out = place.programs.join("side-by-side");
    fs::write(out.with_extension("md"), markdown).expect("our own directory");
    fs::write(out.with_extension("json"), format!("{json:#}\n")).expect("our own directory");

    let missing = book.missing(&options, &rows);
    let missed = targets::certainly_missed(&book);
    if missing.is_empty() && missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    for (what, list) in [
        ("no figures", missing.join("\n")),
        ("missed", missed.join("\n")),
    ] {
        if !list.is_empty() {
            eprintln!("{what}:\n{list}");
        }
    }
    ExitCode::FAILURE
}

fn measure(book: &mut Book, options: &Options, place: &Place, rows: &[Row]) {
    let effort = options.effort;
    let part = |name: &str| {
        let wanted = options.wants(name);
        if wanted {
            let started = started().elapsed().as_secs_f64();
            eprintln!("{started:>6.1} s  {name}");
        }
        wanted
    };
    if part("starts") {
        alone::starts(book, place, rows, effort.starts, 1);
        alone::starts(book, place, rows, effort.starts_of_1000, 1000);
    }
    if part("reloads") {
        alone::reloads(book, place, rows, effort.reloads);
    }
    if part("memory") {
        alone::memory(book, place, rows, effort.memory);
    }
    if part("idle") {
        alone::idle(book, place, rows, effort.idle);
    }
    if part("endurance") {
        alone::endurance(book, place, rows, effort.endurance);
    }
    let booted = (options.wants("load") || options.wants("systemd")).then(|| Booted::boot(place));
    if let Some(booted) = &booted {
        if part("load") {
            serving::measure(book, place, rows, booted, &effort);
        }
        if part("systemd") {
            booted.reloads(book, effort.systemctl);
        }
    }
    for (name, path) in [
        ("sd-starter", &place.sd_starter),
        ("starterctl", &place.starterctl),
    ] {
        let size = fs::metadata(path).expect("built by run").len();
        book.add(Metric::Size, name, size as f64 / f64::from(1 << 20));
    }
    part("done");
}

fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(Instant::now)
}

/// A network and limits of our own.
fn prepare() {
    started();
    unshare(CloneFlags::CLONE_NEWNET).expect("root may have a network of its own");
    let mut up = Command::new("ip");
    let up = up.args(["link", "set", "lo", "up"]).status();
    assert!(
        up.is_ok_and(|status| status.success()),
        "ip (Debian: iproute2) sets the loopback up"
    );
    let maximum = getrlimit(Resource::Nofile).maximum;
    let open = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, open).expect("up to the maximum");
}

/// From the variables that `run` sets.
fn place() -> Place {
    let directory = |name: &str| {
        let value = std::env::var_os(name).map(PathBuf::from);
        value.unwrap_or_else(|| panic!("{name} is not set: use tests/bench/run"))
    };
    let (release, programs) = (directory("BENCH_RELEASE"), directory("BENCH_PROGRAMS"));
    Place {
        scratch: Scratch::new(),
        sd_starter: release.join("sd-starter"),
        starterctl: release.join("starterctl"),
        worker: programs.join("worker"),
        floor: programs.join("floor"),
        circusd: programs.join("venv/bin/circusd"),
        programs,
    }
}

/// Who takes part.
fn rows(options: &Options, place: &Place) -> Vec<Row> {
    let all = Contender::ALL.into_iter();
    let mut contenders: Vec<_> = all.filter(|row| options.wants_row(row.name())).collect();
    if options.is_smoke {
        contenders.retain(|contender| *contender != Contender::Circus);
        eprintln!("not in the smoke: circus, which comes from PyPI");
    }
    contenders.extend(&options.builds);
    for contender in &contenders {
        let (program, package) = contender.program(place);
        assert!(
            Path::new(&program).exists(),
            "{} is missing: {package}",
            program.display()
        );
    }
    let rows = contenders.into_iter().zip(0..);
    rows.map(|(contender, number)| Row { contender, number })
        .collect()
}
