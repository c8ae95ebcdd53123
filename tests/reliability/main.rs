//! `tests/RELIABILITY.md`: made of what the suite has measured in its own run, and checked against it.
//!
//! The other tests have to run first: `cargo test --test hostile --test e2e`, then this. With
//! `SD_STARTER_REWRITE=1` the page is written anew. Numbers differ from run to run and machine to
//! machine; the rows, what is promised and the zeros do not.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "tests/RELIABILITY.md";

const HEAD: &str = "\
# Reliability

Every fault that the suite brings about, what came of it, and how many requests of clients were lost.
Written by the suite's own run: `tests/run` checks in each run that the same rows are there and that
every zero is one; `SD_STARTER_FULL=1` runs the long forms, `SD_STARTER_REWRITE=1` writes this page.

The client is part of the suite (`tests/support/load.rs`): new connections at a constant rate, and
kept-alive ones, against a worker that answers each request with its generation. Lost is every request
that was refused, reset, cut, not answered in ten seconds, or answered wrongly.

A clock belongs to the whole machine, so it is set for the program alone (`tests/hostile/clocks.c`); a
suspend is what a program sees of it: CLOCK_BOOTTIME goes on and CLOCK_MONOTONIC stands. No deadline is
read from either clock that jumps (`the_wall_clock_decides_nothing` in `tests/house`).

| Fault | Tries | Outcome | Lost | Promised |
|---|---:|---|---:|---|
";

struct Row {
    tries: String,
    outcome: String,
    lost: String,
    promised: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("reliability")
}

/// What this run has measured.
fn measured() -> BTreeMap<String, Row> {
    let list = fs::read_dir(folder()).into_iter().flatten().flatten();
    let texts = list.map(|entry| fs::read_to_string(entry.path()).expect("readable"));
    texts
        .map(|text| {
            let mut fields = text.split('\t').map(str::to_owned);
            let mut next = || fields.next().expect("five fields");
            let name = next();
            let (tries, outcome, lost, promised) = (next(), next(), next(), next());
            let row = Row {
                tries,
                outcome,
                lost,
                promised,
            };
            (name, row)
        })
        .collect()
}

/// The rows of the page: name, lost, promised.
fn on_the_page(page: &str) -> BTreeMap<String, (String, String)> {
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        let (lost, promised) = (cells[3].to_owned(), cells[4].to_owned());
        (cells[0].to_owned(), (lost, promised))
    })
    .collect()
}

fn render(rows: &BTreeMap<String, Row>) -> String {
    let mut page = HEAD.to_owned();
    for (name, row) in rows {
        let Row {
            tries,
            outcome,
            lost,
            promised,
        } = row;
        page.push_str(&format!(
            "| {name} | {tries} | {outcome} | {lost} | {promised} |\n"
        ));
    }
    page
}

#[test]
fn the_page_has_the_rows_of_this_run_and_its_zeros() {
    let rows = measured();
    assert!(
        !rows.is_empty(),
        "nothing was measured: run the tests first (cargo test --test hostile)"
    );
    if std::env::var_os("SD_STARTER_REWRITE").is_some() {
        fs::write(PAGE, render(&rows)).expect("our own page");
    }
    let page = fs::read_to_string(PAGE).expect("the page");
    assert!(page.starts_with(HEAD), "the head of {PAGE} has changed");
    let listed = on_the_page(&page);
    for (name, row) in &rows {
        let (_, promised) = listed
            .get(name)
            .unwrap_or_else(|| panic!("{PAGE} has no row {name:?}: SD_STARTER_REWRITE=1"));
        assert_eq!(*promised, row.promised, "{name}");
        if row.promised == "0" || row.promised == "none was sent" {
            assert_eq!(row.lost, "0", "{name}");
        }
    }
    for (name, (lost, promised)) in &listed {
        assert!(
            rows.contains_key(name),
            "{name:?} was not measured in this run"
        );
        if promised == "0" || promised == "none was sent" {
            assert_eq!(lost, "0", "{name}, on the page");
        }
    }
}
