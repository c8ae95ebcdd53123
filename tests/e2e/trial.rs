//! Bad builds that look good at first: ready, and dead a moment later.

use crate::app::{App, SOON};
use crate::support::load::{Load, Plan};

/// How many bad deploys there are.
const DEPLOYS: u64 = 50;

/// The moment at which a bad deploy dies: anywhere in the first second of its trial, never the same
/// twice. The trial is much longer, for it first answers what it has begun.
const fn moment(deploy: u64) -> u64 {
    50 + deploy * 379 % 900
}

#[test]
fn fifty_builds_that_die_on_trial_cost_no_request() {
    let Some(app) = App::started("--kill-old-delay 6") else {
        return;
    };
    let load = Load::start(&app.target(), Plan::default());
    for deploy in 1..=DEPLOYS {
        // It finishes what it has begun: what a crash cuts, nobody can give back.
        let after = moment(deploy);
        app.deploy(&format!("--ready --text bad --give-up-after-ms {after}:3"));
        let reload = app.reload();
        assert!(
            !reload.status.success(),
            "deploy {deploy} died after {after} ms"
        );
        assert_eq!(app.property("ActiveState"), "active");
        assert_eq!(app.property("ReloadResult"), "exit-code");
        let status = app.property("StatusText");
        assert!(status.contains("exited with status 3"), "{status}");
        assert!(status.contains("while on trial"), "{status}");
        assert!(status.contains("generation 1 keeps serving"), "{status}");
    }
    app.deploy("--ready --text good");
    app.reload_well();
    app.wait_for_version("good");
    load.wait_for_generation(DEPLOYS + 2, SOON);
    let report = load.stop();
    println!("{DEPLOYS} builds that die on trial\n{report}");
    report.assert_no_failures();
}
