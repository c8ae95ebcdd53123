//! Who asks for a reload, and what they are told.

use std::fmt;

use super::failure::Failure;
use crate::protocol::generation::Generation;

/// A client that waits for a verdict: the shell's name for its connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Requester(pub u64);

/// Where a request came from; this decides what systemd hears of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// `ExecReload=`: the unit is already "reloading"; RELOADING=1 could leave it stuck there
    /// (systemd 247 and 257).
    ControlProcess,
    /// `starterctl reload` from elsewhere.
    Client,
    /// SIGHUP, which cannot carry an answer.
    Hangup,
    /// `--enable-auto-restart`.
    Timer,
}

impl Origin {
    /// Whether systemd is told RELOADING=1 and READY=1.
    #[must_use]
    pub const fn announces(self) -> bool {
        match self {
            Self::Client | Self::Hangup => true,
            Self::ControlProcess | Self::Timer => false,
        }
    }
}

/// One request for a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    /// Who waits for the verdict, if anybody does.
    pub requester: Option<Requester>,
    /// Where it came from.
    pub origin: Origin,
    /// Only if this generation serves (`--if-generation`).
    pub only_if: Option<Generation>,
}

/// How a request ended. Every requester gets exactly one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The new generation serves.
    Serving(Generation),
    /// It failed.
    Failed {
        /// The last attempt's failure.
        failure: Failure,
        /// The generation that keeps serving, if there is one.
        kept: Option<Generation>,
    },
    /// `--if-generation` named another generation than the one that serves: nothing was done.
    OtherGeneration {
        /// The one that serves.
        serving: Option<Generation>,
    },
    /// We were told to stop before it was decided.
    Stopping,
    /// A stop that was asked for is complete.
    Stopped,
    /// Another build of ourselves has taken over.
    Upgraded {
        /// The version before.
        from: String,
        /// The version since.
        to: String,
    },
    /// It has not, and nothing has happened.
    NotUpgraded {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving(generation) => write!(f, "generation {generation} serves"),
            Self::Failed {
                failure,
                kept: Some(kept),
            } => {
                write!(f, "{failure}; generation {kept} keeps serving")
            }
            Self::Failed {
                failure,
                kept: None,
            } => {
                write!(f, "{failure}; no generation is serving")
            }
            Self::OtherGeneration {
                serving: Some(serving),
            } => {
                write!(
                    f,
                    "generation {serving} serves, not the one named; nothing was done"
                )
            }
            Self::OtherGeneration { serving: None } => {
                f.write_str("no generation is serving; nothing was done")
            }
            Self::Stopping => f.write_str("sd-starter is stopping"),
            Self::Stopped => f.write_str("stopped"),
            Self::Upgraded { from, to } => write!(f, "version {to} has taken over from {from}"),
            Self::NotUpgraded { reason } => write!(f, "not upgraded: {reason}"),
        }
    }
}
