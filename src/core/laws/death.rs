//! The death of a supervisor in the middle of a step: what it has written down by then, what it has
//! done, and what its successor makes of the two.
//!
//! The order is the shell's. Before the first of a step's deeds that a successor must know of, the new
//! state is written, with the signals that are owed; a step without such a deed is written when there
//! is nothing more to do. (`write_ahead`, `strike_off` and `write_down` in `shell/survival.rs`.) What is
//! said to systemd and to clients waits for that; a worker's message is thrown away after it.

use super::bugs::Bug;
use super::judge::{Before, Heard};
use super::world::{Told, World};
use crate::core::machine::Machine;
use crate::core::worker::Presence;
use crate::core::{Action, Event, Exit, Foretold};
use crate::protocol::generation::Generation;
use crate::protocol::state::{machine as saved, record};

/// Where on its way through the next step the supervisor is killed, and what happens before its
/// successor looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    /// So many deeds are done; with `None` not even the state was written before them.
    pub(super) deeds: Option<usize>,
    /// It was also written that they are done, where they were all.
    pub(super) struck: bool,
    /// A fork that was asked for was done, and written down.
    pub(super) forked: bool,
    /// Each bit is a worker, newest first, that ends meanwhile.
    pub(super) dead: u8,
}

/// What a successor finds.
pub(super) struct Ledger {
    machine: saved::Machine,
    owed: Vec<Action>,
}

/// What was lost with a supervisor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lost {
    Nothing,
    /// What it had just heard.
    TheEvent,
}

impl World {
    /// What is written down between two steps.
    pub(super) fn ledger(&self) -> Ledger {
        Ledger {
            machine: self.machine.save(),
            owed: Vec::new(),
        }
    }

    /// The step was decided on, and is not carried out to its end.
    pub(super) fn die(
        &mut self,
        death: Death,
        ledger: Ledger,
        event: Event,
        actions: Vec<Action>,
        before: &Before,
    ) {
        let mut ledger = ledger;
        let foretold =
            actions.iter().any(|action| action.foretold().is_some()) && death.deeds.is_some();
        let written = foretold && self.bug != Some(Bug::WritesAfterTheDeeds);
        if written {
            ledger = self.ledger();
            let owed =
                |action: &&Action| matches!(action.foretold(), Some(Foretold::Signal { .. }));
            ledger.owed = actions.iter().filter(owed).cloned().collect();
        }
        let mut left = death.deeds.unwrap_or(0);
        for action in actions {
            let happens = if action.foretold().is_some() {
                let is_done = foretold && left > 0;
                left = left.saturating_sub(1);
                is_done
            } else {
                // What a line says is in the state. All else ends with the supervisor, or never left it.
                written && matches!(action, Action::Note(_))
            };
            if happens {
                self.judge(action, before);
            }
        }
        if left > 0 && death.struck || self.bug == Some(Bug::ForgetsWhatItOwes) {
            ledger.owed.clear();
        }
        self.deaths += 1;
        self.lost = if written {
            Lost::Nothing
        } else {
            Lost::TheEvent
        };
        if let (Event::Stop { .. }, Lost::TheEvent) = (&event, self.lost) {
            // Nobody was told (again).
            for (generation, told) in std::mem::take(&mut self.told_before) {
                self.alive.entry(generation).and_modify(|now| *now = told);
            }
        }
        let deaths = self.deaths;
        self.succeed(ledger, death.forked, death.dead);
        if let Event::Said { generation, word } = event {
            // Still there to be read.
            if self.deaths == deaths && self.alive.contains_key(&generation) && !self.finished {
                self.feed(Event::Said { generation, word });
            }
        }
    }

    /// The next supervisor, with what it finds; `forked` says of a fork that was asked for whether it
    /// was done and written down.
    pub(super) fn succeed(&mut self, ledger: Ledger, forked: bool, dead: u8) {
        let text = record::to_json(&ledger.machine);
        let state = record::from_json(&text).expect("what was written is read");
        let restored = Machine::restore(&state, self.machine.policy.clone());
        self.machine = restored.expect("it was a machine's");
        let open = self.machine.open_fork();
        for generation in std::mem::take(&mut self.open_forks) {
            if forked && open == Some(generation) {
                self.alive.insert(generation, Told::Nothing);
            } else {
                self.bury(generation);
            }
        }
        let forked = open.filter(|open| self.alive.contains_key(open));
        self.probe = None;
        self.cut_probes.clear();
        self.check = None;
        // Connections end with the process, and to systemd this is a new start.
        self.waiting.clear();
        self.upgraders.clear();
        self.heard = Heard::default();
        if !self.machine.snapshot().stopping {
            self.no_stop();
        }
        self.tell_strays_to_leave(forked);
        for owed in ledger.owed {
            self.redo(&owed);
        }
        let deaths = self.deaths;
        if let Some(generation) = forked {
            let pid = i32::try_from(generation.get()).expect("small") + 100;
            self.recovers = true;
            self.feed(Event::Forked { generation, pid });
            self.recovers = false;
        }
        self.no_stop();
        self.feed(Event::Recovered);
        if self.deaths == deaths {
            assert_eq!(
                self.heard.active,
                self.machine.serving_generation().is_some(),
                "READY=1 is due when somebody serves"
            );
        }
        if let Some(generation) = open.filter(|_| forked.is_none()) {
            self.feed(Event::NotStarted {
                generation,
                text: "the supervisor was replaced before it was started".to_owned(),
                errno: 0,
            });
        }
        self.miss();
        let alive: Vec<_> = self.alive.keys().rev().copied().collect();
        for (index, generation) in alive.into_iter().enumerate() {
            let dies = index < 8 && dead & (1 << index) != 0;
            if dies && self.alive.contains_key(&generation) && !self.finished {
                self.exit(generation, Exit::Unknown);
            }
        }
    }

    fn no_stop(&mut self) {
        (self.stop_asked, self.leaves) = (false, false);
        (self.stop_signal, self.kill_at) = (None, None);
    }

    /// Nobody leads them any more; the shell sees to their end.
    fn tell_strays_to_leave(&mut self, forked: Option<Generation>) {
        let seen = self.machine.snapshot().generations;
        let is_known =
            |one: Generation| forked == Some(one) || seen.iter().any(|seen| seen.generation == one);
        let strays: Vec<_> = self.alive.keys().copied().collect();
        for stray in strays.into_iter().filter(|one| !is_known(*one)) {
            self.bury(stray);
        }
        self.lingering.retain(|one, _| is_known(*one));
    }

    /// What was owed is done, again if need be.
    fn redo(&mut self, owed: &Action) {
        let (generation, told) = if let Action::Signal(generation, _) = owed {
            (*generation, Told::Leave)
        } else if let Action::Kill(generation) | Action::Sweep(generation) = owed {
            (*generation, Told::Die)
        } else {
            return;
        };
        for all in [&mut self.alive, &mut self.lingering] {
            if let Some(known) = all.get_mut(&generation) {
                if *known != Told::Die {
                    *known = told;
                }
            }
        }
        self.unready.remove(&generation);
    }

    /// The machine is told of those who went without its knowledge.
    fn miss(&mut self) {
        let exit = Exit::Unknown;
        for seen in self.machine.snapshot().generations {
            let generation = seen.generation;
            if self.finished || self.alive.contains_key(&generation) {
                continue;
            }
            let leaving = &self.machine.leaving;
            let rest = leaving.iter().any(|leaving| {
                leaving.worker.generation == generation && leaving.presence == Presence::Rest
            });
            match (self.lingering.contains_key(&generation), rest) {
                (true, true) => {}
                (true, false) => self.feed(Event::Lingers { generation, exit }),
                (false, _) => self.feed(Event::Exited { generation, exit }),
            }
        }
    }

    /// Who is to leave was told so, whoever did that.
    pub(super) fn judge_who_leaves(&self) {
        for leaving in &self.machine.leaving {
            let generation = leaving.worker.generation;
            let told = self.alive.get(&generation);
            assert_ne!(
                told,
                Some(&Told::Nothing),
                "alive: nobody told generation {generation} to leave"
            );
        }
    }
}
