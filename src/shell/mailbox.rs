//! The notify socket of one generation: where its worker says READY=1 (sd_notify(3)).
//!
//! Each generation has an address of its own, because credentials do not tell generations apart:
//! `systemd-notify` run by root forges its parent's pid. They do keep strangers out.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fd_store::Wish;
use super::luggage::{Luggage, Packed, path, saved_socket_file};
use crate::core::Word;
use crate::os::datagram::{Credentials, MAX_FDS, Receiver};
use crate::os::reason;
use crate::os::socket_file::SocketFile;
use crate::protocol::generation::Generation;
use crate::protocol::listen_fds::Name;
use crate::protocol::notify_message::{self, MAX_LENGTH, Message, Watchdog};
use crate::protocol::state::{Label, held};

/// How many datagrams are read in one wake-up: a flood must not keep the loop from its work.
const AT_ONCE: usize = 64;

/// How many parents of a sender are looked at.
const DEEPEST_FAMILY: usize = 32;

/// A notify socket and its file.
#[derive(Debug)]
pub struct Mailbox {
    receiver: Receiver,
    path: PathBuf,
}

/// What becomes of a message that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// It is gone.
    Taking,
    /// It is there until it is discarded, and no other is read before: what it changes is to be
    /// written down first.
    Leaving,
}

/// What was in the mailbox.
#[derive(Debug, Default)]
pub struct Mail {
    /// What the worker said, in order.
    pub words: Vec<Word>,
    /// Why something was thrown away; one reason is enough for a line.
    pub refused: Option<String>,
    /// What it wants of the fd store, in order.
    pub wishes: Vec<Wish>,
}

impl Mailbox {
    /// Opens the notify socket of `generation` in `directory`.
    ///
    /// # Errors
    /// As bind(2); `AddrInUse` when the path is taken.
    pub fn open(directory: &Path, generation: Generation) -> io::Result<Self> {
        let path = directory.join(format!("notify.{generation}"));
        let receiver = Receiver::bind(&path)?;
        Ok(Self { receiver, path })
    }

    /// The socket, for a successor.
    pub fn save<'a>(&'a self, generation: Generation, packed: &mut Packed<'a>) -> held::Mailbox {
        held::Mailbox {
            fd: packed.add(Label::numbered("mail", generation.get()), self),
            file: saved_socket_file(self.receiver.file()),
        }
    }

    /// The socket of a predecessor, with what was sent to it meanwhile.
    ///
    /// # Errors
    /// When it did not come along.
    pub fn take_over(saved: &held::Mailbox, luggage: &mut Luggage) -> io::Result<Self> {
        let path = path(&saved.file.path);
        let inherited = luggage.take(&saved.fd);
        let (device, inode) = (saved.file.device, saved.file.inode);
        let receiver = match SocketFile::still_at(&path, device, inode) {
            Some(file) => Receiver::inherited(inherited?, file),
            // Nobody could reach that one any more; its name the worker knows.
            None => Receiver::bind(&path)?,
        };
        Ok(Self { receiver, path })
    }

    /// The worker's `NOTIFY_SOCKET`.
    #[must_use]
    pub fn address(&self) -> &OsStr {
        self.path.as_os_str()
    }

    /// Throws away what was read and left.
    ///
    /// # Errors
    /// As recv(2).
    pub fn discard(&self) -> io::Result<()> {
        self.receiver.discard()
    }

    /// Reads what is there, up to a bound. Descriptors that came along and are not for the fd
    /// store are closed: this also answers BARRIER=1, since everything before it has been read
    /// by then.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn collect(&self, worker: i32, reading: Reading) -> io::Result<Mail> {
        let mut mail = Mail::default();
        // One byte more than allowed shows that a datagram is too long.
        let mut buffer = [0; MAX_LENGTH + 1];
        let mut held = 0;
        let at_once = match reading {
            Reading::Taking => AT_ONCE,
            Reading::Leaving => 1,
        };
        for number in 0..at_once {
            // So that a flood of descriptors cannot fill our table; the rest is read next time.
            if held >= MAX_FDS {
                break;
            }
            let received = match reading {
                Reading::Taking => self.receiver.receive(&mut buffer),
                Reading::Leaving => self.receiver.peek(&mut buffer),
            };
            let datagram = match received {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                // What was read before is heard all the same: it may be the READY=1 that somebody
                // waits for. The error comes again, or it is over.
                Err(_) if number > 0 => break,
                Err(error) => return Err(error),
            };
            if datagram.truncated || datagram.control_truncated {
                mail.refused = Some("a message that is too large".to_owned());
            } else if !datagram
                .credentials
                .is_some_and(|sender| is_trusted(sender, worker))
            {
                mail.refused = Some("a message from another user".to_owned());
            } else {
                match notify_message::parse(&buffer[..datagram.len]) {
                    Ok(message) => {
                        held += datagram.fds.len();
                        translate(message, datagram.fds, &mut mail);
                    }
                    Err(error) => mail.refused = Some(format!("a message: {error}")),
                }
            }
        }
        Ok(mail)
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // It may be gone with its directory; there is nobody to tell and nothing to do.
        let _ = self.receiver.file().remove_if_ours();
    }
}

/// Root, ourselves, whoever the worker has become, and every process that it started, whoever that
/// has become (`runuser -u app -- server` forks and waits).
fn is_trusted(sender: Credentials, worker: i32) -> bool {
    sender.uid == 0
        || sender.uid == nix::unistd::geteuid().as_raw()
        || user_of(worker).is_some_and(|user| user == sender.uid)
        || descends_from(sender.pid, worker)
}

/// Whether a process has this ancestor, as proc(5) tells: the second field behind the name, which
/// stands in parentheses and may hold any character, is the parent.
fn descends_from(pid: i32, ancestor: i32) -> bool {
    let parent = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(1)?.parse().ok()
    };
    std::iter::successors(Some(pid), |pid| parent(*pid).filter(|parent| *parent > 1))
        .take(DEEPEST_FAMILY)
        .any(|pid| pid == ancestor)
}

/// The user that a process runs as now: the owner of its directory in proc(5).
fn user_of(pid: i32) -> Option<u32> {
    std::fs::metadata(format!("/proc/{pid}"))
        .ok()
        .map(|metadata| metadata.uid())
}

/// The table of systemd's sd_notify(3) as far as the machine cares. The rest never goes up:
/// STOPPING=1 of a draining worker would stop the whole unit, MAINPID= would give it away.
fn translate(message: Message, fds: Vec<OwnedFd>, mail: &mut Mail) {
    let words = &mut mail.words;
    if message.fd_store_remove {
        mail.wishes
            .extend(message.fd_name.map(|name| Wish::Remove { name }));
    } else if message.fd_store && !fds.is_empty() {
        mail.wishes.push(Wish::Keep {
            name: message.fd_name.unwrap_or_else(Name::stored),
            poll: !message.fd_poll_off,
            fds,
        });
    }
    if let Some(status) = message.status {
        words.push(Word::Status(status));
    }
    if let Some(more) = message.extend_timeout {
        words.push(Word::Extend(more));
    }
    match message.errno {
        Some(errno) if errno != 0 => {
            let text = reason::describe(errno);
            words.push(Word::Broken(format!("ERRNO={errno} ({text})")));
        }
        Some(_) | None => {}
    }
    // The period first: the sign of life that comes with it counts for the new one.
    words.extend(message.watchdog_interval.map(Word::Period));
    words.extend(message.watchdog.map(|watchdog| match watchdog {
        Watchdog::Pet => Word::Alive,
        Watchdog::Trigger => Word::Hung,
    }));
    if message.ready {
        words.push(Word::Ready);
    }
}
