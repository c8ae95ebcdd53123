//! The file of `--status-file`: one `GENERATION:PID` a line.
//!
//! Source: `start_server` 0.35, which sorts the lines as texts (`10` before
//! `9`, B16); slow-start scripts and `--restart` read the file. Ours are in
//! the order of the numbers.

use super::generation::Generation;
use std::fmt;

/// Larger files are refused: 64 KiB is more than 2,000 generations at once.
const MAX_LENGTH: usize = 65536;

/// Why a text is not a status file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFileError {
    /// More than 64 KiB.
    TooLong,
    /// A line, counted from 1, that is not `GENERATION:PID`.
    Line(usize),
}

impl fmt::Display for StatusFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatusFileError::TooLong => f.write_str("the status file is longer than 64 KiB"),
            StatusFileError::Line(number) => {
                write!(f, "line {number} of the status file is not GENERATION:PID")
            }
        }
    }
}

impl std::error::Error for StatusFileError {}

/// The content of the file, whatever the order of the workers.
pub fn render(workers: &[(Generation, i32)]) -> String {
    let mut workers = workers.to_vec();
    workers.sort_unstable();
    let line = |(generation, pid)| format!("{generation}:{pid}\n");
    workers.into_iter().map(line).collect()
}

/// Reads the file, in the order of its lines.
pub fn parse(content: &[u8]) -> Result<Vec<(Generation, i32)>, StatusFileError> {
    if content.len() > MAX_LENGTH {
        return Err(StatusFileError::TooLong);
    }
    let lines = content.strip_suffix(b"\n").unwrap_or(content);
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let lines = lines.split(|&byte| byte == b'\n').zip(1..);
    let worker = |(line, number)| parse_line(line).ok_or(StatusFileError::Line(number));
    lines.map(worker).collect()
}

fn parse_line(line: &[u8]) -> Option<(Generation, i32)> {
    let (generation, pid) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let digits = pid.bytes().all(|byte| byte.is_ascii_digit());
    let pid = pid.parse().ok().filter(|&pid| digits && pid > 0)?;
    Some((generation.parse().ok()?, pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn worker(number: u64, pid: i32) -> (Generation, i32) {
        (Generation::new(number).expect("not 0"), pid)
    }

    #[test]
    fn b16_sorts_as_numbers() {
        let text = render(&[worker(10, 7), worker(9, 8), worker(11, 6)]);
        assert_eq!(text, "9:8\n10:7\n11:6\n");
    }

    #[test]
    fn reads_what_start_server_writes() {
        assert_eq!(parse(b"10:7\n9:8\n"), Ok(vec![worker(10, 7), worker(9, 8)]));
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert_eq!(parse(b"1:2"), Ok(vec![worker(1, 2)]));
    }

    #[test]
    fn refuses_the_rest() {
        for line in [
            "1", "1:", ":1", "0:1", "1:0", "1:-1", "1:+1", "1:2:3", "x:1", "1: 2", "\n",
        ] {
            let content = format!("5:6\n{line}\n");
            assert_eq!(
                parse(content.as_bytes()),
                Err(StatusFileError::Line(2)),
                "{line:?}"
            );
        }
        assert_eq!(
            parse(&[b'1'; MAX_LENGTH + 1]),
            Err(StatusFileError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn survives_a_round_trip(pids in prop::collection::btree_map(1u64.., 1i32.., 0..20)) {
            let workers: Vec<_> = pids.into_iter().map(|(number, pid)| worker(number, pid)).collect();
            let content = render(&workers);
            prop_assert_eq!(parse(content.as_bytes()), Ok(workers));
        }

        #[test]
        fn never_panics(content in "[0-9:\n]{0,40}|.{0,40}") {
            let _ = parse(content.as_bytes());
        }
    }
}
