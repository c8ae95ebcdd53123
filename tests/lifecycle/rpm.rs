//! The life of the RPM package. Its requirements are met by a package that provides what Debian 11's C
//! library does, and checked by rpm.

use crate::machine::{Machine, SOON, well};
use crate::made::{Kind, NEWER, VERSION, packages};
use crate::support::wait;
use crate::template::{PORT, SOCKET, UNIT, enable};

#[test]
fn the_package_is_installed_upgraded_and_erased() {
    let Some(machine) = Machine::with_rpm() else {
        return;
    };
    well(machine.rpm("--install", packages().systemd_rpm()));
    let before = machine.files();
    well(machine.rpm("--install", packages().ours(Kind::Rpm, VERSION)));
    // Ghosts have whatever mode and target update-alternatives gives them.
    let verified = machine.rig.run(&["rpm", "--verify", "sd-starter"]);
    let changed: Vec<_> = verified
        .stdout
        .lines()
        .filter(|line| !line.contains(" g "))
        .collect();
    assert!(
        changed.is_empty() || changed.iter().all(|line| line.contains("start_server")),
        "{verified}"
    );
    let said = machine.rig.ok(&["start_server", "--version"]);
    assert!(said.contains(VERSION), "{said}");
    let catalog = machine.rig.ok(&[
        "journalctl",
        "--list-catalog",
        "7b95952022304b8c84b8e14942c8969d",
    ]);
    assert!(catalog.contains("could not be started"), "{catalog}");

    enable(&machine);
    machine.wait_for_answer(PORT, 1);
    machine.rig.ok(&["systemctl", "reload", UNIT]);
    machine.wait_for_answer(PORT, 2);
    let pid = machine.main_pid(UNIT);
    well(machine.rpm("--upgrade", packages().ours(Kind::Rpm, NEWER)));
    assert_eq!(machine.running_version(UNIT), NEWER);
    assert_eq!(machine.main_pid(UNIT), pid);
    machine.wait_for_answer(PORT, 2);

    well(machine.rpm("--erase", "sd-starter"));
    for unit in [UNIT, SOCKET] {
        wait::for_value(unit, SOON, "inactive", || machine.state(unit));
    }
    let mut left = machine.files();
    left.retain(|path| before.binary_search(path).is_err());
    // Directories of the system's, which Debian's rpm knows no owner of.
    left.retain(|path| path != "/usr/share/licenses" && !path.starts_with("/usr/share/man"));
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

/// Perl's own start_server is another package's file.
#[test]
fn perls_start_server_keeps_its_place() {
    let Some(machine) = Machine::with_rpm() else {
        return;
    };
    well(machine.rpm("--install", packages().systemd_rpm()));
    well(machine.rpm("--install", packages().perls(Kind::Rpm)));
    well(machine.rpm("--install", packages().ours(Kind::Rpm, VERSION)));
    assert_eq!(machine.rig.ok(&["start_server", "--version"]), "0.35\n");
    well(machine.rpm("--erase", "sd-starter"));
    assert_eq!(machine.rig.ok(&["start_server", "--version"]), "0.35\n");
}
