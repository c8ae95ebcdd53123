//! The directory of `--envdir`: one file is one variable.
//!
//! Source: Server::Starter 0.35. The value is the first line; only its line
//! feed is taken off, so trailing blanks and a CR belong to it. Files whose
//! name begins with a dot are skipped, and an empty file sets nothing. The
//! directory is read anew for every generation: what is gone is gone (B15).

use super::worker_env::{BadVariable, Variable};
use std::ffi::{OsStr, OsString};
use std::fmt;

/// Longer first lines are refused: execve(2) takes no string above 128 KiB.
pub const MAX_VALUE_LENGTH: usize = 65536;

/// More files than this are refused.
pub const MAX_FILES: usize = 4096;

/// A directory that cannot be an environment. Leaving out just that file
/// would start a generation with half of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvdirError {
    /// The name or the first line of this file is not a variable.
    Variable(OsString, BadVariable),
    /// The first line of this file is longer than [`MAX_VALUE_LENGTH`].
    TooLong(OsString),
    /// There are more than [`MAX_FILES`] files.
    TooMany,
}

impl fmt::Display for EnvdirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvdirError::Variable(name, reason) => {
                write!(f, "{}: {reason}", name.to_string_lossy())
            }
            EnvdirError::TooLong(name) => {
                write!(
                    f,
                    "{}: the first line is longer than 64 KiB",
                    name.to_string_lossy()
                )
            }
            EnvdirError::TooMany => f.write_str("more than 4096 files"),
        }
    }
}

impl std::error::Error for EnvdirError {}

/// Reads a directory, given as name and content of each file.
///
/// It is enough to pass the first [`MAX_VALUE_LENGTH`] + 1 bytes of a file.
pub fn parse(files: &[(OsString, Vec<u8>)]) -> Result<Vec<Variable>, EnvdirError> {
    if files.len() > MAX_FILES {
        return Err(EnvdirError::TooMany);
    }
    let variables = files
        .iter()
        .map(|(name, content)| parse_file(name, content));
    variables.filter_map(Result::transpose).collect()
}

/// Reads one file: `None` when it sets nothing.
pub fn parse_file(name: &OsStr, content: &[u8]) -> Result<Option<Variable>, EnvdirError> {
    if is_skipped(name) || content.is_empty() {
        return Ok(None);
    }
    let line = content
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    if line.len() > MAX_VALUE_LENGTH {
        return Err(EnvdirError::TooLong(name.to_owned()));
    }
    match Variable::new(name.as_encoded_bytes(), line) {
        Ok(variable) => Ok(Some(variable)),
        Err(reason) => Err(EnvdirError::Variable(name.to_owned(), reason)),
    }
}

/// Whether a file of this name need not be opened at all.
pub fn is_skipped(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(content: &[u8]) -> Option<Vec<u8>> {
        let variable = parse_file(OsStr::new("A"), content).expect("a good file");
        variable.map(|variable| variable.value().to_vec())
    }

    #[test]
    fn the_first_line_is_the_value() {
        for (content, expected) in [
            (&b"v\n"[..], &b"v"[..]),
            (b"v", b"v"),
            (b"v \r\n", b"v \r"),
            (b" v\nsecond\n", b" v"),
            (b"\n", b""),
            (b"v\nsecond\0", b"v"),
            (b"\xff\n", b"\xff"),
        ] {
            assert_eq!(
                value(content).as_deref(),
                Some(expected),
                "{}",
                content.escape_ascii()
            );
        }
    }

    #[test]
    fn an_empty_file_and_a_dot_file_set_nothing() {
        assert_eq!(value(b""), None);
        assert_eq!(parse_file(OsStr::new(".A"), b"v\n"), Ok(None));
    }

    #[test]
    fn refuses_what_is_no_variable_and_names_the_file() {
        let error = |name: &str, content: &[u8]| {
            let refused = parse_file(OsStr::new(name), content);
            refused.expect_err("not a variable").to_string()
        };
        assert_eq!(
            error("A=B", b"v"),
            "A=B: the name of the variable contains \"=\" or a NUL"
        );
        assert_eq!(error("A", b"v\0w\n"), "A: the value contains a NUL");
        assert!(error("A", &[b'v'; MAX_VALUE_LENGTH + 1]).contains("64 KiB"));
    }

    #[test]
    fn a_directory_is_bounded() {
        let files = vec![(OsString::from("A"), Vec::new()); MAX_FILES + 1];
        assert_eq!(parse(&files), Err(EnvdirError::TooMany));
        assert_eq!(parse(&files[1..]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn survives_a_round_trip(name in "[A-Za-z_][A-Za-z0-9_.]{0,10}", value in "[^\n\0]{0,40}") {
            let files = [(OsString::from(&name), format!("{value}\nmore").into_bytes())];
            let expected = Variable::new(name.as_str(), value.as_str()).expect("a good variable");
            prop_assert_eq!(parse(&files), Ok(vec![expected]));
        }

        #[test]
        fn never_panics(name in ".{0,8}", content in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&[(OsString::from(name), content)]);
        }
    }
}
