//! The log's words: each [`Note`] as a line, in our voice or in `start_server`'s.
//!
//! Under the name `start_server` the lines are those of Server::Starter 0.35, because scripts
//! grep them; what it has no words for is said in ours.

use log::Level;

use crate::core::{Cause, Name, Next, Note, Origin, Overstay, Rough, StopBy};

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
    /// The lines for a note: mostly one.
    #[must_use]
    pub fn say(self, note: &Note) -> Vec<Line> {
        if let Note::Ready { again: true, .. } = note {
            return Vec::new();
        }
        match self {
            Self::Ours => vec![ours(note)],
            Self::StartServer => start_servers(note),
        }
    }
}

fn ours(note: &Note) -> Line {
    let (level, event, worker) = class(note);
    let text = match note {
        Note::ReloadAsked {
            origin,
            queued: false,
        } => format!("reload {}", by(*origin)),
        Note::ReloadAsked {
            origin,
            queued: true,
        } => {
            format!(
                "reload {}; it follows the swap that is under way",
                by(*origin)
            )
        }
        Note::Starting(worker) => format!("starting {}", full(*worker)),
        Note::AttemptFailed {
            failure,
            count,
            next,
            ..
        } => {
            let times = if *count > 1 {
                format!(" ({count} times in a row)")
            } else {
                String::new()
            };
            format!("{failure}{times}; {}", what_next(*next))
        }
        Note::Ready { worker, after, .. } => {
            format!("{} is ready after {}", full(*worker), Rough(*after))
        }
        Note::OnTrial { worker, delay } => {
            format!("{} is on trial for {}", full(*worker), Rough(*delay))
        }
        Note::Draining { old, signal } => {
            format!(
                "sending {signal} to {}: a newer generation serves",
                list(old)
            )
        }
        Note::Drained {
            worker,
            exit,
            after,
        } => {
            format!(
                "{} has left: {exit} {} after it was told to",
                full(*worker),
                Rough(*after)
            )
        }
        Note::Died {
            worker,
            exit,
            count,
            pause,
        } => {
            let times = if *count > 1 {
                format!(" ({count} deaths in short order)")
            } else {
                String::new()
            };
            let when = if pause.is_zero() {
                "now".to_owned()
            } else {
                format!("in {}", Rough(*pause))
            };
            format!(
                "{} died: {exit}{times}; starting another one {when}",
                full(*worker)
            )
        }
        Note::Hung {
            worker,
            how,
            count,
            pause,
        } => {
            let times = if *count > 1 {
                format!(" ({count} times in short order)")
            } else {
                String::new()
            };
            let when = if pause.is_zero() {
                "now".to_owned()
            } else {
                format!("in {}", Rough(*pause))
            };
            format!(
                "{} hangs: {how}{times}; starting another one beside it {when}",
                full(*worker)
            )
        }
        Note::Complained { worker, text } => format!("{} reports {text}", full(*worker)),
        Note::Lingering { worker, exit } => format!(
            "{} {exit}; processes that it started are still there",
            full(*worker)
        ),
        Note::Overstayed {
            worker,
            limit: Overstay::Orphaned,
        } => format!("killing what {} left behind", full(*worker)),
        Note::Overstayed { worker, limit } => {
            format!("killing {}: {}", full(*worker), overstay(*limit))
        }
        Note::Stopping {
            by,
            signal,
            workers,
        } => {
            let by = match by {
                StopBy::Terminate => "TERM",
                StopBy::Interrupt => "INT",
            };
            format!(
                "stopping (received {by}): sending {signal} to {}",
                list(workers)
            )
        }
        Note::Left { worker, exit } => format!("{} has left: {exit}", full(*worker)),
        Note::GivingUp(failure) => format!("giving up, nothing ever served: {failure}"),
        Note::Exiting => "exiting".to_owned(),
    };
    Line {
        level,
        text,
        event,
        worker,
    }
}

fn start_servers(note: &Note) -> Vec<Line> {
    let (level, event, worker) = class(note);
    let texts = match note {
        Note::ReloadAsked {
            origin: Origin::Hangup,
            ..
        } => {
            vec!["received HUP, spawning a new worker".to_owned()]
        }
        Note::ReloadAsked {
            origin: Origin::Timer,
            ..
        } => vec!["autorestart triggered".to_owned()],
        Note::Starting(worker) => vec![format!("starting new worker {}", worker.pid)],
        Note::AttemptFailed {
            failure,
            pid: Some(pid),
            ..
        } => {
            let failed = |status: i32| {
                format!("new worker {pid} seems to have failed to start, exit status:{status}")
            };
            match &failure.cause {
                Cause::NotStarted { text, .. } => vec![text.clone(), failed(255 << 8)],
                Cause::Exited { exit, .. } | Cause::ExitedOnTrial { exit, .. } => {
                    vec![failed(exit.wait_status())]
                }
                Cause::NotReady { .. } | Cause::Reported { .. } | Cause::Hung { .. } => {
                    vec![ours(note).text]
                }
            }
        }
        Note::Ready { old, signal, .. } => {
            // The very first worker is not announced.
            if worker.is_some_and(|worker| worker.generation.get() == 1) && old.is_empty() {
                return Vec::new();
            }
            let to = if old.is_empty() {
                "none".to_owned()
            } else {
                pids(old)
            };
            vec![format!(
                "new worker is now running, sending {signal} to old workers:{to}"
            )]
        }
        Note::OnTrial { delay, .. } => {
            vec![format!(
                "sleeping {} secs before killing old workers",
                delay.as_secs_f64()
            )]
        }
        Note::Draining { .. } => vec!["killing old workers".to_owned()],
        Note::Drained { worker, exit, .. } => {
            vec![format!(
                "old worker {} died, status:{}",
                worker.pid,
                exit.wait_status()
            )]
        }
        Note::Died { worker, exit, .. } => vec![format!(
            "worker {} died unexpectedly with status:{}, restarting",
            worker.pid,
            exit.wait_status()
        )],
        Note::Stopping {
            by,
            signal,
            workers,
        } => {
            let by = match by {
                StopBy::Terminate => "TERM",
                StopBy::Interrupt => "INT",
            };
            vec![format!(
                "received {by}, sending {signal} to all workers:{}",
                pids(workers)
            )]
        }
        Note::Left { worker, exit } => {
            vec![format!(
                "worker {} died, status:{}",
                worker.pid,
                exit.wait_status()
            )]
        }
        Note::Exiting => vec!["exiting".to_owned()],
        Note::ReloadAsked { .. }
        | Note::Hung { .. }
        | Note::Complained { .. }
        | Note::Lingering { .. }
        | Note::AttemptFailed { pid: None, .. }
        | Note::Overstayed { .. }
        | Note::GivingUp(_) => vec![ours(note).text],
    };
    texts
        .into_iter()
        .map(|text| Line {
            level,
            text,
            event,
            worker,
        })
        .collect()
}

fn class(note: &Note) -> (Level, &'static str, Option<Name>) {
    match note {
        Note::ReloadAsked { .. } => (Level::Info, "reload-asked", None),
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
    }
}

fn by(origin: Origin) -> &'static str {
    match origin {
        Origin::ControlProcess => "asked for by ExecReload=",
        Origin::Client => "asked for by starterctl",
        Origin::Hangup => "asked for by HUP",
        Origin::Timer => "triggered by --enable-auto-restart",
    }
}

fn what_next(next: Next) -> String {
    match next {
        Next::Kept(generation) => format!("generation {generation} keeps serving"),
        Next::Retry { kept, pause } => {
            let keeps = kept.map_or_else(
                || "no generation is serving".to_owned(),
                |generation| format!("generation {generation} keeps serving"),
            );
            if pause.is_zero() {
                format!("{keeps}, next try now")
            } else {
                format!("{keeps}, next try in {}", Rough(pause))
            }
        }
        Next::GiveUp => "nothing ever served".to_owned(),
    }
}

fn overstay(limit: Overstay) -> String {
    match limit {
        Overstay::Drain(patience) => {
            format!(
                "it was told to leave {} ago and is still there",
                Rough(patience)
            )
        }
        Overstay::Stop(patience) => format!("--stop-timeout ({}) has passed", Rough(patience)),
        Overstay::TooMany(limit) => format!("more than --max-draining {limit} old generations"),
        Overstay::Impatience => "received INT again".to_owned(),
        Overstay::Silent(how) => format!("it was told to leave and hangs: {how}"),
        Overstay::Orphaned => "nobody leads it any more".to_owned(),
    }
}

fn full(worker: Name) -> String {
    format!("generation {} (pid {})", worker.generation, worker.pid)
}

fn list(workers: &[Name]) -> String {
    match workers {
        [] => "nobody".to_owned(),
        workers => workers
            .iter()
            .map(|worker| full(*worker))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Oldest first; start_server sorts them as strings (bug B16).
fn pids(workers: &[Name]) -> String {
    workers
        .iter()
        .map(|worker| worker.pid.to_string())
        .collect::<Vec<_>>()
        .join(",")
}
