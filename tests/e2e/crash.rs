//! The supervisor is killed: systemd starts it again, and what the dead one left is in nobody's way.

use crate::app::{App, SOON};
use crate::support::wait;

#[test]
fn a_killed_supervisor_comes_back_over_what_it_left_behind() {
    let Some(app) = App::new("--ready notify") else {
        return;
    };
    // With it a directory outlives the service, and every socket that was in there. systemd 247 needs
    // the umask for that, as the README says.
    app.rig.drop_in(
        "app.service",
        "[Service]\nRuntimeDirectoryPreserve=restart\nUMask=0066\nRestartSec=0.5\n",
    );
    app.rig
        .ok(&["systemctl", "start", "app.socket", "app.service"]);
    let left = || {
        let list = ["find", "-L", "/run/sd-starter/app", "-type", "s"];
        app.rig.run(&list).stdout.lines().count()
    };
    let before = left();
    assert!(before >= 2, "the control socket and one to notify");
    for restart in ["1", "2"] {
        let killed = app.property("MainPID");
        app.signal("KILL");
        // A worker outlives the supervisor by a moment, until systemd kills it too: what it takes in
        // then is cut, as the README says.
        wait::until("the end of the old worker", SOON, || {
            let main = app.property("MainPID");
            app.property("SubState") == "auto-restart" || (main != killed && main != "0")
        });
        // Asked while nobody is there, as a rule: systemd's socket keeps it.
        let answer = app
            .target()
            .get("/report")
            .expect("it waits for its answer");
        let report: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(report["generation"], "1", "a new life");
        let socket = report["environment"]["NOTIFY_SOCKET"].as_str();
        let socket = socket.expect("it can say that it is ready");
        app.rig.ok(&["test", "-S", socket]);
        wait::for_value("the service", SOON, "active", || {
            app.property("ActiveState")
        });
        assert_eq!(app.property("NRestarts"), restart);
        assert_eq!(left(), before, "the old ones are replaced");
        let journal = app.journal();
        assert!(!journal.contains("cannot "), "{journal}");
    }
    app.reload_well();
}
