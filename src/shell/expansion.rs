//! `--expand`: placeholders in the worker's arguments and environment, filled in once the sockets
//! are known and before anything runs. A mistake is found here, not by a worker.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::listeners::Listener;
use crate::protocol::address::Address;
use crate::protocol::placeholder::{self, Asked, BadPlaceholder};

/// A placeholder that stands for nothing, and where.
#[derive(Debug)]
pub struct ExpansionFailure {
    /// `argument 2`, or `the variable NAME`.
    place: String,
    bad: BadPlaceholder,
}

impl fmt::Display for ExpansionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--expand: {}: {}", self.place, self.bad)
    }
}

impl std::error::Error for ExpansionFailure {}

/// Fills in the arguments.
///
/// # Errors
/// The first placeholder that is unknown, or stands for no socket or for several.
pub fn arguments(
    arguments: &[OsString],
    listeners: &[Listener],
) -> Result<Vec<OsString>, ExpansionFailure> {
    let numbered = arguments.iter().enumerate();
    numbered
        .map(|(index, text)| expand(text, listeners, || format!("argument {}", index + 1)))
        .collect()
}

/// Fills in the values of an environment.
///
/// # Errors
/// As [`arguments`].
pub fn environment(
    variables: &[(OsString, OsString)],
    listeners: &[Listener],
) -> Result<Vec<(OsString, OsString)>, ExpansionFailure> {
    let fill = |(name, value): &(OsString, OsString)| {
        let place = || format!("the variable {}", name.to_string_lossy());
        Ok((name.clone(), expand(value, listeners, place)?))
    };
    variables.iter().map(fill).collect()
}

fn expand(
    text: &OsStr,
    listeners: &[Listener],
    place: impl Fn() -> String,
) -> Result<OsString, ExpansionFailure> {
    let bytes = placeholder::expand(text.as_bytes(), |asked, name| {
        answer(asked, find(name, listeners)?)
    });
    bytes
        .map(OsString::from_vec)
        .map_err(|bad| ExpansionFailure {
            place: place(),
            bad,
        })
}

/// The one socket with this key, else the one with this name.
fn find<'a>(text: &str, listeners: &'a [Listener]) -> Result<&'a Listener, String> {
    let by_key = listeners
        .iter()
        .filter(|listener| listener.key.as_deref() == Some(text));
    let by_name = listeners
        .iter()
        .filter(|listener| listener.name().as_str() == text);
    let mut found: Vec<_> = by_key.collect();
    if found.is_empty() {
        found = by_name.collect();
    }
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("no socket has the key or the name {text:?}")),
        several => Err(format!("{} sockets have the name {text:?}", several.len())),
    }
}

fn answer(asked: Asked, listener: &Listener) -> Result<String, String> {
    match (asked, &listener.address) {
        (Asked::Fd, _) => Ok(listener.target.to_string()),
        (Asked::Port, Address::Inet4 { port, .. } | Address::Inet6 { port, .. }) => {
            Ok(port.to_string())
        }
        (Asked::Port, other) => Err(format!("{other} has no port")),
        (Asked::Addr, Address::Unnamed | Address::Other { .. }) => {
            Err("that socket has no address".to_owned())
        }
        (Asked::Addr, address) => Ok(address.to_string()),
    }
}
