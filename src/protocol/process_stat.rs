//! `/proc/PID/stat`: what one process has used so far (proc_pid_stat(5)).

/// The fields that we look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessStat {
    /// Processor time in ticks, in and for the process, with the children that it has waited for.
    pub ticks: u64,
    /// Resident pages.
    pub pages: u64,
}

/// Reads the line; `None` for what is not one.
#[must_use]
pub fn parse(line: &str) -> Option<ProcessStat> {
    // The second field is the name in parentheses, and may hold any character, also these.
    let (_, rest) = line.rsplit_once(") ")?;
    // Field 3, the state, is the first one here.
    let mut fields = rest.split_ascii_whitespace().skip(14 - 3);
    let mut ticks = 0_u64;
    // utime, stime, cutime and cstime; the latter two are signed, for no reason.
    for _ in 0..4 {
        let field: i64 = fields.next()?.parse().ok()?;
        ticks = ticks.saturating_add(u64::try_from(field).unwrap_or(0));
    }
    // Field 24.
    let pages: i64 = fields.nth(24 - 18)?.parse().ok()?;
    Some(ProcessStat {
        ticks,
        pages: u64::try_from(pages).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let line = "42 (a) (b c) S 1 42 42 0 -1 4194560 100 200 0 0 7 5 30 -1 20 0 1 0 9999 \
                    10000000 321 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0\n";
        let expected = ProcessStat {
            ticks: 42,
            pages: 321,
        };
        assert_eq!(parse(line), Some(expected));
    }

    #[test]
    fn our_own_line_is_understood() {
        // Not the file system of the module, which is pure, but of its test.
        let line = std::fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
        assert!(parse(&line).expect("a line of the kernel's").pages > 10);
    }

    proptest! {
        #[test]
        fn never_panics(line in ".{0,200}") {
            let _ = parse(&line);
        }
    }
}
