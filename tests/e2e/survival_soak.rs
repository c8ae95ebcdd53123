//! Reloads under a load that never stops, with the supervisor killed again and again in the middle of
//! one, and the worker that serves killed now and then, sometimes both; and what is left of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::app::{App, SOON};
use crate::instance::Client;
use crate::support::failure::Class;
use crate::support::load::Load;
use crate::support::record::{self, Promise};
use crate::support::report::Report;
use crate::support::wait;
use crate::survival_crash::{PLAN, assert_nothing_left, start, times, wait_for_restart};

/// One in so many reloads has its supervisor killed, and after one in so many the worker that serves
/// is; where both fall together nobody leads when the worker dies.
const SUPERVISOR_EVERY: u32 = 20;
const WORKER_EVERY: u32 = 25;
/// On a machine that has no time the bounded form ends after so long, with fewer reloads than it was to
/// have, but as many as this.
const BOUND: Duration = Duration::from_secs(60);
const AT_LEAST: u32 = 100;
/// A client of a busy machine notices so late that its connection was cut.
const LATE: Duration = Duration::from_secs(2);
/// What one life of a supervisor may have more of memory for itself than another one, in KiB.
const GROWTH: u64 = 1024;

/// What a service has, by kind.
#[derive(Debug, Eq, PartialEq)]
struct Estate {
    cgroups: usize,
    processes: usize,
    zombies: usize,
    /// Of the supervisor.
    descriptors: usize,
    stored: String,
    /// In its runtime directory; a notify socket has the number of its generation.
    files: Vec<String>,
}

/// The cgroup of the service and every one below it, but for `.control`, where systemd runs what
/// `ExecReload=` says.
fn cgroups(app: &App) -> Vec<PathBuf> {
    let mut found = vec![app.rig.path("/sys/fs/cgroup/system.slice/app.service")];
    let mut next = 0;
    while let Some(directory) = found.get(next) {
        let list = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let below: Vec<_> = list
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && !path.ends_with(".control"))
            .collect();
        found.extend(below);
        next += 1;
    }
    found
}

fn pids(cgroup: &Path) -> BTreeSet<String> {
    let list = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

/// Its pid as we see it, while it runs.
fn supervisor(app: &App) -> Option<String> {
    let all = cgroups(app);
    let supervisors = all.iter().find(|cgroup| cgroup.ends_with("supervisor"))?;
    pids(supervisors).pop_first()
}

fn estate(app: &App) -> Estate {
    let all = cgroups(app);
    let pids: BTreeSet<String> = all.iter().flat_map(|cgroup| pids(cgroup)).collect();
    let is_zombie = |pid: &&String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    let fds = supervisor(app).and_then(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok());
    let runtime = std::fs::read_dir(app.rig.path("/run/sd-starter/app"));
    let mut files: Vec<_> = runtime
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| {
            name.trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        })
        .collect();
    files.sort();
    Estate {
        cgroups: all.len(),
        processes: pids.len(),
        zombies: pids.iter().filter(is_zombie).count(),
        descriptors: fds.map_or(0, Iterator::count),
        stored: app.property("NFileDescriptorStore"),
        files,
    }
}

/// Memory of the supervisor's own, in KiB.
fn memory(app: &App) -> u64 {
    let pid = supervisor(app).expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.and_then(|number| number.parse().ok()).expect("KiB")
}

fn control(app: &App) -> PathBuf {
    app.rig.path("/run/sd-starter/app/control")
}

/// Whether a good build was asked for and serves.
fn reload(app: &App) -> Result<u64, String> {
    let answer = Client::connect(&control(app)).call("Reload", json!({}));
    let generation = answer["parameters"]["generation"].as_u64();
    generation.ok_or_else(|| answer.to_string())
}

/// GENERATION and state of every worker.
fn workers(app: &App) -> Vec<(u64, String)> {
    let status = Client::connect(&control(app)).call("GetStatus", json!({}));
    let workers = status["parameters"]["workers"].as_array();
    let of = |worker: &Value| {
        let state = worker["state"].as_str().expect("a state").to_owned();
        (worker["generation"].as_u64().expect("a number"), state)
    };
    workers.expect("a list").iter().map(of).collect()
}

fn serving(app: &App) -> Option<u64> {
    let all = workers(app).into_iter();
    all.filter(|(_, state)| state == "serving")
        .map(|(generation, _)| generation)
        .next()
}

/// One generation serves, and nobody else is there.
#[track_caller]
fn settle(app: &App) {
    wait::until(
        "one generation, serving",
        SOON,
        || matches!(workers(app).as_slice(), [(_, state)] if state == "serving"),
    );
}

/// A worker that is stopped, so that it takes nothing more in and answers nobody.
struct Stopped {
    pid: Pid,
    /// The connections that it has: what it takes along.
    held: usize,
    since: Duration,
}

impl Stopped {
    fn serving(app: &App, load: &Load) -> Self {
        let generation = serving(app).expect("one serves");
        let prefix = format!("gen-{generation}-");
        let is_its = |cgroup: &&PathBuf| {
            let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix)
        };
        let all = cgroups(app);
        let pid = all
            .iter()
            .find(is_its)
            .and_then(|cgroup| pids(cgroup).pop_first());
        let pid = pid.expect("it has a process");
        let since = load.clock();
        let number = Pid::from_raw(pid.parse().expect("a pid"));
        kill(number, Signal::SIGSTOP).expect("it runs");
        wait::until("every thread of it to stand", SOON, || {
            let list = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
            list.flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ")
                    .is_none_or(|(_, rest)| rest.starts_with('T'))
            })
        });
        Self {
            held: connections(&pid),
            pid: number,
            since,
        }
    }

    fn kill(&self) {
        kill(self.pid, Signal::SIGKILL).expect("only its parent reaps it");
    }
}

/// The connections that a process has taken in, by what the kernel says of its sockets (proc(5)).
fn connections(pid: &str) -> usize {
    const LISTENS: &str = "0A";
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there");
    let targets = fds
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let inodes: BTreeSet<String> = targets
        .filter_map(|target| {
            let name = target.to_str()?.strip_prefix("socket:[")?;
            Some(name.trim_end_matches(']').to_owned())
        })
        .collect();
    let tables =
        ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")));
    let tables: Vec<String> = tables.into_iter().map(Result::unwrap_or_default).collect();
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter(|row| {
        let cells: Vec<_> = row.split_whitespace().collect();
        let (state, inode) = (cells.get(3), cells.get(9));
        state.is_some_and(|state| *state != LISTENS)
            && inode.is_some_and(|inode| inodes.contains(*inode))
    })
    .count()
}

/// A worker that was killed: from when to when that can have been noticed, and by how many.
struct Death {
    held: usize,
    from: Duration,
    to: Duration,
}

/// Each failure is of a request that a killed worker had taken in: cut then, and no more than it held.
/// Answers how many there were.
#[track_caller]
fn assert_only_cut_with_a_worker(report: &Report, deaths: &[Death]) -> u64 {
    let mut cut: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, class) in report.failed_at() {
        // The last one before it: a client without a processor notices late.
        let death = deaths
            .iter()
            .rposition(|death| death.from <= *at && *at <= death.to + LATE);
        let Some(death) = death else {
            panic!("{class:?} at {at:?}, when no worker was killed\n{report}");
        };
        let is_cut = matches!(class, Class::Reset | Class::Eof);
        assert!(
            is_cut,
            "{class:?} at {at:?}: nobody is refused, nobody waits in vain\n{report}"
        );
        *cut.entry(death).or_default() += 1;
    }
    for (number, count) in &cut {
        let held = deaths[*number].held;
        assert!(
            *count <= held,
            "{count} cut, and the worker had {held}\n{report}"
        );
    }
    cut.values().map(|count| *count as u64).sum()
}

#[test]
fn reloads_and_kills_of_supervisors_and_of_workers_lose_what_a_killed_worker_held_and_nothing_else()
{
    let delegated = std::fs::read_to_string("systemd/delegate.conf").expect("we ship it");
    let Some(app) = start("--ready notify", &delegated) else {
        return;
    };
    // A boot that is long enough to be hit.
    app.deploy("--ready --text v1 --boot-ms 5");
    // The first of everything, so that what is made once is there.
    app.reload_well();
    app.signal("KILL");
    wait_for_restart(&app, 1);
    app.reload_well();
    settle(&app);
    // The service's, the supervisor's, and that of the generation that serves.
    wait::for_value("the cgroups", SOON, 3, || cgroups(&app).len());
    let (before, memory_before) = (estate(&app), memory(&app));
    assert_eq!((before.processes, before.zombies), (2, 0));
    let load = Load::start(&app.target(), PLAN);
    let wanted = times(1000, 10_000);
    let bound = times(1, u32::MAX);
    let (started, mut reloads, mut supervisors) = (Instant::now(), 0, 0);
    let mut deaths: Vec<Death> = Vec::new();
    while reloads < wanted && (bound > 1 || reloads < AT_LEAST || started.elapsed() < BOUND) {
        reloads += 1;
        let worker_dies = reloads % WORKER_EVERY == 0;
        if reloads % SUPERVISOR_EVERY != 0 {
            reload(&app).expect("a good build");
            if worker_dies {
                let worker = Stopped::serving(&app, &load);
                worker.kill();
                reload(&app).expect("a good build");
                deaths.push(mourn(&load, &worker));
            }
            continue;
        }
        let (asked, newest) = (
            control(&app),
            workers(&app).last().map_or(0, |(last, _)| *last),
        );
        let mut asked = Client::connect(&asked);
        asked.send("Reload", json!({}), false);
        // In turn: at once; when the next one is there; when it serves and the old one leaves.
        match (reloads / SUPERVISOR_EVERY) % 3 {
            0 => {}
            1 => wait::until("the next generation", SOON, || {
                workers(&app).iter().any(|(number, _)| *number > newest)
            }),
            _ => drop(asked.next()),
        }
        let worker = worker_dies.then(|| Stopped::serving(&app, &load));
        app.signal("KILL");
        if let Some(worker) = &worker {
            worker.kill();
        }
        supervisors += 1;
        wait_for_restart(&app, supervisors + 1);
        if let Some(worker) = worker {
            // So many deaths in a row are a crash loop, with its pauses; who asks ends those.
            reload(&app).expect("a good build");
            deaths.push(mourn(&load, &worker));
        }
        settle(&app);
    }
    let lasted = started.elapsed();
    settle(&app);
    let report = load.stop();
    println!(
        "{reloads} reloads, {supervisors} supervisors and {} workers killed in {lasted:.1?}\n{report}",
        deaths.len()
    );
    let cut = assert_only_cut_with_a_worker(&report, &deaths);
    assert!(report.answered() > 0, "{report}");
    // Fewer descriptors are none lost: a client's connection was perhaps open then.
    let descriptors = before.descriptors;
    wait::for_value("the estate to be as before", SOON, before, || {
        let now = estate(&app);
        Estate {
            descriptors: now.descriptors.max(descriptors),
            ..now
        }
    });
    let grown = memory(&app).saturating_sub(memory_before);
    assert!(grown < GROWTH, "{grown} KiB more");
    println!("{:?}, memory +{grown} KiB", estate(&app));
    let left = format!(
        "cgroups, processes, descriptors, stored descriptors and files +0, zombies 0, memory +{grown} KiB"
    );
    record::row(
        "kill -9 of the supervisor during reloads under constant load (crash adoption)",
        u64::from(supervisors),
        &format!(
            "in {reloads} reloads; the next supervisor takes the workers back; {} requests; {left}",
            report.answered()
        ),
        Promise::NoneLost,
        // Every failure is one of the next row's: that was asserted.
        0,
    );
    record::row(
        "kill -9 of the worker that serves, in the midst of those",
        deaths.len() as u64,
        "each request that is lost was cut with its worker, and no more than that had taken in; nobody is refused, nobody waits in vain, also while the supervisor is dead",
        Promise::Not("a killed worker takes the connections along that it has accepted"),
        cut,
    );
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_nothing_left(&app);
}

/// Waits until whoever had a connection to a killed worker knows.
fn mourn(load: &Load, worker: &Stopped) -> Death {
    load.lap();
    load.wait_for_answers(20, SOON);
    Death {
        held: worker.held,
        from: worker.since,
        to: load.clock(),
    }
}
