//! `actor`: a worker that plays the part which a test writes for it, on the command line.
//!
//! ```text
//! say:TEXT          sends TEXT to $NOTIFY_SOCKET ("\n" is a line feed)
//! say-with:N:TEXT   the same with N descriptors
//! say-bytes:N       sends N bytes; say-binary: sends what is no text
//! flood:N           sends N messages that mean nothing
//! store:NAME:VALUE  has VALUE kept in the fd store under NAME
//! tell-store        writes what it was given from the fd store to stderr
//! tell:NAME         writes an environment variable to stderr
//! pet:MILLIS        gives a sign of life that often, for ever
//! shutdown:FD       shutdown(2) of a socket that it was given
//! wait              waits for ever
//! exit:STATUS
//! ```
//!
//! `2?STEP` is a step for generation 2 alone.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, Shutdown, UnixAddr, sendmsg, shutdown};
use rustix::fs::{MemfdFlags, memfd_create};

fn main() {
    let generation = variable("SERVER_STARTER_GENERATION");
    for step in std::env::args().skip(1) {
        let step = match step.split_once('?') {
            Some((number, step)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                if number != generation {
                    continue;
                }
                step.to_owned()
            }
            _ => step,
        };
        let (verb, rest) = step.split_once(':').unwrap_or((&step, ""));
        play(verb, rest, &generation);
    }
}

fn play(verb: &str, rest: &str, generation: &str) {
    let two = || rest.split_once(':').expect("two values");
    match verb {
        "say" => send(rest.replace("\\n", "\n").as_bytes(), &[]),
        "say-with" => {
            let (count, text) = two();
            let fds: Vec<_> = (0..number(count)).map(|_| memfd(text, "")).collect();
            send(text.replace("\\n", "\n").as_bytes(), &fds);
        }
        "say-bytes" => send(&vec![b'a'; number(rest)], &[]),
        "say-binary" => send(b"STATUS=\xff\xfe\x00\x01", &[]),
        "flood" => (0..number(rest)).for_each(|_| send(b"X_NOISE=1\nSTOPPING=1\nnonsense", &[])),
        "store" => {
            let (name, value) = two();
            let message = format!("FDSTORE=1\nFDNAME={name}");
            send(message.as_bytes(), &[memfd(name, value)]);
        }
        "tell-store" => say_aloud(&format!("generation {generation} has {}", stored())),
        "tell" => say_aloud(&format!("{rest}={}", variable(rest))),
        "pet" => loop {
            send(b"WATCHDOG=1", &[]);
            std::thread::sleep(Duration::from_millis(number(rest)));
        },
        "shutdown" => {
            let done = shutdown(number(rest), Shutdown::Both);
            if let Err(error) = done {
                say_aloud(&format!("actor: cannot shut down: {error}"));
            }
        }
        "wait" => loop {
            std::thread::park();
        },
        "exit" => exit(number(rest)),
        _ => say_aloud(&format!("actor: no such step: {verb}")),
    }
}

/// What stands in LISTEN_FDS under names that are no key of a listener.
fn stored() -> String {
    let names = variable("LISTEN_FDNAMES");
    let named = (3..).zip(names.split(':').filter(|name| !name.is_empty()));
    let values = named.map(|(fd, name): (RawFd, _)| {
        let mut value = String::new();
        // A new opening, which begins at the first byte; a socket cannot be opened so.
        let read = File::open(format!("/proc/self/fd/{fd}"))
            .and_then(|mut file| file.read_to_string(&mut value));
        format!("{name}={}", if read.is_ok() { &value } else { "a socket" })
    });
    values.collect::<Vec<_>>().join(" ")
}

fn memfd(name: &str, value: &str) -> OwnedFd {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC).expect("a memfd"));
    file.write_all(value.as_bytes()).expect("room in a memfd");
    file.into()
}

fn send(text: &[u8], fds: &[OwnedFd]) {
    let socket = UnixDatagram::unbound().expect("a socket");
    let address = UnixAddr::new(variable("NOTIFY_SOCKET").as_str()).expect("a path");
    let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights };
    let payload = [std::io::IoSlice::new(text)];
    let flags = MsgFlags::empty();
    let sent = sendmsg(socket.as_raw_fd(), &payload, control, flags, Some(&address));
    if let Err(error) = sent {
        say_aloud(&format!("actor: cannot send: {error}"));
    }
}

fn say_aloud(text: &str) {
    // One write, so that lines of two actors do not mix.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| unreachable!("not a number: {text}"))
}

#[expect(clippy::exit, reason = "a worker that fails")]
fn exit(status: i32) -> ! {
    std::process::exit(status)
}
