//! The machine, written down for its successor. `restored` is the way back.

use std::time::Duration;

use super::Outcome;
use super::clock::Now;
use super::exit::Exit;
use super::failure::{Cause, Failure};
use super::machine::{Announced, Machine, Phase, Standing};
use super::note::Silence;
use super::pace::Pace;
use super::probing::Probe;
use super::request::{Origin, Request, Requester, Verdict};
use super::stop::Stopping;
use super::upgrade::{self, Upgrade};
use super::watch::Watch;
use super::worker::{
    Candidate, Complaint, Farewell, Kill, Leaving, Presence, Reason, Serving, Step, Worker,
};
use crate::protocol::generation::Generation;
use crate::protocol::state::machine as saved;

impl Machine {
    /// Everything that is going on, but not the rules: those are the command line's. At any moment
    /// between two steps; what the shell was asked for and has not answered is in it as such.
    #[must_use]
    pub fn save(&self) -> saved::Machine {
        saved::Machine {
            newest: self.newest.map(Generation::get),
            phase: phase(&self.phase),
            leaving: self.leaving.iter().map(leaving).collect(),
            again: self.again.iter().map(request).collect(),
            active: self.standing == Standing::Active,
            reloading: self.announced == Announced::Reloading,
            deaths: self.deaths,
            probing: self.probing.map(Generation::get),
            last_failure: self.last_failure.as_ref().map(failure),
            last_verdict: self
                .history
                .last
                .as_ref()
                .map(|(at, last)| (moment(*at), verdict(last))),
            reloads_failed: self.history.failed,
            restarts: self.history.deaths,
            pace: pace(self.pace),
            extend_at: self.extend_at.map(moment),
            status: self.status.clone(),
            upgrade: self.upgrade.as_ref().map(upgrade),
        }
    }
}

fn pace(pace: Pace) -> saved::Pace {
    let (rested_at, crowded_until) = pace.to_parts();
    saved::Pace {
        rested_at: rested_at.map(moment),
        crowded_until: crowded_until.map(moment),
    }
}

fn phase(phase: &Phase) -> saved::Phase {
    match phase {
        Phase::New => saved::Phase::New,
        Phase::Steady { current } => saved::Phase::Steady {
            current: serving(current),
        },
        Phase::Swapping { current, next } => saved::Phase::Swapping {
            current: current.as_ref().map(serving),
            next: candidate(next),
        },
        Phase::Stopping(stopping) => saved::Phase::Stopping(stop(stopping)),
        Phase::Finished => saved::Phase::Finished,
    }
}

fn serving(serving: &Serving) -> saved::Serving {
    saved::Serving {
        worker: worker(&serving.worker),
        since: moment(serving.since),
        settled: moment(serving.settled),
    }
}

fn worker(worker: &Worker) -> saved::Worker {
    saved::Worker {
        generation: worker.generation.get(),
        pid: worker.pid,
        forked: moment(worker.forked),
        words: worker.words.clone(),
        complained: worker.complaint == Complaint::Noted,
        watch: match worker.watch {
            Watch::Off => saved::Watch::Off,
            Watch::Resting { period } => saved::Watch::Resting {
                period: span(period),
            },
            Watch::Armed { period, due } => saved::Watch::Armed {
                period: span(period),
                due: moment(due),
            },
            Watch::Missed { period } => saved::Watch::Missed {
                period: span(period),
            },
        },
    }
}

fn candidate(candidate: &Candidate) -> saved::Candidate {
    saved::Candidate {
        reason: match candidate.reason {
            Reason::First => saved::Reason::First,
            Reason::Reload => saved::Reason::Reload,
            Reason::Replacement => saved::Reason::Replacement,
        },
        step: step(&candidate.step),
        failures: candidate.failures,
        tries: candidate.tries,
        requests: candidate.requests.iter().map(request).collect(),
    }
}

fn step(step: &Step) -> saved::Step {
    match step {
        Step::Forking { generation } => saved::Step::Forking {
            generation: generation.get(),
        },
        Step::Executing {
            worker: forked,
            timeout_at,
        } => saved::Step::Executing {
            worker: worker(forked),
            timeout_at: timeout_at.map(moment),
        },
        Step::Booting {
            worker: booting,
            alive_at,
            probe,
            timeout_at,
        } => saved::Step::Booting {
            worker: worker(booting),
            alive_at: alive_at.map(moment),
            probe: match *probe {
                Probe::Off => saved::Probe::Off,
                Probe::At(at) => saved::Probe::At(moment(at)),
                Probe::Running { until } => saved::Probe::Running {
                    until: moment(until),
                },
                Probe::Ending => saved::Probe::Ending,
            },
            timeout_at: timeout_at.map(moment),
        },
        Step::Trial {
            worker: tried,
            ready_at,
            until,
        } => saved::Step::Trial {
            worker: worker(tried),
            ready_at: moment(*ready_at),
            until: moment(*until),
        },
        Step::Pausing { until } => saved::Step::Pausing {
            until: moment(*until),
        },
    }
}

fn leaving(leaving: &Leaving) -> saved::Leaving {
    saved::Leaving {
        worker: worker(&leaving.worker),
        why: match leaving.why {
            Farewell::Replaced => saved::Farewell::Replaced,
            Farewell::Abandoned => saved::Farewell::Abandoned,
            Farewell::Stopped => saved::Farewell::Stopped,
            Farewell::Died => saved::Farewell::Died,
        },
        since: moment(leaving.since),
        kill: kill(leaving.kill),
        led: leaving.presence == Presence::Main,
    }
}

fn kill(kill: Kill) -> saved::Kill {
    match kill {
        Kill::Never => saved::Kill::Never,
        Kill::At {
            moment: at,
            patience,
        } => saved::Kill::At {
            moment: moment(at),
            patience: span(patience),
        },
        Kill::Done => saved::Kill::Done,
    }
}

fn stop(stopping: &Stopping) -> saved::Stopping {
    saved::Stopping {
        interrupted: stopping.interrupted,
        signal: stopping.signal.get(),
        kill: kill(stopping.kill),
        forking: stopping.forking.map(Generation::get),
        requesters: stopping.requesters.iter().map(number).collect(),
        never_served: stopping.outcome == Outcome::NeverServed,
    }
}

fn upgrade(upgrade: &Upgrade) -> saved::Upgrade {
    saved::Upgrade {
        step: match &upgrade.step {
            upgrade::Step::Checking { until } => saved::UpgradeStep::Checking {
                until: moment(*until),
            },
            upgrade::Step::Ending => saved::UpgradeStep::Ending,
            upgrade::Step::Replacing { version, until } => saved::UpgradeStep::Replacing {
                version: version.clone(),
                until: moment(*until),
            },
        },
        requesters: upgrade.requesters.iter().map(number).collect(),
        again: upgrade
            .again
            .as_ref()
            .map(|again| again.iter().map(number).collect()),
    }
}

fn request(request: &Request) -> saved::Request {
    saved::Request {
        requester: request.requester.as_ref().map(number),
        origin: match request.origin {
            Origin::ControlProcess => saved::Origin::ControlProcess,
            Origin::Client => saved::Origin::Client,
            Origin::Hangup => saved::Origin::Hangup,
            Origin::Timer => saved::Origin::Timer,
        },
        only_if: request.only_if.map(Generation::get),
    }
}

fn verdict(verdict: &Verdict) -> saved::Verdict {
    match verdict {
        Verdict::Serving(generation) => saved::Verdict::Serving(generation.get()),
        Verdict::Failed {
            failure: reason,
            kept,
        } => saved::Verdict::Failed {
            failure: failure(reason),
            kept: kept.map(Generation::get),
        },
        Verdict::OtherGeneration { serving } => saved::Verdict::OtherGeneration {
            serving: serving.map(Generation::get),
        },
        Verdict::Stopping => saved::Verdict::Stopping,
        Verdict::Stopped => saved::Verdict::Stopped,
        Verdict::Upgraded { from, to } => saved::Verdict::Upgraded {
            from: from.clone(),
            to: to.clone(),
        },
        Verdict::NotUpgraded { reason } => saved::Verdict::NotUpgraded {
            reason: reason.clone(),
        },
    }
}

fn failure(failure: &Failure) -> saved::Failure {
    saved::Failure {
        generation: failure.generation.get(),
        cause: match &failure.cause {
            Cause::NotStarted { text, errno } => saved::Cause::NotStarted {
                text: text.clone(),
                errno: *errno,
            },
            Cause::Exited { exit: how, after } => saved::Cause::Exited {
                exit: exit(*how),
                after: span(*after),
            },
            Cause::NotReady { timeout } => saved::Cause::NotReady {
                timeout: span(*timeout),
            },
            Cause::ExitedOnTrial { exit: how, after } => saved::Cause::ExitedOnTrial {
                exit: exit(*how),
                after: span(*after),
            },
            Cause::Reported { text } => saved::Cause::Reported { text: text.clone() },
            Cause::Hung { how } => saved::Cause::Hung {
                missed: match how {
                    Silence::Missed(period) => Some(span(*period)),
                    Silence::Triggered => None,
                },
            },
        },
        last_words: failure.last_words.clone(),
    }
}

/// How a process ended; the shell has ends to save, too.
pub(super) const fn exit(exit: Exit) -> saved::Exit {
    match exit {
        Exit::Status(status) => saved::Exit::Status(status),
        Exit::Killed { signal, core } => saved::Exit::Killed {
            signal: signal.get(),
            core,
        },
        Exit::Unknown => saved::Exit::Unknown,
    }
}

impl From<Exit> for saved::Exit {
    fn from(how: Exit) -> Self {
        exit(how)
    }
}

const fn number(requester: &Requester) -> u64 {
    requester.0
}

fn moment(moment: Now) -> saved::Moment {
    span(moment.since_start())
}

/// What is beyond 584 years is as good as never.
fn span(span: Duration) -> saved::Span {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
