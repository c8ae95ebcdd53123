//! `starterctl units`: prints a pair of units, or writes it where systemd looks for it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sd_starter::cli::answer::Code;
use sd_starter::cli::control::Units;
use sd_starter::cli::unit_pair::{Order, UnitPair, version_of};

use crate::terminal::{complain, say};

/// Where nothing says which systemd there is: one that knows all that we use.
const NEW_ENOUGH: u32 = 247;

pub(crate) fn make(units: &Units) -> Code {
    let pair = UnitPair::new(&Order {
        name: &units.name,
        listen: &units.listen,
        options: &units.with,
        command: &units.command,
        programs: &programs(),
        systemd: units.systemd.or_else(installed).unwrap_or(NEW_ENOUGH),
        user: units.user,
    });
    let pair = match pair {
        Ok(pair) => pair,
        Err(unfit) => {
            complain(&unfit.to_string());
            return Code::Usage;
        }
    };
    match &units.install {
        None => {
            for (name, text) in [&pair.socket, &pair.service] {
                say(&format!("# {name}\n{text}"));
                say("");
            }
            Code::Done
        }
        Some(directory) => {
            let directory = directory
                .clone()
                .unwrap_or_else(|| own_directory(units.user));
            match install(&directory, &pair, units.user) {
                Ok(()) => Code::Done,
                Err((path, error)) => {
                    complain(&format!("cannot write {}: {error}", path.display()));
                    Code::Failed
                }
            }
        }
    }
}

/// Where the administrator's units are, or the user's (systemd.unit(5)).
fn own_directory(user: bool) -> PathBuf {
    if !user {
        return "/etc/systemd/system".into();
    }
    let directory = |name| std::env::var_os(name).map(PathBuf::from);
    let config = directory("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let home = || directory("HOME").unwrap_or_default().join(".config");
    config.unwrap_or_else(home).join("systemd/user")
}

fn install(directory: &Path, pair: &UnitPair, user: bool) -> Result<(), (PathBuf, io::Error)> {
    if user {
        let made = std::fs::create_dir_all(directory);
        made.map_err(|error| (directory.to_owned(), error))?;
    }
    let (socket, service) = (&pair.socket, &pair.service);
    let written = write_new(directory, socket)?;
    if let Err(error) = write_new(directory, service) {
        // Half a pair is none. It is the file that we have just made.
        let _ = std::fs::remove_file(written);
        return Err(error);
    }
    let systemctl = if user {
        "systemctl --user"
    } else {
        "systemctl"
    };
    complain(&format!(
        "wrote {0} and {1}; now: {systemctl} daemon-reload && {systemctl} enable --now {0} {1}",
        socket.0, service.0
    ));
    Ok(())
}

/// A new file; one that is there stays as it is.
fn write_new(
    directory: &Path,
    (name, text): &(String, String),
) -> Result<PathBuf, (PathBuf, io::Error)> {
    let path = directory.join(name);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o644).open(&path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(path),
        Err(error) => Err((path, error)),
    }
}

/// sd-starter is where we are.
fn programs() -> PathBuf {
    let here = std::env::current_exe().ok();
    let here = here.as_deref().and_then(Path::parent);
    here.unwrap_or(Path::new("/usr/bin")).to_owned()
}

fn installed() -> Option<u32> {
    let output = Command::new("systemctl").arg("--version").output().ok()?;
    version_of(&String::from_utf8_lossy(&output.stdout))
}
