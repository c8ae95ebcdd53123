//! Placeholders in a worker's arguments and environment: `{fd:http}`.
//!
//! For servers that know neither `SERVER_STARTER_PORT` nor `LISTEN_FDS`, but take a
//! descriptor, a port or an address on their command line. A placeholder is a word of
//! small letters, a colon and anything up to the brace that closes it. Whatever does not
//! read like that (JSON, a shell function) stays as it is, byte for byte; `{{fd:http}` is
//! the text `{fd:http}`.

use std::fmt;

/// What a placeholder asks of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `{fd:}`: its descriptor in the worker.
    Fd,
    /// `{port:}`: its port.
    Port,
    /// `{addr:}`: its address, as a `.socket` unit would have it.
    Addr,
}

/// A placeholder that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPlaceholder {
    /// It, with its braces.
    pub text: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for BadPlaceholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadPlaceholder { text, reason } = self;
        write!(
            f,
            "{text}: {reason} (to pass on the text itself, write {{{text})"
        )
    }
}

impl std::error::Error for BadPlaceholder {}

/// Replaces every placeholder in `text` by what `answer` says of the socket with this key or name.
///
/// # Errors
/// [`BadPlaceholder`] for the first one that is unknown, or that `answer` refuses.
pub fn expand(
    text: &[u8],
    answer: impl Fn(Asked, &str) -> Result<String, String>,
) -> Result<Vec<u8>, BadPlaceholder> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(brace) = rest.iter().position(|byte| *byte == b'{') {
        expanded.extend_from_slice(&rest[..brace]);
        rest = &rest[brace..];
        if let Some(length) = rest.strip_prefix(b"{").and_then(length_of) {
            expanded.extend_from_slice(&rest[1..=length]);
            rest = &rest[1 + length..];
        } else if let Some(length) = length_of(rest) {
            let placeholder = String::from_utf8_lossy(&rest[..length]).into_owned();
            expanded.extend_from_slice(replace(placeholder, &answer)?.as_bytes());
            rest = &rest[length..];
        } else {
            expanded.push(b'{');
            rest = &rest[1..];
        }
    }
    expanded.extend_from_slice(rest);
    Ok(expanded)
}

/// The length of the placeholder that `text` begins with.
fn length_of(text: &[u8]) -> Option<usize> {
    let inner = text.strip_prefix(b"{")?;
    let word = inner
        .iter()
        .take_while(|byte| byte.is_ascii_lowercase())
        .count();
    let is_word = word > 0 && inner.get(word) == Some(&b':');
    let end = inner.iter().position(|byte| *byte == b'}')?;
    (is_word && end > word).then_some(end + 2)
}

fn replace(
    text: String,
    answer: impl Fn(Asked, &str) -> Result<String, String>,
) -> Result<String, BadPlaceholder> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let (word, socket) = inner.split_once(':').unwrap_or((inner, ""));
    let answered = match word {
        "fd" => answer(Asked::Fd, socket),
        "port" => answer(Asked::Port, socket),
        "addr" => answer(Asked::Addr, socket),
        _ => Err("unknown placeholder; there are fd, port and addr".to_owned()),
    };
    answered.map_err(|reason| BadPlaceholder { text, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(text: &str) -> Result<String, String> {
        let answer = |asked, socket: &str| match (asked, socket) {
            (Asked::Fd, "http") => Ok("3".to_owned()),
            (Asked::Port, "http") => Ok("8080".to_owned()),
            (Asked::Addr, "[::1]:80") => Ok("[::1]:80".to_owned()),
            _ => Err("no such socket".to_owned()),
        };
        let bytes = expand(text.as_bytes(), answer).map_err(|bad| bad.to_string())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn placeholders_are_replaced_wherever_they_stand() {
        assert_eq!(expanded("--fd={fd:http}").unwrap(), "--fd=3");
        assert_eq!(expanded("{fd:http}{port:http}").unwrap(), "38080");
        assert_eq!(expanded("{addr:[::1]:80}=x").unwrap(), "[::1]:80=x");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in [
            "",
            "{",
            "}",
            "{}",
            "{\"fd\": 1}",
            "{fd}",
            "{fd:",
            "{{ x }}",
            "{Fd:a}",
            "() { x:y; }",
        ] {
            assert_eq!(expanded(text).unwrap(), text);
        }
    }

    #[test]
    fn a_second_brace_makes_it_a_text() {
        assert_eq!(expanded("a {{fd:http} b").unwrap(), "a {fd:http} b");
        assert_eq!(expanded("{{{fd:http}").unwrap(), "{{fd:http}");
        assert_eq!(expanded("{{no:such}").unwrap(), "{no:such}");
    }

    #[test]
    fn an_unknown_one_is_refused_with_the_way_out() {
        assert_eq!(
            expanded("x {dir:http}").unwrap_err(),
            "{dir:http}: unknown placeholder; there are fd, port and addr \
             (to pass on the text itself, write {{dir:http})"
        );
        assert!(
            expanded("{fd:ftp}")
                .unwrap_err()
                .starts_with("{fd:ftp}: no such socket")
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_leaves_texts_without_placeholders_alone(text in "[{}:a-c\"]{0,20}") {
            let known = |_: Asked, socket: &str| Ok(socket.to_owned());
            let result = expand(text.as_bytes(), known);
            if !text.contains(':') {
                prop_assert_eq!(result.unwrap(), text.into_bytes());
            }
        }
    }
}
