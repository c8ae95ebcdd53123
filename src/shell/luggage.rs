//! The descriptors that go from one supervisor to the next, by their labels.
//!
//! Who leaves packs them; who comes unpacks them, once each, and what is left over in the end is
//! closed. Whether they travelled through an exec in place or through systemd's fd store makes no
//! difference here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::os::fd;
use crate::os::socket_file::SocketFile;
use crate::protocol::state::{Label, held};
use crate::shell::own_file::OwnFile;

/// What is to be taken along.
#[derive(Debug, Default)]
pub struct Packed<'a>(BTreeMap<Label, BorrowedFd<'a>>);

impl<'a> Packed<'a> {
    /// Takes a descriptor in and answers its label.
    pub fn add(&mut self, label: Label, fd: &'a impl AsFd) -> Label {
        self.0.insert(label.clone(), fd.as_fd());
        label
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, BorrowedFd<'a>)> {
        self.0.iter().map(|(label, fd)| (label, *fd))
    }

    /// The number of each, for a successor that inherits them by number.
    #[must_use]
    pub fn numbers(&self) -> BTreeMap<Label, i32> {
        let number = |(label, fd): (&Label, BorrowedFd<'_>)| (label.clone(), fd.as_raw_fd());
        let mut numbers = BTreeMap::new();
        numbers.extend(self.iter().map(number));
        numbers
    }
}

/// What has come along.
#[derive(Debug, Default)]
pub struct Luggage(BTreeMap<Label, OwnedFd>);

impl Luggage {
    /// Takes over what exec left open under these numbers. What is not there is not in it.
    #[must_use]
    pub fn inherit(numbers: &BTreeMap<Label, i32>) -> Self {
        let adopt = |(label, number): (&Label, &i32)| {
            let fd = fd::adopt(*number);
            let lost = |error: &io::Error| log::warn!("cannot take over {label}: {error}");
            Some((label.clone(), fd.inspect_err(lost).ok()?))
        };
        let mut luggage = BTreeMap::new();
        luggage.extend(numbers.iter().filter_map(adopt));
        Self(luggage)
    }

    /// What came by other ways, under its labels.
    #[must_use]
    pub const fn new(fds: BTreeMap<Label, OwnedFd>) -> Self {
        Self(fds)
    }

    /// Unpacks one.
    ///
    /// # Errors
    /// `NotFound`, with the label's name.
    pub fn take(&mut self, label: &Label) -> io::Result<OwnedFd> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{label} is missing"));
        self.0.remove(label).ok_or_else(missing)
    }
}

/// A path as it was saved.
pub(super) fn path(bytes: &held::Bytes) -> PathBuf {
    Path::new(OsStr::from_bytes(&bytes.0)).to_owned()
}

/// A socket's file as it was saved.
pub(super) fn socket_file(file: &held::File) -> SocketFile {
    SocketFile::known(path(&file.path), file.device, file.inode)
}

/// The way back.
pub(super) fn saved_socket_file(file: &SocketFile) -> held::File {
    held::File::new(file.path(), file.identity())
}

/// A file as it was saved.
pub(super) fn own_file(file: &held::File) -> OwnFile {
    OwnFile::known(path(&file.path), file.device, file.inode)
}

/// The way back.
pub(super) fn saved_own_file(file: &OwnFile) -> held::File {
    let (path, device, inode) = file.parts();
    held::File::new(path, (device, inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch;
    use std::fs::File;

    #[test]
    fn what_is_packed_is_unpacked_once_and_what_is_missing_is_named() {
        let _alone = scratch::inheritance();
        let file = File::open("/dev/null").unwrap();
        let label = Label::numbered("pidfd", 7);
        let mut packed = Packed::default();
        assert_eq!(packed.add(label.clone(), &file), label);
        let mut numbers = packed.numbers();
        // Across a real exec this flag is cleared by whoever executes.
        let inherited = file.try_clone().unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        numbers.insert(
            label.clone(),
            std::os::fd::IntoRawFd::into_raw_fd(inherited),
        );
        numbers.insert(Label::of("closed"), 1_000_000);
        let mut luggage = Luggage::inherit(&numbers);
        let fd = luggage.take(&label).unwrap();
        assert!(fd::is_close_on_exec(fd.as_fd()).unwrap());
        let missing = luggage.take(&label).unwrap_err();
        assert_eq!(missing.to_string(), "pidfd.7 is missing");
        assert!(luggage.take(&Label::of("closed")).is_err());
    }
}
