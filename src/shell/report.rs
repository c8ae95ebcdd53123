//! The machine's snapshot as `GetStatus` answers it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::listeners::{Listener, Listeners, Origin};
use super::resources::{Counted, Usage};
use super::settings::{Ready, Settings};
use crate::core::{Now, Seen, Snapshot, State, Verdict};
use crate::protocol::address::{Address, SocketKind};
use crate::protocol::control::Wait;
use crate::protocol::version::version;

/// What there is to see.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The generations.
    pub snapshot: &'a Snapshot,
    /// STATUS=.
    pub text: &'a str,
    /// What was asked for.
    pub settings: &'a Settings,
    /// The sockets.
    pub listeners: &'a Listeners,
    /// When the supervisor was started.
    pub started: Now,
    /// Now.
    pub now: Now,
}

/// The reply to `GetStatus`; `usage` says what the tree of a process uses.
#[must_use]
pub fn status(sight: &Sight<'_>, mut usage: impl FnMut(i32) -> Option<Usage>) -> Value {
    let Sight {
        snapshot,
        text,
        settings,
        listeners,
        started,
        now,
    } = *sight;
    let workers = snapshot.generations.iter();
    let workers: Vec<_> = workers
        .map(|seen| worker(seen, usage(seen.pid), now))
        .collect();
    let mut command = vec![settings.program.to_string_lossy()];
    command.extend(
        settings
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy()),
    );
    json!({
        "pid": std::process::id(),
        "version": version(),
        "command": command,
        "readiness": readiness(&settings.ready),
        "statusText": text,
        "uptimeUSec": micros(now.since(started)),
        "serving": snapshot.serving().map(|generation| generation.get()),
        "newest": snapshot.newest.map(|generation| generation.get()),
        "swapping": snapshot.swapping,
        "stopping": snapshot.stopping,
        "workers": workers,
        "listeners": listeners.as_slice().iter().map(listener).collect::<Vec<_>>(),
        "lastVerdict": snapshot.last_verdict.as_ref().map(|(at, last)| verdict(last, *at, now)),
        "lastFailure": snapshot.last_failure.as_ref().map(ToString::to_string),
        "lastFailureGeneration": snapshot
            .last_failure
            .as_ref()
            .map(|failure| failure.generation.get()),
        "reloadsFailed": snapshot.reloads_failed,
        "restarts": snapshot.restarts,
    })
}

/// Whether what a client waits for holds.
#[must_use]
pub fn holds(wait: &Wait, snapshot: &Snapshot) -> bool {
    let serving = snapshot.serving().map(|generation| generation.get());
    wait.generation
        .is_none_or(|wanted| serving.is_some_and(|serving| serving >= wanted))
        && !(wait.drained && snapshot.is_draining())
        && !(wait.serving && (serving.is_none() || snapshot.swapping))
}

fn worker(seen: &Seen, usage: Option<Usage>, now: Now) -> Value {
    json!({
        "generation": seen.generation.get(),
        "pid": seen.pid,
        "state": match seen.state {
            State::Spawned => "spawned",
            State::Booting => "booting",
            State::Trial => "trial",
            State::Serving => "serving",
            State::Draining => "draining",
        },
        "ageUSec": micros(now.since(seen.forked)),
        "stateUSec": seen.since.map(|since| micros(now.since(since))),
        "deadlineUSec": seen.deadline.map(|deadline| micros(deadline.since(now))),
        "status": seen.words,
        "memory": usage.map(|usage| usage.memory),
        "memoryOf": usage.map(|usage| match usage.counted {
            Counted::Cgroup => "cgroup",
            Counted::Rss => "rss",
        }),
        "cpuUSec": usage.map(|usage| micros(usage.cpu)),
        "processes": usage.map(|usage| usage.processes),
    })
}

fn listener(listener: &Listener) -> Value {
    json!({
        "key": listener.key.as_deref(),
        "name": listener.name().as_str(),
        "address": listener.address.to_string(),
        "kind": kind(&listener.address, listener.kind),
        "fd": listener.target,
        "origin": match listener.origin {
            Origin::Adopted => "adopted",
            Origin::Bound => "bound",
            Origin::Stored => "stored",
        },
    })
}

/// What people call such a socket.
const fn kind(address: &Address, kind: SocketKind) -> &'static str {
    match (address, kind) {
        (Address::Inet4 { .. } | Address::Inet6 { .. }, SocketKind::Stream) => "tcp",
        (Address::Inet4 { .. } | Address::Inet6 { .. }, SocketKind::Datagram) => "udp",
        (_, SocketKind::Stream) => "stream",
        (_, SocketKind::Datagram) => "datagram",
        (_, SocketKind::SeqPacket) => "seqpacket",
        (_, SocketKind::Raw) => "raw",
        (_, SocketKind::Other(_) | SocketKind::NotASocket) => "other",
    }
}

fn verdict(verdict: &Verdict, at: Now, now: Now) -> Value {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let name = match verdict {
        Verdict::Serving(_) => "serving",
        Verdict::Failed { .. } => "failed",
        Verdict::OtherGeneration { .. }
        | Verdict::Stopping
        | Verdict::Stopped
        | Verdict::Upgraded { .. }
        | Verdict::NotUpgraded { .. } => "refused",
    };
    json!({
        "verdict": name,
        "reason": verdict.to_string(),
        "timeUSec": micros(since_epoch.saturating_sub(now.since(at))),
    })
}

const fn readiness(ready: &Ready) -> &'static str {
    match ready {
        Ready::Auto => "auto",
        Ready::Notify => "notify",
        Ready::Alive => "alive",
        Ready::Fd(_) => "fd",
        Ready::Command(_) => "command",
    }
}

/// Microseconds; more than JSON's integers hold is "for ever" anyway.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
