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
use crate::os::child::Places;
use crate::os::fd;
use crate::os::socket_file::SocketFile;
use crate::protocol::address::{self, Address, SocketKind};
use crate::protocol::listen_fds::{ListenEnv, Name, NotForUs};
use crate::protocol::port::PortSpec;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

mod claim;
mod saved;
mod warning;

pub use warning::Warning;

/// Where a listener came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a socket unit, through `LISTEN_FDS`.
    Adopted,
    /// We bound it.
    Bound,
    /// We bound it in an earlier life; systemd's fd store kept it.
    Stored,
}

/// One socket that we hold.
#[derive(Debug)]
pub struct Listener {
    /// Its name in `SERVER_STARTER_PORT`, if it can have one there.
    pub key: Option<String>,
    /// Its name in `LISTEN_FDNAMES`.
    pub name: Name,
    /// Our copy.
    pub fd: OwnedFd,
    /// Where it came from.
    pub origin: Origin,
    /// Where it is bound.
    pub address: Address,
    /// Stream, datagram...
    pub kind: SocketKind,
    /// The number at which workers find it.
    pub target: RawFd,
    /// The number that the user asked for.
    pub pin: Option<RawFd>,
}

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
}

/// All listeners, adopted ones first, then ports, then paths. The files of the unix sockets that
/// we bound go with them.
#[derive(Debug, Default)]
pub struct Listeners {
    all: Vec<Listener>,
    /// Those with a key, in the order of `SERVER_STARTER_PORT`.
    keyed: Vec<usize>,
    /// Those that `LISTEN_FDS` counts, in the order of its numbers.
    run: Vec<usize>,
    files: Vec<SocketFile>,
    warnings: Vec<Warning>,
}

impl Listeners {
    /// Takes what systemd passed, binds what is missing, and places everything. Call
    /// it before [`fd::close_on_exec_from`], which hides what was inherited.
    ///
    /// # Errors
    /// The first [`ListenFailure`]; what was bound until then is gone again.
    pub fn gather(settings: &Settings, env: &ListenEnv<'_>) -> Result<Listeners, ListenFailure> {
        let (inherited, not_for_us) = match adopted::adopt(env)? {
            Ok(inherited) => (inherited, None),
            Err(NotForUs::Unset) => (Vec::new(), None),
            Err(reason) => (Vec::new(), Some(Warning::NotForUs(reason))),
        };
        let mut listeners = Self::gather_from(inherited, settings)?;
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
        };
        Listeners::assemble(inherited, &wanted)
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
        self.adopt(given)?;
        let adopted = self.all.len();
        let mut claimed = vec![false; adopted];
        let mut named = Vec::new();
        for spec in wanted.ports {
            let address = bound::resolve(spec)?;
            let index = match claim::port(&self.all[..adopted], &claimed, address, spec.udp) {
                Some(index) => {
                    claimed[index] = true;
                    index
                }
                None => {
                    let fd = bound::port(spec, address, wanted.backlog)?;
                    let facts = bound::facts(spec, address, &fd).map_err(ListenFailure::Move)?;
                    self.push(fd, facts)
                }
            };
            self.call(index, Some(spec.key.clone()));
            self.all[index].pin = spec.pin;
            named.push(index);
        }
        for path in wanted.paths {
            let index = match claim::path(&self.all[..adopted], &claimed, path) {
                Some(index) => {
                    claimed[index] = true;
                    index
                }
                None => {
                    let was_there = bound::is_socket(path);
                    let (fd, file) = bound::path(path, wanted.backlog, wanted.path_mode)?;
                    self.files.push(file);
                    if was_there {
                        let path = path.clone();
                        self.warnings.push(Warning::Replaced { path });
                    }
                    let facts = adopted::facts(fd.as_fd()).map_err(ListenFailure::Move)?;
                    self.push(fd, facts)
                }
            };
            self.call(index, address::path_key(path.as_os_str().as_bytes()));
            named.push(index);
        }
        self.override_keys(wanted.keys);
        self.place(wanted.reserved)?;
        // What the command line does not name comes first, in the order of LISTEN_FDS.
        let unnamed = (0..adopted).filter(|index| !claimed[*index]);
        let order: Vec<_> = unnamed.chain(named.iter().copied()).collect();
        self.name_ports(&order);
        Ok(())
    }

    fn adopt(&mut self, given: Vec<Inherited>) -> Result<(), ListenFailure> {
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
                .push(listener(key, name, fd, Origin::Adopted, facts));
        }
        Ok(())
    }

    /// Adds a socket that we bound, and answers its index.
    fn push(&mut self, fd: OwnedFd, facts: Facts) -> usize {
        let bound = listener(None, Name::unknown(), fd, Origin::Bound, facts);
        self.all.push(bound);
        self.all.len() - 1
    }

    /// Gives a listener the key that the user wrote; one that we bound is called so
    /// in `LISTEN_FDNAMES` as well, if that can be.
    fn call(&mut self, index: usize, key: Option<String>) {
        let listener = &mut self.all[index];
        let name = key.as_deref().and_then(Name::new);
        if let (Origin::Bound, Some(name)) = (listener.origin, name) {
            listener.name = name;
        }
        listener.key = key;
    }

    fn override_keys(&mut self, keys: &[ListenKey]) {
        for ListenKey { name, key } in keys {
            let called = |listener: &&mut Listener| {
                listener.origin != Origin::Bound && listener.name == *name
            };
            let mut found = false;
            for listener in self.all.iter_mut().filter(called) {
                listener.key = Some(key.clone());
                found = true;
            }
            if !found {
                let name = name.clone();
                self.warnings.push(Warning::UnusedKey { name });
            }
        }
    }

    fn place(&mut self, reserved: Option<RawFd>) -> Result<(), ListenFailure> {
        let pins: Vec<_> = self.all.iter().map(|listener| listener.pin).collect();
        let places = placement::place(&pins, reserved).map_err(|clash| self.explain(clash))?;
        let numbers = Places::new(places.iter().copied());
        self.run = placement::run(&numbers);
        let placed = places.into_iter().enumerate();
        for (mut listener, (index, target)) in std::mem::take(&mut self.all).into_iter().zip(placed)
        {
            // Only those whose number is overwritten before it is their turn: a row of sockets that
            // were opened one after the other stays where it is.
            let taken = |fd| numbers.at(fd).is_some_and(|at| at < index) || reserved == Some(fd);
            let moved = fd::move_out_of_the_way(listener.fd, taken);
            listener.fd = moved.map_err(ListenFailure::Move)?;
            listener.target = target;
            self.all.push(listener);
        }
        Ok(())
    }

    fn explain(&self, clash: Clash) -> ListenFailure {
        let name = |index: usize| {
            let listener = &self.all[index];
            let key = listener.key.clone();
            format!(
                "--port {}",
                key.unwrap_or_else(|| listener.address.to_string())
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
                    name: listener.name.clone(),
                    address: listener.address.clone(),
                });
                continue;
            };
            if !seen.insert(key.as_str()) {
                self.warnings.push(Warning::SharedKey { key: key.clone() });
            }
            let is_ipv6 = matches!(listener.address, Address::Inet6 { v6only: false, .. });
            if is_ipv6 && !key.contains(['[', '/']) {
                self.warnings.push(Warning::DualStack { key: key.clone() });
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
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.run.iter().map(|index| &self.all[*index].name)
    }

    /// What is worth a line in the log.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Removes the files of the unix sockets that we bound, unless they are somebody
    /// else's by now; answers what could not be removed.
    pub fn remove_files(&mut self) -> Vec<(PathBuf, io::Error)> {
        let files = self.files.drain(..);
        let failed = |file: SocketFile| match file.remove_if_ours() {
            Ok(_) => None,
            Err(error) => Some((file.path().to_path_buf(), error)),
        };
        files.filter_map(failed).collect()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        // Nobody is left to whom it could be told.
        let _ = self.remove_files();
    }
}

fn listener(
    key: Option<String>,
    name: Name,
    fd: OwnedFd,
    origin: Origin,
    facts: Facts,
) -> Listener {
    Listener {
        key,
        name,
        fd,
        origin,
        address: facts.address,
        kind: facts.kind,
        // Until it is placed.
        target: -1,
        pin: None,
    }
}

#[cfg(test)]
mod tests;
