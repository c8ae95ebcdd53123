//! A client, handed from one supervisor to the next: it waits on, and gets its answer.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Client, Turn, end_of_call, is_trusted};
use crate::os::epoll::Interest;
use crate::protocol::state::{Label, held};
use crate::shell::luggage::{Luggage, Packed};

/// How much of what was not yet read or written is taken along, in bytes. Who leaves more lying
/// about than any of ours is let go.
const MOST: usize = 16 * 1024;

impl Client {
    pub(in crate::shell) fn save<'a>(
        &'a self,
        id: u64,
        packed: &mut Packed<'a>,
    ) -> Option<held::Client> {
        if self.input.len() + self.output.len() > MOST {
            return None;
        }
        Some(held::Client {
            id,
            fd: packed.add(Label::numbered("client", id), &self.stream),
            input: held::Bytes(self.input.clone()),
            output: held::Bytes(self.output.clone()),
            turn: match self.turn {
                Turn::Theirs => held::Turn::Theirs,
                Turn::Ours { oneway } => held::Turn::Ours { oneway },
                Turn::Monitoring => held::Turn::Monitoring,
            },
            ended: self.ended,
            heard: u64::try_from(self.heard.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// What the loop is to wait for stands in `interest`.
    ///
    /// # Errors
    /// When its connection did not come along; as fcntl(2).
    pub(in crate::shell) fn take_over(
        saved: &held::Client,
        luggage: &mut Luggage,
    ) -> io::Result<Self> {
        let stream = UnixStream::from(luggage.take(&saved.fd)?);
        stream.set_nonblocking(true)?;
        let mut client = Self {
            trusted: is_trusted(&stream),
            stream,
            input: saved.input.0.clone(),
            end: end_of_call(&saved.input.0),
            output: saved.output.0.clone(),
            turn: match saved.turn {
                held::Turn::Theirs => Turn::Theirs,
                held::Turn::Ours { oneway } => Turn::Ours { oneway },
                held::Turn::Monitoring => Turn::Monitoring,
            },
            ended: saved.ended,
            interest: Interest::Readable,
            heard: Duration::from_nanos(saved.heard),
        };
        client.interest = client.wanted_interest();
        Ok(client)
    }
}
