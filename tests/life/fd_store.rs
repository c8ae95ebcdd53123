//! What one generation gives us to keep, a later one has.

use super::support::process::free_address;
use super::{SOON, start_actor};
use nix::sys::signal::Signal;

const STORE: &[&str] = &[
    "--fd-store-max",
    "4",
    "--ready",
    "notify",
    "--interval",
    "0.1",
];

#[test]
fn a_value_of_generation_1_is_read_by_generation_3() {
    let address = free_address().to_string();
    let options = [STORE, &["--port", &address]].concat();
    let part = [
        "tell-store",
        "tell:FDSTORE",
        "1?store:state:forty-two",
        "say:READY=1",
        "wait",
    ];
    let supervisor = start_actor(&options, &part);
    supervisor.wait_for_line("FDSTORE=4", SOON);
    for generation in [1, 2] {
        supervisor.wait_for_lines("is ready", generation, SOON);
        supervisor.signal(Signal::SIGHUP);
    }
    // LISTEN_FDNAMES cannot hold the colon of an address.
    let line = supervisor.wait_for_line("generation 3 has", SOON);
    assert_eq!(line, "generation 3 has unknown=a socket state=forty-two");
}

#[test]
fn what_was_removed_is_gone_and_what_the_dead_stored_is_not() {
    let part = [
        "tell-store",
        "1?store:a:1",
        "1?store:b:2",
        "1?say:FDSTOREREMOVE=1\\nFDNAME=a",
        "1?say:READY=1",
        "1?store:c:3",
        "1?exit:0",
        "say:READY=1",
        "wait",
    ];
    let supervisor = start_actor(STORE, &part);
    supervisor.wait_for_line("generation 2 has b=2 c=3", SOON);
}

#[test]
fn there_is_room_for_as_many_as_was_said_and_no_more() {
    let part = [
        "tell-store",
        "1?say-with:9:FDSTORE=1\\nFDNAME=n",
        "say:READY=1",
        "wait",
    ];
    let supervisor = start_actor(STORE, &part);
    supervisor.wait_for_line(
        "cannot keep 5 descriptors for generation 1: --fd-store-max is 4",
        SOON,
    );
    supervisor.wait_for_line("is ready", SOON);
    supervisor.signal(Signal::SIGHUP);
    supervisor.wait_for_line("generation 2 has n= n= n= n=", SOON);
}

#[test]
fn without_the_option_nothing_is_kept() {
    let part = [
        "1?store:a:1",
        "tell:LISTEN_FDS",
        "tell-store",
        "say:READY=1",
        "wait",
    ];
    let supervisor = start_actor(&["--ready", "notify"], &part);
    supervisor.wait_for_line("--fd-store-max is 0", SOON);
    supervisor.wait_for_line("is ready", SOON);
    supervisor.signal(Signal::SIGHUP);
    assert_eq!(
        supervisor.wait_for_line("generation 2 has", SOON),
        "generation 2 has "
    );
}
