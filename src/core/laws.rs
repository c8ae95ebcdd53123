//! The nine invariants, over random sequences of events in a small simulated world.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::protocol::generation::Generation;

/// What the random world can do next; what does not apply does nothing.
#[derive(Clone, Debug)]
enum Move {
    /// Answer the oldest open Spawn.
    Fork {
        works: bool,
    },
    /// The worker's exec is seen, or fails.
    Exec {
        which: usize,
        works: bool,
    },
    Exit {
        which: usize,
        status: i32,
        /// Others of its cgroup live on.
        lingers: bool,
    },
    /// The last of those others goes.
    Empty {
        which: usize,
    },
    /// The probe that runs ends.
    Probed {
        ready: bool,
    },
    Pet {
        which: usize,
    },
    Period {
        which: usize,
        millis: u64,
    },
    Hung {
        which: usize,
    },
    Ready {
        which: usize,
    },
    Broken {
        which: usize,
    },
    Extend {
        which: usize,
    },
    Words {
        which: usize,
    },
    Reload {
        origin: Origin,
        waits: bool,
        only_if: Option<u64>,
    },
    Gone {
        which: usize,
    },
    Wait {
        millis: u64,
    },
    Retune {
        delay: u64,
    },
    /// Something about a generation that never was.
    Nonsense {
        generation: u64,
    },
    Stop {
        by: StopBy,
    },
}

fn moves() -> impl Strategy<Value = Move> {
    let origin = prop_oneof![
        Just(Origin::ControlProcess),
        Just(Origin::Client),
        Just(Origin::Hangup),
        Just(Origin::Timer)
    ];
    let which = 0..4usize;
    prop_oneof![
        12 => prop::bool::weighted(0.9).prop_map(|works| Move::Fork { works }),
        12 => (which.clone(), prop::bool::weighted(0.9)).prop_map(|(which, works)| Move::Exec { which, works }),
        6 => (which.clone(), 0..3i32, prop::bool::weighted(0.3))
            .prop_map(|(which, status, lingers)| Move::Exit { which, status, lingers }),
        2 => which.clone().prop_map(|which| Move::Empty { which }),
        6 => prop::bool::weighted(0.3).prop_map(|ready| Move::Probed { ready }),
        6 => which.clone().prop_map(|which| Move::Pet { which }),
        1 => (which.clone(), 0..3000u64).prop_map(|(which, millis)| Move::Period { which, millis }),
        1 => which.clone().prop_map(|which| Move::Hung { which }),
        8 => which.clone().prop_map(|which| Move::Ready { which }),
        1 => which.clone().prop_map(|which| Move::Broken { which }),
        1 => which.clone().prop_map(|which| Move::Extend { which }),
        1 => which.clone().prop_map(|which| Move::Words { which }),
        10 => (origin, any::<bool>(), prop::option::weighted(0.2, 0..6u64))
            .prop_map(|(origin, waits, only_if)| Move::Reload { origin, waits, only_if }),
        1 => which.prop_map(|which| Move::Gone { which }),
        14 => prop_oneof![0..200u64, 900..1100u64, 0..40_000u64].prop_map(|millis| Move::Wait { millis }),
        1 => (0..3000u64).prop_map(|delay| Move::Retune { delay }),
        1 => (50..60u64).prop_map(|generation| Move::Nonsense { generation }),
        1 => prop_oneof![Just(StopBy::Terminate), Just(StopBy::Interrupt)].prop_map(|by| Move::Stop { by }),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    (
        prop_oneof![
            Just(Readiness::Auto),
            Just(Readiness::Alive),
            Just(Readiness::Notify),
            Just(Readiness::Descriptor),
            Just(Readiness::Command)
        ],
        prop_oneof![Just(Attempts::Unlimited), (1..4u32).prop_map(attempts)],
        prop_oneof![Just(0u64), Just(2000)],
        prop::option::of(1000..5000u64),
        prop::option::of(1000..5000u64),
        prop::option::of(0..3usize),
        prop::option::weighted(0.2, 5000..20_000u64),
        prop::option::weighted(0.3, 500..5000u64),
    )
        .prop_map(
            |(readiness, attempts, delay, drain, stop, max_draining, auto, watchdog)| Policy {
                readiness,
                attempts,
                kill_old_delay: Duration::from_millis(delay),
                drain_timeout: drain.map(Duration::from_millis),
                stop_timeout: stop.map(Duration::from_millis),
                max_draining,
                auto_restart: auto.map(Duration::from_millis),
                worker_watchdog: watchdog.map(Duration::from_millis),
                ..stories::policy()
            },
        )
}

fn attempts(count: u32) -> Attempts {
    Attempts::AtMost(NonZeroU32::new(count).expect("the strategy starts at 1"))
}

/// The world: what was asked for and what became of it, and the checks.
struct World {
    machine: Machine,
    millis: u64,
    step: usize,
    open_forks: Vec<Generation>,
    alive: BTreeMap<Generation, Told>,
    dead: BTreeSet<Generation>,
    /// Dead, but others of their cgroup are not.
    lingering: BTreeMap<Generation, Told>,
    probe: Option<Generation>,
    unready: BTreeSet<Generation>,
    /// When each became ready, and the trial that was due to it then.
    ready_at: BTreeMap<Generation, (u64, Duration)>,
    last_spawned: Option<Generation>,
    spawns: usize,
    spawned_at: usize,
    open_reloading: bool,
    stop_asked: bool,
    requests: u64,
    waiting: BTreeSet<Requester>,
    last_request: Option<usize>,
    finished: bool,
}

/// What an alive worker was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Nothing,
    Leave,
    Die,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            machine: Machine::new(policy),
            millis: 1000,
            step: 0,
            open_forks: Vec::new(),
            alive: BTreeMap::new(),
            dead: BTreeSet::new(),
            lingering: BTreeMap::new(),
            probe: None,
            unready: BTreeSet::new(),
            ready_at: BTreeMap::new(),
            last_spawned: None,
            spawns: 0,
            spawned_at: 0,
            open_reloading: false,
            stop_asked: false,
            requests: 0,
            waiting: BTreeSet::new(),
            last_request: None,
            finished: false,
        }
    }

    fn now(&self) -> Now {
        Now::at(Duration::from_millis(self.millis))
    }

    fn feed(&mut self, event: Event) {
        self.step += 1;
        let served = self.machine.serving_generation();
        let delay = self.machine.policy.kill_old_delay;
        let actions = self.machine.step(event, self.now());
        let mut answered = false;
        for action in actions {
            assert!(!self.finished, "an action after the end: {action:?}");
            match action {
                Action::Spawn(generation) => {
                    assert!(!self.stop_asked, "law 7: a spawn after a stop");
                    assert!(
                        self.last_spawned < Some(generation),
                        "law 6: numbers only grow"
                    );
                    self.last_spawned = Some(generation);
                    self.spawns += 1;
                    self.spawned_at = self.step;
                    self.open_forks.push(generation);
                    self.unready.insert(generation);
                    assert!(
                        self.unready.len() <= 1,
                        "law 1: {:?} are not ready",
                        self.unready
                    );
                }
                Action::Signal(generation, _) | Action::Kill(generation) => {
                    assert!(
                        !self.dead.contains(&generation),
                        "law 4: signalled after its exit"
                    );
                    self.unready.remove(&generation);
                    if served == Some(generation) && !self.stop_asked {
                        let successor = self.machine.serving_generation();
                        let ready = successor.and_then(|next| self.ready_at.get(&next));
                        assert!(
                            successor > served,
                            "law 2: told to stop without a successor"
                        );
                        let (since, trial) = ready.expect("law 2: the successor is ready");
                        let age = Duration::from_millis(self.millis - since);
                        assert!(age >= *trial, "law 2: told to stop during the trial");
                    }
                    let told = self
                        .alive
                        .get_mut(&generation)
                        .expect("law 4: no such process");
                    *told = match action {
                        Action::Kill(_) => Told::Die,
                        _ => Told::Leave,
                    };
                }
                Action::Sweep(generation) => {
                    let told = self.lingering.get_mut(&generation);
                    *told.expect("law 4: swept while its process lives, or nobody is left") =
                        Told::Die;
                }
                Action::Probe(generation) => {
                    assert_eq!(self.probe, None, "two probes at once");
                    assert!(self.alive.contains_key(&generation), "a probe of the dead");
                    assert!(self.unready.contains(&generation), "a probe of the ready");
                    self.probe = Some(generation);
                }
                Action::EndProbe(generation) => {
                    assert_eq!(self.probe, Some(generation), "no such probe");
                    self.probe = None;
                }
                Action::Tell(telling) => {
                    assert!(!answered, "the last word to systemd goes before the answer");
                    match telling {
                        Telling::Reloading => {
                            assert!(!self.open_reloading, "law 3: RELOADING twice");
                            self.open_reloading = true;
                        }
                        Telling::Ready | Telling::Stopping => self.open_reloading = false,
                        Telling::Status(_) | Telling::Extend(_) => {}
                    }
                }
                Action::Answer(requester, _) => {
                    answered = true;
                    assert!(self.waiting.remove(&requester), "law 9: a second verdict");
                }
                Action::Note(Note::Ready { worker, .. }) => {
                    self.unready.remove(&worker.generation);
                    self.ready_at
                        .insert(worker.generation, (self.millis, delay));
                }
                Action::Note(_) => {}
                Action::Finish(outcome) => {
                    self.finished = true;
                    assert!(self.alive.is_empty(), "law 7: somebody is left");
                    assert!(self.lingering.is_empty(), "law 7: something is left");
                    assert_eq!(self.probe, None, "law 7: a probe is left");
                    assert!(self.stop_asked || outcome == Outcome::NeverServed);
                }
            }
        }
        if !self.finished {
            let deadline = self.machine.deadline();
            assert!(
                deadline.is_none_or(|moment| moment > self.now()),
                "a timer in the past"
            );
        }
    }

    fn nth_alive(&self, which: usize) -> Option<Generation> {
        // The newest first: that is where things happen.
        self.alive.keys().rev().nth(which).copied()
    }

    fn bury(&mut self, generation: Generation) {
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

    fn exit(&mut self, generation: Generation, exit: Exit) {
        self.bury(generation);
        self.feed(Event::Exited { generation, exit });
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

    fn make(&mut self, a_move: Move) {
        match a_move {
            Move::Fork { works } => self.fork(works),
            Move::Exec { which, works } => {
                let Some(generation) = self.nth_alive(which) else {
                    return;
                };
                if works || self.ready_at.contains_key(&generation) {
                    self.feed(Event::Executed { generation });
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
            Move::Probed { ready } => {
                if let Some(generation) = self.probe.take() {
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
                let requester = waits.then_some(Requester(self.requests));
                self.requests += 1;
                self.waiting.extend(requester);
                let only_if = only_if.map(generation);
                let refused = only_if.is_some();
                self.feed(Event::Reload(Request {
                    requester,
                    origin,
                    only_if,
                }));
                if !refused {
                    self.last_request = Some(self.step);
                }
            }
            Move::Gone { which } => {
                let Some(requester) = self.waiting.iter().nth(which).copied() else {
                    return;
                };
                self.waiting.remove(&requester);
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
                let generation = generation(number);
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
            }
            Move::Stop { by } => {
                self.stop_asked = true;
                self.feed(Event::Stop {
                    requester: None,
                    by,
                });
            }
        }
    }

    fn say(&mut self, which: usize, word: &Word) {
        let Some(generation) = self.nth_alive(which) else {
            return;
        };
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
    fn settle(&mut self) {
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
            if !self.open_forks.is_empty() {
                self.fork(true);
            } else if let Some(generation) = obedient(&self.alive, stubborn) {
                self.exit(generation, Exit::Status(0));
            } else if let Some(generation) = obedient(&self.lingering, stubborn) {
                self.empty(generation);
            } else if let Some(generation) = self.unready.first().copied() {
                self.feed(Event::Executed { generation });
                if let Some(generation) = self.probe.take() {
                    let ready = true;
                    self.feed(Event::Probed { generation, ready });
                } else {
                    let word = Word::FoundReady;
                    self.feed(Event::Said { generation, word });
                }
            } else {
                let moment = self.machine.deadline();
                let auto = self.machine.policy.auto_restart.is_some();
                match moment {
                    // The automatic restart never settles.
                    Some(_) if auto && !self.machine.snapshot().swapping && !self.stop_asked => {
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
        panic!("the machine does not come to rest");
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

fn play(policy: Policy, moves: Vec<Move>) {
    let mut world = World::new(policy);
    world.feed(Event::Start);
    for a_move in moves {
        if world.finished {
            break;
        }
        world.make(a_move);
    }
    let before = world.spawns;
    world.settle();
    assert!(!world.open_reloading, "law 3: READY or STOPPING is owed");
    assert!(
        world.waiting.is_empty(),
        "law 9: {:?} wait for ever",
        world.waiting
    );
    if world.stop_asked {
        assert!(world.finished, "law 7: the program finishes");
    } else if !world.finished {
        assert!(
            world.machine.serving_generation().is_some(),
            "a good build is served at last"
        );
        if let Some(asked) = world.last_request {
            assert!(
                world.spawned_at >= asked,
                "law 5: the last request was lost"
            );
        }
        assert!(world.spawns - before <= 1, "law 5: stacked");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nine_laws_hold_over_random_lives(policy in policies(), moves in prop::collection::vec(moves(), 1..50)) {
        play(policy, moves);
    }
}
