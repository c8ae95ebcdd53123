//! Waiting: epoll(7), level-triggered, each descriptor known by a token.
//!
//! Level-triggered on purpose: what a round of the loop leaves unread is reported
//! again, so a handler may stop early and nothing is forgotten. The exceptions are what no handler
//! can put an end to ([`Interest::Ended`], [`Interest::Changed`]).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::clock;

/// More descriptors than a round can report wait for the next round.
const EVENTS_PER_ROUND: usize = 64;

/// What to wait for; errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read or accept.
    Readable,
    /// Room to write.
    Writable,
    /// Both.
    ReadableOrWritable,
    /// Only errors and hang-ups.
    HangUp,
    /// The end of a process (a pidfd): once, and again when a debugger that held it lets go. Until then
    /// it polls as ended and cannot be waited for.
    Ended,
    /// Only errors and hang-ups, once for each change: `cgroup.events`, which polls as changed for ever
    /// when the cgroup is gone, and a listening socket that is shut down.
    Changed,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Interest::Readable => EpollFlags::EPOLLIN,
            Interest::Writable => EpollFlags::EPOLLOUT,
            Interest::ReadableOrWritable => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            Interest::HangUp => EpollFlags::empty(),
            Interest::Ended => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Interest::Changed => EpollFlags::EPOLLET,
        }
    }
}

/// One descriptor that has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// Reading would not block.
    pub readable: bool,
    /// Writing would not block.
    pub writable: bool,
    /// The other side is gone (EPOLLHUP).
    pub hung_up: bool,
    /// An error is pending (EPOLLERR).
    pub error: bool,
}

impl From<&EpollEvent> for Ready {
    fn from(event: &EpollEvent) -> Self {
        let flags = event.events();
        Ready {
            token: event.data(),
            readable: flags.contains(EpollFlags::EPOLLIN),
            writable: flags.contains(EpollFlags::EPOLLOUT),
            hung_up: flags.contains(EpollFlags::EPOLLHUP),
            error: flags.contains(EpollFlags::EPOLLERR),
        }
    }
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub struct Epoll {
    inner: epoll::Epoll,
    buffer: Vec<EpollEvent>,
}

impl Epoll {
    /// An empty set, close-on-exec.
    ///
    /// # Errors
    /// As epoll_create1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Epoll {
            inner: epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            buffer: vec![EpollEvent::empty(); EVENTS_PER_ROUND],
        })
    }

    /// Waits for `fd` too. A duplicate of it (one in a child not yet exec'd) keeps
    /// the entry alive after a close: call [`Epoll::remove`] first.
    ///
    /// # Errors
    /// `EEXIST` when it is there already; `EPERM` for what cannot be waited for (a file).
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let event = EpollEvent::new(interest.flags(), token);
        Ok(self.inner.add(fd, event)?)
    }

    /// Waits for something else on `fd`.
    ///
    /// # Errors
    /// `ENOENT` when it was not added.
    pub fn change(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = EpollEvent::new(interest.flags(), token);
        Ok(self.inner.modify(fd, &mut event)?)
    }

    /// Waits for `fd` no longer.
    ///
    /// # Errors
    /// `ENOENT` when it was not added.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self.inner.delete(fd) {
            // It needs nothing, so it cannot run out of it; a tracer can have it say so. The close
            // that follows takes the descriptor out in any case.
            Err(Errno::ENOMEM | Errno::ENOSPC) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever).
    /// The timeout is rounded up to milliseconds: a timer is never early, so no
    /// loop spins through its last millisecond.
    ///
    /// # Errors
    /// As epoll_wait(2); an interruption is not one.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<impl ExactSizeIterator<Item = Ready> + '_> {
        let deadline = timeout.map(|timeout| clock::now().saturating_add(timeout));
        let mut left = timeout;
        let count = loop {
            match self.inner.wait(&mut self.buffer, round_up(left)) {
                // SIGSTOP and SIGCONT interrupt although every signal is blocked.
                Err(Errno::EINTR) => {
                    left = deadline.map(|deadline| deadline.saturating_sub(clock::now()));
                }
                other => break other?,
            }
        };
        Ok(self.buffer.iter().take(count).map(Ready::from))
    }
}

fn round_up(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else {
        return EpollTimeout::NONE;
    };
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    // Beyond 24 days the wait ends early, and the loop simply waits again.
    let millis = i32::try_from(millis).unwrap_or(i32::MAX);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Instant;

    fn pipe() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
    }

    #[test]
    fn a_token_comes_back_with_what_is_ready() {
        let (read, write) = pipe();
        let mut epoll = Epoll::new().unwrap();
        epoll
            .add(read.as_fd(), u64::MAX, Interest::Readable)
            .unwrap();
        assert_eq!(epoll.wait(Some(Duration::ZERO)).unwrap().len(), 0);
        rustix::io::write(&write, b"x").unwrap();
        let ready: Vec<_> = epoll.wait(None).unwrap().collect();
        assert_eq!(ready.len(), 1);
        assert_eq!(ready[0].token, u64::MAX);
        assert!(ready[0].readable && !ready[0].hung_up);
    }

    #[test]
    fn a_hang_up_is_reported_without_being_asked_for() {
        let (read, write) = pipe();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(read.as_fd(), 7, Interest::HangUp).unwrap();
        drop(write);
        let ready = epoll.wait(None).unwrap().next().unwrap();
        assert!(ready.hung_up && !ready.readable);
    }

    #[test]
    fn a_removed_descriptor_is_silent() {
        let (_read, write) = pipe();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(write.as_fd(), 1, Interest::HangUp).unwrap();
        epoll.change(write.as_fd(), 2, Interest::Writable).unwrap();
        assert_eq!(epoll.wait(None).unwrap().next().unwrap().token, 2);
        epoll.remove(write.as_fd()).unwrap();
        assert_eq!(epoll.wait(Some(Duration::ZERO)).unwrap().len(), 0);
    }

    #[test]
    fn a_timeout_is_never_early() {
        let mut epoll = Epoll::new().unwrap();
        let timeout = Duration::from_micros(2_300);
        let start = Instant::now();
        assert_eq!(epoll.wait(Some(timeout)).unwrap().len(), 0);
        assert!(start.elapsed() >= timeout);
    }

    #[test]
    fn timeouts_are_rounded_up_and_bounded() {
        assert_eq!(round_up(None), EpollTimeout::NONE);
        assert_eq!(round_up(Some(Duration::ZERO)), EpollTimeout::ZERO);
        assert_eq!(round_up(Some(Duration::from_nanos(1))), 1u8.into());
        assert_eq!(round_up(Some(Duration::MAX)), EpollTimeout::MAX);
    }
}
