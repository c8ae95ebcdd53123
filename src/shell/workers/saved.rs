//! Workers, handed from one supervisor to the next. They notice nothing of it.

use std::io;

use super::{Start, Worker, Workers};
use crate::os::epoll::Epoll;
use crate::os::process;
use crate::protocol::generation::Generation;
use crate::protocol::state::{Label, held};
use crate::shell::luggage::{Luggage, Packed};
use crate::shell::mailbox::Mailbox;
use crate::shell::readiness::Readiness;

impl Workers {
    /// All of them, with the pipes of `--ready=fd:N` on which they are still to be heard.
    pub fn save<'a>(
        &'a self,
        readiness: &'a Readiness,
        packed: &mut Packed<'a>,
    ) -> Vec<held::Worker> {
        let save = |(generation, worker): (&Generation, &'a Worker)| {
            let number = generation.get();
            let start = match &worker.start {
                Start::Open(pipe) => {
                    held::Start::Open(packed.add(Label::numbered("start", number), pipe))
                }
                Start::Done => held::Start::Done,
                Start::Failed => held::Start::Failed,
            };
            held::Worker {
                generation: number,
                pid: worker.pid,
                pidfd: packed.add(Label::numbered("pidfd", number), &worker.pidfd),
                start,
                mailbox: worker
                    .mailbox
                    .as_ref()
                    .map(|mailbox| mailbox.save(*generation, packed)),
                refused: worker.refused,
                readiness: readiness.save(*generation, packed),
            }
        };
        self.table.iter().map(save).collect()
    }

    /// Takes one over that a predecessor has started and not reaped. What it has said and how it
    /// has ended meanwhile is still there to be read.
    ///
    /// # Errors
    /// When its process cannot be found; as pidfd_open(2). Without its mailbox it goes on.
    pub fn take_over(
        &mut self,
        generation: Generation,
        saved: &held::Worker,
        luggage: &mut Luggage,
        epoll: &Epoll,
    ) -> io::Result<()> {
        let pidfd = match luggage.take(&saved.pidfd) {
            Ok(pidfd) => pidfd,
            // A child of ours that we have not reaped: nobody else can have its number.
            Err(_) if process::is_our_child(saved.pid) => process::pidfd_open(saved.pid)?,
            Err(error) => return Err(error),
        };
        let start = match &saved.start {
            held::Start::Failed => Start::Failed,
            held::Start::Done => Start::Done,
            held::Start::Open(label) => match luggage.take(label) {
                Ok(pipe) => Start::Open(pipe),
                // Then --start-timeout decides.
                Err(_) => Start::Done,
            },
        };
        let mailbox = saved.mailbox.as_ref().and_then(|mailbox| {
            let lost = |error: &io::Error| {
                log::warn!("generation {generation} is not heard any more: {error}");
            };
            Mailbox::take_over(mailbox, luggage).inspect_err(lost).ok()
        });
        let worker = Worker {
            pid: saved.pid,
            pidfd,
            start,
            mailbox,
            refused: saved.refused,
            read: false,
            watched: false,
        };
        self.insert(generation, worker, epoll);
        Ok(())
    }
}
