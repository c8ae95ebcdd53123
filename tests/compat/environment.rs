//! What a worker inherits: environment, descriptors, directory, arguments, signals.

use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::{Scene, free_port};
use nix::sys::signal::Signal;
use std::fs::{self, File};

#[test]
fn the_generation_grows_with_every_fork_also_a_failed_one() {
    let scene = Scene::new();
    scene.build("2: die_after=0");
    let supervisor = scene.start("--interval=2 --status-file=status");
    let first = scene.await_ready(1);
    assert_eq!(
        first.variable("SERVER_STARTER_GENERATION").as_deref(),
        Some("1")
    );
    supervisor.hup();
    assert_eq!(
        scene
            .worker(3)
            .variable("SERVER_STARTER_GENERATION")
            .as_deref(),
        Some("3")
    );
}

#[test]
fn options_that_a_worker_can_read_in_its_environment() {
    let scene = Scene::new();
    fs::create_dir(scene.path("env")).expect("a directory");
    let _supervisor = scene.start(
        "--interval=0 --envdir=env --enable-auto-restart --kill-old-delay=7 --auto-restart-interval=600",
    );
    let worker = scene.worker(1);
    assert_eq!(worker.variable("ENVDIR").as_deref(), Some("env"));
    assert_eq!(worker.variable("ENABLE_AUTO_RESTART").as_deref(), Some("1"));
    assert_eq!(worker.variable("KILL_OLD_DELAY").as_deref(), Some("7"));
    assert_eq!(
        worker.variable("AUTO_RESTART_INTERVAL").as_deref(),
        Some("600")
    );
}

#[test]
fn without_these_options_the_variables_are_not_set() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0");
    let worker = scene.worker(1);
    for name in [
        "ENVDIR",
        "ENABLE_AUTO_RESTART",
        "KILL_OLD_DELAY",
        "AUTO_RESTART_INTERVAL",
    ] {
        assert_eq!(worker.variable(name), None, "{name}");
    }
}

#[test]
fn a_delay_in_the_environment_that_is_no_number() {
    let scene = Scene::new();
    for (name, others) in [
        ("KILL_OLD_DELAY", ""),
        ("AUTO_RESTART_INTERVAL", " --enable-auto-restart"),
    ] {
        let launch = scene.launch().options(format!("--interval=9{others}"));
        let mut supervisor = launch.variable(name, "abc").worker().start();
        if pick("bad-environment", true, false) {
            scene.worker(1);
            assert_eq!(supervisor.stop(), 0);
            continue;
        }
        let finished = supervisor.finished();
        assert_eq!(finished.code, Some(1), "{name}");
        assert!(finished.stderr.contains(name), "{}", finished.stderr);
    }
}

#[test]
fn the_default_interval_of_auto_restart_shows_from_the_second_generation() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0 --enable-auto-restart");
    scene.worker(1);
    supervisor.hup();
    assert_eq!(
        scene.worker(2).variable("AUTO_RESTART_INTERVAL").as_deref(),
        Some("360")
    );
}

#[test]
fn the_rest_of_the_environment_passes_through() {
    let scene = Scene::new();
    let _supervisor = scene
        .launch()
        .options("--interval=0")
        .variable("FOO", "bar  =baz")
        .worker()
        .start();
    let worker = scene.worker(1);
    assert_eq!(worker.variable("FOO").as_deref(), Some("bar  =baz"));
    assert_eq!(worker.variable("LC_ALL").as_deref(), Some("C"));
}

#[test]
fn stdin_stdout_and_stderr_are_inherited() {
    let scene = Scene::new();
    scene.write("input", "text");
    let input = File::open(scene.path("input")).expect("the file");
    let _supervisor = scene
        .launch()
        .options("--interval=0")
        .stdin(input)
        .worker()
        .start();
    let descriptors = scene.worker(1).descriptors();
    let target = |fd| descriptors.get(&fd).cloned();
    let path = |name| Some(scene.path(name).display().to_string());
    assert_eq!(target(0), path("input"));
    assert_eq!(target(1), path("stdout"));
    assert_eq!(target(2), path("stderr"));
}

#[test]
fn a_worker_stays_in_the_session_and_process_group() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=0");
    let worker = scene.worker(1);
    assert_eq!(worker.stat(4), supervisor.pid().to_string(), "its parent");
    assert_eq!(
        worker.stat(5),
        supervisor.pid().to_string(),
        "the process group"
    );
}

#[test]
fn no_signal_is_blocked() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0");
    let worker = scene.worker(1);
    assert_eq!(
        u64::from_str_radix(&worker.status_field("SigBlk"), 16),
        Ok(0)
    );
    assert!(!worker.ignores(Signal::SIGCHLD) && !worker.ignores(Signal::SIGALRM));
}

#[test]
fn the_disposition_of_sigpipe() {
    let scene = Scene::new();
    let _supervisor = scene.start("--interval=0");
    let ignored = pick("sigpipe", true, false);
    assert_eq!(scene.worker(1).ignores(Signal::SIGPIPE), ignored);
}

/// As the `&` of a script and nohup(1) have them; a worker that begins so may never catch them.
#[test]
fn what_tells_a_worker_to_leave_is_not_ignored() {
    let scene = Scene::new();
    let launch = scene.launch().program("sh").argument("-c");
    let launch = launch.argument(r#"trap '' HUP INT TERM ALRM && exec "$0" "$@""#);
    let launch = launch.argument(scene.path("start_server").display().to_string());
    let _supervisor = launch.options("--interval=0").worker().start();
    let worker = scene.worker(1);
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGALRM,
    ] {
        assert!(!worker.ignores(signal), "{signal}");
    }
}

#[test]
fn arguments_arrive_untouched() {
    let scene = Scene::new();
    let arguments = ["two words", "", "$HOME", "a;b", "--port=1"];
    let launch = scene.launch().options("--interval=0").worker();
    let _supervisor = arguments
        .iter()
        .fold(launch, |launch, argument| launch.argument(*argument))
        .start();
    assert_eq!(scene.worker(1).arguments()[2..], arguments);
}

#[test]
fn the_program_is_found_by_path() {
    let scene = Scene::new();
    let script = scene.path("worker.pl").display().to_string();
    let _supervisor = scene
        .launch()
        .options("--interval=0 -- perl")
        .argument(script)
        .start();
    assert_eq!(scene.worker(1).arguments()[0], "perl");
}

#[test]
fn dir_is_the_directory_of_the_worker_alone() {
    let scene = Scene::new();
    fs::create_dir(scene.path("app")).expect("a directory");
    let options = "--interval=0 --dir=app --path=s.sock --status-file=status --pid-file=pid";
    let _supervisor = scene.start(options);
    assert_eq!(scene.worker(1).working_directory(), scene.path("app"));
    wait_until("the status file", || scene.exists("status"));
    assert!(scene.exists("s.sock") && scene.exists("pid"));
}

#[test]
fn dir_is_looked_up_at_every_start() {
    let scene = Scene::new();
    for release in ["v1", "v2"] {
        fs::create_dir(scene.path(release)).expect("a directory");
    }
    std::os::unix::fs::symlink("v1", scene.path("current")).expect("a link");
    let supervisor = scene.start("--interval=0 --dir=current");
    assert_eq!(scene.worker(1).working_directory(), scene.path("v1"));
    std::os::unix::fs::symlink("v2", scene.path("next")).expect("a link");
    fs::rename(scene.path("next"), scene.path("current")).expect("the rename");
    supervisor.hup();
    assert_eq!(scene.worker(2).working_directory(), scene.path("v2"));
}

#[test]
fn sockets_keep_their_numbers_across_generations() {
    let scene = Scene::new();
    let supervisor = scene.start(format!("--interval=0 --port={} --path=s.sock", free_port()));
    let first = scene.worker(1).ports();
    supervisor.hup();
    assert_eq!(scene.worker(2).ports(), first);
}
