//! Starting a program: the parent half, with everything that the child needs
//! prepared before it exists (`child::memory`). `after_fork` is the other half.
//!
//! std::process::Command cannot do this: LISTEN_PID must be the child's own pid,
//! the signal mask must be given back, sockets must land on chosen numbers, and the
//! loop must not block until exec has happened.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};

pub use super::outcome::{Outcome, Stage};

use super::after_fork::{PidSlot, Prepared, Strings};
use super::signals::Original;
use super::{fd, outcome, process};

/// What to start, and with what.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Paths to try in this order, as execvp(3) finds them in PATH; relative ones
    /// start at `directory`.
    pub programs: &'a [CString],
    /// The arguments, the program's name first.
    pub argv: &'a [CString],
    /// The whole environment, `NAME=value` each.
    pub env: &'a [CString],
    /// Adds `LISTEN_PID=` with the child's pid.
    pub with_listen_pid: bool,
    /// Adds `WATCHDOG_PID=` with the child's pid.
    pub with_watchdog_pid: bool,
    /// Makes it the leader of a session and a process group of its own, so that it
    /// can be killed with its children ([`process::kill_group`]).
    pub new_session: bool,
    /// Which socket goes to which number, one after the other ([`collision`]).
    pub sockets: &'a [(BorrowedFd<'a>, RawFd)],
    /// Where to run; ours when there is none.
    pub directory: Option<&'a CStr>,
    /// The mask and dispositions to give back.
    pub signals: &'a Original,
    /// An open `cgroup.procs` to move into.
    pub cgroup_procs: Option<BorrowedFd<'a>>,
    /// What becomes standard output and error; ours when there is none.
    pub stdout_stderr: Option<BorrowedFd<'a>>,
}

/// A child that was started; it may still fail to become its program.
#[derive(Debug)]
pub struct Child {
    /// Its pid, for people and for messages; signals go through the pidfd.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// Readable when [`read_outcome`] has an answer.
    pub outcome: OwnedFd,
}

/// Starts a child. Returns as soon as it exists: what becomes of it is an event.
/// The process must have a single thread ([`process::is_single_threaded`]).
///
/// # Errors
/// `InvalidInput` when `sockets` cannot be placed in their order; `EAGAIN` and
/// `ENOMEM` of clone(2); `EMFILE`; `EINVAL` when a number is beyond the limit.
pub fn spawn(plan: &Plan<'_>) -> io::Result<Child> {
    spawn_in(plan, memory::can_be_shared())
}

fn spawn_in(plan: &Plan<'_>, shared: bool) -> io::Result<Child> {
    let numbers = plan
        .sockets
        .iter()
        .map(|(source, target)| (source.as_raw_fd(), *target));
    if let Some(number) = collision(numbers.clone()) {
        let reason = format!("descriptor {number} is needed twice");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let (outcome, report) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // So that no socket is placed over the way to report that it cannot be placed.
    let is_target = |number| plan.sockets.iter().any(|(_, target)| *target == number);
    let report = fd::move_out_of_the_way(report, is_target)?;
    let mut pids = Vec::new();
    if plan.with_listen_pid {
        pids.push(PidSlot::listen());
    }
    if plan.with_watchdog_pid {
        pids.push(PidSlot::watchdog());
    }
    let prepared = Prepared {
        programs: Strings::new(plan.programs, &[]),
        argv: Strings::new(plan.argv, &[]),
        env: Strings::new(plan.env, &pids),
        pids,
        new_session: plan.new_session,
        cgroup: plan.cgroup_procs.map(|fd| fd.as_raw_fd()),
        output: plan.stdout_stderr.map(|fd| fd.as_raw_fd()),
        sockets: numbers.collect(),
        directory: plan.directory.map(CStr::to_owned),
        signals: plan.signals.clone(),
        report: report.as_raw_fd(),
    };
    let born = memory::start(prepared, shared)?;
    let pid = born.pid;
    let pidfd = match born.pidfd {
        Some(pidfd) => pidfd,
        None => process::pidfd_open(pid).inspect_err(|_| abandon(pid))?,
    };
    Ok(Child {
        pid,
        pidfd,
        outcome,
    })
}

/// What has become of a child that was started, without waiting: see [`outcome::read_outcome`].
///
/// # Errors
/// As there.
pub fn read_outcome(pipe: BorrowedFd<'_>) -> io::Result<Outcome> {
    let outcome = outcome::read_outcome(pipe)?;
    if outcome != Outcome::Pending {
        memory::sweep();
    }
    Ok(outcome)
}

/// Ends a child that cannot be supervised for want of a pidfd. Its number is still
/// its own, because nobody else reaps it.
fn abandon(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    let _ = super::retry(|| nix::sys::wait::waitpid(pid, None));
}

/// A number that cannot be placed: it is asked for twice, or putting something there
/// would overwrite the source of a later entry. Without a collision the entries can be
/// placed one after the other in their order.
pub fn collision(sockets: impl Iterator<Item = (RawFd, RawFd)> + Clone) -> Option<RawFd> {
    let targets = sockets.clone().map(|(_, target)| target);
    let places = Places::new(targets);
    let overwritten = |(index, (source, _))| places.at(source).is_some_and(|at| at < index);
    let mut sources = sockets.enumerate();
    let lost = sources.find(|(index, entry)| overwritten((*index, *entry)));
    places.twice().or(lost.map(|(_, (source, _))| source))
}

/// Who stands where, to be looked up by number: there may be thousands.
#[derive(Clone, Debug)]
pub struct Places(Vec<(RawFd, usize)>);

impl Places {
    /// Numbers, each with its position in this list.
    pub fn new(numbers: impl Iterator<Item = RawFd>) -> Self {
        let mut places: Vec<_> = numbers.zip(0..).collect();
        places.sort_unstable();
        Self(places)
    }

    /// The position of a number.
    #[must_use]
    pub fn at(&self, number: RawFd) -> Option<usize> {
        let found = self.0.binary_search_by_key(&number, |(number, _)| *number);
        found.ok().map(|found| self.0[found].1)
    }

    /// A number that is there twice.
    fn twice(&self) -> Option<RawFd> {
        let mut pairs = self.0.windows(2);
        let pair = pairs.find(|pair| pair[0].0 == pair[1].0);
        pair.map(|pair| pair[0].0)
    }
}

mod memory;

#[cfg(test)]
mod tests;
