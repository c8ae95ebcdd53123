//! Out of descriptors, out of processes: limits of the kernel on the running program.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::SOON;
use crate::siege::{Client, Siege, lost, tool, verdict};
use crate::support::builds;
use crate::support::programs;
use crate::support::record::{self, Promise};
use crate::support::scratch::Scratch;
use crate::support::wait;

/// A user of whom the machine knows nothing, so that none of its processes are counted.
const NOBODY_ELSE: &str = "61234";
const TRIES: u64 = 5;

/// Lowers a soft limit of the supervisor, as its own user: another one's is not ours to change
/// everywhere. `wrapper` becomes that user.
fn reloads_that_must_fail(
    siege: &Siege,
    wrapper: &[&str],
    [limit, relieved]: [&str; 2],
    reason: &str,
) {
    let pid = siege.pid.to_string();
    let set = |limit: &str| tool(&[wrapper, &["prlimit", "--pid", &pid, limit]].concat());
    for _ in 0..TRIES {
        // Whoever leaves takes its descriptors along, and there would be some after all.
        siege.settle();
        // Connected before: that needs a descriptor too.
        let mut client = Client::connect(&siege.control());
        client.send("GetStatus", &json!({}));
        client.answer();
        set(limit);
        client.send("Reload", &json!({}));
        let why = verdict(&client.answer()).expect_err("there is nothing left");
        assert!(why.contains("ReloadFailed"), "{why}");
        assert!(why.contains(reason), "{why}");
        assert_eq!(siege.version(), "v1");
        set(relieved);
        siege.reload().expect("relieved");
    }
}

#[test]
fn without_a_descriptor_left_a_reload_fails_and_says_why() {
    let siege = Siege::start(&[]);
    siege.settle();
    let load = siege.load();
    let before = siege.cost();
    // The numbers that are taken, and not one more.
    let fds = std::fs::read_dir(format!("/proc/{}/fd", siege.pid)).expect("it lives");
    let numbers = fds
        .flatten()
        .filter_map(|fd| fd.file_name().to_str()?.parse::<u32>().ok());
    let least = numbers.filter(|fd| *fd < 100).count();
    reloads_that_must_fail(
        &siege,
        &[],
        [&format!("--nofile={least}:"), "--nofile=1024:"],
        "Too many open files",
    );
    siege.settle();
    let report = load.stop();
    report.assert_no_failures();
    // A connection of ours that is closed is noticed a little later.
    wait::until("the descriptors to be as before", SOON, || {
        siege.cost().descriptors <= before.descriptors
    });
    record::row(
        "no descriptor left (RLIMIT_NOFILE)",
        TRIES,
        "the reload fails with its reason, the old generation serves; good again once there is one",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn without_a_process_left_a_reload_fails_and_says_why() {
    let scratch = Scratch::new();
    for (name, program) in [
        ("sd-starter", Path::new(programs::SD_STARTER)),
        ("hello", &programs::hello()),
    ] {
        builds::copy(program, &scratch.join(name));
    }
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scratch.join(""), open).expect("our directory");
    let user = format!("--reuid={NOBODY_ELSE}");
    let group = format!("--regid={NOBODY_ELSE}");
    let wrapper = ["setpriv", &user, &group, "--clear-groups"];
    let siege = Siege::start_in(scratch, &wrapper, &[], &[]);
    siege.settle();
    let load = siege.load();
    reloads_that_must_fail(
        &siege,
        &wrapper,
        ["--nproc=1:", "--nproc=1000:"],
        "Try again",
    );
    siege.settle();
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "no process left (EAGAIN at fork, RLIMIT_NPROC)",
        TRIES,
        "the reload fails with its reason, the old generation serves; good again once there is one",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}
