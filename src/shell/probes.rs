//! `--ready=command:CMD`: the commands that are being asked about workers. When to ask, and how
//! long to wait, is the machine's business; here they run, and nothing of them is left behind.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::luggage::{Luggage, Packed};
use super::token::Token;
use crate::os::child::Child;
use crate::os::epoll::{Epoll, Interest};
use crate::os::process::{self, WaitStatus};
use crate::protocol::generation::Generation;
use crate::protocol::state::{Label, held};

/// The commands that have not been reaped.
#[derive(Debug, Default)]
pub struct Probes {
    running: BTreeMap<Generation, Probe>,
}

#[derive(Debug)]
struct Probe {
    pid: i32,
    pidfd: OwnedFd,
}

impl Probes {
    /// Takes a command in that was started in a session of its own.
    ///
    /// # Errors
    /// As epoll_ctl(2): then the command is gone.
    pub fn take_in(
        &mut self,
        generation: Generation,
        child: Child,
        epoll: &Epoll,
    ) -> io::Result<()> {
        let Child { pid, pidfd, .. } = child;
        let token = Token::Probe(generation).into();
        if let Err(error) = epoll.add(pidfd.as_fd(), token, Interest::Ended) {
            process::kill_and_reap(pidfd.as_fd())?;
            return Err(error);
        }
        self.running.insert(generation, Probe { pid, pidfd });
        Ok(())
    }

    /// The commands, for a successor.
    pub fn save<'a>(&'a self, packed: &mut Packed<'a>) -> Vec<held::Probe> {
        let running = self.running.iter();
        let save = |(generation, probe): (&Generation, &'a Probe)| held::Probe {
            generation: generation.get(),
            pid: probe.pid,
            pidfd: packed.add(Label::numbered("probe", generation.get()), &probe.pidfd),
        };
        running.map(save).collect()
    }

    /// A command of a predecessor.
    ///
    /// # Errors
    /// When it did not come along; as epoll_ctl(2).
    pub fn take_over(
        &mut self,
        generation: Generation,
        saved: &held::Probe,
        luggage: &mut Luggage,
        epoll: &Epoll,
    ) -> io::Result<()> {
        let pidfd = luggage.take(&saved.pidfd)?;
        let token = Token::Probe(generation).into();
        epoll.add(pidfd.as_fd(), token, Interest::Ended)?;
        let pid = saved.pid;
        self.running.insert(generation, Probe { pid, pidfd });
        Ok(())
    }

    /// Reaps a command that ended: whether it exited 0. `None` while it runs. Whatever it has
    /// started and left in its process group goes with it.
    ///
    /// # Errors
    /// As waitid(2) and epoll_ctl(2).
    pub fn reap(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<Option<bool>> {
        let Some(probe) = self.running.get(&generation) else {
            return Ok(None);
        };
        // The token tells that it has ended; before it is reaped its group is still its own.
        self.kill(generation)?;
        let exit = match process::try_wait(probe.pidfd.as_fd()) {
            Ok(None) => return Ok(None),
            Ok(Some(exit)) => exit == WaitStatus::Exited(0),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => false,
            Err(error) => return Err(error),
        };
        epoll.remove(probe.pidfd.as_fd())?;
        self.running.remove(&generation);
        Ok(Some(exit))
    }

    /// Kills a command with its children; its end is seen later.
    ///
    /// # Errors
    /// As kill(2); that it has ended meanwhile is none.
    pub fn kill(&self, generation: Generation) -> io::Result<()> {
        match self.running.get(&generation) {
            Some(probe) => process::kill_group(probe.pid, probe.pidfd.as_fd()),
            None => Ok(()),
        }
    }

    /// Whether a process is one of them.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        self.running.values().any(|probe| probe.pid == pid)
    }
}
