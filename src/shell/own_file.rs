//! A file that we made in a directory that others use too, known by its inode: it is removed
//! only while it is still the one that we made.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use std::os::unix::fs::MetadataExt;

/// The file at a path, as it was when we opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnFile {
    /// The open `file`, which was opened at `path`.
    ///
    /// # Errors
    /// As fstat(2) and getcwd(2).
    pub fn new(path: &Path, file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            // Absolute, in case that somebody changes our directory.
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// A file of a predecessor of ours, by what it was known by.
    #[must_use]
    pub const fn known(path: PathBuf, device: u64, inode: u64) -> Self {
        Self {
            path,
            device,
            inode,
        }
    }

    /// Where it is, its device, its inode.
    #[must_use]
    pub fn parts(&self) -> (&Path, u64, u64) {
        (&self.path, self.device, self.inode)
    }

    /// Whether `metadata` is this file's.
    #[must_use]
    pub fn is(&self, metadata: &std::fs::Metadata) -> bool {
        (metadata.dev(), metadata.ino()) == (self.device, self.inode)
    }

    /// Whether the file still stands at its path.
    ///
    /// # Errors
    /// As lstat(2); that nothing is there is none.
    pub fn is_in_place(&self) -> io::Result<bool> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) => Ok(self.is(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the file if it still stands at its path.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove(&self) -> io::Result<()> {
        if self.is_in_place()? {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::Scratch;

    #[test]
    fn only_what_we_made_is_removed() {
        let scratch = Scratch::new();
        let path = scratch.path("f");
        let ours = OwnFile::new(&path, &File::create(&path).unwrap()).unwrap();
        std::fs::rename(&path, scratch.path("moved")).unwrap();
        assert!(!ours.is_in_place().unwrap());
        std::fs::write(&path, "theirs").unwrap();
        ours.remove().unwrap();
        assert!(path.exists());
        std::fs::rename(scratch.path("moved"), &path).unwrap();
        ours.remove().unwrap();
        assert!(!path.exists());
        ours.remove().unwrap();
    }
}
