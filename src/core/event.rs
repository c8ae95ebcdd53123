//! What can happen to the machine.

use std::time::Duration;

use super::exit::Exit;
use super::request::{Request, Requester};
use crate::protocol::generation::Generation;

/// Something happened outside. Any event may come in any state.
#[derive(Clone, Debug)]
pub enum Event {
    /// The listeners are there: begin.
    Start,
    /// The worker asked for by [`Action::Spawn`](super::Action::Spawn) was forked.
    Forked {
        /// Which.
        generation: Generation,
        /// Its process id.
        pid: i32,
    },
    /// Its program runs.
    Executed {
        /// Which.
        generation: Generation,
    },
    /// It could not be forked, or its program could not be run; there is no process (any more).
    NotStarted {
        /// Which.
        generation: Generation,
        /// Stage, thing and reason.
        text: String,
        /// errno(3) of the call that failed.
        errno: i32,
    },
    /// Its process ended and was reaped, but others of its cgroup live on. Exited follows when
    /// they are gone too.
    Lingers {
        /// Which.
        generation: Generation,
        /// How its process ended.
        exit: Exit,
    },
    /// The command that was asked about it ended.
    Probed {
        /// Which.
        generation: Generation,
        /// Whether it exited 0.
        ready: bool,
    },
    /// Its process ended and was reaped; nothing of it is left, as far as can be known.
    Exited {
        /// Which.
        generation: Generation,
        /// How.
        exit: Exit,
    },
    /// It said something on its notify socket, or was found ready by other means.
    Said {
        /// Which.
        generation: Generation,
        /// What.
        word: Word,
    },
    /// Somebody wants a new generation.
    Reload(Request),
    /// Somebody wants the end.
    Stop {
        /// Who waits for it, if anybody does.
        requester: Option<Requester>,
        /// How it was asked for.
        by: StopBy,
    },
    /// A requester went away without its answer.
    Gone {
        /// Who.
        requester: Requester,
    },
    /// We are the successor of a supervisor that crashed; what it had written down is the machine
    /// that hears this, first of all. Which of its workers are left comes as their exits.
    Recovered,
    /// Somebody wants the program that is now on disk to take over.
    Upgrade {
        /// Who waits for it, if anybody does.
        requester: Option<Requester>,
    },
    /// The trial of that program has ended, by itself or cut off.
    Checked {
        /// Its version; or why it cannot take over.
        answer: Result<String, String>,
    },
    /// We are that program, and have taken over.
    Replaced {
        /// The version of the one before.
        from: String,
    },
    /// It could not be executed; we are still the one before.
    NotReplaced {
        /// Stage, thing and reason.
        reason: String,
    },
    /// The environment directory changed these.
    Retuned {
        /// The new trial time.
        kill_old_delay: Duration,
        /// The new automatic restart interval.
        auto_restart: Option<Duration>,
    },
    /// Time passed.
    Tick,
}

/// How a stop was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopBy {
    /// SIGTERM, or `starterctl stop`: `--signal-on-term` goes to the workers.
    Terminate,
    /// SIGQUIT: the same, by its own name.
    Quit,
    /// SIGINT: always SIGTERM to the workers, as start_server; the second one kills at once.
    Interrupt,
}

/// What a worker can say (sd_notify(3)), as far as the machine cares.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// READY=1 on its notify socket.
    Ready,
    /// Found ready by the means that `--ready=fd:N` or `--ready=command:CMD` names.
    FoundReady,
    /// STATUS=, one line.
    Status(String),
    /// EXTEND_TIMEOUT_USEC=: it needs this long from now.
    Extend(Duration),
    /// ERRNO= (other than 0) and the like: it says that it is broken.
    Broken(String),
    /// WATCHDOG=1: a sign of life.
    Alive,
    /// WATCHDOG_USEC=: a sign of life will come in every such period from now on; 0 is never.
    Period(Duration),
    /// WATCHDOG=trigger: it says that it hangs.
    Hung,
}
