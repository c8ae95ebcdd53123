//! What systemd keeps for us over our death: its fd store (sd_pid_notify_with_fds(3)).
//!
//! Only where there is one. `FDSTORE=` says how much it holds: systemd sets it since 254, and for
//! an older one the unit does (`Environment=FDSTORE=`), because a descriptor that it does not want
//! costs a warning in the journal each time. (`--no-fd-store` leaves it alone.)

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use super::manager::Manager;
use crate::os::reason::Reason;
use crate::protocol::listen_fds::Name;

/// Our part of the store.
#[derive(Debug)]
pub struct Vault {
    room: usize,
    kept: BTreeSet<Name>,
    /// Said once.
    is_full: bool,
    /// Said once.
    is_short: bool,
}

impl Vault {
    /// The store that `FDSTORE` announces; `None` where there is none.
    #[must_use]
    pub fn from_environment(fd_store: Option<&str>) -> Option<Self> {
        let room = fd_store?.parse().ok().filter(|room| *room > 0)?;
        Some(Self {
            room,
            kept: BTreeSet::new(),
            is_full: false,
            is_short: false,
        })
    }

    /// Has systemd keep a copy of `fd` under a name that nothing else has; with `poll` until its
    /// other end closes.
    ///
    /// Answers whether it will: not where the store is full, or where there is no number for a copy.
    /// Each is said once, and is no reason not to serve.
    pub fn keep(
        &mut self,
        manager: &mut Manager,
        name: &Name,
        fd: BorrowedFd<'_>,
        poll: bool,
    ) -> bool {
        if !self.has_room_for(name, 0, 0) {
            return false;
        }
        let copy = fd.try_clone_to_owned().or_else(|_| {
            // Copies that wait to be sent have numbers, too.
            manager.make_room(Duration::ZERO);
            fd.try_clone_to_owned()
        });
        match copy {
            Ok(copy) => {
                self.store(manager, name, copy, poll);
                true
            }
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    /// The same with a copy that is there already.
    pub fn store(&mut self, manager: &mut Manager, name: &Name, copy: OwnedFd, poll: bool) {
        manager.keep(name.clone(), copy, poll);
        self.kept.insert(name.clone());
    }

    /// Whether it could be kept under this name, when so many names more are `coming` before it and
    /// so many of those that are kept are `going`.
    pub fn has_room_for(&mut self, name: &Name, coming: usize, going: usize) -> bool {
        let kept = (self.kept.len() + coming).saturating_sub(going);
        let has_room = kept < self.room || self.kept.contains(name);
        if !has_room && !self.is_full {
            self.is_full = true;
            let room = self.room;
            log::warn!(
                "systemd keeps only {room} descriptors for us (FileDescriptorStoreMax=); \
                 what is more is lost if we crash"
            );
        }
        has_room
    }

    /// Says that there is no copy to be kept.
    pub fn fail(&mut self, error: &io::Error) {
        if !self.is_short {
            self.is_short = true;
            log::error!(
                "cannot copy a descriptor for systemd to keep: {}; what is not kept is lost if we crash",
                Reason(error)
            );
        }
    }

    /// What came back under this name is still kept.
    pub fn has(&mut self, name: Name) {
        self.kept.insert(name);
    }

    /// Has systemd give up what it keeps under a name.
    pub fn release(&mut self, manager: &mut Manager, name: &Name) {
        self.kept.remove(name);
        manager.release(name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_store_where_one_is_announced() {
        for nothing in [None, Some(""), Some("0"), Some("-1"), Some("many")] {
            assert!(Vault::from_environment(nothing).is_none(), "{nothing:?}");
        }
        assert_eq!(Vault::from_environment(Some("64")).unwrap().room, 64);
    }

    #[test]
    fn room_is_counted_with_what_comes_and_goes() {
        let mut vault = Vault::from_environment(Some("2")).unwrap();
        let [one, two, three] = ["one", "two", "three"].map(|name| Name::new(name).unwrap());
        vault.has(one.clone());
        assert!(vault.has_room_for(&two, 0, 0));
        assert!(!vault.has_room_for(&three, 1, 0));
        assert!(vault.has_room_for(&three, 1, 1));
        vault.has(two);
        assert!(!vault.has_room_for(&three, 0, 0));
        assert!(vault.has_room_for(&three, 0, 1));
        assert!(vault.has_room_for(&one, 9, 0), "it is there already");
    }
}
