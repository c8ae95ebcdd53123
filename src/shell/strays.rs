//! Processes in our cgroup that are nobody's: left over from a former life of ours, and known to
//! no state.
//!
//! With `KillMode=process` systemd leaves them to us, or they would run for ever, holding sockets
//! that nobody leads them on. Whoever belongs to a generation that lives is none: a child of its
//! worker, or, where that is gone, a process that has the generation's number in its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cgroups;
use crate::os::process;
use crate::protocol::cgroup_path;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// systemd's own cgroup for control processes, beside a delegated one.
const CONTROL: &str = ".control";

/// How long the last ones may take to die of SIGKILL.
const LAST_WAIT: u16 = 2000;

/// How often a cgroup is looked through at the end: whoever forks meanwhile is found in the next
/// round.
const LAST_ROUNDS: usize = 20;

/// Who is no stray.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Processes, with their children.
    pub pids: BTreeSet<i32>,
    /// Generations of which somebody is left.
    pub generations: BTreeSet<Generation>,
}

/// Those that were found and told to leave.
#[derive(Debug)]
pub struct Strays {
    pidfds: Vec<OwnedFd>,
    kill_at: Option<Duration>,
}

impl Strays {
    /// Finds them, and sends each `signal`; whoever is left at `kill_at` is killed.
    #[must_use]
    pub fn tell_to_leave(known: &Known, signal: Signal, kill_at: Duration) -> Self {
        let mut pidfds = Vec::new();
        for (pid, pidfd) in strays(known) {
            log::warn!(
                "process {pid} is left over from a former life of ours, and nothing tells what \
                 it is: sending {signal}"
            );
            if let Err(error) = process::send_signal(pidfd.as_fd(), signal.get()) {
                log::warn!("cannot send {signal} to process {pid}: {error}");
            }
            pidfds.push(pidfd);
        }
        let kill_at = Some(kill_at).filter(|_| !pidfds.is_empty());
        Self { pidfds, kill_at }
    }

    /// When whoever is left is to be killed.
    #[must_use]
    pub const fn due(&self) -> Option<Duration> {
        self.kill_at
    }

    /// Kills whoever is left, if it is time.
    pub fn kill_if_due(&mut self, now: Duration) {
        if self.kill_at.is_some_and(|kill_at| kill_at <= now) {
            self.kill_at = None;
            for pidfd in self.pidfds.drain(..) {
                // It may have left.
                let _ = process::send_signal(pidfd.as_fd(), libc::SIGKILL);
            }
        }
    }
}

/// Kills everybody in our cgroup but ourselves and systemd's control processes, and waits until
/// they are gone; says whether they are.
#[must_use]
pub fn end_everybody() -> bool {
    let nobody = Known::default();
    for _ in 0..LAST_ROUNDS {
        let strays = strays(&nobody);
        if strays.is_empty() {
            return true;
        }
        for (pid, pidfd) in &strays {
            log::debug!("killing process {pid}, which is left over");
            let _ = process::send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        for (_, pidfd) in &strays {
            let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            // What does not die of it now hangs in the kernel, and nothing here could help.
            let _ = poll(&mut ended, PollTimeout::from(LAST_WAIT));
        }
    }
    false
}

/// Whether a process of a generation is in our cgroup, by what stands in its environment.
#[must_use]
pub fn belongs_to(pid: i32, generation: Generation) -> bool {
    members().is_ok_and(|members| members.contains(&pid))
        && Environ::of(pid).is_some_and(|environ| environ.generation() == Some(generation))
}

/// Each stray with its pidfd. Where it cannot be told who is in our cgroup there are none.
fn strays(known: &Known) -> Vec<(i32, OwnedFd)> {
    let Ok(members) = members() else {
        return Vec::new();
    };
    let parents: BTreeMap<i32, i32> = members
        .iter()
        .filter_map(|pid| Some((*pid, parent(*pid)?)))
        .collect();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let opened = members.iter().filter_map(|pid| {
        let is_known = |pid: &i32| *pid == own || known.pids.contains(pid);
        let mut family = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied())
            .take(members.len() + 1);
        if family.any(|pid| is_known(&pid)) {
            return None;
        }
        let pidfd = process::pidfd_open(*pid).ok()?;
        let environ = Environ::of(*pid);
        let is_theirs = environ.is_some_and(|environ| {
            let of_known = |generation| known.generations.contains(&generation);
            environ.is_systemds() || environ.generation().is_some_and(of_known)
        });
        (!is_theirs).then_some((*pid, pidfd))
    });
    let opened: Vec<_> = opened.collect();
    // Still a member: so the pidfd is of that process and of no later one with its number.
    let still = self::members().unwrap_or_default();
    opened
        .into_iter()
        .filter(|(pid, _)| still.contains(pid))
        .collect()
}

/// Everybody in our unit's cgroup and below.
fn members() -> io::Result<BTreeSet<i32>> {
    let own = cgroups::own_path().filter(|path| path != "/");
    let own = own.ok_or(io::ErrorKind::NotFound)?;
    // Nothing outside of the unit's is ours to end.
    if cgroup_path::unit(&own).is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let directory = cgroup_path::directory(&mounts, &own).map(PathBuf::from);
    let directory = directory.ok_or(io::ErrorKind::NotFound)?;
    let unit = match directory.parent() {
        Some(parent) if cgroups::is_our_leaf(&directory) => parent.to_owned(),
        _ => directory,
    };
    let mut pids = BTreeSet::new();
    collect(&unit, &mut pids)?;
    Ok(pids)
}

fn collect(directory: &Path, pids: &mut BTreeSet<i32>) -> io::Result<()> {
    let text = fs::read_to_string(directory.join("cgroup.procs"))?;
    // 0 is somebody outside of our pid namespace.
    let numbers = text.lines().filter_map(|pid| pid.parse().ok());
    pids.extend(numbers.filter(|pid: &i32| *pid > 0));
    for entry in fs::read_dir(directory)?.flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && entry.file_name() != CONTROL {
            // One that is removed meanwhile has nobody in it.
            let _ = collect(&entry.path(), pids);
        }
    }
    Ok(())
}

/// proc_pid_stat(5): the second field behind the name, which stands in parentheses.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// The environment that a process was executed with (proc_pid_environ(5)), as far as it has left
/// it alone.
struct Environ(Vec<u8>);

impl Environ {
    fn of(pid: i32) -> Option<Self> {
        fs::read(format!("/proc/{pid}/environ")).ok().map(Self)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut entries = self.0.split(|byte| *byte == 0);
        entries.find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()
        })
    }

    /// The generation, unless it is a command that was asked about one: whoever asked is dead.
    fn generation(&self) -> Option<Generation> {
        if self.get("WORKER_PID").is_some() {
            return None;
        }
        Generation::new(self.get("SERVER_STARTER_GENERATION")?.parse().ok()?)
    }

    /// A control process of the unit, `ExecReload=` say (systemd.exec(5)).
    fn is_systemds(&self) -> bool {
        self.get("MAINPID").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environ(entries: &[&str]) -> Environ {
        Environ(entries.join("\0").into_bytes())
    }

    #[test]
    fn a_process_is_known_by_its_environment() {
        let worker = environ(&["A=b", "SERVER_STARTER_GENERATION=7", "MAINPIDFDID=3"]);
        assert_eq!(worker.generation().map(Generation::get), Some(7));
        assert!(!worker.is_systemds());
        let asked = environ(&["SERVER_STARTER_GENERATION=7", "WORKER_PID=12"]);
        assert_eq!(asked.generation(), None);
        let control = environ(&["MAINPID=12"]);
        assert!(control.is_systemds() && control.generation().is_none());
        for nonsense in [
            "",
            "SERVER_STARTER_GENERATION=",
            "SERVER_STARTER_GENERATION=x",
        ] {
            assert_eq!(environ(&[nonsense]).generation(), None);
        }
    }
}
