//! What can be seen of the machine: the STATUS sentence, and a snapshot for everybody else.

use std::fmt::Write as _;

use super::clock::Now;
use super::failure::{Failure, Rough};
use super::machine::{Announced, Machine, Phase};
use super::request::Verdict;
use super::worker::{Farewell, Leaving, Step, Worker};
use crate::protocol::generation::Generation;

/// What one generation is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Forked; its program does not run yet.
    Spawned,
    /// Its program runs; it is not ready.
    Booting,
    /// Ready and watched, beside the one that serves.
    Trial,
    /// Serving.
    Serving,
    /// Told to leave because a newer one serves, because it failed, or because we stop.
    Draining,
}

/// One generation, as seen from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Its number.
    pub generation: Generation,
    /// Its process.
    pub pid: i32,
    /// What it is doing.
    pub state: State,
    /// When it was forked.
    pub forked: Now,
    /// Since when it serves or drains.
    pub since: Option<Now>,
    /// When it will be killed.
    pub deadline: Option<Now>,
    /// Its last STATUS=.
    pub words: Option<String>,
}

/// Everything that can be seen, oldest generation first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The generations that have a process.
    pub generations: Vec<Seen>,
    /// The newest generation number given out.
    pub newest: Option<Generation>,
    /// Whether a swap is under way, or waits for its turn.
    pub swapping: bool,
    /// Whether systemd was told RELOADING=1 and not yet READY=1.
    pub announced: bool,
    /// Whether we are stopping.
    pub stopping: bool,
    /// Why the last attempt failed, until a swap succeeds.
    pub last_failure: Option<Failure>,
    /// How the last reload that was decided ended, and when.
    pub last_verdict: Option<(Now, Verdict)>,
    /// How many reloads failed.
    pub reloads_failed: u64,
    /// How many serving generations died by themselves.
    pub restarts: u64,
}

impl Snapshot {
    /// The generation that serves, if one does.
    #[must_use]
    pub fn serving(&self) -> Option<Generation> {
        self.in_state(State::Serving)
    }

    /// Whether old generations are left.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.in_state(State::Draining).is_some()
    }

    fn in_state(&self, state: State) -> Option<Generation> {
        self.generations
            .iter()
            .find(|seen| seen.state == state)
            .map(|seen| seen.generation)
    }
}

impl Machine {
    /// The generation that serves, if it is alone: none is on its way, none is leaving.
    #[must_use]
    pub fn settled(&self) -> Option<Generation> {
        match &self.phase {
            Phase::Steady { current } if self.leaving.is_empty() => Some(current.worker.generation),
            Phase::Steady { .. }
            | Phase::New
            | Phase::Swapping { .. }
            | Phase::Stopping(_)
            | Phase::Finished => None,
        }
    }

    /// What can be seen now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut generations: Vec<Seen> = self
            .leaving
            .iter()
            .map(|leaving| {
                let mut seen = seen(&leaving.worker, State::Draining, Some(leaving.since));
                seen.deadline = leaving.kill.deadline();
                seen
            })
            .collect();
        let (serving, candidate) = match &self.phase {
            Phase::Steady { current } => (Some(current), None),
            Phase::Swapping { current, next } => (current.as_ref(), Some(&next.step)),
            Phase::New | Phase::Stopping(_) | Phase::Finished => (None, None),
        };
        generations.extend(
            serving.map(|serving| seen(&serving.worker, State::Serving, Some(serving.since))),
        );
        generations.extend(candidate.and_then(|step| {
            let (state, since) = match step {
                Step::Executing { .. } => (State::Spawned, None),
                Step::Booting { .. } => (State::Booting, None),
                Step::Trial { ready_at, .. } => (State::Trial, Some(*ready_at)),
                Step::Forking { .. } | Step::Pausing { .. } => return None,
            };
            step.worker().map(|worker| Seen {
                deadline: step.limit(),
                ..seen(worker, state, since)
            })
        }));
        generations.sort_unstable_by_key(|seen| seen.generation);
        Snapshot {
            generations,
            newest: self.newest,
            swapping: matches!(self.phase, Phase::Swapping { .. }) || !self.again.is_empty(),
            announced: self.announced == Announced::Reloading,
            stopping: matches!(self.phase, Phase::Stopping(_) | Phase::Finished),
            last_failure: self.last_failure.clone(),
            last_verdict: self.history.last.clone(),
            reloads_failed: self.history.failed,
            restarts: self.history.deaths,
        }
    }

    /// One sentence, present tense, with the numbers that the operator asks for (STATUS=).
    #[must_use]
    pub fn status_text(&self) -> String {
        let mut text = String::new();
        match &self.phase {
            Phase::New | Phase::Finished => return self.status_when_idle(),
            Phase::Steady { current } => self.write_serving(&mut text, &current.worker),
            Phase::Swapping { current, next } => {
                if let Some(current) = current {
                    self.write_serving(&mut text, &current.worker);
                    text.push_str("; ");
                }
                write_candidate(&mut text, &next.step);
            }
            Phase::Stopping(_) => {
                let left = self.leaving.len();
                let plural = if left == 1 { "" } else { "s" };
                push(
                    &mut text,
                    format_args!("stopping; waiting for {left} generation{plural}"),
                );
                return text;
            }
        }
        let draining = self
            .leaving
            .iter()
            .filter(|leaving| leaving.is_draining())
            .count();
        if draining > 0 {
            push(&mut text, format_args!("; draining {draining}"));
        }
        if let Some(failure) = &self.last_failure {
            push(&mut text, format_args!("; {failure}"));
            if let Some(serving) = self.serving_generation() {
                push(
                    &mut text,
                    format_args!("; generation {serving} keeps serving"),
                );
            }
        }
        if let Some((generation, words)) = self.worker_words() {
            push(&mut text, format_args!("; [gen {generation}] {words}"));
        }
        text
    }

    fn status_when_idle(&self) -> String {
        match &self.last_failure {
            Some(failure) => failure.to_string(),
            None => String::new(),
        }
    }

    fn write_serving(&self, text: &mut String, worker: &Worker) {
        let sockets = self.policy.sockets;
        let plural = if sockets == 1 { "" } else { "s" };
        push(
            text,
            format_args!(
                "serving generation {} (pid {}) on {sockets} socket{plural}",
                worker.generation, worker.pid
            ),
        );
    }

    /// What the pending worker says, else what the serving one says.
    fn worker_words(&self) -> Option<(Generation, &str)> {
        let of = |worker: &'_ Worker| worker.words.is_some();
        let worker = match &self.phase {
            Phase::Steady { current } => Some(&current.worker),
            Phase::Swapping { current, next } => next
                .step
                .worker()
                .filter(|worker| of(worker))
                .or_else(|| current.as_ref().map(|current| &current.worker)),
            Phase::New | Phase::Stopping(_) | Phase::Finished => None,
        }?;
        worker
            .words
            .as_deref()
            .map(|words| (worker.generation, words))
    }
}

impl Leaving {
    fn is_draining(&self) -> bool {
        match self.why {
            Farewell::Replaced => true,
            Farewell::Abandoned | Farewell::Stopped | Farewell::Died => false,
        }
    }
}

fn write_candidate(text: &mut String, step: &Step) {
    match step {
        Step::Forking { generation } => {
            push(text, format_args!("starting generation {generation}"));
        }
        Step::Executing { worker, .. } | Step::Booting { worker, .. } => push(
            text,
            format_args!(
                "starting generation {} (pid {})",
                worker.generation, worker.pid
            ),
        ),
        Step::Trial {
            worker,
            ready_at,
            until,
        } => push(
            text,
            format_args!(
                "generation {} (pid {}) is on trial for {}",
                worker.generation,
                worker.pid,
                Rough(until.since(*ready_at))
            ),
        ),
        // The moment is not said: STATUS would have to change with every second.
        Step::Pausing { .. } => text.push_str("pausing before the next try"),
    }
}

fn seen(worker: &Worker, state: State, since: Option<Now>) -> Seen {
    Seen {
        generation: worker.generation,
        pid: worker.pid,
        state,
        forked: worker.forked,
        since,
        deadline: None,
        words: worker.words.clone(),
    }
}

/// Appends; writing to a String cannot fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}
