//! The loop's part in outliving a crash: what is going on is written down before it changes, and
//! systemd keeps every descriptor that a successor needs; the successor takes it all over.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::bequest::boot_id;
use super::cgroups::Cgroups;
use super::heritage::Heritage;
use super::ledger::Ledger;
use super::luggage::Packed;
use super::mailbox::Mailbox;
use super::remains::Found;
use super::strays::{self, Known, Strays};
use super::supervisor::{Broken, Supervisor, broken};
use crate::core::{Action, Event, Exit, Foretold};
use crate::os::clock;
use crate::os::reason::Reason;
use crate::protocol::generation::Generation;
use crate::protocol::keepsake::Keepsake;
use crate::protocol::listen_fds::Name;
use crate::protocol::signal_name::Signal;
use crate::protocol::state::{Held, Label, State, held};
use crate::protocol::version::version;

/// How long a stray may take to leave, where nothing else says so.
const STRAYS_LEAVE: Duration = Duration::from_secs(90);

/// What is kept up to date for a successor.
#[derive(Debug)]
pub(super) struct Survival {
    ledger: Ledger,
    /// The descriptors that systemd has.
    stored: BTreeSet<Label>,
    /// Signals that are about to be sent.
    owed: Vec<held::Owed>,
    strays: Option<Strays>,
    /// Whether the ledger could not be written; said once.
    broken: bool,
}

impl Survival {
    /// When something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.strays.as_ref().and_then(Strays::due)
    }
}

impl Supervisor {
    /// From now on a successor could take over. Takes over itself what a predecessor that crashed
    /// has left, and ends what is left of it otherwise.
    pub(super) fn survive(&mut self, found: Found) -> Result<(), Broken> {
        let kept = found.ledger.is_some();
        let ledger = found.ledger.map_or_else(Ledger::new, Ok);
        let ledger = ledger.map_err(broken("creating memory for the state"))?;
        if let Some(vault) = &mut self.vault {
            let name = Keepsake::State.name();
            if kept {
                vault.has(name);
            } else {
                // One that could not be read may be there.
                vault.release(&mut self.manager, &name);
                vault.keep(&mut self.manager, &name, ledger.as_fd(), false);
            }
            for label in &found.stored {
                vault.has(Keepsake::Labelled(label.clone()).name());
            }
        }
        self.workers.leave_mail();
        self.survival = Some(Survival {
            ledger,
            stored: found.stored.into_iter().collect(),
            owed: Vec::new(),
            strays: None,
            broken: false,
        });
        if let Some(reason) = found.lost {
            log::error!("cannot take back the workers of a supervisor that crashed: {reason}");
        }
        if !found.is_ours {
            let spared = match found.heritage {
                Some(heritage) => self.recover(heritage)?,
                None => Vec::new(),
            };
            self.end_strays(spared);
        }
        self.write_down()
    }

    /// Takes over from a supervisor that crashed; answers processes of its that are to be left
    /// alone.
    fn recover(&mut self, heritage: Heritage) -> Result<Vec<i32>, Broken> {
        let held = heritage.state.held.clone();
        let open = self.machine.open_fork();
        self.inherit(heritage)?;
        for saved in &held.workers {
            if let Some(generation) = Generation::new(saved.generation) {
                if !self.workers.contains(generation) {
                    self.miss(generation)?;
                }
            }
        }
        self.queue.push_front(Event::Recovered);
        // Its fork was the last that our predecessor did.
        if let Some(generation) = open {
            if let Some(pid) = self.workers.pid(generation) {
                self.queue.push_front(Event::Forked { generation, pid });
            }
        }
        self.redo(&held.owed);
        let log_command = held.log_command.and_then(|command| command.child);
        Ok(log_command.map(|(pid, _)| pid).into_iter().collect())
    }

    /// A worker that is gone; others of its cgroup may be left.
    fn miss(&mut self, generation: Generation) -> Result<(), Broken> {
        let exit = Exit::Unknown;
        let Some(cgroups) = &mut self.surroundings.cgroups else {
            return Ok(());
        };
        if !cgroups.contains(generation) {
            return Ok(());
        }
        let lingers = cgroups
            .survives(generation, exit)
            .map_err(broken("reading cgroup.events"))?;
        if lingers {
            self.queue.push_back(Event::Lingers { generation, exit });
            return Ok(());
        }
        self.queue.push_back(Event::Exited { generation, exit });
        self.wind_up(generation)
    }

    /// Sends what our predecessor was about to send when it was killed. It may have been sent;
    /// twice is better than never.
    fn redo(&mut self, owed: &[held::Owed]) {
        for owed in owed {
            let (Some(generation), Some(signal)) =
                (Generation::new(owed.generation), Signal::new(owed.signal))
            else {
                continue;
            };
            if owed.tree {
                self.kill_tree(generation);
            }
            if let Err(error) = self.workers.signal(generation, signal) {
                let reason = Reason(&error);
                log::error!("cannot send {signal} to generation {generation}: {reason}");
            }
        }
    }

    /// Tells everybody in our cgroup to leave whom nothing explains.
    fn end_strays(&mut self, spared: Vec<i32>) {
        let seen = self.machine.snapshot().generations;
        let mut known = Known {
            pids: spared.into_iter().collect(),
            generations: seen.iter().map(|seen| seen.generation).collect(),
        };
        known.pids.extend(seen.iter().map(|seen| seen.pid));
        let open = self.machine.open_fork();
        if let Some(generation) = open.filter(|open| self.workers.contains(*open)) {
            known.pids.extend(self.workers.pid(generation));
            known.generations.insert(generation);
        }
        let patience = self.settings.drain_timeout.duration();
        let patience = patience.or(self.settings.stop_timeout.duration());
        let kill_at = clock::now().saturating_add(patience.unwrap_or(STRAYS_LEAVE));
        let strays = Strays::tell_to_leave(&known, self.settings.signal_on_term, kill_at);
        if let Some(survival) = &mut self.survival {
            survival.strays = Some(strays);
        }
    }

    /// Kills strays that will not leave.
    pub(super) fn mind_strays(&mut self) {
        let survival = self.survival.as_mut();
        if let Some(strays) = survival.and_then(|survival| survival.strays.as_mut()) {
            strays.kill_if_due(clock::now());
        }
    }

    /// Writes down what the machine has decided, before it is done: whoever takes over then knows
    /// of a worker before it is forked, and of a signal before it is sent.
    pub(super) fn write_ahead(&mut self, actions: &[Action]) -> Result<(), Broken> {
        let Some(survival) = &mut self.survival else {
            return Ok(());
        };
        let foretold = || actions.iter().filter_map(Action::foretold);
        survival.owed.extend(foretold().filter_map(|foretold| {
            let Foretold::Signal {
                generation,
                signal,
                tree,
            } = foretold
            else {
                return None;
            };
            Some(held::Owed {
                generation: generation.get(),
                signal: signal.get(),
                tree,
            })
        }));
        if foretold().next().is_some() {
            self.write_down()?;
        }
        Ok(())
    }

    /// What was written ahead is done.
    pub(super) fn strike_off(&mut self) -> Result<(), Broken> {
        let Some(survival) = &mut self.survival else {
            return Ok(());
        };
        if survival.owed.is_empty() {
            return Ok(());
        }
        survival.owed.clear();
        self.write_down()
    }

    /// Has systemd keep what a worker is about to be given: what it says there before anybody knows
    /// of it must not be lost.
    pub(super) fn store_ahead(
        &mut self,
        generation: Generation,
        mailbox: Option<&Mailbox>,
    ) -> Result<(), Broken> {
        let (Some(survival), Some(vault)) = (&mut self.survival, &mut self.vault) else {
            return Ok(());
        };
        let mut packed = Packed::default();
        if let Some(mailbox) = mailbox {
            mailbox.save(generation, &mut packed);
        }
        self.surroundings.readiness.save(generation, &mut packed);
        for (label, fd) in packed.iter() {
            let name = Keepsake::Labelled(label.clone()).name();
            if vault.keep(&mut self.manager, &name, fd, false) {
                survival.stored.insert(label.clone());
            }
        }
        self.flush_manager()
    }

    /// Writes down what is going on, and has systemd keep what goes with it.
    pub(super) fn write_down(&mut self) -> Result<(), Broken> {
        let Some(mut survival) = self.survival.take() else {
            return Ok(());
        };
        let mut vault = self.vault.take();
        let (state, packed) = self.testament(&survival.owed);
        let mut wanted = BTreeSet::new();
        wanted.extend(packed.iter().map(|(label, _)| label.clone()));
        let mut fresh: Vec<(Label, Name, OwnedFd)> = Vec::new();
        if let Some(vault) = &mut vault {
            // Given up further down, but before systemd hears of what is new.
            let going = survival.stored.difference(&wanted).count();
            for (label, fd) in packed
                .iter()
                .filter(|(label, _)| !survival.stored.contains(label))
            {
                let name = Keepsake::Labelled(label.clone()).name();
                if !vault.has_room_for(&name, fresh.len(), going) {
                    continue;
                }
                // What cannot be copied now is tried again when something changes.
                match fd.try_clone_to_owned() {
                    Ok(copy) => fresh.push((label.clone(), name, copy)),
                    Err(error) => vault.fail(&error),
                }
            }
        }
        drop(packed);
        self.vault = vault;
        if let Err(error) = survival.ledger.write(&state) {
            if !survival.broken {
                survival.broken = true;
                let reason = Reason(&error);
                log::error!(
                    "cannot write the state down: {reason}; a crash would lose the workers"
                );
            }
        }
        if let Some(vault) = &mut self.vault {
            for label in survival.stored.difference(&wanted) {
                let name = Keepsake::Labelled(label.clone()).name();
                vault.release(&mut self.manager, &name);
            }
            survival.stored.retain(|label| wanted.contains(label));
            for (label, name, copy) in fresh {
                vault.store(&mut self.manager, &name, copy, false);
                survival.stored.insert(label);
            }
        }
        self.survival = Some(survival);
        Ok(())
    }

    /// The state as a successor needs it that comes after a crash: it opens its own sockets for
    /// clients, and nobody is connected to it.
    fn testament(&self, owed: &[held::Owed]) -> (State, Packed<'_>) {
        let mut packed = Packed::default();
        let mut aside = Packed::default();
        let around = &self.surroundings;
        let (kept, newest_kept) = around.fd_store.save(&mut packed);
        let log_command = self.log_command.as_ref();
        let mut held = Held {
            boot: boot_id(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            started: u64::try_from(self.started.since_start().as_nanos()).unwrap_or(u64::MAX),
            log_level: log::max_level().to_string(),
            workers: self.workers.save(&around.readiness, &mut packed),
            cgroups: around.cgroups.as_ref().map_or_else(Vec::new, Cgroups::save),
            kept,
            newest_kept,
            // Only so that it is not taken for a stray: workers go on writing to it.
            log_command: log_command.and_then(|command| command.save(&mut aside)),
            owed: owed.to_vec(),
            ..Held::default()
        };
        self.listeners.save(&mut held);
        let state = State {
            writer: version().to_owned(),
            machine: self.machine.save(),
            held,
            fds: std::collections::BTreeMap::new(),
        };
        (state, packed)
    }

    /// A clean end: there is nothing to take over, and nobody is left.
    pub(super) fn end_survival(&mut self) {
        let Some(mut survival) = self.survival.take() else {
            return;
        };
        if let Err(error) = survival.ledger.wipe_out() {
            log::error!("cannot wipe the state out: {}", Reason(&error));
        }
        if let Some(vault) = &mut self.vault {
            for label in &survival.stored {
                let name = Keepsake::Labelled(label.clone()).name();
                vault.release(&mut self.manager, &name);
            }
            vault.release(&mut self.manager, &Keepsake::State.name());
        }
        if !strays::end_everybody() {
            log::error!("somebody in our cgroup does not die of SIGKILL");
        }
    }

    /// The memory with the state, for whoever is executed in our place.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.survival.as_ref().map(|survival| &survival.ledger)
    }
}
