//! Services of a user who is not root, under his own manager, with lingering.

use crate::machine::{Machine, SOON, well};
use crate::made::{Kind, NEWER, VERSION, packages};
use crate::support::wait;

const UID: u32 = 1000;
const GREET: &str = include_str!("../packaging/greeter/greet");

/// Runs a command as the user, as after a login.
fn command(words: &str) -> Vec<String> {
    let as_user = format!(
        "setpriv --reuid {UID} --regid {UID} --init-groups env HOME=/home/anna USER=anna \
         XDG_RUNTIME_DIR=/run/user/{UID} DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{UID}/bus {words}"
    );
    as_user.split_whitespace().map(str::to_owned).collect()
}

#[track_caller]
fn ok(machine: &Machine, words: &str) -> String {
    let words = command(words);
    machine
        .rig
        .ok(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn write(machine: &Machine, path: &str, text: &str, mode: u32) {
    machine.rig.write(path, text, mode);
    machine.rig.ok(&["chown", "-R", "anna:anna", "/home/anna"]);
}

#[test]
fn the_pair_and_the_templates_serve_a_user_who_lingers() {
    let Some(machine) = Machine::with_users() else {
        return;
    };
    well(machine.dpkg("--install", packages().ours(Kind::Deb, VERSION)));
    let entries = "echo anna:x:1000:1000::/home/anna:/bin/sh >>/etc/passwd; \
                   echo anna:x:1000: >>/etc/group; \
                   echo 'anna:*:20000:0:99999:7:::' >>/etc/shadow; install -d -o 1000 -g 1000 /home/anna";
    machine.rig.ok(&["sh", "-c", entries]);
    machine.rig.ok(&["loginctl", "enable-linger", "anna"]);
    wait::until("the user's manager", SOON, || {
        let words = command("systemctl --user is-system-running");
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        machine.rig.run(&words).stdout.trim() != "offline"
            && machine.rig.path(format!("/run/user/{UID}/bus")).exists()
    });

    // One file, one command.
    write(
        &machine,
        "/home/anna/greet",
        &GREET.replace("@VERSION@", "1.0"),
        0o755,
    );
    let conf = "LISTEN=127.0.0.1:8061\nPROGRAM=/home/anna/greet\nOPTIONS=--ready=notify\n";
    write(
        &machine,
        "/home/anna/.config/sd-starter/mine.conf",
        conf,
        0o644,
    );
    ok(&machine, "systemctl --user enable --now sd-starter@mine");

    // And a pair, as `starterctl units` writes it.
    ok(
        &machine,
        "starterctl units pair --user --install --listen 127.0.0.1:8062 -- /home/anna/greet",
    );
    ok(&machine, "systemctl --user daemon-reload");
    ok(
        &machine,
        "systemctl --user enable --now pair.socket pair.service",
    );

    for (unit, port) in [("sd-starter@mine", 8061), ("pair", 8062)] {
        serves(&machine, unit, port);
    }
    let list = ok(&machine, "starterctl list");
    assert!(
        list.contains("sd-starter@mine") && list.contains("pair"),
        "{list}"
    );
    // Our package's upgrade reaches them, too. The service of the system beside them is not theirs,
    // and nobody says of it that it was not upgraded.
    let greet = GREET.replace("@VERSION@", "1.0");
    machine.rig.write("/srv/greet", &greet, 0o755);
    let conf = conf.replace("8061", "8063").replace("/home/anna", "/srv");
    machine.rig.write("/etc/sd-starter/ours.conf", &conf, 0o644);
    let enable = ["systemctl", "enable", "--now", "sd-starter@ours"];
    machine.rig.ok(&enable);
    machine.wait_for_answer(8063, 1);
    let said = well(machine.dpkg("--install", packages().ours(Kind::Deb, NEWER)));
    for unit in ["sd-starter@mine", "pair"] {
        let status = ok(&machine, &format!("starterctl status {unit}"));
        assert!(status.contains(NEWER), "{said}\n{status}");
    }
    let status = machine.rig.ok(&["starterctl", "status", "sd-starter@ours"]);
    assert!(status.contains(NEWER), "{said}\n{status}");
    assert_eq!(said.matches(" has taken over from ").count(), 3, "{said}");
    assert!(
        !said.contains("denied") && !said.contains("not every"),
        "{said}"
    );
}

fn serves(machine: &Machine, unit: &str, port: u16) {
    machine.wait_for_answer(port, 1);
    ok(machine, &format!("systemctl --user reload {unit}"));
    machine.wait_for_answer(port, 2);
    write(
        machine,
        "/home/anna/greet",
        &GREET.replace("@VERSION@", "2.0-broken"),
        0o755,
    );
    let reload = command(&format!("systemctl --user reload {unit}"));
    let reload = machine
        .rig
        .run(&reload.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!reload.status.success(), "{reload}");
    machine.wait_for_answer(port, 2);
    write(
        machine,
        "/home/anna/greet",
        &GREET.replace("@VERSION@", "1.0"),
        0o755,
    );
}
