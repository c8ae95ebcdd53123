//! The loop's part in an upgrade in place: the trial of the successor, the exec, and what the
//! successor does first.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use super::heritage::{Heritage, VARIABLE};
use super::supervisor::{Broken, Supervisor, broken};
use super::token::Token;
use super::trial::{Trial, path_of, sealed};
use crate::core::{Event, Exit, Requester};
use crate::os::epoll::Interest;
use crate::os::reason::Reason;
use crate::os::succession;
use crate::protocol::control::Wait;
use crate::protocol::generation::Generation;
use crate::protocol::state::{self, held};

impl Supervisor {
    /// Tries whether the program that is on disk now can take over.
    pub(super) fn begin_trial(&mut self) -> Result<(), Broken> {
        self.successor = None;
        let state = {
            let (state, _) = self.bequest();
            state::render(&state).map_err(|error| error.to_string())
        };
        let trial = state.and_then(|state| Trial::begin(&self.own_program, &state, &self.original));
        match trial {
            Ok(trial) => {
                let token = Token::Trial.into();
                self.epoll
                    .add(trial.pidfd(), token, Interest::Ended)
                    .map_err(broken("waiting for the trial of a new program"))?;
                self.trial = Some(trial);
            }
            Err(reason) => self.queue.push_back(Event::Checked {
                answer: Err(reason),
            }),
        }
        Ok(())
    }

    pub(super) fn end_trial(&self) {
        if let Some(Err(error)) = self.trial.as_ref().map(Trial::kill) {
            log::error!("cannot kill the trial of a new program: {}", Reason(&error));
        }
    }

    pub(super) fn hear_trial(&mut self) -> Result<(), Broken> {
        let Some(trial) = self.trial.take() else {
            return Ok(());
        };
        self.epoll
            .remove(trial.pidfd())
            .map_err(broken("waiting for the trial of a new program"))?;
        let answer = trial.judge().map(|successor| {
            self.successor = Some(successor.program);
            successor.version
        });
        self.queue.push_back(Event::Checked { answer });
        Ok(())
    }

    /// Executes the successor, if there is one and nothing is half done: every event was worked
    /// off, and systemd has heard what it has to hear. What happens from here on waits for it: in
    /// the sockets, in the pidfds, and as pending signals, all of which outlive the exec.
    pub(super) fn hand_over(&mut self) {
        if self.machine.successor().is_none() || self.manager_blocked {
            return;
        }
        let reason = match &self.successor {
            Some(program) => {
                let (state, mut packed) = self.bequest();
                let label = state::Label::of("program");
                packed.add(label.clone(), program);
                let mut state = state;
                state.fds.insert(label, program.as_raw_fd());
                let written = state::render(&state)
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| sealed(&bytes).map_err(|error| Reason(&error).to_string()));
                match written {
                    Ok(memory) => {
                        packed.add(state::Label::of("state"), &memory);
                        let pid = std::process::id();
                        let variable = format!("{VARIABLE}={pid}:{}", memory.as_raw_fd());
                        let mut environment = self.own_program.environment().to_vec();
                        environment.extend(CString::new(variable));
                        let kept: Vec<_> = packed.iter().map(|(_, fd)| fd).collect();
                        let path = path_of(std::os::fd::AsFd::as_fd(program));
                        let argv = &self.own_program.argv();
                        let error = succession::replace(&path, argv, &environment, &kept);
                        let path = self.own_program.path().display();
                        format!("cannot execute {path}: {}", Reason(&error))
                    }
                    Err(reason) => format!("cannot write the state down: {reason}"),
                }
            }
            None => "the program that was tried is not there any more".to_owned(),
        };
        // We are still here.
        self.successor = None;
        self.queue.push_back(Event::NotReplaced { reason });
    }

    /// Takes everything over that the parts do not bring with them, and tells the machine of what
    /// did not come along.
    pub(super) fn resume(&mut self, heritage: Heritage) -> Result<(), Broken> {
        self.started = heritage.started();
        let from = heritage.state.writer.clone();
        self.inherit(heritage)?;
        self.queue.push_back(Event::Replaced { from });
        Ok(())
    }

    /// The same without saying by which way it came to us.
    pub(super) fn inherit(&mut self, heritage: Heritage) -> Result<(), Broken> {
        let Heritage { state, mut luggage } = heritage;
        let held = &state.held;
        if let Ok(level) = held.log_level.parse() {
            log::set_max_level(level);
        }
        for saved in &held.workers {
            let Some(generation) = Generation::new(saved.generation) else {
                continue;
            };
            let taken = self
                .workers
                .take_over(generation, saved, &mut luggage, &self.epoll);
            if let Err(error) = taken {
                let pid = saved.pid;
                let reason = Reason(&error);
                log::error!("cannot take over generation {generation} (pid {pid}): {reason}");
                continue;
            }
            self.queue.extend(heard(generation, &saved.start));
            if let Some(label) = &saved.readiness {
                self.surroundings
                    .readiness
                    .take_over(generation, label, &mut luggage, &self.epoll)
                    .unwrap_or_else(|error| {
                        log::warn!("generation {generation} cannot say that it is ready: {error}");
                    });
            }
        }
        for saved in &held.probes {
            if let Some(generation) = Generation::new(saved.generation) {
                self.surroundings
                    .probes
                    .take_over(generation, saved, &mut luggage, &self.epoll)
                    .unwrap_or_else(|_| {
                        let ready = false;
                        self.queue.push_back(Event::Probed { generation, ready });
                    });
            }
        }
        self.surroundings.fd_store.take_over(
            &held.kept,
            held.newest_kept,
            &mut luggage,
            &self.epoll,
        );
        self.take_over_cgroups(&held.cgroups)?;
        self.waits = held.waits.iter().map(wait).collect();
        if let Some(newest) = state.machine.newest.and_then(Generation::new) {
            // For the command that is asked about it. That it cannot be read, the next spawn says.
            if let Ok(reading) = self.envdir.read(newest) {
                self.surroundings.variables = reading.variables;
            }
        }
        self.miss_what_is_missing();
        Ok(())
    }

    fn take_over_cgroups(&mut self, saved: &[held::Cgroup]) -> Result<(), Broken> {
        for saved in saved {
            let Some(generation) = Generation::new(saved.generation) else {
                continue;
            };
            let directory = super::luggage::path(&saved.directory);
            let exit = saved
                .exit
                .map(|exit| Exit::try_from(exit).unwrap_or(Exit::Unknown));
            if let Some(cgroups) = &mut self.surroundings.cgroups {
                // One that is gone is empty, too.
                let _ = cgroups.inherit(generation, directory, exit, &self.epoll);
            }
            // The last one in there may have ended since our predecessor looked.
            self.look_at_tree(generation)?;
        }
        Ok(())
    }

    /// Requesters without a connection, generations without a process: for each the machine is
    /// told what our predecessor would have seen.
    fn miss_what_is_missing(&mut self) {
        let control = self.control.as_ref();
        let is_here = |id| control.is_some_and(|control| control.has(id));
        self.waits.retain(|(Requester(id), _)| is_here(*id));
        let gone = self.machine.requesters().into_iter();
        let gone: Vec<_> = gone.filter(|Requester(id)| !is_here(*id)).collect();
        self.queue
            .extend(gone.into_iter().map(|requester| Event::Gone { requester }));
        let snapshot = self.machine.snapshot();
        let cgroups = self.surroundings.cgroups.as_ref();
        let is_left = |generation| {
            self.workers.contains(generation)
                || cgroups.is_some_and(|cgroups| cgroups.contains(generation))
        };
        let dead = snapshot.generations.iter().map(|seen| seen.generation);
        let dead: Vec<_> = dead.filter(|generation| !is_left(*generation)).collect();
        for generation in dead {
            let exit = Exit::Unknown;
            let told = |event: &Event| matches!(event, Event::Exited { generation: told, .. } if *told == generation);
            if !self.queue.iter().any(told) {
                self.queue.push_back(Event::Exited { generation, exit });
            }
        }
        let unseen = self.machine.open_fork();
        if let Some(generation) = unseen.filter(|unseen| !self.workers.contains(*unseen)) {
            self.queue.push_back(Event::NotStarted {
                generation,
                text: "the supervisor was replaced before it was started".to_owned(),
                errno: 0,
            });
        }
    }
}

/// How a start went, where our predecessor has heard it already. Whether it came to act on that is not
/// known, and nobody will say it again; who knows it already hears nothing new.
fn heard(generation: Generation, start: &held::Start) -> Option<Event> {
    match start {
        held::Start::Open(_) => None,
        held::Start::Done => Some(Event::Executed { generation }),
        held::Start::Failed => Some(Event::NotStarted {
            generation,
            text: "its start failed while the supervisor was replaced".to_owned(),
            errno: 0,
        }),
    }
}

fn wait(saved: &held::Wait) -> (Requester, Wait) {
    let wait = Wait {
        generation: saved.generation,
        drained: saved.drained,
        serving: saved.serving,
    };
    (Requester(saved.id), wait)
}
