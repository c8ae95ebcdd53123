//! The workers' fd store: what one generation gives us to keep (FDSTORE=1 of sd_notify(3)), the
//! next one finds in its `LISTEN_FDS`, after the listeners.
//!
//! To a worker we are the service manager, so the rules are systemd's: bounded, one copy of an
//! open file description, given up when its other end closes unless FDPOLL=0 asks otherwise. Any
//! generation may store and remove; what a draining one stores reaches whoever starts next.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::luggage::{Luggage, Packed};
use super::token::Token;
use crate::os::epoll::{Epoll, Interest};
use crate::os::fd;
use crate::os::reason::Reason;
use crate::protocol::listen_fds::Name;
use crate::protocol::state::{Label, held};

/// What a worker wants of the store.
#[derive(Debug)]
pub enum Wish {
    /// FDSTORE=1: keep these.
    Keep {
        /// FDNAME=, for all of them.
        name: Name,
        /// Whether each is given up when its other end closes.
        poll: bool,
        /// The descriptors that came with the message.
        fds: Vec<OwnedFd>,
    },
    /// FDSTOREREMOVE=1: give up those of this name.
    Remove {
        /// FDNAME=.
        name: Name,
    },
}

/// The store.
#[derive(Debug)]
pub struct FdStore {
    limit: usize,
    kept: BTreeMap<u64, Kept>,
    newest: u64,
}

#[derive(Debug)]
struct Kept {
    name: Name,
    fd: OwnedFd,
    watched: bool,
}

impl FdStore {
    /// An empty store for at most `limit` descriptors (`--fd-store-max`).
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BTreeMap::new(),
            newest: 0,
        }
    }

    /// Does what a worker wants, and says how many descriptors there was no room for, or that cannot be
    /// waited for as it wants: an epoll in an epoll in an epoll (`ELOOP`), or too many for its user
    /// (`ENOSPC`).
    ///
    /// # Errors
    /// As epoll_ctl(2), on what was kept.
    pub fn grant(&mut self, wish: Wish, epoll: &Epoll) -> io::Result<usize> {
        match wish {
            Wish::Remove { name } => {
                let called = |(_, kept): &(&u64, &Kept)| kept.name == name;
                let ids: Vec<_> = self.kept.iter().filter(called).map(|(id, _)| *id).collect();
                for id in ids {
                    self.give_up(id, epoll)?;
                }
                Ok(0)
            }
            Wish::Keep { name, poll, fds } => {
                let mut refused = 0;
                for fd in fds {
                    if self.has(fd.as_fd())? {
                        continue;
                    }
                    if self.kept.len() >= self.limit {
                        refused += 1;
                        continue;
                    }
                    // Whatever a worker sends, it is no reason for us to end.
                    refused += usize::from(self.keep(name.clone(), fd, poll, epoll).is_err());
                }
                Ok(refused)
            }
        }
    }

    fn has(&self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        for kept in self.kept.values() {
            if fd::is_same_description(kept.fd.as_fd(), fd)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn keep(&mut self, name: Name, fd: OwnedFd, poll: bool, epoll: &Epoll) -> io::Result<()> {
        self.newest += 1;
        let token = Token::Stored(self.newest).into();
        let watched = poll
            && match epoll.add(fd.as_fd(), token, Interest::HangUp) {
                Ok(()) => true,
                // A file has no other end.
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => false,
                Err(error) => return Err(error),
            };
        self.kept.insert(self.newest, Kept { name, fd, watched });
        Ok(())
    }

    /// Closes one, because its other end did (`Token::Stored`).
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn give_up(&mut self, id: u64, epoll: &Epoll) -> io::Result<()> {
        match self.kept.remove(&id) {
            Some(kept) if kept.watched => epoll.remove(kept.fd.as_fd()),
            Some(_) | None => Ok(()),
        }
    }

    /// What is kept, for a successor.
    pub fn save<'a>(&'a self, packed: &mut Packed<'a>) -> (Vec<held::Kept>, u64) {
        let save = |(id, kept): (&u64, &'a Kept)| held::Kept {
            id: *id,
            name: kept.name.as_str().to_owned(),
            fd: packed.add(Label::numbered("kept", *id), &kept.fd),
            watched: kept.watched,
        };
        (self.kept.iter().map(save).collect(), self.newest)
    }

    /// What a predecessor has kept, under the numbers that it gave, also beyond a limit that was
    /// lowered meanwhile.
    ///
    /// What did not come along is not kept any more.
    pub fn take_over(
        &mut self,
        saved: &[held::Kept],
        newest: u64,
        luggage: &mut Luggage,
        epoll: &Epoll,
    ) {
        for saved in saved {
            let (Some(name), Ok(fd)) = (Name::new(&saved.name), luggage.take(&saved.fd)) else {
                log::warn!("what workers have stored as {} is lost", saved.name);
                continue;
            };
            self.newest = saved.id.saturating_sub(1);
            if let Err(error) = self.keep(name, fd, saved.watched, epoll) {
                let reason = Reason(&error);
                log::warn!(
                    "what workers have stored as {} is lost: {reason}",
                    saved.name
                );
            }
        }
        self.newest = newest.max(self.newest);
    }

    /// How many there is room for.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// What is kept, in the order of storing.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, BorrowedFd<'_>)> {
        self.kept.values().map(|kept| (&kept.name, kept.fd.as_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::fs::File;

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe_with(PipeFlags::CLOEXEC).unwrap()
    }

    fn keep(name: &str, poll: bool, fds: Vec<OwnedFd>) -> Wish {
        let name = Name::new(name).unwrap();
        Wish::Keep { name, poll, fds }
    }

    fn names(store: &FdStore) -> Vec<&str> {
        store.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn what_is_stored_is_kept_in_order_up_to_the_limit() {
        let (mut store, epoll) = (FdStore::new(3), Epoll::new().unwrap());
        let (a, b) = pipe();
        assert_eq!(store.grant(keep("p", true, vec![a, b]), &epoll).unwrap(), 0);
        let (c, d) = pipe();
        assert_eq!(store.grant(keep("q", true, vec![c, d]), &epoll).unwrap(), 1);
        assert_eq!(names(&store), ["p", "p", "q"]);
        let name = Name::new("p").unwrap();
        store.grant(Wish::Remove { name }, &epoll).unwrap();
        assert_eq!(names(&store), ["q"]);
    }

    #[test]
    fn a_copy_of_what_is_kept_is_not_kept_twice_and_the_first_name_stays() {
        let (mut store, epoll) = (FdStore::new(9), Epoll::new().unwrap());
        let file = File::open("/dev/null").unwrap();
        let copy = file.try_clone().unwrap();
        for (name, fd) in [("one", file), ("two", copy)] {
            store
                .grant(keep(name, true, vec![fd.into()]), &epoll)
                .unwrap();
        }
        assert_eq!(names(&store), ["one"]);
    }

    #[test]
    fn a_closed_other_end_is_reported_unless_told_otherwise() {
        let (mut store, mut epoll) = (FdStore::new(9), Epoll::new().unwrap());
        for (name, poll) in [("watched", true), ("left alone", false)] {
            let (read, write) = pipe();
            store.grant(keep(name, poll, vec![read]), &epoll).unwrap();
            drop(write);
        }
        // The children have it, too, that other tests fork in this moment, until they execute something.
        let limit = Some(std::time::Duration::from_secs(10));
        let tokens: Vec<_> = epoll.wait(limit).unwrap().map(|r| r.token).collect();
        assert_eq!(tokens, [u64::from(Token::Stored(1))]);
        store.give_up(1, &epoll).unwrap();
        assert_eq!(names(&store), ["left alone"]);
        let at_once = Some(std::time::Duration::ZERO);
        assert_eq!(epoll.wait(at_once).unwrap().len(), 0);
    }

    #[test]
    fn what_cannot_be_watched_is_refused_and_no_error() {
        let (mut store, epoll) = (FdStore::new(99), Epoll::new().unwrap());
        let mut inner = an_epoll();
        let mut refused = 0;
        for _ in 0..8 {
            let outer = an_epoll();
            nix::sys::epoll::Epoll(outer.try_clone().unwrap())
                .add(&inner, nix::sys::epoll::EpollEvent::empty())
                .ok();
            refused += store
                .grant(keep("nested", true, vec![inner]), &epoll)
                .unwrap();
            inner = outer;
        }
        assert!(refused > 0 && store.iter().count() > 0);
    }

    fn an_epoll() -> OwnedFd {
        let flags = nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC;
        nix::sys::epoll::Epoll::new(flags).unwrap().0
    }

    #[test]
    fn a_store_without_room_keeps_nothing() {
        let (mut store, epoll) = (FdStore::new(0), Epoll::new().unwrap());
        let (a, b) = pipe();
        assert_eq!(store.grant(keep("p", true, vec![a, b]), &epoll).unwrap(), 2);
        assert_eq!(store.iter().count(), 0);
    }
}
