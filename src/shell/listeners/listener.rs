//! One socket that we hold.

use std::cell::OnceCell;
use std::os::fd::{OwnedFd, RawFd};

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
    pub key: Option<Box<str>>,
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
    /// The number that the user asked for.
    pub pin: Option<RawFd>,
    /// Its name in systemd's fd store, if we bound it, in this life or an earlier one.
    pub(super) kept: Kept,
    /// Whether systemd's fd store has it.
    pub(super) is_stored: bool,
    /// What `cookie` has found.
    pub(super) known_by: OnceCell<Option<u64>>,
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
            key: key.map(String::into_boxed_str),
            own_name: own_name.map(Box::new),
            fd,
            origin,
            address: facts.address,
            kind: facts.kind,
            // Until it is placed.
            target: -1,
            pin: None,
            kept: Kept::Never,
            is_stored: origin == Origin::Stored,
            // Who has not been asked for it yet is asked when it is needed.
            known_by: facts
                .cookie
                .map(Some)
                .map_or_else(OnceCell::new, OnceCell::from),
        }
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
