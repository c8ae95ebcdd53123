//! Reloads under a load that never stops, ten thousand in the long form, and what is left of them in one
//! supervisor that goes through them all. (With kills among them: `survival_soak` of `tests/e2e`.)

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::siege::{Client, Cost, Siege, lost, verdict};
use crate::support::failure::Class;
use crate::support::load::OPEN_LOOP_THREADS;
use crate::support::record::{self, Promise};
use crate::support::wait;
use crate::{SOON, is_full};

/// One in so many reloads is of a build that fails.
const BAD_EVERY: u64 = 50;
/// What may stay of all these generations, in KiB: the allocator's, not theirs.
const GROWTH: u64 = 1024;

/// The names in its directory; a notify socket has the number of its generation.
fn files(siege: &Siege) -> Vec<String> {
    let list = std::fs::read_dir(siege.scratch.join("")).expect("our directory");
    let names = list
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let number = |c: char| c.is_ascii_digit();
    let mut names: Vec<_> = names
        .map(|name| name.trim_end_matches(number).to_owned())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn assert_nothing_left(siege: &Siege, before: Cost, files_before: &[String]) -> Cost {
    siege.settle();
    wait::until("the supervisor and one worker", SOON, || {
        siege.supervisor.members().len() == 2
    });
    wait::until("the descriptors to be as before", SOON, || {
        siege.cost().descriptors <= before.descriptors
    });
    let after = siege.cost();
    assert_eq!(after.zombies, 0);
    assert_eq!(files(siege), files_before);
    let grown = after.memory.saturating_sub(before.memory);
    assert!(grown < GROWTH, "{grown} KiB more");
    after
}

#[test]
fn reloads_under_load_lose_nothing_and_leave_nothing() {
    let reloads = if is_full() { 10_000 } else { 300 };
    let run = "RUNTIME_DIRECTORY";
    let siege = {
        let scratch = crate::support::scratch::Scratch::new();
        let directory = format!("{run}={}", scratch.join("").display());
        Siege::start_in(scratch, &["env", &directory], &[], &[])
    };
    // A first few, so that what is allocated once is.
    for _ in 0..20 {
        siege.reload().expect("a good build");
    }
    siege.settle();
    let (before, files_before) = (siege.cost(), files(&siege));
    let load = siege.load();
    let started = Instant::now();
    let mut client = Client::connect(&siege.control());
    let mut failed = 0;
    let mut slowest = Duration::ZERO;
    for reload in 1..=reloads {
        let is_bad = reload % BAD_EVERY == 0;
        if is_bad {
            siege.deploy("--exit-at-start 3");
        }
        let asked = Instant::now();
        client.send("Reload", &json!({}));
        let answer = verdict(&client.answer());
        slowest = slowest.max(asked.elapsed());
        assert_eq!(answer.is_err(), is_bad, "reload {reload}: {answer:?}");
        if is_bad {
            failed += 1;
            siege.deploy("--ready --text v1");
        }
    }
    drop(client);
    let lasted = started.elapsed();
    siege.settle();
    let report = load.stop();
    println!("{reloads} reloads in {lasted:.1?}, the slowest {slowest:.1?}\n{report}");
    report.assert_no_failures();
    let after = assert_nothing_left(&siege, before, &files_before);
    println!("before {before:?}\nafter  {after:?}");
    record::row(
        "reloads under constant load",
        reloads,
        &format!(
            "{} good, {failed} of bad builds failed and said so; {} requests; descriptors +0, zombies 0, files +0, memory +{} KiB",
            reloads - failed,
            report.answered(),
            after.memory.saturating_sub(before.memory)
        ),
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn workers_that_are_killed_between_reloads_lose_what_they_hold_and_nothing_else() {
    let kills = if is_full() { 500 } else { 50 };
    let siege = Siege::start(&["--interval", "0.1"]);
    siege.settle();
    let (before, files_before) = (siege.cost(), files(&siege));
    let load = siege.load();
    for _ in 0..kills {
        let pid = siege.serving().expect("one serves");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("only the supervisor reaps it");
        // Beside the death or after it: who asks for a good build gets it, and no pause counts.
        siege.reload().expect("a good build");
        wait::until("somebody who serves", SOON, || siege.serving().is_some());
    }
    siege.settle();
    let report = load.stop();
    println!("{kills} kills\n{report}");
    let lost = lost(&report);
    let cut = report.failed(Class::Reset) + report.failed(Class::Eof);
    assert_eq!(
        cut, lost,
        "nobody is refused, nobody waits in vain:\n{report}"
    );
    // What is in flight at a kill, and no more: two that are kept alive, and so many new ones.
    assert!(
        lost <= (2 + OPEN_LOOP_THREADS) * kills,
        "{lost} lost in {kills} kills:\n{report}"
    );
    assert_nothing_left(&siege, before, &files_before);
    record::row(
        "kill -9 of the serving worker",
        kills,
        "another one is started; nobody is refused: the listening sockets are ours",
        Promise::Not("a killed worker takes the connections along that it has accepted"),
        lost,
    );
    siege.ends_well();
}
