//! Listeners, handed from one supervisor to the next by an exec in place.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use super::{Kept, Key, Listener, Listeners, Origin};
use crate::os::fd;
use crate::os::socket_file::SocketFile;
use crate::protocol::keepsake::Keepsake;
use crate::protocol::listen_fds::Name;
use crate::protocol::state::record::Once;
use crate::protocol::state::{Held, Label, held};
use crate::shell::adopted;
use crate::shell::luggage::{Luggage, Packed, saved_socket_file, socket_file};

impl Listener {
    /// What the kernel knows the socket by (`SO_COOKIE`), asked once, because it never changes.
    pub(super) fn cookie(&self) -> Option<u64> {
        if self.known_by.get().is_none() {
            let facts = adopted::facts(self.fd.as_fd()).ok()?;
            self.known_by.set(facts.cookie.and_then(NonZeroU64::new));
        }
        self.known_by.get().map(NonZeroU64::get)
    }
}

impl Listeners {
    /// From now on systemd's fd store has all of them but these: a file then leads to its socket
    /// whatever becomes of us.
    pub fn entrust(&mut self, except: &BTreeSet<Name>) {
        self.saved.take();
        let is_kept = |name: &Name| !except.contains(name);
        for file in &mut self.files {
            file.outlives_us = is_kept(&file.kept_as);
        }
        for listener in &mut self.all {
            listener.is_stored = listener.kept_as().as_ref().is_some_and(is_kept);
        }
    }

    /// Makes each socket block or not as the running generations know it: systemd changes that when
    /// it restarts a service (`NonBlocking=`), for everybody who holds the socket.
    pub fn restore_flags(&self, saved: &[held::Listener]) {
        let flag = |saved: &held::Listener| Some((saved.cookie?, saved.nonblocking));
        let mut flags = BTreeMap::new();
        flags.extend(saved.iter().filter_map(flag));
        for listener in &self.all {
            let known = listener.cookie().and_then(|cookie| flags.get(&cookie));
            if let Some(nonblocking) = known {
                // It can only fail for what is no open descriptor.
                let _ = fd::set_nonblocking(listener.fd.as_fd(), *nonblocking);
            }
        }
    }

    /// What those that run do not have, because they were given these; by key, or address.
    #[must_use]
    pub fn not_among(&self, saved: &[held::Listener]) -> Vec<String> {
        let mut known = BTreeSet::new();
        known.extend(saved.iter().filter_map(|saved| saved.cookie));
        let fresh = |listener: &&Listener| {
            let cookie = listener.cookie();
            cookie.is_some_and(|cookie| !known.contains(&cookie))
        };
        let name = |listener: &Listener| {
            let key = listener.key.as_deref();
            key.map_or_else(|| listener.address.to_string(), str::to_owned)
        };
        self.all.iter().filter(fresh).map(name).collect()
    }

    /// All of them, as workers have them.
    pub fn save(&self, held: &mut Held) {
        held.listeners = self.saved();
        held.keyed.clone_from(&self.keyed);
        held.run = self.run();
    }

    /// The sockets themselves, under the labels that [`save`](Self::save) gives them.
    pub fn pack<'a>(&'a self, packed: &mut Packed<'a>) {
        for (index, listener) in (0..).zip(&self.all) {
            packed.add(label(index), &listener.fd);
        }
    }

    /// There may be thousands of them, written down at every turn of a reload, and nothing but their
    /// flags can have changed.
    fn saved(&self) -> Once<Vec<held::Listener>> {
        let mut kept = self.saved.borrow_mut();
        let all = self.all.iter();
        let flags = all.map(|listener| fd::is_nonblocking(listener.fd.as_fd()).unwrap_or_default());
        let flags: Vec<_> = flags.collect();
        let same = kept.take().filter(|saved| {
            let saved = saved.iter().map(|saved| &saved.nonblocking);
            saved.eq(&flags)
        });
        kept.insert(same.unwrap_or_else(|| self.written(&flags).into()))
            .clone()
    }

    fn written(&self, flags: &[bool]) -> Vec<held::Listener> {
        let mut files = BTreeMap::new();
        files.extend(self.files.iter().map(|file| (&file.kept_as, &file.file)));
        let file_of = |listener: &Listener| Some(*files.get(&listener.kept_as()?)?);
        let saved = |(index, (listener, nonblocking)): (u64, (&Listener, &bool))| held::Listener {
            fd: label(index),
            key: listener.key.as_deref().map(str::to_owned),
            name: listener.name().as_str().to_owned(),
            origin: match listener.origin {
                Origin::Adopted => held::Origin::Adopted,
                Origin::Bound => held::Origin::Bound,
                Origin::Stored => held::Origin::Stored,
            },
            target: listener.target,
            pin: listener.pin(),
            cookie: listener.cookie(),
            nonblocking: *nonblocking,
            file: file_of(listener).map(saved_socket_file),
            stored: listener
                .is_stored
                .then(|| listener.kept_as())
                .flatten()
                .map(|name| name.as_str().to_owned()),
        };
        (0..).zip(self.all.iter().zip(flags)).map(saved).collect()
    }

    /// The listeners of our predecessor: the same sockets, under the same numbers and names. Also
    /// says which could not be had.
    #[must_use]
    pub fn take_over(held: &Held, luggage: &mut Luggage) -> (Self, Vec<String>) {
        let mut listeners = Self::default();
        let mut lost = Vec::new();
        // Where each is now, because those that are lost leave no gap.
        let mut places = Vec::new();
        let mut keys = BTreeMap::new();
        for saved in held.listeners.iter() {
            let name = Name::new(&saved.name).unwrap_or_else(Name::unknown);
            let taken = luggage.take(&saved.fd);
            let taken = taken.and_then(|fd| restored(fd, saved, name));
            match taken {
                Ok(mut listener) => {
                    let file = saved.file.as_ref().map(socket_file);
                    // Its key may be another than the one that it was stored with.
                    listener.kept = match saved.stored.as_deref().and_then(Name::new) {
                        Some(name) => Kept::As(name.into()),
                        None => keepsake_of(&listener, file.as_ref(), &mut keys),
                    };
                    listener.is_stored = saved.stored.is_some();
                    if let Some(file) = file {
                        listeners.own_file(file, listener.kept_as(), true);
                    }
                    places.push(Some(listeners.all.len()));
                    listeners.all.push(listener);
                }
                Err(error) => {
                    places.push(None);
                    let name = saved.key.as_deref().unwrap_or(&saved.name);
                    lost.push(format!("{name}: {error}"));
                }
            }
        }
        let now = |index: &usize| places.get(*index).copied().flatten();
        listeners.keyed = held.keyed.iter().filter_map(now).collect();
        listeners.compact();
        (listeners, lost)
    }
}

fn label(index: u64) -> Label {
    Label::numbered("listener", index)
}

/// The name under which systemd's fd store has, or gets, a socket that we bound.
fn keepsake_of(
    listener: &Listener,
    file: Option<&SocketFile>,
    keys: &mut BTreeMap<String, u32>,
) -> Kept {
    match (listener.origin, file) {
        (Origin::Adopted, _) => Kept::Never,
        (Origin::Bound | Origin::Stored, Some(file)) => {
            let (device, inode) = file.identity();
            let keepsake = Keepsake::path(&file.path().to_string_lossy(), device, inode);
            Kept::As(keepsake.name().into())
        }
        (Origin::Bound | Origin::Stored, None) => {
            let key = listener.key.as_deref().unwrap_or_default();
            let nth = keys.entry(key.to_owned()).or_default();
            *nth += 1;
            Kept::Port(*nth - 1)
        }
    }
}

/// A socket that is the one that was saved, and no other.
fn restored(fd: OwnedFd, saved: &held::Listener, name: Name) -> io::Result<Listener> {
    let facts = adopted::facts(fd.as_fd())?;
    if facts.cookie != saved.cookie {
        return Err(io::Error::other("it is another socket"));
    }
    let key = saved.key.as_deref();
    let is_key = key.and_then(Name::new).as_ref() == Some(&name);
    Ok(Listener {
        key: key.map(Key::from),
        own_name: (!is_key).then(|| Box::new(name)),
        fd,
        origin: match saved.origin {
            held::Origin::Adopted => Origin::Adopted,
            held::Origin::Bound => Origin::Bound,
            held::Origin::Stored => Origin::Stored,
        },
        address: facts.address,
        kind: facts.kind,
        target: saved.target,
        is_pinned: saved.pin.is_some(),
        kept: Kept::Never,
        is_stored: false,
        known_by: Cell::new(facts.cookie.and_then(NonZeroU64::new)),
    })
}
