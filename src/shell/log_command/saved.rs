//! The log's command, handed from one supervisor to the next: it reads on from the same pipe.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{LogCommand, Running};
use crate::os::epoll::{Epoll, Interest};
use crate::os::signals::Original;
use crate::protocol::state::{Label, held};
use crate::shell::luggage::{Luggage, Packed};
use crate::shell::token::Token;

impl LogCommand {
    /// The pipe and the process; `None` at the very end, when nobody writes any more.
    pub fn save<'a>(&'a self, packed: &mut Packed<'a>) -> Option<held::LogCommand> {
        let writer = self.writer.as_ref()?;
        let [output, error] = &self.outputs;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Some(held::LogCommand {
            pipe: packed.add(Label::of("log.pipe"), &self.pipe),
            writer: packed.add(Label::of("log.writer"), writer),
            output: packed.add(Label::of("log.output"), output),
            error: packed.add(Label::of("log.error"), error),
            child: self
                .child
                .as_ref()
                .map(|child| (child.pid, packed.add(Label::of("log.pidfd"), &child.pidfd))),
            started: nanos(self.started),
            deaths: self.deaths,
            due: self.due.map(nanos),
        })
    }

    /// The command of our predecessor; our output and error lead to it already.
    ///
    /// # Errors
    /// When its pipe did not come along; as epoll_ctl(2).
    pub fn take_over(
        command: &OsStr,
        environment: Vec<CString>,
        signals: Original,
        saved: &held::LogCommand,
        luggage: &mut Luggage,
        epoll: &Epoll,
    ) -> io::Result<Self> {
        let child = match &saved.child {
            Some((pid, label)) => {
                let pidfd = luggage.take(label)?;
                epoll.add(pidfd.as_fd(), Token::LogCommand.into(), Interest::Ended)?;
                Some(Running { pid: *pid, pidfd })
            }
            None => None,
        };
        Ok(Self {
            command: super::c_string(command),
            environment,
            signals,
            pipe: luggage.take(&saved.pipe)?,
            writer: Some(luggage.take(&saved.writer)?),
            outputs: [luggage.take(&saved.output)?, luggage.take(&saved.error)?],
            child,
            started: Duration::from_nanos(saved.started),
            deaths: saved.deaths,
            due: saved.due.map(Duration::from_nanos),
        })
    }
}
