//! Bugs around files: B2, B6, B8, B9, B11, B14, B20.

use super::{Outcome, judge};
use crate::client::ask_path;
use crate::eventually::{happens_within, wait_until};
use crate::scene::{Scene, free_port};
use crate::worker::state_of;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};
use std::time::Duration;

/// The child of a failed exec runs the parent's clean-up: all files are gone.
#[test]
fn b2_a_failed_exec_removes_the_files_of_the_supervisor() {
    let scene = Scene::new();
    symlink("/usr/bin/perl", scene.path("program")).expect("a link");
    let launch = scene
        .launch()
        .options("--interval=1 --pid-file=pid --status-file=status --path=s.sock -- ./program");
    let supervisor = launch
        .argument(scene.path("worker.pl").display().to_string())
        .start();
    scene.await_ready(1);
    fs::remove_file(scene.path("program")).expect("it is there");
    supervisor.hup();
    supervisor.await_line("failed to start");
    let missing: Vec<_> = ["pid", "status", "s.sock"]
        .into_iter()
        .filter(|name| !scene.exists(name))
        .collect();
    judge(
        "B2",
        &Outcome::bug_if(
            !missing.is_empty(),
            format!("removed: {missing:?}"),
            "all files are there",
        ),
    );
}

/// The same with a directory that cannot be entered.
#[test]
fn b2_a_failed_chdir_removes_the_files_of_the_supervisor() {
    let scene = Scene::new();
    fs::create_dir(scene.path("app")).expect("a directory");
    let supervisor =
        scene.start("--interval=1 --pid-file=pid --status-file=status --path=s.sock --dir=app");
    scene.await_ready(1);
    fs::remove_dir(scene.path("app")).expect("it is empty");
    supervisor.hup();
    supervisor.await_line("failed to start");
    let missing: Vec<_> = ["pid", "status", "s.sock"]
        .into_iter()
        .filter(|name| !scene.exists(name))
        .collect();
    judge(
        "B2",
        &Outcome::bug_if(
            !missing.is_empty(),
            format!("removed: {missing:?}"),
            "all files are there",
        ),
    );
}

/// A status file that cannot be written ends the supervisor and orphans every worker.
#[test]
fn b6_a_status_file_that_cannot_be_written_kills_the_supervisor() {
    let scene = Scene::new();
    fs::create_dir(scene.path("run")).expect("a directory");
    let mut supervisor = scene.start("--interval=0 --status-file=run/status");
    wait_until("generation 1", || scene.exists("run/status"));
    let old = scene.worker(1);
    fs::rename(scene.path("run"), scene.path("gone")).expect("the rename");
    supervisor.hup();
    let new = scene.worker(2);
    wait_until("the swap or the end", || {
        scene.happened(1, "exit") || !supervisor.running()
    });
    let orphans = !supervisor.running() && (old.alive() || new.alive());
    judge(
        "B6",
        &Outcome::bug_if(orphans, "it died and orphaned its workers", "it goes on"),
    );
}

/// A second instance empties the pid file of the first.
#[test]
fn b8_a_second_instance_takes_the_pid_file() {
    let scene = Scene::new();
    let first = scene.start("--interval=0 --pid-file=pid");
    scene.worker(1);
    let expected = Some(format!("{}\n", first.pid()));
    let mut second = scene
        .launch()
        .options(format!("--pid-file=pid --port={}", free_port()))
        .worker()
        .start();
    let changed = || scene.read("pid") != expected;
    wait_until("the second to end, or the bug", || {
        changed() || !second.running()
    });
    judge(
        "B8",
        &Outcome::bug_if(
            changed(),
            format!("the file reads {:?}", scene.read("pid")),
            "it was refused",
        ),
    );
}

/// A process that has nothing to do with it.
struct Innocent(Child);

impl Innocent {
    fn start() -> Innocent {
        Innocent(Command::new("sleep").arg("60").spawn().expect("sleep"))
    }

    fn alive(&mut self) -> bool {
        self.0.try_wait().expect("our own child").is_none()
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `--stop` and `--restart` signal whoever has the number in a stale pid file.
#[test]
fn b9_a_stale_pid_file_kills_an_innocent_process() {
    for mode in ["--stop", "--restart"] {
        let scene = Scene::new();
        let mut innocent = Innocent::start();
        scene.write("pid", &format!("{}\n", innocent.0.id()));
        scene.write("status", "1:99999999\n");
        let mut client = scene
            .launch()
            .options(format!("{mode} --pid-file=pid --status-file=status"))
            .start();
        wait_until("the end of one of them", || {
            !client.running() || !innocent.alive()
        });
        let killed = happens_within(Duration::from_secs(3), || !innocent.alive());
        judge(
            "B9",
            &Outcome::bug_if(killed, format!("{mode} killed it"), "it lives"),
        );
        if !killed {
            assert_ne!(client.exit_code(), 0, "{mode} claims success");
        }
    }
}

/// Whatever stands at --path is unlinked.
#[test]
fn b11_a_file_at_the_path_is_destroyed() {
    let scene = Scene::new();
    scene.write("precious", "data");
    let mut supervisor = scene.start("--interval=0 --path=precious");
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    let kept = scene.read("precious").as_deref() == Some("data");
    judge(
        "B11",
        &Outcome::bug_if(!kept, "the file is gone", "the file is there"),
    );
}

/// A socket on which another server listens is taken away from it.
#[test]
fn b11_a_living_socket_is_taken() {
    let scene = Scene::new();
    let listener = UnixListener::bind(scene.path("s.sock")).expect("a socket");
    listener.set_nonblocking(true).expect("a flag");
    let mut supervisor = scene.start("--interval=0 --path=s.sock");
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    // The probe of a careful program may stand in its queue: what counts is who is asked from now on.
    while listener.accept().is_ok() {}
    let taken = ask_path(&scene.path("s.sock")).is_some();
    judge(
        "B11",
        &Outcome::bug_if(taken, "another worker answers there", "its owner keeps it"),
    );
}

/// At the end it unlinks the path even when the socket there is another's.
#[test]
fn b11_the_end_removes_a_socket_of_another() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --path=s.sock");
    scene.worker(1);
    fs::remove_file(scene.path("s.sock")).expect("it is there");
    let _other = UnixListener::bind(scene.path("s.sock")).expect("a socket");
    supervisor.stop();
    judge(
        "B11",
        &Outcome::bug_if(
            !scene.exists("s.sock"),
            "the other's socket is gone",
            "it is there",
        ),
    );
}

/// When the log command dies, all that follows is lost without a word.
#[test]
fn b14_a_dead_log_command_is_silent() {
    let scene = Scene::new();
    let command = "--log-file=| echo $$ >>logger; exec cat >>log";
    let supervisor = scene
        .launch()
        .options("--interval=0 --status-file=status")
        .argument(command)
        .worker()
        .start();
    scene.await_ready(1);
    wait_until("a first line", || {
        scene
            .read("log")
            .is_some_and(|log| log.contains("starting new worker"))
    });
    let logger: i32 = scene
        .read("logger")
        .and_then(|text| text.trim().parse().ok())
        .expect("its pid");
    kill(Pid::from_raw(logger), Signal::SIGKILL).expect("our own logger");
    // Buried, so its end of the pipe is closed: what is written into the pipe before that is lost.
    wait_until("its end", || state_of(logger).is_none());
    supervisor.hup();
    scene.await_alone(2);
    let logged = || {
        scene
            .read("log")
            .is_some_and(|log| log.contains("received HUP, spawning a new worker"))
    };
    let logged = happens_within(Duration::from_secs(5), logged);
    judge(
        "B14",
        &Outcome::bug_if(
            !logged,
            "the lines of the reload are lost",
            "they are in the log",
        ),
    );
}

/// The pid file goes before the sockets: whoever waited for it starts anew, and loses the new socket.
#[test]
fn b20_the_pid_file_goes_before_the_socket() {
    let scene = Scene::new();
    fs::create_dir(scene.path("run")).expect("a directory");
    let mut supervisor =
        scene.start("--interval=0 --pid-file=run/pid --status-file=run/status --path=run/s.sock");
    scene.worker(1);
    wait_until("all files", || {
        ["pid", "status", "s.sock"]
            .iter()
            .all(|name| scene.exists(&format!("run/{name}")))
    });
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
    inotify::add_watch(&watch, scene.path("run"), WatchFlags::DELETE).expect("a watch");
    supervisor.stop();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(&watch, &mut buffer);
    let mut removed = Vec::new();
    while let Ok(event) = reader.next() {
        removed.extend(
            event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    // A temporary status file may come and go before.
    removed.retain(|name| ["pid", "status", "s.sock"].contains(&name.as_str()));
    let last = removed.last().map(String::as_str);
    judge(
        "B20",
        &Outcome::bug_if(
            last != Some("pid"),
            format!("removed in this order: {removed:?}"),
            "the pid file last",
        ),
    );
}
