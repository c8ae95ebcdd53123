//! systemd's own opinion of the shipped units.

use crate::support::requirement;
use crate::support::rig::Rig;

/// Without --recursive-errors systemd calls a key that it does not know a warning.
pub(crate) const NO_STRICT_VERIFY: &str =
    "before it, systemd-analyze takes no --recursive-errors and no --offline";

#[test]
fn the_shipped_units_are_right_and_tight() {
    let Some(rig) = Rig::boot() else { return };
    if !requirement::systemd(&rig, 250, NO_STRICT_VERIFY) {
        return;
    }
    let units = [
        "/etc/systemd/system/app.service",
        "/etc/systemd/system/app.socket",
    ];
    let verify = [
        "systemd-analyze",
        "--man=no",
        "--recursive-errors=no",
        "verify",
        units[0],
        units[1],
    ];
    let verified = rig.run(&verify);
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{verified}"
    );
    // Exposure 1.3 or better.
    rig.ok(&[
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=13",
        units[0],
    ]);
}
