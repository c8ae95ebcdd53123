//! The README's first page, word for word: what it says in "Ten minutes" is what a person gets.
//!
//! The commands are taken from the page and run on a booted systemd. Two lines of it are not, because
//! a rig has no network: `apt-get install` (its packages are there) and `cargo build` (what it builds
//! is there). In CI the system is this machine's; with `SD_STARTER_FRONT_DOOR=full` it is a fresh Debian
//! 12, and then a fresh Debian 13 (see `support/root.sh`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::programs::{SD_STARTER, STARTERCTL};
use crate::support::requirement;
use crate::support::rig::Rig;

const README: &str = include_str!("../../README.md");

/// The `sh` blocks of the chapter, in order, up to the sentence about this test.
fn commands() -> Vec<String> {
    let (_, chapter) = README
        .split_once("\n## Ten minutes\n")
        .expect("the chapter");
    let (chapter, _) = chapter
        .split_once("(`tests/e2e/front_door.rs`")
        .expect("its end");
    let blocks = chapter.split("```sh\n").skip(1);
    let block = |text: &str| {
        text.split_once("```")
            .expect("the block's end")
            .0
            .to_owned()
    };
    blocks.map(block).collect()
}

/// Runs the chapter, and compares what comes out with what the page says does.
fn walk_in(rig: &Rig) {
    let there = "/root/sd-starter/target/release";
    fs::create_dir_all(rig.path(there)).expect("the rig's /root is writable");
    for program in [SD_STARTER, STARTERCTL] {
        let name = Path::new(program).file_name().expect("a program");
        let inside = rig.path(there).join(name);
        fs::copy(program, &inside).expect("the rig's /root is writable");
        fs::set_permissions(inside, fs::Permissions::from_mode(0o755)).expect("our own file");
    }
    let said: Vec<String> = commands()
        .iter()
        .map(|block| {
            let there = |line: &&str| !line.starts_with("apt-get ") && !line.starts_with("cargo ");
            let lines: Vec<_> = block.lines().filter(there).collect();
            let script = format!("cd /root/sd-starter\n{}\n", lines.join("\n"));
            // -e: whatever fails, fails the test.
            let output = rig.run(&["sh", "-e", "-c", &script]);
            assert!(output.status.success(), "{script}{output}");
            output.stdout
        })
        .collect();
    let [install, first, good, bad, away] = said.as_slice() else {
        panic!("the chapter has {} blocks", said.len());
    };
    assert_eq!(install, "");
    assert!(first.ends_with("v1, generation 1\n"), "{first}");
    assert_eq!(good, "v2, generation 2\n");
    assert!(
        bad.starts_with("the deploy failed\nv2, generation 2\n"),
        "{bad}"
    );
    assert!(
        bad.contains("generation 3 failed: exited with status "),
        "{bad}"
    );
    assert!(bad.contains("generation 2 keeps serving"), "{bad}");
    assert_eq!(away, "");
    for sentence in [
        "`v1, generation 1`",
        "`v2, generation 2`",
        "`the deploy failed`",
    ] {
        assert!(README.contains(sentence), "the page says {sentence}");
    }
}

#[test]
fn ten_minutes_word_for_word() {
    if !requirement::file("/usr/bin/gunicorn", "gunicorn") {
        return;
    }
    let full = std::env::var_os("SD_STARTER_FRONT_DOOR").is_some_and(|mode| mode == "full");
    if !full {
        if let Some(rig) = Rig::boot() {
            walk_in(&rig);
        }
        return;
    }
    for suite in ["bookworm", "trixie"] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/root.sh");
        let root = Command::new("sh")
            .args([script, suite, "gunicorn", "curl", "libgcc-s1"])
            .output()
            .expect("sh can be started");
        let text = String::from_utf8_lossy(&root.stdout);
        assert!(
            root.status.success(),
            "{}",
            String::from_utf8_lossy(&root.stderr)
        );
        if let Some(rig) = Rig::boot_from(Path::new(text.trim())) {
            walk_in(&rig);
            println!(
                "{suite}: {}",
                rig.ok(&["systemctl", "--version"])
                    .lines()
                    .next()
                    .unwrap_or_default()
            );
        }
    }
}
