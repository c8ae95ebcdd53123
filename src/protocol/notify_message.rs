//! What a worker says to us: one sd_notify datagram. (What we say to systemd
//! is in [`notify_state`](super::notify_state).)
//!
//! Source: sd_notify(3) of systemd 262. To a worker we are the manager, so a
//! message is read as PID 1 reads it: one datagram of newline-separated
//! assignments, at most 4096 bytes, no NUL inside; unknown names are ignored,
//! a malformed value leaves its field as it was, and of a name that stands
//! there twice the last one wins.
//!
//! | assignment | since | field | goes up to systemd |
//! |---|---|---|---|
//! | `READY=1` | | `ready` | never; we send our own |
//! | `RELOADING=1` | 217 | `reloading` | never: a worker's reload is not the unit's |
//! | `MONOTONIC_USEC=` | 253 | `monotonic_usec` | never |
//! | `STOPPING=1` | 217 | `stopping` | **never**: PID 1 would stop the whole unit |
//! | `STATUS=` | 233 | `status` | prefixed and cut |
//! | `ERRNO=` `BUSERROR=` | 233 | `errno` `bus_error` | recorded |
//! | `VARLINKERROR=` | 257 | `varlink_error` | recorded |
//! | `EXIT_STATUS=` | 254 | `exit_status` | recorded |
//! | `NOTIFYACCESS=` | 254 | `notify_access` | never |
//! | `MAINPID=` | 233 | `main_pid` | **never**: it would hand over the unit |
//! | `MAINPIDFDID=` `MAINPIDFD=1` | 257 | `main_pidfd_id` `main_pidfd` | never; the fd is closed |
//! | `WATCHDOG=1` | | `watchdog` | consumed: each worker has its own |
//! | `WATCHDOG=trigger` | 243 | `watchdog` | never: this worker failed |
//! | `WATCHDOG_USEC=` | 233 | `watchdog_interval` | never |
//! | `EXTEND_TIMEOUT_USEC=` | 236 | `extend_timeout` | capped, from whoever is waited for |
//! | `RESTART_RESET=1` | 258 | `restart_reset` | never |
//! | `FDSTORE=1` | 219 | `fd_store` | kept by us |
//! | `FDSTOREREMOVE=1` | 236 | `fd_store_remove` | kept by us |
//! | `FDNAME=` | 233 | `fd_name` | |
//! | `FDPOLL=0` | 246 | `fd_poll_off` | |
//! | `BARRIER=1` | 246 | `barrier` | the fd is closed after all earlier messages |

use super::listen_fds::Name;
pub use super::notify_state::{extend_timeout, ready, reloading, status, stopping, watchdog};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest datagram, NOTIFY_BUFFER_MAX = PIPE_BUF.
pub const MAX_LENGTH: usize = 4096;

/// What one datagram of a worker says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Start-up (or a reload inside the worker) is finished.
    pub ready: bool,
    /// The worker reloads itself.
    pub reloading: bool,
    /// CLOCK_MONOTONIC at the begin of that reload, in microseconds.
    pub monotonic_usec: Option<u64>,
    /// The worker is shutting down.
    pub stopping: bool,
    /// Free text for the operator.
    pub status: Option<String>,
    /// An errno that describes a failure.
    pub errno: Option<i32>,
    /// A D-Bus error name that describes a failure.
    pub bus_error: Option<String>,
    /// A Varlink error name that describes a failure.
    pub varlink_error: Option<String>,
    /// The exit status that a container or VM ended with.
    pub exit_status: Option<u8>,
    /// The process that the worker considers its main one.
    pub main_pid: Option<i32>,
    /// The inode of that process's pidfd.
    pub main_pidfd_id: Option<u64>,
    /// A pidfd of that process is attached.
    pub main_pidfd: bool,
    /// A sign of life, or the opposite.
    pub watchdog: Option<Watchdog>,
    /// A new interval for the worker's watchdog.
    pub watchdog_interval: Option<Duration>,
    /// The current phase lasts at least this much longer from now on.
    pub extend_timeout: Option<Duration>,
    /// The restart counter shall begin again.
    pub restart_reset: bool,
    /// The attached descriptors are to be kept.
    pub fd_store: bool,
    /// The descriptors named `fd_name` are to be given up.
    pub fd_store_remove: bool,
    /// The name of the descriptors; an invalid one is no name.
    pub fd_name: Option<Name>,
    /// The descriptors stay when their other end closes.
    pub fd_poll_off: bool,
    /// The one attached descriptor is to be closed, and nothing else done.
    pub barrier: bool,
    /// A change of NotifyAccess= was asked for.
    pub notify_access: bool,
    /// The names of assignments whose value made no sense, for a debug line.
    pub malformed: Vec<String>,
}

/// The two values of `WATCHDOG=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// `1`: alive.
    Pet,
    /// `trigger`: treat me as hung.
    Trigger,
}

/// Why a datagram is dropped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// More than [`MAX_LENGTH`] bytes.
    TooLong,
    /// A NUL before the end.
    Nul,
    /// Not UTF-8.
    NotUtf8,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::TooLong => "the notification is longer than 4096 bytes",
            Refused::Nul => "the notification contains a NUL",
            Refused::NotUtf8 => "the notification is not UTF-8",
        })
    }
}

impl std::error::Error for Refused {}

/// Reads one datagram of a worker.
///
/// `BARRIER=1` must stand alone; with company the rest is ignored, as PID 1
/// does, so that the sender who waits on the barrier is answered all the same.
pub fn parse(datagram: &[u8]) -> Result<Message, Refused> {
    if datagram.len() > MAX_LENGTH {
        return Err(Refused::TooLong);
    }
    // A C program that sends strlen + 1 is forgiven.
    let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if text.contains(&0) {
        return Err(Refused::Nul);
    }
    let text = std::str::from_utf8(text).map_err(|_| Refused::NotUtf8)?;
    if text.split('\n').any(|line| line == "BARRIER=1") {
        return Ok(Message {
            barrier: true,
            ..Message::default()
        });
    }
    let mut message = Message::default();
    for (name, value) in text.split('\n').filter_map(|line| line.split_once('=')) {
        message.assign(name, value);
    }
    Ok(message)
}

impl Message {
    fn assign(&mut self, name: &str, value: &str) {
        let understood = match name {
            "READY" => flag(&mut self.ready, value, "1"),
            "RELOADING" => flag(&mut self.reloading, value, "1"),
            "STOPPING" => flag(&mut self.stopping, value, "1"),
            "MAINPIDFD" => flag(&mut self.main_pidfd, value, "1"),
            "RESTART_RESET" => flag(&mut self.restart_reset, value, "1"),
            "FDSTORE" => flag(&mut self.fd_store, value, "1"),
            "FDSTOREREMOVE" => flag(&mut self.fd_store_remove, value, "1"),
            "FDPOLL" => flag(&mut self.fd_poll_off, value, "0"),
            "BARRIER" => flag(&mut self.barrier, value, "1"),
            "STATUS" => fill(&mut self.status, Some(value.to_owned())),
            "BUSERROR" => fill(&mut self.bus_error, nonempty(value)),
            "VARLINKERROR" => fill(&mut self.varlink_error, nonempty(value)),
            "ERRNO" => fill(&mut self.errno, number(value)),
            "EXIT_STATUS" => fill(&mut self.exit_status, number(value)),
            "MAINPID" => fill(&mut self.main_pid, number(value).filter(|&pid| pid > 0)),
            "MAINPIDFDID" => fill(&mut self.main_pidfd_id, number(value)),
            "MONOTONIC_USEC" => fill(&mut self.monotonic_usec, number(value)),
            "WATCHDOG_USEC" => fill(&mut self.watchdog_interval, usec(value)),
            "EXTEND_TIMEOUT_USEC" => fill(&mut self.extend_timeout, usec(value)),
            "WATCHDOG" => fill(&mut self.watchdog, watchdog_value(value)),
            "FDNAME" => fill(&mut self.fd_name, Name::new(value)),
            "NOTIFYACCESS" => {
                self.notify_access = true;
                true
            }
            _ => return,
        };
        if !understood {
            self.malformed.push(name.to_owned());
        }
    }
}

fn flag(field: &mut bool, value: &str, on: &str) -> bool {
    *field |= value == on;
    value == on
}

fn fill<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let understood = value.is_some();
    if understood {
        *field = value;
    }
    understood
}

fn nonempty(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn number<T: FromStr>(value: &str) -> Option<T> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    if digits { value.parse().ok() } else { None }
}

fn usec(value: &str) -> Option<Duration> {
    number(value).map(Duration::from_micros)
}

fn watchdog_value(value: &str) -> Option<Watchdog> {
    match value {
        "1" => Some(Watchdog::Pet),
        "trigger" => Some(Watchdog::Trigger),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Message {
        parse(text.as_bytes()).expect("a good datagram")
    }

    #[test]
    fn reads_every_assignment() {
        let message = read(
            "READY=1\nRELOADING=1\nMONOTONIC_USEC=5\nSTOPPING=1\nSTATUS=a=b\nERRNO=2\n\
             BUSERROR=org.x\nVARLINKERROR=io.x\nEXIT_STATUS=3\nNOTIFYACCESS=all\nMAINPID=9\n\
             MAINPIDFDID=8\nMAINPIDFD=1\nWATCHDOG=1\nWATCHDOG_USEC=7\nEXTEND_TIMEOUT_USEC=6\n\
             RESTART_RESET=1\nFDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=web\nFDPOLL=0\nX_OURS=1\n",
        );
        let expected = Message {
            ready: true,
            reloading: true,
            monotonic_usec: Some(5),
            stopping: true,
            status: Some("a=b".to_owned()),
            errno: Some(2),
            bus_error: Some("org.x".to_owned()),
            varlink_error: Some("io.x".to_owned()),
            exit_status: Some(3),
            main_pid: Some(9),
            main_pidfd_id: Some(8),
            main_pidfd: true,
            watchdog: Some(Watchdog::Pet),
            watchdog_interval: Some(Duration::from_micros(7)),
            extend_timeout: Some(Duration::from_micros(6)),
            restart_reset: true,
            fd_store: true,
            fd_store_remove: true,
            fd_name: Name::new("web"),
            fd_poll_off: true,
            barrier: false,
            notify_access: true,
            malformed: Vec::new(),
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn the_last_one_wins_and_nonsense_does_not_count() {
        let message = read("STATUS=a\nSTATUS=b\nWATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG=2\nERRNO=x");
        assert_eq!(message.status.as_deref(), Some("b"));
        assert_eq!(message.watchdog, Some(Watchdog::Trigger));
        assert_eq!(
            (message.errno, message.malformed),
            (None, vec!["WATCHDOG".into(), "ERRNO".into()])
        );
        let message =
            read("READY=0\nMAINPID=0\nMAINPID=-1\nEXIT_STATUS=256\nFDNAME=a:b\nnonsense\n\n");
        assert_eq!(
            Message {
                malformed: Vec::new(),
                ..message
            },
            Message::default()
        );
    }

    #[test]
    fn a_barrier_stands_alone() {
        let barrier = Message {
            barrier: true,
            ..Message::default()
        };
        assert_eq!(read("BARRIER=1"), barrier);
        assert_eq!(read("READY=1\nBARRIER=1\n"), barrier);
    }

    #[test]
    fn refuses_what_pid_1_refuses() {
        assert_eq!(parse(&[b'a'; MAX_LENGTH + 1]), Err(Refused::TooLong));
        assert_eq!(parse(b"READY=1\0\n"), Err(Refused::Nul));
        assert_eq!(parse(b"STATUS=\xff"), Err(Refused::NotUtf8));
        assert!(read("READY=1\0").ready);
        assert_eq!(parse(b""), Ok(Message::default()));
    }

    proptest! {
        #[test]
        fn never_panics(datagram in prop::collection::vec(any::<u8>(), 0..5000)) {
            let _ = parse(&datagram);
        }

        #[test]
        fn never_panics_on_assignments(lines in prop::collection::vec("[A-Z_]{0,20}=.{0,20}", 0..40)) {
            let _ = parse(lines.join("\n").as_bytes());
        }
    }
}
