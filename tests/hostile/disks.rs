//! Full and read-only file systems below the files that we write.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::SOON;
use crate::siege::{Siege, lost, tool};
use crate::support::process::{Supervisor, command};
use crate::support::programs;
use crate::support::record::{self, Promise};
use crate::support::scratch::Scratch;
use crate::support::wait;

const TRIES: u64 = 5;

/// `MOUNT DIRECTORY OPTIONS sd-starter ...` in a mount namespace of its own.
const IN_SMALL: &str =
    "mkdir -p \"$1\" && mount -t tmpfs -o \"$2\" small \"$1\" && shift 2 && exec \"$@\"";

fn wrapper<'a>(directory: &'a str, options: &'a str) -> Vec<&'a str> {
    vec![
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        IN_SMALL,
        "sh",
        directory,
        options,
    ]
}

/// Runs a line of shell where the supervisor sees the file system.
fn inside(siege: &Siege, line: &str) -> String {
    tool(&[
        "nsenter",
        "-t",
        &siege.pid.to_string(),
        "-m",
        "sh",
        "-c",
        line,
    ])
}

#[test]
fn a_full_disk_below_its_files_stops_nothing() {
    let scratch = Scratch::new();
    let small = scratch.join("small");
    let small = small.to_str().expect("UTF-8").to_owned();
    let [status, log, pid] = ["status", "log", "pid"].map(|name| format!("{small}/{name}"));
    let wrapper = wrapper(&small, "size=64k,mode=0755");
    let options = [
        "--status-file",
        &status,
        "--log-file",
        &log,
        "--pid-file",
        &pid,
    ];
    let siege = Siege::start_in(scratch, &wrapper, &options, &[]);
    siege.settle();
    let load = siege.load();
    inside(
        &siege,
        &format!("head -c 200000 /dev/zero >{small}/fill 2>/dev/null || :"),
    );
    for _ in 0..TRIES {
        siege.reload().expect("nobody needs the disk for that");
    }
    siege.settle();
    // The list of before is there, whole: what could not be replaced was not touched.
    let listed = inside(&siege, &format!("cat {status}"));
    assert!(listed.ends_with('\n') && listed.contains(':'), "{listed:?}");
    inside(&siege, &format!("rm {small}/fill"));
    siege.reload().expect("a good build");
    siege.settle();
    let serving = siege.serving().expect("one serves");
    wait::until("the status file to be right again", SOON, || {
        inside(&siege, &format!("cat {status}")).contains(&format!(":{serving}\n"))
    });
    assert_eq!(inside(&siege, &format!("ls {small}")), "log\npid\nstatus\n");
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "ENOSPC below status, pid and log file",
        TRIES,
        "reloads good; the status file is the old one, whole, and right again once there is room",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn a_disk_that_becomes_read_only_stops_nothing() {
    let scratch = Scratch::new();
    let small = scratch.join("small");
    let small = small.to_str().expect("UTF-8").to_owned();
    let status = format!("{small}/status");
    let wrapper = wrapper(&small, "size=64k,mode=0755");
    let siege = Siege::start_in(scratch, &wrapper, &["--status-file", &status], &[]);
    siege.settle();
    let load = siege.load();
    inside(&siege, &format!("mount -o remount,ro {small}"));
    for _ in 0..TRIES {
        siege.reload().expect("nobody needs the disk for that");
    }
    siege.settle();
    inside(&siege, &format!("mount -o remount,rw {small}"));
    siege.reload().expect("a good build");
    siege.settle();
    let serving = siege.serving().expect("one serves");
    wait::until("the status file to be right again", SOON, || {
        inside(&siege, &format!("cat {status}")).contains(&format!(":{serving}\n"))
    });
    let report = load.stop();
    report.assert_no_failures();
    // It was said to a pipe, which may not have been read yet.
    let complaint = "Read-only file system; it is written again at the next change";
    siege.supervisor.wait_for_line(complaint, SOON);
    let complaints = siege.supervisor.stderr().matches(complaint).count();
    assert_eq!(complaints, 1, "said once:\n{}", siege.supervisor.stderr());
    record::row(
        "EROFS below the status file",
        TRIES,
        "reloads good; said once; right again once it can be written",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

#[test]
fn a_full_run_directory_fails_the_reload_and_keeps_the_old_one() {
    let scratch = Scratch::new();
    let run = scratch.join("run");
    let run = run.to_str().expect("UTF-8").to_owned();
    let mut wrapper = wrapper(&run, "nr_inodes=24,mode=0755");
    let variable = format!("RUNTIME_DIRECTORY={run}");
    wrapper.extend(["env", &variable]);
    let siege = Siege::start_in(scratch, &wrapper, &[], &[]);
    siege.settle();
    let load = siege.load();
    let mut failed = 0;
    for _ in 0..TRIES {
        inside(
            &siege,
            &format!("for n in $(seq 40); do touch {run}/fill.$n 2>/dev/null; done; :"),
        );
        let why = siege
            .reload()
            .expect_err("there is no room for its notify socket");
        assert!(why.contains("No space left on device"), "{why}");
        assert_eq!(siege.version(), "v1");
        failed += 1;
        inside(&siege, &format!("rm {run}/fill.*"));
        siege.reload().expect("room again");
        // Whoever leaves takes its socket along, and there would be room after all.
        siege.settle();
    }
    siege.settle();
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "a full /run",
        failed,
        "the reload fails with its reason, the old generation serves; good again once there is room",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}

/// A start that must fail, and what it says.
fn start_on(mount: &str, option: &str) -> (i32, String) {
    let scratch = Scratch::new();
    let small = scratch.join("small");
    let directory = small.to_str().expect("UTF-8");
    let file = small.join("file");
    let wrapper = wrapper(directory, mount);
    let mut start = command(wrapper[0]);
    start.args(&wrapper[1..]);
    if mount.contains("size") {
        let fill = format!("head -c 200000 /dev/zero >{directory}/fill 2>/dev/null; exec \"$@\"");
        start.args(["sh", "-c", &fill, "sh"]);
    }
    start.args([programs::SD_STARTER, option]).arg(&file);
    start.args(["--", "sleep", "1000"]);
    let mut supervisor = Supervisor::start(&mut start);
    let code = supervisor.wait_for_code(SOON);
    (code, supervisor.stderr())
}

#[test]
fn a_start_that_cannot_write_its_files_says_which_and_ends_with_the_errno() {
    let mut tries = 0;
    for (mount, option, code) in [
        ("ro", "--pid-file", libc_erofs()),
        ("ro", "--log-file", libc_erofs()),
        ("size=16k", "--pid-file", libc_enospc()),
    ] {
        let (ended, said) = start_on(mount, option);
        assert_eq!(ended, code, "{mount} {option}:\n{said}");
        assert!(said.contains("small/file"), "{said}");
        tries += 1;
    }
    record::row(
        "EROFS and ENOSPC below pid and log file at the start",
        tries,
        "no start: one line that names the file, and the errno as exit code",
        Promise::NoRequests,
        0,
    );
}

fn libc_erofs() -> i32 {
    rustix::io::Errno::ROFS.raw_os_error()
}

fn libc_enospc() -> i32 {
    rustix::io::Errno::NOSPC.raw_os_error()
}

/// Not a fault, but what the other tests rest on.
#[test]
fn the_file_system_of_a_test_is_its_own() {
    let scratch = Scratch::new();
    let small = scratch.join("small");
    let small_text = small.to_str().expect("UTF-8").to_owned();
    let wrapper = wrapper(&small_text, "size=64k");
    let siege = Siege::start_in(scratch, &wrapper, &[], &[]);
    inside(&siege, &format!(": >{small_text}/there"));
    assert!(!Path::new(&small).join("there").exists());
    siege.supervisor.signal(Signal::SIGTERM);
}

#[test]
fn a_log_as_long_as_limitfsize_allows_does_not_end_the_supervisor() {
    // SIGXFSZ did: with its workers left to themselves.
    let scratch = Scratch::new();
    let log = scratch.join("log").to_str().expect("UTF-8").to_owned();
    let wrapper = ["prlimit", "--fsize=2000"];
    let siege = Siege::start_in(scratch, &wrapper, &["--log-file", &log], &[]);
    siege.settle();
    let load = siege.load();
    let length = || std::fs::metadata(&log).map_or(0, |file| file.len());
    let mut tries = 0;
    while length() < 2000 || tries < TRIES {
        siege.reload().expect("nobody needs the log for that");
        tries += 1;
    }
    siege.settle();
    siege.reload().expect("nobody needs the log for that");
    siege.settle();
    // It is ours to ignore, and not the worker's.
    let serving = siege.serving().expect("one serves");
    let ignored = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let set = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
        set.expect("a set") >> (Signal::SIGXFSZ as i32 - 1) & 1 == 1
    };
    assert_eq!((ignored(siege.pid), ignored(serving)), (true, false));
    let report = load.stop();
    report.assert_no_failures();
    record::row(
        "EFBIG: the log file is as long as LimitFSIZE= allows",
        tries + 1,
        "reloads good; lines that find no room are lost",
        Promise::NoneLost,
        lost(&report),
    );
    siege.ends_well();
}
