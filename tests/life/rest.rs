//! Memory: what only a start or a swap needs is given back when it is over.

use nix::sys::signal::Signal;

use super::support::process::Supervisor;
use super::support::scratch::Scratch;
use super::support::{programs, wait};
use super::{SOON, start_script};

/// So much at least, of more than twice as much: kibibytes.
const WORTH_IT: u64 = 512;

/// Kibibytes of the supervisor's code and constants that are in memory.
fn resident(supervisor: &Supervisor) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{}/smaps", supervisor.pid()));
    let maps = maps.expect("it runs");
    let program = std::fs::canonicalize(programs::SD_STARTER).expect("it is built");
    let program = program.to_str().expect("UTF-8");
    let mut lines = maps.lines();
    let mut sum = 0;
    while let Some(line) = lines.next() {
        let mut words = line.split_whitespace();
        let is_constant = words.nth(1).is_some_and(|rights| rights.starts_with("r-"));
        if is_constant && line.ends_with(program) {
            let size = lines.find_map(|line| line.strip_prefix("Rss:"));
            let size = size.and_then(|size| size.split_whitespace().next());
            sum += size
                .and_then(|size| size.parse::<u64>().ok())
                .expect("a number");
        }
    }
    sum
}

#[test]
fn code_that_only_starts_and_swaps_need_is_given_back() {
    let scratch = Scratch::new();
    let gate = scratch.join("gate");
    let command = format!("command:test -e {}", gate.display());
    let options = ["--ready", &command, "--interval", "0.1"];
    let supervisor = start_script(&options, "exec sleep 1000");
    for generation in 1..=3 {
        supervisor.wait_for_line(&format!("starting generation {generation} "), SOON);
        let busy = resident(&supervisor);
        std::fs::write(&gate, "").expect("writable");
        wait::until("less code in memory", SOON, || {
            resident(&supervisor) + WORTH_IT < busy
        });
        supervisor.wait_for_lines("is ready after", generation, SOON);
        std::fs::remove_file(&gate).expect("written above");
        supervisor.signal(Signal::SIGHUP);
    }
}
