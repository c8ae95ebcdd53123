//! The sockets that we bound in an earlier life and that systemd's fd store has kept.
//!
//! Each is used if the command line wants it, and else given up. One that cannot be reached any
//! more (its file is gone, or another one stands there) is of no use to anybody.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;

use super::super::adopted::{self, Inherited};
use super::{Kept, Listener, Origin, claim};
use crate::os::socket;
use crate::os::socket_file::SocketFile;
use crate::protocol::address::{Address, SocketKind};
use crate::protocol::keepsake::Keepsake;
use crate::protocol::listen_fds::Name;
use crate::protocol::port::PortSpec;

/// What came back and is not claimed yet.
#[derive(Debug, Default)]
pub(super) struct Stock {
    sockets: Vec<Listener>,
    /// The names of what is of no use.
    useless: Vec<Name>,
}

impl Stock {
    /// Takes in what came under a name of ours. `seen` are the sockets that are there already: a
    /// socket unit has passed them, or the store has them twice.
    pub(super) fn take_in(&mut self, inherited: Inherited, seen: &mut BTreeSet<u64>) {
        let Inherited { name, fd, .. } = inherited;
        let facts = adopted::facts(fd.as_fd());
        let is_listener = match Keepsake::parse(&name) {
            Some(Keepsake::Port { .. } | Keepsake::Path { .. }) => true,
            Some(Keepsake::State | Keepsake::Labelled(_)) | None => false,
        };
        match facts {
            Ok(facts) if is_listener && facts.cookie.is_some_and(|cookie| seen.insert(cookie)) => {
                let mut socket = Listener::new(None, None, fd, Origin::Stored, facts);
                socket.kept = Kept::As(name.into());
                self.sockets.push(socket);
            }
            Ok(_) | Err(_) => self.useless.push(name),
        }
    }

    /// The socket of a `--port`: by its address, or for port 0 by its name.
    pub(super) fn port(
        &mut self,
        address: SocketAddr,
        spec: &PortSpec,
        nth: u32,
    ) -> Option<Listener> {
        // As a rule nothing has come back.
        if self.sockets.is_empty() {
            return None;
        }
        let is_named = |socket: &Listener| {
            let keepsake = socket.kept_as().as_ref().and_then(Keepsake::parse);
            keepsake.is_some_and(|keepsake| keepsake.is_port(&spec.key, nth))
        };
        let index = match address.port() {
            0 => self.sockets.iter().position(is_named),
            _ => claim::port(&self.sockets, &self.nobodys(), address, spec.udp),
        };
        Some(self.sockets.remove(index?))
    }

    /// The socket of a `--path`, with its file, if clients still reach it there.
    pub(super) fn path(&mut self, path: &Path) -> Option<(Listener, SocketFile)> {
        let index = claim::path(&self.sockets, &self.nobodys(), path)?;
        let kept_as = self.sockets[index].kept_as();
        let keepsake = kept_as.as_ref().and_then(Keepsake::parse);
        let Some(Keepsake::Path { device, inode, .. }) = keepsake else {
            return None;
        };
        let file = SocketFile::still_at(path, device, inode)?;
        Some((self.sockets.remove(index), file))
    }

    /// What is claimed is taken out, so the rest is not.
    fn nobodys(&self) -> Vec<bool> {
        vec![false; self.sockets.len()]
    }

    /// Answers the names to be given up, of what nobody has claimed.
    pub(super) fn give_up(self) -> (Vec<Name>, Retired) {
        let mut names = self.useless;
        for socket in &self.sockets {
            if let Some(name) = socket.kept_as() {
                remove_file(&name, &socket.address);
                names.push(name);
            }
        }
        (names, Retired(self.sockets))
    }
}

/// What nobody has claimed. Closing it does not free its address while systemd, or a worker that
/// has outlived us, has it too.
#[derive(Debug)]
pub(super) struct Retired(Vec<Listener>);

impl Retired {
    /// Frees every address: nobody is to be answered there any more.
    pub(super) fn free_all(&self) {
        self.free(|_| true);
    }

    /// Frees what stands in the way of a TCP port.
    pub(super) fn free_port(&self, wanted: u16) {
        self.free(|port| port == wanted);
    }

    fn free(&self, is_meant: impl Fn(u16) -> bool) {
        for socket in &self.0 {
            let (Address::Inet4 { port, .. } | Address::Inet6 { port, .. }) = socket.address else {
                continue;
            };
            if socket.kind == SocketKind::Stream && is_meant(port) {
                // One that does not listen is as good.
                let _ = socket::stop_listening(socket.fd.as_fd());
            }
        }
    }
}

/// Removes the file of a socket that is not wanted any more, if it is still there.
fn remove_file(name: &Name, address: &Address) {
    use std::os::unix::ffi::OsStrExt;
    let (Some(Keepsake::Path { device, inode, .. }), Address::UnixPath(path)) =
        (Keepsake::parse(name), address)
    else {
        return;
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    if let Some(file) = SocketFile::still_at(path, device, inode) {
        // It is stale either way, and the next who binds there replaces it.
        let _ = file.remove_if_ours();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Listeners, Wanted};
    use super::*;
    use crate::os::scratch::Scratch;
    use crate::protocol::port::parse;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    fn assemble(given: Vec<Inherited>, ports: &[&str], paths: &[PathBuf]) -> Listeners {
        let ports: Vec<PortSpec> = ports.iter().map(|text| parse(text).unwrap()).collect();
        let wanted = Wanted {
            ports: &ports,
            paths,
            path_mode: Some(0o600),
            backlog: None,
            keys: &[],
            reserved: None,
            in_use: false,
            orphaned: false,
        };
        Listeners::assemble(given, &wanted).unwrap()
    }

    /// What systemd gives back of these, in its order: the last one first.
    fn given_back(listeners: &Listeners) -> Vec<Inherited> {
        let kept = listeners.as_slice().iter().rev();
        kept.map(|listener| Inherited {
            number: 3,
            name: listener.kept_as().unwrap(),
            fd: listener.fd.try_clone().unwrap(),
        })
        .collect()
    }

    fn addresses(listeners: &Listeners) -> Vec<String> {
        let all = listeners.as_slice().iter();
        all.map(|listener| listener.address.to_string()).collect()
    }

    fn ports_of(listeners: &Listeners) -> Vec<(String, i32)> {
        let ports = listeners.ports().into_iter();
        ports.map(|(key, fd)| (key.to_owned(), fd)).collect()
    }

    #[test]
    fn the_same_command_line_gets_the_same_sockets_at_the_same_numbers() {
        let dir = Scratch::new();
        let (ports, paths) = (
            ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:u0"],
            [dir.path("s")],
        );
        let mut first = assemble(Vec::new(), &ports, &paths);
        assert_eq!(first.to_keep().count(), 4);
        first.entrust(&BTreeSet::new());
        let kept = given_back(&first);
        let (places, ports_before) = (addresses(&first), ports_of(&first));
        drop(first);
        let mut second = assemble(kept, &ports, &paths);
        assert_eq!(addresses(&second), places);
        assert_eq!(ports_of(&second), ports_before);
        assert!(second.released.is_empty() && second.to_keep().count() == 0);
        let origins = second.as_slice().iter().map(|listener| listener.origin);
        assert!(origins.into_iter().all(|origin| origin == Origin::Stored));
        TcpStream::connect(&places[0]).unwrap();
        UnixStream::connect(&paths[0]).unwrap();
        // A clean end: the file goes, and with it the use of the stored socket.
        assert_eq!(second.leave_files(&[]).len(), 1);
        assert!(second.remove_files().is_empty() && !paths[0].exists());
    }

    #[test]
    fn a_file_that_was_kept_gets_the_mode_that_is_asked_for_today() {
        use std::os::unix::fs::MetadataExt;
        let dir = Scratch::new();
        let paths = [dir.path("s")];
        let mut first = assemble(Vec::new(), &[], &paths);
        first.entrust(&BTreeSet::new());
        let mut given = Some(given_back(&first));
        drop(first);
        let mode = || paths[0].metadata().unwrap().mode() & 0o777;
        for (asked, has) in [(Some(0o660), 0o660), (None, 0o660), (Some(0o640), 0o640)] {
            let wanted = Wanted {
                ports: &[],
                paths: &paths,
                path_mode: asked,
                backlog: None,
                keys: &[],
                reserved: None,
                in_use: false,
                orphaned: false,
            };
            let listeners = Listeners::assemble(given.take().unwrap(), &wanted).unwrap();
            assert_eq!(listeners.as_slice()[0].origin, Origin::Stored);
            assert_eq!(mode(), has);
            given = Some(given_back(&listeners));
        }
    }

    #[test]
    fn what_is_not_wanted_any_more_is_given_up_and_its_place_is_free() {
        let dir = Scratch::new();
        let paths = [dir.path("s")];
        let mut first = assemble(Vec::new(), &["127.0.0.1:0"], &paths);
        first.entrust(&BTreeSet::new());
        // systemd's copies, which are still open when we want the address again.
        let (_copies, kept) = (given_back(&first), given_back(&first));
        let port = addresses(&first)[0].clone();
        drop(first);
        assert!(paths[0].exists());
        let second = assemble(kept, &[], &[]);
        assert_eq!(second.released.len(), 2);
        assert!(second.as_slice().is_empty() && !paths[0].exists());
        assert!(TcpStream::connect(&port).is_err());
        let third = assemble(Vec::new(), &[&port], &[]);
        assert_eq!(addresses(&third), [port]);
    }

    #[test]
    fn what_a_worker_still_has_is_left_to_it_unless_it_is_in_the_way() {
        let given = || {
            let mut first = assemble(Vec::new(), &["127.0.0.1:0"], &[]);
            first.entrust(&BTreeSet::new());
            let (workers, kept) = (given_back(&first), given_back(&first));
            (workers, kept, addresses(&first)[0].clone())
        };
        let of = |ports: &[PortSpec], given| {
            let wanted = Wanted {
                ports,
                paths: &[],
                path_mode: None,
                backlog: None,
                keys: &[],
                reserved: None,
                in_use: true,
                orphaned: false,
            };
            Listeners::assemble(given, &wanted).unwrap()
        };
        let (_workers, kept, address) = given();
        assert_eq!(of(&[], kept).released.len(), 1);
        TcpStream::connect(&address).unwrap();
        // The same port on every address.
        let (_workers, kept, address) = given();
        let (_, port) = address.rsplit_once(':').unwrap();
        let second = of(&[parse(port).unwrap()], kept);
        assert_eq!(addresses(&second), [format!("0.0.0.0:{port}")]);
    }

    #[test]
    fn a_socket_whose_file_is_gone_is_bound_anew() {
        let dir = Scratch::new();
        let paths = [dir.path("s")];
        let mut first = assemble(Vec::new(), &[], &paths);
        first.entrust(&BTreeSet::new());
        let kept = given_back(&first);
        drop(first);
        std::fs::remove_file(&paths[0]).unwrap();
        let second = assemble(kept, &[], &paths);
        assert_eq!((second.released.len(), second.to_keep().count()), (1, 1));
        UnixStream::connect(&paths[0]).unwrap();
        drop(second);
        assert!(!paths[0].exists(), "nobody keeps that one");
    }

    #[test]
    fn the_end_leaves_files_where_systemd_clears_up() {
        let (ours, systemds) = (Scratch::new(), Scratch::new());
        let paths = [ours.path("s"), systemds.path("s")];
        let mut listeners = assemble(Vec::new(), &[], &paths);
        listeners.entrust(&BTreeSet::new());
        let below = [systemds.as_ref().to_owned()];
        assert_eq!(listeners.leave_files(&below).len(), 1);
        assert!(listeners.remove_files().is_empty());
        assert!(!paths[0].exists() && paths[1].exists());
    }

    #[test]
    fn a_copy_of_what_a_socket_unit_passes_is_given_up_and_so_is_what_we_do_not_know() {
        let mut first = assemble(Vec::new(), &["127.0.0.1:0"], &[]);
        first.entrust(&BTreeSet::new());
        let mut given = given_back(&first);
        let port = addresses(&first)[0].clone();
        let copy = |text: &str| Inherited {
            number: 3,
            name: Name::new(text).unwrap(),
            fd: first.as_slice()[0].fd.try_clone().unwrap(),
        };
        given.extend([copy("http"), copy("sd-starter.from.the.future")]);
        let second = assemble(given, &[&port], &[]);
        assert_eq!(second.as_slice().len(), 1);
        assert_eq!(second.as_slice()[0].origin, Origin::Adopted);
        assert_eq!(second.released.len(), 2);
        assert!(second.warnings().is_empty(), "{:?}", second.warnings());
        TcpStream::connect(&port).unwrap();
    }
}
