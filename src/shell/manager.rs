//! What systemd hears of us, without ever waiting for it (sd_notify(3)).
//!
//! PID 1 can be busy or stuck, and its queue holds ten datagrams. So every message goes through
//! an outbox that the loop empties as the socket allows: in order, one state per datagram (up to
//! systemd 252 the last of several wins), a STATUS that was not sent yet replaced by the next.
//! Answers to requesters stand in the same queue, because the last word to systemd comes first; but no
//! longer than a while: what they say is true whether systemd listens or not.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::core::{Requester, Telling, Verdict};
use crate::os::clock;
use crate::os::datagram::{Sent, Target, send};
use crate::protocol::listen_fds::Name;
use crate::protocol::notify_state;

/// The most messages that wait for a stuck manager. The machine sends few; what cannot be
/// queued is a loop gone wrong, and the oldest messages are the least true.
const MOST_WAITING: usize = 64;

/// How long an answer waits behind a manager that takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to systemd.
#[derive(Debug)]
pub struct Manager {
    target: Option<Target>,
    waiting: VecDeque<Message>,
    trouble: Trouble,
    /// Since when it has taken nothing, if something waits for it.
    stuck_since: Option<Duration>,
}

/// Whether sending fails; said once, until it works again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    None,
    Told,
}

#[derive(Debug)]
enum Message {
    Tell(Telling),
    Watchdog,
    Keep { name: Name, fd: OwnedFd, poll: bool },
    Release(Name),
    Answer(Requester, Verdict),
}

/// What came of emptying the outbox.
#[derive(Debug, Default)]
pub struct Flushed {
    /// Answers whose turn has come.
    pub answers: Vec<(Requester, Verdict)>,
    /// Something is left, and the socket tells by becoming writable when to go on.
    pub blocked: bool,
    /// When an answer that waits has waited long enough.
    pub due: Option<Duration>,
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
            stuck_since: None,
        })
    }

    /// Without a manager: messages go nowhere.
    #[must_use]
    pub const fn nobody() -> Self {
        Self {
            target: None,
            waiting: VecDeque::new(),
            trouble: Trouble::None,
            stuck_since: None,
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
        if !self.waiting.iter().any(Message::is_watchdog) {
            self.queue(Message::Watchdog);
        }
    }

    /// Queues a descriptor that systemd is to keep under this name; with `poll` until its other
    /// end closes.
    pub fn keep(&mut self, name: Name, fd: OwnedFd, poll: bool) {
        self.queue(Message::Keep { name, fd, poll });
    }

    /// Queues that systemd need not keep what has this name.
    pub fn release(&mut self, name: Name) {
        self.queue(Message::Release(name));
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
            .filter(|message| message.can_be_dropped())
            .count();
        if queued >= MOST_WAITING {
            let oldest = self.waiting.iter().position(Message::can_be_dropped);
            oldest.and_then(|place| self.waiting.remove(place));
        }
        self.waiting.push_back(message);
    }

    /// Sends what can be sent, and waits for so long that it can be; what else comes of it waits for
    /// the next [`flush`](Self::flush).
    pub fn make_room(&mut self, patience: Duration) {
        let until = clock::now().saturating_add(patience);
        loop {
            let Flushed {
                answers,
                blocked,
                error,
                ..
            } = self.flush();
            for (requester, verdict) in answers.into_iter().rev() {
                self.waiting.push_front(Message::Answer(requester, verdict));
            }
            if error.is_some() {
                self.trouble = Trouble::None;
            }
            let left = until.saturating_sub(clock::now());
            let Some(socket) = self.socket().filter(|_| blocked && !left.is_zero()) else {
                return;
            };
            let mut writable = [PollFd::new(socket, PollFlags::POLLOUT)];
            let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
            // Whatever came of it, the clock ends this.
            let _ = poll(&mut writable, PollTimeout::from(millis));
        }
    }

    /// Sends what can be sent.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        while let Some(message) = self.waiting.pop_front() {
            let mut fds = Vec::new();
            let text = match &message {
                Message::Answer(requester, verdict) => {
                    flushed.answers.push((*requester, verdict.clone()));
                    continue;
                }
                Message::Watchdog => notify_state::watchdog(),
                Message::Tell(telling) => render(telling),
                Message::Keep { name, fd, poll } => {
                    fds.push(fd.as_fd());
                    notify_state::keep(name, *poll)
                }
                Message::Release(name) => notify_state::release(name),
            };
            let Some(target) = &self.target else { continue };
            match send(target, text.as_bytes(), &fds) {
                Ok(Sent::Done) => {
                    self.trouble = Trouble::None;
                    self.stuck_since = None;
                }
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
        self.be_patient(&mut flushed, clock::now());
        flushed
    }

    /// Lets the answers go that have waited long enough for systemd.
    fn be_patient(&mut self, flushed: &mut Flushed, now: Duration) {
        if !flushed.blocked {
            self.stuck_since = None;
            return;
        }
        let until = self.stuck_since.get_or_insert(now).saturating_add(PATIENCE);
        if !self.waiting.iter().any(Message::is_answer) {
            return;
        }
        if now < until {
            flushed.due = Some(until);
            return;
        }
        for message in std::mem::take(&mut self.waiting) {
            match message {
                Message::Answer(requester, verdict) => flushed.answers.push((requester, verdict)),
                other => self.waiting.push_back(other),
            }
        }
    }
}

impl Message {
    /// An answer is waited for, and what is kept or not must not be forgotten.
    const fn can_be_dropped(&self) -> bool {
        match self {
            Self::Answer(..) | Self::Keep { .. } | Self::Release(_) => false,
            Self::Tell(_) | Self::Watchdog => true,
        }
    }

    const fn is_answer(&self) -> bool {
        match self {
            Self::Answer(..) => true,
            Self::Tell(_) | Self::Watchdog | Self::Keep { .. } | Self::Release(_) => false,
        }
    }

    const fn is_watchdog(&self) -> bool {
        match self {
            Self::Watchdog => true,
            Self::Tell(_) | Self::Answer(..) | Self::Keep { .. } | Self::Release(_) => false,
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
