//! The state as it is now, written down where it outlives us: in memory that systemd keeps a
//! descriptor of (the fd store), so that not even kill -9 loses it.
//!
//! There are two places in it, used in turn. A writer that is killed in the middle of one leaves
//! the other as it was; a reader takes the newer one that is whole. (What is whole says the state
//! itself: it carries its length and a checksum.)
//!
//! ```text
//! 0        8         16                                      HALF
//! NUMBER   LENGTH    the state ...                           NUMBER   LENGTH   the state ...
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::protocol::state::{self, MAX_LENGTH, State, Unreadable};

/// What stands before a state: its number, then its length, both little-endian.
const HEAD: usize = 16;

/// Where the second place begins. The file is sparse: what was never written takes no memory.
const HALF: u64 = 1 << 24;

/// The state, written down.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    /// The number of the newest state, 0 for none. Odd ones stand in the second place.
    number: u64,
    written: Vec<u8>,
}

impl Ledger {
    /// One in which nothing is written.
    ///
    /// # Errors
    /// As memfd_create(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: memfd_create(c"sd-starter state", MemfdFlags::CLOEXEC)?.into(),
            number: 0,
            written: Vec::new(),
        })
    }

    /// That of a predecessor, with what it wrote last; `None` if it wrote nothing, or wiped it out.
    ///
    /// # Errors
    /// As read(2); why neither place can be read.
    pub fn open(fd: OwnedFd) -> Result<(Self, Option<State>), String> {
        let file = File::from(fd);
        let mut places = Vec::new();
        for offset in [0, HALF] {
            places.extend(read(&file, offset).map_err(|error| error.to_string())?);
        }
        places.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        let number = places.first().map_or(0, |(number, _)| *number);
        let mut ledger = Self {
            file,
            number,
            written: Vec::new(),
        };
        let mut why = None;
        for (number, bytes) in places {
            if bytes.is_empty() {
                // Wiped out: what is older does not count.
                return Ok((ledger, None));
            }
            match state::parse(&bytes) {
                Ok(state) => {
                    // The next one must not destroy the only one that is whole.
                    ledger.number = number;
                    ledger.written = bytes;
                    return Ok((ledger, Some(state)));
                }
                Err(Unreadable::Torn | Unreadable::NotAState) if why.is_none() => {
                    why = Some(Unreadable::Torn);
                }
                // Of another version, say: an older one would be no truer.
                Err(unreadable) => return Err(unreadable.to_string()),
            }
        }
        match why {
            Some(unreadable) => Err(unreadable.to_string()),
            None => Ok((ledger, None)),
        }
    }

    /// Writes a state down, if it is another one than the last.
    ///
    /// # Errors
    /// As write(2); `InvalidData` for one that nobody could read.
    pub fn write(&mut self, state: &State) -> io::Result<()> {
        let bytes = state::render(state)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        if bytes == self.written {
            return Ok(());
        }
        self.put(&bytes)?;
        self.written = bytes;
        Ok(())
    }

    /// From now on nothing is going on.
    ///
    /// # Errors
    /// As write(2).
    pub fn wipe_out(&mut self) -> io::Result<()> {
        self.written.clear();
        self.put(&[])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let number = self.number.saturating_add(1);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let place = if number % 2 == 0 { 0 } else { HALF };
        let mut head = [0; HEAD];
        // While it is being written its place has no state.
        self.file.write_all_at(&head, place)?;
        self.file.write_all_at(bytes, place + HEAD as u64)?;
        head[..8].copy_from_slice(&number.to_le_bytes());
        head[8..].copy_from_slice(&length.to_le_bytes());
        self.file.write_all_at(&head, place)?;
        self.number = number;
        Ok(())
    }
}

impl AsFd for Ledger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The number and the bytes at one place; `None` where nothing is.
fn read(file: &File, offset: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut head = [0; HEAD];
    match file.read_exact_at(&mut head, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |n, byte| (n << 8) | u64::from(*byte))
    };
    let (number, length) = (number(&head[..8]), number(&head[8..]));
    if number == 0 {
        return Ok(None);
    }
    let length = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(MAX_LENGTH);
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + (HEAD + filled) as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(Some((number, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::state::Held;
    use crate::protocol::state::machine::Machine;
    use std::collections::BTreeMap;

    fn state(pid: i32) -> State {
        State {
            writer: "test".to_owned(),
            machine: Machine::default(),
            held: Held {
                pid,
                ..Held::default()
            },
            fds: BTreeMap::new(),
        }
    }

    fn reopened(ledger: &Ledger) -> Result<Option<i32>, String> {
        let fd = ledger.as_fd().try_clone_to_owned().unwrap();
        Ledger::open(fd).map(|(_, state)| state.map(|state| state.held.pid))
    }

    #[test]
    fn the_last_one_written_is_the_one_that_is_read() {
        let mut ledger = Ledger::new().unwrap();
        assert_eq!(reopened(&ledger), Ok(None));
        for pid in 1..6 {
            ledger.write(&state(pid)).unwrap();
            let number = ledger.number;
            ledger.write(&state(pid)).unwrap();
            assert_eq!(ledger.number, number, "nothing has changed");
            assert_eq!(reopened(&ledger), Ok(Some(pid)));
        }
        // A successor goes on where its predecessor was.
        let fd = ledger.as_fd().try_clone_to_owned().unwrap();
        let (mut successor, _) = Ledger::open(fd).unwrap();
        successor.write(&state(9)).unwrap();
        assert_eq!(reopened(&ledger), Ok(Some(9)));
        successor.wipe_out().unwrap();
        assert_eq!(reopened(&ledger), Ok(None));
    }

    #[test]
    fn a_writer_that_is_killed_at_any_byte_leaves_the_last_one() {
        let mut ledger = Ledger::new().unwrap();
        ledger.write(&state(1)).unwrap();
        ledger.write(&state(2)).unwrap();
        let bytes = state::render(&state(3)).unwrap();
        for end in (0..bytes.len()).step_by(7) {
            // What `put` had done by then: the head is cleared, a part of the state written.
            ledger.file.write_all_at(&[0; HEAD], HALF).unwrap();
            ledger.file.write_all_at(&bytes[..end], HALF + 16).unwrap();
            assert_eq!(reopened(&ledger), Ok(Some(2)), "{end}");
        }
        // And if the head came and the rest did not, whatever there was before:
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&3u64.to_le_bytes());
        head[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        ledger.file.write_all_at(&head, HALF).unwrap();
        ledger.file.write_all_at(b"garbage", HALF + 100).unwrap();
        let fd = ledger.as_fd().try_clone_to_owned().unwrap();
        let (mut successor, found) = Ledger::open(fd).unwrap();
        assert_eq!(found.unwrap().held.pid, 2);
        successor.write(&state(4)).unwrap();
        assert_eq!(reopened(&ledger), Ok(Some(4)));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let ledger = Ledger::new().unwrap();
        ledger.file.write_all_at(&[1; 64], 0).unwrap();
        assert!(
            reopened(&ledger)
                .unwrap_err()
                .contains("not as it was written")
        );
        let empty = File::open("/dev/null").unwrap();
        assert!(matches!(Ledger::open(empty.into()), Ok((_, None))));
        let (pipe, _write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        assert!(Ledger::open(pipe).is_err());
    }
}
