//! Clients of the control socket that mean no good, or too well: they cost neither time nor memory, and
//! everybody else is served.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::app::SOON;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::scratch::Scratch;
use crate::support::{programs, wait};

const CALL: &[u8] = b"{\"method\":\"org.sdstarter.Supervisor.GetStatus\"}\0";
/// How long a supervisor is watched that has nothing to do.
const WATCHED: Duration = Duration::from_secs(1);
/// What it may spend on that, in clock ticks of 10 ms.
const IDLE_TICKS: u64 = 5;
/// How much it may grow, in KiB.
const GROWTH: u64 = 8 * 1024;

struct Besieged {
    supervisor: Supervisor,
    control: PathBuf,
    _scratch: Scratch,
}

impl Besieged {
    /// A supervisor that serves, started by a shell that has run `before`.
    fn start(before: &str) -> Self {
        let scratch = Scratch::new();
        let control = scratch.join("control");
        let script = format!("{before}\nexec \"$0\" \"$@\"");
        let mut start = command("sh");
        start.args(["-c", &script, programs::SD_STARTER]);
        start.args(["--ready", "notify", "--port", &free_address().to_string()]);
        start.arg("--control-socket").arg(&control).arg("--");
        start.arg(programs::hello()).arg("--ready");
        let supervisor = Supervisor::start(&mut start);
        supervisor.wait_for_line("is ready after", SOON);
        Self {
            supervisor,
            control,
            _scratch: scratch,
        }
    }

    fn connect(&self) -> UnixStream {
        let client = UnixStream::connect(&self.control).expect("the control socket");
        client.set_read_timeout(Some(SOON)).expect("not zero");
        client.set_write_timeout(Some(SOON)).expect("not zero");
        client
    }

    fn starterctl(&self, arguments: &[&str]) -> Child {
        let mut starterctl = Command::new(programs::STARTERCTL);
        starterctl.args(arguments).arg(&self.control);
        starterctl.stdout(Stdio::piped()).stderr(Stdio::piped());
        starterctl.spawn().expect("we have built it")
    }

    /// Whether somebody who asks is answered.
    #[track_caller]
    fn assert_answers(&self) {
        let mut client = self.connect();
        client.write_all(CALL).expect("it reads");
        let mut answer = [0; 1];
        client.read_exact(&mut answer).expect("it answers");
    }

    fn stat(&self) -> Vec<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.supervisor.pid()));
        let stat = stat.expect("it lives");
        let (_, rest) = stat.rsplit_once(") ").expect("proc(5)");
        let numbers = rest.split_whitespace().skip(1);
        numbers.map(|word| word.parse().unwrap_or(0)).collect()
    }

    /// utime and stime: fields 14 and 15 of proc(5), the list begins with the fourth.
    fn ticks(&self) -> u64 {
        self.stat()[10..12].iter().sum()
    }

    /// Resident memory of its own, in KiB: what is mapped of its files comes and goes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.supervisor.pid()));
        let status = status.expect("it lives");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let words = line.and_then(|line| line.split_whitespace().next());
        words.and_then(|kib| kib.parse().ok()).expect("a number")
    }

    #[track_caller]
    fn assert_idle(&self) {
        let (before, since) = (self.ticks(), Instant::now());
        // This is a measurement over a time, and not a wait for anything.
        while let Some(left) = WATCHED.checked_sub(since.elapsed()) {
            std::thread::sleep(left);
        }
        let spent = self.ticks() - before;
        assert!(
            spent <= IDLE_TICKS,
            "{spent} ticks in {WATCHED:?} of nothing to do"
        );
    }

    #[track_caller]
    fn assert_not_grown(&self, before: u64) {
        let grown = self.memory().saturating_sub(before);
        assert!(grown < GROWTH, "{grown} KiB more");
    }

    #[track_caller]
    fn assert_ends_well(mut self) {
        self.supervisor.signal(Signal::SIGTERM);
        assert_eq!(self.supervisor.wait_for_code(SOON), 0);
    }
}

/// Sends calls and reads nothing until the answers are more than the sockets hold.
fn fill(client: &mut UnixStream) -> usize {
    let unread = |client: &UnixStream| rustix::io::ioctl_fionread(client).unwrap_or(0);
    let mut sent = 0;
    loop {
        let before = unread(client);
        client.write_all(CALL).expect("it reads");
        sent += 1;
        let asked = Instant::now();
        while unread(client) == before {
            if asked.elapsed() > Duration::from_millis(300) {
                return sent;
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_client_that_never_reads_has_to_wait_and_costs_nothing() {
    let besieged = Besieged::start("");
    besieged.assert_answers();
    let before = besieged.memory();
    let mut client = besieged.connect();
    client
        .set_nonblocking(true)
        .expect("a socket can be made so");
    let mut calls = CALL.iter().copied().cycle().take(CALL.len() * 200);
    let burst: Vec<u8> = calls.by_ref().collect();
    let mut at = 0;
    // Its next call is not read while the last answer is not: at some point nothing more fits.
    let mut stuck_since = None;
    wait::until("the end of what is read ahead", SOON, || {
        match client.write(&burst[at..]) {
            Ok(count) => {
                at = (at + count) % burst.len();
                stuck_since = None;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        let since = *stuck_since.get_or_insert_with(Instant::now);
        since.elapsed() > Duration::from_millis(500)
    });
    besieged.assert_answers();
    besieged.assert_not_grown(before);
    besieged.assert_idle();
    besieged.assert_ends_well();
}

#[test]
fn a_client_that_reads_late_gets_everything_and_then_costs_nothing() {
    let besieged = Besieged::start("");
    let mut client = besieged.connect();
    let sent = fill(&mut client);
    // Waiting for room to write must not be busy either.
    besieged.assert_idle();
    let (mut answers, mut buffer) = (0, [0; 64 * 1024]);
    while answers < sent {
        let count = client.read(&mut buffer).expect("the rest of the answers");
        assert!(count > 0, "closed after {answers} of {sent} answers");
        answers += buffer[..count].iter().filter(|byte| **byte == 0).count();
    }
    assert_eq!(answers, sent);
    besieged.assert_idle();
    client.write_all(CALL).expect("it is still there");
    assert!(client.read(&mut buffer).expect("an answer") > 0);
    besieged.assert_ends_well();
}

#[test]
fn more_clients_than_descriptors_make_nobody_spin() {
    let besieged = Besieged::start("ulimit -n 20");
    let clients: Vec<_> = (0..15).map(|_| besieged.connect()).collect();
    // The last of them has been looked at when an answer comes, or the end.
    let mut last = clients.last().expect("15");
    let _ = last.write_all(CALL);
    let _ = last.read(&mut [0; 1]);
    besieged.assert_idle();
    drop(clients);
    wait::until("room for one who asks", SOON, || {
        let asked = besieged.starterctl(&["status"]).wait();
        asked.expect("our child").success()
    });
    let reload = besieged.starterctl(&["reload"]).wait_with_output();
    let reload = reload.expect("our child");
    assert!(reload.status.success(), "{reload:?}");
    besieged.assert_ends_well();
}

#[test]
fn garbage_costs_no_memory() {
    let besieged = Besieged::start("");
    besieged.assert_answers();
    let before = besieged.memory();
    let endless = vec![b'x'; 1024 * 1024];
    let binary: Vec<u8> = (0..=255).cycle().take(256 * 1024).collect();
    let nested = [b"{\"method\":".to_vec(), vec![b'['; 60 * 1024], vec![0]].concat();
    let empty = vec![0; 256 * 1024];
    let mut kept = Vec::new();
    for _ in 0..25 {
        for garbage in [&endless, &binary, &nested, &empty] {
            let mut client = besieged.connect();
            // It hangs up on most of it.
            let _ = client.write_all(garbage);
            kept.push(client);
        }
    }
    besieged.assert_answers();
    besieged.assert_not_grown(before);
    for client in &mut kept {
        let mut answer = Vec::new();
        match client.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
    besieged.assert_idle();
    besieged.assert_ends_well();
}

#[test]
fn a_hundred_reloads_at_once_are_all_done() {
    let besieged = Besieged::start("");
    let asked: Vec<_> = (0..100)
        .map(|_| besieged.starterctl(&["reload", "--timeout", "60"]))
        .collect();
    for child in asked {
        let output = child.wait_with_output().expect("our child");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.trim_end().ends_with(" serves"), "{said}");
    }
    let status = besieged.starterctl(&["status"]).wait_with_output();
    let status = String::from_utf8(status.expect("our child").stdout).expect("UTF-8");
    let state = status.lines().next();
    assert!(
        state.is_some_and(|line| line.contains(": serving generation ") && !line.contains("swap")),
        "{status}"
    );
    besieged.assert_ends_well();
}
