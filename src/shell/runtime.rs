//! The directory where our sockets live: `$RUNTIME_DIRECTORY`, or one of our own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::luggage::{Luggage, Packed, path};
use crate::protocol::state::{Label, held};

/// Others may pass through, because a worker may have given up its privileges, but not look.
const MODE: u32 = 0o711;

/// How many names are tried before something must be wrong.
const TRIES: u32 = 100;

/// A directory that was made this long ago and that nobody holds was left behind.
const ABANDONED_AFTER: Duration = Duration::from_secs(10);

/// A directory for notify sockets; our own goes away with us.
#[derive(Debug)]
pub struct Runtime {
    directory: PathBuf,
    /// Held while we live, if the directory is our own: it tells others that we do, in whatever
    /// pid namespace they are.
    ours: Option<Flock<File>>,
}

impl Runtime {
    /// `$RUNTIME_DIRECTORY` (systemd.exec(5): the first of a colon-separated list) if there is
    /// one, else a new directory below /run, $XDG_RUNTIME_DIR or /tmp, whichever takes it first.
    ///
    /// # Errors
    /// As mkdir(2) at the last of them.
    pub fn open(
        runtime_directory: Option<&OsStr>,
        xdg_runtime_dir: Option<&OsStr>,
    ) -> io::Result<Self> {
        if let Some(list) = runtime_directory.filter(|list| !list.is_empty()) {
            let first = list.as_encoded_bytes().split(|byte| *byte == b':').next();
            let first = first.and_then(|first| std::str::from_utf8(first).ok());
            if let Some(directory) = first {
                return Ok(Self {
                    directory: PathBuf::from(directory),
                    ours: None,
                });
            }
        }
        let mut parents = Vec::new();
        if nix::unistd::geteuid().is_root() {
            parents.push(Path::new("/run"));
        }
        parents.extend(xdg_runtime_dir.filter(|dir| !dir.is_empty()).map(Path::new));
        parents.push(Path::new("/tmp"));
        let mut last = Err(io::ErrorKind::NotFound.into());
        for parent in parents {
            last = Self::create_below(parent);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// A new directory: mkdir(2) follows no link and takes over nothing that is there.
    fn create_below(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        let pid = std::process::id();
        let mut error = io::ErrorKind::AlreadyExists.into();
        for attempt in 0..TRIES {
            let directory = parent.join(format!("sd-starter.{pid}.{attempt}"));
            match DirBuilder::new().mode(MODE).create(&directory) {
                Ok(()) => {
                    // mkdir(2) has applied the umask.
                    fs::set_permissions(&directory, fs::Permissions::from_mode(MODE))?;
                    let held = hold(&directory)?;
                    return Ok(Self {
                        directory,
                        ours: Some(held),
                    });
                }
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => error = taken,
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }

    /// The directory and its lock, for a successor.
    pub fn save<'a>(&'a self, packed: &mut Packed<'a>) -> held::Runtime {
        let label = Label::of("runtime");
        held::Runtime {
            directory: self.directory.as_path().into(),
            lock: self.ours.as_ref().map(|lock| packed.add(label, &**lock)),
        }
    }

    /// The directory of a predecessor. Its lock belongs to the open file, and so to us now.
    ///
    /// # Errors
    /// When the lock did not come along; as flock(2).
    pub fn take_over(saved: &held::Runtime, luggage: &mut Luggage) -> io::Result<Self> {
        let lock = |file: File| Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let ours = match &saved.lock {
            Some(label) => {
                let file = File::from(luggage.take(label)?);
                Some(lock(file).map_err(|(_, errno)| io::Error::from(errno))?)
            }
            None => None,
        };
        Ok(Self {
            directory: path(&saved.directory),
            ours,
        })
    }

    /// Whether systemd made it, and removes it when the unit stops.
    #[must_use]
    pub fn is_systemds(&self) -> bool {
        self.ours.is_none()
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the control socket is by default: only where clients would look for it.
    #[must_use]
    pub fn control_socket(&self) -> Option<PathBuf> {
        self.ours.is_none().then(|| self.directory.join("control"))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.ours.is_some() {
            // Fails when somebody put a file there; then it is theirs to remove.
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// Opens and locks a directory; fails when somebody else holds it.
fn hold(directory: &Path) -> io::Result<Flock<File>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(directory)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// Removes what supervisors of our user left behind when they were killed. Whatever is not plainly
/// that stays; nothing here can fail.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_theirs = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(b"sd-starter.");
        if !is_theirs {
            continue;
        }
        let Ok(held) = hold(&entry.path()) else {
            continue;
        };
        let abandoned = held.metadata().is_ok_and(|metadata| {
            let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
            metadata.uid() == nix::unistd::geteuid().as_raw()
                && age.is_some_and(|age| age > ABANDONED_AFTER)
        });
        if abandoned {
            for file in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                if file.file_name().as_encoded_bytes().starts_with(b"notify.") {
                    let _ = fs::remove_file(file.path());
                }
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    use crate::os::scratch::Scratch;

    #[test]
    fn a_directory_of_our_own_can_be_passed_through_and_goes_with_us() {
        let scratch = Scratch::new();
        let runtime = Runtime::create_below(scratch.as_ref()).unwrap();
        let directory = runtime.directory().to_owned();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(runtime.control_socket(), None);
        drop(runtime);
        assert!(!directory.exists());
    }

    #[test]
    fn what_a_killed_supervisor_left_is_swept_and_what_is_held_stays() {
        let scratch = Scratch::new();
        let held = Runtime::create_below(scratch.as_ref()).unwrap();
        let dead = scratch.path("sd-starter.1.0");
        let other = scratch.path("something-else");
        for directory in [&dead, &other] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("notify.1"), "").unwrap();
        }
        sweep(scratch.as_ref());
        assert!(dead.exists(), "it may be a moment old");
        for directory in [held.directory(), &dead, &other] {
            let file = File::open(directory).unwrap();
            let long_ago = SystemTime::now() - ABANDONED_AFTER * 2;
            file.set_modified(long_ago).unwrap();
        }
        sweep(scratch.as_ref());
        assert!(held.directory().exists() && other.exists() && !dead.exists());
    }
}
