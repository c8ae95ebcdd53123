//! What this process was given by whoever started it: the inheritance test reads it at `/report`.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::inherited;

/// Taken first thing in main, before this program opens or changes anything.
///
/// Limitation: Rust's runtime sets SIGPIPE to ignored before main, so SIGPIPE's bit in `SigIgn` is
/// always set here; only a program that is not Rust can tell how it was inherited.
pub(crate) struct Inheritance {
    environment: BTreeMap<String, String>,
    fds: BTreeMap<i32, String>,
    signals: BTreeMap<String, String>,
    nonblocking: BTreeMap<i32, bool>,
    /// The names of the sockets as libsystemd reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES: an
    /// opinion that is not ours.
    libsystemd: Result<Vec<String>, String>,
}

impl Inheritance {
    pub(crate) fn snapshot() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let signals = status.lines().filter_map(|line| line.split_once(":\t"));
        let signals = signals.filter(|(name, _)| matches!(*name, "SigBlk" | "SigIgn" | "SigCgt"));
        Self {
            environment: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            fds: open_fds(),
            signals: signals
                .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
                .collect(),
            nonblocking: inherited_sockets_nonblocking(),
            libsystemd: Err("not asked yet".to_owned()),
        }
    }

    /// To be called with the sockets taken, for libsystemd sets close-on-exec on what it reads, and
    /// we take only what is without.
    pub(crate) fn ask_libsystemd(&mut self) {
        self.libsystemd = libsystemd::activation::receive_descriptors_with_names(false)
            .map(|named| named.into_iter().map(|(_, name)| name).collect())
            .map_err(|error| error.to_string());
    }

    pub(crate) fn to_json(&self) -> String {
        let mut report: Value = json!({
            "pid": std::process::id(),
            "generation": self.environment.get("SERVER_STARTER_GENERATION"),
            "environment": self.environment,
            "fds": self.fds,
            "nonblocking": self.nonblocking,
            "libsystemd": self.libsystemd.as_ref().ok(),
            "nonblocking_now": inherited_sockets_nonblocking(),
        });
        for (name, hex) in &self.signals {
            report[name] = json!(hex);
        }
        format!("{report:#}\n")
    }
}

/// Every open fd and what it points to, without the one that reads the directory.
fn open_fds() -> BTreeMap<i32, String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return BTreeMap::new();
    };
    let own = format!("/proc/{}/fd", std::process::id());
    let fds = entries.flatten().filter_map(|entry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        let target = fs::read_link(entry.path())
            .ok()?
            .to_string_lossy()
            .into_owned();
        Some((fd, target))
    });
    fds.filter(|(_, target)| *target != own).collect()
}

/// Whether O_NONBLOCK is set on each socket that the environment names, from `/proc/self/fdinfo`.
fn inherited_sockets_nonblocking() -> BTreeMap<i32, bool> {
    let nonblocking = |fd: &i32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        Some((*fd, flags & libc::O_NONBLOCK != 0))
    };
    inherited::numbers()
        .iter()
        .filter_map(nonblocking)
        .collect()
}
