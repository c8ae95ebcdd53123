//! Everything at once: signals, clients, messages, lines.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::SOON;
use crate::siege::{Client, Siege, cost, lost, verdict};
use crate::support::http::Target;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::record::{self, Promise};
use crate::support::{programs, requirement, wait};

const SIGNALS: u32 = 1000;
const CLIENTS: usize = 1000;
/// Each generation is worth so many lines.
const LINES_EACH: usize = 8;

/// How many swaps a flood may make that lasts so long: two at once, then one a second, and one that
/// comes after it all.
fn handful(lasted: Duration) -> u64 {
    2 + lasted.as_secs() + 2
}

/// A thousand SIGHUPs, a millisecond apart; `before_the_last` runs before the last one.
fn flood(pid: i32, before_the_last: impl FnOnce()) -> Duration {
    let started = Instant::now();
    for number in 1..SIGNALS {
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("it lives");
        // The flood's own pace, and no wait for anything.
        let due = started + Duration::from_millis(number.into());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    before_the_last();
    kill(Pid::from_raw(pid), Signal::SIGHUP).expect("it lives");
    started.elapsed()
}

/// The time that start_server needs for the same, and how many generations it makes of it.
fn start_server_in_the_flood() -> (Duration, u64) {
    let address = free_address();
    let mut start = command("/usr/bin/start_server");
    start.args(["--port", &address.to_string(), "--"]);
    start.arg(programs::hello()).stdout(Stdio::null());
    let supervisor = Supervisor::start(&mut start);
    wait::until("an answer", SOON, || Target::inet(address).get("/").is_ok());
    let generation = || {
        let answer = Target::inet(address).get("/");
        answer.and_then(|answer| answer.generation()).unwrap_or(0)
    };
    let before = cost(supervisor.pid()).cpu;
    flood(supervisor.pid(), || {});
    // It goes on for as long as it has signals left; so much of that is counted.
    std::thread::sleep(Duration::from_secs(5));
    let newest = generation();
    let spent = cost(supervisor.pid()).cpu.saturating_sub(before);
    (spent, newest.saturating_sub(1))
}

#[test]
fn s11_a_thousand_hangups_in_a_second_are_a_handful_of_generations() {
    if !requirement::file("/usr/bin/start_server", "libserver-starter-perl") {
        return;
    }
    let siege = Siege::start(&[]);
    let load = siege.load();
    let (before, lines) = (siege.cost(), siege.log_lines());
    let lasted = flood(siege.pid, || siege.deploy("--ready --text after-the-last"));
    wait::for_value(
        "the version that was there before the last signal",
        SOON,
        "after-the-last",
        || siege.version(),
    );
    // Before it is asked again and again whether it is done: that is no part of what the flood costs.
    let after = siege.cost();
    siege.settle();
    let newest = siege.newest();
    // Nothing is left that would start another one: watched for two periods, and no wait for anything.
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_millis(2200) {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(siege.newest(), newest, "one more generation");
    }
    let report = load.stop();
    report.assert_no_failures();
    let made = newest - 1;
    assert!(made <= handful(lasted), "{made} generations in {lasted:?}");
    let written = siege.log_lines() - lines;
    let allowed = usize::try_from(made + 1).expect("small") * LINES_EACH;
    assert!(
        written <= allowed,
        "{written} lines:\n{}",
        siege.supervisor.stderr()
    );
    let ours = after.cpu - before.cpu;
    siege.ends_well();

    let (theirs, generations) = start_server_in_the_flood();
    println!(
        "{SIGNALS} SIGHUPs in {lasted:.2?}: {made} generations, {written} lines, {ours:.1?} of CPU time; start_server: {generations} generations, {theirs:.1?}"
    );
    assert!(ours < theirs, "{ours:?} against {theirs:?} of start_server");
    record::row(
        "1,000 SIGHUPs in a second",
        SIGNALS.into(),
        &format!(
            "{made} generations, the last after the last signal; {written} log lines; CPU {} ms (start_server: {} ms)",
            ours.as_millis(),
            theirs.as_millis()
        ),
        Promise::NoneLost,
        lost(&report),
    );
}

#[test]
fn s11_a_thousand_clients_who_ask_at_once_are_answered_by_a_handful_of_generations() {
    let limit = getrlimit(Resource::Nofile);
    let more = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, more).expect("up to the hard limit");
    let siege = Siege::start(&[]);
    let load = siege.load();
    let before = siege.cost();
    let started = Instant::now();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::connect(&siege.control());
            client.send("Reload", &json!({}));
            client
        })
        .collect();
    for client in &mut clients {
        let serves = verdict(&client.answer());
        assert!(serves.is_ok(), "{serves:?}");
    }
    let lasted = started.elapsed();
    drop(clients);
    siege.settle();
    let made = siege.newest() - 1;
    let report = load.stop();
    report.assert_no_failures();
    // They come in by 256 at a time.
    assert!(
        made <= handful(lasted) + 4,
        "{made} generations in {lasted:?}"
    );
    wait::until("the descriptors to be as before", SOON, || {
        siege.cost().descriptors <= before.descriptors
    });
    // When the last of them has been let go.
    let after = siege.cost();
    let grown = after.memory.saturating_sub(before.memory);
    assert!(grown < 4096, "{grown} KiB more");
    println!("{CLIENTS} clients in {lasted:.2?}: {made} generations, {grown} KiB more");
    record::row(
        "1,000 clients ask for a reload at once",
        CLIENTS as u64,
        &format!("all answered by {made} generations; memory +{grown} KiB"),
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn s11_a_worker_that_floods_its_notify_socket_costs_nobody_anything() {
    let flood = "\"$1\" flood:200000 2>/dev/null & shift; exec \"$@\"";
    let actor = programs::hello().with_file_name("actor");
    let actor = actor.to_str().expect("UTF-8");
    let siege = Siege::start_as(&[], &[], &["sh", "-c", flood, "sh", actor]);
    let load = siege.load();
    let before = siege.cost();
    for _ in 0..5 {
        siege.reload().expect("a good build");
    }
    wait::until("the end of the floods", SOON * 3, || {
        siege.supervisor.members().len() <= 2
    });
    let after = siege.cost();
    let report = load.stop();
    report.assert_no_failures();
    let grown = after.memory.saturating_sub(before.memory);
    assert!(grown < 2048, "{grown} KiB more");
    assert!(siege.log_lines() < 100, "{}", siege.supervisor.stderr());
    record::row(
        "a worker floods its notify socket, 200,000 messages",
        6,
        &format!("5 reloads good; memory +{grown} KiB; the log bounded"),
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn s11_a_log_command_that_stops_reading_stops_nobody() {
    // The pipe is full before anything else is written; the worker itself is silent.
    let fill = "yes | head -c 200000 2>/dev/null & exec \"$@\"";
    let siege = Siege::start_as(
        &[],
        &["--log-file", "| exec sleep 1000"],
        &["sh", "-c", fill, "sh"],
    );
    let load = siege.load();
    let before = siege.cost();
    for _ in 0..20 {
        siege.reload().expect("a good build");
    }
    let after = siege.cost();
    let report = load.stop();
    report.assert_no_failures();
    let grown = after.memory.saturating_sub(before.memory);
    assert!(grown < 1024, "{grown} KiB more");
    record::row(
        "the log command stops reading",
        20,
        &format!("20 reloads good; memory +{grown} KiB; lines that nobody takes are dropped"),
        Promise::NoneLost,
        lost(&report),
    );
    // Its last patience is for the log command, five seconds.
    siege.ends_well();
}
