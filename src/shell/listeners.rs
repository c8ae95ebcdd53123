//! The listeners: the sockets that every generation gets, gathered once.
//!
//! They come from systemd, or are bound for `--port` and `--path`; a socket that the
//! command line wants and systemd has passed is used and not bound twice, so one
//! command line works with and without a socket unit. Whatever their origin, our
//! copies stand out of the way of the numbers that workers find theirs at.

use super::adopted::{self, Facts, Inherited};
use super::bound;
use super::listen_failure::ListenFailure;
use super::placement::{self, Clash};
use super::settings::{ListenKey, Ready, Settings};
use super::strays;
use crate::os::child::Places;
use crate::os::socket_file::SocketFile;
use crate::os::{fd, socket};
use crate::protocol::address::{self, Address, SocketKind};
use crate::protocol::keepsake::{self, Keepsake};
use crate::protocol::listen_fds::{Name, NotForUs};
use crate::protocol::port::PortSpec;
use crate::protocol::state::held;
use crate::protocol::state::record::Once;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

mod claim;
mod key;
mod listener;
mod revival;
mod saved;
mod stock;
mod warning;

pub use key::Key;
use listener::Kept;
pub use listener::{Listener, Origin};
use stock::Stock;
pub use warning::Warning;

/// What the command line says about listeners.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `--port`, in order.
    pub ports: &'a [PortSpec],
    /// `--path`, in order.
    pub paths: &'a [PathBuf],
    /// `--path-mode`; `None` leaves it to the umask.
    pub path_mode: Option<u32>,
    /// `--backlog`; `None` is the most there can be.
    pub backlog: Option<i32>,
    /// `--listen-key`, in order.
    pub keys: &'a [ListenKey],
    /// The number of `--ready fd:N`, where no socket may be.
    pub reserved: Option<RawFd>,
    /// Whether workers that have outlived us may have the sockets of an earlier life.
    pub in_use: bool,
    /// Whether nobody leads those workers any more, so that they may be ended where they are in the way.
    pub orphaned: bool,
}

impl Wanted<'_> {
    /// Ends whoever is left of a former life and led by nobody; says whether that could free anything.
    fn end_orphans(&self) -> bool {
        self.orphaned && strays::end_everybody()
    }
}

/// Binds once more if an address was taken and somebody who had it could be made to give it up.
fn again<T>(
    failure: ListenFailure,
    free: impl FnOnce() -> bool,
    bind: impl FnOnce() -> Result<T, ListenFailure>,
) -> Result<T, ListenFailure> {
    match failure.is_in_use() && free() {
        true => bind(),
        false => Err(failure),
    }
}

/// All listeners, adopted ones first, then ports, then paths. The files of the unix sockets that
/// we bound go with them.
#[derive(Debug, Default)]
pub struct Listeners {
    all: Vec<Listener>,
    /// Those with a key, in the order of `SERVER_STARTER_PORT`.
    keyed: Vec<usize>,
    files: Vec<BoundFile>,
    warnings: Vec<Warning>,
    released: Vec<Name>,
    /// As they were written down last.
    saved: RefCell<Option<Once<Vec<held::Listener>>>>,
}

/// The file of a unix socket that we bound.
#[derive(Debug)]
struct BoundFile {
    file: SocketFile,
    kept_as: Name,
    /// Whether the socket lives on in systemd's fd store when we do not.
    outlives_us: bool,
}

/// Where the socket of an option comes from.
enum Source {
    Adopted(usize),
    Stored(Listener),
    Missing,
}

impl Listeners {
    /// Takes what systemd passed, binds what is missing, and places everything. Call
    /// it before [`fd::close_on_exec_from`], which hides what was inherited. `released` gets the
    /// names that systemd's fd store need not keep any longer, also in case of a failure.
    ///
    /// # Errors
    /// The first [`ListenFailure`]; what was bound until then is gone again.
    pub fn gather(
        settings: &Settings,
        given: Result<Vec<Inherited>, NotForUs>,
        orphaned: bool,
        released: &mut Vec<Name>,
    ) -> Result<Listeners, ListenFailure> {
        let (inherited, not_for_us) = match given {
            Ok(inherited) => (inherited, None),
            Err(NotForUs::Unset) => (Vec::new(), None),
            Err(reason) => (Vec::new(), Some(Warning::NotForUs(reason))),
        };
        let mut listeners = Self::gather_from(inherited, settings, orphaned, released)?;
        listeners.warnings.extend(not_for_us);
        Ok(listeners)
    }

    /// The same with sockets that came by other ways.
    ///
    /// # Errors
    /// The first [`ListenFailure`]; what was bound until then is gone again.
    pub fn gather_from(
        inherited: Vec<Inherited>,
        settings: &Settings,
        orphaned: bool,
        released: &mut Vec<Name>,
    ) -> Result<Listeners, ListenFailure> {
        let wanted = Wanted {
            ports: &settings.ports,
            paths: &settings.paths,
            path_mode: settings.path_mode,
            backlog: settings.backlog,
            keys: &settings.listen_keys,
            reserved: match settings.ready {
                Ready::Fd(number) => Some(number),
                Ready::Auto | Ready::Notify | Ready::Alive | Ready::Command(_) => None,
            },
            in_use: settings.crash_adoption,
            orphaned,
        };
        let mut listeners = Listeners::default();
        let filled = listeners.fill(inherited, &wanted);
        released.append(&mut listeners.released);
        filled.map(|()| listeners)
    }

    /// The same for sockets that were taken from the environment before.
    ///
    /// # Errors
    /// The first [`ListenFailure`]; what was bound until then is gone again.
    pub fn assemble(
        inherited: Vec<Inherited>,
        wanted: &Wanted<'_>,
    ) -> Result<Listeners, ListenFailure> {
        let mut listeners = Listeners::default();
        listeners.fill(inherited, wanted)?;
        Ok(listeners)
    }

    fn fill(&mut self, given: Vec<Inherited>, wanted: &Wanted<'_>) -> Result<(), ListenFailure> {
        let mut stock = self.adopt(given)?;
        let adopted = self.all.len();
        // First of all who gets what: an address that nobody wants any more is then free.
        let mut claimed = vec![false; adopted];
        let (mut ports, mut paths) = (Vec::new(), Vec::new());
        let mut keys: BTreeMap<&str, u32> = BTreeMap::new();
        for spec in wanted.ports {
            let address = bound::resolve(spec)?;
            let nth = keys.entry(&spec.key).or_default();
            let this = *nth;
            *nth += 1;
            let source = match claim::port(&self.all[..adopted], &claimed, address, spec.udp) {
                Some(index) => Source::Adopted(index),
                None => match stock.port(address, spec, this) {
                    Some(socket) => Source::Stored(socket),
                    None => Source::Missing,
                },
            };
            source.claim(&mut claimed);
            ports.push((spec, address, this, source));
        }
        for path in wanted.paths {
            let source = match claim::path(&self.all[..adopted], &claimed, path) {
                Some(index) => Source::Adopted(index),
                None => match stock.path(path) {
                    Some((socket, file)) => {
                        let mode = wanted.path_mode.map_or(Ok(()), |mode| file.set_mode(mode));
                        mode.map_err(|error| ListenFailure::Listen {
                            address: path.display().to_string(),
                            port: None,
                            error,
                        })?;
                        self.own_file(file, socket.kept_as(), true);
                        Source::Stored(socket)
                    }
                    None => Source::Missing,
                },
            };
            source.claim(&mut claimed);
            paths.push((path, source));
        }
        let (released, retired) = stock.give_up();
        self.released = released;
        if !wanted.in_use {
            retired.free_all();
        }

        let mut named = Vec::new();
        for (spec, address, nth, source) in ports {
            let index = match source {
                Source::Adopted(index) => index,
                Source::Stored(socket) => self.restore(socket, wanted)?,
                Source::Missing => {
                    let bind = || bound::port(spec, address, wanted.backlog);
                    let free_port = || {
                        retired.free_port(address.port());
                        true
                    };
                    let fd = bind()
                        .or_else(|failure| again(failure, || wanted.in_use && free_port(), bind))
                        .or_else(|failure| again(failure, || wanted.end_orphans(), bind))?;
                    let facts = bound::facts(spec, address, &fd).map_err(ListenFailure::Move)?;
                    self.push(fd, facts, Kept::Port(nth))
                }
            };
            self.call(index, Some(spec.key.as_str()));
            self.all[index].ask_for(spec.pin);
            named.push(index);
        }
        for (path, source) in paths {
            let index = match source {
                Source::Adopted(index) => index,
                Source::Stored(socket) => self.restore(socket, wanted)?,
                Source::Missing => self.bind_path(path, wanted)?,
            };
            let key = address::path_key(path.as_os_str().as_bytes());
            self.call(index, key.as_deref());
            named.push(index);
        }
        self.override_keys(wanted.keys);
        self.place(wanted.reserved)?;
        // What the command line does not name comes first, in the order of LISTEN_FDS.
        let unnamed = (0..adopted).filter(|index| !claimed[*index]);
        let order: Vec<_> = unnamed.chain(named.iter().copied()).collect();
        self.name_ports(&order);
        self.compact();
        Ok(())
    }

    /// Takes in what came, and answers what of it we bound ourselves in an earlier life.
    fn adopt(&mut self, given: Vec<Inherited>) -> Result<Stock, ListenFailure> {
        let (ours, given): (Vec<_>, Vec<_>) = given
            .into_iter()
            .partition(|inherited| keepsake::is_ours(&inherited.name));
        let mut seen = BTreeSet::new();
        for inherited in given {
            let facts = inherited.facts()?;
            let Inherited { name, fd, .. } = inherited;
            if facts.cookie.is_some_and(|cookie| !seen.insert(cookie)) {
                self.warnings.push(Warning::PassedTwice { name });
                continue;
            }
            let key = address::key_of(&facts.address, facts.kind);
            self.all
                .push(Listener::new(key, Some(name), fd, Origin::Adopted, facts));
        }
        let mut stock = Stock::default();
        for inherited in ours {
            stock.take_in(inherited, &mut seen);
        }
        Ok(stock)
    }

    /// Adds a socket that we bound, and answers its index.
    fn push(&mut self, fd: OwnedFd, facts: Facts, kept: Kept) -> usize {
        let mut bound = Listener::new(None, None, fd, Origin::Bound, facts);
        bound.kept = kept;
        self.all.push(bound);
        self.all.len() - 1
    }

    fn bind_path(&mut self, path: &Path, wanted: &Wanted<'_>) -> Result<usize, ListenFailure> {
        let was_there = bound::is_socket(path);
        let bind = || bound::path(path, wanted.backlog, wanted.path_mode);
        let bound = bind().or_else(|failure| again(failure, || wanted.end_orphans(), bind));
        let (fd, file) = bound?;
        let (device, inode) = file.identity();
        let kept_as = Keepsake::path(&file.path().to_string_lossy(), device, inode).name();
        self.own_file(file, Some(kept_as.clone()), false);
        if was_there {
            let path = path.to_owned();
            self.warnings.push(Warning::Replaced { path });
        }
        let facts = adopted::facts(fd.as_fd()).map_err(ListenFailure::Move)?;
        Ok(self.push(fd, facts, Kept::As(kept_as.into())))
    }

    fn own_file(&mut self, file: SocketFile, kept_as: Option<Name>, outlives_us: bool) {
        self.files.extend(kept_as.map(|kept_as| BoundFile {
            file,
            kept_as,
            outlives_us,
        }));
    }

    /// Adds a socket that came back. Its queue is as long as `--backlog` says today.
    fn restore(&mut self, socket: Listener, wanted: &Wanted<'_>) -> Result<usize, ListenFailure> {
        if socket.kind == SocketKind::Stream {
            let backlog = wanted.backlog.unwrap_or(bound::LONGEST_BACKLOG);
            socket::listen_again(socket.fd.as_fd(), backlog).map_err(|error| {
                ListenFailure::Listen {
                    address: socket.address.to_string(),
                    port: None,
                    error,
                }
            })?;
        }
        self.all.push(socket);
        Ok(self.all.len() - 1)
    }

    /// Gives a listener the key that the user wrote.
    fn call(&mut self, index: usize, key: Option<&str>) {
        self.all[index].key = key.map(Key::from);
    }

    fn override_keys(&mut self, keys: &[ListenKey]) {
        for ListenKey { name, key } in keys {
            let called = |listener: &&mut Listener| {
                listener.origin == Origin::Adopted && listener.name() == *name
            };
            let mut found = false;
            for listener in self.all.iter_mut().filter(called) {
                listener.key = Some(Key::from(key.as_str()));
                found = true;
            }
            if !found {
                let name = name.clone();
                self.warnings.push(Warning::UnusedKey { name });
            }
        }
    }

    fn place(&mut self, reserved: Option<RawFd>) -> Result<(), ListenFailure> {
        let pins: Vec<_> = self.all.iter().map(Listener::pin).collect();
        let places = placement::place(&pins, reserved).map_err(|clash| self.explain(clash))?;
        let numbers = Places::new(places.iter().copied());
        let placed = places.into_iter().enumerate();
        let place = |(mut listener, (index, target)): (Listener, (usize, RawFd))| {
            // Only those whose number is overwritten before it is their turn: a row of sockets that
            // were opened one after the other stays where it is.
            let taken = |fd| numbers.at(fd).is_some_and(|at| at < index) || reserved == Some(fd);
            listener.fd = fd::move_out_of_the_way(listener.fd, taken)?;
            listener.target = target;
            Ok(listener)
        };
        let all = std::mem::take(&mut self.all).into_iter().zip(placed);
        let all: io::Result<Vec<_>> = all.map(place).collect();
        self.all = all.map_err(ListenFailure::Move)?;
        Ok(())
    }

    fn explain(&self, clash: Clash) -> ListenFailure {
        let name = |index: usize| {
            let listener = &self.all[index];
            let key = listener.key.as_deref();
            format!(
                "--port {}",
                key.map_or_else(|| listener.address.to_string(), str::to_owned)
            )
        };
        match clash {
            Clash::Pins { first, second, fd } => ListenFailure::Pins {
                first: name(first),
                second: name(second),
                fd,
            },
            Clash::PinOnReserved { socket, fd } => ListenFailure::Reserved {
                fd,
                by: name(socket),
            },
            Clash::Gap { fd, last } => ListenFailure::Reserved {
                fd,
                by: format!("LISTEN_FDS (3 to {last})"),
            },
        }
    }

    fn name_ports(&mut self, order: &[usize]) {
        let mut seen = BTreeSet::new();
        for index in order {
            let listener = &self.all[*index];
            let Some(key) = &listener.key else {
                self.warnings.push(Warning::NoKey {
                    name: listener.name(),
                    address: listener.address.clone(),
                });
                continue;
            };
            if !seen.insert(&**key) {
                self.warnings.push(Warning::SharedKey {
                    key: key.to_string(),
                });
            }
            let is_ipv6 = matches!(listener.address, Address::Inet6 { v6only: false, .. });
            if is_ipv6 && !key.contains(['[', '/']) {
                self.warnings.push(Warning::DualStack {
                    key: key.to_string(),
                });
            }
            self.keyed.push(*index);
        }
    }

    /// All of them: adopted in the order of `LISTEN_FDS`, bound ports, bound paths.
    #[must_use]
    pub fn as_slice(&self) -> &[Listener] {
        &self.all
    }

    /// Each with the number at which workers find it.
    pub fn sockets(&self) -> impl ExactSizeIterator<Item = (BorrowedFd<'_>, RawFd)> {
        self.all
            .iter()
            .map(|listener| (listener.fd.as_fd(), listener.target))
    }

    /// Key and number of each that has a key, in the order of `SERVER_STARTER_PORT`.
    #[must_use]
    pub fn ports(&self) -> Vec<(&str, RawFd)> {
        let keyed = self.keyed.iter().map(|index| &self.all[*index]);
        keyed
            .filter_map(|listener| Some((listener.key.as_deref()?, listener.target)))
            .collect()
    }

    /// The names of those from number 3 on, as many as `LISTEN_FDS` counts.
    #[must_use]
    pub fn names(&self) -> impl ExactSizeIterator<Item = Name> {
        self.run().into_iter().map(|index| self.all[index].name())
    }

    /// The indices of those that `LISTEN_FDS` counts, in the order of its numbers.
    fn run(&self) -> Vec<usize> {
        let targets = self.all.iter().map(|listener| listener.target);
        placement::run(&Places::new(targets))
    }

    /// Gives back what only the gathering has needed.
    fn compact(&mut self) {
        let listeners = self.all.iter_mut();
        Key::join(listeners.filter_map(|listener| listener.key.as_mut()));
        self.all.shrink_to_fit();
        self.keyed.shrink_to_fit();
    }

    /// What is worth a line in the log.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What systemd's fd store does not have yet, with its name there.
    pub fn to_keep(&self) -> impl Iterator<Item = (Name, BorrowedFd<'_>)> {
        let bound = self.all.iter();
        let bound =
            bound.filter(|listener| listener.origin == Origin::Bound && !listener.is_stored);
        bound.filter_map(|listener| Some((listener.kept_as()?, listener.fd.as_fd())))
    }

    /// From now on nothing of them outlives us. Answers the names of those that systemd still has.
    pub fn disown(&mut self) -> Vec<Name> {
        for file in &mut self.files {
            file.outlives_us = false;
        }
        self.stored().collect()
    }

    /// The names of those that systemd's fd store has.
    pub fn stored(&self) -> impl Iterator<Item = Name> {
        let stored = self.all.iter().filter(|listener| listener.is_stored);
        stored.filter_map(Listener::kept_as)
    }

    /// Lets go of the files below these directories (`$RUNTIME_DIRECTORY`): when systemd throws
    /// its copies of the sockets away, it removes the directories as well. Answers the names of
    /// the other sockets with files, which nobody can reach once we have removed these.
    pub fn leave_files(&mut self, below: &[PathBuf]) -> Vec<Name> {
        self.saved.take();
        self.files.retain(|file| {
            let is_below = |directory: &PathBuf| file.file.path().starts_with(directory);
            !below.iter().any(is_below)
        });
        let names = self.files.iter().map(|file| file.kept_as.clone());
        names.collect()
    }

    /// Removes the files of the unix sockets that we bound, unless they are somebody
    /// else's by now; answers what could not be removed.
    pub fn remove_files(&mut self) -> Vec<(PathBuf, io::Error)> {
        self.saved.take();
        let files = self.files.drain(..);
        let failed = |BoundFile { file, .. }| match SocketFile::remove_if_ours(&file) {
            Ok(_) => None,
            Err(error) => Some((file.path().to_path_buf(), error)),
        };
        files.filter_map(failed).collect()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        // A socket that lives on without us needs its file.
        self.files.retain(|file| !file.outlives_us);
        // Nobody is left to whom it could be told.
        let _ = self.remove_files();
    }
}

impl Source {
    fn claim(&self, claimed: &mut [bool]) {
        match self {
            Source::Adopted(index) => claimed[*index] = true,
            Source::Stored(_) | Source::Missing => {}
        }
    }
}

#[cfg(test)]
mod tests;
