//! The values of single options.

use super::refusal::Refusal;
use crate::core::Attempts;
use crate::protocol::address;
use crate::protocol::duration;
use crate::protocol::listen_fds::Name;
use crate::protocol::signal_name::Signal;
use crate::shell::settings::{ListenKey, LogTarget, Ready};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::num::IntErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The longest path of a unix socket: sun_path without its NUL, unix(7).
const MAX_PATH_LENGTH: usize = 107;

/// The descriptors that a worker can be asked to report on.
const READY_FDS: std::ops::RangeInclusive<i32> = 3..=65535;

/// The value of an option that is its type's own text, if it was given.
pub(super) fn parsed<T>(option: &str, text: Option<String>) -> Result<Option<T>, Refusal>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let value = |text: String| {
        text.parse()
            .map_err(|error| Refusal::value(option, &text, error))
    };
    text.map(value).transpose()
}

/// The values of an option that may be repeated.
pub(super) fn each<T>(
    texts: &[String],
    value: fn(&str) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    texts.iter().map(|text| value(text)).collect()
}

/// A length of time; `option` may be the name of a variable as well.
pub(super) fn duration(option: &str, text: &str) -> Result<Duration, Refusal> {
    duration::parse(text).map_err(|error| Refusal::value(option, text, error))
}

/// A length of time where none at all makes no sense.
pub(super) fn positive(option: &str, text: Option<String>) -> Result<Option<Duration>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    match duration(option, &text)? {
        Duration::ZERO => Err(Refusal::value(option, &text, "must be longer than 0")),
        duration => Ok(Some(duration)),
    }
}

/// As many as a process may have open under systemd's default hard limit is more than anybody
/// hands over.
pub(super) fn fd_store_max(text: &str) -> Result<usize, Refusal> {
    let reason = "not a number of descriptors up to 4096";
    let limit = text.parse().ok().filter(|limit| *limit <= 4096);
    limit.ok_or_else(|| Refusal::value("--fd-store-max", text, reason))
}

pub(super) fn path_mode(text: &str) -> Result<u32, Refusal> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = if is_octal {
        u32::from_str_radix(digits, 8).ok()
    } else {
        None
    };
    mode.filter(|&mode| mode <= 0o777)
        .ok_or_else(|| Refusal::value("--path-mode", text, "not an octal mode up to 0777"))
}

/// Many write -1 for "as many as possible", as listen(2) understands it; what is too large for it is
/// meant so, too.
pub(super) fn backlog(text: &str) -> Result<i32, Refusal> {
    use IntErrorKind::{NegOverflow, PosOverflow};
    match text.parse::<i32>() {
        Ok(backlog) if backlog >= 0 => Ok(backlog),
        Ok(_) => Ok(i32::MAX),
        Err(error) if matches!(error.kind(), PosOverflow | NegOverflow) => Ok(i32::MAX),
        Err(_) => {
            let reason = "not a number of connections";
            Err(Refusal::value("--backlog", text, reason))
        }
    }
}

pub(super) fn attempts(text: &str) -> Result<Attempts, Refusal> {
    let reason = "not a number from 1 up, nor unlimited";
    match text {
        "unlimited" => Ok(Attempts::Unlimited),
        text => text
            .parse()
            .map(Attempts::AtMost)
            .map_err(|_| Refusal::value("--attempts", text, reason)),
    }
}

pub(super) fn ready(text: &str) -> Result<Ready, Refusal> {
    let wrong = |reason| Err(Refusal::value("--ready", text, reason));
    match text.split_once(':') {
        None => match text {
            "auto" => Ok(Ready::Auto),
            "notify" => Ok(Ready::Notify),
            "alive" => Ok(Ready::Alive),
            _ => wrong("not one of auto, notify, alive, fd:N, command:CMD"),
        },
        Some(("fd", fd)) => match fd.parse() {
            Ok(fd) if READY_FDS.contains(&fd) => Ok(Ready::Fd(fd)),
            _ => wrong("not a file descriptor from 3 to 65535"),
        },
        Some(("command", command)) if command.trim().is_empty() => wrong("no command"),
        Some(("command", command)) => Ok(Ready::Command(command.into())),
        Some(_) => wrong("not one of auto, notify, alive, fd:N, command:CMD"),
    }
}

/// A signal to pass on: one that we have no use for ourselves.
pub(super) fn forwarded(text: &str) -> Result<Signal, Refusal> {
    let signal = text
        .parse()
        .map_err(|error| Refusal::value("--forward", text, error))?;
    match signal {
        Signal::HUP | Signal::TERM | Signal::INT | Signal::CHLD => Err(Refusal::value(
            "--forward",
            text,
            "this signal has a meaning of its own",
        )),
        Signal::KILL | Signal::STOP => Err(Refusal::value(
            "--forward",
            text,
            "this signal cannot be caught",
        )),
        signal => Ok(signal),
    }
}

pub(super) fn listen_key(text: &str) -> Result<ListenKey, Refusal> {
    let wrong = |reason| Refusal::value("--listen-key", text, reason);
    let (name, key) = text
        .split_once('=')
        .ok_or_else(|| wrong("not of the form FDNAME=KEY"))?;
    let name = Name::new(name).ok_or_else(|| wrong("not the name of a file descriptor"))?;
    if key.is_empty() || key.contains([';', '=', '\0']) {
        return Err(wrong("a key is not empty and contains neither ';' nor '='"));
    }
    Ok(ListenKey {
        name,
        key: key.to_owned(),
    })
}

/// The unix sockets. A path that workers could not find in the `key=fd;key=fd`
/// list is refused; `start_server` lets them run into it.
pub(super) fn paths(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, Refusal> {
    for (index, path) in paths.iter().enumerate() {
        let wrong = |reason: &str| Refusal::value("--path", &path.to_string_lossy(), reason);
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() > MAX_PATH_LENGTH {
            return Err(wrong("longer than 107 bytes, the limit for a unix socket"));
        }
        if address::path_key(bytes).is_none() {
            return Err(wrong(
                "must be UTF-8 without ';' and '=', and not read like a port",
            ));
        }
        if paths[..index].contains(path) {
            return Err(wrong("given twice"));
        }
    }
    Ok(paths)
}

/// A file, or a command after a bar, as in Perl's open.
pub(super) fn log_target(text: &OsStr) -> Result<LogTarget, Refusal> {
    let bytes = text.as_bytes().trim_ascii_start();
    let Some(command) = bytes.strip_prefix(b"|").map(<[u8]>::trim_ascii_start) else {
        return Ok(LogTarget::File(text.into()));
    };
    if command.is_empty() {
        return Err(Refusal::value(
            "--log-file",
            &text.to_string_lossy(),
            "no command",
        ));
    }
    Ok(LogTarget::Command(OsString::from(OsStr::from_bytes(
        command,
    ))))
}
