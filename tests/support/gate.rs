//! A gate: requests to `/hold?gate=PATH` are held until the test opens it.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// A FIFO: its readers wait in open(2) until there is a writer (fifo(7)).
pub(crate) struct Gate {
    /// As this process sees it.
    here: PathBuf,
    /// As the worker sees it: another path when the worker lives in a rig.
    inside: PathBuf,
    writer: Option<File>,
}

impl Gate {
    /// A closed gate at `here`, which the worker knows as `inside`.
    pub(crate) fn closed(here: PathBuf, inside: &Path) -> Self {
        nix::unistd::mkfifo(&here, Mode::from_bits_truncate(0o644)).expect("a new FIFO");
        // Workers run as users of their own; mkfifo minds the umask.
        std::fs::set_permissions(&here, Permissions::from_mode(0o644)).expect("our FIFO's mode");
        Self {
            here,
            inside: inside.to_owned(),
            writer: None,
        }
    }

    /// The request target that is held here.
    pub(crate) fn target(&self) -> String {
        format!("/hold?gate={}", self.inside.display())
    }

    /// Lets go of every request that waits, and of every later one, until the gate is dropped.
    pub(crate) fn open(&mut self) {
        // Read and write, so that this open itself waits for nobody.
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits());
        self.writer = Some(options.open(&self.here).expect("our FIFO opens"));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        let _ = std::fs::remove_file(&self.here);
    }
}
