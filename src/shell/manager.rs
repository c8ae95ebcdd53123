//! What systemd hears of us, without ever waiting for it (sd_notify(3)).
//!
//! PID 1 can be busy or stuck, and its queue holds ten datagrams. So every message goes through
//! an outbox that the loop empties as the socket allows: in order, one state per datagram (up to
//! systemd 252 the last of several wins), a STATUS that was not sent yet replaced by the next.
//! Answers to requesters stand in the same queue, because the last word to systemd comes first.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::core::{Requester, Telling, Verdict};
use crate::os::clock;
use crate::os::datagram::{Sent, Target, send};
use crate::protocol::notify_state;

/// The most messages that wait for a stuck manager. The machine sends few; what cannot be
/// queued is a loop gone wrong, and the oldest messages are the least true.
const MOST_WAITING: usize = 64;

/// The way to systemd.
#[derive(Debug)]
pub struct Manager {
    target: Option<Target>,
    waiting: VecDeque<Message>,
    trouble: Trouble,
}

/// Whether sending fails; said once, until it works again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    None,
    Told,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Message {
    Tell(Telling),
    Watchdog,
    Answer(Requester, Verdict),
}

/// What came of emptying the outbox.
#[derive(Debug, Default)]
pub struct Flushed {
    /// Answers whose turn has come.
    pub answers: Vec<(Requester, Verdict)>,
    /// Something is left, and the socket tells by becoming writable when to go on.
    pub blocked: bool,
    /// The first error since the last success.
    pub error: Option<io::Error>,
}

impl Manager {
    /// The manager that `NOTIFY_SOCKET` names; without one, messages go nowhere.
    ///
    /// # Errors
    /// See [`Target::parse`].
    pub fn from_environment(notify_socket: Option<&OsStr>) -> io::Result<Self> {
        let set = notify_socket.filter(|value| !value.is_empty());
        let target = set.map(Target::parse).transpose()?;
        Ok(Self {
            target,
            waiting: VecDeque::new(),
            trouble: Trouble::None,
        })
    }

    /// Without a manager: messages go nowhere.
    #[must_use]
    pub const fn nobody() -> Self {
        Self {
            target: None,
            waiting: VecDeque::new(),
            trouble: Trouble::None,
        }
    }

    /// Whether somebody listens.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.target.is_some()
    }

    /// The descriptor to wait for when [`Flushed::blocked`].
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.target.as_ref().map(AsFd::as_fd)
    }

    /// Queues a message.
    pub fn tell(&mut self, telling: Telling) {
        if let Telling::Status(_) = telling {
            self.waiting
                .retain(|message| !matches!(message, Message::Tell(Telling::Status(_))));
        }
        self.queue(Message::Tell(telling));
    }

    /// Queues a sign of life (WATCHDOG=1); one is enough.
    pub fn pet(&mut self) {
        if !self.waiting.contains(&Message::Watchdog) {
            self.queue(Message::Watchdog);
        }
    }

    /// Queues an answer behind everything that systemd has to hear before it.
    pub fn answer(&mut self, requester: Requester, verdict: Verdict) {
        self.waiting.push_back(Message::Answer(requester, verdict));
    }

    fn queue(&mut self, message: Message) {
        if self.target.is_none() {
            return;
        }
        let queued = self
            .waiting
            .iter()
            .filter(|message| !message.is_answer())
            .count();
        if queued >= MOST_WAITING {
            let oldest = self.waiting.iter().position(|message| !message.is_answer());
            oldest.and_then(|place| self.waiting.remove(place));
        }
        self.waiting.push_back(message);
    }

    /// Sends what can be sent.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        while let Some(message) = self.waiting.pop_front() {
            let text = match message {
                Message::Answer(requester, verdict) => {
                    flushed.answers.push((requester, verdict));
                    continue;
                }
                Message::Watchdog => notify_state::watchdog(),
                Message::Tell(ref telling) => render(telling),
            };
            let Some(target) = &self.target else { continue };
            match send(target, text.as_bytes(), &[]) {
                Ok(Sent::Done) => self.trouble = Trouble::None,
                Ok(Sent::WouldBlock) => {
                    self.waiting.push_front(message);
                    flushed.blocked = true;
                    break;
                }
                // Not worth dying for: systemd's own timeouts notice what it did not hear.
                Err(error) if self.trouble == Trouble::None => {
                    self.trouble = Trouble::Told;
                    flushed.error = Some(error);
                }
                Err(_) => {}
            }
        }
        flushed
    }
}

impl Message {
    const fn is_answer(&self) -> bool {
        match self {
            Self::Answer(..) => true,
            Self::Tell(_) | Self::Watchdog => false,
        }
    }
}

fn render(telling: &Telling) -> String {
    match telling {
        Telling::Ready => notify_state::ready(),
        // The time of sending, not of queueing: systemd wants it after its own request.
        Telling::Reloading => notify_state::reloading(clock::monotonic_usec()),
        Telling::Stopping => notify_state::stopping(),
        Telling::Status(text) => notify_state::status(text),
        Telling::Extend(more) => notify_state::extend_timeout(*more),
    }
}
