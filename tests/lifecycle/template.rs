//! A service of one file, by the template units: two commands, as the manual says.

use crate::machine::Machine;

/// The service.
pub(crate) const UNIT: &str = "sd-starter@web.service";
pub(crate) const SOCKET: &str = "sd-starter@web.socket";
pub(crate) const PORT: u16 = 8070;

/// Installs a version of a server, outside of any package, as `make install` would.
pub(crate) fn deploy(machine: &Machine, version: &str) {
    let greet = include_str!("../packaging/greeter/greet").replace("@VERSION@", version);
    machine.rig.write("/srv/web/greet", &greet, 0o755);
}

/// Makes a service of it.
#[track_caller]
pub(crate) fn enable(machine: &Machine) {
    deploy(machine, "1.0");
    let conf = format!(
        "# a service\nLISTEN={PORT} /run/web.sock\nPROGRAM=/srv/web/greet 'one argument'\nOPTIONS='\"--ready=notify\" --interval=1'\n"
    );
    machine.rig.write("/etc/sd-starter/web.conf", &conf, 0o644);
    machine
        .rig
        .ok(&["systemctl", "enable", "--now", "sd-starter@web"]);
}

#[test]
fn a_conf_without_an_address_is_refused_and_says_so() {
    let Some(machine) = Machine::debian("bookworm") else {
        return;
    };
    let package = crate::made::packages().ours(crate::made::Kind::Deb, crate::made::VERSION);
    crate::machine::well(machine.dpkg("--install", package));
    machine
        .rig
        .write("/etc/sd-starter/web.conf", "PROGRAM=/bin/true\n", 0o644);
    let started = machine
        .rig
        .run(&["systemctl", "enable", "--now", "sd-starter@web"]);
    assert!(!started.status.success(), "{started}");
    let unknown = machine
        .rig
        .run(&["systemctl", "start", "sd-starter@nobody"]);
    assert!(!unknown.status.success(), "{unknown}");
    let journal = machine.rig.journal(&[]);
    for said in ["has no Listen setting", "sd-starter@nobody.s"] {
        assert!(journal.contains(said), "{said:?} is not in\n{journal}");
    }
    machine.rig.write(
        "/etc/sd-starter/web.conf",
        "LISTEN=nowhere\nPROGRAM=/bin/true\n",
        0o644,
    );
    machine.rig.ok(&["systemctl", "daemon-reload"]);
    machine.rig.run(&["systemctl", "start", "sd-starter@web"]);
    let journal = machine.rig.journal(&[]);
    let said = journal.lines().find(|line| line.contains("nowhere"));
    assert!(
        said.is_some_and(|line| line.contains("sd-starter@web.socket.d")),
        "{journal}"
    );
}
