//! The control socket: its clients, their calls, their answers.
//!
//! Bounded everywhere: so many clients (further ones wait in the backlog), so long a call, so
//! much unread answer. A client that breaks a bound, sends garbage or goes away is dropped, and
//! nothing else changes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};

use super::token::Token;
use crate::os::epoll::{Epoll, Interest};
use crate::os::socket_file::{SocketFile, listen_unix};
use crate::protocol::control::{Call, MAX_CALL, Refusal, parse_call, render_refusal};

/// How many clients are served at once.
const MOST_CLIENTS: usize = 256;

/// How much answer a client may leave unread, in bytes.
const MOST_UNREAD: usize = 1024 * 1024;

/// How many calls of one client may wait for their turn, in bytes.
const MOST_AHEAD: usize = 2 * MAX_CALL;

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

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    trusted: bool,
    /// Read and not yet understood.
    input: Vec<u8>,
    /// Answered and not yet written.
    output: Vec<u8>,
    /// A call is being worked on; the next one waits for its turn.
    busy: bool,
    /// Whether epoll waits for room to write.
    writing: bool,
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
        while self.clients.len() < MOST_CLIENTS {
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
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let trusted = is_trusted(&stream);
            self.newest += 1;
            epoll.add(
                stream.as_fd(),
                Token::Client(self.newest).into(),
                Interest::Readable,
            )?;
            let client = Client {
                stream,
                trusted,
                input: Vec::new(),
                output: Vec::new(),
                busy: false,
                writing: false,
            };
            self.clients.insert(self.newest, client);
        }
        self.mind_the_door(epoll)
    }

    /// Stops listening while the house is full: the backlog is the queue.
    fn mind_the_door(&mut self, epoll: &Epoll) -> io::Result<()> {
        let room = self.clients.len() < MOST_CLIENTS;
        if room != self.accepting {
            self.accepting = room;
            if room {
                epoll.add(
                    self.listener.as_fd(),
                    Token::Control.into(),
                    Interest::Readable,
                )?;
            } else {
                epoll.remove(self.listener.as_fd())?;
            }
        }
        Ok(())
    }

    /// Reads from a client, writes what it did not take before, and says what it wants.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn attend(&mut self, id: u64, epoll: &Epoll) -> io::Result<Heard> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(Heard::Gone);
        };
        if client.fill().is_err() || client.drain().is_err() {
            self.forget(id, epoll)?;
            return Ok(Heard::Gone);
        }
        self.next_call(id, epoll)
    }

    /// The next call that a client has sent, if its turn has come.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn next_call(&mut self, id: u64, epoll: &Epoll) -> io::Result<Heard> {
        let heard = self.take_next_call(id, epoll)?;
        self.mind_the_output(id, epoll)?;
        Ok(heard)
    }

    fn take_next_call(&mut self, id: u64, epoll: &Epoll) -> io::Result<Heard> {
        loop {
            let Some(client) = self.clients.get_mut(&id) else {
                return Ok(Heard::Gone);
            };
            if client.busy {
                return Ok(Heard::Nothing);
            }
            let Some(end) = client.input.iter().position(|byte| *byte == 0) else {
                if client.input.len() > MAX_CALL {
                    self.forget(id, epoll)?;
                    return Ok(Heard::Gone);
                }
                return Ok(Heard::Nothing);
            };
            let call: Vec<u8> = client.input.drain(..=end).collect();
            let parsed = if client.trusted {
                parse_call(&call[..end])
            } else {
                Err(Refusal::PermissionDenied)
            };
            match parsed {
                Ok(call) => {
                    client.busy = true;
                    return Ok(Heard::Call(call));
                }
                Err(refusal) => {
                    client.output.extend(render_refusal(&refusal));
                    let hopeless = refusal == Refusal::Garbage;
                    if client.drain().is_err() || client.output.len() > MOST_UNREAD || hopeless {
                        self.forget(id, epoll)?;
                        return Ok(Heard::Gone);
                    }
                }
            }
        }
    }

    /// Answers the call that a client waits for; without one, nothing happens.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn answer(&mut self, id: u64, reply: &[u8], epoll: &Epoll) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        client.busy = false;
        client.output.extend(reply);
        if client.drain().is_err() || client.output.len() > MOST_UNREAD {
            return self.forget(id, epoll);
        }
        self.mind_the_output(id, epoll)
    }

    /// Waits for room to write exactly while something is to be written: epoll is level-triggered.
    fn mind_the_output(&mut self, id: u64, epoll: &Epoll) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(());
        };
        let writing = !client.output.is_empty();
        if writing == client.writing {
            return Ok(());
        }
        client.writing = writing;
        let interest = if writing {
            Interest::ReadableOrWritable
        } else {
            Interest::Readable
        };
        epoll.change(client.stream.as_fd(), Token::Client(id).into(), interest)
    }

    fn forget(&mut self, id: u64, epoll: &Epoll) -> io::Result<()> {
        if let Some(client) = self.clients.remove(&id) {
            epoll.remove(client.stream.as_fd())?;
        }
        self.mind_the_door(epoll)
    }
}

impl Client {
    /// Reads what is there, up to the bound. An end of file is an error here.
    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.input.len() <= MOST_AHEAD {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // More ahead than any client of ours sends: it would wake us up for ever.
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn drain(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

/// SO_PEERCRED (unix(7)): root and our own user.
fn is_trusted(stream: &UnixStream) -> bool {
    getsockopt(stream, sockopt::PeerCredentials)
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
}
