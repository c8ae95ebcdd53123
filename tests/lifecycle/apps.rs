//! The example of a server's package, tests/packaging/greeter: its upgrade is one swap of generations, with
//! dpkg and with rpm, and a broken version leaves the one before serving.

use crate::machine::{Machine, SOON, well};
use crate::made::{Kind, VERSION, packages};
use crate::support::load::{Load, Plan};
use crate::support::running::Output;
use crate::support::wait;

const UNIT: &str = "greeter.service";
const SOCKET: &str = "greeter.socket";
const PORT: u16 = 8090;

/// A small server in Perl gets what it can take.
pub(crate) const PLAN: Plan = Plan {
    new_per_second: 60,
    keep_alive: 2,
    keep_alive_pause: std::time::Duration::from_millis(20),
};

/// A machine with its package manager.
struct Site {
    machine: Machine,
    kind: Kind,
}

impl Site {
    fn install(&self, version: &str) -> Output {
        let package = packages().greeter(self.kind, version);
        match self.kind {
            Kind::Deb => self.machine.dpkg("--install", package),
            Kind::Rpm => self.machine.rpm("--upgrade", package),
        }
    }

    fn remove(&self) -> Output {
        match self.kind {
            Kind::Deb => self.machine.dpkg("--purge", "greeter"),
            Kind::Rpm => self.machine.rpm("--erase", "greeter"),
        }
    }
}

#[test]
fn an_upgrade_by_dpkg_is_a_swap_on_debian_11() {
    deb("bullseye");
}

#[test]
fn an_upgrade_by_dpkg_is_a_swap_on_debian_13() {
    deb("trixie");
}

fn deb(suite: &str) {
    let Some(machine) = Machine::debian(suite) else {
        return;
    };
    well(machine.dpkg("--install", packages().ours(Kind::Deb, VERSION)));
    let site = Site {
        machine,
        kind: Kind::Deb,
    };
    well(site.install("1.0"));
    let said = is_a_swap(&site);
    assert!(
        said.contains("greeter: the new version does not serve: "),
        "{said}"
    );
    assert!(said.contains("generation 3 failed"), "the reason: {said}");
}

#[test]
fn an_upgrade_by_rpm_is_a_swap() {
    let Some(machine) = Machine::with_rpm() else {
        return;
    };
    well(machine.rpm("--install", packages().systemd_rpm()));
    well(machine.rpm("--install", packages().ours(Kind::Rpm, VERSION)));
    let site = Site {
        machine,
        kind: Kind::Rpm,
    };
    well(site.install("1.0"));
    // A package of an RPM distribution enables what the presets say and starts nothing.
    assert_eq!(site.machine.state(UNIT), "inactive");
    site.machine
        .rig
        .ok(&["systemctl", "enable", "--now", SOCKET, UNIT]);
    let said = is_a_swap(&site);
    assert!(said.contains("Job for greeter.service failed"), "{said}");
}

/// Upgrades under load, to a version that works and to one that does not. Returns what the package
/// manager said of the latter.
fn is_a_swap(site: &Site) -> String {
    let machine = &site.machine;
    for unit in [UNIT, SOCKET] {
        wait::for_value(unit, SOON, "active", || machine.state(unit));
    }
    let pid = machine.main_pid(UNIT);
    let target = machine.target(PORT);
    let load = Load::start(&target, PLAN);
    load.wait_for_generation(1, SOON);

    let said = well(site.install("1.1"));
    load.wait_for_generation(2, SOON);
    let version = || {
        target
            .get("/")
            .and_then(|answer| answer.version())
            .map_err(|f| f.to_string())
    };
    wait::for_value("the version", SOON, Ok("1.1".to_owned()), version);
    assert_eq!(machine.main_pid(UNIT), pid, "{said}");

    let broken = site.install("1.2~broken");
    assert!(
        broken.status.success(),
        "the package is installed all the same: {broken}"
    );
    load.lap();
    load.wait_for_answers(50, SOON);
    load.lap().assert_only_generation(2);
    assert_eq!(version(), Ok("1.1".to_owned()));
    assert_eq!(machine.state(UNIT), "active");
    assert_eq!(machine.main_pid(UNIT), pid);

    let report = load.stop();
    println!("greeter, three versions\n{report}");
    report.assert_no_failures();
    let generations: Vec<_> = report.generations.keys().copied().collect();
    assert_eq!(generations, [1, 2], "one swap");

    well(site.remove());
    for unit in [UNIT, SOCKET] {
        wait::for_value(unit, SOON, "inactive", || machine.state(unit));
    }
    assert!(target.get("/").is_err(), "nobody listens");
    format!("{}{}", broken.stdout, broken.stderr)
}
