//! The rig itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::load::{Load, Plan};
use crate::support::requirement;
use crate::support::rig::Rig;
use crate::support::wait;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn several_rigs_run_at_once_and_do_not_see_each_other() {
    let (Some(one), Some(other)) = (Rig::boot(), Rig::boot()) else {
        return;
    };
    println!("booted in {:?} and {:?}", one.boot_time, other.boot_time);
    for rig in [&one, &other] {
        rig.write(
            "/etc/systemd/system/sleeper.service",
            "[Service]\nExecStart=sleep 1000\n",
            0o644,
        );
        rig.ok(&["systemctl", "start", "sleeper"]);
    }
    one.ok(&["systemctl", "stop", "sleeper"]);
    assert_eq!(one.property("sleeper", "ActiveState"), "inactive");
    assert_eq!(other.property("sleeper", "ActiveState"), "active");
    assert_ne!(one.read("/etc/machine-id"), other.read("/etc/machine-id"));
}

#[test]
fn a_worker_is_activated_by_its_socket_and_answers_load_from_outside() {
    let Some(rig) = Rig::boot() else { return };
    rig.write(
        "/etc/systemd/system/plain.socket",
        "[Socket]\nListenStream=8080\n",
        0o644,
    );
    let service = "[Service]\nExecStart=/usr/bin/hello --text plain\nDynamicUser=yes\n";
    rig.write("/etc/systemd/system/plain.service", service, 0o644);
    rig.ok(&["systemctl", "start", "plain.socket"]);

    let target = rig.tcp(8080);
    let answer = target.get("/").expect("the first answer");
    assert_eq!(answer.version().expect("a greeting"), "plain");
    let load = Load::start(&target, Plan::default());
    let mut gate = rig.gate("one");
    let held = load.hold(&gate);
    // The socket stays, so a restart is a pause for new connections and an end for the others.
    let stop = rig.spawn(&["systemctl", "stop", "plain.service"]);
    wait::until("the stop", SOON, || {
        rig.property("plain", "ActiveState") == "deactivating"
    });
    gate.open();
    load.finish(held);
    assert!(stop.wait(SOON).status.success());
    load.wait_for_answers(300, SOON);
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    assert!(rig.journal(&["-u", "plain"]).contains("Started"));
}

/// What [`nothing_is_left_of_a_killed_test`] kills.
#[test]
#[ignore = "waits to be killed"]
fn a_rig_that_waits_to_be_killed() {
    let rig = Rig::boot().expect("the other test has looked");
    println!("\nrig {} {}", rig.leader(), rig.name());
    std::thread::park_timeout(SOON);
}

#[test]
fn nothing_is_left_of_a_killed_test() {
    if !requirement::rig() {
        return;
    }
    let mut test = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "the_rig::a_rig_that_waits_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let lines = BufReader::new(test.stdout.take().expect("piped above")).lines();
    let mut lines = lines.map(|line| line.expect("a pipe can be read"));
    let rig = lines
        .find_map(|line| Some(line.strip_prefix("rig ")?.to_owned()))
        .expect("a rig");
    let (leader, name) = rig.split_once(' ').expect("a pid and a name");
    let systemd = Path::new("/proc").join(leader);
    assert!(systemd.exists() && cgroups(name) > 0, "it runs");

    test.kill().expect("our child");
    test.wait().expect("our child");
    wait::until("the end of systemd", SOON, || !systemd.exists());
    wait::for_value("the rig's cgroups", SOON, 0, || cgroups(name));
}

/// How many cgroups there are of that name.
fn cgroups(name: &str) -> usize {
    const COUNT: &str =
        "mount -t tmpfs none /mnt && mkdir /mnt/v1 /mnt/v2 && mount -t cgroup2 none /mnt/v2
        mount -t cgroup -o none,name=systemd none /mnt/v1 2>/dev/null
        find /mnt/v1 /mnt/v2 -maxdepth 1 -name \"$1\"";
    let count = Command::new("unshare")
        .args(["--mount", "sh", "-c", COUNT, "sh", name])
        .output();
    let count = count.expect("unshare can be started");
    String::from_utf8_lossy(&count.stdout).lines().count()
}

#[test]
fn programs_and_units_are_there() {
    let Some(rig) = Rig::boot() else { return };
    for program in ["sd-starter", "starterctl", "hello"] {
        rig.ok(&["test", "-x", &format!("/usr/bin/{program}")]);
    }
    assert!(
        rig.ok(&["systemctl", "cat", "app.socket"])
            .contains("[Socket]")
    );
    assert!(!rig.run(&["false"]).status.success());
    assert!(rig.net(|| std::net::TcpListener::bind("127.0.0.1:80").is_ok()));
}
