use super::super::{Error, Kind};
use super::*;
use crate::os::scratch;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::sync::MutexGuard;

/// Sockets as exec would have left them, at whatever numbers are free.
struct Given {
    _alone: MutexGuard<'static, ()>,
    pid: String,
}

impl Given {
    fn new() -> Self {
        Given {
            _alone: scratch::inheritance(),
            pid: std::process::id().to_string(),
        }
    }

    fn take(&self, ports: &str) -> Result<Sockets, Error> {
        let pid = self.pid.parse().unwrap();
        Sockets::take(Some(ports), &ListenEnv::default(), pid)
    }
}

fn inherit(fd: impl Into<OwnedFd>) -> RawFd {
    let fd: OwnedFd = fd.into();
    // A duplicate by dup(2) has no close-on-exec, like everything that comes through exec.
    nix::unistd::dup(fd).unwrap().into_raw_fd()
}

fn tcp(address: &str) -> RawFd {
    inherit(TcpListener::bind(address).unwrap())
}

#[test]
fn a_socket_is_taken_by_its_key_once_and_is_close_on_exec() {
    let given = Given::new();
    let fd = tcp("[::1]:0");
    let mut sockets = given.take(&format!("[::1]:80={fd}")).unwrap();
    let listener = sockets.tcp_listener("[::1]:80").unwrap();
    assert_eq!(listener.as_raw_fd(), fd);
    let flags = nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    let again = sockets.tcp_listener("[::1]:80").unwrap_err();
    assert_eq!(
        again.to_string(),
        "the socket for \"[::1]:80\" was taken before"
    );
    assert!(matches!(
        given.take(&format!("80={fd}")),
        Err(Error::Descriptor { .. })
    ));
}

#[test]
fn of_two_with_one_key_the_kind_decides_and_then_the_order() {
    let given = Given::new();
    let udp = inherit(UdpSocket::bind("127.0.0.1:0").unwrap());
    let (one, two) = (tcp("127.0.0.1:0"), tcp("127.0.0.1:0"));
    let mut sockets = given
        .take(&format!("443={udp};443={one};443={two}"))
        .unwrap();
    assert_eq!(sockets.tcp_listener("443").unwrap().as_raw_fd(), one);
    assert_eq!(sockets.tcp_listener("443").unwrap().as_raw_fd(), two);
    let wrong = sockets.tcp_listener("443").unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "the socket for \"443\" is a UDP socket, not a TCP listener"
    );
    assert_eq!(sockets.udp_socket(Which::Only).unwrap().as_raw_fd(), udp);
}

#[test]
fn every_kind_has_a_type() {
    let given = Given::new();
    let dir = scratch::Scratch::new();
    let stream = inherit(UnixListener::bind(dir.path("s")).unwrap());
    let datagram = inherit(UnixDatagram::bind(dir.path("d")).unwrap());
    let connection = inherit(UnixDatagram::pair().unwrap().0);
    let value = format!("/s={stream};/d={datagram};/c={connection}");
    let mut sockets = given.take(&value).unwrap();
    let kinds: Vec<_> = sockets.iter().map(Socket::kind).collect();
    assert_eq!(
        kinds,
        [Kind::UnixStream, Kind::UnixDatagram, Kind::UnixDatagram]
    );
    assert!(matches!(
        sockets.unix_listener("/d"),
        Err(Error::OtherKind { .. })
    ));
    assert!(sockets.unix_listener("/s").is_ok());
    assert!(sockets.unix_datagram("/d").is_ok());
    assert!(sockets.raw("/c").is_ok());
    assert!(sockets.is_empty());
}

#[test]
fn what_systemd_passes_has_the_key_of_start_server() {
    let _given = Given::new();
    let dir = scratch::Scratch::new();
    let path = dir.path("a.sock");
    for (fd, key) in [
        (tcp("0.0.0.0:0"), None),
        (tcp("[::1]:0"), Some("[::1]:".to_owned())),
        (
            inherit(UnixListener::bind(&path).unwrap()),
            path.to_str().map(str::to_owned),
        ),
    ] {
        let socket = Socket::adopt(fd, None, None).unwrap();
        let found = socket.key().unwrap();
        match key {
            Some(key) => assert!(found.starts_with(&key), "{found}"),
            None => assert!(found.parse::<u16>().is_ok(), "{found}"),
        }
    }
}

#[test]
fn nothing_is_no_error_until_something_is_asked_for() {
    let own = 7;
    let other = ListenEnv {
        pid: Some("8"),
        fds: Some("1"),
        ..ListenEnv::default()
    };
    let mut sockets = Sockets::take(Some(""), &other, own).unwrap();
    assert!(sockets.is_empty());
    assert_eq!(
        sockets.tcp_listener("80").unwrap_err().to_string(),
        "sockets were passed to process 8 (LISTEN_PID), which is not this one"
    );
    let mut sockets = Sockets::take(None, &ListenEnv::default(), own).unwrap();
    let error = sockets.tcp_listener(Which::Only).unwrap_err();
    assert!(
        error.to_string().starts_with("no sockets were passed"),
        "{error}"
    );
}

#[test]
fn an_error_says_what_there_is() {
    let given = Given::new();
    let (one, two) = (tcp("127.0.0.1:0"), tcp("127.0.0.1:0"));
    let mut sockets = given.take(&format!("80={one};81={two}")).unwrap();
    assert_eq!(
        sockets
            .tcp_listener(Which::Name("http"))
            .unwrap_err()
            .to_string(),
        "no socket for the name \"http\" among 80: a TCP listener, 81: a TCP listener"
    );
    assert_eq!(
        sockets.tcp_listener(Which::Only).unwrap_err().to_string(),
        "more than one socket to choose from: 80: a TCP listener, 81: a TCP listener"
    );
}

#[test]
fn a_number_that_is_no_socket_or_was_never_inherited_is_refused() {
    let given = Given::new();
    let file = std::fs::File::open("/dev/null").unwrap();
    let ours = given.take(&format!("80={}", file.as_raw_fd())).unwrap_err();
    assert!(ours.to_string().contains("not inherited"), "{ours}");
    let leaked = inherit(file);
    let leaked = given.take(&format!("80={leaked}")).unwrap_err();
    assert!(leaked.to_string().contains("is no socket"), "{leaked}");
    let closed = given.take("80=1000000").unwrap_err();
    assert!(
        closed.to_string().contains("descriptor 1000000"),
        "{closed}"
    );
}
