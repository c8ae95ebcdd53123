//! `taker`: a worker that takes its sockets as it is told, and writes down what it got.
//!
//! ```text
//! taker FILE [KIND WHICH]...
//! ```
//!
//! KIND is `tcp`, `udp`, `unix`, `datagram` or `raw`; WHICH is a key or a name, or `only`. Every line of FILE is the
//! answer to one of these, in order. Then it says READY=1 and stays until it is killed.

use std::fmt::Display;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::io::{FdFlags, fcntl_getfd};
use sd_starter::worker::{self, Error, Sockets, Which};

fn main() -> ExitCode {
    match take() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("taker: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("no file")?;
    let mut sockets = worker::sockets()?;
    let environment: Vec<_> = std::env::vars_os().collect();
    let mut lines = match worker::generation() {
        Some(generation) => vec![format!("generation {generation}")],
        None => vec!["no generation".to_owned()],
    };
    // What was taken stays open.
    let mut held: Vec<Box<dyn AsFd>> = Vec::new();
    while let (Some(kind), Some(which)) = (arguments.next(), arguments.next()) {
        let answer = answer(&mut sockets, &kind, &which, &mut held);
        lines.push(format!("{kind} {which}: {answer}"));
    }
    lines.push(format!("left: {}", sockets.len()));
    let again = worker::sockets().expect_err("it answers once");
    lines.push(format!("asked twice: {again}"));
    lines.push(format!(
        "environment untouched: {}",
        environment
            .iter()
            .eq(&std::env::vars_os().collect::<Vec<_>>())
    ));
    let told = worker::status("taken")? && worker::ready()?;
    lines.push(format!("somebody listens: {told}"));
    let new = format!("{file}.new");
    std::fs::write(&new, lines.join("\n") + "\n")?;
    std::fs::rename(&new, &file)?;
    loop {
        std::thread::park();
    }
}

fn answer(sockets: &mut Sockets, kind: &str, which: &str, held: &mut Vec<Box<dyn AsFd>>) -> String {
    let which = match which {
        "only" => Which::Only,
        which => Which::Called(which),
    };
    match kind {
        "tcp" => keep(
            sockets.tcp_listener(which),
            |s| format!("{:?}", s.local_addr()),
            held,
        ),
        "udp" => keep(
            sockets.udp_socket(which),
            |s| format!("{:?}", s.local_addr()),
            held,
        ),
        "unix" => keep(
            sockets.unix_listener(which),
            |s| format!("{:?}", s.local_addr()),
            held,
        ),
        "datagram" => keep(
            sockets.unix_datagram(which),
            |s| format!("{:?}", s.local_addr()),
            held,
        ),
        _ => keep(sockets.raw(which), |_| "there".to_owned(), held),
    }
}

fn keep<S: AsFd + 'static>(
    taken: Result<S, Error>,
    say: impl Fn(&S) -> String,
    held: &mut Vec<Box<dyn AsFd>>,
) -> String {
    let told = |reason: &dyn Display| format!("error: {reason}");
    match taken {
        Err(reason) => told(&reason),
        Ok(socket) => match fcntl_getfd(&socket) {
            Ok(flags) if flags.contains(FdFlags::CLOEXEC) => {
                let line = say(&socket);
                held.push(Box::new(socket));
                line
            }
            _ => "error: not close-on-exec".to_owned(),
        },
    }
}
