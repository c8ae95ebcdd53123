//! How a socket is asked for.

use super::Socket;
use std::fmt;

/// How a socket is asked for; a `&str` is [`Which::Called`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// By its key, or if no socket has this key, by its name.
    Called(&'a str),
    /// By its key in `SERVER_STARTER_PORT`: `8080`, `[::1]:80`, `/run/app.sock`.
    Key(&'a str),
    /// By its `FileDescriptorName=`.
    Name(&'a str),
    /// The one that is left.
    Only,
}

impl<'a> Which<'a> {
    /// The ways to look, one after the other.
    pub(super) fn ways(self) -> impl Iterator<Item = Which<'a>> {
        let (first, second) = match self {
            Which::Called(text) => (Which::Key(text), Some(Which::Name(text))),
            other => (other, None),
        };
        std::iter::once(first).chain(second)
    }

    pub(super) fn fits(self, socket: &Socket) -> bool {
        match self {
            Which::Called(text) => socket.key() == Some(text) || socket.name() == Some(text),
            Which::Key(key) => socket.key() == Some(key),
            Which::Name(name) => socket.name() == Some(name),
            Which::Only => true,
        }
    }
}

impl<'a> From<&'a str> for Which<'a> {
    fn from(text: &'a str) -> Self {
        Which::Called(text)
    }
}

impl<'a> From<&'a String> for Which<'a> {
    fn from(text: &'a String) -> Self {
        Which::Called(text)
    }
}

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Called(text) => write!(f, "{text:?}"),
            Which::Key(key) => write!(f, "the key {key:?}"),
            Which::Name(name) => write!(f, "the name {name:?}"),
            Which::Only => f.write_str("the only socket"),
        }
    }
}
