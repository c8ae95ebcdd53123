//! What systemd keeps for us over our death: its fd store (sd_pid_notify_with_fds(3)).
//!
//! Only where there is one. `FDSTORE=` says how much it holds: systemd sets it since 254, and for
//! an older one the unit does (`Environment=FDSTORE=`), because a descriptor that it does not want
//! costs a warning in the journal each time. (`--no-fd-store` leaves it alone.)

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;

use super::manager::Manager;
use crate::protocol::listen_fds::Name;

/// Our part of the store.
#[derive(Debug)]
pub struct Vault {
    room: usize,
    kept: BTreeSet<Name>,
    full: bool,
}

impl Vault {
    /// The store that `FDSTORE` announces; `None` where there is none.
    #[must_use]
    pub fn from_environment(fd_store: Option<&str>) -> Option<Self> {
        let room = fd_store?.parse().ok().filter(|room| *room > 0)?;
        Some(Self {
            room,
            kept: BTreeSet::new(),
            full: false,
        })
    }

    /// Has systemd keep a copy of `fd` under a name that nothing else has; with `poll` until its
    /// other end closes.
    ///
    /// # Errors
    /// As dup(2); that the store is full is said once and is none.
    pub fn keep(
        &mut self,
        manager: &mut Manager,
        name: &Name,
        fd: BorrowedFd<'_>,
        poll: bool,
    ) -> io::Result<()> {
        if self.kept.len() >= self.room && !self.kept.contains(name) {
            if !self.full {
                self.full = true;
                let room = self.room;
                log::warn!(
                    "systemd keeps only {room} descriptors for us (FileDescriptorStoreMax=); \
                     what is more is lost if we crash"
                );
            }
            return Ok(());
        }
        manager.keep(name.clone(), fd.try_clone_to_owned()?, poll);
        self.kept.insert(name.clone());
        Ok(())
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
}
