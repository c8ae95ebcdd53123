//! One connection: just enough of HTTP/1.1, with keep-alive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::drain::Drain;
use crate::flags::Flags;
use crate::report::Inheritance;

/// How long a kept-alive connection may stay idle once we are leaving. Its next request is answered
/// with `Connection: close`; a client that sends none in that time loses nothing.
const GRACE: Duration = Duration::from_secs(2);
/// The longest request head that we read.
const HEAD_MAX: usize = 8 * 1024;

/// What every connection answers from.
pub(crate) struct Site {
    greeting: String,
    inheritance: Inheritance,
    drain: Arc<Drain>,
}

impl Site {
    pub(crate) fn new(flags: &Flags, inheritance: Inheritance, drain: Arc<Drain>) -> Self {
        let generation = std::env::var("SERVER_STARTER_GENERATION").unwrap_or("0".to_owned());
        let text = flags.text.as_deref().unwrap_or("v1");
        let pid = std::process::id();
        let greeting = format!("hello from generation {generation} ({text}, pid {pid})\n");
        Self {
            greeting,
            inheritance,
            drain,
        }
    }
}

/// Serves a connection until one side has had enough. An error is the client's business.
pub(crate) fn serve(stream: OwnedFd, site: &Site) {
    // An answer in two parts (/hold) must not wait for the client's delayed ACK; no TCP, no matter.
    let _ = rustix::net::sockopt::set_tcp_nodelay(&stream, true);
    let mut connection = Connection {
        stream: File::from(stream),
        unread: Vec::new(),
    };
    while let Ok(Some(request)) = connection.next_request(&site.drain) {
        match connection.answer(&request, site) {
            Ok(KeepAlive::Yes) => {}
            Ok(KeepAlive::No) | Err(_) => return,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeepAlive {
    Yes,
    No,
}

/// The parts of a request that matter to us.
struct Request {
    method: String,
    target: String,
    keep_alive: KeepAlive,
}

struct Connection {
    stream: File,
    unread: Vec<u8>,
}

impl Connection {
    /// The next request; none when the client has closed, or stays idle while we are leaving.
    fn next_request(&mut self, drain: &Drain) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Ok(Some(Request::parse(&String::from_utf8_lossy(&head))));
            }
            match drain.next(self.stream.as_fd(), GRACE) {
                None => return Ok(None),
                Some(false) => continue,
                Some(true) => {}
            }
            let mut bytes = [0; 2048];
            let count = self.stream.read(&mut bytes)?;
            self.unread.extend_from_slice(&bytes[..count]);
            if count == 0 || self.unread.len() > HEAD_MAX {
                return Ok(None);
            }
        }
    }

    fn answer(&mut self, request: &Request, site: &Site) -> io::Result<KeepAlive> {
        let mut keep_alive = request.keep_alive;
        if site.drain.has_begun() || request.method != "GET" {
            keep_alive = KeepAlive::No;
        }
        if request.method != "GET" {
            self.respond("405 Method Not Allowed", keep_alive, &["only GET\n"])?;
        } else if request.target == "/" {
            self.respond("200 OK", keep_alive, &[&site.greeting])?;
        } else if request.target == "/report" {
            self.respond("200 OK", keep_alive, &[&site.inheritance.to_json()])?;
        } else if let Some(gate) = request.target.strip_prefix("/hold?gate=") {
            self.hold(gate, keep_alive, &site.greeting)?;
        } else {
            self.respond("404 Not Found", keep_alive, &["nothing here\n"])?;
        }
        Ok(keep_alive)
    }

    /// Says at once who has taken the request, and finishes when the gate opens: opening a FIFO to
    /// read waits for a writer (fifo(7)), so nothing is polled and no time is guessed.
    fn hold(&mut self, gate: &str, keep_alive: KeepAlive, greeting: &str) -> io::Result<()> {
        if !std::path::Path::new(gate).exists() {
            return self.respond("404 Not Found", keep_alive, &["no such gate\n"]);
        }
        let released = "released\n";
        self.head("200 OK", keep_alive, greeting.len() + released.len())?;
        self.stream.write_all(greeting.as_bytes())?;
        File::open(gate)?;
        self.stream.write_all(released.as_bytes())
    }

    fn respond(&mut self, status: &str, keep_alive: KeepAlive, body: &[&str]) -> io::Result<()> {
        let body = body.concat();
        self.head(status, keep_alive, body.len())?;
        self.stream.write_all(body.as_bytes())
    }

    fn head(&mut self, status: &str, keep_alive: KeepAlive, length: usize) -> io::Result<()> {
        let connection = match keep_alive {
            KeepAlive::Yes => "keep-alive",
            KeepAlive::No => "close",
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\nConnection: {connection}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes())
    }
}

impl Request {
    fn parse(head: &str) -> Self {
        let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = first.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let old = words.next().is_none_or(|version| version != "HTTP/1.1");
        let close = headers.to_ascii_lowercase().contains("connection: close");
        let keep_alive = if old || close {
            KeepAlive::No
        } else {
            KeepAlive::Yes
        };
        Self {
            method,
            target,
            keep_alive,
        }
    }
}
