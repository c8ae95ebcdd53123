//! What systemd keeps for us over our own death, by its name in the fd store (`FDNAME=`).
//!
//! A descriptor comes back from the store like one of a socket unit, in `LISTEN_FDS`, and only
//! its name tells them apart. So ours begin with `sd-starter.`, which no `FileDescriptorName=`
//! should. A name is also the handle by which it is removed (`FDSTOREREMOVE=1`), so each is
//! unique; and what cannot be asked of the descriptor itself stands in it.

use std::fmt::Write as _;

use super::listen_fds::Name;
use super::state::Label;

/// How every name of ours begins.
const PREFIX: &str = "sd-starter.";

/// One thing that is kept.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Keepsake {
    /// The socket of a `--port`.
    Port {
        /// The option's key, as it can stand in a name.
        key: String,
        /// Which one with this key, from 0 on: `--port 0` can be given twice.
        nth: u32,
        /// SO_COOKIE: two sockets of two lives can have the same key, and the name of the one that is
        /// given up must not be that of the one that is kept. 0 where there is none.
        cookie: u64,
    },
    /// The socket of a `--path`. Where it is bound is asked of the kernel.
    Path {
        /// The device of its file.
        device: u64,
        /// The inode of its file: the proof that a client still reaches this socket.
        inode: u64,
        /// The end of the path, for people.
        path: String,
    },
    /// The memory in which the state is written down.
    State,
    /// A descriptor that the state names by this label.
    Labelled(Label),
}

impl Keepsake {
    /// The socket of the `nth` `--port` with this key.
    #[must_use]
    pub fn port(key: &str, nth: u32, cookie: Option<u64>) -> Self {
        let key = escape(key, 180);
        let cookie = cookie.unwrap_or_default();
        Self::Port { key, nth, cookie }
    }

    /// Whether it is the socket of the `nth` `--port` with this key.
    #[must_use]
    pub fn is_port(&self, key: &str, nth: u32) -> bool {
        match self {
            Self::Port {
                key: own,
                nth: number,
                ..
            } => *own == escape(key, 180) && *number == nth,
            Self::Path { .. } | Self::State | Self::Labelled(_) => false,
        }
    }

    /// The socket of a `--path` whose file has this identity.
    #[must_use]
    pub fn path(path: &str, device: u64, inode: u64) -> Self {
        let path = escape(path, 180);
        Self::Path {
            device,
            inode,
            path,
        }
    }

    /// What a descriptor of this name is; `None` for one that is not ours.
    #[must_use]
    pub fn parse(name: &Name) -> Option<Self> {
        let text = name.as_str().strip_prefix(PREFIX)?;
        match text.split_once('.').unwrap_or((text, "")) {
            ("state", "") => Some(Self::State),
            ("port", rest) => {
                let (nth, rest) = rest.split_once('.')?;
                let (cookie, key) = rest.split_once('.')?;
                Some(Self::Port {
                    key: key.to_owned(),
                    nth: number(nth)?,
                    cookie: number(cookie)?,
                })
            }
            ("path", rest) => {
                let (device, rest) = rest.split_once('.')?;
                let (inode, path) = rest.split_once('.')?;
                Some(Self::Path {
                    device: number(device)?,
                    inode: number(inode)?,
                    path: path.to_owned(),
                })
            }
            _ => Label::new(text).map(Self::Labelled),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Name {
        let text = match self {
            Self::Port { key, nth, cookie } => format!("{PREFIX}port.{nth}.{cookie}.{key}"),
            Self::Path {
                device,
                inode,
                path,
            } => format!("{PREFIX}path.{device}.{inode}.{path}"),
            Self::State => format!("{PREFIX}state"),
            Self::Labelled(label) => format!("{PREFIX}{label}"),
        };
        Name::new(&text).expect("visible characters without a colon, cut to fit")
    }
}

/// Whether a descriptor of this name was stored by us, perhaps by another version.
#[must_use]
pub fn is_ours(name: &Name) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// Only what our own [`Keepsake::name`] would have written.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A text that can stand in a name: a colon separates names, so it becomes `%3A`. What is too
/// long loses its beginning, which tells people the least.
fn escape(text: &str, longest: usize) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b':' && byte != b'%' {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped.split_off(escaped.len().saturating_sub(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_say_what_they_are() {
        for (keepsake, name) in [
            (
                Keepsake::port("8080", 0, Some(5)),
                "sd-starter.port.0.5.8080",
            ),
            (
                Keepsake::port("[::1]:u53", 1, None),
                "sd-starter.port.1.0.[%3A%3A1]%3Au53",
            ),
            (Keepsake::State, "sd-starter.state"),
            (
                Keepsake::Labelled(Label::numbered("pidfd", 7)),
                "sd-starter.pidfd.7",
            ),
            (
                Keepsake::path("/run/a b", 26, 7),
                "sd-starter.path.26.7./run/a%20b",
            ),
        ] {
            assert_eq!(keepsake.name().as_str(), name);
            assert_eq!(Keepsake::parse(&keepsake.name()), Some(keepsake));
        }
    }

    #[test]
    fn others_are_not_ours() {
        for name in [
            "",
            "http",
            "app.socket",
            "sd-starter",
            "stored",
            "xsd-starter.port.0.80",
        ] {
            let name = Name::new(name).unwrap();
            assert!(
                !is_ours(&name) && Keepsake::parse(&name).is_none(),
                "{name}"
            );
        }
        // Of another version of ours, perhaps: nothing that we could use, but ours to remove.
        for name in [
            "port.00.1.80",
            "port.80",
            "port.0.80",
            "path.x.1./a",
            "state.2",
            "x y",
            "",
        ] {
            let name = Name::new(&format!("sd-starter.{name}")).unwrap();
            let known = match Keepsake::parse(&name) {
                Some(Keepsake::Labelled(_)) | None => false,
                Some(_) => true,
            };
            assert!(is_ours(&name) && !known, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_called_it_comes_back(key in ".{0,300}", nth: u32, device: u64, inode: u64) {
            for keepsake in [Keepsake::port(&key, nth, Some(device)), Keepsake::path(&key, device, inode)] {
                prop_assert_eq!(Keepsake::parse(&keepsake.name()), Some(keepsake));
            }
        }

        #[test]
        fn no_name_is_too_much(text in "(sd-starter\\.)?[ -9;-~]{0,60}") {
            if let Some(name) = Name::new(&text) {
                let _ = Keepsake::parse(&name);
            }
        }
    }
}
