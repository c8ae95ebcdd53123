//! What we are, on disk: where the program that may take our place is looked for, and what it is
//! started with.
//!
//! The path is found out at the very start. Later `/proc/self/exe` leads to wherever our own file
//! was moved to, or says " (deleted)" once a package manager has put another in its place.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::start::Environment;

/// Our own file, as the kernel knows it.
const EXE: &str = "/proc/self/exe";

/// Our program, with what it was started with.
#[derive(Clone, Debug)]
pub struct OwnProgram {
    path: PathBuf,
    environment: Vec<CString>,
}

impl OwnProgram {
    /// As it was started.
    #[must_use]
    pub fn at_start(environment: &Environment) -> Self {
        let own = fs::read_link(EXE).unwrap_or_default();
        let name = std::env::args_os().next().unwrap_or_default();
        let path = where_it_was_found(&name, environment.get("PATH"), &own);
        Self::new(path, environment)
    }

    /// As a predecessor knew where it is.
    #[must_use]
    pub fn new(path: PathBuf, environment: &Environment) -> Self {
        let variables = environment.0.iter();
        Self {
            path,
            environment: variables
                .map(|(name, value)| {
                    let mut both = name.clone();
                    both.push("=");
                    both.push(value);
                    c_string(&both)
                })
                .collect(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its file, for [`crate::os::succession::set_name`].
    #[must_use]
    pub fn name(&self) -> CString {
        c_string(self.path.file_name().unwrap_or_default())
    }

    /// What we were started with, the program's name first: by it we know whose words to use. It
    /// stands where exec(2) has put it; there may be thousands of ports in it.
    #[must_use]
    pub fn argv(&self) -> Vec<CString> {
        std::env::args_os().map(|text| c_string(&text)).collect()
    }

    /// The same with an option before all others.
    #[must_use]
    pub fn argv_with(&self, option: &str) -> Vec<CString> {
        let mut argv = self.argv();
        let place = argv.len().min(1);
        argv.insert(place, c_string(OsStr::new(option)));
        argv
    }

    /// The environment that we were started with.
    #[must_use]
    pub fn environment(&self) -> &[CString] {
        &self.environment
    }

    /// Opens the file that is there now, so that what is tried and what is executed is the same,
    /// whoever replaces it in between.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.path, flags, Mode::empty())?)
    }
}

/// The path that we were called by, if it leads to what we are: it may be a symbolic link that
/// points to the next release by then. Else where our file is.
fn where_it_was_found(name: &OsStr, path: Option<&OsStr>, own: &Path) -> PathBuf {
    let inode = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let is_own = |path: &PathBuf| {
        inode(path).is_ok_and(|found| inode(Path::new(EXE)).is_ok_and(|own| found == own))
    };
    let called = if name.as_bytes().contains(&b'/') {
        std::path::absolute(name).ok().filter(is_own)
    } else {
        let directories = std::env::split_paths(path.unwrap_or_default());
        let mut found = directories.filter_map(|dir| std::path::absolute(dir.join(name)).ok());
        found.find(is_own)
    };
    called.unwrap_or_else(|| own.to_owned())
}

/// Arguments and environments come through execve(2) and hold no NUL.
fn c_string(text: &OsStr) -> CString {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|byte| *byte == 0);
    CString::new(&bytes[..end.unwrap_or(bytes.len())]).expect("cut before the first NUL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::Scratch;
    use std::ffi::OsString;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_path_that_we_were_called_by_is_kept_if_it_leads_to_us() {
        let own = fs::read_link(EXE).unwrap();
        let scratch = Scratch::new();
        let link = scratch.path("start_server");
        symlink(&own, &link).unwrap();
        let found = |name: &OsStr, path| where_it_was_found(name, path, &own);
        assert_eq!(found(link.as_os_str(), None), link);
        let path = OsString::from(format!("/nowhere:{}", scratch.as_ref().display()));
        assert_eq!(found(OsStr::new("start_server"), Some(&path)), link);
        // A name of somebody's choice, and one that leads elsewhere.
        assert_eq!(found(OsStr::new("app"), Some(&path)), own);
        assert_eq!(found(OsStr::new("/bin/sh"), None), own);
        assert_eq!(found(OsStr::new(""), None), own);
    }
}
