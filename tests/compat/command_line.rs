//! The forms of the command line.

use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::{Scene, free_port};

/// Starts with these options over the worker; the keys that the worker got.
fn keys(options: &str) -> Vec<String> {
    let scene = Scene::new();
    let _supervisor = scene.start(options);
    scene.worker(1).keys()
}

#[test]
fn an_option_and_its_value_have_many_forms() {
    for form in [
        "--port=N", "--port N", "-port N", "-port=N", "--por=N", "--por N", "--PORT=N", "-Port N",
    ] {
        let port = free_port();
        let options = form.replace('N', &port.to_string());
        assert_eq!(
            keys(&format!("--interval=0 {options}")),
            [port.to_string()],
            "{form}"
        );
    }
}

#[test]
fn abbreviations_that_are_unique() {
    let scene = Scene::new();
    let supervisor = scene.start(
        "--int=0 --status=status --pid-f=pid --signal-on-h=QUIT --kill-old 0 --back 16 --di .",
    );
    scene.await_ready(1);
    assert!(scene.exists("pid"));
    supervisor.hup();
    scene.await_event(1, "signal QUIT");
}

#[test]
fn an_abbreviation_that_is_not() {
    let scene = Scene::new();
    assert_eq!(
        scene
            .launch()
            .options("-p 80")
            .worker()
            .start()
            .finished()
            .code,
        Some(1)
    );
    assert_eq!(
        scene
            .launch()
            .options("--signal-on=TERM")
            .worker()
            .start()
            .finished()
            .code,
        Some(1)
    );
}

#[test]
fn a_repeated_option_means_its_last_value() {
    let scene = Scene::new();
    let _supervisor =
        scene.start("--interval=9 --status-file=first --interval=0 --status-file=status");
    scene.await_ready(1);
    assert!(!scene.exists("first"));
}

#[test]
fn an_empty_value_is_as_good_as_none() {
    let scene = Scene::new();
    // As of a script whose variables are not set: --pid-file "$PIDFILE".
    let options = ["pid-file", "status-file", "log-file", "envdir"];
    let launch = scene.launch().options("--interval=0 --pid-file=pid");
    let launch = options
        .iter()
        .chain(&["signal-on-hup", "signal-on-term"])
        .fold(launch, |launch, option| {
            launch.argument(format!("--{option}")).argument("")
        });
    let mut supervisor = launch.variable("ENVDIR", "env").worker().start();
    let first = scene.worker(1);
    assert!(!scene.exists("pid"), "the last value counts");
    assert_eq!(first.variable("ENVDIR").as_deref(), Some(""));
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    scene.worker(2);
    assert_eq!(supervisor.stop(), 0);
    // Where it is needed it is missed, as if it were not there.
    let launch = scene.launch().options("--stop --pid-file").argument("");
    assert_eq!(launch.start().finished().code, Some(255));
    assert_eq!(scene.run("--pid-file= -- true").code, Some(1));
}

#[test]
fn options_may_follow_each_other_in_any_order() {
    let (a, b) = (free_port(), free_port());
    let options = format!(
        "--path x.sock --interval 0 --port {a} --enable-auto-restart --port {b} --kill-old-delay 1"
    );
    assert_eq!(
        keys(&options),
        [a.to_string(), b.to_string(), "x.sock".into()]
    );
}

#[test]
fn the_program_may_follow_without_dashes() {
    let scene = Scene::new();
    let script = scene.path("worker.pl").display().to_string();
    // As MusicBrainz does: start_server --path SOCK node server.js
    let _supervisor = scene
        .launch()
        .options("--interval=0 --path s.sock perl")
        .argument(script)
        .start();
    assert_eq!(scene.worker(1).keys(), ["s.sock"]);
}

#[test]
fn everything_after_dashes_is_the_programs() {
    let scene = Scene::new();
    let _supervisor = scene
        .launch()
        .options("--interval=0")
        .worker()
        .options("--port=1 --help -- --x")
        .start();
    assert_eq!(
        scene.worker(1).arguments()[2..],
        ["--port=1", "--help", "--", "--x"]
    );
}

#[test]
fn an_unknown_option_after_the_program() {
    let scene = Scene::new();
    let script = scene.path("worker.pl").display().to_string();
    // As in Twiggy's manual: start_server --port 8080 plackup --server Twiggy app.psgi
    let launch = scene
        .launch()
        .options("--interval=0 perl")
        .argument(script)
        .options("--server Twiggy");
    let mut supervisor = launch.start();
    wait_until("a worker or the end", || {
        scene.happened(1, "start") || !supervisor.running()
    });
    let outcome = if supervisor.running() {
        Ok(scene.worker(1).arguments()[2..].to_vec())
    } else {
        Err(supervisor.exit_code())
    };
    let expected = pick(
        "options-after-the-program",
        Err(1),
        Ok(vec!["--server".to_owned(), "Twiggy".to_owned()]),
    );
    assert_eq!(outcome, expected);
}

#[test]
fn an_option_of_ours_after_the_program() {
    let scene = Scene::new();
    let script = scene.path("worker.pl").display().to_string();
    let launch = scene
        .launch()
        .options("--interval=0 perl")
        .argument(script)
        .options("--path=late.sock");
    let _supervisor = launch.start();
    let worker = scene.worker(1);
    let taken = pick("options-after-the-program", true, false);
    assert_eq!(worker.keys().is_empty(), !taken);
    assert_eq!(worker.arguments().len(), if taken { 2 } else { 3 });
}

#[test]
fn help_goes_to_stdout_and_names_every_option() {
    let finished = Scene::new().run("--help");
    assert_eq!(finished.code, Some(0));
    for option in [
        "port",
        "path",
        "dir",
        "interval",
        "signal-on-hup",
        "signal-on-term",
        "pid-file",
        "status-file",
        "envdir",
        "log-file",
        "daemonize",
        "enable-auto-restart",
        "auto-restart-interval",
        "kill-old-delay",
        "backlog",
        "restart",
        "stop",
        "help",
        "version",
    ] {
        assert!(
            finished.stdout.contains(&format!("--{option}")),
            "--{option}"
        );
    }
}

#[test]
fn version_goes_to_stdout() {
    let finished = Scene::new().run("--version");
    assert_eq!(finished.code, Some(0));
    assert_eq!(
        finished.stdout == "0.35\n",
        pick("version-text", true, false)
    );
    assert_eq!(finished.stdout.lines().count(), 1);
}

#[test]
fn help_and_version_win_over_the_rest() {
    let finished = Scene::new().run("--port=abc --version -- true");
    assert_eq!(finished.code, Some(0));
}
