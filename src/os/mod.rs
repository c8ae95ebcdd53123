//! The room next to the kernel: thin, safe wrappers over system calls, and the
//! only unsafe code of the crate. Nothing here knows a listener, a worker or a
//! generation, and nothing of ours is imported.
//!
//! | file | noun |
//! |---|---|
//! | [`inherited`] | descriptors that came through exec: adopting them, and what they are |
//! | [`passing`] | a worker's datagram with descriptors |
//! | [`fd`] | descriptors: close-on-exec, moving one up |
//! | [`socket`] | sockets: what an unknown one is, and making new ones |
//! | [`socket_file`] | unix listeners and the files they leave in a directory |
//! | [`process`] | processes: pidfds, signals to them, their ends |
//! | [`signals`] | our own signals: mask, dispositions, signalfd |
//! | [`child`] | starting a program; the half after fork is in `after_fork`, its calls in `system_call` |
//! | [`outcome`] | what a started child reports before it becomes its program |
//! | [`daemon`] | leaving the terminal |
//! | [`succession`] | becoming another program in place |
//! | [`datagram`] | notify datagrams, with descriptors and credentials |
//! | [`epoll`] | waiting for all of the above |
//! | [`clock`] | the one clock |
//! | [`memory`] | giving back what is not needed any more |
//! | [`reason`] | why a call failed, in words |
//!
//! The first two are there for workers, too, which have no `nix`.
//!
//! Two habits hold everywhere. A result of -1 becomes an error in one place,
//! `nix::errno::Errno::result` (for workers `inherited::result`). And EINTR is
//! retried in one place, `retry`, which must not be mistaken for EAGAIN: that one
//! is an answer.

#[cfg(feature = "supervisor")]
mod after_fork;
#[cfg(feature = "supervisor")]
pub mod child;
#[cfg(feature = "supervisor")]
pub mod clock;
#[cfg(feature = "supervisor")]
pub mod daemon;
#[cfg(feature = "supervisor")]
pub mod datagram;
#[cfg(feature = "supervisor")]
pub mod epoll;
#[cfg(feature = "supervisor")]
pub mod fd;
pub mod inherited;
#[cfg(feature = "supervisor")]
pub mod memory;
#[cfg(feature = "supervisor")]
pub mod outcome;
pub mod passing;
#[cfg(feature = "supervisor")]
pub mod process;
#[cfg(feature = "supervisor")]
pub mod reason;
#[cfg(feature = "supervisor")]
pub mod signals;
#[cfg(feature = "supervisor")]
pub mod socket;
#[cfg(feature = "supervisor")]
pub mod socket_file;
#[cfg(feature = "supervisor")]
pub mod succession;
#[cfg(feature = "supervisor")]
mod system_call;
#[cfg(all(feature = "supervisor", target_env = "gnu"))]
mod unwinder;

#[cfg(feature = "supervisor")]
use std::io;

#[cfg(feature = "supervisor")]
use nix::errno::Errno;

/// Calls again for as long as a signal interrupted the call.
#[cfg(feature = "supervisor")]
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
pub(crate) mod scratch {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Held by tests that clear close-on-exec, and by those that look at what a
    /// child inherits: descriptors are the whole process's, and tests are threads.
    pub(crate) fn inheritance() -> MutexGuard<'static, ()> {
        static LOCK: Mutex<()> = Mutex::new(());
        LOCK.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory for one test, gone with it.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("sd-starter-os-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl AsRef<Path> for Scratch {
        fn as_ref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
