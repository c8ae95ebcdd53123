//! What a child stands on from its creation to its exec.
//!
//! Copying our memory is most of what fork(2) costs: the page tables, and then every page that
//! either of the two writes to. So a child runs in ours (`CLONE_VM` of clone(2)) until exec gives it
//! its own, as with posix_spawn(3). But unlike that and vfork(2) we do not wait for exec: a file system
//! that hangs would stop the whole supervisor. It is safe because there is nothing that both use: the
//! child has a stack of its own and copies of all that it reads, makes system calls and nothing else, none
//! of which touches errno ([`super::super::system_call`]), and everything stays until the kernel says that
//! it has left.
//!
//! What is left of vfork's bonds: whoever the kernel kills for want of memory between the two calls
//! takes its parent along, which systemd then starts again.
//!
//! Before Linux 5.16 a process that dumps core takes along whoever shares its memory, whatever its
//! RLIMIT_CORE. The signal that ends a worker may be of that kind (SIGQUIT) and may be sent before it is its
//! program; one that comes while all are blocked waits until they are not. So there a child gets a copy.
#![expect(unsafe_code, reason = "clone")]

use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::{c_int, c_void};
use nix::errno::Errno;

use super::super::after_fork::{Prepared, become_program};
use super::super::signals::AllBlocked;
use super::super::system_call::BY_HAND;

/// The child half needs a few hundred bytes of stack, some thousand in a build without optimisation.
const STACK: usize = 32 * 1024;

/// Those who may still be in use, by children of which nothing is known but that.
static OTHERS: Mutex<Vec<Inhabited>> = Mutex::new(Vec::new());

/// The memory of one child. It never moves: pointers lead from one part to another.
pub(super) struct Memory {
    /// The kernel makes it 0 when the child has left, by exec or by its end (`CLONE_CHILD_CLEARTID`
    /// of clone(2)).
    inhabited: AtomicI32,
    prepared: Prepared,
    /// Of a type that is aligned as every machine wants its stack.
    stack: Box<[MaybeUninit<u128>]>,
}

/// A memory with a child in it, or with one that has left; and that child's pid.
struct Inhabited(NonNull<Memory>, i32);

// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Inhabited {}

/// A child.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) pid: i32,
    /// If the kernel has given one along with it.
    pub(super) pidfd: Option<OwnedFd>,
    /// Whether it is in our memory.
    shares: bool,
}

/// Whether a child can be in our memory without harm to us.
pub(super) fn can_be_shared() -> bool {
    static HARMLESS: OnceLock<bool> = OnceLock::new();
    *HARMLESS.get_or_init(|| {
        let system = rustix::system::uname();
        BY_HAND && dumps_alone(&system.release().to_string_lossy())
    })
}

/// Whether a process that dumps core leaves those alone who share its memory, in this release of Linux.
fn dumps_alone(release: &str) -> bool {
    let mut numbers = release.split(|other: char| !other.is_ascii_digit());
    let mut next = || numbers.next()?.parse::<u32>().ok();
    next().zip(next()).is_some_and(|version| version >= (5, 16))
}

/// Makes a child, which begins with [`become_program`]. `shared`: in our memory, else in a copy.
///
/// # Errors
/// As clone(2).
pub(super) fn start(prepared: Prepared, shared: bool) -> nix::Result<Born> {
    sweep();
    let memory = Box::new(Memory {
        inhabited: AtomicI32::new(1),
        prepared,
        stack: Box::new_uninit_slice(STACK / size_of::<u128>()),
    });
    let mut memory = Inhabited(NonNull::from(Box::leak(memory)), 0);
    let mut born = clone(&memory, shared);
    if shared && born.as_ref().err() == Some(&Errno::EINVAL) {
        // qemu-user has no such children, and musl does not let CLONE_CHILD_CLEARTID through.
        born = clone(&memory, false);
    }
    let born = born?;
    if born.shares {
        memory.1 = born.pid;
        others().push(memory);
    }
    Ok(born)
}

/// Frees the memory of children that have left it.
pub(super) fn sweep() {
    others().retain(|memory| {
        // SAFETY: it is freed by `drop` alone. The child does not touch this part, and the kernel but
        // once, as an atomic.
        let inhabited = unsafe { &(*memory.0.as_ptr()).inhabited };
        inhabited.load(Ordering::Acquire) != 0
    });
}

fn others() -> MutexGuard<'static, Vec<Inhabited>> {
    OTHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clone(memory: &Inhabited, shared: bool) -> nix::Result<Born> {
    let memory = memory.0.as_ptr();
    let mut pidfd: c_int = -1;
    let sharing = libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID;
    let flags = libc::SIGCHLD | if shared { sharing } else { 0 };
    let blocked = AllBlocked::new();
    // SAFETY: the stack is the child's alone, and `start` keeps all of `memory` for as long as it may be
    // in use, as it does the number that CLONE_CHILD_CLEARTID has cleared. With one thread no lock is held
    // by another, and the child returns neither from `begin` nor makes any call that takes one.
    let pid = unsafe {
        let stack = (*memory).stack.as_mut_ptr_range().end;
        let inhabited = (*memory).inhabited.as_ptr();
        let no_tls = ptr::null_mut::<c_void>();
        let memory = memory.cast();
        let pidfd = &raw mut pidfd;
        Errno::result(libc::clone(
            begin,
            stack.cast(),
            flags,
            memory,
            pidfd,
            no_tls,
            inhabited,
        ))
    };
    drop(blocked);
    Ok(Born {
        pid: pid?,
        // SAFETY: the kernel has made it for us, just now; without CLONE_PIDFD it has not.
        pidfd: (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) }),
        shares: shared,
    })
}

extern "C" fn begin(memory: *mut c_void) -> c_int {
    let memory = memory.cast::<Memory>();
    // SAFETY: the child's alone, see `clone`.
    unsafe { become_program(&mut (*memory).prepared) }
}

impl Drop for Inhabited {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak`, and dropped once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[cfg(test)]
pub(super) fn is_inhabited_by(pid: i32) -> bool {
    others().iter().any(|memory| memory.1 == pid)
}

#[cfg(test)]
mod tests {
    use super::dumps_alone;

    #[test]
    fn who_shares_our_memory_takes_us_along_before_5_16_and_where_that_is_unknown() {
        for release in ["5.16.0", "5.16-rc1", "6.1.0-18-amd64", "6.18.44+", "10.0"] {
            assert!(dumps_alone(release), "{release}");
        }
        for release in [
            "5.15.0-91-generic",
            "5.4.0",
            "4.19.16",
            "2.6.60",
            "5",
            "",
            "x.y",
        ] {
            assert!(!dumps_alone(release), "{release}");
        }
    }
}
