//! Texts that cross a process boundary: pure, bounded, total.
//!
//! | file | text | between us and | source |
//! |---|---|---|---|
//! | [`port`] | `[HOST:]PORT[=FD]` | the user | `start_server` 0.35 |
//! | [`duration`] | `5`, `0.5`, `1m 30s`, `infinity` | the user | ours; systemd.time(7) for the units |
//! | [`signal_name`] | `TERM`, `SIGTERM`, `15` | the user | signal(7), `kill -l` |
//! | [`envdir`] | a directory of variables | the user | `envdir` of daemontools, as `start_server` reads it |
//! | [`tuning`] | `KILL_OLD_DELAY` and its companions | the user | `start_server` 0.35 |
//! | [`address`] | the key of a socket in `SERVER_STARTER_PORT` | workers | `start_server` 0.35, getsockname(2) |
//! | [`generation`] | `SERVER_STARTER_GENERATION` | workers | `start_server` 0.35 |
//! | [`placeholder`] | `{fd:http}` in arguments and environment | the user | ours |
//! | [`einhorn`] | `EINHORN_FD_0` and its companions | workers | einhorn's README |
//! | [`worker_env`] | the environment of a worker, written | workers | `start_server` 0.35, systemd.exec(5) |
//! | [`worker_sockets`] | `SERVER_STARTER_PORT` and `LISTEN_FDS`, read by a worker | supervisors | `Server::Starter::server_ports`, sd_listen_fds(3) |
//! | [`cgroup_path`] | `/proc/PID/cgroup` and its kin | the kernel | cgroups(7) |
//! | [`signal_sets`] | the masks in `/proc/PID/status` | the kernel | proc(5) |
//! | [`keepsake`] | names in systemd's fd store | our next life | sd_pid_notify_with_fds(3) |
//! | [`listen_fds`] | `LISTEN_FDS` and its companions | systemd, workers | sd_listen_fds(3) |
//! | [`notify_message`] | sd_notify datagrams, read | workers | sd_notify(3) |
//! | [`notify_state`] | sd_notify datagrams, written | systemd | sd_notify(3) |
//! | [`control`] | the control socket's Varlink messages | clients | varlink.org |
//! | [`monitor_event`] | the replies to `Monitor` | clients | ours, over Varlink |
//! | [`journal_record`] | journald's native protocol | journald | the Native Protocol of systemd-journald |
//! | [`message_ids`] | the journal's MESSAGE_ID= | the catalog, alerts | systemd.journal-fields(7) |
//! | [`version`] | what this build calls itself | our successor, clients | ours |
//! | [`process_stat`] | `/proc/PID/stat` | the kernel | proc(5) |
//! | [`pid_file`] | `PID` | scripts | `start_server` 0.35 |
//! | [`status_file`] | `GENERATION:PID` | scripts | `start_server` 0.35 |
//! | [`state`] | everything that is going on | our successor | ours |
//!
//! Nothing here opens, sends, looks at a clock or logs. A parser answers every
//! input of every size with a value or a named refusal, and each has property
//! tests that say so.

#![forbid(unsafe_code)]

pub mod address;
#[cfg(feature = "supervisor")]
pub mod cgroup_path;
#[cfg(feature = "supervisor")]
pub mod control;
#[cfg(feature = "supervisor")]
pub mod duration;
#[cfg(feature = "supervisor")]
pub mod einhorn;
#[cfg(feature = "supervisor")]
pub mod envdir;
pub mod generation;
#[cfg(feature = "supervisor")]
pub mod journal_record;
#[cfg(feature = "supervisor")]
pub mod keepsake;
pub mod listen_fds;
#[cfg(feature = "supervisor")]
pub mod message_ids;
#[cfg(feature = "supervisor")]
pub mod monitor_event;
#[cfg(feature = "supervisor")]
pub mod notify_message;
#[cfg(feature = "supervisor")]
pub mod notify_state;
#[cfg(all(test, feature = "supervisor"))]
mod outcomes;
#[cfg(feature = "supervisor")]
pub mod pid_file;
#[cfg(feature = "supervisor")]
pub mod placeholder;
pub mod port;
#[cfg(feature = "supervisor")]
pub mod process_stat;
#[cfg(feature = "supervisor")]
pub mod signal_name;
#[cfg(feature = "supervisor")]
pub mod signal_sets;
#[cfg(feature = "supervisor")]
pub mod state;
#[cfg(feature = "supervisor")]
pub mod status_file;
#[cfg(feature = "supervisor")]
pub mod tuning;
#[cfg(feature = "supervisor")]
pub mod version;
#[cfg(feature = "supervisor")]
pub mod worker_env;
pub mod worker_sockets;
