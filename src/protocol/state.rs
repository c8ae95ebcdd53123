//! The saved state: what one supervisor leaves to the next, in an upgrade and after a crash.
//!
//! One line that any version can read, then JSON:
//!
//! ```text
//! sd-starter state VERSION NEEDS LENGTH CHECKSUM
//! {"writer":"0.1.0","machine":{...},"held":{...},"fds":{...}}
//! ```
//!
//! # Which version reads which
//!
//! VERSION is that of the format as its writer knew it, NEEDS the lowest one whose readers still
//! do the right thing with it. A reader of version R takes a state if NEEDS <= R and VERSION is not
//! older than [`OLDEST`]. So:
//!
//! - newer reads older: what came after version 1 has a default;
//! - older reads newer, as long as all that it does not know may be ignored: unknown *fields* are.
//!   A writer that says something which must not be ignored raises NEEDS, and an unknown *variant*
//!   (a state of a generation that an older one has no rules for) cannot be read at all. Both are
//!   found out before anything is given up, because the reader is tried with the very state first.
//!
//! A written field never changes its meaning or unit: it gets a new name instead. Moments are
//! nanoseconds of CLOCK_MONOTONIC, which all processes of one boot share; durations nanoseconds.
//!
//! # Descriptors
//!
//! The state names them by [`Label`]s. Where they come from is not its business: after an exec in
//! place they have the numbers in `fds`; after a crash they come out of systemd's fd store under
//! their labels. LENGTH and CHECKSUM tell a state that was torn in writing from one that is whole.

pub mod consent;
pub mod held;
pub mod label;
pub mod machine;
pub mod record;

use std::collections::BTreeMap;
use std::fmt;

pub use held::Held;
pub use label::Label;
use record::record;

/// The version that we write.
pub const VERSION: u32 = 1;

/// The lowest version whose readers do the right thing with what we write.
pub const NEEDS: u32 = 1;

/// The oldest version that we read.
pub const OLDEST: u32 = 1;

/// The longest state that is read, in bytes: room for thousands of generations.
pub const MAX_LENGTH: usize = 8 * 1024 * 1024;

/// What the first line begins with.
const MAGIC: &str = "sd-starter state";

/// The longest first line.
const MAX_HEAD: usize = 128;

record! {
    /// All of it.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct State {
        /// The version of the program that wrote it.
        pub writer: String,
        /// The state machine.
        pub machine: machine::Machine,
        /// What the shell held.
        pub held: Held,
        /// Which label has which number; empty where labels are found by other means.
        pub fds: BTreeMap<Label, i32> = BTreeMap::new(),
    }
}

/// Why a state cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unreadable {
    /// It is longer than any state.
    TooLong,
    /// It does not begin as one.
    NotAState,
    /// It is not as it was written: cut off, or overwritten in part.
    Torn,
    /// It was written by a version that we cannot read.
    Version {
        /// Its format.
        version: u32,
        /// The format that its reader has to know.
        needs: u32,
    },
    /// It is whole, but says something that we do not understand.
    Content(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_LENGTH} bytes"),
            Self::NotAState => f.write_str("it is not a state of sd-starter"),
            Self::Torn => f.write_str("it is not as it was written (cut off, or overwritten)"),
            Self::Version { version, needs } => write!(
                f,
                "it has format {version}, which needs a reader of format {needs}; \
                 this is a reader of formats {OLDEST} to {VERSION}"
            ),
            Self::Content(reason) => write!(f, "it cannot be understood: {reason}"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// A state as bytes.
///
/// # Errors
/// `TooLong` for one that nobody would read.
pub fn render(state: &State) -> Result<Vec<u8>, Unreadable> {
    let body = record::to_json(state);
    let head = format!("{MAGIC} {VERSION} {NEEDS} {}", body.len());
    let sum = checksum(&head, &body);
    let mut bytes = format!("{head} {sum:016x}\n").into_bytes();
    bytes.extend(body);
    if bytes.len() > MAX_LENGTH {
        return Err(Unreadable::TooLong);
    }
    Ok(bytes)
}

/// Reads a state.
///
/// # Errors
/// [`Unreadable`].
pub fn parse(bytes: &[u8]) -> Result<State, Unreadable> {
    if bytes.len() > MAX_LENGTH {
        return Err(Unreadable::TooLong);
    }
    let head = bytes.iter().take(MAX_HEAD).position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(head.ok_or(Unreadable::NotAState)?);
    let body = &body[1..];
    let head = std::str::from_utf8(head).map_err(|_| Unreadable::NotAState)?;
    let numbers = head.strip_prefix(MAGIC).ok_or(Unreadable::NotAState)?;
    let mut words = numbers.split_ascii_whitespace();
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (version, needs): (Option<u32>, Option<u32>) = (number(), number());
    let (Some(version), Some(needs)) = (version, needs) else {
        return Err(Unreadable::NotAState);
    };
    // Before anything else: what follows may be anything in a version that we do not know.
    if needs > VERSION || version < OLDEST {
        return Err(Unreadable::Version { version, needs });
    }
    let length = words.next().and_then(|word| word.parse::<usize>().ok());
    let (summed, sum) = head.rsplit_once(' ').ok_or(Unreadable::Torn)?;
    let sum = u64::from_str_radix(sum, 16).ok();
    if length != Some(body.len()) || sum != Some(checksum(summed, body)) {
        return Err(Unreadable::Torn);
    }
    record::from_json(body).map_err(Unreadable::Content)
}

/// FNV-1a, 64 bits: against accidents, not against forgers, who cannot come here.
fn checksum(head: &str, body: &[u8]) -> u64 {
    let bytes = head.bytes().chain(body.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
pub(super) mod tests;
