//! Unix listeners, and the file that each of them leaves in a directory.
//!
//! start_server unlinks whatever stands at the path: it destroyed a regular file,
//! took a live socket from another instance, and removed that one's file at exit.
//! Here a path is taken over only from a socket on which nobody listens, and a
//! file is removed only while it is still the one we made.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, chmod, fchmod, fstat, lstat, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::umask;

/// The file of a unix socket that we bound, known by its inode.
#[derive(Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Binds `socket` at `path` with the permission bits of `mode`, without a
    /// moment in which the file has others; `None` leaves them to the umask.
    /// Nothing that is there is removed.
    ///
    /// # Errors
    /// As bind(2): `EADDRINUSE` whenever something is at the path.
    pub fn bind(socket: &OwnedFd, path: &Path, mode: Option<u32>) -> io::Result<Self> {
        match mode {
            Some(mode) => bind_with_mode(socket, path, Mode::from_raw_mode(mode & 0o777))?,
            None => bind(socket, &SocketAddrUnix::new(path)?)?,
        }
        let file = lstat(path)?;
        Ok(SocketFile {
            // Absolute, because the supervisor may change its directory later.
            path: std::path::absolute(path)?,
            device: file.st_dev,
            inode: file.st_ino,
        })
    }

    /// A file that was bound by a predecessor of ours, by what it was known by.
    #[must_use]
    pub const fn known(path: PathBuf, device: u64, inode: u64) -> Self {
        SocketFile {
            path,
            device,
            inode,
        }
    }

    /// The file of a socket that was bound in an earlier life, if it is still the one at `path`.
    #[must_use]
    pub fn still_at(path: &Path, device: u64, inode: u64) -> Option<Self> {
        let file = lstat(path).ok()?;
        let path = std::path::absolute(path).ok()?;
        ((file.st_dev, file.st_ino) == (device, inode)).then_some(SocketFile {
            path,
            device,
            inode,
        })
    }

    /// Device and inode, which no other file has while the socket is open.
    #[must_use]
    pub const fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file these permission bits, unless something else has taken its place or it is
    /// gone. No link is followed.
    ///
    /// # Errors
    /// As open(2) and chmod(2).
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match open(&self.path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let found = fstat(&file)?;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let is_ours = (found.st_dev, found.st_ino) == (self.device, self.inode);
        if is_ours && Mode::from_raw_mode(found.st_mode & 0o777) != mode {
            // What was opened by its path alone has no fchmod(2).
            chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode)?;
        }
        Ok(())
    }

    /// Removes the file, unless something else has taken its place or it is gone;
    /// says whether it was removed.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove_if_ours(&self) -> io::Result<bool> {
        match lstat(&self.path) {
            Ok(file) if (file.st_dev, file.st_ino) == (self.device, self.inode) => {
                std::fs::remove_file(&self.path)?;
                Ok(true)
            }
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Linux takes the file's mode from the socket, less the umask; elsewhere (gVisor)
/// it is 0777 less the umask. Both together are exact here and never open to others
/// there. The owner's bits stay out of the umask, which is the whole process's, so
/// that a file that another thread makes meanwhile can at least be used by us.
fn bind_with_mode(socket: &OwnedFd, path: &Path, mode: Mode) -> rustix::io::Result<()> {
    static UMASK: Mutex<()> = Mutex::new(());
    let address = SocketAddrUnix::new(path)?;
    fchmod(socket, mode)?;
    let _alone = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask((Mode::RWXG | Mode::RWXO).difference(mode));
    let bound = bind(socket, &address);
    umask(before);
    bound
}

/// A listening unix stream socket at `path`, and its file. A socket file that was
/// left behind by a crash is replaced.
///
/// # Errors
/// `EADDRINUSE` when somebody listens there; `EEXIST` when what is there is not a
/// socket (a symbolic link is not followed); else as bind(2).
pub fn listen_unix(
    path: &Path,
    backlog: i32,
    mode: Option<u32>,
) -> io::Result<(OwnedFd, SocketFile)> {
    let socket = stream(SocketFlags::CLOEXEC)?;
    let file = match SocketFile::bind(&socket, path, mode) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => {
            remove_stale(path, SocketType::STREAM)?;
            SocketFile::bind(&socket, path, mode)?
        }
        other => other?,
    };
    listen(&socket, backlog)?;
    Ok((socket, file))
}

fn stream(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes a socket file on which nobody listens.
pub(super) fn remove_stale(path: &Path, kind: SocketType) -> io::Result<()> {
    let found = lstat(path)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(Errno::EXIST.into());
    }
    // Non-blocking: a listener with a full queue answers EAGAIN, and lives.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => {}
        Err(error @ (Errno::ACCESS | Errno::PERM)) => return Err(error.into()),
        // Connected, busy, or (EPROTOTYPE) a datagram or seqpacket socket.
        Ok(()) | Err(_) => return Err(Errno::ADDRINUSE.into()),
    }
    // The one that was probed, and not one that came in between.
    let stale = SocketFile {
        path: path.to_path_buf(),
        device: found.st_dev,
        inode: found.st_ino,
    };
    stale.remove_if_ours().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fd;
    use crate::os::scratch::Scratch;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    fn errno(result: io::Result<(OwnedFd, SocketFile)>) -> Option<i32> {
        result.unwrap_err().raw_os_error()
    }

    /// The file of a socket that nobody listens on. It never did: a listener that we close is open still in
    /// the children that other tests fork in this moment, until they execute something.
    fn stale(path: &Path) {
        let family = AddressFamily::UNIX;
        let stream = SocketType::STREAM;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(family, stream, flags, None).unwrap();
        let address = SocketAddrUnix::new(path).unwrap();
        bind(&socket, &address).unwrap();
    }

    #[test]
    fn it_listens_with_the_mode_asked_for() {
        let dir = Scratch::new();
        for mode in [0o777, 0o666, 0o660, 0o600, 0o640] {
            let path = dir.path(&format!("{mode:o}"));
            let (socket, file) = listen_unix(&path, 8, Some(mode)).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o777, mode);
            assert_eq!(file.path(), path);
            assert!(fd::is_close_on_exec(socket.as_fd()).unwrap());
            assert!(!fd::is_nonblocking(socket.as_fd()).unwrap());
            UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn the_mode_is_changed_of_our_own_file_only() {
        let dir = Scratch::new();
        let (path, other) = (dir.path("s"), dir.path("other"));
        let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o777;
        let (_socket, file) = listen_unix(&path, 8, Some(0o600)).unwrap();
        file.set_mode(0o660).unwrap();
        assert_eq!(mode(&path), 0o660);
        let (_other, _) = listen_unix(&other, 8, Some(0o600)).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_mode(0o666).unwrap();
        symlink(&other, &path).unwrap();
        file.set_mode(0o666).unwrap();
        assert_eq!(mode(&other), 0o600);
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let dir = Scratch::new();
        let path = dir.path("s");
        stale(&path);
        let _new = listen_unix(&path, 8, Some(0o600)).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_live_socket_is_left_alone() {
        let dir = Scratch::new();
        let (stream, datagram) = (dir.path("s"), dir.path("d"));
        let live = UnixListener::bind(&stream).unwrap();
        let _other = UnixDatagram::bind(&datagram).unwrap();
        assert_eq!(
            errno(listen_unix(&stream, 8, Some(0o600))),
            Some(libc::EADDRINUSE)
        );
        assert_eq!(
            errno(listen_unix(&datagram, 8, Some(0o600))),
            Some(libc::EADDRINUSE)
        );
        UnixStream::connect(&stream).unwrap();
        drop(live);
    }

    #[test]
    fn a_live_socket_with_a_full_queue_is_left_alone() {
        let dir = Scratch::new();
        let path = dir.path("s");
        let (_live, _file) = listen_unix(&path, 0, Some(0o600)).unwrap();
        let _queued = UnixStream::connect(&path).unwrap();
        assert_eq!(
            errno(listen_unix(&path, 8, Some(0o600))),
            Some(libc::EADDRINUSE)
        );
        assert!(path.exists());
    }

    #[test]
    fn files_and_links_are_never_removed() {
        let dir = Scratch::new();
        let (file, link, old) = (dir.path("precious"), dir.path("link"), dir.path("stale"));
        std::fs::write(&file, "precious").unwrap();
        stale(&old);
        symlink(&old, &link).unwrap();
        assert_eq!(
            errno(listen_unix(&file, 8, Some(0o600))),
            Some(libc::EEXIST)
        );
        assert_eq!(
            errno(listen_unix(&link, 8, Some(0o600))),
            Some(libc::EEXIST)
        );
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        assert!(link.symlink_metadata().is_ok() && old.exists());
    }

    #[test]
    fn only_our_own_file_is_removed() {
        let dir = Scratch::new();
        let path = dir.path("s");
        let (_first, ours) = listen_unix(&path, 8, Some(0o600)).unwrap();
        // The successor has bound its own before we exit (a bug of start_server).
        std::fs::rename(&path, dir.path("moved")).unwrap();
        let (_second, theirs) = listen_unix(&path, 8, Some(0o600)).unwrap();
        assert!(!ours.remove_if_ours().unwrap());
        assert!(path.exists());
        assert!(theirs.remove_if_ours().unwrap());
        assert!(!theirs.remove_if_ours().unwrap());
    }

    #[test]
    fn a_path_that_does_not_fit_is_an_error() {
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
        assert_eq!(
            errno(listen_unix(&long, 8, Some(0o600))),
            Some(libc::ENAMETOOLONG)
        );
    }
}
