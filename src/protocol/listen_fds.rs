//! systemd's socket activation protocol, the texts of it.
//!
//! Source: sd_listen_fds(3). `LISTEN_FDS` sockets stand at descriptor 3 and
//! up, for the process with the pid `LISTEN_PID`; since systemd 259
//! `LISTEN_PIDFDID` names that process by the inode of its pidfd as well.
//! `LISTEN_FDNAMES` may be missing; names may repeat, the order is identity.

use std::borrow::Cow;
use std::fmt;

/// The first descriptor of the protocol, SD_LISTEN_FDS_START.
pub const FIRST_FD: i32 = 3;

/// Far above what a unit can list, and low enough to allocate names for.
const MAX_SOCKETS: usize = 16384;

/// The name of a descriptor, as `FileDescriptorName=` and `FDNAME=` take it:
/// at most 255 characters of printable ASCII, no colon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Cow<'static, str>);

impl Name {
    /// The longest name, FDNAME_MAX.
    pub const MAX_LENGTH: usize = 255;

    /// The name, if it is one.
    pub fn new(text: &str) -> Option<Name> {
        let is_fit = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
        (text.len() <= Name::MAX_LENGTH && text.bytes().all(is_fit))
            .then(|| Name(text.to_owned().into()))
    }

    /// What a descriptor is called that nobody named.
    pub fn unknown() -> Name {
        Name("unknown".into())
    }

    /// What a stored descriptor is called that nobody named (sd_pid_notify_with_fds(3)).
    pub fn stored() -> Name {
        Name("stored".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The variables of the protocol as they stand in the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenEnv<'a> {
    /// `LISTEN_PID`.
    pub pid: Option<&'a str>,
    /// `LISTEN_FDS`.
    pub fds: Option<&'a str>,
    /// `LISTEN_FDNAMES`.
    pub names: Option<&'a str>,
    /// `LISTEN_PIDFDID`.
    pub pidfdid: Option<&'a str>,
}

/// What the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// There is nothing for this process.
    NotForUs(NotForUs),
    /// As many sockets as there are names, from [`FIRST_FD`] up.
    Sockets(Vec<Name>),
}

/// Why there is nothing for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForUs {
    /// `LISTEN_PID` or `LISTEN_FDS` is not set: no socket activation.
    Unset,
    /// `LISTEN_PID` is somebody else: a parent that forgot to clean up, or
    /// a shell in `ExecStart=` that forked instead of exec'ing.
    OtherPid(i32),
    /// Our pid, but another process's pidfd: the pid was used again.
    OtherPidfd,
}

impl fmt::Display for NotForUs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotForUs::Unset => f.write_str("no sockets were passed"),
            NotForUs::OtherPid(pid) => {
                write!(
                    f,
                    "sockets were passed to process {pid} (LISTEN_PID), which is not this one"
                )
            }
            NotForUs::OtherPidfd => {
                f.write_str("sockets were passed to another process (LISTEN_PIDFDID)")
            }
        }
    }
}

/// A contradiction in the environment. Guessing would lose a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The named variable is not a number, or beyond what it may be.
    Number(&'static str),
    /// `LISTEN_FDNAMES` has another count than `LISTEN_FDS`.
    Count {
        /// `LISTEN_FDS`.
        fds: usize,
        /// The names in `LISTEN_FDNAMES`.
        names: usize,
    },
    /// A name in `LISTEN_FDNAMES` is too long or has unprintable characters.
    BadName,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Number(variable) => write!(f, "{variable} is not a valid number"),
            ListenError::Count { fds, names } => {
                write!(
                    f,
                    "LISTEN_FDS is {fds}, but LISTEN_FDNAMES has {names} names"
                )
            }
            ListenError::BadName => f.write_str("LISTEN_FDNAMES has an invalid name"),
        }
    }
}

impl std::error::Error for ListenError {}

/// Reads the environment for the process `own_pid`.
///
/// `own_pidfd_inode` is the inode of a pidfd of that process, where the kernel
/// has pidfds with inodes of their own (6.9); without it `LISTEN_PIDFDID` is
/// not compared, as libsystemd does.
pub fn parse(
    env: &ListenEnv<'_>,
    own_pid: i32,
    own_pidfd_inode: Option<u64>,
) -> Result<Listen, ListenError> {
    let (Some(pid), Some(fds)) = (env.pid, env.fds) else {
        return Ok(Listen::NotForUs(NotForUs::Unset));
    };
    let pid = number(pid, "LISTEN_PID")?;
    let pid = i32::try_from(pid).map_err(|_| ListenError::Number("LISTEN_PID"))?;
    if pid != own_pid {
        return Ok(Listen::NotForUs(NotForUs::OtherPid(pid)));
    }
    if let (Some(theirs), Some(ours)) = (env.pidfdid, own_pidfd_inode) {
        if number(theirs, "LISTEN_PIDFDID")? != ours {
            return Ok(Listen::NotForUs(NotForUs::OtherPidfd));
        }
    }
    let fds = usize::try_from(number(fds, "LISTEN_FDS")?)
        .ok()
        .filter(|&fds| fds <= MAX_SOCKETS)
        .ok_or(ListenError::Number("LISTEN_FDS"))?;
    match env.names {
        None => Ok(Listen::Sockets(vec![Name::unknown(); fds])),
        Some("") if fds == 0 => Ok(Listen::Sockets(Vec::new())),
        Some(names) => parse_names(names, fds).map(Listen::Sockets),
    }
}

fn parse_names(text: &str, fds: usize) -> Result<Vec<Name>, ListenError> {
    let names = text.split(':').count();
    if names != fds {
        return Err(ListenError::Count { fds, names });
    }
    let names = text.split(':').map(Name::new);
    names.collect::<Option<_>>().ok_or(ListenError::BadName)
}

fn number(text: &str, variable: &'static str) -> Result<u64, ListenError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or(ListenError::Number(variable))
}

/// The value of `LISTEN_FDNAMES` for a worker.
pub fn render_names(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env<'a>(pid: &'a str, fds: &'a str, names: Option<&'a str>) -> ListenEnv<'a> {
        ListenEnv {
            pid: Some(pid),
            fds: Some(fds),
            names,
            pidfdid: None,
        }
    }

    fn names(texts: &[&str]) -> Vec<Name> {
        texts
            .iter()
            .map(|text| Name::new(text).expect("a good name"))
            .collect()
    }

    #[test]
    fn takes_sockets_in_their_order() {
        let listen = parse(&env("7", "3", Some("web:web:x.socket")), 7, None);
        assert_eq!(
            listen,
            Ok(Listen::Sockets(names(&["web", "web", "x.socket"])))
        );
    }

    #[test]
    fn names_are_optional() {
        let unknown = parse(&env("7", "2", None), 7, None);
        assert_eq!(unknown, Ok(Listen::Sockets(names(&["unknown", "unknown"]))));
        assert_eq!(
            parse(&env("7", "0", Some("")), 7, None),
            Ok(Listen::Sockets(Vec::new()))
        );
        assert_eq!(
            parse(&env("7", "1", Some("")), 7, None),
            Ok(Listen::Sockets(names(&[""])))
        );
    }

    #[test]
    fn sockets_of_another_process_are_left_alone() {
        let unset = Ok(Listen::NotForUs(NotForUs::Unset));
        assert_eq!(parse(&ListenEnv::default(), 7, None), unset);
        assert_eq!(
            parse(
                &ListenEnv {
                    pid: Some("7"),
                    ..Default::default()
                },
                7,
                None
            ),
            unset
        );
        let other = Ok(Listen::NotForUs(NotForUs::OtherPid(8)));
        assert_eq!(parse(&env("8", "1", Some("a:b")), 7, None), other);
    }

    #[test]
    fn the_pidfd_must_be_ours_where_it_is_known() {
        let env = ListenEnv {
            pidfdid: Some("41"),
            ..env("7", "1", Some("a"))
        };
        let sockets = Ok(Listen::Sockets(names(&["a"])));
        assert_eq!(parse(&env, 7, Some(41)), sockets);
        assert_eq!(parse(&env, 7, None), sockets);
        assert_eq!(
            parse(&env, 7, Some(42)),
            Ok(Listen::NotForUs(NotForUs::OtherPidfd))
        );
    }

    #[test]
    fn a_contradiction_is_an_error_never_an_empty_list() {
        let count = Err(ListenError::Count { fds: 2, names: 1 });
        assert_eq!(parse(&env("7", "2", Some("a")), 7, None), count);
        let count = Err(ListenError::Count { fds: 0, names: 1 });
        assert_eq!(parse(&env("7", "0", Some("a")), 7, None), count);
        assert_eq!(
            parse(&env("7", "1", Some("a\n")), 7, None),
            Err(ListenError::BadName)
        );
        for fds in ["", "-1", "+1", "x", "16385", "99999999999999999999"] {
            let refused = parse(&env("7", fds, None), 7, None);
            assert_eq!(refused, Err(ListenError::Number("LISTEN_FDS")), "{fds:?}");
        }
        assert_eq!(
            parse(&env("", "1", None), 7, None),
            Err(ListenError::Number("LISTEN_PID"))
        );
    }

    proptest! {
        #[test]
        fn names_survive_a_round_trip(texts in prop::collection::vec("[ -9;-~]{0,30}", 1..20)) {
            let names: Vec<Name> = texts.iter().filter_map(|text| Name::new(text)).collect();
            prop_assert_eq!(names.len(), texts.len());
            let (count, text) = (names.len().to_string(), render_names(&names));
            let listen = parse(&env("7", &count, Some(&text)), 7, None);
            prop_assert_eq!(listen, Ok(Listen::Sockets(names)));
        }

        #[test]
        fn never_panics(
            pid in "7|.{0,8}",
            fds in "[0-9]{0,5}|.{0,8}",
            names in prop::option::of(".{0,40}"),
            pidfdid in prop::option::of(".{0,8}"),
        ) {
            let env = ListenEnv {
                pid: Some(&pid),
                fds: Some(&fds),
                names: names.as_deref(),
                pidfdid: pidfdid.as_deref(),
            };
            let _ = parse(&env, 7, Some(1));
        }
    }
}
