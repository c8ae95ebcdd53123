//! One connection to the control socket: bytes in, calls out; replies in, bytes out.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};

use crate::os::epoll::Interest;
use crate::protocol::control::{Asked, Call, MAX_CALL, Refusal, parse_call, render_refusal};

/// How much answer a client may leave unread, in bytes.
const MOST_UNREAD: usize = 1024 * 1024;

/// How many events a client may leave unread, in bytes: some 200.
const MOST_EVENTS_UNREAD: usize = 64 * 1024;

/// How much is read ahead of the call that is being worked on, in bytes.
const MOST_AHEAD: usize = MAX_CALL + 4096;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    trusted: bool,
    /// Read and not yet understood.
    input: Vec<u8>,
    /// Where the first call in there ends, if all of it is there.
    end: Option<usize>,
    /// Answered and not yet written.
    output: Vec<u8>,
    turn: Turn,
    /// It has said all that it will: its side of the connection is shut.
    ended: bool,
    /// What the loop waits for.
    pub(super) interest: Interest,
    /// When it last said something, as time since boot.
    pub(super) heard: Duration,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    /// The client's.
    Theirs,
    /// A call is being worked on; the next one waits.
    Ours {
        /// The client does not want to know what comes of it.
        oneway: bool,
    },
    /// It hears every event.
    Monitoring,
}

/// What a client wants.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// This.
    Call(Call),
    /// Nothing for now.
    Nothing,
    /// It is of no use any more.
    Over,
}

impl Client {
    /// A client that has just knocked.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(super) fn new(stream: UnixStream, now: Duration) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            trusted: is_trusted(&stream),
            stream,
            input: Vec::new(),
            end: None,
            output: Vec::new(),
            turn: Turn::Theirs,
            ended: false,
            interest: Interest::Readable,
            heard: now,
        })
    }

    /// Writes what was not taken before, and reads what is there.
    ///
    /// # Errors
    /// When the client is gone.
    pub(super) fn attend(&mut self, now: Duration) -> io::Result<()> {
        // Whoever shuts one side only waits for our answers; whoever is gone does not.
        if !self.wants_input() && self.is_gone() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.drain()?;
        let before = self.input.len();
        self.fill()?;
        if self.input.len() != before {
            self.heard = now;
        }
        Ok(())
    }

    /// The next call, if its turn has come: not before the last answer was taken, so that nobody
    /// can make us hoard answers.
    pub(super) fn next(&mut self) -> Next {
        if self.turn != Turn::Theirs || !self.output.is_empty() {
            return Next::Nothing;
        }
        let Some(end) = self.end else {
            let hopeless = self.ended || self.input.len() > MAX_CALL;
            return if hopeless { Next::Over } else { Next::Nothing };
        };
        let message: Vec<u8> = self.input.drain(..=end).collect();
        self.end = end_of_call(&self.input);
        let parsed = if self.trusted {
            parse_call(&message[..end])
        } else {
            Err(Refusal::PermissionDenied)
        };
        match parsed {
            Ok(Asked { call, oneway }) => {
                self.turn = match call {
                    Call::Monitor => Turn::Monitoring,
                    _ => Turn::Ours { oneway },
                };
                Next::Call(call)
            }
            Err(refusal) => {
                self.output.extend(render_refusal(&refusal));
                let garbage = refusal == Refusal::Garbage;
                if self.drain().is_err() || garbage {
                    return Next::Over;
                }
                Next::Nothing
            }
        }
    }

    /// Answers the call that it waits for.
    ///
    /// # Errors
    /// When the client is gone, or does not take what it is sent.
    pub(super) fn answer(&mut self, reply: &[u8]) -> io::Result<()> {
        let turn = std::mem::replace(&mut self.turn, Turn::Theirs);
        if turn != (Turn::Ours { oneway: true }) {
            self.output.extend(reply);
        }
        self.write_up_to(MOST_UNREAD)
    }

    /// Tells it of an event, if it wants to hear of any.
    ///
    /// # Errors
    /// As [`Client::answer`].
    pub(super) fn inform(&mut self, event: &[u8], last: bool) -> io::Result<()> {
        if self.turn != Turn::Monitoring {
            return Ok(());
        }
        if last {
            self.turn = Turn::Theirs;
        }
        self.output.extend(event);
        self.write_up_to(MOST_EVENTS_UNREAD)
    }

    /// Whether it wants to hear of events.
    pub(super) fn is_monitoring(&self) -> bool {
        self.turn == Turn::Monitoring
    }

    /// Whether nobody waits for anything here.
    pub(super) fn is_idle(&self) -> bool {
        self.turn == Turn::Theirs && self.output.is_empty() && self.end.is_none()
    }

    /// Whether there is nothing left to do: it has said all that it will, and was answered.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.is_idle()
    }

    /// What the loop is to wait for. That a client is gone is always reported.
    pub(super) fn wanted_interest(&self) -> Interest {
        let waiting = self.turn == Turn::Theirs && self.end.is_some();
        match (self.wants_input(), !self.output.is_empty() || waiting) {
            (true, true) => Interest::ReadableOrWritable,
            (true, false) => Interest::Readable,
            (false, true) => Interest::Writable,
            (false, false) => Interest::HangUp,
        }
    }

    fn write_up_to(&mut self, limit: usize) -> io::Result<()> {
        self.drain()?;
        if self.output.len() > limit {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    fn wants_input(&self) -> bool {
        !self.ended && self.input.len() < MOST_AHEAD
    }

    fn is_gone(&self) -> bool {
        let mut polled = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        let polled = poll(&mut polled, PollTimeout::ZERO).map(|_| polled[0].revents());
        polled.is_ok_and(|events| {
            events.is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
        })
    }

    /// Reads what is there, up to the bound.
    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.wants_input() {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    let end = || Some(self.input.len() + end_of_call(&buffer[..count])?);
                    self.end = self.end.or_else(end);
                    self.input.extend(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

mod saved;

fn end_of_call(input: &[u8]) -> Option<usize> {
    input.iter().position(|byte| *byte == 0)
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// SO_PEERCRED (unix(7)): root and our own user.
fn is_trusted(stream: &UnixStream) -> bool {
    getsockopt(stream, sockopt::PeerCredentials)
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
}
