//! The life of the Debian package.

use crate::machine::{Machine, SOON, well};
use crate::made::{Kind, NEWER, VERSION, packages};
use crate::support::http::Target;
use crate::support::wait;
use crate::template::{PORT, SOCKET, UNIT, deploy, enable};

#[test]
fn the_package_lives_on_debian_11() {
    lives("bullseye");
}

#[test]
fn the_package_lives_on_debian_12() {
    lives("bookworm");
}

#[test]
fn the_package_lives_on_debian_13() {
    lives("trixie");
}

/// Install, enable, start, reload, upgrade, downgrade, remove, purge, reinstall.
fn lives(suite: &str) {
    let Some(machine) = Machine::debian(suite) else {
        return;
    };
    let before = machine.files();
    install(&machine);
    enable_and_start(&machine);
    reload(&machine);
    for version in [NEWER, VERSION] {
        change_version(&machine, version);
    }
    remove(&machine);
    purge(&machine, &before);
    well(machine.dpkg("--install", packages().ours(Kind::Deb, VERSION)));
    machine
        .rig
        .ok(&["systemctl", "enable", "--now", "sd-starter@web"]);
    machine.wait_for_answer(PORT, 1);
}

fn install(machine: &Machine) {
    well(machine.dpkg("--install", packages().ours(Kind::Deb, VERSION)));
    let audit = machine.rig.ok(&["dpkg", "--audit"]);
    assert_eq!(audit, "", "nothing is half installed");
    assert_eq!(
        machine.rig.ok(&["dpkg", "--verify", "sd-starter"]),
        "",
        "every file is as packed"
    );
    // Nobody's service runs, for nobody has asked for one.
    let units = machine.rig.ok(&[
        "systemctl",
        "list-units",
        "--all",
        "--no-legend",
        "sd-starter*",
    ]);
    assert_eq!(units, "");
    for program in ["sd-starter", "starterctl"] {
        let said = machine.rig.ok(&[program, "--version"]);
        assert!(said.contains(VERSION), "{program}: {said}");
    }
    let said = machine.rig.ok(&["start_server", "--version"]);
    assert!(said.contains(VERSION), "{said}");
    let page = machine
        .rig
        .ok(&["readlink", "-f", "/usr/share/man/man1/start_server.1.gz"]);
    assert_eq!(
        page.trim_end(),
        "/usr/share/man/man1/sd-starter-start_server.1.gz"
    );
    let catalog = machine.rig.ok(&[
        "journalctl",
        "--list-catalog",
        "7b95952022304b8c84b8e14942c8969d",
    ]);
    assert!(catalog.contains("could not be started"), "{catalog}");
}

fn enable_and_start(machine: &Machine) {
    enable(machine);
    for unit in [UNIT, SOCKET] {
        assert_eq!(machine.state(unit), "active", "{unit}");
        assert_eq!(
            machine.rig.ok(&["systemctl", "is-enabled", unit]),
            "enabled\n"
        );
    }
    machine.wait_for_answer(PORT, 1);
    let unix = Target::unix(machine.rig.path("/run/web.sock"));
    let answer = unix.get("/").expect("the second address answers as well");
    assert_eq!(answer.generation().expect("an answer"), 1);
}

fn reload(machine: &Machine) {
    deploy(machine, "1.1");
    machine.rig.ok(&["systemctl", "reload", "sd-starter@web"]);
    machine.wait_for_answer(PORT, 2);
    deploy(machine, "1.2-broken");
    let reload = machine.rig.run(&["systemctl", "reload", "sd-starter@web"]);
    assert!(!reload.status.success(), "{reload}");
    machine.wait_for_answer(PORT, 2);
    deploy(machine, "1.1");
}

/// An upgrade, or a downgrade: the supervisor becomes the installed program in place.
fn change_version(machine: &Machine, version: &str) {
    let pid = machine.main_pid(UNIT);
    let since = machine
        .rig
        .property(SOCKET, "ActiveEnterTimestampMonotonic");
    let said = well(machine.dpkg("--install", packages().ours(Kind::Deb, version)));
    assert_eq!(machine.running_version(UNIT), version, "{said}");
    assert_eq!(machine.main_pid(UNIT), pid, "{said}");
    assert_eq!(machine.rig.property(UNIT, "NRestarts"), "0");
    assert_eq!(
        machine
            .rig
            .property(SOCKET, "ActiveEnterTimestampMonotonic"),
        since
    );
    machine.wait_for_answer(PORT, 2);
}

fn remove(machine: &Machine) {
    well(machine.dpkg("--remove", "sd-starter"));
    for unit in [UNIT, SOCKET] {
        wait::for_value(unit, SOON, "inactive", || machine.state(unit));
    }
    assert!(machine.target(PORT).get("/").is_err(), "nobody listens");
    for gone in [
        "/usr/bin/sd-starter",
        "/usr/bin/start_server",
        "/etc/alternatives/start_server",
    ] {
        assert!(machine.rig.path(gone).symlink_metadata().is_err(), "{gone}");
    }
    assert!(machine.rig.path("/etc/sd-starter/web.conf").exists());
}

fn purge(machine: &Machine, before: &[String]) {
    well(machine.dpkg("--purge", "sd-starter"));
    let mut left = machine.files();
    left.retain(|path| before.binary_search(path).is_err());
    // What the administrator has written.
    assert_eq!(
        left,
        [
            "/etc/sd-starter",
            "/etc/sd-starter/web.conf",
            "/srv/web",
            "/srv/web/greet"
        ]
    );
}

/// Perl's own start_server is another package's file: it comes and goes as it likes.
#[test]
fn perls_start_server_keeps_its_place_and_ours_comes_back() {
    let Some(machine) = Machine::debian("bookworm") else {
        return;
    };
    let start_server = || machine.rig.ok(&["start_server", "--version"]);
    well(machine.dpkg("--install", packages().ours(Kind::Deb, VERSION)));
    assert!(start_server().contains(VERSION));
    well(machine.dpkg("--install", packages().perls(Kind::Deb)));
    assert_eq!(start_server(), "0.35\n");
    well(machine.dpkg("--install", packages().ours(Kind::Deb, NEWER)));
    assert_eq!(start_server(), "0.35\n");
    well(machine.dpkg("--remove", "perls"));
    assert!(start_server().contains(NEWER));
    well(machine.dpkg("--install", packages().perls(Kind::Deb)));
    well(machine.dpkg("--purge", "sd-starter"));
    assert_eq!(start_server(), "0.35\n");
}
