//! What only a real systemd can give: a delegated cgroup, a journal.

use std::path::PathBuf;

use super::SOON;
use super::support::rig::Rig;
use super::support::wait;

/// A service without sockets, whose worker is a script; `options` are sd-starter's, `more` goes
/// into its unit.
fn boot(options: &str, script: &str, more: &str) -> Option<Rig> {
    let rig = Rig::boot()?;
    rig.write("/srv/worker", &format!("#!/bin/sh\n{script}\n"), 0o755);
    rig.write(
        "/etc/systemd/system/job.service",
        &format!(
            "[Service]\nType=notify\nExecStart=/usr/bin/sd-starter {options} -- /srv/worker\n\
             ExecReload=/usr/bin/starterctl reload\nKillMode=mixed\n\
             RuntimeDirectory=sd-starter/%N\n{more}\n"
        ),
        0o644,
    );
    rig.ok(&["systemctl", "daemon-reload"]);
    rig.ok(&["systemctl", "start", "job"]);
    Some(rig)
}

/// The drop-in that we ship.
fn delegate() -> String {
    let shipped = std::fs::read_to_string("systemd/delegate.conf").expect("we ship it");
    shipped.replace("[Service]", "")
}

fn cgroup(rig: &Rig) -> PathBuf {
    rig.path("/sys/fs/cgroup/system.slice/job.service")
}

/// The leaves of the unit's cgroup, without the supervisor's pid in their names.
fn leaves(rig: &Rig) -> Vec<String> {
    let entries = std::fs::read_dir(cgroup(rig)).expect("a cgroup").flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter(|name| !name.starts_with('.'))
        .map(|name| {
            name.rsplit_once('-')
                .map_or(name.clone(), |(name, _)| name.to_owned())
        })
        .collect();
    names.sort();
    names
}

fn processes(rig: &Rig, name: &str) -> usize {
    let list = rig.run(&["pgrep", "--count", "--full", &format!("^{name}$")]);
    list.stdout.trim().parse().expect("a number")
}

/// Ready, and its child ignores everything that can be ignored.
const HELPER: &str = "(trap '' TERM HUP INT QUIT; setsid sleep 4321 &)\n\
    trap 'exit 0' TERM; systemd-notify --ready 2>/dev/null; while :; do sleep 0.1; done";

fn a_helper_is_gone_at_the_drain_timeout(user: &str) {
    let options = "--drain-timeout 1 --interval 0.2";
    let Some(rig) = boot(options, HELPER, &format!("{}{user}", delegate())) else {
        return;
    };
    wait::for_value("the leaves", SOON, vec!["gen-1", "supervisor"], || {
        leaves(&rig)
    });
    rig.ok(&["systemctl", "reload", "job"]);
    wait::for_value("the helpers", SOON, 1, || processes(&rig, "sleep 4321"));
    wait::for_value("the leaves", SOON, vec!["gen-2", "supervisor"], || {
        leaves(&rig)
    });
    let journal = rig.journal(&["_SYSTEMD_UNIT=job.service"]);
    assert!(
        journal.contains("processes that it started are still there"),
        "{journal}"
    );
    assert!(journal.contains("killing generation 1"), "{journal}");
    assert_eq!(rig.property("job", "ActiveState"), "active");
    rig.ok(&["systemctl", "stop", "job"]);
    assert_eq!(rig.property("job", "Result"), "success");
    assert_eq!(processes(&rig, "sleep 4321"), 0);
}

#[test]
fn an_upgrade_forgets_no_cgroup() {
    let options = "--drain-timeout 8 --interval 0.2";
    let Some(rig) = boot(options, HELPER, &delegate()) else {
        return;
    };
    rig.ok(&["systemctl", "reload", "job"]);
    let unit = "_SYSTEMD_UNIT=job.service";
    wait::until("a helper without its worker", SOON, || {
        rig.journal(&[unit])
            .contains("processes that it started are still there")
    });
    let main = rig.property("job", "MainPID");
    rig.ok(&["starterctl", "upgrade", "job"]);
    assert_eq!(leaves(&rig), ["gen-1", "gen-2", "supervisor"]);
    // It has the rest of its time, and then its whole tree is killed.
    wait::for_value("the leaves", SOON, vec!["gen-2", "supervisor"], || {
        leaves(&rig)
    });
    assert_eq!(processes(&rig, "sleep 4321"), 1);
    rig.ok(&["systemctl", "reload", "job"]);
    assert_eq!(rig.property("job", "MainPID"), main);
    rig.ok(&["systemctl", "stop", "job"]);
    assert_eq!(rig.property("job", "Result"), "success");
    assert_eq!(processes(&rig, "sleep 4321"), 0);
}

#[test]
fn a_helper_is_gone_at_the_drain_timeout_under_root() {
    a_helper_is_gone_at_the_drain_timeout("");
}

#[test]
fn a_helper_is_gone_at_the_drain_timeout_under_a_user() {
    a_helper_is_gone_at_the_drain_timeout("User=nobody\n");
}

/// A worker that moves out of its cgroup and removes it: nobody is in there, ever.
#[test]
fn a_cgroup_that_its_worker_removes_is_not_missed() {
    let script = "own=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)\n\
        mkdir -p $own/../elsewhere\necho $$ >$own/../elsewhere/cgroup.procs\n\
        trap 'exit 0' TERM\nrmdir $own && systemd-notify --ready 2>/dev/null\n\
        while :; do sleep 0.1; done";
    let Some(rig) = boot("--drain-timeout 5 --interval 0.2", script, &delegate()) else {
        return;
    };
    let main = rig.property("job", "MainPID");
    for generation in 1..=3 {
        wait::for_value("the leaves", SOON, vec!["elsewhere", "supervisor"], || {
            leaves(&rig)
        });
        rig.ok(&["systemctl", "reload", "job"]);
        let left = format!("generation {generation} (pid ");
        wait::until("the end of the old one", SOON, || {
            let journal = rig.journal(&["_SYSTEMD_UNIT=job.service"]);
            let mut lines = journal.lines();
            lines
                .any(|line| line.contains(&left) && line.contains("has left: exited with status 0"))
        });
    }
    assert_eq!(rig.property("job", "MainPID"), main);
    rig.ok(&["systemctl", "stop", "job"]);
    assert_eq!(rig.property("job", "Result"), "success");
}

#[test]
fn we_move_ourselves_where_systemd_does_not() {
    let more = delegate().replace("DelegateSubgroup=supervisor", "");
    let Some(rig) = boot("--interval 0.2", HELPER, &more) else {
        return;
    };
    wait::for_value("the leaves", SOON, vec!["gen-1", "supervisor"], || {
        leaves(&rig)
    });
    let ours = cgroup(&rig).join("supervisor/cgroup.procs");
    let ours = std::fs::read_to_string(ours).expect("our leaf");
    let main = rig.property("job", "MainPID");
    assert_eq!(ours.lines().count(), 1, "{ours}");
    let inside = rig.ok(&[
        "cat",
        "/sys/fs/cgroup/system.slice/job.service/supervisor/cgroup.procs",
    ]);
    assert_eq!(inside.trim(), main);
}

#[test]
fn a_serving_one_that_dies_takes_its_helpers_along() {
    // It dies when it is told to: by itself it might before anybody has found it ready.
    let script = format!(
        "[ $SERVER_STARTER_GENERATION = 2 ] || \
         {{ sleep 4321 & until [ -e /run/die ]; do sleep 0.05; done; exit 1; }}\n{HELPER}"
    );
    let Some(rig) = boot("--ready alive --interval 0.2", &script, &delegate()) else {
        return;
    };
    rig.write("/run/die", "", 0o644);
    wait::for_value("the leaves", SOON, vec!["gen-2", "supervisor"], || {
        leaves(&rig)
    });
    // That of generation 2, as soon as it is there: the leaf of generation 1 is gone, so it was empty.
    wait::for_value("the helpers", SOON, 1, || processes(&rig, "sleep 4321"));
}

#[test]
fn without_delegation_everything_works_as_before() {
    for more in ["", "User=nobody\n"] {
        let Some(rig) = boot("--interval 0.2", HELPER, more) else {
            return;
        };
        rig.ok(&["systemctl", "reload", "job"]);
        assert_eq!(leaves(&rig), [""; 0]);
        rig.ok(&["systemctl", "stop", "job"]);
        assert_eq!(rig.property("job", "Result"), "success");
    }
}

#[test]
fn no_cgroup_is_no_cgroup() {
    let Some(rig) = boot("--no-cgroup --interval 0.2", HELPER, &delegate()) else {
        return;
    };
    assert!(!leaves(&rig).contains(&"gen-1".to_owned()));
}

#[test]
fn each_generation_has_its_own_lines_in_the_journal() {
    // Generation 1 writes right before its end.
    let script = "trap 'echo last words; exit 0' TERM; echo \"line of $SERVER_STARTER_GENERATION by $$ in $JOURNAL_STREAM\"\n\
        echo '<3>an error' >&2; systemd-notify --ready; while :; do sleep 0.1; done";
    let Some(rig) = boot("--ready notify", script, "") else {
        return;
    };
    rig.ok(&["systemctl", "reload", "job"]);
    wait::until("the end of generation 1", SOON, || {
        rig.journal(&["_SYSTEMD_UNIT=job.service"])
            .contains("has left")
    });
    for (generation, count) in [(1, 3), (2, 2)] {
        let identifier = format!("SYSLOG_IDENTIFIER=worker[{generation}]");
        let unit = "_SYSTEMD_UNIT=job.service";
        let lines = rig.journal(&[unit, &identifier]);
        assert_eq!(lines.lines().count(), count, "{lines}");
        let line = lines.lines().next().expect("a line");
        let mut words = line.split(' ').skip(2);
        assert_eq!(words.next(), Some(generation.to_string().as_str()));
        let pid = words.nth(1).expect("a pid");
        let by_pid = rig.journal(&[&identifier, &format!("_PID={pid}"), "PRIORITY=3"]);
        assert_eq!(by_pid.trim(), "an error");
        assert_ne!(words.nth(1), None, "JOURNAL_STREAM is set");
    }
    let last = rig.journal(&["SYSLOG_IDENTIFIER=worker[1]"]);
    assert!(last.contains("last words"), "{last}");
}

/// Writes a line whenever it is asked to.
const TALKER: &str = "trap 'echo still here' USR1; echo here; while :; do sleep 0.1; done";

fn talks(rig: &Rig, lines: usize) {
    // Before that the signal would end it.
    wait::until("a worker that can be asked", SOON, || {
        let said = rig.journal(&["SYSLOG_IDENTIFIER=worker[1]"]);
        said.lines().any(|line| line == "here")
    });
    rig.ok(&["pkill", "-USR1", "-f", "^/bin/sh /srv/worker"]);
    wait::until("a line of generation 1", SOON, || {
        let said = rig.journal(&["SYSLOG_IDENTIFIER=worker[1]"]);
        said.matches("still here").count() == lines
    });
}

#[test]
fn a_generations_lines_outlast_a_restart_of_journald() {
    let Some(rig) = boot("--interval 0.2", TALKER, "") else {
        return;
    };
    talks(&rig, 1);
    rig.ok(&["systemctl", "restart", "systemd-journald"]);
    talks(&rig, 2);
}

#[test]
fn a_generations_lines_outlast_the_supervisor() {
    let Some(rig) = boot("--interval 0.2", TALKER, "KillMode=process") else {
        return;
    };
    talks(&rig, 1);
    let main = rig.property("job", "MainPID");
    rig.ok(&["kill", "-KILL", &main]);
    wait::for_value("the service", SOON, "failed", || {
        rig.property("job", "ActiveState")
    });
    talks(&rig, 2);
}

#[test]
fn a_start_may_take_longer_than_systemd_would_wait() {
    let script = "sleep 5; systemd-notify --ready 2>/dev/null; while :; do sleep 0.1; done";
    let Some(rig) = boot("--ready notify", script, "TimeoutStartSec=2") else {
        return;
    };
    rig.ok(&["systemctl", "reload", "job"]);
    assert_eq!(rig.property("job", "ActiveState"), "active");
    assert_eq!(rig.property("job", "NRestarts"), "0");
}

#[test]
fn a_stopped_supervisor_is_caught_by_systemds_watchdog() {
    let more = "WatchdogSec=4\nTimeoutAbortSec=1\nRestart=always\nRestartSec=0.1\nLimitCORE=0";
    let Some(rig) = boot("--interval 0.1", "exec sleep 1000", more) else {
        return;
    };
    let main = rig.property("job", "MainPID");
    rig.ok(&["kill", "-STOP", &main]);
    wait::for_value("the restarts", SOON, "1", || {
        rig.property("job", "NRestarts")
    });
    wait::for_value("the service", SOON, "active", || {
        rig.property("job", "ActiveState")
    });
}
