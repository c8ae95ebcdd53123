//! The control socket: its door, and the clients that came through it.
//!
//! Bounded everywhere: so many clients (further ones wait in the backlog, until somebody who only
//! holds a place has to leave), so long a call, so much unread answer, one call of each client in
//! one round of the loop. A client that breaks a bound, sends garbage or goes away is dropped,
//! and nothing else changes. One that has shut its side only is still answered.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{Client, Next};
use super::token::Token;
use crate::os::clock;
use crate::os::epoll::{Epoll, Interest};
use crate::os::socket_file::{SocketFile, listen_unix};
use crate::protocol::control::Call;

/// How many clients are served at once.
const MOST_CLIENTS: usize = 256;

/// Who has said nothing for so long, and waits for nothing, has to leave when others wait.
const IDLE: Duration = Duration::from_secs(1);

/// Only root and our own user get as far as being told so.
const MODE: u32 = 0o600;

/// The control socket.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    file: SocketFile,
    clients: BTreeMap<u64, Client>,
    newest: u64,
    accepting: bool,
    /// A descriptor to let go when the table is full.
    reserve: Option<std::fs::File>,
}

/// What came of looking at a client.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// It wants something.
    Call(Call),
    /// Nothing (more) for now.
    Nothing,
    /// It is gone and forgotten.
    Gone,
}

/// The control socket of a supervisor that has a pid file and nothing else by which it could be
/// found: the pid file's name with `.control` behind it.
#[must_use]
pub fn beside_pid_file(pid_file: &Path) -> PathBuf {
    let mut path = pid_file.as_os_str().to_owned();
    path.push(".control");
    path.into()
}

impl Control {
    /// Opens the control socket; a dead one at the path is replaced, a live one is respected.
    ///
    /// # Errors
    /// As bind(2) and listen(2).
    pub fn open(path: &Path, epoll: &Epoll) -> io::Result<Self> {
        let (socket, file) = listen_unix(path, libc::SOMAXCONN, Some(MODE))?;
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        epoll.add(listener.as_fd(), Token::Control.into(), Interest::Readable)?;
        Ok(Self {
            listener,
            file,
            clients: BTreeMap::new(),
            newest: 0,
            accepting: true,
            reserve: std::fs::File::open("/dev/null").ok(),
        })
    }

    /// Takes in whoever knocks, as many as there is room for.
    ///
    /// # Errors
    /// As epoll_ctl(2). That accept(2) fails concerns the client alone.
    pub fn accept(&mut self, epoll: &Epoll) -> io::Result<()> {
        while self.has_room() {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_full(&error) => {
                    // The listener stays readable and would wake us up for ever: with the
                    // descriptor kept for this, whoever knocks is turned away.
                    drop(self.reserve.take());
                    let turned_away = self.listener.accept().is_ok();
                    self.reserve = std::fs::File::open("/dev/null").ok();
                    if turned_away && self.reserve.is_some() {
                        continue;
                    }
                    break;
                }
                Err(_) => break,
            };
            let now = clock::now();
            let Ok(client) = Client::new(stream, now) else {
                continue;
            };
            if self.clients.len() >= MOST_CLIENTS {
                if let Some(id) = self.place_holder(now) {
                    self.forget(id, epoll)?;
                }
            }
            self.newest += 1;
            let token = Token::Client(self.newest).into();
            // Where nothing more can be waited for (epoll(7): max_user_watches) it is turned away.
            if epoll.add(client.as_fd(), token, client.interest).is_ok() {
                self.clients.insert(self.newest, client);
            }
        }
        self.mind_the_door(epoll)
    }

    /// How many have come, if all of them have left.
    #[must_use]
    pub fn visits(&self) -> Option<u64> {
        self.clients.is_empty().then_some(self.newest)
    }

    /// Stops listening while the house is full: the backlog is the queue.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn mind_the_door(&mut self, epoll: &Epoll) -> io::Result<()> {
        let room = self.has_room();
        if room != self.accepting {
            self.accepting = room;
            if room {
                let token = Token::Control.into();
                // It can fail for a while, when nothing more can be waited for; `due` says when the
                // door is looked at again.
                self.accepting = epoll
                    .add(self.listener.as_fd(), token, Interest::Readable)
                    .is_ok();
            } else {
                epoll.remove(self.listener.as_fd())?;
            }
        }
        Ok(())
    }

    /// When the door is to be minded again: time makes room only where somebody holds a place.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if self.accepting {
            return None;
        }
        if self.clients.len() < MOST_CLIENTS {
            return Some(clock::now().saturating_add(IDLE));
        }
        let idle = self.clients.values().filter(|client| client.is_idle());
        idle.map(|client| client.heard.saturating_add(IDLE)).min()
    }

    fn has_room(&self) -> bool {
        self.clients.len() < MOST_CLIENTS || self.place_holder(clock::now()).is_some()
    }

    /// Who has waited for nothing for the longest time.
    fn place_holder(&self, now: Duration) -> Option<u64> {
        let idle = self
            .clients
            .iter()
            .filter(|(_, client)| client.is_idle() && now.saturating_sub(client.heard) >= IDLE);
        idle.min_by_key(|(_, client)| client.heard)
            .map(|(id, _)| *id)
    }

    /// Reads from a client, writes what it did not take before, and says what it wants.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn attend(&mut self, id: u64, epoll: &Epoll) -> io::Result<Heard> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(Heard::Gone);
        };
        let next = match client.attend(clock::now()) {
            Ok(()) => client.next(),
            Err(_) => Next::Over,
        };
        let heard = match next {
            Next::Call(call) => Heard::Call(call),
            Next::Nothing if client.is_done() => Heard::Gone,
            Next::Nothing => Heard::Nothing,
            Next::Over => Heard::Gone,
        };
        if heard == Heard::Gone {
            self.forget(id, epoll)?;
        } else {
            self.await_client(id, epoll)?;
        }
        Ok(heard)
    }

    /// Answers the call that a client waits for; without one, nothing happens.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn answer(&mut self, id: u64, reply: &[u8], epoll: &Epoll) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        match client.answer(reply) {
            Ok(()) if client.is_done() => self.forget(id, epoll),
            Ok(()) => self.await_client(id, epoll),
            Err(_) => self.forget(id, epoll),
        }
    }

    /// Tells one client of an event, if it monitors.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn inform(&mut self, id: u64, event: &[u8], last: bool, epoll: &Epoll) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        match client.inform(event, last) {
            Ok(()) if client.is_done() => self.forget(id, epoll),
            Ok(()) => self.await_client(id, epoll),
            Err(_) => self.forget(id, epoll),
        }
    }

    /// Who wants to hear of events.
    #[must_use]
    pub fn monitors(&self) -> Vec<u64> {
        let monitors = self
            .clients
            .iter()
            .filter(|(_, client)| client.is_monitoring());
        monitors.map(|(id, _)| *id).collect()
    }

    /// Has the loop wait for what is next with a client.
    fn await_client(&mut self, id: u64, epoll: &Epoll) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        let wanted = client.wanted_interest();
        if wanted != client.interest {
            epoll.change(client.as_fd(), Token::Client(id).into(), wanted)?;
            client.interest = wanted;
        }
        Ok(())
    }

    fn forget(&mut self, id: u64, epoll: &Epoll) -> io::Result<()> {
        if let Some(client) = self.clients.remove(&id) {
            epoll.remove(client.as_fd())?;
        }
        self.mind_the_door(epoll)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // We end; if the file is not ours any more it is not ours to remove.
        let _ = self.file.remove_if_ours();
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

mod saved;

#[cfg(test)]
mod tests;
