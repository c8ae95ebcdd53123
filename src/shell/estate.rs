//! What a worker has beside its process, from its birth to after its death: the loop's part in it.

use std::io;
use std::os::fd::OwnedFd;

use super::fd_store::Wish;
use super::journal_stream::JournalStream;
use super::readiness::Read;
use super::settings::Ready;
use super::supervisor::{Broken, Supervisor, broken};
use super::surroundings::{Nuisances, fate};
use super::workers::News;
use crate::core::{Event, Word};
use crate::os::clock;
use crate::os::reason::Reason;
use crate::protocol::generation::Generation;
use crate::protocol::signal_sets::Fate;

/// What is made ready for a worker before its fork; nothing of it stays open with us.
#[derive(Debug, Default)]
pub(super) struct Outfit {
    pub(super) readiness: Option<OwnedFd>,
    pub(super) cgroup_procs: Option<OwnedFd>,
    pub(super) stream: Option<JournalStream>,
}

impl Supervisor {
    /// Makes ready what a worker gets for itself. It can do without a cgroup and a stream, but
    /// not without the pipe on which alone it could say that it is ready.
    pub(super) fn outfit(&mut self, generation: Generation) -> io::Result<Outfit> {
        let around = &mut self.surroundings;
        let readiness = match self.settings.ready {
            Ready::Fd(_) => Some(around.readiness.open(generation, &self.epoll)?),
            Ready::Auto | Ready::Notify | Ready::Alive | Ready::Command(_) => None,
        };
        let cgroups = around.cgroups.as_mut();
        let opened = cgroups.map(|cgroups| cgroups.open(generation, &self.epoll));
        let cgroup_procs = opened.and_then(|opened| {
            let failed = |error: &io::Error| {
                if Nuisances::is_worth_a_line(&mut around.nuisances.cgroup) {
                    let reason = Reason(error);
                    log::warn!("generation {generation} gets no cgroup of its own: {reason}");
                }
            };
            opened.inspect_err(failed).ok()
        });
        let streams = around.journal_streams.as_ref();
        let stream = streams.and_then(|streams| {
            let failed = |error: &io::Error| {
                if Nuisances::is_worth_a_line(&mut around.nuisances.stream) {
                    let reason = Reason(error);
                    log::warn!("generation {generation} gets no journal stream: {reason}");
                }
            };
            streams.open(generation).inspect_err(failed).ok()
        });
        Ok(Outfit {
            readiness,
            cgroup_procs,
            stream,
        })
    }

    /// There is no process (any more): its pipe is closed, its cgroup removed or, while others
    /// live in it, watched.
    pub(super) fn wind_up(&mut self, generation: Generation) -> Result<(), Broken> {
        let around = &mut self.surroundings;
        around
            .readiness
            .close(generation, &self.epoll)
            .map_err(broken("closing a readiness pipe"))?;
        match &mut around.cgroups {
            Some(cgroups) => cgroups
                .close(generation, &self.epoll)
                .map_err(broken("closing a cgroup")),
            None => Ok(()),
        }
    }

    /// Takes the news of a worker's end. Others of its cgroup may be left: then it lingers.
    pub(super) fn take_end(&mut self, generation: Generation, news: News) -> Result<(), Broken> {
        let mut news = news;
        if !self.workers.contains(generation) {
            let mut lingers = false;
            for event in &mut news.events {
                let Event::Exited { exit, .. } = *event else {
                    continue;
                };
                if let Some(cgroups) = &mut self.surroundings.cgroups {
                    lingers = cgroups
                        .survives(generation, exit)
                        .map_err(broken("reading cgroup.events"))?;
                }
                if lingers {
                    *event = Event::Lingers { generation, exit };
                }
            }
            if lingers {
                self.surroundings
                    .readiness
                    .close(generation, &self.epoll)
                    .map_err(broken("closing a readiness pipe"))?;
            } else {
                self.wind_up(generation)?;
            }
        }
        self.take_news(generation, news)?;
        // Those behind the worker in the kernel's list could not be reaped before it.
        self.reap_strangers();
        Ok(())
    }

    /// The cgroup of a generation has changed.
    pub(super) fn look_at_tree(&mut self, generation: Generation) -> Result<(), Broken> {
        let Some(cgroups) = &self.surroundings.cgroups else {
            return Ok(());
        };
        let gone = cgroups.look(generation);
        if let Some(exit) = gone.map_err(broken("reading cgroup.events"))? {
            self.wind_up(generation)?;
            self.queue.push_back(Event::Exited { generation, exit });
        }
        Ok(())
    }

    /// SIGKILL to everybody in a generation's cgroup, where it has one.
    pub(super) fn kill_tree(&self, generation: Generation) {
        if let Some(cgroups) = &self.surroundings.cgroups {
            if let Err(error) = cgroups.kill(generation) {
                let reason = Reason(&error);
                log::error!("cannot kill the cgroup of generation {generation}: {reason}");
            }
        }
    }

    pub(super) fn hear_readiness(&mut self, generation: Generation) -> Result<(), Broken> {
        let read = self.surroundings.readiness.read(generation, &self.epoll);
        match read.map_err(broken("reading a readiness pipe"))? {
            Read::Ready => self.queue.push_back(Event::Said {
                generation,
                word: Word::FoundReady,
            }),
            // It may still be ready one day, but cannot say so: --start-timeout decides.
            Read::Closed | Read::Nothing => {}
        }
        Ok(())
    }

    /// Asks the command about a worker.
    pub(super) fn probe(&mut self, generation: Generation) -> Result<(), Broken> {
        let Ready::Command(command) = &self.settings.ready else {
            return Ok(());
        };
        let around = &mut self.surroundings;
        let started = match self.workers.pid(generation) {
            Some(pid) => self
                .spawner
                .probe(command, generation, pid, &around.variables),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let started =
            started.and_then(|child| around.probes.take_in(generation, child, &self.epoll));
        match started {
            Ok(()) => Ok(()),
            Err(error) => {
                if Nuisances::is_worth_a_line(&mut around.nuisances.probe) {
                    let reason = Reason(&error);
                    log::warn!("cannot ask about generation {generation}: {reason}");
                }
                let ready = false;
                self.queue.push_back(Event::Probed { generation, ready });
                Ok(())
            }
        }
    }

    pub(super) fn end_probe(&self, generation: Generation) {
        if let Err(error) = self.surroundings.probes.kill(generation) {
            let reason = Reason(&error);
            log::error!("cannot kill the command about generation {generation}: {reason}");
        }
    }

    pub(super) fn hear_probe(&mut self, generation: Generation) -> Result<(), Broken> {
        let ended = self.surroundings.probes.reap(generation, &self.epoll);
        if let Some(ready) = ended.map_err(broken("reaping a command"))? {
            self.queue.push_back(Event::Probed { generation, ready });
        }
        Ok(())
    }

    /// FDSTORE=1 and FDSTOREREMOVE=1.
    pub(super) fn keep(&mut self, generation: Generation, wishes: Vec<Wish>) -> Result<(), Broken> {
        let around = &mut self.surroundings;
        for wish in wishes {
            let refused = around
                .fd_store
                .grant(wish, &self.epoll)
                .map_err(broken("watching a stored descriptor"))?;
            if refused > 0 && Nuisances::is_worth_a_line(&mut around.nuisances.fd_store) {
                let limit = around.fd_store.limit();
                log::warn!(
                    "cannot keep {refused} descriptors for generation {generation}: \
                     --fd-store-max is {limit}, and each must be one to wait for"
                );
            }
        }
        Ok(())
    }

    /// Somebody has shut a listener down, for every generation: brings it back.
    pub(super) fn revive_listener(&mut self, number: u64) {
        let count = &mut self.surroundings.nuisances.shutdown;
        let Some((listener, done)) = self.listeners.revive(number, self.settings.backlog) else {
            return;
        };
        if !Nuisances::is_worth_a_line(count) {
            return;
        }
        match done {
            Ok(()) => log::warn!(
                "a worker has shut {} down (shutdown(2)), for every generation: listening on it again; a \
                 worker that leaves should only close it",
                listener.address
            ),
            Err(error) => log::error!(
                "a worker has shut {} down (shutdown(2)), for every generation, and it cannot be \
                 brought back: {}; nobody gets through until it is bound anew (restart what bound it)",
                listener.address,
                Reason(&error)
            ),
        }
    }

    /// Says once when the worker that serves will not leave gracefully, because nothing in it
    /// catches the signal that will tell it to: it just dies, with the requests that it is
    /// answering, or stays. To be asked while its successor starts: there is time then.
    pub(super) fn warn_of_a_deaf_worker(&mut self) {
        let signal = self.settings.signal_on_hup;
        let serving = self.machine.serving_generation();
        let pid = serving.and_then(|generation| self.workers.pid(generation));
        let (Some(generation), Some(pid)) = (serving, pid) else {
            return;
        };
        if !self.surroundings.nuisances.handler.is_due(clock::now()) {
            return;
        }
        match fate(pid, signal) {
            None | Some(Fate::Sees) => return,
            Some(Fate::Dies) => log::warn!(
                "generation {generation} (pid {pid}) does not catch {signal}: it dies of it at once, \
                 with the requests that it is answering (said once)"
            ),
            // Mostly because it began so: a shell's "&" and nohup(1) have signals ignored, exec leaves
            // them so, and some runtimes then do not catch them.
            Some(Fate::Ignores) => log::warn!(
                "generation {generation} (pid {pid}) ignores {signal}: it will not leave when it is told \
                 to, only at its --drain-timeout (said once)"
            ),
        }
        self.surroundings.nuisances.handler.said = true;
    }
}
