//! What the bench's C programs write down: records in a FIFO (`record.h`).

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};

/// The size of `struct record`.
pub(crate) const LENGTH: usize = 32;
/// Nothing that is measured takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The supervisor's exec.
    Exec,
    /// A worker's main has begun.
    Main,
    /// A worker says that it is ready.
    Ready,
    /// A worker was told to leave.
    Told,
}

impl What {
    pub(crate) const fn letter(self) -> u8 {
        match self {
            Self::Exec => b'S',
            Self::Main => b'M',
            Self::Ready => b'R',
            Self::Told => b'T',
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    letter: u8,
    /// CLOCK_MONOTONIC in nanoseconds.
    pub(crate) at: u64,
    /// CPU time of the process since its fork, in nanoseconds.
    pub(crate) cpu: u64,
}

/// CLOCK_MONOTONIC in nanoseconds, as in the records.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has it");
    u64::try_from(Duration::from(now).as_nanos()).expect("less than 584 years")
}

/// The reading end.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    waiting: VecDeque<Record>,
}

impl Log {
    pub(crate) fn create(path: PathBuf) -> Self {
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).expect("a path that is free");
        // For writing too: so opening does not wait, and the last writer's end is no end.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .expect("just made");
        Self {
            file,
            path,
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The next record of this kind; those of other kinds are kept.
    #[track_caller]
    pub(crate) fn take(&mut self, what: What) -> Record {
        let record = self.take_within(what, LIMIT);
        record.unwrap_or_else(|| {
            let (waiting, path) = (&self.waiting, self.path.display());
            panic!("no record of {what:?} within {LIMIT:?}: {waiting:?} in {path}")
        })
    }

    /// The same, if there is one in time.
    pub(crate) fn take_within(&mut self, what: What, limit: Duration) -> Option<Record> {
        let deadline = Instant::now() + limit;
        loop {
            self.read();
            let found = self.waiting.iter().position(|r| r.letter == what.letter());
            if let Some(record) = found.and_then(|at| self.waiting.remove(at)) {
                return Some(record);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut polled, left);
        }
    }

    /// Throws away what is there.
    pub(crate) fn clear(&mut self) {
        self.read();
        self.waiting.clear();
    }

    fn read(&mut self) {
        let mut bytes = [0; 64 * LENGTH];
        while let Ok(size) = self.file.read(&mut bytes) {
            for bytes in bytes[..size].chunks_exact(LENGTH) {
                let number = |at: usize| {
                    let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
                    u64::from_ne_bytes(bytes)
                };
                self.waiting.push_back(Record {
                    letter: bytes[0],
                    at: number(8),
                    cpu: number(16),
                });
            }
        }
    }
}
