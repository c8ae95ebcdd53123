//! One recipe, from its page to ten reloads under load.

use std::env;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::front;
use crate::page::Page;
use crate::support::failure::Class;
use crate::support::http::Target;
use crate::support::load::{Load, Plan};
use crate::support::process::{Supervisor, command, free_address};
use crate::support::programs::SD_STARTER;
use crate::support::report::Report;
use crate::support::requirement;
use crate::support::scratch::Scratch;
use crate::support::wait;

const RELOADS: u64 = 10;
/// An interpreter starts in a second; on a machine that is busy it gets more.
const SOON: Duration = Duration::from_secs(120);

/// Who comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// 60 connections a second and some that are kept open, and none may fail.
    Full,
    /// So few that there are moments without any.
    WithGaps,
    /// Without those that are kept open: its page says that it closes them without a word.
    NewOnly,
    /// As `Full`, through a web server in front.
    Front,
}

pub(crate) struct Kitchen {
    name: &'static str,
    page: Page,
    scratch: Scratch,
    address: SocketAddr,
}

impl Kitchen {
    /// None where a file that the recipe needs is missing, after having said so.
    pub(crate) fn new(name: &'static str, needed: &[(&str, &str)]) -> Option<Self> {
        let is_there = |(path, package): &(&str, &str)| requirement::file(path, package);
        if !needed.iter().all(is_there) {
            return None;
        }
        let (address, scratch) = (free_address(), Scratch::new());
        let mut page = Page::read(name);
        page.replace("127.0.0.1:8080", &address.to_string());
        page.replace("/usr/src/sd-starter", env!("CARGO_MANIFEST_DIR"));
        for (file, text) in &page.files {
            let path = scratch.join(file);
            let folder = path.parent().expect("in our directory");
            fs::create_dir_all(folder).expect("our own directory");
            fs::write(path, text).expect("our own directory");
        }
        let kitchen = Self {
            name,
            page,
            scratch,
            address,
        };
        kitchen.arrange();
        Some(kitchen)
    }

    /// Starts it, reloads it ten times under load, stops it.
    pub(crate) fn cook(self, traffic: Traffic) {
        for setup in &self.page.setup {
            let done = self.shell(setup).output().expect("sh can be started");
            assert!(
                done.status.success(),
                "{}: {setup}{}",
                self.name,
                said(&done)
            );
        }
        let version = self
            .shell(&self.page.version)
            .output()
            .expect("sh can be started");
        assert!(
            version.status.success(),
            "{}: {}",
            self.name,
            said(&version)
        );
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let version = version.lines().next().unwrap_or_default().trim().to_owned();

        let mut supervisor =
            Supervisor::start(self.shell(&self.page.command).stdout(Stdio::null()));
        let (front, target) = match traffic {
            Traffic::Front => {
                let directory = self.scratch.join("");
                let (front, address) = front::haproxy(&directory, self.address);
                (Some(front), Target::inet(address))
            }
            _ => (None, Target::inet(self.address)),
        };
        wait::until("the first answer", SOON, || {
            target
                .get("/")
                .is_ok_and(|answer| answer.generation().is_ok())
                || has_ended(&supervisor)
        });
        let plan = Plan {
            new_per_second: if traffic == Traffic::WithGaps { 10 } else { 60 },
            keep_alive: match traffic {
                Traffic::Full | Traffic::Front => 2,
                Traffic::WithGaps | Traffic::NewOnly => 0,
            },
            keep_alive_pause: Duration::from_millis(50),
        };
        // Before a panic ends the group: php-fpm leaves it, and is found by its supervisor alone.
        let _stop = Stop(&self);
        let started = Instant::now();
        let load = Load::start(&target, plan);
        load.wait_for_generation(1, SOON);
        let reloads = RELOADS * rounds();
        for reload in 1..=reloads {
            let done = self.shell("starterctl reload ./control").output();
            let done = done.expect("sh can be started");
            let log = supervisor.stderr();
            assert!(
                done.status.success(),
                "{}: {}\n{log}",
                self.name,
                said(&done)
            );
            load.wait_for_generation(reload + 1, SOON);
            let lap = if traffic == Traffic::WithGaps { 5 } else { 40 };
            load.wait_for_answers(lap * reload, SOON);
            // One leaves after the other, so that each of them is seen to leave.
            let wait = "starterctl wait --drained --timeout 120 ./control";
            let done = self.shell(wait).output().expect("sh can be started");
            assert!(
                done.status.success(),
                "{}: {}\n{log}",
                self.name,
                said(&done)
            );
        }
        let report = load.stop();
        let took = started.elapsed().as_secs_f32() / reloads as f32;
        let answered = report.answered();
        println!(
            "\nrecipe {}: {version}, {reloads} reloads\n{report}",
            self.name
        );
        note(&format!(
            "| {} | {version} | {reloads} | {answered} | {} | {took:.1} |\n",
            self.name,
            failed(&report)
        ));
        let done = self.shell("starterctl stop ./control").output();
        assert!(
            done.expect("sh can be started").status.success(),
            "{}",
            supervisor.stderr()
        );
        assert_eq!(supervisor.wait_for_code(SOON), 0, "{}", supervisor.stderr());
        drop(front);
        report.assert_no_failures();
    }

    /// What a reader of the page has in place already.
    fn arrange(&self) {
        // Debian's name for it has the version in it.
        let sbin = fs::read_dir("/usr/sbin").into_iter().flatten().flatten();
        let mut fpm: Vec<_> = sbin
            .map(|entry| entry.path())
            .filter(|path| file_name(path).starts_with("php-fpm"))
            .collect();
        fpm.sort();
        let programs = self.scratch.join("bin");
        fs::create_dir_all(&programs).expect("our own directory");
        if let Some(newest) = fpm.pop() {
            std::os::unix::fs::symlink(newest, programs.join("php-fpm")).expect("a new link");
        }
    }

    /// A command of the page, in its directory, with our programs in PATH.
    fn shell(&self, script: &str) -> Command {
        let mut path = self.scratch.join("bin").into_os_string();
        for folder in [programs(), "/usr/sbin".into(), "/usr/bin".into()] {
            path.push(":");
            path.push(folder);
        }
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let directory = self.scratch.join("");
        let mut shell = command("sh");
        shell
            .args(["-c", script])
            .env("PATH", path)
            // Where the control socket is, as under a unit with RuntimeDirectory=.
            .env("RUNTIME_DIRECTORY", &directory)
            .current_dir(&directory)
            .stdin(Stdio::null());
        self.caches(&mut shell);
        shell
    }

    /// What is built or fetched is kept beside what cargo builds, so that the second run is quick.
    fn caches(&self, shell: &mut Command) {
        let kept = programs().join("recipes");
        fs::create_dir_all(&kept).expect("cargo's directory is writable");
        shell
            .env("npm_config_cache", kept.join("npm"))
            .env("npm_config_prefer_offline", "true")
            .env("npm_config_update_notifier", "false")
            .env("GOCACHE", kept.join("go"))
            .env("GOFLAGS", "-mod=mod")
            .env("GO111MODULE", "off")
            .env_remove("CARGO_BUILD_TARGET_DIR")
            .env_remove("CARGO_TARGET_DIR");
        if self.name == "axum" {
            let target = self.scratch.join("target");
            let kept = kept.join("axum");
            fs::create_dir_all(&kept).expect("cargo's directory is writable");
            if !target.exists() {
                std::os::unix::fs::symlink(kept, target).expect("a new link");
            }
        }
    }
}

/// Stops the recipe, if it still runs.
struct Stop<'a>(&'a Kitchen);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let stopped = self
            .0
            .shell("starterctl stop --timeout 60 ./control")
            .output();
        drop(stopped.map_err(|error| eprintln!("starterctl: {error}")));
    }
}

/// `SD_STARTER_RECIPES_ROUNDS=20` reloads twenty times as often.
fn rounds() -> u64 {
    env::var("SD_STARTER_RECIPES_ROUNDS").map_or(1, |rounds| rounds.parse().expect("a number"))
}

/// A row of the table that `tests/run` shows in the end.
fn note(row: &str) {
    if let Some(table) = env::var_os("SD_STARTER_RECIPES_TABLE") {
        let mut table = fs::File::options()
            .append(true)
            .create(true)
            .open(table)
            .expect("a file");
        table.write_all(row.as_bytes()).expect("there is room");
    }
}

fn programs() -> PathBuf {
    let programs = Path::new(SD_STARTER).parent().expect("in a directory");
    programs.to_owned()
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// That it has ended is known by the lines that say so; the caller's wait then fails with them.
fn has_ended(supervisor: &Supervisor) -> bool {
    supervisor.members().is_empty()
}

fn failed(report: &Report) -> u64 {
    Class::ALL.iter().map(|class| report.failed(*class)).sum()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
