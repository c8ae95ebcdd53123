//! An HTTP client that tells how exactly a request failed.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::failure::Failure;
use super::network::Network;

/// Each connect, read and write may take so long before it counts as a timeout.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Target {
    address: Address,
    pub(crate) network: Network,
}

#[derive(Clone)]
enum Address {
    Inet(SocketAddr),
    Unix(PathBuf),
}

/// What came back for a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The server closes the connection after this answer.
    pub(crate) close: bool,
}

impl Answer {
    /// The generation in `hello from generation N (WORD, pid P)`.
    pub(crate) fn generation(&self) -> Result<u64, Failure> {
        self.greeting().map(|(generation, _)| generation)
    }

    /// The WORD in it, which names the deployed version.
    pub(crate) fn version(&self) -> Result<String, Failure> {
        self.greeting().map(|(_, word)| word.to_owned())
    }

    fn greeting(&self) -> Result<(u64, &str), Failure> {
        let wrong = || Failure::wrong(format!("answered {} {:?}", self.status, self.body));
        if self.status != 200 {
            return Err(wrong());
        }
        let rest = self
            .body
            .strip_prefix("hello from generation ")
            .ok_or_else(wrong)?;
        let (number, rest) = rest.split_once(" (").ok_or_else(wrong)?;
        let (word, _) = rest.split_once(", pid ").ok_or_else(wrong)?;
        Ok((number.parse().map_err(|_| wrong())?, word))
    }
}

impl Target {
    pub(crate) fn inet(address: SocketAddr) -> Self {
        Self {
            address: Address::Inet(address),
            network: Network::default(),
        }
    }

    /// A unix socket at a path that this process can reach.
    pub(crate) fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            address: Address::Unix(path.into()),
            network: Network::default(),
        }
    }

    /// The same address, as seen in another network.
    pub(crate) fn within(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// Sends one request on a connection of its own, from whatever thread.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let mut connection = self.network.within(|| self.connect())?;
        connection.send(path, false)?;
        connection.answer()
    }

    /// Connects; the calling thread must be in the right network.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let (family, address) = match &self.address {
            Address::Inet(SocketAddr::V4(_)) => (AddressFamily::INET, None),
            Address::Inet(SocketAddr::V6(_)) => (AddressFamily::INET6, None),
            Address::Unix(path) => (AddressFamily::UNIX, Some(unix(path)?)),
        };
        let open = || -> rustix::io::Result<OwnedFd> {
            let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            // The send timeout bounds connect as well (socket(7)).
            set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
            match (&self.address, &address) {
                (Address::Inet(address), _) => connect(&socket, address)?,
                (Address::Unix(_), Some(address)) => connect(&socket, address)?,
                (Address::Unix(_), None) => unreachable!("made above"),
            }
            Ok(socket)
        };
        match open() {
            Ok(socket) => Ok(Connection {
                stream: File::from(socket),
                unread: Vec::new(),
            }),
            Err(error) => Err(Failure::io("connect", &error.into())),
        }
    }
}

fn unix(path: &Path) -> Result<SocketAddrUnix, Failure> {
    SocketAddrUnix::new(path).map_err(|error| Failure::io("unix path", &error.into()))
}

/// An open connection, with what was read of it but not yet used.
pub(crate) struct Connection {
    stream: File,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn send(&mut self, path: &str, keep_alive: bool) -> Result<(), Failure> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n");
        self.stream
            .write_all(request.as_bytes())
            .map_err(|error| Failure::io("send", &error))
    }

    /// Reads one whole answer.
    pub(crate) fn answer(&mut self) -> Result<Answer, Failure> {
        let (mut answer, length) = self.head()?;
        let body = match length {
            Some(length) => self.take(length)?,
            None if answer.close => self.rest()?,
            None => return Err(Failure::wrong("an answer of unknown length")),
        };
        answer.body = body;
        Ok(answer)
    }

    /// Reads the head of an answer, and returns its Content-Length.
    pub(crate) fn head(&mut self) -> Result<(Answer, Option<usize>), Failure> {
        let end = loop {
            if let Some(at) = self
                .unread
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                break at + 4;
            }
            self.read("head")?;
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| Failure::wrong(format!("no HTTP status in {head:?}")))?;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length = header("content-length:").and_then(|value| value.trim().parse().ok());
        let connection = header("connection:").map(str::trim);
        let old = head.starts_with("http/1.0");
        let close = connection.map_or(old, |value| value == "close");
        Ok((
            Answer {
                status,
                body: String::new(),
                close,
            },
            length,
        ))
    }

    /// Reads up to the end of a line.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        let end = loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                break at + 1;
            }
            self.read("line")?;
        };
        self.take(end)
    }

    /// Reads exactly `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<String, Failure> {
        while self.unread.len() < length {
            self.read("body")?;
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        String::from_utf8(body).map_err(|_| Failure::wrong("not UTF-8"))
    }

    fn rest(&mut self) -> Result<String, Failure> {
        let read = self.stream.read_to_end(&mut self.unread);
        read.map_err(|error| Failure::io("body", &error))?;
        self.take(self.unread.len())
    }

    fn read(&mut self, stage: &str) -> Result<(), Failure> {
        let mut bytes = [0; 4096];
        loop {
            return match self.stream.read(&mut bytes) {
                Ok(0) => Err(Failure::eof(stage)),
                Ok(count) => {
                    self.unread.extend_from_slice(&bytes[..count]);
                    Ok(())
                }
                // With a timeout on the socket, when we were stopped and went on (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(Failure::io(stage, &error)),
            };
        }
    }
}
