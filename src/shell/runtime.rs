//! The directory where our sockets live: `$RUNTIME_DIRECTORY`, or one of our own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Others may pass through, because a worker may have given up its privileges, but not look.
const MODE: u32 = 0o711;

/// How many names are tried before something must be wrong.
const TRIES: u32 = 100;

/// A directory for notify sockets; our own goes away with us.
#[derive(Debug)]
pub struct Runtime {
    directory: PathBuf,
    ours: bool,
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
                    ours: false,
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
        let pid = std::process::id();
        let mut error = io::ErrorKind::AlreadyExists.into();
        for attempt in 0..TRIES {
            let directory = parent.join(format!("sd-starter.{pid}.{attempt}"));
            match DirBuilder::new().mode(MODE).create(&directory) {
                Ok(()) => {
                    // mkdir(2) has applied the umask.
                    fs::set_permissions(&directory, fs::Permissions::from_mode(MODE))?;
                    return Ok(Self {
                        directory,
                        ours: true,
                    });
                }
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => error = taken,
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the control socket is by default: only where clients would look for it.
    #[must_use]
    pub fn control_socket(&self) -> Option<PathBuf> {
        (!self.ours).then(|| self.directory.join("control"))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.ours {
            // Fails when somebody put a file there; then it is theirs to remove.
            let _ = fs::remove_dir(&self.directory);
        }
    }
}
