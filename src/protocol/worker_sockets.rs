//! What a worker reads of its sockets: `SERVER_STARTER_PORT` and `LISTEN_FDS`.
//!
//! The first gives keys, the second names; whoever is given both has both for one
//! descriptor. Sources: Server::Starter's `server_ports`, sd_listen_fds(3).

use super::listen_fds::{self, FIRST_FD, Listen, ListenEnv, ListenError, Name, NotForUs};
use std::fmt;

/// As long a list as one environment variable can be (MAX_ARG_STRLEN of execve(2)).
const LONGEST: usize = 128 * 1024;

/// A descriptor that the environment speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its number.
    pub fd: i32,
    /// Its key in `SERVER_STARTER_PORT`; none where only `LISTEN_FDS` has it.
    pub key: Option<String>,
    /// Its name in `LISTEN_FDNAMES`; none where only `SERVER_STARTER_PORT` has it.
    pub name: Option<Name>,
}

/// All descriptors, and why those of `LISTEN_FDS` are not among them if they are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Those of `SERVER_STARTER_PORT` first, in its order; then the rest, by number.
    pub passed: Vec<Passed>,
    /// Why `LISTEN_FDS` does not count.
    pub not_for_us: Option<NotForUs>,
}

/// An environment that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// An entry of `SERVER_STARTER_PORT` is not `KEY=FD`.
    Entry(String),
    /// Two entries of `SERVER_STARTER_PORT` are one descriptor.
    Twice(i32),
    /// `SERVER_STARTER_PORT` is longer than an environment variable can be.
    TooLong,
    /// `LISTEN_FDS` and its companions.
    Listen(ListenError),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Entry(entry) => {
                write!(f, "SERVER_STARTER_PORT: {entry:?} is not KEY=FD")
            }
            Malformed::Twice(fd) => write!(f, "SERVER_STARTER_PORT: two keys for descriptor {fd}"),
            Malformed::TooLong => f.write_str("SERVER_STARTER_PORT is too long"),
            Malformed::Listen(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Malformed {}

/// Puts both variables together, for the process `own_pid`.
///
/// `ports` is `SERVER_STARTER_PORT`; unset and empty are both no sockets.
///
/// # Errors
/// [`Malformed`]: to guess would lose a listener.
pub fn parse(
    ports: Option<&str>,
    listen: &ListenEnv<'_>,
    own_pid: i32,
) -> Result<Handed, Malformed> {
    let mut passed = entries(ports.unwrap_or_default())?;
    let (names, not_for_us) = match listen_fds::parse(listen, own_pid, None) {
        Ok(Listen::Sockets(names)) => (names, None),
        Ok(Listen::NotForUs(reason)) => (Vec::new(), Some(reason)),
        Err(error) => return Err(Malformed::Listen(error)),
    };
    for (fd, name) in (FIRST_FD..).zip(names) {
        match passed.iter_mut().find(|entry| entry.fd == fd) {
            Some(entry) => entry.name = Some(name),
            None => passed.push(Passed {
                fd,
                key: None,
                name: Some(name),
            }),
        }
    }
    Ok(Handed { passed, not_for_us })
}

fn entries(ports: &str) -> Result<Vec<Passed>, Malformed> {
    if ports.len() > LONGEST {
        return Err(Malformed::TooLong);
    }
    let mut entries: Vec<Passed> = Vec::new();
    for entry in ports.split(';').filter(|entry| !entry.is_empty()) {
        // At the last one: start_server binds a path with a `=` in it, and so are its keys.
        let (key, fd) = entry
            .rsplit_once('=')
            .and_then(|(key, fd)| Some((key, number(fd)?)))
            .ok_or_else(|| Malformed::Entry(entry.to_owned()))?;
        if entries.iter().any(|known| known.fd == fd) {
            return Err(Malformed::Twice(fd));
        }
        entries.push(Passed {
            fd,
            key: Some(key.to_owned()),
            name: None,
        });
    }
    Ok(entries)
}

/// Decimal digits and nothing else, for `str::parse` takes a `+`, too.
fn number(text: &str) -> Option<i32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn systemd<'a>(pid: &'a str, fds: &'a str, names: Option<&'a str>) -> ListenEnv<'a> {
        ListenEnv {
            pid: Some(pid),
            fds: Some(fds),
            names,
            pidfdid: None,
        }
    }

    fn read(ports: &str) -> Vec<(Option<String>, i32)> {
        let handed = parse(Some(ports), &ListenEnv::default(), 7).expect("a good value");
        handed
            .passed
            .into_iter()
            .map(|entry| (entry.key, entry.fd))
            .collect()
    }

    fn key(text: &str, fd: i32) -> (Option<String>, i32) {
        (Some(text.to_owned()), fd)
    }

    #[test]
    fn every_key_that_start_server_writes() {
        assert_eq!(
            read("8080=3;[::1]:80=4;127.0.0.1:80=5;/run/app.sock=6;localhost:http=0"),
            [
                key("8080", 3),
                key("[::1]:80", 4),
                key("127.0.0.1:80", 5),
                key("/run/app.sock", 6),
                key("localhost:http", 0),
            ]
        );
        assert_eq!(read("/run/a=b=3"), [key("/run/a=b", 3)]);
    }

    #[test]
    fn an_empty_value_is_no_sockets_and_a_key_may_stand_there_twice() {
        assert_eq!(read(""), []);
        // TCP and UDP look alike.
        assert_eq!(read("443=3;443=4;"), [key("443", 3), key("443", 4)]);
    }

    #[test]
    fn a_contradiction_is_named() {
        let refused = |ports| parse(Some(ports), &ListenEnv::default(), 7).unwrap_err();
        for entry in [
            "8080",
            "8080=",
            "8080=x",
            "8080=+3",
            "8080=-1",
            "8080=99999999999",
        ] {
            assert_eq!(refused(entry), Malformed::Entry(entry.to_owned()));
        }
        assert_eq!(refused("80=3;81=3"), Malformed::Twice(3));
        let count = parse(None, &systemd("7", "2", Some("a")), 7);
        assert!(matches!(count, Err(Malformed::Listen(_))));
    }

    #[test]
    fn both_variables_speak_of_one_descriptor() {
        let handed = parse(Some("80=4;9=9"), &systemd("7", "2", Some("a:b")), 7).unwrap();
        let name = |text| Name::new(text);
        let expected = [
            (4, Some("80"), name("b")),
            (9, Some("9"), None),
            (3, None, name("a")),
        ];
        for (entry, (fd, key, name)) in handed.passed.iter().zip(expected) {
            assert_eq!(
                (entry.fd, entry.key.as_deref(), &entry.name),
                (fd, key, &name)
            );
        }
        assert_eq!(handed.not_for_us, None);
    }

    #[test]
    fn the_sockets_of_another_process_are_not_counted() {
        let handed = parse(Some("80=3"), &systemd("8", "2", None), 7).unwrap();
        assert_eq!(handed.not_for_us, Some(NotForUs::OtherPid(8)));
        assert_eq!(handed.passed.len(), 1);
    }

    proptest! {
        #[test]
        fn never_panics(ports in ".{0,60}", fds in "[0-9]{0,3}", names in prop::option::of(".{0,20}")) {
            let _ = parse(Some(&ports), &systemd("7", &fds, names.as_deref()), 7);
        }
    }
}
