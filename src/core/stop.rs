//! The end: everybody is told to leave, and killed when the time is up.

use super::action::{Action, Outcome, Telling};
use super::clock::Now;
use super::event::StopBy;
use super::failure::Failure;
use super::machine::{Announced, Machine, Phase};
use super::note::{Note, Overstay};
use super::out::Out;
use super::request::{Requester, Verdict};
use super::worker::{Farewell, Kill, Leaving, Presence, Step};
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// We were told to stop, or the start failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stopping {
    /// By SIGINT, as the second one in a row kills.
    pub(super) interrupted: bool,
    /// What the workers got.
    pub(super) signal: Signal,
    /// When those who are left are killed.
    pub(super) kill: Kill,
    /// A fork that was asked for and has not been answered yet.
    pub(super) forking: Option<Generation>,
    /// Who waits for the end.
    pub(super) requesters: Vec<Requester>,
    pub(super) outcome: Outcome,
}

impl Machine {
    pub(super) fn stop(
        &mut self,
        requester: Option<Requester>,
        by: StopBy,
        now: Now,
        out: &mut Out,
    ) {
        let (workers, forking, requests) = match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::New => (Vec::new(), None, Vec::new()),
            Phase::Steady { current } => (vec![current.worker], None, Vec::new()),
            Phase::Swapping { current, next } => {
                let mut workers: Vec<_> =
                    current.map(|current| current.worker).into_iter().collect();
                let mut forking = None;
                match next.step {
                    Step::Forking { generation } => forking = Some(generation),
                    Step::Executing { worker, .. }
                    | Step::Booting { worker, .. }
                    | Step::Trial { worker, .. } => workers.push(worker),
                    Step::Pausing { .. } => {}
                }
                (workers, forking, next.requests)
            }
            Phase::Stopping(mut stopping) => {
                stopping.requesters.extend(requester);
                let interrupted = by == StopBy::Interrupt;
                let impatient = stopping.interrupted && interrupted;
                if impatient {
                    stopping.kill = Kill::Done;
                }
                stopping.interrupted = interrupted;
                self.phase = Phase::Stopping(stopping);
                if impatient {
                    self.kill_everybody(Overstay::Impatience, out);
                }
                return;
            }
            Phase::Finished => {
                self.phase = Phase::Finished;
                out.answer_stop(requester);
                return;
            }
        };
        let signal = match by {
            StopBy::Terminate | StopBy::Quit => self.policy.signal_on_term,
            StopBy::Interrupt => Signal::TERM,
        };
        for worker in workers {
            let mut worker = worker;
            worker.watch.rest();
            self.leaving
                .push(Leaving::new(worker, Farewell::Stopped, now, Kill::Never));
        }
        let names = self
            .leaving
            .iter()
            .filter(|leaving| leaving.presence == Presence::Main)
            .map(|leaving| leaving.worker.name())
            .collect();
        out.note(Note::Stopping {
            by,
            signal,
            workers: names,
        });
        self.announced = Announced::Nothing;
        // Another timer of systemd runs from here on: the last extension was not for it.
        self.extend_at = None;
        out.tell(Telling::Stopping);
        for leaving in &mut self.leaving {
            if leaving.why != Farewell::Died {
                leaving.why = Farewell::Stopped;
            }
            // Those who drain already are told as well: --signal-on-term may mean "faster".
            if leaving.kill != Kill::Done && leaving.presence == Presence::Main {
                out.act(Action::Signal(leaving.worker.generation, signal));
            }
        }
        out.answer(&requests, &Verdict::Stopping);
        out.answer(&std::mem::take(&mut self.again), &Verdict::Stopping);
        self.phase = Phase::Stopping(Stopping {
            interrupted: by == StopBy::Interrupt,
            signal,
            kill: Kill::after(self.policy.stop_timeout, now),
            forking,
            requesters: requester.into_iter().collect(),
            outcome: Outcome::Stopped,
        });
    }

    /// The first generation failed for good: nothing serves, so the program ends, and systemd's
    /// Restart= and start limits see a failure.
    pub(super) fn give_up(&mut self, failure: Failure, now: Now, out: &mut Out) {
        out.note(Note::GivingUp(failure));
        self.phase = Phase::Stopping(Stopping {
            interrupted: false,
            signal: self.policy.signal_on_term,
            kill: Kill::after(self.policy.stop_timeout, now),
            forking: None,
            requesters: Vec::new(),
            outcome: Outcome::NeverServed,
        });
    }

    pub(super) fn stopping_tick(&mut self, now: Now, out: &mut Out) {
        let Phase::Stopping(stopping) = &mut self.phase else {
            return;
        };
        if let Kill::At { moment, patience } = stopping.kill {
            if moment <= now {
                stopping.kill = Kill::Done;
                self.kill_everybody(Overstay::Stop(patience), out);
            }
        }
    }

    fn kill_everybody(&mut self, limit: Overstay, out: &mut Out) {
        for leaving in self
            .leaving
            .iter_mut()
            .filter(|leaving| leaving.kill != Kill::Done)
        {
            leaving.end(limit, out);
        }
    }

    /// Once the last worker's own process is gone, what they all left behind is killed at once:
    /// nobody leads it, and when we end systemd would do just that (KillMode=mixed).
    pub(super) fn sweep_if_alone(&mut self, out: &mut Out) {
        let Phase::Stopping(stopping) = &self.phase else {
            return;
        };
        let led = |leaving: &Leaving| leaving.presence == Presence::Main;
        if stopping.forking.is_some() || self.leaving.iter().any(led) {
            return;
        }
        for leaving in &mut self.leaving {
            if leaving.kill != Kill::Done {
                leaving.end(Overstay::Orphaned, out);
            }
        }
    }

    /// Ends the program once the last worker is gone.
    pub(super) fn finish_if_alone(&mut self, out: &mut Out) {
        let Phase::Stopping(stopping) = &mut self.phase else {
            return;
        };
        if !self.leaving.is_empty() || stopping.forking.is_some() {
            return;
        }
        for requester in std::mem::take(&mut stopping.requesters) {
            out.answer_stop(Some(requester));
        }
        let outcome = stopping.outcome;
        out.note(Note::Exiting);
        out.act(Action::Finish(outcome));
        self.phase = Phase::Finished;
    }
}

impl Out {
    fn answer_stop(&mut self, requester: Option<Requester>) {
        if let Some(requester) = requester {
            self.act(Action::Answer(requester, Verdict::Stopped));
        }
    }
}
