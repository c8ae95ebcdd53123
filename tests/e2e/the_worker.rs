//! The worker under Perl's start_server: everything that the stories ask of it, without our program.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::failure::Class;
use crate::support::gate::Gate;
use crate::support::held::Held;
use crate::support::http::Target;
use crate::support::load::{Load, Plan};
use crate::support::manager::FakeManager;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::scratch::Scratch;
use crate::support::{programs, wait};

const SOON: Duration = Duration::from_secs(30);

/// start_server waits `--interval` seconds, whole ones, before it believes in a worker: 0 would do,
/// were it not for its race there, so these tests take their second.
fn start_server(address: &str, worker: &[&str]) -> Option<Supervisor> {
    let installed = Command::new("start_server")
        .arg("--version")
        .output()
        .is_ok();
    if !installed {
        eprintln!(
            "skipped: start_server is missing (Debian: apt-get install libserver-starter-perl)"
        );
        return None;
    }
    let mut start = command("start_server");
    start
        .args(["--port", address, "--interval", "1", "--"])
        .arg(programs::hello())
        .args(worker);
    Some(Supervisor::start(&mut start))
}

fn wait_until_served(target: &Target) {
    wait::until("the first answer", SOON, || target.get("/").is_ok());
}

#[test]
fn no_client_notices_three_swaps_and_held_requests_end_where_they_began() {
    let address = free_address();
    let Some(supervisor) = start_server(&address.to_string(), &[]) else {
        return;
    };
    let target = Target::inet(address);
    wait_until_served(&target);

    let scratch = Scratch::new();
    let load = Load::start(&target, Plan::default());
    for swap in 1..=3 {
        let path = scratch.join(format!("gate.{swap}"));
        let mut gate = Gate::closed(path.clone(), &path);
        let held = load.hold(&gate);
        supervisor.signal(Signal::SIGHUP);
        load.wait_for_generation(swap + 1, SOON);
        let told = usize::try_from(swap).expect("small");
        supervisor.wait_for_lines("sending TERM to old workers", told, SOON);
        assert!(
            held.generation <= swap,
            "taken before generation {} was there",
            swap + 1
        );
        gate.open();
        load.finish(held);
    }
    let report = load.stop();
    println!("{report}");
    report.assert_no_failures();
    assert_eq!(report.generations.len(), 4);
}

#[test]
fn a_worker_killed_under_load_is_noticed() {
    let address = free_address();
    let Some(supervisor) = start_server(&address.to_string(), &["--ignore-term"]) else {
        return;
    };
    let target = Target::inet(address);
    wait_until_served(&target);

    let load = Load::start(&target, Plan::default());
    load.wait_for_answers(100, SOON);
    let scratch = Scratch::new();
    let path = scratch.join("gate");
    let gate = Gate::closed(path.clone(), &path);
    let held: Vec<_> = (0..8).map(|_| load.hold(&gate)).collect();
    let workers = supervisor
        .members()
        .into_iter()
        .filter(|pid| *pid != supervisor.pid());
    for worker in workers {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL)
            .expect("a worker");
    }
    for request in held {
        load.finish(request);
    }
    load.wait_for_generation(2, SOON);
    let report = load.stop();
    println!("{report}");
    let cut: u64 = Class::ALL.iter().map(|class| report.failed(*class)).sum();
    assert!(cut >= 8, "8 connections were cut, and the client saw {cut}");
}

#[test]
fn a_stop_finishes_what_was_begun() {
    let address = free_address();
    let Some(mut supervisor) = start_server(&address.to_string(), &["--nonblocking"]) else {
        return;
    };
    let target = Target::inet(address);
    wait_until_served(&target);

    let scratch = Scratch::new();
    let path = scratch.join("gate");
    let mut gate = Gate::closed(path.clone(), &path);
    let held = Held::take(&target, &gate).expect("a request to be held");
    supervisor.signal(Signal::SIGTERM);
    supervisor.wait_for_line("received TERM", SOON);
    assert_eq!(supervisor.members().len(), 2, "it waits for its worker");
    gate.open();
    assert_eq!(held.finish().expect("the rest of the answer"), 1);
    assert_eq!(supervisor.wait_for_code(SOON), 0);
    assert!(
        supervisor.members().is_empty(),
        "left: {:?}",
        supervisor.members()
    );
}

#[test]
fn ready_and_status_arrive_on_a_path_and_on_an_abstract_address() {
    let scratch = Scratch::new();
    for manager in [
        FakeManager::at_path(&scratch.join("n")),
        FakeManager::at_abstract_name(),
    ] {
        let address = free_address();
        let mut start = command("start_server");
        start
            .args(["--port", &address.to_string(), "--"])
            .arg(programs::hello());
        start
            .args(["--ready", "--status", "warm"])
            .env("NOTIFY_SOCKET", manager.address());
        let supervisor = Supervisor::start(&mut start);
        let ready = manager.wait_for("READY", SOON, |m| m.value("READY") == Some("1"));
        assert_eq!(manager.order(&[]), ["STATUS", "READY"]);
        assert!(supervisor.members().contains(&ready.pid));
    }
}

#[test]
fn a_stuck_manager_hears_the_rest_when_it_is_unstuck() {
    let manager = FakeManager::at_abstract_name();
    let name = manager.address().strip_prefix('@').expect("abstract");
    let address = SocketAddr::from_abstract_name(name).expect("a name");
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("a socket");
    manager.get_stuck();
    let sent = (0..).take_while(|n| {
        sender
            .send_to_addr(format!("N={n}").as_bytes(), &address)
            .is_ok()
    });
    let sent = sent.count();
    assert!(
        sent >= 10,
        "the queue holds max_dgram_qlen datagrams, and took {sent}"
    );
    assert!(manager.heard().is_empty(), "it does not read");
    manager.get_unstuck();
    let last = format!("N={}", sent - 1);
    manager.wait_for("the last", SOON, |message| message.text == last);
    assert_eq!(manager.heard().len(), sent);
}
