//! Carrying out what the machine wants: each action is one effect.

use std::io;
use std::os::fd::AsFd;

use super::mailbox::Mailbox;
use super::settings::Ready;
use super::spawn::Birth;
use super::supervisor::{Broken, Supervisor, broken};
use super::token::Token;
use super::workers::News;
use crate::core::{Action, Event, Note};
use crate::os::epoll::Interest;
use crate::os::reason::Reason;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

impl Supervisor {
    pub(super) fn perform(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Spawn(generation) => self.spawn(generation)?,
            Action::Signal(generation, signal) => self.signal(generation, signal),
            Action::Kill(generation) => {
                self.kill_tree(generation);
                self.signal(generation, Signal::KILL);
            }
            Action::Sweep(generation) => self.kill_tree(generation),
            Action::Probe(generation) => self.probe(generation)?,
            Action::EndProbe(generation) => self.end_probe(generation),
            Action::Tell(telling) => self.manager.tell(telling),
            Action::Answer(requester, verdict) => self.manager.answer(requester, verdict),
            Action::Note(note) => {
                if let Note::Draining { old, signal } = &note {
                    self.warn_of_sudden_death(old, *signal);
                }
                for line in self.voice.say(&note) {
                    line.log();
                }
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
        let outfit = match self.outfit(generation) {
            Ok(outfit) => outfit,
            Err(error) => return self.not_started(generation, "opening its pipe", &error),
        };
        let mut birth = Birth::new(generation, mailbox.as_ref().map(Mailbox::address));
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
                // Before anything else: the machine must know of it when its exit is seen.
                self.queue.push_front(Event::Forked {
                    generation,
                    pid: child.pid,
                });
                self.workers
                    .take_in(generation, child, mailbox, &self.epoll)
                    .map_err(broken("waiting for a worker"))?;
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
        match Mailbox::open(self.runtime.directory(), generation) {
            Ok(mailbox) => Ok(Some(mailbox)),
            Err(error) if self.settings.ready == Ready::Notify => Err(error),
            Err(error) => {
                log::warn!("generation {generation} gets no notify socket: {error}");
                Ok(None)
            }
        }
    }

    fn signal(&self, generation: Generation, signal: Signal) {
        if let Err(error) = self.workers.signal(generation, signal) {
            log::error!("cannot send {signal} to generation {generation}: {error}");
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
        if let Some(error) = flushed.error {
            log::warn!("systemd does not hear us: cannot send to NOTIFY_SOCKET: {error}");
        }
        for (requester, verdict) in flushed.answers {
            self.answer_client(requester, &verdict)?;
        }
        if flushed.blocked != self.manager_blocked {
            if let Some(socket) = self.manager.socket() {
                let changed = if flushed.blocked {
                    self.epoll
                        .add(socket, Token::Manager.into(), Interest::Writable)
                } else {
                    self.epoll.remove(socket)
                };
                changed.map_err(broken("waiting for systemd"))?;
            }
            self.manager_blocked = flushed.blocked;
        }
        Ok(())
    }
}
