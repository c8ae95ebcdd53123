//! The file of `--pid-file`: the supervisor's pid and a line feed.

use std::fmt;

/// Larger files are refused; the largest pid has ten digits.
const MAX_LENGTH: usize = 32;

/// A content that is not one pid. Empty is what `start_server` leaves when a
/// second instance is given the same file (B8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPid;

impl fmt::Display for NotAPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pid file does not contain a pid")
    }
}

impl std::error::Error for NotAPid {}

/// The content of the file for the process `pid`.
pub fn render(pid: i32) -> String {
    format!("{pid}\n")
}

/// Reads the file. The line feed may be missing: lestrrat's port writes none.
///
/// Never 0 or negative: kill(2) takes those for whole groups of processes.
pub fn parse(content: &[u8]) -> Result<i32, NotAPid> {
    let line = content.strip_suffix(b"\n").unwrap_or(content);
    if line.len() > MAX_LENGTH || !line.iter().all(u8::is_ascii_digit) {
        return Err(NotAPid);
    }
    let pid = std::str::from_utf8(line)
        .ok()
        .and_then(|digits| digits.parse().ok());
    pid.filter(|&pid| pid > 0).ok_or(NotAPid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_pid_with_and_without_a_line_feed() {
        assert_eq!(parse(b"4242\n"), Ok(4242));
        assert_eq!(parse(b"4242"), Ok(4242));
    }

    #[test]
    fn never_reads_a_process_group() {
        for content in [
            &b""[..],
            b"\n",
            b"0\n",
            b"-1\n",
            b"+1\n",
            b"1 2\n",
            b"1\n\n",
            b"4294967297",
        ] {
            assert_eq!(parse(content), Err(NotAPid), "{}", content.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn survives_a_round_trip(pid in 1i32..) {
            prop_assert_eq!(parse(render(pid).as_bytes()), Ok(pid));
        }

        #[test]
        fn never_panics(content in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&content);
        }
    }
}
