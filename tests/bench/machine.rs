//! Where and when, and who else took part.

use std::fs;
use std::process::Command;

/// A sentence or two.
pub(crate) fn describe() -> String {
    let lines = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |path: &str, name: &str| {
        let text = lines(path);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or("?").trim_matches([' ', '\t', ':', '=', '"']);
        value.to_owned()
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let versions = [
        ("start_server", "libserver-starter-perl"),
        ("gunicorn", "gunicorn"),
        ("HAProxy", "haproxy"),
        ("systemd", "systemd"),
    ];
    let versions = versions.map(|(name, package)| {
        let format = "${Version}";
        let version = said(Command::new("dpkg-query").args(["-W", "-f", format, package]));
        format!("{name} {}", version.split('-').next().unwrap_or("?"))
    });
    let load = lines("/proc/loadavg");
    format!(
        "{}, commit {}: {processors} x {}, Linux {}, {}; {}, circus 0.19.0. Load average at the start: {}.",
        said(Command::new("date").args(["-u", "+%F"])),
        said(Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"])),
        field("/proc/cpuinfo", "model name"),
        said(Command::new("uname").arg("-r")),
        field("/etc/os-release", "PRETTY_NAME"),
        versions.join(", "),
        load.split(' ').next().unwrap_or("?"),
    )
}

fn said(command: &mut Command) -> String {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "?".to_owned())
}
