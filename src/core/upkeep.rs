//! What time brings about, when a wake-up has heard everything: timers. And what is due after every event:
//! the next swap in the queue, the end, the extension of systemd's patience, the STATUS.

use super::action::Telling;
use super::clock::Now;
use super::machine::{Announced, Machine, Phase, Standing};
use super::note::{Note, Overstay};
use super::out::Out;
use super::policy::{EXTENSION, EXTENSION_EVERY};
use super::queue::TIMER_REQUEST;
use super::request::{Origin, Request};
use super::worker::{Kill, Reason, Serving};

impl Machine {
    pub(super) fn tick(&mut self, now: Now, out: &mut Out) {
        for leaving in &mut self.leaving {
            if let Kill::At { moment, patience } = leaving.kill {
                if moment <= now {
                    leaving.end(Overstay::Drain(patience), out);
                }
            }
        }
        self.upgrade_tick(now, out);
        match &self.phase {
            Phase::Steady { current } => {
                if self
                    .auto_restart_at(current)
                    .is_some_and(|moment| moment <= now)
                {
                    let current = current.clone();
                    self.restart_by_itself(current, now, out);
                }
            }
            Phase::Swapping { .. } => self.candidate_tick(now, out),
            Phase::Stopping(_) => self.stopping_tick(now, out),
            Phase::New | Phase::Finished => {}
        }
    }

    fn restart_by_itself(&mut self, current: Serving, now: Now, out: &mut Out) {
        out.note(Note::AutoRestart {
            interval: self.policy.auto_restart.unwrap_or_default(),
            forced: !self.leaving.is_empty(),
        });
        let mut requests = self.take_queued(Some(current.worker.generation), out);
        requests.push(TIMER_REQUEST);
        self.begin(Some(current), Reason::Reload, requests, now, out);
    }

    /// After every event: the next swap in the queue, the end, the extension, the STATUS.
    pub(super) fn settle(&mut self, now: Now, out: &mut Out) {
        self.begin_queued(now, out);
        self.end_stray_probe(out);
        self.end_upgrade_if_stopping(out);
        self.sweep_if_alone(out);
        self.finish_if_alone(out);
        if self.systemd_waits() {
            if self.extend_at.is_none_or(|moment| moment <= now) {
                out.tell(Telling::Extend(EXTENSION));
                self.extend_at = Some(now.after(EXTENSION_EVERY));
            }
        } else {
            self.extend_at = None;
        }
        let status = self.status_text();
        if status != self.status {
            out.tell(Telling::Status(status.clone()));
            self.status = status;
        }
    }

    /// Whether systemd has a timer running that counts against us.
    fn systemd_waits(&self) -> bool {
        match &self.phase {
            Phase::New | Phase::Finished => false,
            Phase::Steady { .. } => self.again.iter().any(is_control),
            Phase::Swapping { next, .. } => {
                self.standing == Standing::Starting
                    || self.announced == Announced::Reloading
                    || next.requests.iter().chain(&self.again).any(is_control)
            }
            Phase::Stopping(_) => true,
        }
    }

    /// When the automatic restart is due: an interval after the last swap, once nobody drains;
    /// after two intervals in any case (as start_server).
    pub(super) fn auto_restart_at(&self, current: &Serving) -> Option<Now> {
        let interval = self.policy.auto_restart?;
        let forced = interval.saturating_mul(2);
        let age = if self.leaving.is_empty() {
            interval
        } else {
            forced
        };
        Some(current.settled.after(age))
    }
}

fn is_control(request: &Request) -> bool {
    request.origin == Origin::ControlProcess
}
