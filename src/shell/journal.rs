//! Where the log goes: to the journal natively when stderr is the journal, else to stderr.
//!
//! Neither can stop the loop. systemd-journal-logger tells whether stderr is the journal, but its
//! sender waits for a stuck journald, so the datagram is sent here, without waiting; stderr is
//! asked first whether it takes a line. What is lost is counted, and said as soon as lines get
//! through again. With `--log-file` stderr is the log, and the journal is not asked.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::os::datagram::{Sent, Target, send};
use crate::protocol::journal_record::{self, Priority};
use crate::protocol::message_ids::message_id;

/// journald's native socket (systemd-journald.service(8)).
const SOCKET: &str = "/run/systemd/journal/socket";

/// The pipe of `--log-file '| command'`, non-blocking, while there is one.
static PIPE: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// The program's logger.
#[derive(Debug)]
pub struct Journal {
    way: Way,
    identifier: &'static str,
    lost: Mutex<Cell<u64>>,
}

#[derive(Debug)]
enum Way {
    /// journald, natively.
    Native(Target),
    /// Lines on stderr, `start_server`'s plain or ours with the program's name before them.
    Stderr { prefix: &'static str },
}

impl Journal {
    /// Makes this the program's logger. `prefix` stands before each line on stderr; with `own_log`
    /// the lines go there even where stderr is the journal.
    pub fn install(identifier: &'static str, prefix: &'static str, own_log: bool) {
        let native = (!own_log && systemd_journal_logger::connected_to_journal())
            .then(|| Target::parse(OsStr::new(SOCKET)).ok())
            .flatten();
        let way = native.map_or(Way::Stderr { prefix }, Way::Native);
        let journal = Self {
            way,
            identifier,
            lost: Mutex::new(Cell::new(0)),
        };
        // The first logger stays; a second one can only be a test's.
        if log::set_boxed_logger(Box::new(journal)).is_ok() {
            log::set_max_level(LevelFilter::Info);
        }
    }

    /// From now on lines for stderr go into this pipe; it must be non-blocking.
    pub fn write_to(writer: OwnedFd) {
        *pipe() = Some(writer);
    }

    /// From now on lines for stderr go there again.
    pub fn write_to_stderr() {
        *pipe() = None;
    }

    /// Whether the line got through.
    fn write(&self, record: &Record<'_>) -> bool {
        match &self.way {
            Way::Native(target) => {
                let text = record.args().to_string();
                let mut fields = journal_record::Record::new(priority(record.level()), &text)
                    .field("SYSLOG_IDENTIFIER", self.identifier)
                    .field("SYSLOG_PID", &std::process::id().to_string());
                let mut visitor = Fields(Some(fields));
                // The visitor never fails.
                let _ = record.key_values().visit(&mut visitor);
                match visitor.0.take() {
                    Some(visited) => fields = visited,
                    None => return false,
                }
                matches!(send(target, fields.as_bytes(), &[]), Ok(Sent::Done))
            }
            Way::Stderr { prefix } => {
                let mut line = String::new();
                let _ = writeln!(line, "{prefix}{}", record.args());
                match &*pipe() {
                    Some(pipe) => write_to_pipe(pipe, line.as_bytes()),
                    None => write_line(line.as_bytes()),
                }
            }
        }
    }

    fn say_what_is_lost(&self) {
        let Ok(lost) = self.lost.lock() else { return };
        let count = lost.get();
        if count > 0 {
            let said = format!("{count} lines of the log were lost: nobody took them");
            let mut record = Record::builder();
            record.level(Level::Warn);
            if self.write(&record.args(format_args!("{said}")).build()) {
                lost.set(0);
            }
        }
    }
}

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        self.say_what_is_lost();
        if !self.write(record) {
            if let Ok(lost) = self.lost.lock() {
                lost.set(lost.get().saturating_add(1));
            }
        }
    }

    fn flush(&self) {}
}

/// Collects `log`'s key-values as journal fields, `SD_STARTER_` before each name.
struct Fields(Option<journal_record::Record>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let name = format!("SD_STARTER_{key}");
        let value = value.to_string();
        // By it `journalctl -x` finds what the catalog says of such an event.
        let id = (key.as_str() == "EVENT")
            .then(|| message_id(&value))
            .flatten();
        self.0 = self.0.take().map(|record| {
            let record = record.field(&name, &value);
            match id {
                Some(id) => record.field("MESSAGE_ID", id),
                None => record,
            }
        });
        Ok(())
    }
}

const fn priority(level: Level) -> Priority {
    match level {
        Level::Error => Priority::Error,
        Level::Warn => Priority::Warning,
        Level::Info => Priority::Info,
        Level::Debug | Level::Trace => Priority::Debug,
    }
}

fn pipe() -> MutexGuard<'static, Option<OwnedFd>> {
    PIPE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line into the pipe, if there is room: up to PIPE_BUF bytes go in whole or not at all.
fn write_to_pipe(pipe: &OwnedFd, line: &[u8]) -> bool {
    line.chunks(libc::PIPE_BUF)
        .all(|piece| rustix::io::write(pipe, piece).is_ok_and(|count| count == piece.len()))
}

/// One line to stderr, if it takes it now. A pipe that polls writable takes PIPE_BUF bytes
/// without waiting (pipe(7)), so longer lines go in pieces.
fn write_line(line: &[u8]) -> bool {
    let stderr = io::stderr();
    for piece in line.chunks(libc::PIPE_BUF) {
        let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let takes = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
            && ready[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLOUT));
        if !takes || stderr.lock().write_all(piece).is_err() {
            return false;
        }
    }
    true
}
