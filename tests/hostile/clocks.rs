//! Clocks that are set while something is under way, and a supervisor that stands still for longer than
//! everything that it waits for.
//!
//! A clock belongs to the whole machine, so it is set for the program alone: a library that is preloaded
//! answers for the kernel (`clocks.c`). A suspend is what it looks like to a program: CLOCK_BOOTTIME goes
//! on, CLOCK_MONOTONIC does not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::siege::{Client, Siege, lost, tool, verdict};
use crate::support::load::{Load, Plan};
use crate::support::record::{self, Promise};
use crate::support::scratch::Scratch;
use crate::support::wait;
use crate::{SOON, is_full};

const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;
/// --kill-old-delay and --drain-timeout: long enough for a clock to be set meanwhile, whatever the machine
/// does besides, and for a slow client of the one that is killed.
const SPAN: Duration = Duration::from_secs(2);
/// What a timer may be early by.
const EARLY: Duration = Duration::from_millis(50);

/// What is added to the clocks.
struct Clocks(File);

impl Clocks {
    fn set(&self, realtime: i64, boottime: i64) {
        let seconds = [realtime.to_ne_bytes(), boottime.to_ne_bytes()].concat();
        self.0.write_all_at(&seconds, 0).expect("our own file");
    }
}

/// A supervisor under such clocks.
fn start(options: &[&str]) -> (Siege, Clocks) {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.join(name).to_str().expect("UTF-8").to_owned();
    let (library, file) = (path("clocks.so"), path("clocks"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/clocks.c");
    tool(&[
        "cc", "-shared", "-fPIC", "-O1", "-o", &library, source, "-ldl",
    ]);
    let mut open = File::options();
    let clocks = open.read(true).write(true).create_new(true).open(&file);
    let clocks = Clocks(clocks.expect("our directory"));
    clocks.set(0, 0);
    let preload = format!("LD_PRELOAD={library}");
    let clock = format!("SD_STARTER_TEST_CLOCKS={file}");
    let wrapper = ["env", &preload, &clock];
    (Siege::start_in(scratch, &wrapper, options, &[]), clocks)
}

fn worker(siege: &Siege, generation: u64) -> Option<Value> {
    let workers = siege.status()["workers"].take();
    let mut list = workers.as_array()?.iter();
    list.find(|worker| worker["generation"] == generation)
        .cloned()
}

fn state_of(siege: &Siege, generation: u64) -> Option<String> {
    worker(siege, generation)?["state"]
        .as_str()
        .map(str::to_owned)
}

fn pid_of(siege: &Siege, generation: u64) -> Option<i32> {
    worker(siege, generation)?["pid"].as_i64()?.try_into().ok()
}

/// Answers a moment that was not after its beginning.
#[track_caller]
fn wait_for_state(siege: &Siege, generation: u64, state: &str) -> Instant {
    let mut before = Instant::now();
    wait::for_some(state, SOON, || {
        let asked = Instant::now();
        if state_of(siege, generation).as_deref() == Some(state) {
            return Some(before);
        }
        before = asked;
        None
    })
}

/// New connections only: one that is kept alive would be cut with a worker that will not leave.
fn load(siege: &Siege) -> Load {
    let plan = Plan {
        new_per_second: 100,
        keep_alive: 0,
        keep_alive_pause: Duration::ZERO,
    };
    let load = Load::start(&siege.target(), plan);
    load.wait_for_answers(20, SOON);
    load
}

/// A reload that is asked for, and not waited for.
fn ask(siege: &Siege) -> Client {
    let mut client = Client::connect(&siege.control());
    client.send("Reload", &json!({}));
    client
}

/// When the last verdict was, by the wall clock that the supervisor sees, in seconds.
fn said_at(status: &Value) -> i64 {
    let at = status["lastVerdict"]["timeUSec"].as_i64();
    at.unwrap_or_else(|| panic!("no time in {status}")) / 1_000_000
}

#[test]
fn clocks_that_jump_in_the_midst_of_a_swap_a_trial_and_a_drain_move_nothing() {
    let span = SPAN.as_secs().to_string();
    let options = ["--kill-old-delay", &span, "--drain-timeout", &span];
    let (siege, clocks) = start(&options);
    siege.settle();
    let jumps = [(TEN_YEARS, 0), (-TEN_YEARS, 0), (0, TEN_YEARS)];
    let load = load(&siege);
    for (realtime, boottime) in jumps {
        clocks.set(0, 0);
        // Whoever is to leave in the end will not; it serves nobody any more when it is killed.
        siege.deploy("--ready --text v1 --linger");
        siege.reload().expect("a good build");
        siege.settle();
        let (stubborn, pid) = (siege.newest(), siege.serving().expect("one serves"));
        siege.deploy("--ready --text v1 --boot-ms 1500");
        let before = said_at(&siege.status());
        let mut asked = ask(&siege);
        // While it boots.
        wait_for_state(&siege, stubborn + 1, "booting");
        clocks.set(realtime, boottime);
        // On trial, as long as ever; and back.
        let tried = wait_for_state(&siege, stubborn + 1, "trial");
        clocks.set(0, 0);
        clocks.set(realtime, boottime);
        verdict(&asked.answer()).expect("a good build");
        assert!(tried.elapsed() + EARLY > SPAN, "{:?}", tried.elapsed());
        let after = said_at(&siege.status());
        // It does see that clock.
        let seen = after - before - realtime;
        assert!((-5..600).contains(&seen), "{before}, {after}");
        // Drained as long as ever, and no longer.
        wait_for_state(&siege, stubborn, "draining");
        clocks.set(-realtime, boottime * 2);
        wait::until("the end of it", SOON, || {
            kill(Pid::from_raw(pid), None).is_err()
        });
        // The drain after the trial.
        assert!(tried.elapsed() + EARLY > 2 * SPAN, "{:?}", tried.elapsed());
        siege.settle();
    }
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "the wall clock jumps ten years on or back, or the machine is suspended for ten years, in the midst of a swap, a trial and a drain",
        jumps.len() as u64,
        "reloads good; --kill-old-delay and --drain-timeout as long as ever",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn one_that_stood_still_for_longer_than_every_timeout_blames_nobody_and_forgets_nothing() {
    let options = ["--start-timeout", "2", "--kill-old-delay", "2"];
    let options = [&options[..], &["--drain-timeout", "2"]].concat();
    let siege = Siege::start(&options);
    siege.settle();
    let load = load(&siege);
    // `meanwhile` is what it does not see.
    let stall = |meanwhile: &dyn Fn()| {
        siege.signal(Signal::SIGSTOP);
        meanwhile();
        // The stall itself.
        std::thread::sleep(Duration::from_secs(3));
        siege.signal(Signal::SIGCONT);
    };
    let leave = |pid: i32| kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it lives");
    let tries = if is_full() { 3 } else { 1 };
    for _ in 0..tries {
        // Ready in time, and nobody heard it: --start-timeout is not its fault.
        let first = siege.newest();
        siege.deploy("--ready --text v1 --boot-ms 1000 --linger");
        let mut asked = ask(&siege);
        wait::for_value("the new one", SOON, first + 1, || siege.newest());
        stall(&|| {});
        verdict(&asked.answer()).expect("it was ready in time");
        siege.settle();

        // A trial that was over meanwhile, and a death during it: the old one serves on. It answers
        // whom it has accepted: what a crash cuts, nobody can give back.
        let stubborn = siege.serving().expect("one serves");
        siege.deploy("--ready --text v1");
        let mut asked = ask(&siege);
        wait_for_state(&siege, first + 2, "trial");
        let tried = pid_of(&siege, first + 2).expect("it is there");
        stall(&|| leave(tried));
        let why = verdict(&asked.answer()).expect_err("it died on trial");
        assert!(why.contains("ReloadFailed"), "{why}");
        assert_eq!(siege.serving(), Some(stubborn));
        siege.settle();

        // One that will not leave: late, but it is killed.
        siege.reload().expect("a good build");
        stall(&|| {});
        wait::until("the end of it", SOON, || {
            kill(Pid::from_raw(stubborn), None).is_err()
        });
        siege.settle();
    }
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "the supervisor stands still for longer than --start-timeout, --kill-old-delay and --drain-timeout",
        tries * 3,
        "who was ready in time is ready; who died on trial has failed; who will not leave is killed, late",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}
