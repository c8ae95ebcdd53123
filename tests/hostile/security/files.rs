//! Files and sockets in directories that others use too.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{AS_STRANGER, STRANGER};
use crate::SOON;
use crate::siege::{Siege, tool};
use crate::support::builds;
use crate::support::process::{Supervisor, command};
use crate::support::programs;
use crate::support::scratch::Scratch;

fn open_to_all(path: &Path) {
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(path, all).expect("ours");
}

#[test]
fn s1_the_control_socket_is_for_us_and_root_alone() {
    let scratch = Scratch::new();
    open_to_all(&scratch.join(""));
    let starterctl = scratch.join("starterctl");
    builds::copy(Path::new(programs::STARTERCTL), &starterctl);
    let siege = Siege::start_in(
        scratch,
        &["sh", "-c", "umask 0; exec \"$@\"", "sh"],
        &[],
        &[],
    );
    let mode = std::fs::metadata(siege.control())
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = |wrapper: &[&str]| {
        let mut ask = Command::new(wrapper[0]);
        ask.args(&wrapper[1..])
            .arg(&starterctl)
            .args(["status", "--control-socket"]);
        ask.arg(siege.control())
            .output()
            .expect("it can be started")
    };
    let stranger = status(&AS_STRANGER);
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert!(!stranger.status.success(), "{stranger:?}");
    assert!(said.contains("permission denied"), "{said}");
    assert!(
        status(&["env"]).status.success(),
        "and it is their fault, not the socket's"
    );
    siege.ends_well();
}

/// A directory that others write to, and in it a stranger's link to a file of ours.
fn planted(scratch: &Scratch, sticky: bool) -> (PathBuf, PathBuf) {
    let shared = scratch.join(if sticky { "sticky" } else { "shared" });
    std::fs::create_dir(&shared).expect("ours");
    let mode = if sticky { 0o1777 } else { 0o777 };
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&shared, mode).expect("ours");
    let victim = scratch.join(format!("victim{sticky}"));
    std::fs::write(&victim, "precious").expect("ours");
    let link = shared.join("link");
    symlink(&victim, &link).expect("ours");
    let owner = format!("{STRANGER}:{STRANGER}");
    tool(&["chown", "-h", &owner, link.to_str().expect("UTF-8")]);
    (link, victim)
}

#[test]
fn s2_no_link_that_others_made_is_followed() {
    for sticky in [false, true] {
        let scratch = Scratch::new();
        let (link, victim) = planted(&scratch, sticky);
        for option in ["--pid-file", "--log-file", "--control-socket"] {
            let mut start = command(programs::SD_STARTER);
            start.arg(option).arg(&link).args(["--", "sleep", "1000"]);
            let mut supervisor = Supervisor::start(&mut start);
            let code = supervisor.wait_for_code(SOON);
            assert_ne!(code, 0, "{option}");
            let said = supervisor.stderr();
            assert!(said.contains("link"), "{option}: {said}");
            assert_eq!(
                std::fs::read_to_string(&victim).expect("ours"),
                "precious",
                "{option}"
            );
        }
        let status = link.to_str().expect("UTF-8");
        let siege = Siege::start(&["--status-file", status]);
        siege.settle();
        assert_eq!(std::fs::read_to_string(&victim).expect("ours"), "precious");
        assert!(
            std::fs::symlink_metadata(&link).expect("there").is_file(),
            "replaced"
        );
        siege.ends_well();
        assert!(victim.exists());
    }
}

#[test]
fn s2_a_link_of_the_administrators_own_is_followed_for_the_log() {
    let scratch = Scratch::new();
    let (log, link) = (scratch.join("log.today"), scratch.join("log"));
    symlink(&log, &link).expect("ours");
    let siege = Siege::start(&["--log-file", link.to_str().expect("UTF-8")]);
    siege.settle();
    let text = std::fs::read_to_string(&log).expect("it was written through the link");
    assert!(text.contains("is ready"), "{text}");
    siege.ends_well();
}

#[test]
fn s3_what_took_the_place_of_our_files_is_neither_followed_nor_removed() {
    let scratch = Scratch::new();
    let [status, pid, victim] = ["status", "pid", "victim"].map(|name| scratch.join(name));
    let options = [
        "--status-file",
        status.to_str().expect("UTF-8"),
        "--pid-file",
        pid.to_str().expect("UTF-8"),
    ];
    let siege = Siege::start(&options);
    siege.settle();
    std::fs::write(&victim, "precious").expect("ours");
    std::fs::remove_file(&status).expect("ours");
    symlink(&victim, &status).expect("ours");
    std::fs::rename(&pid, pid.with_extension("old")).expect("ours");
    std::fs::write(&pid, "theirs").expect("ours");
    siege.reload().expect("a good build");
    siege.settle();
    let there = std::fs::symlink_metadata(&status).expect("there");
    assert!(there.is_file(), "the link was replaced as a whole");
    siege.ends_well();
    let read = |path| std::fs::read_to_string(path).expect("it stays");
    assert_eq!(read(&victim), "precious");
    assert_eq!(read(&pid), "theirs");
}
