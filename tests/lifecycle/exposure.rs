//! systemd's own opinion of every unit that we ship: how much a service in it is exposed.

use std::path::Path;
use std::process::Command;

use crate::made::{output, repository};
use crate::support::scratch::Scratch;

/// `systemd-analyze security` counts in tenths.
fn is_at_most(directory: &Path, unit: &str, tenths: u32) {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]);
    output(
        analyze
            .arg(format!("--threshold={tenths}"))
            .arg(directory.join(unit)),
    );
}

/// Copies a unit, with a drop-in or without.
fn copy(unit: &str, drop_in: Option<&str>) -> Scratch {
    let (scratch, units) = (Scratch::new(), repository().join("systemd"));
    std::fs::copy(units.join(unit), scratch.join(unit)).expect("a unit that we ship");
    if let Some(drop_in) = drop_in {
        let directory = scratch.join(format!("{unit}.d"));
        std::fs::create_dir(&directory).expect("a new directory");
        std::fs::copy(units.join(drop_in), directory.join(drop_in)).expect("a drop-in");
    }
    scratch
}

#[test]
fn every_service_that_we_ship_is_exposed_by_1_3_at_most() {
    for unit in [
        "app.service",
        "sd-starter-cleanup@.service",
        "sd-starter@.service",
    ] {
        is_at_most(&copy(unit, None).join(""), unit, 13);
    }
    let greeter = repository().join("tests/packaging/greeter");
    is_at_most(&greeter, "greeter.service", 13);
}

#[test]
fn the_strict_drop_in_leaves_0_5_at_most() {
    for unit in ["app.service", "sd-starter@.service"] {
        is_at_most(&copy(unit, Some("strict.conf")).join(""), unit, 5);
    }
}

#[test]
fn every_service_that_we_ship_is_in_this_list() {
    let mut services = Vec::new();
    for directory in ["systemd", "systemd/user"] {
        for entry in std::fs::read_dir(repository().join(directory))
            .expect("ours")
            .flatten()
        {
            let name = entry.file_name().into_string().expect("ASCII");
            if name.ends_with(".service") {
                services.push(format!("{directory}/{name}"));
            }
        }
    }
    services.sort();
    // A user manager has no sandbox to offer.
    let known = [
        "systemd/app.service",
        "systemd/sd-starter-cleanup@.service",
        "systemd/sd-starter@.service",
        "systemd/user/sd-starter@.service",
    ];
    assert_eq!(services, known);
}

/// The lines of a unit's section that say something.
fn directives(unit: &str, leave_out: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("systemd").join(unit)).expect("ours");
    let section = text.split("[Service]\n").nth(1).expect("a service");
    let section = section.split("\n[").next().unwrap_or_default();
    let lines = section
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let kept = lines.filter(|line| !leave_out.iter().any(|name| line.starts_with(name)));
    kept.map(str::to_owned).collect()
}

#[test]
fn the_templates_do_as_the_example_does() {
    let own = ["ExecStart=", "Environment=", "EnvironmentFile="];
    let app = directives("app.service", &own);
    assert!(app.len() > 30, "{app:?}");
    assert_eq!(directives("sd-starter@.service", &own), app);
    let end = app
        .iter()
        .position(|line| line == "DynamicUser=yes")
        .expect("it is there");
    assert_eq!(directives("user/sd-starter@.service", &own), app[..end]);
}
