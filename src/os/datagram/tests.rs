//! Both ends in one process.

use super::*;
use crate::os::fd::is_close_on_exec;
use crate::os::scratch::Scratch;
use rustix::net::bind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

struct Ends {
    _dir: Scratch,
    path: PathBuf,
    receiver: Receiver,
    target: Target,
}

fn ends() -> Ends {
    let dir = Scratch::new();
    let path = dir.path("notify");
    let receiver = Receiver::bind(&path).unwrap();
    let target = Target::parse(path.as_os_str()).unwrap();
    Ends {
        _dir: dir,
        path,
        receiver,
        target,
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

/// Whether every copy of a pipe's writing end is closed: at once, or within so many milliseconds, for what
/// was ours the children have, too, that other tests fork meanwhile, until they execute something.
fn is_closed(read: &OwnedFd, within: u16) -> bool {
    let mut fds = [nix::poll::PollFd::new(
        read.as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    nix::poll::poll(&mut fds, within).unwrap();
    let events = fds[0].revents().unwrap();
    events.contains(nix::poll::PollFlags::POLLHUP)
}

#[test]
fn a_datagram_comes_with_its_senders_credentials() {
    let ends = ends();
    assert_eq!(ends.path.metadata().unwrap().mode() & 0o777, 0o666);
    assert!(is_close_on_exec(ends.receiver.as_fd()).unwrap());
    assert_eq!(send(&ends.target, b"READY=1", &[]).unwrap(), Sent::Done);
    let mut buffer = [0; 64];
    let datagram = ends.receiver.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[..datagram.len], b"READY=1");
    assert!(!datagram.truncated && !datagram.control_truncated);
    let sender = datagram.credentials.unwrap();
    assert_eq!(sender.pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!(sender.uid, rustix::process::getuid().as_raw());
    assert!(ends.receiver.receive(&mut buffer).unwrap().is_none());
    assert!(ends.receiver.file().remove_if_ours().unwrap());
}

#[test]
fn the_most_descriptors_arrive_close_on_exec_and_are_closed_when_dropped() {
    let ends = ends();
    let (read, write) = pipe();
    let fds = vec![write.as_fd(); MAX_FDS];
    assert_eq!(send(&ends.target, b"FDSTORE=1", &fds).unwrap(), Sent::Done);
    drop(write);
    let datagram = ends.receiver.receive(&mut [0; 64]).unwrap().unwrap();
    assert_eq!(datagram.fds.len(), MAX_FDS);
    assert!(datagram.credentials.is_some() && !datagram.control_truncated);
    assert!(
        datagram
            .fds
            .iter()
            .all(|fd| is_close_on_exec(fd.as_fd()).unwrap())
    );
    assert!(!is_closed(&read, 0));
    drop(datagram);
    assert!(is_closed(&read, 10_000));
}

#[test]
fn a_truncated_datagram_keeps_its_descriptors_owned() {
    let ends = ends();
    let (read, write) = pipe();
    let fds = vec![write.as_fd(); MAX_FDS];
    send(&ends.target, b"too long", &fds).unwrap();
    drop(write);
    let datagram = ends.receiver.receive(&mut [0; 3]).unwrap().unwrap();
    assert!(datagram.truncated);
    assert_eq!((datagram.len, datagram.fds.len()), (3, MAX_FDS));
    drop(datagram);
    assert!(is_closed(&read, 10_000));
}

#[test]
fn too_many_descriptors_are_refused() {
    let ends = ends();
    let (_read, write) = pipe();
    let fds = vec![write.as_fd(); MAX_FDS + 1];
    let error = send(&ends.target, b"x", &fds).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn a_full_queue_is_an_answer_and_room_is_told() {
    let ends = ends();
    let mut sent = 0;
    while send(&ends.target, b"STATUS=x", &[]).unwrap() == Sent::Done {
        sent += 1;
    }
    assert!(sent > 0);
    let writable = |target: &Target| {
        let mut fds = [nix::poll::PollFd::new(
            target.as_fd(),
            nix::poll::PollFlags::POLLOUT,
        )];
        nix::poll::poll(&mut fds, 0u8).unwrap() == 1
    };
    assert!(!writable(&ends.target));
    while ends.receiver.receive(&mut [0; 64]).unwrap().is_some() {}
    assert!(writable(&ends.target));
    assert_eq!(send(&ends.target, b"STATUS=x", &[]).unwrap(), Sent::Done);
}

#[test]
fn a_manager_that_comes_back_is_found_again() {
    let ends = ends();
    while send(&ends.target, b"x", &[]).unwrap() == Sent::Done {}
    ends.receiver.file().remove_if_ours().unwrap();
    drop(ends.receiver);
    // The children have it, too, that other tests fork in this moment, until they execute something.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while send(&ends.target, b"x", &[]).is_ok() {
        assert!(std::time::Instant::now() < deadline, "nobody is there");
        std::thread::yield_now();
    }
    let _again = Receiver::bind(&ends.path).unwrap();
    assert_eq!(send(&ends.target, b"x", &[]).unwrap(), Sent::Done);
}

#[test]
fn an_abstract_address_works() {
    let name = format!("sd-starter-notify-{}", std::process::id());
    let socket = datagram_socket().unwrap();
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
    bind(&socket, &address).unwrap();
    let target = Target::parse(OsStr::new(&format!("@{name}"))).unwrap();
    assert_eq!(send(&target, b"x", &[]).unwrap(), Sent::Done);
    assert_eq!(receive(socket.as_fd(), &mut [0; 8], 0).unwrap().len, 1);
}

#[test]
fn what_is_peeked_at_stays_until_it_is_discarded() {
    let ends = ends();
    let file = std::fs::File::open("/dev/null").unwrap();
    send(&ends.target, b"one", &[file.as_fd()]).unwrap();
    send(&ends.target, b"two", &[]).unwrap();
    let mut buffer = [0; 8];
    for _ in 0..2 {
        let seen = ends.receiver.peek(&mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..seen.len], seen.fds.len()), (&b"one"[..], 1));
        assert!(seen.credentials.is_some() && !seen.control_truncated);
    }
    ends.receiver.discard().unwrap();
    let next = ends.receiver.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[..next.len], b"two");
    ends.receiver.discard().unwrap();
    assert!(ends.receiver.peek(&mut buffer).unwrap().is_none());
}

#[test]
fn other_addresses_are_refused_by_kind() {
    for (value, kind) in [
        ("vsock:2:1234", io::ErrorKind::Unsupported),
        ("vsock-stream:2:1234", io::ErrorKind::Unsupported),
        ("", io::ErrorKind::InvalidInput),
        ("@", io::ErrorKind::InvalidInput),
        ("/", io::ErrorKind::InvalidInput),
        ("notify", io::ErrorKind::InvalidInput),
    ] {
        let error = Target::parse(OsStr::new(value)).unwrap_err();
        assert_eq!(error.kind(), kind, "{value:?}");
    }
}
