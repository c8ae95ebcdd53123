//! Clients of the test workers: which generation answers?

use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A worker's answer: who took the connection, and on which key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) generation: u64,
    pub(crate) pid: i32,
    pub(crate) key: String,
}

/// Asks over TCP; `None` when the connection is refused or cut.
pub(crate) fn ask_tcp(address: SocketAddr) -> Option<Answer> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIME).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIME)).ok()?;
    read_answer(stream)
}

/// Asks on the IPv4 loopback address.
pub(crate) fn ask_port(port: u16) -> Option<Answer> {
    ask_tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Asks over a unix stream socket.
pub(crate) fn ask_path(path: &Path) -> Option<Answer> {
    let stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIME)).ok()?;
    read_answer(stream)
}

/// Asks with one datagram.
pub(crate) fn ask_udp(address: SocketAddr) -> Option<Answer> {
    let local = if address.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    let socket = UdpSocket::bind(local).ok()?;
    socket.set_read_timeout(Some(ANSWER_TIME)).ok()?;
    socket.connect(address).ok()?;
    socket.send(b"who").ok()?;
    let mut answer = [0; 256];
    let length = socket.recv(&mut answer).ok()?;
    parse(&String::from_utf8_lossy(&answer[..length]))
}

fn read_answer(mut stream: impl Read) -> Option<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Answer> {
    let mut words = text.trim_end().splitn(3, ' ');
    Some(Answer {
        generation: words.next()?.parse().ok()?,
        pid: words.next()?.parse().ok()?,
        key: words.next()?.to_owned(),
    })
}
