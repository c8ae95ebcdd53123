//! One body for each parser of outside text. The targets of cargo-fuzz call them, and
//! `tests/hostile/fuzz.rs` does with a bounded number of inputs, without nightly.
//!
//! A body must not panic, whatever the bytes; and what it asserts holds for every input: what was
//! parsed can be rendered and is parsed again to the same, and nothing grows beyond its bound.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use sd_starter::protocol::envdir::parse_file;
use sd_starter::protocol::listen_fds::{self, Listen, ListenEnv};
use sd_starter::protocol::{control, notify_message, pid_file, port, status_file};

/// A body.
pub(crate) type Body = fn(&[u8]);

/// Every body, by the name of its target.
pub(crate) const BODIES: [(&str, Body); 8] = [
    ("control", control_call),
    ("control_reply", control_reply),
    ("envdir", envdir),
    ("listen_env", listen_env),
    ("notify", notify),
    ("pid_file", pid),
    ("port", port_option),
    ("status_file", status),
];

/// The fields of an input: what stands between NULs.
fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0)
}

/// LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PIDFDID; an empty field is an unset variable.
pub(crate) fn listen_env(bytes: &[u8]) {
    let mut texts = fields(bytes).map(|field| std::str::from_utf8(field).ok());
    let mut next = || texts.next().flatten().filter(|text| !text.is_empty());
    let env = ListenEnv {
        pid: next(),
        fds: next(),
        names: next(),
        pidfdid: next(),
    };
    if let Ok(Listen::Sockets(names)) = listen_fds::parse(&env, 42, Some(7)) {
        assert!(names.len() <= 16384, "bounded");
        if env.names.is_some() && !names.is_empty() {
            let rendered = listen_fds::render_names(&names);
            assert_eq!(Some(rendered.as_str()), env.names);
        }
    }
}

/// A datagram of a worker.
pub(crate) fn notify(bytes: &[u8]) {
    if let Ok(message) = notify_message::parse(bytes) {
        assert!(bytes.len() <= 4096, "bounded");
        let shown = format!("{message:?}");
        assert!(shown.len() <= 16 * bytes.len() + 1024, "nothing is made up");
    }
}

/// A call of a client.
pub(crate) fn control_call(bytes: &[u8]) {
    match control::parse_call(bytes) {
        Ok(asked) => drop(format!("{asked:?}")),
        Err(refusal) => {
            let rendered = control::render_refusal(&refusal);
            assert_eq!(rendered.last(), Some(&0), "a whole message");
            assert!(control::parse_reply(&rendered[..rendered.len() - 1]).is_ok());
        }
    }
}

/// An answer of a supervisor, as `starterctl` reads it.
pub(crate) fn control_reply(bytes: &[u8]) {
    drop(control::parse_reply(bytes).map(|reply| format!("{reply:?}")));
}

/// A file of `--envdir`: its name, a NUL, its content.
pub(crate) fn envdir(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let name = OsString::from_vec(halves.next().unwrap_or_default().to_vec());
    let content = halves.next().unwrap_or_default();
    if let Ok(Some(variable)) = parse_file(&name, content) {
        assert!(
            !variable.name().contains(&b'='),
            "it would be another variable"
        );
        assert!(!variable.value().contains(&b'\n'), "the first line only");
    }
}

/// The file of `--pid-file`.
pub(crate) fn pid(bytes: &[u8]) {
    if let Ok(pid) = pid_file::parse(bytes) {
        assert!(pid > 0, "0 and negative numbers are process groups: {pid}");
        assert_eq!(
            pid_file::parse(pid_file::render(pid).as_bytes()).ok(),
            Some(pid)
        );
    }
}

/// The file of `--status-file`.
pub(crate) fn status(bytes: &[u8]) {
    if let Ok(workers) = status_file::parse(bytes) {
        let rendered = status_file::render(&workers);
        let again = status_file::parse(rendered.as_bytes());
        let mut sorted = workers;
        sorted.sort();
        assert_eq!(
            again
                .map(|mut again| {
                    again.sort();
                    again
                })
                .ok(),
            Some(sorted)
        );
    }
}

/// The value of `--port`.
pub(crate) fn port_option(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(spec) = port::parse(text) {
        assert!(spec.pin.is_none_or(|pin| pin == 0 || pin > 2), "{spec:?}");
        assert!(
            !spec.key.contains(['=', ';']),
            "it would be two listeners: {spec:?}"
        );
    }
}
