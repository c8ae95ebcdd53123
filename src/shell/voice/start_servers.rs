//! The words of Server::Starter 0.35.

use super::{Line, class, ours};
use crate::core::{Cause, Name, Note, Origin, StopBy};

pub(super) fn lines(note: &Note) -> Vec<Line> {
    let (level, event, worker) = class(note);
    let texts = match note {
        Note::ReloadAsked {
            origin: Origin::Hangup,
            ..
        } => {
            vec!["received HUP, spawning a new worker".to_owned()]
        }
        Note::AutoRestart { interval, forced } => {
            let forced = if *forced { "forced, " } else { "" };
            let interval = interval.as_secs_f64();
            vec![format!(
                "autorestart triggered ({forced}interval={interval})"
            )]
        }
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
                    vec![ours::line(note).text]
                }
            }
        }
        Note::Ready { old, signal, .. } => {
            // The first worker, and one that replaces a dead one, are not announced.
            if old.is_empty() {
                return Vec::new();
            }
            vec![format!(
                "new worker is now running, sending {signal} to old workers:{}",
                pids(old)
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
                StopBy::Quit => "QUIT",
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
        | Note::GivingUp(_)
        | Note::Recovered { .. }
        | Note::UpgradeAsked
        | Note::Upgraded { .. }
        | Note::UpgradeRefused { .. } => vec![ours::line(note).text],
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

/// Oldest first; start_server sorts them as strings (bug B16).
fn pids(workers: &[Name]) -> String {
    workers
        .iter()
        .map(|worker| worker.pid.to_string())
        .collect::<Vec<_>>()
        .join(",")
}
