//! The main job, whole: stories that an administrator would tell, on a real systemd with the shipped
//! units, and the tests of what these stories stand on.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]
#![expect(
    clippy::print_stdout,
    reason = "tables and times are for the reader of a test's output"
)]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    reason = "the packages' tests boot it from roots without anything of ours"
)]
mod support;

mod activation;
mod adoption;
mod app;
mod bad_deploys;
mod bad_input;
mod clients;
mod console;
mod crash;
mod demo;
mod draining;
mod front_door;
mod handing_over;
mod hangup;
mod hostile_clients;
mod hundred_reloads;
mod inheritance;
mod instance;
mod interruptions;
mod monitor;
mod notify_reload;
mod operator;
mod patience;
mod picture;
mod starlet;
mod starterctl;
mod stopping;
mod stuck_journal;
mod survival_crash;
mod survival_limits;
mod survival_mixed;
mod survival_soak;
mod survival_steps;
mod survival_store;
mod terminal;
mod the_rig;
mod the_worker;
mod tracer;
mod trial;
mod two_requests;
mod type_notify_reload;
mod units;
mod upgrade;
mod upgrade_story;
mod varlink;
mod verdicts;
mod worker_crate;
