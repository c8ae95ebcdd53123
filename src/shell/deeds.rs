//! Carrying out what the machine wants: each action is one effect.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::envdir::Reading;
use super::failure::exit_code;
use super::mailbox::Mailbox;
use super::settings::Ready;
use super::spawn::Birth;
use super::supervisor::{Broken, Supervisor, broken};
use super::token::Token;
use super::workers::News;
use crate::core::{Action, Event};
use crate::os::clock;
use crate::os::epoll::Interest;
use crate::os::reason::Reason;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;
use crate::protocol::worker_env::Variable;

/// When systemd's socket is looked at again, if it cannot be waited for.
const AGAIN: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn perform(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Spawn(generation) => self.spawn(generation)?,
            Action::Signal(generation, signal) => {
                // Whoever is told to leave may ask who serves instead.
                self.update_status_file();
                self.signal(generation, signal);
            }
            Action::Kill(generation) => {
                self.kill_tree(generation);
                self.signal(generation, Signal::KILL);
            }
            Action::Sweep(generation) => self.kill_tree(generation),
            Action::Probe(generation) => self.probe(generation)?,
            Action::EndProbe(generation) => self.end_probe(generation),
            Action::Check => self.begin_trial()?,
            Action::EndCheck => self.end_trial(),
            Action::Tell(telling) => self.manager.tell(telling),
            Action::Answer(requester, verdict) => self.manager.answer(requester, verdict),
            Action::Note(note) => {
                for line in self.voice.say(&note) {
                    line.log();
                }
                self.tell_monitors(&note)?;
            }
            Action::Finish(outcome) => self.outcome = Some(outcome),
        }
        Ok(())
    }

    fn spawn(&mut self, generation: Generation) -> Result<(), Broken> {
        let opened = self.open_mailbox(generation);
        let mailbox = match opened {
            Ok(mailbox) => mailbox,
            Err(error) => return self.not_started(generation, "opening its notify socket", &error),
        };
        let variables = match self.envdir.read(generation) {
            Ok(reading) => self.take_reading(reading),
            Err(unreadable) => {
                self.queue.push_front(Event::NotStarted {
                    generation,
                    text: unreadable.to_string(),
                    errno: unreadable.errno(),
                });
                return self.wind_up(generation);
            }
        };
        self.surroundings.variables.clone_from(&variables);
        let outfit = match self.outfit(generation) {
            Ok(outfit) => outfit,
            Err(error) => return self.not_started(generation, "opening its pipe", &error),
        };
        self.store_ahead(generation, mailbox.as_ref())?;
        let mut birth = Birth::new(generation, mailbox.as_ref().map(Mailbox::address));
        birth.variables = &variables;
        let mut ours = Vec::new();
        ours.extend(self.surroundings.fd_store_variable());
        ours.extend(outfit.stream.as_ref().map(|stream| stream.variable.clone()));
        let stored: Vec<_> = self.surroundings.fd_store.iter().collect();
        (birth.ours, birth.stored) = (&ours, &stored);
        birth.readiness = outfit.readiness.as_ref().map(AsFd::as_fd);
        birth.cgroup_procs = outfit.cgroup_procs.as_ref().map(AsFd::as_fd);
        birth.stdout_stderr = outfit.stream.as_ref().map(|stream| stream.socket.as_fd());
        match self.spawner.spawn(&self.listeners, &birth) {
            Ok(child) => {
                let pid = child.pid;
                self.workers
                    .take_in(generation, child, mailbox, &self.epoll);
                // Before anything else: the machine must know of it when its exit is seen.
                self.queue.push_front(Event::Forked { generation, pid });
                // As soon as can be: until then a successor would not know it for what it is.
                self.write_down()?;
                self.flush_manager()?;
                self.warn_of_a_deaf_worker();
            }
            Err(error) => {
                let event = Event::NotStarted {
                    generation,
                    text: error.to_string(),
                    errno: error.errno(),
                };
                self.queue.push_front(event);
                self.wind_up(generation)?;
            }
        }
        Ok(())
    }

    /// The directory of variables has changed: our own may be among them.
    pub(super) fn look_at_envdir(&mut self) {
        if !self.envdir.has_changed() {
            return;
        }
        match self.envdir.read(Generation::FIRST) {
            Ok(reading) => drop(self.take_reading(reading)),
            Err(unreadable) => log::warn!("{unreadable}"),
        }
    }

    fn take_reading(&mut self, reading: Reading) -> Vec<Variable> {
        if let Some(bad) = reading.bad {
            log::warn!("{bad}; nothing is changed by it");
        }
        if let Some(tuning) = reading.retuned {
            self.queue.push_front(Event::Retuned {
                kill_old_delay: tuning.kill_old_delay,
                auto_restart: tuning.auto_restart,
            });
        }
        reading.variables
    }

    /// Lists the generations, if anybody wants to read it and something has changed.
    pub(super) fn update_status_file(&mut self) {
        let Some(status_file) = &mut self.status_file else {
            return;
        };
        if let Err(error) = status_file.update(&self.machine.snapshot()) {
            let path = status_file.path().display();
            log::error!(
                "cannot write the status file {path}: {}; it is written again at the next change",
                Reason(&error)
            );
        }
    }

    /// Tells the parent of a daemon, once, how the start went: it ends with our answer.
    pub(super) fn tell_parent(&mut self) {
        let Some(herald) = &mut self.herald else {
            return;
        };
        let snapshot = self.machine.snapshot();
        if snapshot.serving().is_some() {
            herald.tell(exit_code::OK, "");
        } else if let Some(failure) = snapshot.last_failure {
            let next = if snapshot.stopping {
                "giving up"
            } else {
                "trying again in the background"
            };
            herald.tell(exit_code::NEVER_SERVED, &format!("{failure}; {next}"));
        } else if snapshot.stopping {
            herald.tell(exit_code::NEVER_SERVED, "stopped before anything served");
        } else {
            return;
        }
        self.herald = None;
    }

    fn not_started(
        &mut self,
        generation: Generation,
        stage: &str,
        error: &io::Error,
    ) -> Result<(), Broken> {
        self.queue.push_front(Event::NotStarted {
            generation,
            text: format!("{stage}: {}", Reason(error)),
            errno: error.raw_os_error().unwrap_or(0),
        });
        self.wind_up(generation)
    }

    /// A generation's notify socket. Where the worker is judged by other means it can do without.
    fn open_mailbox(&self, generation: Generation) -> io::Result<Option<Mailbox>> {
        // That there is none was said at the start, if it may be.
        let Some(runtime) = &self.runtime else {
            return Ok(None);
        };
        match Mailbox::open(runtime.directory(), generation) {
            Ok(mailbox) => Ok(Some(mailbox)),
            Err(error) if self.settings.ready == Ready::Notify => Err(error),
            Err(error) => {
                log::warn!(
                    "generation {generation} gets no notify socket: {}",
                    Reason(&error)
                );
                Ok(None)
            }
        }
    }

    fn signal(&self, generation: Generation, signal: Signal) {
        if let Err(error) = self.workers.signal(generation, signal) {
            log::error!(
                "cannot send {signal} to generation {generation}: {}",
                Reason(&error)
            );
        }
    }

    pub(super) fn take_news(&mut self, generation: Generation, news: News) -> Result<(), Broken> {
        if let Some((stage, errno)) = news.failed {
            let text = self.spawner.describe(stage, errno);
            self.queue.push_back(Event::NotStarted {
                generation,
                text,
                errno,
            });
        }
        if let Some(refused) = news.refused {
            log::warn!("threw away what generation {generation} sent: {refused}");
        }
        self.queue.extend(news.events);
        self.keep(generation, news.wishes)
    }

    pub(super) fn flush_manager(&mut self) -> Result<(), Broken> {
        let flushed = self.manager.flush();
        self.manager_due = flushed.due;
        if let Some(error) = flushed.error {
            log::warn!(
                "systemd does not hear us: cannot send to NOTIFY_SOCKET: {}",
                Reason(&error)
            );
        }
        for (requester, verdict) in flushed.answers {
            self.answer_client(requester, &verdict)?;
        }
        if flushed.blocked != self.manager_blocked {
            if let Some(socket) = self.manager.socket() {
                if !flushed.blocked {
                    let removed = self.epoll.remove(socket);
                    removed.map_err(broken("listening to systemd no more"))?;
                } else if self
                    .epoll
                    .add(socket, Token::Manager.into(), Interest::Writable)
                    .is_err()
                {
                    // Nothing more can be waited for: looked at again in a while.
                    let again = clock::now().saturating_add(AGAIN);
                    self.manager_due = Some(flushed.due.map_or(again, |due| due.min(again)));
                    return Ok(());
                }
            }
            self.manager_blocked = flushed.blocked;
        }
        Ok(())
    }
}
