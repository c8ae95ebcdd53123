//! Texts that cross a process boundary: pure, bounded, total.
//!
//! | file | text | between us and |
//! |---|---|---|
//! | [`port`] | `[HOST:]PORT[=FD]` | the user |
//! | [`duration`] | `5`, `0.5`, `1m 30s`, `infinity` | the user |
//! | [`signal_name`] | `TERM`, `SIGTERM`, `15` | the user |
//! | [`envdir`] | a directory of variables | the user |
//! | [`tuning`] | `KILL_OLD_DELAY` and its companions | the user |
//! | [`address`] | the key of a socket in `SERVER_STARTER_PORT` | workers |
//! | [`generation`] | `SERVER_STARTER_GENERATION` | workers |
//! | [`placeholder`] | `{fd:http}` in arguments and environment | the user |
//! | [`einhorn`] | `EINHORN_FD_0` and its companions | workers |
//! | [`worker_env`] | the environment of a worker, written | workers |
//! | [`worker_sockets`] | `SERVER_STARTER_PORT` and `LISTEN_FDS`, read by a worker | supervisors |
//! | [`cgroup_path`] | `/proc/PID/cgroup` and its kin | the kernel |
//! | [`signal_sets`] | the masks in `/proc/PID/status` | the kernel |
//! | [`listen_fds`] | `LISTEN_FDS` and its companions | systemd, workers |
//! | [`notify_message`] | sd_notify datagrams, read | workers |
//! | [`notify_state`] | sd_notify datagrams, written | systemd |
//! | [`control`] | the control socket's Varlink messages | clients |
//! | [`monitor_event`] | the replies to `Monitor` | clients |
//! | [`journal_record`] | journald's native protocol | journald |
//! | [`message_ids`] | the journal's MESSAGE_ID= | the catalog, alerts |
//! | [`process_stat`] | `/proc/PID/stat` | the kernel |
//! | [`pid_file`] | `PID` | scripts |
//! | [`status_file`] | `GENERATION:PID` | scripts |
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
pub mod listen_fds;
#[cfg(feature = "supervisor")]
pub mod message_ids;
#[cfg(feature = "supervisor")]
pub mod monitor_event;
#[cfg(feature = "supervisor")]
pub mod notify_message;
#[cfg(feature = "supervisor")]
pub mod notify_state;
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
pub mod status_file;
#[cfg(feature = "supervisor")]
pub mod tuning;
#[cfg(feature = "supervisor")]
pub mod worker_env;
pub mod worker_sockets;
