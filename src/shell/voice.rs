//! The log's words: each [`Note`] as a line, in our voice or in `start_server`'s.
//!
//! Under the name `start_server` the lines are those of Server::Starter 0.35, because scripts
//! grep them; what it has no words for is said in ours.

use log::Level;

use super::listeners::{Listener, Listeners, Warning};
use super::settings::ProgramName;
use crate::core::{Name, Note};

mod ours;
mod start_servers;

/// Whose words are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Voice {
    /// `sd-starter`.
    Ours,
    /// `start_server`.
    StartServer,
}

/// A line of the log and what the journal is told beside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// The text, without a line feed.
    pub text: String,
    /// `SD_STARTER_EVENT=`.
    pub event: &'static str,
    /// The worker it is about.
    pub worker: Option<Name>,
}

impl Line {
    /// Writes the line to the log, with its fields.
    pub fn log(&self) {
        let event = self.event;
        match self.worker {
            Some(Name { generation, pid }) => log::log!(
                self.level, GENERATION = generation.get(), WORKER_PID = pid, EVENT = event;
                "{}", self.text
            ),
            None => log::log!(self.level, EVENT = event; "{}", self.text),
        }
    }
}

impl Voice {
    /// The voice that belongs to a name.
    #[must_use]
    pub const fn of(name: ProgramName) -> Self {
        match name {
            ProgramName::SdStarter => Self::Ours,
            ProgramName::StartServer => Self::StartServer,
        }
    }

    /// What there is to say of the listeners before anything runs. Advice on this very worker
    /// makes the general warning superfluous.
    #[must_use]
    pub fn introduce(self, listeners: &Listeners, advice: &[String]) -> Vec<(Level, String)> {
        let mut lines = Vec::new();
        if self == Self::StartServer {
            let pins = listeners.as_slice().iter().filter_map(Listener::pin);
            let duplicated = |fd| format!("socket is duplicated to file descriptor {fd}");
            lines.extend(pins.map(|fd| (Level::Info, duplicated(fd))));
        }
        let is_told = |warning: &&Warning| match warning {
            Warning::DualStack { .. } => advice.is_empty(),
            _ => true,
        };
        let warnings = listeners.warnings().iter().filter(is_told).map(|warning| {
            let text = match (self, warning) {
                (Self::StartServer, Warning::Replaced { path }) => {
                    format!("removing existing socket file:{}", path.display())
                }
                (Self::Ours | Self::StartServer, warning) => warning.to_string(),
            };
            (Level::Warn, text)
        });
        lines.extend(warnings);
        lines.extend(advice.iter().map(|line| (Level::Warn, line.clone())));
        lines
    }

    /// The lines for a note: mostly one.
    #[must_use]
    pub fn say(self, note: &Note) -> Vec<Line> {
        if let Note::Ready { again: true, .. } = note {
            return Vec::new();
        }
        match self {
            Self::Ours => vec![ours::line(note)],
            Self::StartServer => start_servers::lines(note),
        }
    }
}

fn class(note: &Note) -> (Level, &'static str, Option<Name>) {
    match note {
        Note::ReloadAsked { .. } => (Level::Info, "reload-asked", None),
        Note::AutoRestart { .. } => (Level::Info, "auto-restart", None),
        Note::Starting(worker) => (Level::Info, "starting", Some(*worker)),
        Note::AttemptFailed { failure, pid, .. } => (
            Level::Error,
            "attempt-failed",
            pid.map(|pid| Name {
                generation: failure.generation,
                pid,
            }),
        ),
        Note::Ready { worker, .. } => (Level::Info, "ready", Some(*worker)),
        Note::OnTrial { worker, .. } => (Level::Info, "on-trial", Some(*worker)),
        Note::Draining { old, .. } => (Level::Info, "draining", old.first().copied()),
        Note::Drained { worker, .. } => (Level::Info, "drained", Some(*worker)),
        Note::Died { worker, .. } => (Level::Error, "died", Some(*worker)),
        Note::Hung { worker, .. } => (Level::Error, "hung", Some(*worker)),
        Note::Complained { worker, .. } => (Level::Warn, "complained", Some(*worker)),
        Note::Lingering { worker, .. } => (Level::Info, "lingering", Some(*worker)),
        Note::Overstayed { worker, .. } => (Level::Warn, "killed", Some(*worker)),
        Note::Stopping { .. } => (Level::Info, "stopping", None),
        Note::Left { worker, .. } => (Level::Info, "left", Some(*worker)),
        Note::GivingUp(_) => (Level::Error, "gave-up", None),
        Note::Exiting => (Level::Info, "exiting", None),
        Note::Recovered { serving, .. } => (Level::Warn, "recovered", *serving),
        Note::UpgradeAsked => (Level::Info, "upgrade-asked", None),
        Note::Upgraded { .. } => (Level::Info, "upgraded", None),
        Note::UpgradeRefused { .. } => (Level::Error, "upgrade-refused", None),
    }
}
