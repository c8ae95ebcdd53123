//! The shell: the loop and the effects. Owns descriptors and processes; decides nothing.
//!
//! | file | noun |
//! |---|---|
//! | [`settings`] | what the user asked for |
//! | [`starter`] | the way in for a program that is made of this |
//! | [`start`] | from settings to a running loop |
//! | [`supervisor`] | the loop |
//! | `foundation` | the parts of the loop, opened |
//! | [`failure`] | why nothing runs |
//! | `deeds` | the machine's actions, carried out |
//! | `signalled` | the signals that we hear, as events |
//! | `clients` | the control socket's calls, as events and replies |
//! | [`listeners`] | what is handed over (`adopted`, `bound`, `placement`) |
//! | [`advice`] | servers that are known to fail on a socket |
//! | [`expansion`] | placeholders in arguments and environment |
//! | [`spawn`] | a worker's fork and exec, prepared |
//! | [`workers`] | the processes |
//! | [`envdir`] | variables from files |
//! | [`pid_file`], [`holder`] | our pid and its lock; whom another's stands for |
//! | [`status_file`] | the list of generations for scripts |
//! | [`own_file`] | a file that is removed only while it is ours |
//! | [`luggage`] | descriptors on the way from one supervisor to the next |
//! | [`own_program`] | what we are, on disk |
//! | [`heritage`] | what a predecessor has left us |
//! | `bequest` | what we leave to a successor |
//! | [`trial`] | a successor that is being tried |
//! | `upgrade` | the loop's part in all that |
//! | [`log_file`], [`log_command`] | where `--log-file` sends everything |
//! | [`mailbox`] | a generation's notify socket |
//! | [`surroundings`] | what workers have beside their sockets |
//! | `estate` | that, from a worker's birth to after its death |
//! | [`readiness`], [`probes`] | `--ready=fd:N`, `--ready=command:CMD` |
//! | [`fd_store`] | what workers give us to keep |
//! | [`cgroups`] | a cgroup for each generation |
//! | [`journal_stream`] | a stream to the journal for each generation |
//! | [`manager`] | systemd |
//! | [`vault`] | what systemd keeps for us over our death |
//! | [`ledger`] | the state, written down for a successor after a crash |
//! | [`remains`] | what a supervisor that crashed has left with systemd |
//! | `survival` | the loop's part in that |
//! | [`strays`] | processes of a former life of ours that nobody knows |
//! | `rest` | what is done before a long sleep |
//! | [`watchdog`] | systemd's eye on us |
//! | [`control`] | the control socket (`client`: one connection to it) |
//! | `monitors` | the clients that hear of every event |
//! | [`report`] | what can be seen, as JSON |
//! | [`resources`] | what the generations use |
//! | [`runtime`] | the directory of our sockets |
//! | [`voice`] | the log's words |
//! | [`journal`] | the log's way out |
//!
//! Only the supervisor sees both the core and the effects; the pieces do not call each other.

pub mod adopted;
pub mod advice;
mod bequest;
pub mod bound;
pub mod cgroups;
mod client;
mod clients;
pub mod control;
mod deeds;
pub mod envdir;
mod estate;
pub mod expansion;
pub mod failure;
pub mod fd_store;
mod foundation;
pub mod heritage;
pub mod holder;
pub mod journal;
pub mod journal_stream;
pub mod ledger;
pub mod listen_failure;
pub mod listeners;
pub mod log_command;
pub mod log_file;
pub mod luggage;
pub mod mailbox;
pub mod manager;
mod monitors;
pub mod own_file;
pub mod own_program;
pub mod pid_file;
pub mod placement;
pub mod probes;
pub mod readiness;
pub mod remains;
pub mod report;
pub mod resources;
mod rest;
pub mod runtime;
pub mod settings;
mod signalled;
pub mod spawn;
pub mod start;
pub mod starter;
pub mod status_file;
pub mod strays;
pub mod supervisor;
pub mod surroundings;
mod survival;
mod token;
pub mod trial;
mod upgrade;
pub mod vault;
pub mod voice;
pub mod watchdog;
pub mod workers;
