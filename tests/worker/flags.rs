//! The behaviour that a test asks for.

use std::time::Duration;

/// What the command line and the `--deploy` file say together; the file is read last and wins.
#[derive(Default)]
pub(crate) struct Flags {
    /// `--text WORD`: the version word in every answer.
    pub(crate) text: Option<String>,
    /// `--boot-ms N`: so long nothing is accepted and nobody is told that we are ready.
    pub(crate) boot: Duration,
    /// `--ready`: send READY=1 when serving.
    pub(crate) ready: bool,
    /// `--status TEXT`: send STATUS=TEXT at the start.
    pub(crate) status: Option<String>,
    /// `--exit-at-start CODE`: a deploy that fails at once.
    pub(crate) exit_at_start: Option<u8>,
    /// `--exit-after-ms N[:CODE]`: a deploy that fails later, counted from the start of the process.
    pub(crate) exit_after: Option<(Duration, u8)>,
    /// `--give-up-after-ms N[:CODE]`: a deploy that fails so long after it was ready, and first finishes what
    /// it has begun.
    pub(crate) give_up_after: Option<(Duration, u8)>,
    /// `--never-ready`: stay, but neither accept nor send READY=1.
    pub(crate) never_ready: bool,
    /// `--ignore-term`: SIGTERM changes nothing.
    pub(crate) ignore_term: bool,
    /// `--linger`: drain as others do, and then stay: whoever is killed then has no client left.
    pub(crate) linger: bool,
    /// `--nonblocking`: set O_NONBLOCK on the listening sockets, as most event loops do.
    pub(crate) nonblocking: bool,
}

impl Flags {
    pub(crate) fn read() -> Result<Self, String> {
        let mut flags = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            if flag == "--deploy" {
                let path = arguments.next().ok_or("--deploy needs a file")?;
                let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
                for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    let (flag, value) = line.split_once(' ').unwrap_or((line, ""));
                    flags.set(flag, || Some(value.to_owned()))?;
                }
            } else {
                flags.set(&flag, || arguments.next())?;
            }
        }
        Ok(flags)
    }

    fn set(&mut self, flag: &str, mut value: impl FnMut() -> Option<String>) -> Result<(), String> {
        let mut value = || {
            value()
                .filter(|v| !v.is_empty())
                .ok_or(format!("{flag} needs a value"))
        };
        match flag {
            "--text" => self.text = Some(value()?),
            "--boot-ms" => self.boot = milliseconds(&value()?)?,
            "--ready" => self.ready = true,
            "--status" => self.status = Some(value()?),
            "--exit-at-start" => self.exit_at_start = Some(number(&value()?)?),
            "--exit-after-ms" => {
                let value = value()?;
                let (after, code) = value.split_once(':').unwrap_or((&value, "1"));
                self.exit_after = Some((milliseconds(after)?, number(code)?));
            }
            "--give-up-after-ms" => {
                let value = value()?;
                let (after, code) = value.split_once(':').unwrap_or((&value, "1"));
                self.give_up_after = Some((milliseconds(after)?, number(code)?));
            }
            "--never-ready" => self.never_ready = true,
            "--ignore-term" => self.ignore_term = true,
            "--linger" => self.linger = true,
            "--nonblocking" => self.nonblocking = true,
            _ => return Err(format!("unknown flag {flag}")),
        }
        Ok(())
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    number(text).map(Duration::from_millis)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
