//! Real sockets on loopback, handed over as systemd would.

use super::*;
use crate::os::scratch::Scratch;
use crate::os::socket::{bind_udp, listen_tcp};
use crate::protocol::port::parse;
use rustix::net;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

fn inherited(name: &str, fd: impl Into<OwnedFd>) -> Inherited {
    let fd = fd.into();
    Inherited {
        number: fd.as_raw_fd(),
        name: Name::new(name).unwrap(),
        fd,
    }
}

fn ports(texts: &[&str]) -> Vec<PortSpec> {
    texts.iter().map(|text| parse(text).unwrap()).collect()
}

fn wanted<'a>(ports: &'a [PortSpec], paths: &'a [PathBuf]) -> Wanted<'a> {
    Wanted {
        ports,
        paths,
        path_mode: Some(0o600),
        backlog: None,
        keys: &[],
        reserved: None,
        in_use: false,
        orphaned: false,
    }
}

fn gather(given: Vec<Inherited>, texts: &[&str]) -> Result<Listeners, ListenFailure> {
    Listeners::assemble(given, &wanted(&ports(texts), &[]))
}

fn tcp() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

/// What `ListenStream=PORT` makes.
fn dual_stack() -> (OwnedFd, u16) {
    let stream = net::SocketType::STREAM;
    let fd = net::socket_with(
        net::AddressFamily::INET6,
        stream,
        net::SocketFlags::CLOEXEC,
        None,
    );
    let fd = fd.unwrap();
    net::sockopt::set_ipv6_v6only(&fd, false).unwrap();
    net::bind(&fd, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).unwrap();
    net::listen(&fd, 16).unwrap();
    let listener = TcpListener::from(fd);
    let port = listener.local_addr().unwrap().port();
    (listener.into(), port)
}

fn keys(listeners: &Listeners) -> Vec<&str> {
    listeners.ports().iter().map(|(key, _)| *key).collect()
}

#[test]
fn an_adopted_socket_is_used_and_not_bound_twice() {
    let (fd, address) = tcp();
    let text = address.to_string();
    let listeners = gather(vec![inherited("web", fd)], &[&format!("{text}=9")]).unwrap();
    let only = listeners.as_slice().iter().next().unwrap();
    assert_eq!(listeners.as_slice().len(), 1);
    assert_eq!((only.origin, only.target), (Origin::Adopted, 9));
    assert_eq!(listeners.ports(), [(text.as_str(), 9)]);
    assert_eq!(listeners.names().len(), 0);
    TcpStream::connect(address).unwrap();
}

#[test]
fn a_bare_port_is_served_by_a_dual_stack_socket() {
    let (fd, port) = dual_stack();
    let key = port.to_string();
    let listeners = gather(vec![inherited("web", fd)], &[&key]).unwrap();
    assert_eq!(listeners.ports(), [(key.as_str(), 3)]);
    assert_eq!(listeners.warnings(), [Warning::DualStack { key }]);
}

#[test]
fn an_adopted_socket_that_nobody_named_has_the_key_of_start_server() {
    let (fd, port) = dual_stack();
    let listeners = gather(vec![inherited("web", fd)], &[]).unwrap();
    assert_eq!(listeners.ports(), [(format!("[::]:{port}").as_str(), 3)]);
}

#[test]
fn udp_and_tcp_on_one_number_are_two_sockets() {
    let (tcp, address) = tcp();
    let udp = bind_udp(address).unwrap();
    let (text, datagram) = (
        address.to_string(),
        format!("127.0.0.1:u{}", address.port()),
    );
    let given = vec![inherited("udp", udp), inherited("tcp", tcp)];
    let listeners = gather(given, &[&text, &datagram]).unwrap();
    assert_eq!(listeners.ports(), [(text.as_str(), 4), (text.as_str(), 3)]);
    assert_eq!(listeners.warnings(), [Warning::SharedKey { key: text }]);
}

#[test]
fn the_order_is_unnamed_then_ports_then_paths() {
    let dir = Scratch::new();
    let (first, unnamed) = tcp();
    let (second, named) = tcp();
    let path = dir.path("a.sock");
    let specs = ports(&["127.0.0.1:0", &named.to_string()]);
    let paths = [path.clone()];
    let given = vec![inherited("n", second), inherited("u", first)];
    let mut listeners = Listeners::assemble(given, &wanted(&specs, &paths)).unwrap();
    let (unnamed, named) = (unnamed.to_string(), named.to_string());
    let path_text = path.to_str().unwrap();
    assert_eq!(
        keys(&listeners),
        [&unnamed, "127.0.0.1:0", &named, path_text]
    );
    let targets: Vec<_> = listeners.ports().iter().map(|(_, fd)| *fd).collect();
    assert_eq!(targets, [4, 5, 3, 6]);
    let names: Vec<_> = listeners
        .names()
        .map(|name| name.as_str().to_owned())
        .collect();
    assert_eq!(names, ["n", "u", "unknown", path_text]);
    UnixStream::connect(&path).unwrap();
    assert!(listeners.remove_files().is_empty());
    assert!(!path.exists());
}

#[test]
fn an_adopted_path_is_recognised_and_its_file_is_not_ours() {
    let dir = Scratch::new();
    let path = dir.path("a.sock");
    let given = vec![inherited("a", UnixListener::bind(&path).unwrap())];
    let paths = [dir.path("./a.sock")];
    let mut listeners = Listeners::assemble(given, &wanted(&[], &paths)).unwrap();
    assert_eq!(keys(&listeners), [paths[0].to_str().unwrap()]);
    assert!(listeners.remove_files().is_empty());
    assert!(path.exists());
}

#[test]
fn a_failure_leaves_no_socket_file_behind() {
    let dir = Scratch::new();
    let paths = [dir.path("a.sock"), dir.path("missing/b.sock")];
    let failure = Listeners::assemble(vec![], &wanted(&[], &paths)).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(!paths[0].exists());
}

#[test]
fn a_connection_is_refused() {
    let (fd, address) = tcp();
    let stream = TcpStream::connect(address).unwrap();
    let failure = gather(vec![inherited("connection", stream)], &[]).unwrap_err();
    assert!(
        failure.to_string().contains("must use Accept=no"),
        "{failure}"
    );
    drop(fd);
}

#[test]
fn a_listen_key_overrides_and_one_for_nobody_is_told() {
    let (fd, _) = tcp();
    let name = |text| Name::new(text).unwrap();
    let key = |text, key: &str| ListenKey {
        name: name(text),
        key: key.to_owned(),
    };
    let overrides = [key("web", "80"), key("gone", "81")];
    let mut wanted = wanted(&[], &[]);
    wanted.keys = &overrides;
    let listeners = Listeners::assemble(vec![inherited("web", fd)], &wanted).unwrap();
    assert_eq!(keys(&listeners), ["80"]);
    let unused = Warning::UnusedKey { name: name("gone") };
    assert_eq!(listeners.warnings(), [unused]);
}

#[test]
fn a_stored_copy_is_taken_once() {
    let (fd, _) = tcp();
    let copy = fd.try_clone().unwrap();
    let given = vec![inherited("web", fd), inherited("stored", copy)];
    let listeners = gather(given, &[]).unwrap();
    assert_eq!(listeners.as_slice().len(), 1);
}

#[test]
fn what_start_server_does_not_know_goes_through_listen_fds_alone() {
    let (read, _write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let listeners = gather(vec![inherited("fifo", read)], &[]).unwrap();
    assert!(listeners.ports().is_empty());
    assert_eq!(listeners.names().len(), 1);
    let (name, address) = (Name::new("fifo").unwrap(), Address::Unnamed);
    assert_eq!(listeners.warnings(), [Warning::NoKey { name, address }]);
}

#[test]
fn flags_stay_as_they_came() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listeners = gather(vec![inherited("web", listener)], &["127.0.0.1:0"]).unwrap();
    let flags: Vec<_> = listeners
        .as_slice()
        .iter()
        .map(|listener| fd::is_nonblocking(listener.fd.as_fd()))
        .collect();
    assert!(matches!(flags[..], [Ok(true), Ok(false)]));
}

#[test]
fn sources_are_out_of_the_way_of_targets() {
    let free = listen_tcp(([127, 0, 0, 1], 0).into(), 1)
        .unwrap()
        .as_raw_fd();
    let pinned = format!("127.0.0.1:0={free}");
    let listeners = gather(vec![], &["127.0.0.1:0", &pinned]).unwrap();
    let numbers = listeners
        .sockets()
        .map(|(fd, target)| (fd.as_raw_fd(), target));
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(crate::os::child::collision(numbers.into_iter()), None);
}

#[test]
fn two_pins_on_one_number_name_both_options() {
    let failure = gather(vec![], &["127.0.0.1:0=7", "127.0.0.2:0=7"]).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "--port 127.0.0.1:0 and --port 127.0.0.2:0 both ask for file descriptor 7"
    );
    assert_eq!(failure.exit_code(), 255);
}
