//! An upgrade of our own package under load: the running supervisors become the new version in place.

use crate::apps::PLAN;
use crate::machine::{Machine, SOON, well};
use crate::made::{BROKEN, Kind, NEWER, VERSION, packages};
use crate::support::load::Load;
use crate::template::{PORT, SOCKET, UNIT, enable};

/// How many upgrades and downgrades.
fn rounds() -> usize {
    if std::env::var_os("SD_STARTER_FULL").is_some() {
        20
    } else {
        3
    }
}

#[test]
fn dpkg_upgrades_a_running_supervisor_in_place() {
    let Some(machine) = Machine::debian("trixie") else {
        return;
    };
    well(machine.dpkg("--install", packages().ours(Kind::Deb, VERSION)));
    let install = |version: &str| machine.dpkg("--install", packages().ours(Kind::Deb, version));
    upgrades(&machine, "dpkg", install);
}

#[test]
fn rpm_upgrades_a_running_supervisor_in_place() {
    let Some(machine) = Machine::with_rpm() else {
        return;
    };
    well(machine.rpm("--install", packages().systemd_rpm()));
    well(machine.rpm("--install", packages().ours(Kind::Rpm, VERSION)));
    let install = |version: &str| {
        let package = packages().ours(Kind::Rpm, version);
        // Also to an older version.
        machine.rpm("--oldpackage", package)
    };
    upgrades(&machine, "rpm", install);
}

fn upgrades(
    machine: &Machine,
    manager: &str,
    install: impl Fn(&str) -> crate::support::running::Output,
) {
    enable(machine);
    machine.wait_for_answer(PORT, 1);
    let pid = machine.main_pid(UNIT);
    let socket = machine
        .rig
        .property(SOCKET, "ActiveEnterTimestampMonotonic");
    let load = Load::start(&machine.target(PORT), PLAN);
    load.wait_for_generation(1, SOON);
    for round in 0..rounds() {
        let version = [NEWER, VERSION][round % 2];
        let said = well(install(version));
        assert_eq!(
            machine.running_version(UNIT),
            version,
            "round {round}: {said}"
        );
        assert_eq!(machine.main_pid(UNIT), pid, "round {round}: {said}");
        let program = machine.rig.ok(&["readlink", &format!("/proc/{pid}/exe")]);
        assert_eq!(
            program, "/usr/bin/sd-starter\n",
            "the program that is installed"
        );
    }

    // What cannot run does not take over; the package is installed, and it is said.
    let version = machine.running_version(UNIT);
    let said = well(install(BROKEN));
    assert!(
        said.contains("not every running supervisor has become the installed version"),
        "{said}"
    );
    assert!(
        said.contains("this build does not run"),
        "the reason: {said}"
    );
    assert_eq!(machine.main_pid(UNIT), pid);
    assert_eq!(machine.running_version(UNIT), version);
    load.lap();
    load.wait_for_answers(50, SOON);
    // And when it is mended, all is well.
    well(install(NEWER));
    assert_eq!(machine.running_version(UNIT), NEWER);

    let report = load.stop();
    println!("{} upgrades by {manager}\n{report}", rounds() + 1);
    report.assert_only_generation(1);
    assert_eq!(machine.rig.property(UNIT, "NRestarts"), "0");
    assert_eq!(
        machine
            .rig
            .property(SOCKET, "ActiveEnterTimestampMonotonic"),
        socket
    );
    assert_eq!(machine.state(UNIT), "active");
}
