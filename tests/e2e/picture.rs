//! The README's picture of a swap, drawn from a run: two generations and a bad build, with every request
//! that was sent meanwhile.
//!
//! `SD_STARTER_REWRITE=1 cargo test --test e2e picture` draws it anew. Every other run draws it, too, and
//! checks that what the picture claims is so.

mod drawing;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::app::SOON;
use crate::instance::{Client, Instance, text};
use crate::support::gate::Gate;
use crate::support::held::Held;
use crate::support::http::Target;
use crate::support::scratch::Scratch;
use crate::support::wait;
use drawing::{Answer, Picture, Reload, Stage};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/swap.svg");

/// Microseconds of the clock that events are stamped with.
fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    since
        .as_micros()
        .try_into()
        .expect("before the year 586,000")
}

/// Four clients that ask all the time, each on a new connection.
struct Clients {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    answers: Arc<Mutex<Vec<Answer>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Clients {
    fn start(target: &Target) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicUsize::new(0));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let client = |_| {
            let (target, stop) = (target.clone(), Arc::clone(&stop));
            let (count, answers) = (Arc::clone(&count), Arc::clone(&answers));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let generation = target.get("/").and_then(|answer| answer.generation());
                    let answer = Answer {
                        at: now(),
                        generation: generation.ok(),
                    };
                    answers.lock().expect("no client panics").push(answer);
                    count.fetch_add(1, Ordering::Relaxed);
                    // The pace of the picture; nothing is waited for here.
                    thread::sleep(Duration::from_millis(10));
                }
            })
        };
        let threads = (0..4).map(client).collect();
        Self {
            stop,
            count,
            answers,
            threads,
        }
    }

    /// Lets time pass, in requests.
    fn answered(&self, more: usize) {
        let enough = self.count.load(Ordering::Relaxed) + more;
        wait::until("requests", SOON, || {
            self.count.load(Ordering::Relaxed) >= enough
        });
    }

    fn stop(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no client panics");
        }
        let answers = self.answers.lock().expect("no client panics");
        answers.clone()
    }
}

fn reload(instance: &Instance) -> Reload {
    let from = now();
    let output = instance.run(&["reload"]);
    let until = now();
    let said = text(&output.stdout) + &text(&output.stderr);
    Reload {
        from,
        until,
        code: output.status.code().expect("it exits"),
        said: said.lines().next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn the_picture_of_a_swap_is_drawn_from_a_run() {
    let mut instance = Instance::start(&[]);
    let mut monitor = Client::connect(&instance.socket());
    monitor.send("Monitor", json!({}), true);
    let target = Target::inet(instance.address);
    let scratch = Scratch::new();
    let begin = now();
    let clients = Clients::start(&target);
    clients.answered(150);

    let path = scratch.join("gate");
    let mut gate = Gate::closed(path.clone(), &path);
    let held = Held::take(&target, &gate).expect("a request to be held");
    let held_from = now();
    instance.deploy("--ready --boot-ms 400 --text v2");
    let good = reload(&instance);
    clients.answered(150);
    gate.open();
    assert_eq!(held.finish().expect("the rest of the answer"), 1);
    let held_until = now();
    assert!(instance.run(&["wait", "--drained"]).status.success());
    clients.answered(150);
    instance.deploy("--never-ready --exit-after-ms 500:3");
    let bad = reload(&instance);
    clients.answered(150);
    let answers = clients.stop();
    let end = now();
    assert!(instance.run(&["stop"]).status.success());
    assert_eq!(instance.supervisor.wait_for_code(SOON), 0);

    let mut stages = vec![Stage::new("serving", 1, begin)];
    while let Some(mut reply) = monitor.next() {
        let event = reply["parameters"].take();
        let name = event["event"].as_str().unwrap_or_default();
        if let (Some(generation), Some(at)) =
            (event["generation"].as_u64(), event["timeUSec"].as_u64())
        {
            if matches!(
                name,
                "starting" | "ready" | "draining" | "drained" | "attempt-failed"
            ) {
                stages.push(Stage::new(name, generation, at));
            }
        }
    }
    stages.retain(|stage| stage.at <= end);
    let picture = Picture {
        span: (begin, end),
        stages,
        held: (held_from, held_until),
        reloads: vec![good, bad],
        answers,
    };

    // What it claims.
    assert!(
        picture
            .answers
            .iter()
            .all(|answer| answer.generation.is_some())
    );
    assert_eq!(picture.reloads[0].code, 0, "{}", picture.reloads[0].said);
    assert_eq!(picture.reloads[1].code, 1, "{}", picture.reloads[1].said);
    let names: Vec<_> = picture.stages.iter().map(Stage::label).collect();
    let expected = [
        "1 serving",
        "2 starting",
        "2 ready",
        "1 draining",
        "1 drained",
        "3 starting",
        "3 attempt-failed",
    ];
    assert_eq!(names, expected);
    let drawn = picture.draw();
    if std::env::var_os("SD_STARTER_REWRITE").is_some() {
        fs::write(PICTURE, &drawn).expect("our own repository");
    }
    let committed = fs::read_to_string(PICTURE).expect("it is committed");
    for part in [
        "generation 3 failed: exited with status 3",
        "0 failed",
        "draining",
    ] {
        assert!(committed.contains(part) && drawn.contains(part), "{part}");
    }
}
