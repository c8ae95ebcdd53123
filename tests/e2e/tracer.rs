//! Stopping a process at a system call of our choice, to kill it there (ptrace(2)).

use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How often is looked whether something has happened.
const INTERVAL: Duration = Duration::from_micros(50);

/// What to do at a stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    GoOn,
    Kill,
    LetGo,
}

/// Runs a process from system call to system call, on both sides of each, and asks `at_stop` what
/// is to be done there; `meanwhile` is asked while it runs or waits. Returns when one of them has
/// said something else than to go on, and it was done. All of it in one thread, as ptrace wants it.
pub(crate) fn trace(
    pid: i32,
    limit: Duration,
    mut at_stop: impl FnMut() -> Next,
    mut meanwhile: impl FnMut() -> Next,
) {
    let pid = Pid::from_raw(pid);
    let started = Instant::now();
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD).expect("we are root");
    ptrace::interrupt(pid).expect("it is traced");
    let mut last_wish = Next::GoOn;
    loop {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        let next = match waitpid(pid, Some(flags)).expect("it is traced") {
            WaitStatus::StillAlive => {
                assert!(
                    started.elapsed() < limit,
                    "nothing has ended within {limit:?}"
                );
                if last_wish == Next::GoOn {
                    last_wish = meanwhile();
                    if last_wish != Next::GoOn {
                        ptrace::interrupt(pid).expect("it is traced");
                    }
                }
                std::thread::sleep(INTERVAL);
                continue;
            }
            WaitStatus::PtraceSyscall(_) if last_wish == Next::GoOn => at_stop(),
            WaitStatus::Stopped(_, signal) => {
                ptrace::syscall(pid, Some(signal)).expect("it is stopped");
                continue;
            }
            WaitStatus::PtraceSyscall(_) | WaitStatus::PtraceEvent(..) => last_wish,
            ended => panic!("the traced process has ended by itself: {ended:?}"),
        };
        match next {
            Next::GoOn => ptrace::syscall(pid, None).expect("it is stopped"),
            Next::LetGo => {
                ptrace::detach(pid, None).expect("it is stopped");
                return;
            }
            Next::Kill => {
                nix::sys::signal::kill(pid, Signal::SIGKILL).expect("it is there");
                // Until it is dead; its parent is told only when its tracer has looked.
                while let Ok(status) = waitpid(pid, Some(WaitPidFlag::__WALL)) {
                    if let WaitStatus::Signaled(..) | WaitStatus::Exited(..) = status {
                        break;
                    }
                }
                return;
            }
        }
    }
}
