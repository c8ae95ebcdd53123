//! What the machine wants done.

use std::time::Duration;

use super::note::Note;
use super::request::{Requester, Verdict};
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// Something for the shell to do, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Fork and exec the program as this generation; answer with Forked or NotStarted.
    Spawn(Generation),
    /// Send a signal to a worker.
    Signal(Generation, Signal),
    /// SIGKILL a worker, with its whole tree where it has a cgroup.
    Kill(Generation),
    /// Its process is gone, but others of its cgroup are not: SIGKILL them.
    Sweep(Generation),
    /// Ask the command of `--ready=command:CMD` about a worker; answer with Probed.
    Probe(Generation),
    /// Nobody waits for that answer any more: kill the command and its children. Its end is
    /// still answered with Probed.
    EndProbe(Generation),
    /// Try whether the program that is now on disk can take over; answer with Checked.
    Check,
    /// Nobody waits for that answer any more: kill it. Its end is still answered with Checked.
    EndCheck,
    /// Tell systemd.
    Tell(Telling),
    /// Answer a requester.
    Answer(Requester, Verdict),
    /// Write a line to the log.
    Note(Note),
    /// Every worker is gone: end the program.
    Finish(Outcome),
}

/// What is written down of an action before it is done: whoever takes over after a crash then knows of a
/// worker before it is forked, and of a signal before it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Foretold {
    /// The machine as it is now, which waits for a fork.
    Fork,
    /// A signal that is owed until it is sent. Sent twice is better than never.
    Signal {
        /// To which generation.
        generation: Generation,
        /// Which.
        signal: Signal,
        /// Whether it is for everybody in the generation's cgroup.
        tree: bool,
    },
}

impl Action {
    /// What is to be written down before it is done; `None` where nothing is lost without.
    #[must_use]
    pub const fn foretold(&self) -> Option<Foretold> {
        let (generation, signal, tree) = match self {
            Self::Spawn(_) => return Some(Foretold::Fork),
            Self::Signal(generation, signal) => (*generation, *signal, false),
            Self::Kill(generation) | Self::Sweep(generation) => (*generation, Signal::KILL, true),
            Self::Probe(_)
            | Self::EndProbe(_)
            | Self::Check
            | Self::EndCheck
            | Self::Tell(_)
            | Self::Answer(..)
            | Self::Note(_)
            | Self::Finish(_) => return None,
        };
        Some(Foretold::Signal {
            generation,
            signal,
            tree,
        })
    }
}

/// A message to systemd (sd_notify(3)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Telling {
    /// READY=1.
    Ready,
    /// RELOADING=1 with MONOTONIC_USEC=.
    Reloading,
    /// STOPPING=1.
    Stopping,
    /// STATUS=.
    Status(String),
    /// EXTEND_TIMEOUT_USEC=.
    Extend(Duration),
}

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was told to stop, and everybody is gone.
    Stopped,
    /// The first generation could not be started.
    NeverServed,
}
