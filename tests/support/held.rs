//! A request that is held open by a gate.

use std::time::Instant;

use super::failure::Failure;
use super::gate::Gate;
use super::http::{Connection, Target};

/// A request that a worker has taken and not yet answered to the end.
pub(crate) struct Held {
    /// The generation that took it.
    pub(crate) generation: u64,
    connection: Connection,
    rest: usize,
    /// When it was sent.
    pub(crate) due: Instant,
}

impl Held {
    pub(crate) fn take(target: &Target, gate: &Gate) -> Result<Self, Failure> {
        let due = Instant::now();
        let mut connection = target.network.within(|| target.connect())?;
        connection.send(&gate.target(), false)?;
        let (mut answer, length) = connection.head()?;
        answer.body = connection.line()?;
        let generation = answer.generation()?;
        let rest = length.unwrap_or(0).saturating_sub(answer.body.len());
        Ok(Self {
            generation,
            connection,
            rest,
            due,
        })
    }

    /// Reads the rest, which must be what the worker writes when it is let go, and nothing after it.
    pub(crate) fn finish(mut self) -> Result<u64, Failure> {
        let rest = self.connection.take(self.rest)?;
        if rest != "released\n" {
            let reason = format!("a held request ended with {rest:?}");
            return Err(Failure::wrong(reason));
        }
        Ok(self.generation)
    }
}
