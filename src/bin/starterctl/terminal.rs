//! stdout and stderr, and what they can show.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::SystemTime;

use sd_starter::cli::escaped;
use sd_starter::cli::style::Style;

/// Where the terminal does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// A line on stdout; that nobody reads it is no error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// A line on stderr, one and not more whatever others have said in it; that nobody reads it is no error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "starterctl: {}", escaped::text(text));
}

pub(crate) fn stdout_style() -> Style {
    style(&std::io::stdout())
}

pub(crate) fn stderr_style() -> Style {
    style(&std::io::stderr())
}

fn style(stream: &(impl AsFd + IsTerminal)) -> Style {
    let columns = || match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => USUAL_WIDTH,
    };
    let columns = stream.is_terminal().then(columns);
    Style::of(columns, |name| std::env::var(name).ok())
}

/// How many lines the terminal on stdout has, if it says so.
pub(crate) fn lines() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// Microseconds of CLOCK_REALTIME.
pub(crate) fn now_usec() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
