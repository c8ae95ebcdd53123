//! Carrying out what the machine wants: each action is one effect.

use std::io;

use super::mailbox::Mailbox;
use super::settings::Ready;
use super::spawn::Birth;
use super::supervisor::{Broken, Supervisor, broken};
use super::token::Token;
use super::workers::News;
use crate::core::{Action, Event};
use crate::os::epoll::Interest;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

impl Supervisor {
    pub(super) fn perform(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Spawn(generation) => self.spawn(generation)?,
            Action::Signal(generation, signal) => self.signal(generation, signal),
            Action::Kill(generation) => self.signal(generation, Signal::KILL),
            Action::Sweep(_) | Action::Probe(_) | Action::EndProbe(_) => {}
            Action::Tell(telling) => self.manager.tell(telling),
            Action::Answer(requester, verdict) => self.manager.answer(requester, verdict),
            Action::Note(note) => {
                for line in self.voice.say(&note) {
                    line.log();
                }
            }
            Action::Finish(outcome) => self.outcome = Some(outcome),
        }
        Ok(())
    }

    fn spawn(&mut self, generation: Generation) -> Result<(), Broken> {
        let mailbox = match self.open_mailbox(generation) {
            Ok(mailbox) => mailbox,
            Err(error) => {
                let text = format!("opening its notify socket: {error}");
                let errno = error.raw_os_error().unwrap_or(0);
                self.queue.push_front(Event::NotStarted {
                    generation,
                    text,
                    errno,
                });
                return Ok(());
            }
        };
        let birth = Birth::new(generation, mailbox.as_ref().map(Mailbox::address));
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
            }
        }
        Ok(())
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

    pub(super) fn take_news(&mut self, generation: Generation, news: News) {
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
