//! The clients of the control socket: many, stuck, malicious, half gone, gone.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::app::SOON;
use crate::instance::{Client, Instance, QUICK, VERY_LONG};
use crate::support::wait;

/// How many clients of either sort.
const EACH: usize = 100;
/// How often a well-behaved one asks.
const PACE: Duration = Duration::from_millis(100);
/// Between two signals: two periods of `--interval 0.1`.
const REST: Duration = Duration::from_millis(200);
/// How much more memory we may use for them, in KiB.
const MORE_MEMORY: u64 = 24 * 1024;

/// Something that is not a call: stuck, oversized, not JSON, half a message, no NUL, deeply nested.
fn garbage(kind: usize) -> Vec<u8> {
    match kind % 6 {
        0 => Vec::new(),
        1 => vec![b'x'; 200_000],
        2 => b"GET / HTTP/1.1\r\n\r\n\0".to_vec(),
        3 => b"{\"method\":\"org.sdstarter.Supervisor.GetSt".to_vec(),
        4 => vec![b' '; 60_000],
        _ => [vec![b'['; 30_000], b"\0".to_vec()].concat(),
    }
}

fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok())
        .expect("a number of KiB")
}

#[test]
fn two_hundred_clients_half_of_them_bad_do_not_slow_the_loop_down() {
    // The shortest interval: bare signals begin a swap each at most so often.
    let instance = Instance::start(&["--interval", "0.1"]);
    let socket = instance.socket();
    let before = memory(instance.supervisor.pid());
    let over = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicUsize::new(0));
    let good: Vec<_> = (0..EACH)
        .map(|_| {
            let (socket, over, answers) = (socket.clone(), over.clone(), answers.clone());
            thread::spawn(move || {
                let mut client = Client::connect(&socket);
                while !over.load(Ordering::Relaxed) {
                    let reply = client.call("GetStatus", json!({}));
                    assert!(reply["parameters"]["serving"].is_u64(), "{reply}");
                    answers.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(PACE);
                }
            })
        })
        .collect();
    let bad = {
        let over = over.clone();
        thread::spawn(move || {
            let mut held = Vec::new();
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                let mut stream = UnixStream::connect(&socket).expect("somebody listens");
                stream.set_nonblocking(true).expect("a socket");
                // It may be dropped while we write.
                let _ = stream.write(&garbage(count));
                count += 1;
                held.push(stream);
                if held.len() > EACH {
                    held.remove(0);
                }
                thread::sleep(Duration::from_millis(2));
            }
            count
        })
    };
    wait::until("everybody is there", SOON, || {
        answers.load(Ordering::Relaxed) > 2 * EACH
    });

    let mut reactions = Vec::new();
    for number in 1..=20 {
        let sent = Instant::now();
        instance.supervisor.signal(Signal::SIGHUP);
        instance
            .supervisor
            .wait_for_lines("asked for by HUP", number, SOON);
        reactions.push(sent.elapsed());
        // A second request that waits for the end of this swap is the first one again, and nothing is said.
        instance
            .supervisor
            .wait_for_lines("is ready after", number + 1, SOON);
        // Not a wait for anything: the next signal is to find it at rest.
        thread::sleep(REST);
    }
    let after = memory(instance.supervisor.pid());
    over.store(true, Ordering::Relaxed);
    for client in good {
        client.join().expect("every well-formed call is answered");
    }
    let bad = bad.join().expect("no trouble");
    reactions.sort();
    println!(
        "{} answers, {bad} bad clients, reactions {:?} to {:?}, {before} to {after} KiB",
        answers.load(Ordering::Relaxed),
        reactions.first(),
        reactions.last()
    );
    // The middle one: some may be the machine's own, when other tests keep it busy.
    assert!(reactions[reactions.len() / 2] < QUICK, "{reactions:?}");
    assert!(after < before + MORE_MEMORY, "{before} to {after} KiB");
}

#[test]
fn a_client_that_shuts_its_side_gets_its_verdict() {
    let instance = Instance::start(&[]);
    instance.deploy("--ready --boot-ms 300 --text v2");
    let mut client = Client::connect(&instance.socket());
    client.send("Reload", json!({}), false);
    client
        .stream
        .shutdown(Shutdown::Write)
        .expect("a connection");
    let verdict = client.next().expect("a verdict");
    assert_eq!(verdict, json!({ "parameters": { "generation": 2 } }));
    assert_eq!(client.next(), None, "then it is over");
}

#[test]
fn a_requester_that_goes_away_changes_nothing() {
    let instance = Instance::start(&[]);
    instance.deploy("--ready --boot-ms 500 --text v2");
    let mut gone = Client::connect(&instance.socket());
    gone.send("Reload", json!({}), false);
    drop(gone);
    let mut killed = instance.ctl(&["reload"]).spawn().expect("starterctl");
    let waiting = instance.ctl(&["reload"]).spawn().expect("starterctl");
    instance
        .supervisor
        .wait_for_lines("reload asked for", 3, SOON);
    killed.kill().expect("our child");
    killed.wait().expect("our child");
    let output = waiting.wait_with_output().expect("our child");
    assert!(output.status.success(), "{output:?}");
    let waited = instance.run(&["wait", "--generation", "3", "--timeout", "20"]);
    assert!(waited.status.success(), "{waited:?}");
}

#[test]
fn a_stop_during_a_reload_answers_everybody() {
    let mut instance = Instance::start(&[]);
    instance.deploy(VERY_LONG);
    let reloads: Vec<_> = (0..5)
        .map(|_| instance.ctl(&["reload"]).spawn().expect("starterctl"))
        .collect();
    let wait = instance.ctl(&["wait", "--generation", "9"]).spawn();
    let wait = wait.expect("starterctl");
    instance
        .supervisor
        .wait_for_lines("reload asked for", 5, SOON);
    let stops: Vec<_> = (0..3)
        .map(|_| instance.ctl(&["stop"]).spawn().expect("starterctl"))
        .collect();
    for client in reloads.into_iter().chain([wait]) {
        let output = client.wait_with_output().expect("our child");
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    for stop in stops {
        let output = stop.wait_with_output().expect("our child");
        // One that came too late finds nobody, which is what it wanted, but not what it was told.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    }
    assert_eq!(instance.supervisor.wait_for_code(SOON), 0);
}

#[test]
fn if_generation_is_compare_and_swap() {
    let instance = Instance::start(&[]);
    let reloads: Vec<_> = (0..4)
        .map(|_| instance.ctl(&["reload", "--if-generation", "1", "--json"]))
        .map(|mut reload| reload.spawn().expect("starterctl"))
        .collect();
    let outputs = reloads
        .into_iter()
        .map(|child| child.wait_with_output().expect("our child"));
    let codes: Vec<_> = outputs.map(|output| output.status.code()).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let other = instance.run(&["reload", "--if-generation", "1", "--json"]);
    assert_eq!(other.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&other.stdout).expect("JSON");
    assert_eq!(json["error"], "org.sdstarter.Supervisor.OtherGeneration");
    assert_eq!(json["parameters"]["serving"], instance.status()["serving"]);
}

#[test]
fn a_supervisor_that_hangs_costs_no_more_than_the_timeout() {
    let instance = Instance::start(&[]);
    instance.supervisor.signal(Signal::SIGSTOP);
    for words in [
        &["status"][..],
        &["reload"],
        &["stop"],
        &["wait", "--serving"],
    ] {
        let started = Instant::now();
        let output = instance.run(&[words, &["--timeout", "0.2"]].concat());
        assert_eq!(output.status.code(), Some(4), "{words:?}: {output:?}");
        assert!(started.elapsed() < SOON);
    }
    instance.supervisor.signal(Signal::SIGCONT);
}
