//! A command line that ends here: with a help text or with a mistake.

use std::fmt;

/// A bad option or value.
pub const EXIT_USAGE: u8 = 1;

/// No program, a bad port: where Perl would `die`.
pub const EXIT_DIED: u8 = 255;

/// Why there is nothing to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `--help` or `--version`: this text is for stdout, the exit code is 0.
    Text(String),
    /// A mistake: this line is for stderr.
    Mistake {
        /// One line: the option, the value, the reason.
        line: String,
        /// The exit code.
        code: u8,
    },
}

impl Refusal {
    /// A mistake in the options.
    pub(super) fn usage(line: impl Into<String>) -> Refusal {
        Refusal::Mistake {
            line: format!("error: {}", line.into()),
            code: EXIT_USAGE,
        }
    }

    /// A mistake in the value of one option (or environment variable).
    pub(super) fn value(option: &str, value: &str, reason: impl fmt::Display) -> Refusal {
        let value = value.escape_debug();
        Refusal::usage(format!("invalid value '{value}' for '{option}': {reason}"))
    }

    /// What Perl would `die` of, in these very words.
    pub(super) fn died(line: impl Into<String>) -> Refusal {
        Refusal::Mistake {
            line: line.into(),
            code: EXIT_DIED,
        }
    }

    /// The text, without what it is for.
    pub(super) fn into_line(self) -> String {
        match self {
            Refusal::Text(line) | Refusal::Mistake { line, .. } => line,
        }
    }

    /// The exit code of the program.
    pub fn code(&self) -> u8 {
        match self {
            Refusal::Text(_) => 0,
            Refusal::Mistake { code, .. } => *code,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Text(text) => f.write_str(text.trim_end()),
            Refusal::Mistake { line, .. } => f.write_str(line),
        }
    }
}

impl std::error::Error for Refusal {}
