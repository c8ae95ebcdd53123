//! `--ready=fd:N`: the pipes on which workers say that they are ready, with a line feed (the s6
//! convention, <https://skarnet.org/software/s6/notifywhenup.html>).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use super::luggage::{Luggage, Packed};
use super::token::Token;
use crate::os::epoll::{Epoll, Interest};
use crate::protocol::generation::Generation;
use crate::protocol::state::Label;

/// How much is read in one wake-up; what a worker writes before its line feed means nothing.
const AT_ONCE: usize = 4096;

/// The reading ends.
#[derive(Debug, Default)]
pub struct Readiness {
    pipes: BTreeMap<Generation, OwnedFd>,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Read {
    /// A line feed: it is ready.
    Ready,
    /// Nothing yet.
    Nothing,
    /// The writing end was closed without one: it will not say so any more.
    Closed,
}

impl Readiness {
    /// A new pipe for a worker; the writing end, for its descriptor N. (Blocking, as everybody
    /// who writes a byte there expects.)
    ///
    /// # Errors
    /// As pipe2(2) and epoll_ctl(2).
    pub fn open(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<OwnedFd> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        let token = Token::Readiness(generation).into();
        epoll.add(read.as_fd(), token, Interest::Readable)?;
        self.pipes.insert(generation, read);
        Ok(write)
    }

    /// The pipe of a worker, for a successor.
    pub fn save<'a>(&'a self, generation: Generation, packed: &mut Packed<'a>) -> Option<Label> {
        let pipe = self.pipes.get(&generation)?;
        Some(packed.add(Label::numbered("ready", generation.get()), pipe))
    }

    /// The pipe of a predecessor's worker.
    ///
    /// # Errors
    /// When it did not come along; as epoll_ctl(2).
    pub fn take_over(
        &mut self,
        generation: Generation,
        label: &Label,
        luggage: &mut Luggage,
        epoll: &Epoll,
    ) -> io::Result<()> {
        let pipe = luggage.take(label)?;
        let token = Token::Readiness(generation).into();
        epoll.add(pipe.as_fd(), token, Interest::Readable)?;
        self.pipes.insert(generation, pipe);
        Ok(())
    }

    /// Reads what a worker wrote. After a line feed or the end the pipe is closed.
    ///
    /// # Errors
    /// As read(2) and epoll_ctl(2).
    pub fn read(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<Read> {
        let Some(pipe) = self.pipes.get(&generation) else {
            return Ok(Read::Nothing);
        };
        let mut buffer = [0; AT_ONCE];
        let read = match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut buffer)) {
            Err(rustix::io::Errno::AGAIN) => return Ok(Read::Nothing),
            Ok(0) => Read::Closed,
            Ok(count) if buffer[..count].contains(&b'\n') => Read::Ready,
            Ok(_) => return Ok(Read::Nothing),
            Err(error) => return Err(error.into()),
        };
        self.close(generation, epoll)?;
        Ok(read)
    }

    /// Forgets a worker: what it wrote is not believed any more.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn close(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<()> {
        match self.pipes.remove(&generation) {
            Some(pipe) => epoll.remove(pipe.as_fd()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (Readiness, Epoll, OwnedFd) {
        let (mut readiness, epoll) = (Readiness::default(), Epoll::new().unwrap());
        let write = readiness.open(Generation::FIRST, &epoll).unwrap();
        (readiness, epoll, write)
    }

    fn read(readiness: &mut Readiness, epoll: &Epoll) -> Read {
        readiness.read(Generation::FIRST, epoll).unwrap()
    }

    #[test]
    fn a_line_feed_is_readiness_whatever_comes_before_it() {
        let (mut readiness, epoll, write) = open();
        assert_eq!(read(&mut readiness, &epoll), Read::Nothing);
        rustix::io::write(&write, b"warming up").unwrap();
        assert_eq!(read(&mut readiness, &epoll), Read::Nothing);
        rustix::io::write(&write, b"done\n").unwrap();
        assert_eq!(read(&mut readiness, &epoll), Read::Ready);
        assert_eq!(read(&mut readiness, &epoll), Read::Nothing);
    }

    #[test]
    fn the_end_without_a_line_feed_is_none() {
        let (mut readiness, mut epoll, write) = open();
        rustix::io::write(&write, b"no").unwrap();
        assert_eq!(read(&mut readiness, &epoll), Read::Nothing);
        drop(write);
        // The children have it, too, that other tests fork in this moment, until they execute something.
        let limit = std::time::Duration::from_secs(10);
        assert_eq!(epoll.wait(Some(limit)).unwrap().len(), 1);
        assert_eq!(read(&mut readiness, &epoll), Read::Closed);
    }

    #[test]
    fn only_the_reading_end_never_waits() {
        let (readiness, _epoll, write) = open();
        let flags = |fd: &OwnedFd| rustix::fs::fcntl_getfl(fd).unwrap();
        assert!(!flags(&write).contains(OFlags::NONBLOCK));
        assert!(flags(&readiness.pipes[&Generation::FIRST]).contains(OFlags::NONBLOCK));
    }
}
