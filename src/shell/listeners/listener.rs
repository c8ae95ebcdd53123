//! One socket that we hold.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::os::fd::{OwnedFd, RawFd};

use super::key::Key;
use crate::protocol::address::{Address, SocketKind};
use crate::protocol::keepsake::Keepsake;
use crate::protocol::listen_fds::Name;
use crate::shell::adopted::Facts;

/// Where a listener came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a socket unit, through `LISTEN_FDS`.
    Adopted,
    /// We bound it.
    Bound,
    /// We bound it in an earlier life; systemd's fd store kept it.
    Stored,
}

/// One socket that we hold. There may be thousands: what can be told from something else is not
/// kept.
#[derive(Debug)]
pub struct Listener {
    /// Its name in `SERVER_STARTER_PORT`, if it can have one there.
    pub key: Option<Key>,
    /// Its name in `LISTEN_FDNAMES`, where that is not its key.
    pub(super) own_name: Option<Box<Name>>,
    /// Our copy.
    pub fd: OwnedFd,
    /// Where it came from.
    pub origin: Origin,
    /// Where it is bound.
    pub address: Address,
    /// Stream, datagram...
    pub kind: SocketKind,
    /// The number at which workers find it.
    pub target: RawFd,
    /// Whether the user asked for that number.
    pub(super) is_pinned: bool,
    /// Its name in systemd's fd store, if we bound it, in this life or an earlier one.
    pub(super) kept: Kept,
    /// Whether systemd's fd store has it.
    pub(super) is_stored: bool,
    /// What `cookie` has found.
    pub(super) known_by: Cell<Option<NonZeroU64>>,
}

/// What systemd's fd store has, or gets, a socket as.
#[derive(Debug)]
pub(super) enum Kept {
    /// We have not bound it.
    Never,
    /// As this one of the `--port`s with its key, from 0 on.
    Port(u32),
    /// By this name.
    As(Box<Name>),
}

impl Listener {
    /// One that has no name yet in the fd store, and no place.
    pub(super) fn new(
        key: Option<String>,
        own_name: Option<Name>,
        fd: OwnedFd,
        origin: Origin,
        facts: Facts,
    ) -> Self {
        Self {
            key: key.as_deref().map(Key::from),
            own_name: own_name.map(Box::new),
            fd,
            origin,
            address: facts.address,
            kind: facts.kind,
            // Until it is placed.
            target: -1,
            is_pinned: false,
            kept: Kept::Never,
            is_stored: origin == Origin::Stored,
            // Who has not been asked for it yet is asked when it is needed.
            known_by: Cell::new(facts.cookie.and_then(NonZeroU64::new)),
        }
    }

    /// The user asks for this number, or for none.
    pub(super) fn ask_for(&mut self, pin: Option<RawFd>) {
        self.is_pinned = pin.is_some();
        self.target = pin.unwrap_or(self.target);
    }

    /// The number that the user asked for.
    #[must_use]
    pub fn pin(&self) -> Option<RawFd> {
        self.is_pinned.then_some(self.target)
    }

    /// Its name in `LISTEN_FDNAMES`: a socket that we bound is called by its key, if that can be.
    #[must_use]
    pub fn name(&self) -> Name {
        match (&self.own_name, self.key.as_deref().and_then(Name::new)) {
            (Some(name), _) => Name::clone(name),
            (None, Some(name)) => name,
            (None, None) => Name::unknown(),
        }
    }

    /// Its name in systemd's fd store, if we bound it, in this life or an earlier one.
    #[must_use]
    pub fn kept_as(&self) -> Option<Name> {
        match &self.kept {
            Kept::Never => None,
            Kept::Port(nth) => {
                let key = self.key.as_deref()?;
                Some(Keepsake::port(key, *nth, self.cookie()).name())
            }
            Kept::As(name) => Some(Name::clone(name)),
        }
    }
}
