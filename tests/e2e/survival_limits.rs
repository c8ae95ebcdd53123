//! systemd's fd store where something is short: numbers for descriptors, names, room, or the address.

use crate::app::{App, SOON};
use crate::support::held::Held;
use crate::support::wait;
use crate::survival_crash::{self, main_pid, wait_for_restart, workers};
use crate::survival_store::{origins, set_listeners, start};

fn stored(app: &App) -> usize {
    let count = app.property("NFileDescriptorStore");
    count.parse().expect("a number")
}

fn ports(count: u16) -> String {
    let port = |port: u16| format!("--port 127.0.0.1:{port}");
    let all: Vec<_> = (20_000..20_000 + count).map(port).collect();
    all.join(" ")
}

/// Copies for systemd have numbers, too: 600 sockets did not start where a process may have 1024, and an
/// upgrade copied all of them once more and ended the service.
#[test]
fn more_sockets_than_there_are_numbers_for_copies() {
    let Some(app) = start("--port 127.0.0.1:8081") else {
        return;
    };
    let limits =
        "[Service]\nLimitNOFILE=1024\nFileDescriptorStoreMax=700\nEnvironment=FDSTORE=700\n";
    app.rig.drop_in("app.service", limits);
    set_listeners(&app, &ports(600));
    app.rig.ok(&["systemctl", "restart", "app.service"]);
    wait::for_value("what systemd has", SOON, 600, || stored(&app));
    let pid = app.property("MainPID");
    app.rig.ok(&["starterctl", "upgrade", "app"]);
    app.reload_well();
    assert_eq!(app.property("MainPID"), pid);
    assert_eq!(stored(&app), 600);
    app.signal("KILL");
    wait_for_restart(&app, 1);
    assert!(origins(&app).iter().all(|(_, origin)| origin == "stored"));
    assert_eq!(stored(&app), 600);
}

/// Two sockets of two lives had one name in the store, so the one that was given up took the other along.
#[test]
fn one_key_for_two_sockets_is_two_names() {
    let Some(app) = start("--port 8081") else {
        return;
    };
    for options in ["--port u8081 --port 8081", "--port 8081"] {
        set_listeners(&app, options);
        app.rig.ok(&["systemctl", "restart", "app.service"]);
    }
    wait::for_value("what systemd has", SOON, 1, || stored(&app));
    // The key of the other kind: "8081" is a name for both.
    for options in ["--port u8081 --port 8082", "--port 8081 --port 8082"] {
        set_listeners(&app, options);
        app.rig.ok(&["systemctl", "restart", "app.service"]);
        wait::for_value(options, SOON, 2, || stored(&app));
    }
    for kills in 1..=2 {
        app.signal("KILL");
        wait_for_restart(&app, kills);
        let stored_at = |port: u16| (format!("0.0.0.0:{port}"), "stored".to_owned());
        assert_eq!(origins(&app), [8081, 8082].map(stored_at));
        assert_eq!(stored(&app), 2);
    }
}

/// At the limit of its own descriptors a reload failed, and everybody with it.
#[test]
fn without_a_number_for_a_copy_a_reload_fails_and_nobody_is_ended() {
    let Some(app) = survival_crash::start("--ready notify", "LimitNOFILE=64\n") else {
        return;
    };
    let pid = app.property("MainPID");
    // Generations that stay for as long as a client does.
    let mut held = Vec::new();
    let mut refused = 0;
    for number in 1..=60 {
        let gate = app.rig.gate(&format!("gate.{number}"));
        let request = Held::take(&app.target(), &gate).expect("somebody serves");
        held.push((request, gate));
        if !app.reload().status.success() {
            refused += 1;
            if refused == 2 {
                break;
            }
        }
    }
    assert_eq!(refused, 2, "{} generations fit", held.len());
    assert_eq!(app.property("MainPID"), pid);
    assert_eq!(app.property("ActiveState"), "active");
    for (request, mut gate) in held {
        gate.open();
        request.finish().expect("it is answered to the end");
    }
    app.wait_until_drained();
    app.reload_well();
    // What could not be stored then is stored by now.
    survival_crash::kill(main_pid(&app));
    wait_for_restart(&app, 1);
    let journal = app.journal();
    assert!(!journal.contains("is missing"), "{journal}");
    // The old one may be on its way out still: it was told to leave, and is taken back like any other.
    wait::until(
        "the one that serves",
        SOON,
        || matches!(workers(&app).as_slice(), [(_, state)] if state == "serving"),
    );
}

/// Whoever was left of a former life held the address, and was ended only after it had been bound.
fn leftovers_give_up(address: &str) {
    let options = format!("--ready notify {address}");
    let Some(app) = survival_crash::start(&options, "StateDirectory=app\n") else {
        return;
    };
    // With this systemd forgets the store and leaves the processes.
    app.rig.ok(&[
        "systemctl",
        "mask",
        "--runtime",
        "sd-starter-cleanup@app.service",
    ]);
    app.rig.ok(&["systemctl", "restart", "app.service"]);
    app.rig.drop_in("app.service", "[Service]\nRestart=no\n");
    let before = workers(&app);
    app.signal("KILL");
    wait::for_value("the service", SOON, "failed", || {
        app.property("ActiveState")
    });
    assert_eq!((before.len(), app.processes(), stored(&app)), (1, 1, 0));
    app.rig.ok(&["systemctl", "start", "app.service"]);
    app.wait_until_drained();
}

#[test]
fn leftovers_that_nobody_leads_give_a_port_up() {
    leftovers_give_up("--port 127.0.0.1:8081");
}

#[test]
fn leftovers_that_nobody_leads_give_a_path_up() {
    leftovers_give_up("--path /var/lib/app/s");
}

/// What found no room beside a draining generation is kept as soon as that one has left, and not only
/// when something else changes; also where there was room for a part of it.
#[test]
fn room_that_comes_free_is_used_at_once() {
    let Some(app) = survival_crash::start("--ready notify", "") else {
        return;
    };
    let enough = wait::for_some("what one generation needs", SOON, || {
        let stored = stored(&app);
        (workers(&app).len() == 1 && stored > 1).then_some(stored)
    });
    for (room, kills) in [(enough, 1), (enough + 1, 1)] {
        let store = format!("FileDescriptorStoreMax={room}\nEnvironment=FDSTORE={room}\n");
        app.rig
            .drop_in("app.service", &format!("[Service]\n{store}"));
        app.rig.ok(&["systemctl", "restart", "app.service"]);
        wait::for_value("what systemd has", SOON, enough, || stored(&app));
        let gate = app.rig.gate(&format!("gate.{room}"));
        let request = Held::take(&app.target(), &gate).expect("somebody serves");
        app.reload_well();
        assert_eq!(workers(&app).len(), 2);
        drop(gate);
        request.finish().expect("it is answered to the end");
        app.wait_until_drained();
        wait::for_value("what systemd has", SOON, enough, || stored(&app));
        survival_crash::kill(main_pid(&app));
        wait_for_restart(&app, kills);
        assert_eq!(workers(&app), [(2, "serving".to_owned())]);
        let journal = app.journal();
        assert!(!journal.contains("is missing"), "{journal}");
        assert!(journal.contains("systemd keeps only"), "{journal}");
    }
}
