//! `--log-file`: a file, or `| command`.

use crate::eventually::wait_until;
use crate::scene::Scene;
use crate::supervisor::name_pids;

const AT_ONCE: &str = "--interval=0 --status-file=status";

const AFTER_THE_FIRST_LINE: &str = "\
starting new worker W1
received HUP, spawning a new worker
starting new worker W2
new worker is now running, sending TERM to old workers:W1
killing old workers
old worker W1 died, status:0
received TERM, sending TERM to all workers:W2
worker W2 died, status:0
exiting
";

#[test]
fn everything_after_the_first_line_goes_to_the_file() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!("{AT_ONCE} --log-file=log"));
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    supervisor.stop();
    assert_eq!(
        supervisor.transcript(),
        "start_server (pid:S) starting now...\n"
    );
    assert_eq!(
        name_pids(&scene.read("log").expect("the log"), supervisor.pid()),
        AFTER_THE_FIRST_LINE
    );
}

#[test]
fn a_command_that_is_not_there_is_an_error_at_once() {
    for daemonize in ["", "--daemonize --pid-file=pid"] {
        let scene = Scene::new();
        let options = format!("--interval=0 {daemonize} --log-file");
        let launch = scene.launch().options(options);
        let launch = launch.argument("|/no/such/rotatelogs -l x").worker();
        let finished = launch.start().finished();
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        let reason = "failed to open pipe:|/no/such/rotatelogs -l x: No such file or directory";
        assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    }
}

#[test]
fn the_file_is_appended_to() {
    let scene = Scene::new();
    scene.write("log", "before\n");
    let _supervisor = scene.start(format!("{AT_ONCE} --log-file=log"));
    scene.await_ready(1);
    let log = scene.read("log").expect("the log");
    assert!(log.starts_with("before\nstarting new worker"), "{log}");
}

#[test]
fn the_worker_writes_to_it_too() {
    let scene = Scene::new();
    let command = "echo to stdout; echo to stderr >&2; exec sleep 60";
    let launch = scene
        .launch()
        .options(format!("{AT_ONCE} --log-file=log -- sh -c"))
        .argument(command);
    let _supervisor = launch.start();
    wait_until("both lines", || {
        let log = scene.read("log").unwrap_or_default();
        log.contains("to stdout\n") && log.contains("to stderr\n")
    });
}

#[test]
fn a_command_gets_it_line_by_line() {
    for log_file in [
        "--log-file=| cat >>log",
        "--log-file=|cat >>log",
        "--log-file=  |  cat >>log",
    ] {
        let scene = Scene::new();
        let mut supervisor = scene
            .launch()
            .options(AT_ONCE)
            .argument(log_file)
            .worker()
            .start();
        scene.await_ready(1);
        supervisor.hup();
        scene.await_alone(2);
        supervisor.stop();
        // The command may still be writing when the supervisor has gone.
        wait_until("the last line", || {
            scene
                .read("log")
                .is_some_and(|log| log.ends_with("exiting\n"))
        });
        assert_eq!(
            supervisor.transcript(),
            "start_server (pid:S) starting now...\n",
            "{log_file}"
        );
        let log = scene.read("log").expect("the log");
        assert_eq!(
            name_pids(&log, supervisor.pid()),
            AFTER_THE_FIRST_LINE,
            "{log_file}"
        );
    }
}

#[test]
fn a_command_is_a_line_of_shell() {
    let scene = Scene::new();
    let launch = scene
        .launch()
        .options(AT_ONCE)
        .argument("--log-file=| sed 's/^/[app] /' | cat >log");
    let mut supervisor = launch.worker().start();
    scene.await_ready(1);
    supervisor.stop();
    wait_until("the last line", || {
        scene
            .read("log")
            .is_some_and(|log| log.ends_with("[app] exiting\n"))
    });
}

#[test]
fn errors_before_the_workers_go_to_stderr() {
    let scene = Scene::new();
    let finished = scene
        .launch()
        .options("--log-file=log --port=abc")
        .worker()
        .start()
        .finished();
    assert!(
        finished.stderr.contains("invalid ``port'' value:abc"),
        "{}",
        finished.stderr
    );
}
