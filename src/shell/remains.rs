//! What a supervisor that crashed has left with systemd: its state, and the descriptors that go
//! with it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::adopted::{self, Facts, Inherited};
use super::bound;
use super::heritage::{self, Heritage};
use super::ledger::Ledger;
use super::luggage::Luggage;
use super::settings::Settings;
use super::strays;
use crate::os::process;
use crate::protocol::address::Address;
use crate::protocol::generation::Generation;
use crate::protocol::keepsake::Keepsake;
use crate::protocol::state::{Label, State, held};

/// All of it, as it came.
#[derive(Debug, Default)]
pub struct Remains {
    ledger: Option<OwnedFd>,
    fds: BTreeMap<Label, OwnedFd>,
}

/// What can be made of it.
#[derive(Debug, Default)]
pub struct Found {
    /// The ledger, if it can be written on.
    pub ledger: Option<Ledger>,
    /// What is to be taken over; `None` if our predecessor ended in peace, or nothing can be.
    pub heritage: Option<Heritage>,
    /// Why nothing can be, although there was something.
    pub lost: Option<String>,
    /// Whether it was this very process that kept it, before an exec in place.
    pub is_ours: bool,
    /// What systemd has in its store.
    pub stored: Vec<Label>,
}

impl Remains {
    /// Takes it out of what systemd has passed; what is left are listeners.
    #[must_use]
    pub fn take_out_of(inherited: &mut Vec<Inherited>) -> Self {
        let mut remains = Self::default();
        for one in std::mem::take(inherited) {
            match Keepsake::parse(&one.name) {
                Some(Keepsake::State) => remains.ledger = Some(one.fd),
                Some(Keepsake::Labelled(label)) => {
                    remains.fds.insert(label, one.fd);
                }
                Some(Keepsake::Port { .. } | Keepsake::Path { .. }) | None => inherited.push(one),
            }
        }
        remains
    }

    /// Whether systemd has nothing of the kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ledger.is_none() && self.fds.is_empty()
    }

    /// The names under which systemd keeps it.
    #[must_use]
    pub fn keepsakes(&self) -> Vec<Keepsake> {
        let labels = self.fds.keys().cloned().map(Keepsake::Labelled);
        let ledger = self.ledger.iter().map(|_| Keepsake::State);
        labels.chain(ledger).collect()
    }

    /// Reads the state, and sees whether we could go on from there under these settings.
    #[must_use]
    pub fn open(self, settings: &Settings) -> Found {
        let Self { ledger, fds } = self;
        let mut found = Found {
            stored: fds.keys().cloned().collect(),
            ..Found::default()
        };
        let state = match ledger.map(Ledger::open) {
            Some(Ok((ledger, state))) => {
                found.ledger = Some(ledger);
                state.map(|state| heritage::fitting(state, settings))
            }
            Some(Err(reason)) => Some(Err(format!("cannot use the state: {reason}"))),
            None if fds.is_empty() => None,
            None => Some(Err("there is no state with them".to_owned())),
        };
        match state {
            Some(Ok(state)) => {
                remove_mailboxes(&fds, &state.held.workers);
                found.heritage = Some(with_processes(state, fds));
            }
            Some(Err(reason)) => {
                remove_mailboxes(&fds, &[]);
                found.lost = Some(reason);
            }
            None => remove_mailboxes(&fds, &[]),
        }
        found
    }
}

/// Removes the files of notify sockets that none of these workers has: while systemd has a copy of
/// such a socket its name looks taken.
fn remove_mailboxes(fds: &BTreeMap<Label, OwnedFd>, workers: &[held::Worker]) {
    let wanted = workers.iter().filter_map(|worker| worker.mailbox.as_ref());
    let wanted: Vec<_> = wanted.map(|mailbox| &mailbox.fd).collect();
    for (_, fd) in fds.iter().filter(|(label, _)| !wanted.contains(label)) {
        let Ok(Facts {
            address: Address::UnixPath(path),
            ..
        }) = adopted::facts(fd.as_fd())
        else {
            continue;
        };
        let path = Path::new(OsStr::from_bytes(&path));
        let name = path.file_name().unwrap_or_default().as_bytes();
        if name.starts_with(b"notify.") && bound::is_socket(path) {
            // What cannot be removed is in the way of a generation, which then says so.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A worker whose pidfd did not reach systemd is known by its pid, if it is in our cgroup and was
/// started as this generation.
fn with_processes(state: State, fds: BTreeMap<Label, OwnedFd>) -> Heritage {
    let mut fds = fds;
    for worker in &state.held.workers {
        let generation = Generation::new(worker.generation);
        let is_it = || generation.is_some_and(|number| strays::belongs_to(worker.pid, number));
        if !fds.contains_key(&worker.pidfd) && is_it() {
            let pidfd = process::pidfd_open(worker.pid).ok();
            // Asked again: now it can be no other process.
            let pidfd = pidfd.filter(|_| is_it());
            fds.extend(pidfd.map(|pidfd| (worker.pidfd.clone(), pidfd)));
        }
    }
    let luggage = Luggage::new(fds);
    Heritage { state, luggage }
}
