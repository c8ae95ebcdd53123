//! A machine from what its predecessor wrote down (`saved`), with the rules of the command line in
//! force. What contradicts itself is refused: no rule would hold for it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::Outcome;
use super::clock::Now;
use super::exit::Exit;
use super::failure::{Cause, Failure};
use super::machine::{Announced, History, Machine, Phase, Standing};
use super::note::Silence;
use super::pace::Pace;
use super::policy::Policy;
use super::probing::Probe;
use super::request::{Origin, Request, Requester, Verdict};
use super::stop::Stopping;
use super::upgrade::{self, Upgrade};
use super::watch::Watch;
use super::worker::{
    Candidate, Complaint, Farewell, Kill, Leaving, Presence, Reason, Serving, Step, Worker,
};
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;
use crate::protocol::state::machine as saved;

/// Why nothing can be made of a saved machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// A generation's number that is none.
    Generation(u64),
    /// A generation that is in two states, or newer than the newest.
    Twice(u64),
    /// A process id that is none.
    Pid(i32),
    /// A signal that is none.
    Signal(i32),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generation(number) => write!(f, "{number} is not the number of a generation"),
            Self::Twice(number) => {
                write!(
                    f,
                    "generation {number} is in two places, or was never begun"
                )
            }
            Self::Pid(pid) => write!(f, "{pid} is not a process id"),
            Self::Signal(signal) => write!(f, "{signal} is not a signal"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Machine {
    /// The machine that was saved, under these rules. With the same rules it does exactly what the
    /// saved one would have done.
    ///
    /// What the shell was asked for and the predecessor did not answer is still open: see
    /// [`Machine::open_fork`] and [`Machine::requesters`].
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn restore(saved: &saved::Machine, policy: Policy) -> Result<Self, Unfit> {
        let moments = &saved.pace;
        let moments = (
            moments.rested_at.map(moment),
            moments.crowded_until.map(moment),
        );
        let machine = Self {
            pace: Pace::from_parts(policy.interval, moments),
            policy,
            phase: phase(&saved.phase)?,
            newest: saved.newest.map(generation).transpose()?,
            leaving: all(&saved.leaving, leaving)?,
            again: all(&saved.again, request)?,
            announced: if saved.reloading {
                Announced::Reloading
            } else {
                Announced::Nothing
            },
            standing: if saved.active {
                Standing::Active
            } else {
                Standing::Starting
            },
            deaths: saved.deaths,
            probing: saved.probing.map(generation).transpose()?,
            last_failure: saved.last_failure.as_ref().map(failure).transpose()?,
            history: History {
                last: match &saved.last_verdict {
                    Some((at, last)) => Some((moment(*at), verdict(last)?)),
                    None => None,
                },
                failed: saved.reloads_failed,
                deaths: saved.restarts,
            },
            extend_at: saved.extend_at.map(moment),
            status: saved.status.clone(),
            upgrade: saved.upgrade.as_ref().map(upgrade),
        };
        machine.is_consistent()?;
        Ok(machine)
    }

    /// Each generation is one thing at most, and was begun.
    fn is_consistent(&self) -> Result<(), Unfit> {
        let mut seen = BTreeSet::new();
        let snapshot = self.snapshot();
        let fork = self.open_fork();
        let all = snapshot.generations.iter().map(|seen| seen.generation);
        for generation in all.chain(fork) {
            if !seen.insert(generation) || Some(generation) > self.newest {
                return Err(Unfit::Twice(generation.get()));
            }
        }
        Ok(())
    }

    /// A [`Spawn`](super::Action::Spawn) that was not answered: a successor that finds no such
    /// process answers [`NotStarted`](super::Event::NotStarted).
    #[must_use]
    pub fn open_fork(&self) -> Option<Generation> {
        match &self.phase {
            Phase::Swapping { next, .. } => match next.step {
                Step::Forking { generation } => Some(generation),
                Step::Executing { .. }
                | Step::Booting { .. }
                | Step::Trial { .. }
                | Step::Pausing { .. } => None,
            },
            Phase::Stopping(stopping) => stopping.forking,
            Phase::New | Phase::Steady { .. } | Phase::Finished => None,
        }
    }

    /// Whoever waits for a verdict: a successor says [`Gone`](super::Event::Gone) for each whose
    /// connection it does not have.
    #[must_use]
    pub fn requesters(&self) -> Vec<Requester> {
        let of = |requests: &[Request]| -> Vec<_> {
            requests.iter().filter_map(|r| r.requester).collect()
        };
        let mut all = of(&self.again);
        match &self.phase {
            Phase::Swapping { next, .. } => all.extend(of(&next.requests)),
            Phase::Stopping(stopping) => all.extend(&stopping.requesters),
            Phase::New | Phase::Steady { .. } | Phase::Finished => {}
        }
        if let Some(upgrade) = &self.upgrade {
            all.extend(&upgrade.requesters);
            all.extend(upgrade.again.iter().flatten());
        }
        all
    }
}

fn phase(phase: &saved::Phase) -> Result<Phase, Unfit> {
    Ok(match phase {
        saved::Phase::New => Phase::New,
        saved::Phase::Steady { current } => Phase::Steady {
            current: serving(current)?,
        },
        saved::Phase::Swapping { current, next } => Phase::Swapping {
            current: current.as_ref().map(serving).transpose()?,
            next: Candidate {
                reason: match next.reason {
                    saved::Reason::First => Reason::First,
                    saved::Reason::Reload => Reason::Reload,
                    saved::Reason::Replacement => Reason::Replacement,
                },
                step: step(&next.step)?,
                failures: next.failures,
                tries: next.tries,
                requests: all(&next.requests, request)?,
            },
        },
        saved::Phase::Stopping(stopping) => Phase::Stopping(Stopping {
            interrupted: stopping.interrupted,
            signal: signal(stopping.signal)?,
            kill: kill(stopping.kill),
            forking: stopping.forking.map(generation).transpose()?,
            requesters: requesters(&stopping.requesters),
            outcome: if stopping.never_served {
                Outcome::NeverServed
            } else {
                Outcome::Stopped
            },
        }),
        saved::Phase::Finished => Phase::Finished,
    })
}

fn serving(serving: &saved::Serving) -> Result<Serving, Unfit> {
    Ok(Serving {
        worker: worker(&serving.worker)?,
        since: moment(serving.since),
        settled: moment(serving.settled),
    })
}

fn worker(worker: &saved::Worker) -> Result<Worker, Unfit> {
    if worker.pid < 1 {
        return Err(Unfit::Pid(worker.pid));
    }
    Ok(Worker {
        generation: generation(worker.generation)?,
        pid: worker.pid,
        forked: moment(worker.forked),
        words: worker.words.clone(),
        complaint: if worker.complained {
            Complaint::Noted
        } else {
            Complaint::None
        },
        watch: match worker.watch {
            saved::Watch::Off => Watch::Off,
            saved::Watch::Resting { period } => Watch::Resting {
                period: span(period),
            },
            saved::Watch::Armed { period, due } => Watch::Armed {
                period: span(period),
                due: moment(due),
            },
            saved::Watch::Missed { period } => Watch::Missed {
                period: span(period),
            },
        },
    })
}

fn step(step: &saved::Step) -> Result<Step, Unfit> {
    Ok(match step {
        saved::Step::Forking { generation: number } => Step::Forking {
            generation: generation(*number)?,
        },
        saved::Step::Executing {
            worker: forked,
            timeout_at,
        } => Step::Executing {
            worker: worker(forked)?,
            timeout_at: timeout_at.map(moment),
        },
        saved::Step::Booting {
            worker: booting,
            alive_at,
            probe,
            timeout_at,
        } => Step::Booting {
            worker: worker(booting)?,
            alive_at: alive_at.map(moment),
            probe: match *probe {
                saved::Probe::Off => Probe::Off,
                saved::Probe::At(at) => Probe::At(moment(at)),
                saved::Probe::Running { until } => Probe::Running {
                    until: moment(until),
                },
                saved::Probe::Ending => Probe::Ending,
            },
            timeout_at: timeout_at.map(moment),
        },
        saved::Step::Trial {
            worker: tried,
            ready_at,
            until,
        } => Step::Trial {
            worker: worker(tried)?,
            ready_at: moment(*ready_at),
            until: moment(*until),
        },
        saved::Step::Pausing { until } => Step::Pausing {
            until: moment(*until),
        },
    })
}

fn leaving(leaving: &saved::Leaving) -> Result<Leaving, Unfit> {
    Ok(Leaving {
        worker: worker(&leaving.worker)?,
        why: match leaving.why {
            saved::Farewell::Replaced => Farewell::Replaced,
            saved::Farewell::Abandoned => Farewell::Abandoned,
            saved::Farewell::Stopped => Farewell::Stopped,
            saved::Farewell::Died => Farewell::Died,
        },
        since: moment(leaving.since),
        kill: kill(leaving.kill),
        presence: if leaving.led {
            Presence::Main
        } else {
            Presence::Rest
        },
    })
}

const fn kill(kill: saved::Kill) -> Kill {
    match kill {
        saved::Kill::Never => Kill::Never,
        saved::Kill::At {
            moment: at,
            patience,
        } => Kill::At {
            moment: moment(at),
            patience: span(patience),
        },
        saved::Kill::Done => Kill::Done,
    }
}

fn upgrade(upgrade: &saved::Upgrade) -> Upgrade {
    Upgrade {
        step: match &upgrade.step {
            saved::UpgradeStep::Checking { until } => upgrade::Step::Checking {
                until: moment(*until),
            },
            saved::UpgradeStep::Ending => upgrade::Step::Ending,
            saved::UpgradeStep::Replacing { version, until } => upgrade::Step::Replacing {
                version: version.clone(),
                until: moment(*until),
            },
        },
        requesters: requesters(&upgrade.requesters),
        again: upgrade.again.as_deref().map(requesters),
    }
}

fn request(request: &saved::Request) -> Result<Request, Unfit> {
    Ok(Request {
        requester: request.requester.map(Requester),
        origin: match request.origin {
            saved::Origin::ControlProcess => Origin::ControlProcess,
            saved::Origin::Client => Origin::Client,
            saved::Origin::Hangup => Origin::Hangup,
            saved::Origin::Timer => Origin::Timer,
        },
        only_if: request.only_if.map(generation).transpose()?,
    })
}

fn verdict(verdict: &saved::Verdict) -> Result<Verdict, Unfit> {
    Ok(match verdict {
        saved::Verdict::Serving(number) => Verdict::Serving(generation(*number)?),
        saved::Verdict::Failed {
            failure: reason,
            kept,
        } => Verdict::Failed {
            failure: failure(reason)?,
            kept: kept.map(generation).transpose()?,
        },
        saved::Verdict::OtherGeneration { serving } => Verdict::OtherGeneration {
            serving: serving.map(generation).transpose()?,
        },
        saved::Verdict::Stopping => Verdict::Stopping,
        saved::Verdict::Stopped => Verdict::Stopped,
        saved::Verdict::Upgraded { from, to } => Verdict::Upgraded {
            from: from.clone(),
            to: to.clone(),
        },
        saved::Verdict::NotUpgraded { reason } => Verdict::NotUpgraded {
            reason: reason.clone(),
        },
    })
}

fn failure(failure: &saved::Failure) -> Result<Failure, Unfit> {
    Ok(Failure {
        generation: generation(failure.generation)?,
        cause: match &failure.cause {
            saved::Cause::NotStarted { text, errno } => Cause::NotStarted {
                text: text.clone(),
                errno: *errno,
            },
            saved::Cause::Exited { exit, after } => Cause::Exited {
                exit: (*exit).try_into()?,
                after: span(*after),
            },
            saved::Cause::NotReady { timeout } => Cause::NotReady {
                timeout: span(*timeout),
            },
            saved::Cause::ExitedOnTrial { exit, after } => Cause::ExitedOnTrial {
                exit: (*exit).try_into()?,
                after: span(*after),
            },
            saved::Cause::Reported { text } => Cause::Reported { text: text.clone() },
            saved::Cause::Hung { missed } => Cause::Hung {
                how: match missed {
                    Some(period) => Silence::Missed(span(*period)),
                    None => Silence::Triggered,
                },
            },
        },
        last_words: failure.last_words.clone(),
    })
}

impl TryFrom<saved::Exit> for Exit {
    type Error = Unfit;

    fn try_from(exit: saved::Exit) -> Result<Self, Unfit> {
        Ok(match exit {
            saved::Exit::Status(status) => Self::Status(status),
            saved::Exit::Killed {
                signal: number,
                core,
            } => Self::Killed {
                signal: signal(number)?,
                core,
            },
            saved::Exit::Unknown => Self::Unknown,
        })
    }
}

fn all<S, T>(saved: &[S], one: impl Fn(&S) -> Result<T, Unfit>) -> Result<Vec<T>, Unfit> {
    saved.iter().map(one).collect()
}

fn requesters(numbers: &[u64]) -> Vec<Requester> {
    numbers.iter().copied().map(Requester).collect()
}

fn generation(number: u64) -> Result<Generation, Unfit> {
    Generation::new(number).ok_or(Unfit::Generation(number))
}

fn signal(number: i32) -> Result<Signal, Unfit> {
    Signal::new(number).ok_or(Unfit::Signal(number))
}

const fn moment(moment: saved::Moment) -> Now {
    Now::at(span(moment))
}

const fn span(span: saved::Span) -> Duration {
    Duration::from_nanos(span)
}
