//! The value of `--port`, `[HOST:]PORT[=FD]`, as Server::Starter reads it.
//!
//! Source: `start_server` 0.35, whose workers compare the keys in
//! `SERVER_STARTER_PORT` as texts. A key therefore keeps the user's own
//! spelling: `localhost:80`, `0:80` and `080` stay as they were written.

use core::net::Ipv6Addr;
use std::fmt;

/// Longer texts are refused: a host name has at most 253 characters.
const MAX_LENGTH: usize = 512;

/// The highest file descriptor that a pin may ask for.
const MAX_PIN: u32 = 65535;

/// One socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The host as written, without brackets; `None` is every IPv4 address.
    /// With a colon in it, it is an IPv6 address.
    pub host: Option<String>,
    /// The port number; 0 asks the kernel for a free one.
    pub port: u16,
    /// UDP instead of TCP: a `u` stood before the number.
    pub udp: bool,
    /// The descriptor on which the worker wants to find the socket.
    pub pin: Option<i32>,
    /// The name of the socket in `SERVER_STARTER_PORT`.
    pub key: String,
}

/// Why a text is not a `--port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortError {
    /// It has not the form `[HOST:]PORT[=FD]`.
    Form,
    /// The port number is above 65535. (`start_server` takes it modulo 65536.)
    Number,
    /// Nothing can be listened on at this host; its text.
    Host(String),
    /// The pin is 1 or 2, where messages go, or above 65535.
    Pin,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortError::Form => f.write_str("not of the form [HOST:]PORT[=FD]"),
            PortError::Number => f.write_str("the port number is above 65535"),
            PortError::Host(host) if host.contains(':') => {
                write!(f, "\"{}\" is not an IPv6 address", host.escape_debug())
            }
            PortError::Host(host) => write!(f, "\"{}\" is not a host", host.escape_debug()),
            PortError::Pin => {
                f.write_str("a socket can be put on file descriptor 0 or on 3 to 65535")
            }
        }
    }
}

impl std::error::Error for PortError {}

/// Reads one value of `--port`.
pub fn parse(text: &str) -> Result<PortSpec, PortError> {
    if text.len() > MAX_LENGTH {
        return Err(PortError::Form);
    }
    let text = trim(text);
    let (host, rest) = match text.rsplit_once(':') {
        // The last colon divides, so `::1:80` needs no brackets.
        Some((host, rest)) => (Some(bare_host(host)?), trim(rest)),
        None => (None, text),
    };
    let (udp, rest) = match rest.strip_prefix('u') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (digits, pin) = match rest.split_once('=') {
        Some((digits, pin)) => (digits.trim_end_matches(is_blank), Some(pin)),
        None => (rest, None),
    };
    if !is_number(digits) || !pin.is_none_or(is_number) {
        return Err(PortError::Form);
    }
    let port = digits.parse().map_err(|_| PortError::Number)?;
    let key = match host {
        None => digits.to_owned(),
        Some(host) => {
            check_host(host)?;
            if host.contains(':') {
                format!("[{host}]:{digits}")
            } else {
                format!("{host}:{digits}")
            }
        }
    };
    Ok(PortSpec {
        host: host.map(str::to_owned),
        port,
        udp,
        pin: pin.map(parse_pin).transpose()?,
        key,
    })
}

/// Takes the brackets off. Like the original this does not insist on both.
fn bare_host(host: &str) -> Result<&str, PortError> {
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.trim_start_matches(is_blank),
        None => host,
    };
    match host.split_once(']') {
        None => Ok(host),
        // A second bracket, or anything else after the first, is not a host.
        Some((host, after)) if trim(after).is_empty() => Ok(host),
        Some(_) => Err(PortError::Form),
    }
}

/// Refuses now what no resolver can resolve later, and what would tear the
/// `key=fd;key=fd` list apart.
fn check_host(host: &str) -> Result<(), PortError> {
    let is_plausible = if host.contains(':') {
        host.parse::<Ipv6Addr>().is_ok()
    } else {
        let unfit =
            |c: char| is_blank(c) || c.is_control() || matches!(c, '*' | ';' | '=' | '/' | '[');
        !host.is_empty() && !host.contains(unfit)
    };
    if is_plausible {
        Ok(())
    } else {
        Err(PortError::Host(host.to_owned()))
    }
}

fn parse_pin(digits: &str) -> Result<i32, PortError> {
    match digits.parse::<u32>() {
        // start_server duplicates onto 2 and dies of the lost stderr.
        Ok(1 | 2) => Err(PortError::Pin),
        Ok(fd) if fd <= MAX_PIN => i32::try_from(fd).map_err(|_| PortError::Pin),
        Ok(_) | Err(_) => Err(PortError::Pin),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What `\s` means to Perl in a string of bytes.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> String {
        parse(text).map_or_else(|error| format!("{error:?}"), |spec| spec.key)
    }

    #[test]
    fn keys_are_those_of_start_server() {
        for (text, expected) in [
            ("8080", "8080"),
            (" 8080 ", "8080"),
            ("0080", "0080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:8080", "localhost:8080"),
            ("0:8080", "0:8080"),
            ("127.1:8080", "127.1:8080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[127.0.0.1]:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("[ ::1]: 8080", "[::1]:8080"),
            ("[::]:8080", "[::]:8080"),
            ("::1:8080", "[::1]:8080"),
            ("u5353", "5353"),
            ("127.0.0.1:u5353", "127.0.0.1:5353"),
            ("[::1]:u5353", "[::1]:5353"),
            ("8080=9", "8080"),
            ("8080 =9", "8080"),
            ("localhost:8080=9", "localhost:8080"),
            ("[::1]:8080=9", "[::1]:8080"),
        ] {
            assert_eq!(key(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_parts_are_told_apart() {
        let spec = parse("[::1]:u53=7").expect("well-formed");
        assert_eq!(spec.host.as_deref(), Some("::1"));
        assert_eq!((spec.port, spec.udp, spec.pin), (53, true, Some(7)));
        let spec = parse("80=0").expect("well-formed");
        assert_eq!((spec.host, spec.udp, spec.pin), (None, false, Some(0)));
    }

    #[test]
    fn refuses_what_start_server_refuses() {
        for text in [
            "",
            " ",
            "8080=",
            "abc",
            "/path",
            "[8080",
            "80 80",
            "u",
            "80=x",
            "[::1]x:80",
        ] {
            assert_eq!(parse(text), Err(PortError::Form), "{text:?}");
        }
        for text in [
            ":8080",
            "*:8080",
            "u[::1]:53",
            " [ ::1 ]: 80 ",
            "::1",
            "fe80::1%lo:80",
        ] {
            let refused = parse(text);
            assert!(
                matches!(refused, Err(PortError::Host(_))),
                "{text:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn b10_refuses_numbers_that_start_server_bends() {
        assert_eq!(parse("99999"), Err(PortError::Number));
        assert_eq!(parse("65536"), Err(PortError::Number));
        assert_eq!(parse("99999999999999999999"), Err(PortError::Number));
        for text in ["80=1", "80=2", "80=65536", "80=99999999999999999999"] {
            assert_eq!(parse(text), Err(PortError::Pin), "{text:?}");
        }
    }

    #[test]
    fn a_key_cannot_tear_the_list_apart() {
        for text in ["a;b:80", "a=b:80", "a\0b:80", "a\nb:80"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ u0-9a-z:=\\[\\];.]{0,24}|.{0,600}") {
            if let Ok(spec) = parse(&text) {
                prop_assert!(!spec.key.contains([';', '=', '\0']));
            }
        }

        #[test]
        fn a_key_is_read_as_itself(
            host in proptest::option::of("[a-z][a-z0-9.-]{0,20}"),
            port: u16,
            udp: bool,
        ) {
            let text = match &host {
                Some(host) => format!("{host}:{}{port}", if udp { "u" } else { "" }),
                None => format!("{}{port}", if udp { "u" } else { "" }),
            };
            let spec = parse(&text).expect("well-formed");
            prop_assert_eq!((spec.port, spec.udp, spec.pin), (port, udp, None));
            prop_assert_eq!(&spec.host, &host);
            let again = parse(&spec.key).expect("a key is a port");
            prop_assert_eq!(again.key, spec.key);
        }
    }
}
