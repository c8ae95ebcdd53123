//! What a test needs of the machine. Where it is missing the test is skipped, and says so loudly; where
//! the tests must be whole (CI is set, or SD_STARTER_REQUIRE_RIG) it fails.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::rig::Rig;

/// What `rig.sh` needs, and the Debian packages that have it.
const TOOLS: [(&str, &str); 5] = [
    ("systemd-nspawn", "systemd-container"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("dbus-daemon", "dbus"),
];

/// Whether a rig can run here.
pub(crate) fn rig() -> bool {
    missing().is_none_or(|why| skip(&why))
}

/// Whether there is a file that comes with Debian `packages`.
pub(crate) fn file(path: &str, packages: &str) -> bool {
    let why = format!("{path} is missing (Debian: apt-get install {packages})");
    Path::new(path).exists() || skip(&why)
}

/// Whether a rig's systemd is of that version or newer. It is no fault of the machine if not, so the
/// story is not told there, and says so: `tests/matrix` shows where it was.
pub(crate) fn systemd(rig: &Rig, version: u32, why: &str) -> bool {
    let enough = rig.systemd_version() >= version;
    if !enough {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test");
        // Not eprintln: the test harness would hide it, as the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "\nneeds systemd {version}: {name}: {why}"
        );
    }
    enough
}

/// Says loudly that the test which calls this is skipped; false, or no return at all.
fn skip(why: &str) -> bool {
    let must = ["CI", "SD_STARTER_REQUIRE_RIG"]
        .iter()
        .find(|name| std::env::var_os(name).is_some());
    if let Some(name) = must {
        panic!("{name} is set, but this test cannot run here: {why}");
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // Not eprintln: the test harness would hide it, as the test passes.
    let _ = writeln!(std::io::stderr(), "\nskipped: {name}: {why}");
    false
}

/// Why a rig cannot run here.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("booting a container needs root".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).exists());
    if let Some((tool, package)) = TOOLS.iter().find(|(tool, _)| !found(tool)) {
        return Some(format!(
            "{tool} is missing (Debian: apt-get install {package})"
        ));
    }
    let unshare = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "true"])
        .output();
    match unshare {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}
