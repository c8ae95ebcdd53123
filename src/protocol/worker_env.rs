//! The environment of a worker.
//!
//! A worker is told about its sockets in both tongues: `SERVER_STARTER_PORT`
//! and `LISTEN_FDS`. What systemd said to the supervisor is not for it.

use super::generation::Generation;
use super::listen_fds::{self, Name};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fmt::{self, Write as _};

/// Variables that systemd addressed to the supervisor, see systemd.exec(5):
/// with them a worker would speak to PID 1 in our name, or claim our sockets.
/// INVOCATION_ID and JOURNAL_STREAM remain true for the worker, and stay.
const OURS_ALONE: [&str; 16] = [
    "FDSTORE",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "MAINPID",
    "MAINPIDFDID",
    "MANAGERPID",
    "MANAGERPIDFDID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "NOTIFY_SOCKET",
    "SD_STARTER_CRASH_ADOPTION",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// One environment variable, known to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Why a name and a value are not an environment variable, see environ(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadVariable {
    /// The name is empty.
    EmptyName,
    /// The name contains `=` or a NUL.
    Name,
    /// The value contains a NUL.
    Value,
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadVariable::EmptyName => "the name of the variable is empty",
            BadVariable::Name => "the name of the variable contains \"=\" or a NUL",
            BadVariable::Value => "the value contains a NUL",
        })
    }
}

impl std::error::Error for BadVariable {}

impl Variable {
    /// Puts a name and a value together.
    pub fn new(
        name: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<Variable, BadVariable> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() {
            Err(BadVariable::EmptyName)
        } else if name.contains(&b'=') || name.contains(&0) {
            Err(BadVariable::Name)
        } else if value.contains(&0) {
            Err(BadVariable::Value)
        } else {
            Ok(Variable { name, value })
        }
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// Builds the `envp` of one worker, sorted by name.
///
/// - `base`: the supervisor's environment as it was at its start, less what
///   systemd meant for the supervisor alone;
/// - `extra`: overrides it, the later the stronger (envdir, options);
/// - `ports`: key and descriptor of each socket that has a key, in order;
///   `SERVER_STARTER_PORT` is always set, and empty when there are none;
/// - `listen_names`: the names of the sockets at descriptor 3 and up; without
///   any no `LISTEN_` variable is set;
/// - `notify_socket`: the generation's own.
///
/// `LISTEN_PID` is left out: only the child knows its pid. Spawning adds it,
/// when `listen_names` is not empty.
///
/// What is no variable (a NUL in it) cannot be in an environment and is left
/// out; nothing that comes from `execve` or the command line has one.
pub fn build(
    base: &[(OsString, OsString)],
    extra: &[Variable],
    ports: &[(&str, i32)],
    listen_names: &[Name],
    generation: Generation,
    notify_socket: Option<&OsStr>,
) -> Vec<CString> {
    let mut block = BTreeMap::new();
    let mut set = |variable: Variable| block.insert(variable.name, variable.value);

    // Of a name that stands there twice, getenv(3) sees the first.
    for (name, value) in base.iter().rev() {
        if !OURS_ALONE.iter().any(|ours| name == ours) {
            let variable = Variable::new(name.as_encoded_bytes(), value.as_encoded_bytes());
            variable.ok().map(&mut set);
        }
    }
    for variable in extra {
        // The protocol is ours to speak: an envdir cannot change its half of it.
        if !variable.name.starts_with(b"LISTEN_") || !is_ours_alone(&variable.name) {
            set(variable.clone());
        }
    }
    let mut set_own = |name: &str, value: String| {
        Variable::new(name, value).ok().map(&mut set);
    };
    set_own("SERVER_STARTER_PORT", render_ports(ports));
    set_own("SERVER_STARTER_GENERATION", generation.to_string());
    if !listen_names.is_empty() {
        set_own("LISTEN_FDS", listen_names.len().to_string());
        set_own("LISTEN_FDNAMES", listen_fds::render_names(listen_names));
    }
    if let Some(address) = notify_socket {
        let address = Variable::new("NOTIFY_SOCKET", address.as_encoded_bytes());
        address.ok().map(&mut set);
    }
    block.into_iter().filter_map(entry).collect()
}

/// An environment less what systemd meant for the supervisor alone: for helpers of its own.
pub fn without_ours(base: &[(OsString, OsString)]) -> Vec<CString> {
    let kept = base
        .iter()
        .filter(|(name, _)| !is_ours_alone(name.as_encoded_bytes()));
    let entries = kept.map(|(name, value)| {
        let (name, value) = (name.as_encoded_bytes(), value.as_encoded_bytes());
        entry((name.to_vec(), value.to_vec()))
    });
    entries.flatten().collect()
}

/// The value of `SERVER_STARTER_PORT`: `key=fd` joined with `;`.
///
/// A key that the list cannot carry is left out, for it would hide others.
pub fn render_ports(ports: &[(&str, i32)]) -> String {
    let mut list = String::new();
    for (key, fd) in ports {
        if !key.bytes().any(|byte| matches!(byte, b';' | b'=' | 0)) {
            let separator = if list.is_empty() { "" } else { ";" };
            let _ = write!(list, "{separator}{key}={fd}");
        }
    }
    list
}

fn is_ours_alone(name: &[u8]) -> bool {
    OURS_ALONE.iter().any(|ours| ours.as_bytes() == name)
}

fn entry((mut name, value): (Vec<u8>, Vec<u8>)) -> Option<CString> {
    name.push(b'=');
    name.extend(value);
    CString::new(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let owned = |(name, value): &(&str, &str)| (name.into(), value.into());
        variables.iter().map(owned).collect()
    }

    fn texts(block: &[CString]) -> Vec<&str> {
        block
            .iter()
            .map(|entry| entry.to_str().expect("tests use ASCII"))
            .collect()
    }

    #[test]
    fn a_worker_hears_of_its_sockets_in_both_tongues() {
        let names = [Name::new("web").expect("good"), Name::unknown()];
        let ports = [("80", 3), ("[::1]:443", 4)];
        let notify = Some(OsStr::new("/run/x/notify.2"));
        let generation = Generation::FIRST.next();
        let block = build(
            &base(&[("HOME", "/")]),
            &[],
            &ports,
            &names,
            generation,
            notify,
        );
        assert_eq!(
            texts(&block),
            [
                "HOME=/",
                "LISTEN_FDNAMES=web:unknown",
                "LISTEN_FDS=2",
                "NOTIFY_SOCKET=/run/x/notify.2",
                "SERVER_STARTER_GENERATION=2",
                "SERVER_STARTER_PORT=80=3;[::1]:443=4",
            ]
        );
    }

    #[test]
    fn without_sockets_the_port_list_is_empty_not_absent() {
        let block = build(&[], &[], &[], &[], Generation::FIRST, None);
        assert_eq!(
            texts(&block),
            ["SERVER_STARTER_GENERATION=1", "SERVER_STARTER_PORT="]
        );
    }

    #[test]
    fn b18_the_managers_variables_do_not_leak() {
        let mut given: Vec<(&str, &str)> = OURS_ALONE.iter().map(|name| (*name, "1")).collect();
        given.extend([
            ("INVOCATION_ID", "i"),
            ("JOURNAL_STREAM", "1:2"),
            ("LISTEN_ADDR", "::"),
        ]);
        let block = build(&base(&given), &[], &[], &[], Generation::FIRST, None);
        assert_eq!(
            texts(&block)[..3],
            ["INVOCATION_ID=i", "JOURNAL_STREAM=1:2", "LISTEN_ADDR=::"]
        );
        assert_eq!(block.len(), 5);
    }

    #[test]
    fn the_stronger_overrides() {
        let variable = |name, value| Variable::new(name, value).expect("good");
        let extra = [
            variable("A", "envdir"),
            variable("A", "option"),
            variable("LISTEN_PID", "1"),
            variable("SERVER_STARTER_PORT", "x"),
        ];
        let base = base(&[
            ("A", "first"),
            ("A", "second"),
            ("B", "first"),
            ("B", "second"),
        ]);
        let block = build(&base, &extra, &[], &[], Generation::FIRST, None);
        let expected = [
            "A=option",
            "B=first",
            "SERVER_STARTER_GENERATION=1",
            "SERVER_STARTER_PORT=",
        ];
        assert_eq!(texts(&block), expected);
    }

    #[test]
    fn a_variable_is_checked() {
        assert_eq!(Variable::new("", "x"), Err(BadVariable::EmptyName));
        assert_eq!(Variable::new("A=B", "x"), Err(BadVariable::Name));
        assert_eq!(Variable::new("A\0", "x"), Err(BadVariable::Name));
        assert_eq!(Variable::new("A", "x\0"), Err(BadVariable::Value));
        assert!(Variable::new("A", "=").is_ok());
    }

    proptest! {
        #[test]
        fn the_block_is_total_and_has_each_name_once(
            given in prop::collection::vec(("[A-C=\0]{0,2}", ".{0,4}"), 0..12),
            ports in prop::collection::vec((".{0,6}", any::<i32>()), 0..6),
        ) {
            let base: Vec<(OsString, OsString)> =
                given.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let ports: Vec<_> = ports.iter().map(|(key, fd)| (key.as_str(), *fd)).collect();
            let block = build(&base, &[], &ports, &[], Generation::FIRST, None);
            let names: Vec<&[u8]> = block
                .iter()
                .filter_map(|entry| entry.as_bytes().split(|&byte| byte == b'=').next())
                .collect();
            prop_assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(names.contains(&&b"SERVER_STARTER_PORT"[..]));
        }
    }
}
