//! kill -9 at every step of a swap: the supervisor is stopped at a system call of each step, and
//! killed there. Which step it is in says the state that it has written down.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use sd_starter::protocol::state::machine::{Machine, Phase, Step};
use sd_starter::shell::ledger::Ledger;

use crate::app::{App, SOON};
use crate::support::load::{Load, Plan};
use crate::support::wait;
use crate::survival_crash::{
    PLAN, assert_nothing_left, main_pid, restarts_during_a_reload, start, times, wait_for_restart,
    workers,
};
use crate::tracer::{Next, trace};

/// After so long without a system call a swap is over.
const QUIET: Duration = Duration::from_millis(400);

/// The step that a machine is in. There is no wildcard: a new step of the core's is a step here.
fn step_of(machine: &Machine) -> String {
    let phase = match &machine.phase {
        Phase::New => "new",
        Phase::Steady { .. } => "steady",
        Phase::Swapping { next, .. } => match next.step {
            Step::Forking { .. } => "forking",
            Step::Executing { .. } => "executing",
            Step::Booting { .. } => "booting",
            Step::Trial { .. } => "trial",
            Step::Pausing { .. } => "pausing",
        },
        Phase::Stopping(_) => "stopping",
        Phase::Finished => "finished",
    };
    match machine.leaving.is_empty() {
        true => phase.to_owned(),
        false => format!("{phase}, draining"),
    }
}

/// Where a supervisor keeps its state.
pub(crate) fn ledger(pid: i32) -> OwnedFd {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let is_it = |path: &std::path::PathBuf| {
        let target = std::fs::read_link(path).unwrap_or_default();
        target
            .to_string_lossy()
            .starts_with("/memfd:sd-starter state")
    };
    let path = fds.flatten().map(|entry| entry.path()).find(is_it);
    let path = path.expect("it has a ledger");
    let mut options = File::options();
    let file = options.read(true).write(true).open(path);
    file.expect("we are root").into()
}

fn step(ledger: &OwnedFd) -> String {
    let copy = ledger.try_clone().expect("a descriptor");
    let (_, state) = Ledger::open(copy).expect("the state is always whole");
    state.map_or("none".to_owned(), |state| step_of(&state.machine))
}

/// What a swap is interrupted at: the `nth` stop in a step.
#[derive(Clone, Debug)]
struct Moment {
    step: String,
    nth: usize,
}

/// Runs one swap of the app, with a request held by the old generation until that drains. Kills
/// the supervisor at the moment; without one, or if it does not come, goes on to the end. Answers
/// how many stops there were in each step, and whether it was killed.
fn swap(
    app: &App,
    load: &Load,
    name: &str,
    moment: Option<&Moment>,
) -> (BTreeMap<String, usize>, bool) {
    let mut gate = app.rig.gate(name);
    let held = load.hold(&gate);
    let pid = main_pid(app);
    let ledger = ledger(pid);
    let mut stops: BTreeMap<String, usize> = BTreeMap::new();
    let mut killed = false;
    let last = std::cell::Cell::new(Instant::now());
    let drains = std::cell::Cell::new(false);
    // Asked for once the supervisor is traced, so that no step is missed; what it does before that is
    // no part of the swap.
    let asked = std::cell::Cell::new(false);
    let mut reload = None;
    trace(
        pid,
        3 * SOON,
        || {
            last.set(Instant::now());
            if !asked.get() {
                return Next::GoOn;
            }
            let step = step(&ledger);
            drains.set(drains.get() || step == "steady, draining");
            let count = stops.entry(step.clone()).or_default();
            *count += 1;
            let is_it = moment.is_some_and(|moment| moment.step == step && moment.nth == *count);
            killed |= is_it;
            if is_it { Next::Kill } else { Next::GoOn }
        },
        || {
            let reload = reload.get_or_insert_with(|| {
                last.set(Instant::now());
                asked.set(true);
                app.rig.spawn(&["starterctl", "reload", "app"])
            });
            // It waits for something: first for the old generation, which waits for us.
            if last.get().elapsed() < QUIET {
                return Next::GoOn;
            }
            if drains.replace(false) {
                last.set(Instant::now());
                gate.open();
            }
            match reload.is_done() && last.get().elapsed() >= QUIET {
                true => Next::LetGo,
                false => Next::GoOn,
            }
        },
    );
    gate.open();
    load.finish(held);
    reload.expect("it was traced").wait(SOON);
    (stops, killed)
}

/// One serves, and nobody else is left.
#[track_caller]
fn wait_for_one(app: &App, moment: &Moment) {
    let seen = || {
        let workers = workers(app);
        let one = matches!(workers.as_slice(), [(_, state)] if state == "serving");
        one && app.processes() == 2
    };
    let started = Instant::now();
    while !seen() {
        assert!(
            started.elapsed() < SOON,
            "after a kill at {moment:?}: {:?}, {} processes\n{}",
            workers(app),
            app.processes(),
            app.journal()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn kill_9_at_every_step_of_a_swap() {
    let options = "--ready notify --kill-old-delay 0.2";
    let Some(app) = start(options, "") else {
        return;
    };
    if !restarts_during_a_reload(&app) {
        return;
    }
    let plan = Plan {
        new_per_second: 50,
        ..PLAN
    };
    app.deploy("--ready --text v1");
    let load = Load::start(&app.target(), plan);
    load.wait_for_answers(20, SOON);
    let expected = [
        "forking",
        "executing",
        "booting",
        "trial",
        "steady, draining",
        "steady",
    ];
    // A boot that is long enough to be seen, though each system call before it is stopped at: how long
    // that is, is the machine's affair.
    let mut boots = [600, 2400, 9600].into_iter();
    let steps = loop {
        let boot = boots.next();
        let boot = boot.unwrap_or_else(|| panic!("not all of {expected:?} was to be seen"));
        app.deploy(&format!("--ready --text v1 --boot-ms {boot}"));
        let (steps, _) = swap(&app, &load, &format!("gate.dry.{boot}"), None);
        println!("system calls (both sides of each) in each step, boot {boot} ms: {steps:?}");
        if expected.iter().all(|step| steps.contains_key(*step)) {
            break steps;
        }
    };
    let each = usize::try_from(times(2, 20)).expect("a small number");
    let mut kills = 0;
    let mut table = BTreeMap::new();
    for (step, stops) in &steps {
        let mut done = 0;
        // Evenly over the step, and again from its beginning where it has fewer stops than that;
        // a moment that does not come this time is another swap.
        for number in 0..3 * each {
            if done == each {
                break;
            }
            let nth = 1 + (number * stops / each) % stops;
            let step = step.clone();
            let moment = Moment { step, nth };
            load.lap();
            load.wait_for_answers(5, SOON);
            let name = format!("gate.{kills}.{number}.{nth}");
            let (_, killed) = swap(&app, &load, &name, Some(&moment));
            if killed {
                done += 1;
                kills += 1;
                wait_for_restart(&app, kills);
            }
            wait_for_one(&app, &moment);
        }
        table.insert(step.clone(), done);
        assert!(done >= each.min(2), "{step} was hit {done} times");
    }
    load.lap();
    load.wait_for_answers(20, SOON);
    let report = load.stop();
    println!("kills at each step: {table:?}\n{report}");
    report.assert_no_failures();
    // Once systemd refused to start it so often, and a stop then had nobody to clean up after it.
    let cleanup = app.rig.journal(&["--unit=sd-starter-cleanup@app.service"]);
    assert!(!cleanup.contains("start-limit-hit"), "{cleanup}");
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_eq!(app.property("Result"), "success");
    assert_nothing_left(&app);
}

#[test]
fn kill_9_while_a_build_fails_again_and_again() {
    let Some(app) = start("--ready notify --attempts unlimited --interval 0.2", "") else {
        return;
    };
    let load = Load::start(&app.target(), PLAN);
    load.wait_for_answers(20, SOON);
    app.deploy("--ready --text v2 --exit-at-start 3");
    app.signal("HUP");
    let count = times(4, 20);
    for kills in 1..=count {
        let pid = main_pid(&app);
        let ledger = ledger(pid);
        wait::until("a pause", SOON, || step(&ledger) == "pausing");
        crate::survival_crash::kill(pid);
        wait_for_restart(&app, kills);
        let serving: Vec<_> = workers(&app)
            .into_iter()
            .filter(|(_, state)| state == "serving")
            .collect();
        assert_eq!(serving, [(1, "serving".to_owned())]);
    }
    app.deploy("--ready --text v3");
    // Whoever asks again has changed something: there is no pause any more.
    app.reload_well();
    app.wait_for_version("v3");
    let report = load.stop();
    println!("{count} kills\n{report}");
    report.assert_no_failures();
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}

#[test]
fn a_start_that_was_heard_of_and_not_acted_on_is_heard_of_again() {
    // Killed between two pieces of news of one wake-up: that the program runs was read from its pipe, and
    // is not in the state. Such a worker was waited for until --start-timeout.
    let Some(app) = start("--ready alive --interval 5", "") else {
        return;
    };
    if !restarts_during_a_reload(&app) {
        return;
    }
    let reload = app.rig.spawn(&["starterctl", "reload", "app"]);
    wait::until("the next one", SOON, || {
        workers(&app).contains(&(2, "booting".to_owned()))
    });
    let pid = main_pid(&app);
    let process = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGSTOP).expect("it runs");
    let (mut written, state) = Ledger::open(ledger(pid)).expect("the state is whole");
    let mut state = state.expect("a swap is under way");
    let Phase::Swapping { next, .. } = &mut state.machine.phase else {
        panic!("not swapping: {:?}", state.machine);
    };
    let Step::Booting {
        worker, timeout_at, ..
    } = next.step.clone()
    else {
        panic!("not booting: {next:?}");
    };
    next.step = Step::Executing { worker, timeout_at };
    written.write(&state).expect("a memfd");
    crate::survival_crash::kill(pid);
    wait_for_restart(&app, 1);
    wait::until("the swap", SOON, || {
        workers(&app) == [(2, "serving".to_owned())]
    });
    reload.wait(SOON);
    app.rig.ok(&["systemctl", "stop", "app"]);
    assert_nothing_left(&app);
}
