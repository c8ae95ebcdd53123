//! What an operator sees at a real terminal, tmux's: a good reload, a bad one, the status and the watch.
//! The README shows what was captured here.
//!
//! `SD_STARTER_REWRITE=1 cargo test --test e2e console` puts a new capture there. Every other run compares
//! the two, but for pids, times and sizes.

use std::process::Command;

use crate::app::{App, SOON};
use crate::support::requirement;
use crate::support::wait;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
/// Wide enough that nothing is cut.
const COLUMNS: &str = "150";

/// A terminal in the app's rig, with a shell in it.
struct Terminal {
    server: String,
}

impl Terminal {
    fn open(app: &App) -> Self {
        let terminal = Self {
            server: app.rig.name().to_owned(),
        };
        let leader = app.rig.leader().to_string();
        let shell = [
            "nsenter",
            "--target",
            &leader,
            "--all",
            "--",
            "env",
            "--ignore-environment",
            "PATH=/usr/sbin:/usr/bin",
            "LC_ALL=C.UTF-8",
            "TERM=screen",
            "PS1=# ",
            "sh",
            "-i",
        ];
        let new = ["new-session", "-d", "-x", COLUMNS, "-y", "60"];
        terminal.tmux(&[&new[..], &shell].concat());
        wait::for_value("the prompt", SOON, "#", || terminal.screen());
        terminal
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.server, "-f", "/dev/null"])
            .args(words)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux can be started");
        assert!(output.status.success(), "tmux {words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What stands there, without the empty lines at its end.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_owned()
    }

    fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Types a line, and waits for the prompt after what it says.
    fn run(&self, line: &str) {
        let lines = self.prompts();
        self.type_line(line);
        wait::until(line, SOON, || self.prompts() == lines + 1 && self.is_idle());
    }

    fn prompts(&self) -> usize {
        let screen = self.screen();
        screen.lines().filter(|line| line.starts_with('#')).count()
    }

    fn is_idle(&self) -> bool {
        self.screen().lines().last() == Some("#")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output();
    }
}

/// With N for what differs between two runs: pids, times, and sizes of memory.
fn masked(text: &str) -> String {
    let digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let (number, after) = number.split_at(number.find(|c| !digit(c)).unwrap_or(number.len()));
        let unit = ["M ", "K ", " ms", " s", " min"]
            .into_iter()
            .find(|unit| after.starts_with(unit));
        out.push_str(before);
        if before.ends_with("pid ") || unit.is_some() {
            out.push('N');
        } else {
            out.push_str(number);
        }
        rest = match unit {
            Some(unit) => {
                out.push_str(if unit.starts_with(' ') { " s" } else { "M " });
                &after[unit.len()..]
            }
            // A time of day: 18:06:52Z.
            None if after.len() > 6 && after.starts_with(':') && after.as_bytes()[6] == b'Z' => {
                out.truncate(out.len() - number.len());
                out.push('N');
                &after[6..]
            }
            None => after,
        };
    }
    out + rest
}

/// Compares a capture with the README's block below `<!-- NAME: ... -->`, or puts it there.
fn shown_in_the_readme(name: &str, capture: &str) {
    println!("{capture}");
    let readme = std::fs::read_to_string(README).expect("the README is there");
    let marker = format!("<!-- {name}: captured by tests/e2e/console.rs -->\n```console\n");
    let start = readme.find(&marker).expect("the README has a place for it") + marker.len();
    let length = readme[start..].find("\n```").expect("the block ends");
    let block = &readme[start..start + length];
    if std::env::var_os("SD_STARTER_REWRITE").is_some() {
        let new = [&readme[..start], capture, &readme[start + length..]].concat();
        std::fs::write(README, new).expect("the README can be written");
        return;
    }
    assert_eq!(
        masked(capture),
        masked(block),
        "the README shows something else: SD_STARTER_REWRITE=1 cargo test --test e2e console"
    );
}

#[test]
fn the_readme_shows_what_a_terminal_shows() {
    if !requirement::file("/usr/bin/tmux", "tmux") {
        return;
    }
    let Some(app) = App::started("--ready notify") else {
        return;
    };
    let terminal = Terminal::open(&app);

    app.deploy("--ready --boot-ms 3000 --text v2");
    terminal.type_line("starterctl reload app");
    wait::until("the live line", SOON, || {
        terminal
            .screen()
            .contains(": waiting for generation 2 (pid ")
    });
    wait::until("the end of the reload", SOON, || terminal.is_idle());
    app.deploy("--ready --text v3");
    terminal.run("systemctl reload app && echo deployed");
    app.wait_until_drained();
    app.deploy("--exit-at-start 3");
    terminal.run("systemctl reload app && echo deployed");
    terminal.run("systemctl is-active app");
    terminal.run("starterctl status app");
    let screen = terminal.screen();
    assert!(!screen.contains("waiting for"), "it is gone:\n{screen}");
    let shown = screen.strip_suffix("\n#").expect("the prompt");
    shown_in_the_readme("reload", shown);

    terminal.type_line("starterctl status app --watch");
    wait::until("the first look", SOON, || {
        terminal.screen().contains("Serving: generation 3 ")
    });
    app.deploy("--ready --text v5");
    app.reload_well();
    app.wait_until_drained();
    let watch = wait::for_some("the end of the swap", SOON, || {
        let screen = terminal.screen();
        let done = screen.contains("generation 3 (pid ")
            && screen.contains("has left")
            && screen.contains("Serving: generation 5 ");
        // And it is drawn to its end.
        (done && masked(&screen) == masked(&terminal.screen())).then_some(screen)
    });
    shown_in_the_readme("watch", &watch);
    terminal.tmux(&["send-keys", "C-c"]);
    wait::until("the end of the watch", SOON, || terminal.is_idle());
}

#[test]
fn a_mask_covers_what_differs_and_nothing_else() {
    let one = "generation 2 (pid 3517), 312 ms old, 2.3M memory, exited with status 3 after 1.5 s";
    let other = "generation 2 (pid 7), 1 min old, 980K memory, exited with status 3 after 3 ms";
    assert_eq!(masked(one), masked(other));
    for different in ["generation 3 (pid 7)", "generation 2 (pid"] {
        assert_ne!(masked("generation 2 (pid 7)"), masked(different));
    }
}
