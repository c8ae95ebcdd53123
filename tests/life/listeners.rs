//! What a worker does to a socket it does to all who have it.

use std::net::TcpStream;

use super::support::process::free_address;
use super::support::scratch::Scratch;
use super::{SOON, start_actor};
use nix::sys::signal::Signal;

/// Ready, and from the second generation on it ends its accept loop for everybody's.
const PART: [&str; 4] = ["say:READY=1", "1?wait", "shutdown:3", "wait"];

#[test]
fn a_listener_that_a_worker_shuts_down_listens_again() {
    let address = free_address();
    let port = address.to_string();
    let supervisor = start_actor(&["--interval", "0.1", "--port", &port], &PART);
    supervisor.wait_for_line("is ready", SOON);
    for reload in [1, 2] {
        supervisor.signal(Signal::SIGHUP);
        supervisor.wait_for_lines("is ready", 1 + reload, SOON);
        let line = format!("has shut {port} down");
        supervisor.wait_for_lines(&line, reload, SOON);
        TcpStream::connect(address).expect("it listens again");
    }
    let log = supervisor.stderr();
    assert_eq!(log.matches("listening on it again").count(), 2, "{log}");
}

#[test]
fn a_unix_listener_that_stays_shut_down_is_named() {
    let scratch = Scratch::new();
    let path = scratch.join("s.sock");
    let path = path.to_str().expect("UTF-8");
    let supervisor = start_actor(&["--interval", "0.1", "--path", path], &PART);
    supervisor.wait_for_line("is ready", SOON);
    supervisor.signal(Signal::SIGHUP);
    let line = supervisor.wait_for_line(&format!("has shut {path} down"), SOON);
    assert!(line.contains("cannot be brought back"), "{line}");
}
