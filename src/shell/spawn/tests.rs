//! Workers as the supervisor starts them.

use super::*;
use crate::os::child::{Outcome, read_outcome};
use crate::os::fd::FIRST;
use crate::os::process::{WaitStatus, try_wait};
use crate::os::scratch::{self, Scratch};
use crate::protocol::port::parse;
use crate::shell::listeners::Wanted;
use nix::poll::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

/// A spawner for a program with arguments, with a PATH of its own.
fn spawner(program: &str, arguments: &[&str], path: &str) -> Spawner {
    let argv = std::iter::once(&program).chain(arguments);
    Spawner {
        program: program.as_bytes().to_vec(),
        argv: argv.map(|text| c_string(text.as_bytes())).collect(),
        directory: None,
        environment: vec![
            ("PATH".into(), path.into()),
            ("LISTEN_FDS".into(), "9".into()),
        ],
        told: Vec::new(),
        readiness: None,
        watchdog: None,
        einhorn: false,
        signals: Original::save(),
    }
}

fn listeners(ports: &[&str]) -> Listeners {
    listeners_beside(None, ports)
}

fn listeners_beside(reserved: Option<RawFd>, ports: &[&str]) -> Listeners {
    let ports: Vec<_> = ports.iter().map(|text| parse(text).unwrap()).collect();
    let wanted = Wanted {
        ports: &ports,
        paths: &[],
        path_mode: None,
        backlog: None,
        keys: &[],
        reserved,
        in_use: false,
        orphaned: false,
    };
    Listeners::assemble(Vec::new(), &wanted).unwrap()
}

fn wait_for(fd: &OwnedFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(
        poll(&mut fds, 10_000u16).unwrap(),
        1,
        "nothing within ten seconds"
    );
}

fn outcome(child: &Child) -> (Outcome, WaitStatus) {
    wait_for(&child.outcome);
    wait_for(&child.pidfd);
    let outcome = read_outcome(child.outcome.as_fd()).unwrap();
    (outcome, try_wait(child.pidfd.as_fd()).unwrap().unwrap())
}

/// Runs a worker to its end and answers its pid and what it printed.
fn run(spawner: &Spawner, listeners: &Listeners, birth: &Birth<'_>) -> (i32, String) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut birth = *birth;
    birth.stdout_stderr = Some(write.as_fd());
    let child = spawner.spawn(listeners, &birth).unwrap();
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(
        outcome(&child),
        (Outcome::Execed, WaitStatus::Exited(0)),
        "{text}"
    );
    (child.pid, text)
}

#[test]
fn a_worker_hears_of_its_sockets_in_both_tongues_and_has_them() {
    let _alone = scratch::inheritance();
    fd::close_on_exec_from(FIRST).unwrap();
    let script = "echo $SERVER_STARTER_PORT $LISTEN_FDS $LISTEN_PID $NOTIFY_SOCKET; ls /proc/$$/fd";
    let spawner = spawner("sh", &["-c", script], "/nonexistent:/usr/bin:/bin");
    let listeners = listeners(&["127.0.0.1:0", "127.0.0.2:0=9"]);
    let birth = Birth::new(Generation::FIRST, Some(OsStr::new("/run/n")));
    let (pid, text) = run(&spawner, &listeners, &birth);
    let ports = "127.0.0.1:0=3;127.0.0.2:0=9";
    assert_eq!(text, format!("{ports} 1 {pid} /run/n\n0\n1\n2\n3\n9\n"));
}

#[test]
fn without_sockets_nothing_is_said_of_listening() {
    let script = "echo ${LISTEN_FDS-unset} ${LISTEN_PID-unset} ${SERVER_STARTER_PORT-unset}";
    let spawner = spawner("sh", &["-c", script], "/bin");
    let birth = Birth::new(Generation::FIRST, None);
    assert_eq!(run(&spawner, &listeners(&[]), &birth).1, "unset unset\n");
}

#[test]
fn the_readiness_pipe_stands_where_it_was_asked_for() {
    let mut spawner = spawner("sh", &["-c", "echo >&7"], "/bin");
    spawner.readiness = Some(7);
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut birth = Birth::new(Generation::FIRST, None);
    birth.readiness = Some(write.as_fd());
    run(
        &spawner,
        &listeners_beside(Some(7), &["127.0.0.1:0"]),
        &birth,
    );
    let mut byte = [0];
    assert_eq!(rustix::io::read(&read, &mut byte).unwrap(), 1);
    assert_eq!(byte, *b"\n");
}

#[test]
fn a_program_with_a_slash_is_found_from_its_directory_anew_each_time() {
    let dir = Scratch::new();
    for release in ["one", "two"] {
        std::fs::create_dir(dir.path(release)).unwrap();
        std::os::unix::fs::symlink("/bin/pwd", dir.path(release).join("app")).unwrap();
    }
    let current = dir.path("current");
    let mut spawner = spawner("./app", &["-P"], "/bin");
    spawner.directory = Some(c_string(current.as_os_str().as_bytes()));
    let birth = Birth::new(Generation::FIRST, None);
    for release in ["one", "two"] {
        let _ = std::fs::remove_file(&current);
        std::os::unix::fs::symlink(release, &current).unwrap();
        let (_, text) = run(&spawner, &listeners(&[]), &birth);
        assert!(text.ends_with(&format!("/{release}\n")), "{text}");
    }
}

#[test]
fn a_failure_is_described_with_its_thing_and_its_reason() {
    let mut spawner = spawner("no-such-program", &[], "/bin");
    let child = spawner
        .spawn(&listeners(&[]), &Birth::new(Generation::FIRST, None))
        .unwrap();
    let (stage, errno) = (Stage::Exec, libc::ENOENT);
    let expected = (Outcome::Failed { stage, errno }, WaitStatus::Exited(127));
    assert_eq!(outcome(&child), expected);
    assert_eq!(
        spawner.describe(stage, errno),
        "executing no-such-program: No such file or directory"
    );
    spawner.directory = Some(c_string(b"/srv/app"));
    assert_eq!(
        spawner.describe(Stage::Directory, libc::EACCES),
        "changing directory to /srv/app: Permission denied"
    );
}

#[test]
fn candidates_are_those_of_execvp() {
    let texts = |program: &str, path: &[&str]| {
        let env: Vec<_> = path.iter().map(|path| c_string(path.as_bytes())).collect();
        let found = candidates(program.as_bytes(), &env);
        found
            .iter()
            .map(|path| text(path.as_bytes()).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts("a", &["X=1", "PATH=/x::y"]), ["/x/a", "a", "y/a"]);
    assert_eq!(texts("./a", &["PATH=/x"]), ["./a"]);
    assert_eq!(texts("a", &[]), ["/bin/a", "/usr/bin/a"]);
    assert_eq!(texts("a", &["PATH="]), ["a"]);
}
