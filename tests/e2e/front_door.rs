//! The README's first page, word for word: what it says in "Ten minutes" is what a person gets, and
//! what `tests/demo` prints is what happens.
//!
//! The commands are taken from the page and run on a booted systemd. In CI that is this machine's, and
//! three lines are left out, because a rig has no network: `apt-get` (its packages are there) and
//! `cargo build` (what it builds is there). With `SD_STARTER_FRONT_DOOR=full` nothing is left out: a
//! fresh Debian 12, and then a fresh Debian 13 (see `support/root.sh`), with what the page takes for
//! given, Rust and a C linker, get packages from their mirror and build this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::app::SOON;
use crate::support::builds;
use crate::support::programs::{SD_STARTER, STARTERCTL};
use crate::support::requirement;
use crate::support::rig::Rig;
use crate::support::wait;

const README: &str = include_str!("../../README.md");
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
/// A clone, in a fresh system.
const CLONE: &str = "/root/sd-starter";
/// What the page takes for given, and what a mirror and a registry are reached with.
const GIVEN: &[&str] = &["apt", "ca-certificates", "gcc", "libc6-dev"];

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

/// Runs the chapter's blocks from this one on, and compares what comes out with what the page says does.
fn walk_in(rig: &Rig, from: usize) {
    let said: Vec<String> = commands()
        .iter()
        .skip(from)
        .map(|block| {
            let there = |line: &&str| !line.starts_with("apt-get ") && !line.starts_with("cargo ");
            let lines: Vec<_> = block.lines().filter(there).collect();
            // A person types the request a moment after the reload; until SIGTERM has reached it, the
            // old generation may take one more.
            let asks =
                |line: &&str| line.starts_with("curl ") && block.contains("systemctl reload");
            let at = lines.iter().position(asks).unwrap_or(0);
            if at > 0 {
                // And the reload a moment after the first answer: one that comes before systemd has read
                // READY=1 is merged into the start.
                wait::until("the start to be over", SOON, || {
                    rig.property("hello.service", "ActiveState") != "activating"
                });
            }
            let (before, after) = lines.split_at(at);
            let mut said = String::new();
            for (number, part) in [before, after].into_iter().enumerate() {
                if at > 0 && number == 1 {
                    rig.ok(&[
                        "starterctl",
                        "wait",
                        "--drained",
                        "--timeout",
                        "20",
                        "hello",
                    ]);
                }
                let script = format!("cd {CLONE}\n{}\n", part.join("\n"));
                // -e: whatever fails, fails the test.
                let output = rig.run(&["sh", "-e", "-c", &script]);
                assert!(output.status.success(), "{script}{output}");
                said += &output.stdout;
            }
            said
        })
        .collect();
    let [.., first, good, bad, away] = said.as_slice() else {
        panic!("the chapter has {} blocks", said.len());
    };
    assert_eq!(said.len(), 5 - from, "the chapter's blocks");
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

fn full() -> bool {
    std::env::var_os("SD_STARTER_FRONT_DOOR").is_some_and(|mode| mode == "full")
}

#[test]
fn ten_minutes_word_for_word() {
    if !full() && requirement::file("/usr/bin/gunicorn", "gunicorn") {
        if let Some(rig) = Rig::boot() {
            let there = rig.path(Path::new(CLONE).join("target/release"));
            fs::create_dir_all(&there).expect("the rig's /root is writable");
            for program in [SD_STARTER, STARTERCTL] {
                let inside = there.join(Path::new(program).file_name().expect("a program"));
                builds::copy(Path::new(program), &inside);
            }
            walk_in(&rig, 0);
        }
    }
}

/// The whole of it, where `SD_STARTER_FRONT_DOOR=full` asks for it.
#[test]
fn ten_minutes_and_the_demo_on_fresh_debians() {
    if !full() {
        return;
    }
    for suite in ["bookworm", "trixie"] {
        let system = Fresh::new(suite);
        let first = &commands()[0];
        system.ok(&format!("cd {CLONE}\n{first}"));
        crate::demo::as_it_says(|script| system.command(&format!("cd {CLONE}\n{script}")));
        if let Some(rig) = Rig::boot_from(&system.root) {
            walk_in(&rig, 1);
            let version = rig.ok(&["systemctl", "--version"]);
            println!("{suite}: {}", version.lines().next().unwrap_or_default());
        }
    }
}

/// A Debian of the test's own, with a clone of this repository in it. Gone with the value.
struct Fresh {
    root: PathBuf,
    rust: String,
}

impl Fresh {
    fn new(suite: &str) -> Self {
        let run = |command: &mut Command| said(&command.output().expect("it can be started"));
        let script = Path::new(SOURCE).join("tests/support/root.sh");
        let base = run(Command::new("sh").arg(script).arg(suite).args(GIVEN));
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fresh-{suite}"));
        let _ = fs::remove_dir_all(&root);
        run(Command::new("cp").arg("-a").arg(base.trim()).arg(&root));
        let copy = "mkdir -p \"$2\" && tar -C \"$1\" --exclude ./target --exclude ./.git -c . | tar -C \"$2\" -x";
        let clone = root.join(CLONE.trim_start_matches('/'));
        run(Command::new("sh")
            .args(["-c", copy, "sh", SOURCE])
            .arg(clone));
        let rust = run(Command::new("rustc").args(["--print", "sysroot"]));
        let rust = rust.trim().to_owned();
        Self { root, rust }
    }

    /// A script that is to run in it.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh"])
            .arg(Path::new(SOURCE).join("tests/support/fresh.sh"))
            .arg(&self.root)
            .args([&self.rust, script])
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn ok(&self, script: &str) {
        said(&self.command(script).output().expect("it can be started"));
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The stdout of what must have succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{out}{error}", output.status);
    out
}
