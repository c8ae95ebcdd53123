//! After a crash: what a dead supervisor has written down goes on under its successor.
//!
//! To systemd the successor is a fresh start, so READY=1 is due (again), and nothing else is owed.
//! Whoever waited for a verdict has lost the connection. And nobody is judged by what could not be
//! heard meanwhile: whoever is expected to speak gets a moment for it.

use std::time::Duration;

use super::action::Telling;
use super::clock::Now;
use super::machine::{Announced, Machine, Phase, Standing};
use super::note::Note;
use super::out::Out;
use super::probing::Probe;
use super::request::{Origin, Request};
use super::worker::{Candidate, Kill, Reason, Step, Worker};

/// How long the successor listens before it concludes anything from silence.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn recovered(&mut self, now: Now, out: &mut Out) {
        self.standing = Standing::Starting;
        self.announced = Announced::Nothing;
        self.status.clear();
        self.extend_at = None;
        self.probing = None;
        self.upgrade = None;
        forget_requesters(&mut self.again);
        for leaving in &mut self.leaving {
            resume_watch(&mut leaving.worker, now);
        }
        self.note_recovery(out);
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Steady { mut current } => {
                resume_watch(&mut current.worker, now);
                self.phase = Phase::Steady { current };
            }
            Phase::Swapping {
                mut current,
                mut next,
            } => {
                if let Some(current) = &mut current {
                    resume_watch(&mut current.worker, now);
                }
                forget_requesters(&mut next.requests);
                self.resume_candidate(&mut next, now, out);
                self.phase = Phase::Swapping { current, next };
            }
            // We were started again, so the end is not wanted any more; whoever was told to leave
            // still leaves, and is killed when that was due.
            Phase::Stopping(stopping) => {
                for leaving in &mut self.leaving {
                    if leaving.kill == Kill::Never {
                        leaving.kill = stopping.kill;
                    }
                }
                self.begin(None, Reason::First, Vec::new(), now, out);
            }
            Phase::New | Phase::Finished => {
                self.begin(None, Reason::First, Vec::new(), now, out);
            }
        }
        if self.serving_generation().is_some() {
            self.standing = Standing::Active;
            out.tell(Telling::Ready);
        }
    }

    fn resume_candidate(&mut self, next: &mut Candidate, now: Now, out: &mut Out) {
        let soon = now.after(GRACE);
        match &mut next.step {
            // Nobody knows whether that fork happened; if so, it is nobody's child.
            Step::Forking { .. } => next.step = self.spawn(out),
            Step::Executing { timeout_at, .. } => {
                *timeout_at = timeout_at.map(|moment| moment.max(soon));
            }
            Step::Booting {
                alive_at,
                probe,
                timeout_at,
                ..
            } => {
                *alive_at = alive_at.map(|moment| moment.max(soon));
                *timeout_at = timeout_at.map(|moment| moment.max(soon));
                match *probe {
                    // The command went with the supervisor.
                    Probe::Running { .. } | Probe::Ending => *probe = Probe::At(soon),
                    Probe::Off | Probe::At(_) => {}
                }
            }
            Step::Trial { worker, until, .. } => {
                *until = (*until).max(soon);
                resume_watch(worker, now);
            }
            Step::Pausing { .. } => {}
        }
    }

    fn note_recovery(&self, out: &mut Out) {
        let serving = self.serving_generation();
        let seen = self.snapshot().generations;
        let names = seen.iter().map(|seen| super::Name {
            generation: seen.generation,
            pid: seen.pid,
        });
        let (current, others) = names.partition(|name| Some(name.generation) == serving);
        let current: Vec<_> = current;
        out.note(Note::Recovered {
            serving: current.first().copied(),
            others,
        });
    }
}

/// Those that nobody waits for stand: a reload was wanted. `ExecReload=` ended with the supervisor.
fn forget_requesters(requests: &mut [Request]) {
    for request in requests {
        request.requester = None;
        if request.origin == Origin::ControlProcess {
            request.origin = Origin::Client;
        }
    }
}

fn resume_watch(worker: &mut Worker, now: Now) {
    if worker.watch.is_armed() {
        worker.watch.arm(now);
    }
}
