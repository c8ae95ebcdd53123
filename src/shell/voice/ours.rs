//! Our own words.

use std::time::Duration;

use super::{Line, class};
use crate::core::{Name, Next, Note, Origin, Overstay, Rough, StopBy};

pub(super) fn line(note: &Note) -> Line {
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
            format!("reload {}; it waits for its turn", by(*origin))
        }
        Note::AutoRestart { interval, forced } => {
            let forced = if *forced {
                ", although old generations are left"
            } else {
                ""
            };
            format!("automatic reload after {}{forced}", Rough(*interval))
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
        } => format!(
            "{} died: {exit}{}; starting another one {}",
            full(*worker),
            in_a_row(*count, "deaths"),
            when(*pause)
        ),
        Note::Hung {
            worker,
            how,
            count,
            pause,
        } => format!(
            "{} hangs: {how}{}; starting another one beside it {}",
            full(*worker),
            in_a_row(*count, "times"),
            when(*pause)
        ),
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
                StopBy::Quit => "QUIT",
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
        Note::Recovered { serving, others } => {
            let serving = serving.map_or("nobody".to_owned(), full);
            let others = match others.as_slice() {
                [] => String::new(),
                others => format!(", besides {}", list(others)),
            };
            format!("taken over from a supervisor that crashed: serving {serving}{others}")
        }
        Note::UpgradeAsked => "upgrade asked for: trying the program that is on disk".to_owned(),
        Note::Upgraded { from, to } => {
            format!("upgraded in place: version {to} has taken over from {from}")
        }
        Note::UpgradeRefused { reason } => format!("not upgraded, nothing has changed: {reason}"),
    };
    Line {
        level,
        text,
        event,
        worker,
    }
}

/// How often, from the second time on.
fn in_a_row(count: u32, what: &str) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" ({count} {what} in short order)"),
    }
}

fn when(pause: Duration) -> String {
    if pause.is_zero() {
        "now".to_owned()
    } else {
        format!("in {}", Rough(pause))
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
