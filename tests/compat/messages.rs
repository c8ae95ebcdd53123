//! The lines on stderr, verbatim: whole transcripts, with the pids by name.

use crate::differences::pick;
use crate::eventually::wait_until;
use crate::scene::{Scene, free_port};
use nix::sys::signal::Signal;

#[test]
fn start_reload_stop() {
    let scene = Scene::new();
    let mut supervisor = scene.start(format!(
        "--interval=0 --status-file=status --port={}",
        free_port()
    ));
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    supervisor.stop();
    let expected = "\
start_server (pid:S) starting now...
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
    assert_eq!(supervisor.transcript(), expected);
}

#[test]
fn chosen_signals_and_a_delay() {
    let scene = Scene::new();
    let options = "--interval=0 --status-file=status --kill-old-delay=1 --signal-on-hup=sigquit --signal-on-term=usr1";
    let mut supervisor = scene.start(options);
    scene.build("2: default=USR1");
    scene.await_ready(1);
    supervisor.hup();
    scene.await_alone(2);
    supervisor.stop();
    let expected = "\
start_server (pid:S) starting now...
starting new worker W1
received HUP, spawning a new worker
starting new worker W2
new worker is now running, sending QUIT to old workers:W1
sleeping 1 secs before killing old workers
killing old workers
old worker W1 died, status:0
received TERM, sending USR1 to all workers:W2
worker W2 died, status:10
exiting
";
    assert_eq!(supervisor.transcript(), expected);
}

#[test]
fn workers_that_fail_to_start() {
    let scene = Scene::new();
    scene.build("1: die_after=0\n1: die_code=7\n2: die_after=0");
    let mut supervisor = scene.start("--interval=2 --status-file=status");
    scene.await_alone(3);
    supervisor.int();
    supervisor.exit_code();
    let expected = "\
start_server (pid:S) starting now...
starting new worker W1
new worker W1 seems to have failed to start, exit status:1792
starting new worker W2
new worker W2 seems to have failed to start, exit status:256
starting new worker W3
received INT, sending TERM to all workers:W3
worker W3 died, status:0
exiting
";
    assert_eq!(supervisor.transcript(), expected);
}

#[test]
fn a_worker_that_dies() {
    let scene = Scene::new();
    let mut supervisor = scene.start("--interval=0 --status-file=status");
    scene.await_ready(1).kill(Signal::SIGKILL);
    scene.await_alone(2);
    supervisor.stop();
    let expected = "\
start_server (pid:S) starting now...
starting new worker W1
worker W1 died unexpectedly with status:9, restarting
starting new worker W2
received TERM, sending TERM to all workers:W2
worker W2 died, status:0
exiting
";
    assert_eq!(supervisor.transcript(), expected);
}

#[test]
fn old_workers_that_linger() {
    let scene = Scene::new();
    scene.build("1: hold=1");
    let mut supervisor = scene.start("--interval=0 --status-file=status");
    scene.await_ready(1);
    supervisor.hup();
    scene.await_event(1, "signal TERM");
    scene.await_ready(2);
    supervisor.term();
    scene.await_event(2, "exit");
    wait_until("the end of generation 2 in the messages", || {
        supervisor.transcript().contains("worker W2 died")
    });
    scene.release();
    supervisor.exit_code();
    let transcript = supervisor.transcript();
    let end = transcript.split_once("received TERM, ").map(|(_, end)| end);
    // They are listed by pid, and pids start anew some day (the original sorts them as text, too).
    let end = end.map(|end| end.replacen("W2,W1", "W1,W2", 1));
    let expected = "\
sending TERM to all workers:W1,W2
worker W2 died, status:0
worker W1 died, status:0
exiting
";
    assert_eq!(end.as_deref(), Some(expected));
}

#[test]
fn an_automatic_restart() {
    let scene = Scene::new();
    let options = "--interval=0 --status-file=status --enable-auto-restart --auto-restart-interval=2 --kill-old-delay=0";
    let supervisor = scene.start(options);
    let expected = "\
start_server (pid:S) starting now...
starting new worker W1
autorestart triggered (interval=2)
starting new worker W2
new worker is now running, sending TERM to old workers:W1
killing old workers
old worker W1 died, status:0
";
    // The next one comes 2 s later, so its lines may follow.
    wait_until("the lines of an automatic restart", || {
        supervisor.transcript().starts_with(expected)
    });
}

#[test]
fn a_stale_socket_and_a_pin() {
    let scene = Scene::new();
    scene.stale_socket("s.sock");
    let mut supervisor = scene.start(format!(
        "--interval=0 --status-file=status --port={}=9 --path=s.sock",
        free_port()
    ));
    scene.await_ready(1);
    supervisor.stop();
    let location = pick(
        "perl-location",
        " at /usr/share/perl5/Server/Starter.pm line 169.",
        "",
    );
    let expected = format!(
        "\
start_server (pid:S) starting now...
socket is duplicated to file descriptor 9
removing existing socket file:s.sock{location}
starting new worker W1
received TERM, sending TERM to all workers:W1
worker W1 died, status:0
exiting
"
    );
    assert_eq!(supervisor.transcript(), expected);
}

#[test]
fn a_program_that_cannot_be_executed() {
    let scene = Scene::new();
    let supervisor = scene
        .launch()
        .options("--interval=1 -- ./no-such-program")
        .start();
    supervisor.await_line(pick(
        "exec-failure-text",
        "failed to exec ./no-such-program",
        "executing ./no-such-program: ",
    ));
    supervisor.await_line("No such file or directory");
    wait_until("the second attempt", || {
        supervisor.stderr().matches("starting new worker").count() >= 2
    });
    supervisor.await_line("seems to have failed to start, exit status:65280");
}

#[test]
fn a_dir_that_does_not_exist() {
    let scene = Scene::new();
    let supervisor = scene.start("--interval=1 --dir=no-such-dir");
    let expected = pick(
        "exec-failure-text",
        "failed to chdir:no-such-dir:No such file or directory",
        "changing directory to no-such-dir: No such file or directory",
    );
    supervisor.await_line(expected);
    supervisor.await_line("seems to have failed to start");
}
