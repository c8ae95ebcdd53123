//! A small simulated world: processes that are forked, run, speak and end; clients; the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bugs::Bug;
use super::coverage::Coverage;
use super::death::{Death, Lost};
use super::judge::{Before, Heard, last_word_before_the_answers};
use super::moves::Move;
use crate::core::{Event, Exit, Machine, Now, Policy, Request, Requester, StopBy, Word};
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;
use crate::protocol::state::record;

/// The world: what was asked for and what became of it.
pub(super) struct World {
    pub(super) machine: Machine,
    millis: u64,
    pub(super) step: usize,
    pub(super) open_forks: Vec<Generation>,
    pub(super) alive: BTreeMap<Generation, Told>,
    pub(super) dead: BTreeSet<Generation>,
    /// Dead, but others of their cgroup are not.
    pub(super) lingering: BTreeMap<Generation, Told>,
    pub(super) probe: Option<Generation>,
    /// Probes that were cut off and whose end is still to come.
    pub(super) cut_probes: Vec<Generation>,
    pub(super) unready: BTreeSet<Generation>,
    /// Whose program was seen to run, since when.
    pub(super) executed_at: BTreeMap<Generation, Now>,
    /// Who said, in a way that counts, that it is ready.
    pub(super) said_ready: BTreeSet<Generation>,
    /// When each became ready, and the trial that was due to it then.
    pub(super) ready_at: BTreeMap<Generation, (Now, Duration)>,
    /// The one that serves, or the last one that did.
    pub(super) last_served: Option<Generation>,
    pub(super) last_spawned: Option<Generation>,
    pub(super) spawns: usize,
    pub(super) spawned_at: usize,
    pub(super) heard: Heard,
    pub(super) stop_asked: bool,
    /// What everybody gets from the stop on.
    pub(super) stop_signal: Option<Signal>,
    /// Everybody is to leave: a stop, or the first generation failed for good.
    pub(super) leaves: bool,
    /// When whoever is left is to be killed.
    pub(super) kill_at: Option<Now>,
    requests: u64,
    pub(super) waiting: BTreeMap<Requester, Request>,
    /// Who waits for an upgrade.
    pub(super) upgraders: BTreeSet<Requester>,
    /// Whether the trial of a new program runs; false when it was cut off.
    pub(super) check: Option<bool>,
    pub(super) last_request: Option<usize>,
    pub(super) finished: bool,
    /// What was met, where that is counted.
    pub(super) coverage: Option<Coverage>,
    /// What is wrong with the machine.
    pub(super) bug: Option<Bug>,
    /// For that bug.
    pub(super) stacked: u32,
    /// What the next step is to end in.
    pub(super) death: Option<Death>,
    /// How many supervisors were killed in the middle of a step, and what went with the last one.
    pub(super) deaths: usize,
    pub(super) lost: Lost,
    /// What is told to it comes before it is told that it is a successor: it does nothing else yet.
    pub(super) recovers: bool,
    /// What everybody had been told when the last stop came.
    pub(super) told_before: BTreeMap<Generation, Told>,
}

/// What an alive worker was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    Nothing,
    Leave,
    Die,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            machine: Machine::new(policy),
            millis: 1000,
            step: 0,
            open_forks: Vec::new(),
            alive: BTreeMap::new(),
            dead: BTreeSet::new(),
            lingering: BTreeMap::new(),
            probe: None,
            cut_probes: Vec::new(),
            unready: BTreeSet::new(),
            executed_at: BTreeMap::new(),
            said_ready: BTreeSet::new(),
            ready_at: BTreeMap::new(),
            last_served: None,
            last_spawned: None,
            spawns: 0,
            spawned_at: 0,
            heard: Heard::default(),
            stop_asked: false,
            stop_signal: None,
            leaves: false,
            kill_at: None,
            requests: 0,
            waiting: BTreeMap::new(),
            upgraders: BTreeSet::new(),
            check: None,
            last_request: None,
            finished: false,
            coverage: None,
            bug: None,
            stacked: 0,
            death: None,
            deaths: 0,
            lost: Lost::Nothing,
            recovers: false,
            told_before: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now::at(Duration::from_millis(self.millis))
    }

    /// One step of the machine, and the judgement on it.
    pub(super) fn feed(&mut self, event: Event) {
        self.step += 1;
        let before = Before {
            served: self.machine.serving_generation(),
            trial: self.machine.policy.kill_old_delay,
        };
        if let Some(coverage) = &mut self.coverage {
            coverage.happens(&self.machine, &event);
        }
        let is_tick = matches!(event, Event::Tick);
        let death = self.death.take();
        let death = death.map(|death| (death, self.ledger(), event.clone()));
        let actions = self.step_with_bug(event, self.now());
        last_word_before_the_answers(&actions);
        if let Some((death, ledger, event)) = death {
            self.die(death, ledger, event, actions, &before);
            return;
        }
        for action in actions {
            self.judge(action, &before);
        }
        if self.recovers {
            return;
        }
        let now = self.now();
        let is_due = self.machine.deadline().is_some_and(|moment| moment <= now);
        if !is_tick && !self.finished && is_due {
            // As in the shell: the events of one wake-up end with a Tick.
            self.feed(Event::Tick);
            return;
        }
        self.judge_the_rest();
        if let Some(coverage) = &mut self.coverage {
            coverage.ask(&self.machine, now);
        }
    }

    fn nth_alive(&self, which: usize) -> Option<Generation> {
        // The newest first: that is where things happen.
        self.alive.keys().rev().nth(which).copied()
    }

    pub(super) fn bury(&mut self, generation: Generation) {
        self.alive.remove(&generation);
        self.unready.remove(&generation);
        self.dead.insert(generation);
    }

    fn fork(&mut self, works: bool) {
        if self.open_forks.is_empty() {
            return;
        }
        let generation = self.open_forks.remove(0);
        if works {
            self.alive.insert(generation, Told::Nothing);
            let pid = i32::try_from(generation.get()).expect("small") + 100;
            self.feed(Event::Forked { generation, pid });
        } else {
            self.bury(generation);
            self.feed(Event::NotStarted {
                generation,
                text: "forking".into(),
                errno: 11,
            });
        }
    }

    pub(super) fn exit(&mut self, generation: Generation, exit: Exit) {
        self.bury(generation);
        self.feed(Event::Exited { generation, exit });
    }

    fn execute(&mut self, generation: Generation) {
        let now = self.now();
        self.executed_at.entry(generation).or_insert(now);
        self.feed(Event::Executed { generation });
    }

    fn end_probe(&mut self, ready: bool) {
        if let Some(generation) = self.probe.take() {
            if ready {
                self.said_ready.insert(generation);
            }
            self.feed(Event::Probed { generation, ready });
        }
    }

    fn linger(&mut self, generation: Generation, exit: Exit) {
        let told = self.alive.get(&generation).copied();
        self.bury(generation);
        self.lingering.extend(told.map(|told| (generation, told)));
        self.feed(Event::Lingers { generation, exit });
    }

    fn empty(&mut self, generation: Generation) {
        self.lingering.remove(&generation);
        self.feed(Event::Exited {
            generation,
            exit: Exit::Status(0),
        });
    }

    pub(super) fn make(&mut self, a_move: Move) {
        match a_move {
            Move::Fork { works } => self.fork(works),
            Move::Exec { which, works } => {
                let Some(generation) = self.nth_alive(which) else {
                    return;
                };
                if works || self.ready_at.contains_key(&generation) {
                    self.execute(generation);
                } else {
                    self.bury(generation);
                    self.feed(Event::NotStarted {
                        generation,
                        text: "executing".into(),
                        errno: 2,
                    });
                }
            }
            Move::Exit {
                which,
                status,
                lingers,
            } => {
                let Some(generation) = self.nth_alive(which) else {
                    return;
                };
                if lingers {
                    self.linger(generation, Exit::Status(status));
                } else {
                    self.exit(generation, Exit::Status(status));
                }
            }
            Move::Empty { which } => {
                let nth = self.lingering.keys().nth(which).copied();
                if let Some(generation) = nth {
                    self.empty(generation);
                }
            }
            Move::Probed { ready } => self.end_probe(ready),
            Move::CutProbed { ready } => {
                // What it says comes too late.
                if let Some(generation) = self.cut_probes.pop() {
                    self.feed(Event::Probed { generation, ready });
                }
            }
            Move::Pet { which } => self.say(which, &Word::Alive),
            Move::Period { which, millis } => {
                self.say(which, &Word::Period(Duration::from_millis(millis)));
            }
            Move::Hung { which } => self.say(which, &Word::Hung),
            Move::Ready { which } => self.say(which, &Word::Ready),
            Move::Broken { which } => self.say(which, &Word::Broken("ERRNO=5".into())),
            Move::Extend { which } => self.say(which, &Word::Extend(Duration::from_secs(3))),
            Move::Words { which } => self.say(which, &Word::Status("warming up".into())),
            Move::Reload {
                origin,
                waits,
                only_if,
            } => {
                let request = Request {
                    requester: waits.then_some(Requester(self.requests)),
                    origin,
                    only_if: only_if.map(generation),
                };
                self.reload(request);
            }
            Move::Gone { which } => {
                let mut all = self.waiting.keys().chain(&self.upgraders);
                let Some(requester) = all.nth(which).copied() else {
                    return;
                };
                self.waiting.remove(&requester);
                self.upgraders.remove(&requester);
                self.feed(Event::Gone { requester });
            }
            Move::Wait { millis } => self.wait(millis),
            Move::Retune { delay } => {
                let auto_restart = self.machine.policy.auto_restart;
                let kill_old_delay = Duration::from_millis(delay);
                self.feed(Event::Retuned {
                    kill_old_delay,
                    auto_restart,
                });
            }
            Move::Nonsense { generation: number } => {
                let newest = self.machine.newest.unwrap_or(Generation::FIRST);
                let generation = (0..number).fold(newest, |newest, _| newest.next());
                self.feed(Event::Executed { generation });
                self.feed(Event::Exited {
                    generation,
                    exit: Exit::Unknown,
                });
                self.feed(Event::Lingers {
                    generation,
                    exit: Exit::Unknown,
                });
                self.feed(Event::Probed {
                    generation,
                    ready: true,
                });
                for word in [Word::Ready, Word::Alive, Word::Hung] {
                    self.feed(Event::Said { generation, word });
                }
                self.feed(Event::Gone {
                    requester: Requester(u64::MAX),
                });
                self.feed(Event::Start);
                if self.machine.successor().is_none() {
                    let from = String::new();
                    self.feed(Event::Replaced { from });
                    let reason = String::new();
                    self.feed(Event::NotReplaced { reason });
                }
            }
            Move::Crash { dead } => self.crash(dead),
            Move::Die(death) => self.death = Some(death),
            Move::Resume => self.resume(),
            Move::Upgrade { waits } => {
                let requester = waits.then_some(Requester(self.requests));
                self.requests += 1;
                self.upgraders.extend(requester);
                self.feed(Event::Upgrade { requester });
            }
            Move::Checked { works } => self.end_check(works),
            Move::Replace { works } => self.replace(works),
            Move::Stop { by } => {
                self.stop_begins(match by {
                    StopBy::Terminate | StopBy::Quit => self.machine.policy.signal_on_term,
                    StopBy::Interrupt => Signal::TERM,
                });
                self.feed(Event::Stop {
                    requester: None,
                    by,
                });
            }
        }
    }

    /// Another process goes on where this one was, by way of the text between them.
    fn resume(&mut self) {
        let saved = record::to_json(&self.machine.save());
        let saved = record::from_json(&saved).expect("what was written is read");
        let restored = Machine::restore(&saved, self.machine.policy.clone());
        // Equal in every part, and a step depends on nothing else: so it behaves alike for ever.
        assert_eq!(restored.as_ref(), Ok(&self.machine), "something was lost");
        self.machine = restored.expect("just compared");
        let waits: BTreeSet<_> = self.machine.requesters().into_iter().collect();
        assert!(
            waits
                .iter()
                .all(|r| self.waiting.contains_key(r) || self.upgraders.contains(r))
        );
        assert_eq!(waits.len(), self.waiting.len() + self.upgraders.len());
        assert_eq!(self.machine.open_fork().as_ref(), self.open_forks.first());
    }

    /// The supervisor is killed while nothing is to do.
    fn crash(&mut self, dead: u8) {
        self.resume();
        let ledger = self.ledger();
        self.succeed(ledger, false, dead);
    }

    fn end_check(&mut self, works: bool) {
        if let Some(runs) = self.check.take() {
            let answer = if works && runs {
                Ok("2".to_owned())
            } else {
                Err("crashed".to_owned())
            };
            self.feed(Event::Checked { answer });
        }
    }

    fn replace(&mut self, works: bool) {
        if self.machine.successor().is_none() {
            return;
        }
        if works {
            self.resume();
            let from = "1".to_owned();
            self.feed(Event::Replaced { from });
        } else {
            let reason = "executing: not found".to_owned();
            self.feed(Event::NotReplaced { reason });
        }
    }

    fn reload(&mut self, request: Request) {
        self.requests += 1;
        let waits = request.requester.map(|requester| (requester, request));
        self.waiting.extend(waits);
        let idle = !self.machine.snapshot().swapping && !self.leaves;
        let (before, deaths, asked) = (self.spawns, self.deaths, self.step + 1);
        self.feed(Event::Reload(request));
        if self.deaths > deaths {
            // One that was lost with its connection was not promised to anybody.
            if request.only_if.is_none() && self.lost == Lost::Nothing {
                self.last_request = Some(asked);
            }
            return;
        }
        let idle = idle && self.spawns > before;
        if request.only_if.is_none() {
            self.last_request = Some(self.step);
        }
        if idle && request.only_if.is_none() {
            // One that finds a swap under way joins what was announced for that, or not.
            assert_eq!(
                self.heard.reloading,
                request.origin.announces(),
                "law 3: RELOADING for a hangup and a client, and for nobody else"
            );
        }
    }

    fn say(&mut self, which: usize, word: &Word) {
        let Some(generation) = self.nth_alive(which) else {
            return;
        };
        if *word == Word::Ready && self.machine.policy.readiness.accepts_notify() {
            self.said_ready.insert(generation);
        }
        self.feed(Event::Said {
            generation,
            word: word.clone(),
        });
    }

    /// Lets time pass, waking up at each deadline on the way, as the shell does.
    fn wait(&mut self, millis: u64) {
        let end = self.millis + millis;
        while let Some(moment) = self.machine.deadline() {
            let due =
                u64::try_from(moment.since_start().as_micros().div_ceil(1000)).expect("small");
            if due > end || self.finished {
                break;
            }
            self.millis = due.max(self.millis);
            self.feed(Event::Tick);
        }
        self.millis = end;
    }

    /// The rest of the story in a world where everything works; nobody who is told to leave stays.
    pub(super) fn settle(&mut self) {
        let stubborn = self.machine.policy.stop_timeout.is_some() && self.stop_asked;
        for _ in 0..400 {
            // Nobody hangs in that world.
            for generation in self.alive.keys().copied().collect::<Vec<_>>() {
                self.feed(Event::Said {
                    generation,
                    word: Word::Period(Duration::ZERO),
                });
            }
            if self.finished {
                return;
            }
            if self.check.is_some() {
                self.end_check(true);
            } else if self.machine.successor().is_some() {
                self.replace(true);
            } else if !self.open_forks.is_empty() {
                self.fork(true);
            } else if let Some(generation) = obedient(&self.alive, stubborn) {
                self.exit(generation, Exit::Status(0));
            } else if let Some(generation) = obedient(&self.lingering, stubborn) {
                self.empty(generation);
            } else if let Some(generation) = self.unready.first().copied() {
                self.execute(generation);
                if self.probe.is_some() {
                    self.end_probe(true);
                } else {
                    self.said_ready.insert(generation);
                    let word = Word::FoundReady;
                    self.feed(Event::Said { generation, word });
                }
            } else {
                let moment = self.machine.deadline();
                let auto = self.machine.policy.auto_restart.is_some();
                match moment {
                    // The automatic restart never settles.
                    Some(_)
                        if auto
                            && !self.machine.snapshot().swapping
                            && self.machine.again.is_empty()
                            && !self.stop_asked =>
                    {
                        return;
                    }
                    Some(moment) => {
                        let due = moment.since_start().as_micros().div_ceil(1000);
                        self.millis = self.millis.max(u64::try_from(due).expect("small"));
                        self.feed(Event::Tick);
                    }
                    None => return,
                }
            }
        }
        panic!("alive: the machine does not come to rest");
    }
}

/// Somebody who leaves: at once when killed; when told to, unless a deadline is to be seen.
fn obedient(all: &BTreeMap<Generation, Told>, stubborn: bool) -> Option<Generation> {
    all.iter()
        .find(|(_, told)| match told {
            Told::Nothing => false,
            Told::Leave => !stubborn,
            Told::Die => true,
        })
        .map(|(generation, _)| *generation)
}

fn generation(number: u64) -> Generation {
    (0..number).fold(Generation::FIRST, |generation, _| generation.next())
}
