//! The processes: who runs, how their start went, what they say, how they end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::fd_store::Wish;
use super::mailbox::{Mailbox, Reading};
use super::token::Token;
use crate::core::{Event, Exit, Word, worth_a_line};
use crate::os::child::{Child, Outcome, Stage, read_outcome};
use crate::os::epoll::{Epoll, Interest};
use crate::os::process::{self, WaitStatus};
use crate::os::reason::Reason;
use crate::protocol::generation::Generation;
use crate::protocol::signal_name::Signal;

/// How often the mailbox of a worker that ended is looked into; the kernel queues ten messages
/// (net.unix.max_dgram_qlen).
const LAST_ROUNDS: usize = 16;

/// How often a worker is looked at that cannot be waited for: the user's watches are used up
/// (fs.epoll.max_user_watches, epoll(7)), or memory is short.
const LOOK: Duration = Duration::from_millis(100);

/// The workers that have not been reaped yet.
#[derive(Debug, Default)]
pub struct Workers {
    table: BTreeMap<Generation, Worker>,
    /// Whether mail is left where it is until what it says was written down.
    leaves_mail: bool,
}

#[derive(Debug)]
struct Worker {
    pid: i32,
    pidfd: OwnedFd,
    start: Start,
    mailbox: Option<Mailbox>,
    /// How often its mail was thrown away.
    refused: u32,
    /// Whether its next message was read.
    read: bool,
    /// Whether the loop wakes up for it; if not, it is looked at again and again.
    watched: bool,
}

/// What is known of the way from fork to exec.
#[derive(Debug)]
enum Start {
    /// The pipe that tells.
    Open(OwnedFd),
    /// Its program runs.
    Done,
    /// It failed, was reported, and only has to be reaped.
    Failed,
}

/// What came of looking at a worker.
#[derive(Debug, Default)]
pub struct News {
    /// For the machine, in order.
    pub events: Vec<Event>,
    /// A start that failed: stage and errno(3), for whoever knows the thing's name.
    pub failed: Option<(Stage, i32)>,
    /// Mail that was thrown away, and why.
    pub refused: Option<String>,
    /// What it wants of the fd store, in order.
    pub wishes: Vec<Wish>,
}

impl Workers {
    /// Takes a fresh child in.
    pub fn take_in(
        &mut self,
        generation: Generation,
        child: Child,
        mailbox: Option<Mailbox>,
        epoll: &Epoll,
    ) {
        let Child {
            pid,
            pidfd,
            outcome,
        } = child;
        let worker = Worker {
            pid,
            pidfd,
            start: Start::Open(outcome),
            mailbox,
            refused: 0,
            read: false,
            watched: false,
        };
        self.insert(generation, worker, epoll);
    }

    /// It runs, and may have accepted clients: that it cannot be waited for is no reason to end it.
    fn insert(&mut self, generation: Generation, mut worker: Worker, epoll: &Epoll) {
        if let Err(error) = worker.watch(generation, epoll) {
            log::warn!(
                "cannot wait for generation {generation} (epoll_ctl: {}); looking at it every {} ms",
                Reason(&error),
                LOOK.as_millis()
            );
        }
        self.table.insert(generation, worker);
    }

    /// When those that cannot be waited for are to be looked at, if there are any.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Duration> {
        let all = self.table.values().all(|worker| worker.watched);
        (!all).then(|| now.saturating_add(LOOK))
    }

    /// What the loop has to look at because nothing wakes it up for it.
    pub(super) fn unwatched(&mut self, epoll: &Epoll) -> impl Iterator<Item = Token> {
        let unwatched = self.table.iter_mut().filter(|(_, worker)| !worker.watched);
        unwatched.flat_map(|(generation, worker)| {
            // What was in the way may be over; that it is not was said.
            let _ = worker.watch(*generation, epoll);
            let ended = process::has_ended(worker.pidfd.as_fd()).unwrap_or(true);
            let alive = [Token::Outcome(*generation), Token::Mail(*generation)];
            let ended = ended.then_some(Token::Exit(*generation));
            alive.into_iter().chain(ended)
        })
    }

    /// Whether anybody is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a generation's process has not been reaped.
    #[must_use]
    pub fn contains(&self, generation: Generation) -> bool {
        self.table.contains_key(&generation)
    }

    /// A generation's process.
    #[must_use]
    pub fn pid(&self, generation: Generation) -> Option<i32> {
        self.table.get(&generation).map(|worker| worker.pid)
    }

    /// Whether a process is one of ours.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        self.table.values().any(|worker| worker.pid == pid)
    }

    /// Sends a signal to everybody; that somebody cannot be reached does not spare the others.
    pub fn signal_all(&self, signal: Signal) {
        for generation in self.table.keys() {
            if let Err(error) = self.signal(*generation, signal) {
                log::error!(
                    "cannot send {signal} to generation {generation}: {}",
                    Reason(&error)
                );
            }
        }
    }

    /// Sends a signal through the pidfd, so that it can never reach a recycled pid.
    ///
    /// # Errors
    /// As pidfd_send_signal(2); that it has ended meanwhile is none.
    pub fn signal(&self, generation: Generation, signal: Signal) -> io::Result<()> {
        let Some(worker) = self.table.get(&generation) else {
            return Ok(());
        };
        match process::send_signal(worker.pidfd.as_fd(), signal.get()) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Looks how the way from fork to exec went.
    ///
    /// # Errors
    /// As read(2) and epoll_ctl(2).
    pub fn look_at_start(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<News> {
        let mut news = News::default();
        let Some(worker) = self.table.get_mut(&generation) else {
            return Ok(news);
        };
        let Start::Open(pipe) = &worker.start else {
            return Ok(news);
        };
        worker.start = match read_outcome(pipe.as_fd())? {
            Outcome::Pending => return Ok(news),
            outcome => {
                if worker.watched {
                    epoll.remove(pipe.as_fd())?;
                }
                match outcome {
                    Outcome::Failed { stage, errno } => {
                        news.failed = Some((stage, errno));
                        Start::Failed
                    }
                    Outcome::Pending | Outcome::Execed => {
                        news.events.push(Event::Executed { generation });
                        Start::Done
                    }
                }
            }
        };
        Ok(news)
    }

    /// Reads what a worker has said.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn read_mail(&mut self, generation: Generation) -> io::Result<News> {
        if self.leaves_mail {
            self.read_mail_by(generation, Reading::Leaving)
        } else {
            self.read_mail_by(generation, Reading::Taking)
        }
    }

    fn read_mail_by(&mut self, generation: Generation, reading: Reading) -> io::Result<News> {
        let mut news = News::default();
        let Some(worker) = self.table.get_mut(&generation) else {
            return Ok(news);
        };
        let Some(mailbox) = &worker.mailbox else {
            return Ok(news);
        };
        let mail = mailbox.collect(worker.pid, reading)?;
        worker.read = reading == Reading::Leaving;
        // A flood of nonsense must not become a flood of lines.
        news.refused = mail.refused.filter(|_| {
            worker.refused = worker.refused.saturating_add(1);
            worth_a_line(worker.refused)
        });
        news.wishes = mail.wishes;
        news.events.extend(
            mail.words
                .into_iter()
                .map(|word| Event::Said { generation, word }),
        );
        Ok(news)
    }

    /// From now on a message is there until [`discard_mail`](Self::discard_mail).
    pub fn leave_mail(&mut self) {
        self.leaves_mail = true;
    }

    /// What was read has been written down.
    ///
    /// # Errors
    /// As recv(2).
    pub fn discard_mail(&mut self) -> io::Result<()> {
        for worker in self.table.values_mut() {
            if std::mem::take(&mut worker.read) {
                worker.mailbox.as_ref().map_or(Ok(()), Mailbox::discard)?;
            }
        }
        Ok(())
    }

    /// Everything that is left to read: what the dead gave us to keep is worth keeping. Its
    /// children may go on writing, so there is a bound.
    fn read_last_mail(&mut self, generation: Generation) -> News {
        let mut all = News::default();
        for _ in 0..LAST_ROUNDS {
            // What cannot be read is lost; that somebody ended is not.
            let news = self
                .read_mail_by(generation, Reading::Taking)
                .unwrap_or_default();
            if news.events.is_empty() && news.wishes.is_empty() && news.refused.is_none() {
                break;
            }
            all.events.extend(news.events);
            all.wishes.extend(news.wishes);
            all.refused = all.refused.or(news.refused);
        }
        all
    }

    /// Reaps a worker that ended. Its last STATUS is read first, as it may say why; READY=1 from
    /// the dead is not believed.
    ///
    /// # Errors
    /// As waitid(2) and epoll_ctl(2).
    pub fn reap(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<News> {
        let mut news = self.look_at_start(generation, epoll)?;
        // Before it is reaped: its user is looked up by its pid.
        let mail = self.read_last_mail(generation);
        let Some(worker) = self.table.get(&generation) else {
            return Ok(news);
        };
        (news.wishes, news.refused) = (mail.wishes, mail.refused);
        let exit = match process::try_wait(worker.pidfd.as_fd()) {
            Ok(None) => {
                news.events.extend(mail.events);
                return Ok(news);
            }
            Ok(Some(status)) => exit_of(status),
            // Somebody else reaped it, or it was never our child: it is gone all the same.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Exit::Unknown,
            Err(error) => return Err(error),
        };
        news.events
            .extend(mail.events.into_iter().filter(|event| match event {
                Event::Said { word, .. } => matches!(word, Word::Status(_)),
                _ => false,
            }));
        let Some(worker) = self.table.remove(&generation) else {
            return Ok(news);
        };
        if worker.watched {
            epoll.remove(worker.pidfd.as_fd())?;
            if let Some(mailbox) = &worker.mailbox {
                epoll.remove(mailbox.as_fd())?;
            }
        }
        match worker.start {
            Start::Failed => {}
            Start::Open(_) | Start::Done => news.events.push(Event::Exited { generation, exit }),
        }
        Ok(news)
    }
}

mod saved;

impl Worker {
    /// Has the loop wake up for its end, its start and its mail: for all of them, or for none.
    fn watch(&mut self, generation: Generation, epoll: &Epoll) -> io::Result<()> {
        let mut sources = vec![(self.pidfd.as_fd(), Token::Exit(generation), Interest::Ended)];
        if let Start::Open(pipe) = &self.start {
            let token = Token::Outcome(generation);
            sources.push((pipe.as_fd(), token, Interest::Readable));
        }
        if let Some(mailbox) = &self.mailbox {
            let token = Token::Mail(generation);
            sources.push((mailbox.as_fd(), token, Interest::Readable));
        }
        for (done, (source, token, interest)) in sources.iter().enumerate() {
            if let Err(error) = epoll.add(*source, (*token).into(), *interest) {
                for (source, _, _) in &sources[..done] {
                    epoll.remove(*source)?;
                }
                return Err(error);
            }
        }
        self.watched = true;
        Ok(())
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match status {
        WaitStatus::Exited(status) => Exit::Status(status),
        WaitStatus::Signaled { signal, core } => match Signal::new(signal) {
            Some(signal) => Exit::Killed { signal, core },
            None => Exit::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn one_that_cannot_be_waited_for_is_looked_at() {
        let generation = Generation::FIRST;
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = cat.id().try_into().unwrap();
        let (outcome, childs_end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let child = Child {
            pid,
            pidfd: process::pidfd_open(pid).unwrap(),
            outcome,
        };
        let epoll = Epoll::new().unwrap();
        // What is there already is refused (EEXIST), as anything is where no more can be watched.
        let there = epoll.add(child.pidfd.as_fd(), u64::MAX, Interest::Changed);
        there.unwrap();
        let mut workers = Workers::default();
        workers.take_in(generation, child, None, &epoll);
        assert_eq!(workers.due(LOOK), Some(LOOK * 2));
        let alive = [Token::Outcome(generation), Token::Mail(generation)];
        assert!(workers.unwatched(&epoll).eq(alive));
        let news = workers.look_at_start(generation, &epoll).unwrap();
        assert!(news.events.is_empty());
        drop(childs_end);
        // The children have it, too, that other tests fork in this moment, until they execute something.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let news = loop {
            let news = workers.look_at_start(generation, &epoll).unwrap();
            if !news.events.is_empty() || std::time::Instant::now() > deadline {
                break news;
            }
            std::thread::yield_now();
        };
        assert!(matches!(*news.events, [Event::Executed { .. }]));
        drop(cat.stdin.take());
        let end = Token::Exit(generation);
        while !workers.unwatched(&epoll).any(|token| token == end) {
            std::thread::yield_now();
        }
        let news = workers.reap(generation, &epoll).unwrap();
        let exit = Exit::Status(0);
        assert!(matches!(&*news.events, [Event::Exited { exit: seen, .. }] if *seen == exit));
        assert_eq!(workers.due(LOOK), None);
        assert!(cat.wait().is_err(), "it was reaped");
    }
}
