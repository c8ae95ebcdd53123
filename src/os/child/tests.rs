//! Real children, looked at from inside with /bin/sh.

use super::*;
use crate::os::process::{WaitStatus, try_wait};
use crate::os::scratch::{self, Scratch};
use crate::os::signals::AllBlocked;
use nix::poll::{PollFd, PollFlags, poll};
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

fn strings(texts: &[&str]) -> Vec<CString> {
    texts
        .iter()
        .map(|text| CString::new(*text).unwrap())
        .collect()
}

/// Waits until `fd` has something to say; ten seconds are for ever here.
fn wait_for(fd: &OwnedFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(
        poll(&mut fds, 10_000u16).unwrap(),
        1,
        "nothing within ten seconds"
    );
}

fn outcome(child: &Child) -> Outcome {
    wait_for(&child.outcome);
    read_outcome(child.outcome.as_fd()).unwrap()
}

fn end(child: &Child) -> WaitStatus {
    wait_for(&child.pidfd);
    try_wait(child.pidfd.as_fd()).unwrap().unwrap()
}

/// A shell script as a plan, to be changed before it is run.
struct Script {
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    signals: Original,
}

impl Script {
    fn new(text: &str) -> Self {
        Script {
            programs: strings(&["/bin/sh"]),
            argv: strings(&["sh", "-c", text]),
            env: strings(&["PATH=/usr/bin:/bin", "A=b c"]),
            signals: Original::save(),
        }
    }

    fn plan(&self) -> Plan<'_> {
        Plan {
            programs: &self.programs,
            argv: &self.argv,
            env: &self.env,
            with_listen_pid: false,
            with_watchdog_pid: false,
            new_session: false,
            sockets: &[],
            directory: None,
            signals: &self.signals,
            cgroup_procs: None,
            stdout_stderr: None,
        }
    }
}

/// Runs a plan and answers what it printed.
fn output(plan: &Plan<'_>) -> (Child, String) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut plan = *plan;
    plan.stdout_stderr = Some(write.as_fd());
    let child = spawn(&plan).unwrap();
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(outcome(&child), Outcome::Execed);
    assert_eq!(end(&child), WaitStatus::Exited(0), "{text}");
    (child, text)
}

/// A pipe end at a high number, as the supervisor holds its sockets.
fn held(fd: &OwnedFd) -> OwnedFd {
    fd::duplicate_above(fd.as_fd(), 600).unwrap()
}

#[test]
fn a_child_has_its_sockets_and_nothing_else() {
    let _alone = scratch::inheritance();
    // As at the supervisor's start: who started the tests may have left us something.
    fd::close_on_exec_from(fd::FIRST).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (read, write) = (held(&read), held(&write));
    let script = Script::new("echo x >&4; read line <&7; echo $line; ls /proc/$$/fd");
    let mut plan = script.plan();
    let sockets = [(read.as_fd(), 7), (write.as_fd(), 4)];
    plan.sockets = &sockets;
    let (_, text) = output(&plan);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines, ["x", "0", "1", "2", "4", "7"]);
}

#[test]
fn a_socket_already_in_its_place_survives_exec() {
    let _alone = scratch::inheritance();
    let (_read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let write = held(&write);
    let number = write.as_raw_fd();
    let script = Script::new(&format!("readlink /proc/$$/fd/{number}"));
    let mut plan = script.plan();
    let sockets = [(write.as_fd(), number)];
    plan.sockets = &sockets;
    let (_, text) = output(&plan);
    assert!(text.starts_with("pipe:"), "{text}");
}

#[test]
fn listen_pid_is_the_childs_own_and_the_environment_is_exact() {
    let script = Script::new("echo $LISTEN_PID $$; tr '\\0' '\\n' </proc/$$/environ");
    let mut plan = script.plan();
    plan.with_listen_pid = true;
    let (child, text) = output(&plan);
    let pid = child.pid;
    let expected = format!("{pid} {pid}\nLISTEN_PID={pid}\nPATH=/usr/bin:/bin\nA=b c\n");
    assert_eq!(text, expected);
}

#[test]
fn signals_are_as_they_were_but_sigpipe_and_sigxfsz_are_default() {
    let script = Script::new("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
    // Blocked around the spawn only: the mask belongs to this thread.
    let blocked = AllBlocked::new();
    let (_, text) = output(&script.plan());
    drop(blocked);
    let set = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let changed = (1 << (libc::SIGPIPE - 1)) | (1 << (libc::SIGXFSZ - 1));
    assert_eq!(set(&text, "SigBlk:"), 0, "{text}");
    assert_eq!(
        set(&text, "SigIgn:"),
        set(&own, "SigIgn:") & !changed,
        "{text}"
    );
}

#[test]
fn a_missing_program_fails_at_its_stage_and_is_no_exit_status() {
    let mut script = Script::new("");
    script.programs = strings(&["/nonexistent/a", "/dev/null/b"]);
    let child = spawn(&script.plan()).unwrap();
    let (stage, errno) = (Stage::Exec, libc::ENOENT);
    assert_eq!(outcome(&child), Outcome::Failed { stage, errno });
    assert_eq!(end(&child), WaitStatus::Exited(127));
    assert_eq!(stage.to_string(), "executing");
}

#[test]
fn permission_denied_is_remembered_but_a_later_candidate_wins() {
    let dir = Scratch::new();
    let denied = dir.path("denied");
    std::fs::write(&denied, "").unwrap();
    let denied = denied.to_str().unwrap();
    let mut script = Script::new("exit 3");
    script.programs = strings(&[denied, "/nonexistent"]);
    let child = spawn(&script.plan()).unwrap();
    let (stage, errno) = (Stage::Exec, libc::EACCES);
    assert_eq!(outcome(&child), Outcome::Failed { stage, errno });
    end(&child);
    script.programs = strings(&[denied, "/bin/sh"]);
    let child = spawn(&script.plan()).unwrap();
    assert_eq!(outcome(&child), Outcome::Execed);
    assert_eq!(end(&child), WaitStatus::Exited(3));
}

#[test]
fn a_missing_directory_is_not_a_missing_program() {
    let script = Script::new("pwd");
    let mut plan = script.plan();
    plan.directory = Some(c"/nonexistent");
    let child = spawn(&plan).unwrap();
    let (stage, errno) = (Stage::Directory, libc::ENOENT);
    assert_eq!(outcome(&child), Outcome::Failed { stage, errno });
    end(&child);
    plan.directory = Some(c"/");
    assert_eq!(output(&plan).1, "/\n");
}

#[test]
fn a_cgroup_that_cannot_be_joined_is_reported() {
    let script = Script::new("exit 0");
    let mut plan = script.plan();
    let read_only = File::open("/dev/null").unwrap();
    plan.cgroup_procs = Some(read_only.as_fd());
    let child = spawn(&plan).unwrap();
    let (stage, errno) = (Stage::Cgroup, libc::EBADF);
    assert_eq!(outcome(&child), Outcome::Failed { stage, errno });
    end(&child);
}

#[test]
fn sockets_that_would_overwrite_each_other_are_refused() {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let script = Script::new("");
    let mut plan = script.plan();
    let sockets = [(read.as_fd(), write.as_raw_fd()), (write.as_fd(), 500)];
    plan.sockets = &sockets;
    let error = spawn(&plan).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// dup2 one after the other on a table of numbers, as the child half does it.
fn place(sockets: &[(RawFd, RawFd)]) -> HashMap<RawFd, RawFd> {
    let mut table: HashMap<_, _> = sockets
        .iter()
        .map(|(source, _)| (*source, *source))
        .collect();
    for (source, target) in sockets {
        let what = table[source];
        table.insert(*target, what);
    }
    table
}

proptest! {
    #[test]
    fn without_a_collision_their_order_works(
        sockets in prop::collection::vec((0..12, 0..12), 0..6).prop_flat_map(|sockets| {
            Just(sockets).prop_shuffle()
        })
    ) {
        if collision(sockets.iter().copied()).is_none() {
            let table = place(&sockets);
            for (source, target) in &sockets {
                prop_assert_eq!(table[target], *source);
            }
        }
    }

    #[test]
    fn a_row_that_moves_down_does_not_collide(first in 4..100, count in 0..100) {
        // Sockets that were opened one after the other, and our own descriptor before them.
        let row = (first..first + count).map(|source| (source, source - 1));
        prop_assert_eq!(collision(row.clone()), None);
        prop_assert!(count < 2 || collision(row.rev()).is_some());
    }

    #[test]
    fn sources_outside_of_the_targets_never_collide(
        targets in prop::collection::hash_set(3..200, 0..20)
    ) {
        let free = (3..).filter(|number| !targets.contains(number));
        let lifted = free.zip(targets.iter().copied());
        prop_assert_eq!(collision(lifted), None);
    }
}

#[test]
fn a_watchdog_variable_carries_the_childs_own_pid() {
    let script = Script::new("echo $$ $LISTEN_PID $WATCHDOG_PID");
    let mut plan = script.plan();
    (plan.with_listen_pid, plan.with_watchdog_pid) = (true, true);
    let (child, text) = output(&plan);
    assert_eq!(text, format!("{0} {0} {0}\n", child.pid));
}

#[test]
fn a_session_of_its_own_is_killed_with_its_children() {
    // The grandchild holds the pipe: reading ends when it is gone.
    let script = Script::new("sleep 1000 & echo started; wait");
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut plan = script.plan();
    plan.new_session = true;
    plan.stdout_stderr = Some(write.as_fd());
    let child = spawn(&plan).unwrap();
    drop(write);
    let mut pipe = File::from(read);
    let mut started = [0; 8];
    pipe.read_exact(&mut started).unwrap();
    process::kill_group(child.pid, child.pidfd.as_fd()).unwrap();
    assert_eq!(pipe.read(&mut started).unwrap(), 0);
    let killed = WaitStatus::Signaled {
        signal: libc::SIGKILL,
        core: false,
    };
    assert_eq!(end(&child), killed);
}

#[test]
fn a_child_that_is_held_up_before_its_exec_holds_up_nobody() {
    // It joins its cgroup by writing to a file; this one is a pipe in which there is no room.
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut pipe = File::from(read);
    let room = rustix::pipe::fcntl_setpipe_size(&write, 4096).unwrap();
    rustix::io::write(&write, &vec![b'x'; room]).unwrap();
    let (output, written) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let child = {
        let script = Script::new("echo $0 $A $LISTEN_PID; exit 3");
        let mut plan = script.plan();
        plan.with_listen_pid = true;
        plan.cgroup_procs = Some(write.as_fd());
        plan.stdout_stderr = Some(written.as_fd());
        spawn(&plan).unwrap()
    };
    drop(written);
    assert_eq!(
        read_outcome(child.outcome.as_fd()).unwrap(),
        Outcome::Pending
    );
    assert_eq!(memory::is_inhabited_by(child.pid), memory::can_be_shared());
    // Whatever it was given is freed by now, and used for something else.
    let others: Vec<_> = (0..100).map(|_| spawn(&Script::new("").plan())).collect();
    for other in others {
        let other = other.unwrap();
        assert_eq!(outcome(&other), Outcome::Execed);
        end(&other);
    }
    assert_eq!(
        read_outcome(child.outcome.as_fd()).unwrap(),
        Outcome::Pending
    );
    pipe.read_exact(&mut vec![0; room]).unwrap();
    assert_eq!(outcome(&child), Outcome::Execed);
    assert!(!memory::is_inhabited_by(child.pid), "given back");
    let mut text = String::new();
    File::from(output).read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("sh b c {}\n", child.pid));
    assert_eq!(end(&child), WaitStatus::Exited(3));
}

#[test]
fn a_child_that_is_killed_or_fails_before_its_exec_leaves_its_memory() {
    let (_read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let room = rustix::pipe::fcntl_setpipe_size(&write, 4096).unwrap();
    rustix::io::write(&write, &vec![b'x'; room]).unwrap();
    let script = Script::new("exit 3");
    let mut plan = script.plan();
    plan.cgroup_procs = Some(write.as_fd());
    let child = spawn(&plan).unwrap();
    process::kill_group(child.pid, child.pidfd.as_fd()).unwrap();
    end(&child);
    assert_eq!(outcome(&child), Outcome::Execed, "its end tells more");
    assert!(!memory::is_inhabited_by(child.pid));

    let mut script = Script::new("");
    script.programs = strings(&["/nonexistent"]);
    let child = spawn(&script.plan()).unwrap();
    assert!(matches!(outcome(&child), Outcome::Failed { .. }));
    end(&child);
    memory::sweep();
    assert!(!memory::is_inhabited_by(child.pid));
}

/// As on machines for which there are no system calls by hand, and under qemu-user.
#[test]
fn a_child_in_a_copy_of_our_memory_is_like_any_other() {
    let script = Script::new("exit $(($LISTEN_PID == $$ ? 3 : 4))");
    let mut plan = script.plan();
    plan.with_listen_pid = true;
    let child = spawn_in(&plan, false).unwrap();
    assert!(!memory::is_inhabited_by(child.pid));
    assert_eq!(outcome(&child), Outcome::Execed);
    assert_eq!(end(&child), WaitStatus::Exited(3));

    let mut script = Script::new("");
    script.programs = strings(&["/nonexistent"]);
    let child = spawn_in(&script.plan(), false).unwrap();
    let (stage, errno) = (Stage::Exec, libc::ENOENT);
    assert_eq!(outcome(&child), Outcome::Failed { stage, errno });
    assert_eq!(end(&child), WaitStatus::Exited(127));
}
