//! Reloads under a load that never stops, with the supervisor killed again and again in the middle of
//! one, and what is left of it all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::app::{App, SOON};
use crate::support::failure::Class;
use crate::support::load::Load;
use crate::support::record::{self, Promise};
use crate::support::wait;
use crate::survival_crash::{PLAN, assert_nothing_left, start, times, wait_for_restart, workers};

/// One in so many reloads has its supervisor killed.
const KILL_EVERY: u32 = 10;

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

/// One generation serves, and nobody else is there.
#[track_caller]
fn settle(app: &App) {
    wait::until(
        "one generation, serving",
        SOON,
        || matches!(workers(app).as_slice(), [(_, state)] if state == "serving"),
    );
}

#[test]
fn reloads_and_kills_of_the_supervisor_lose_nothing_and_leave_nothing() {
    let delegated = std::fs::read_to_string("systemd/delegate.conf").expect("we ship it");
    let Some(app) = start("--ready notify", &delegated) else {
        return;
    };
    // A boot that is long enough to be hit.
    app.deploy("--ready --text v1 --boot-ms 50");
    // The first of everything, so that what is made once is there.
    app.reload_well();
    app.signal("KILL");
    wait_for_restart(&app, 1);
    app.reload_well();
    settle(&app);
    // The service's, the supervisor's, and that of the generation that serves.
    wait::for_value("the cgroups", SOON, 3, || cgroups(&app).len());
    let before = estate(&app);
    assert_eq!((before.processes, before.zombies), (2, 0));
    let load = Load::start(&app.target(), PLAN);
    let reloads = times(100, 1000);
    let mut kills = 0;
    for reload in 1..=reloads {
        if reload % KILL_EVERY != 0 {
            app.rig.ok(&["starterctl", "reload", "app"]);
            continue;
        }
        load.wait_for_answers(5, SOON);
        let asked = app.rig.spawn(&["starterctl", "reload", "app"]);
        // In turn: at once; when the next one is there; when it serves and the old one leaves.
        let newest = workers(&app).last().map_or(0, |(number, _)| *number);
        match (reload / KILL_EVERY) % 3 {
            0 => {}
            1 => wait::until("the next generation", SOON, || {
                asked.is_done() || workers(&app).iter().any(|(number, _)| *number > newest)
            }),
            _ => wait::until("the verdict", SOON, || asked.is_done()),
        }
        app.signal("KILL");
        kills += 1;
        wait_for_restart(&app, kills + 1);
        asked.wait(SOON);
        settle(&app);
        load.lap();
    }
    settle(&app);
    let report = load.stop();
    println!("{reloads} reloads, {kills} kills\n{report}");
    report.assert_no_failures();
    // Fewer descriptors are none lost: a client's connection was perhaps open then.
    let descriptors = before.descriptors;
    wait::for_value("the estate to be as before", SOON, before, || {
        let now = estate(&app);
        Estate {
            descriptors: now.descriptors.max(descriptors),
            ..now
        }
    });
    println!("{:?}", estate(&app));
    let lost = Class::ALL.iter().map(|class| report.failed(*class)).sum();
    record::row(
        "kill -9 of the supervisor during reloads under constant load (crash adoption)",
        u64::from(kills),
        &format!(
            "in {reloads} reloads; the next supervisor takes the workers back; {} requests; cgroups, processes, descriptors, stored descriptors and files +0, zombies 0",
            report.answered()
        ),
        Promise::NoneLost,
        lost,
    );
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_nothing_left(&app);
}
