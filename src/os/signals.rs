//! Our own signals: saved, blocked, and read from a descriptor.
//!
//! A signal mask and ignored signals survive fork and exec, so whatever we change
//! here a worker would inherit: std::process::Command does not undo it. [`Original`]
//! is what we were started with, and what a worker starts with.
#![expect(
    unsafe_code,
    reason = "dispositions and masks by number, real-time ones too"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{self, SfdFlags};

use super::retry;

/// The only dispositions that are changed for this process alone: SIGPIPE by Rust's runtime or
/// [`ignore_pipe`], SIGCHLD and SIGXFSZ by [`take_over`]. All others reach a worker as this process
/// has them, as exec leaves ignored signals ignored; putting all 64 back cost more system calls than
/// everything else in a spawn.
const CHANGED: [i32; 3] = [libc::SIGPIPE, libc::SIGCHLD, libc::SIGXFSZ];

/// Mask and dispositions as this process was started with them.
#[derive(Clone)]
pub struct Original {
    mask: libc::sigset_t,
    ignores_child: bool,
}

impl Original {
    /// Saves them; call it before anything changes a signal. SIGPIPE counts as
    /// default whatever it was: Rust's runtime has set it to ignored before `main`,
    /// and a worker with SIGPIPE ignored misses the end of its pipes.
    #[must_use]
    pub fn save() -> Self {
        Original {
            mask: mask(None),
            ignores_child: is_ignored(libc::SIGCHLD),
        }
    }

    /// The same for another process: the numbers that are blocked, and whether SIGCHLD is ignored.
    #[must_use]
    pub fn to_parts(&self) -> (Vec<i32>, bool) {
        // SAFETY: an initialised set; a number that is no signal is answered with -1.
        let is_blocked = |signal: &i32| unsafe { libc::sigismember(&self.mask, *signal) == 1 };
        let blocked = (1..=libc::SIGRTMAX()).filter(is_blocked).collect();
        (blocked, self.ignores_child)
    }

    /// What [`to_parts`](Self::to_parts) gave; a number that is no signal is left out.
    #[must_use]
    pub fn from_parts(blocked: &[i32], ignores_child: bool) -> Self {
        let mut mask = empty_set();
        for signal in blocked {
            // SAFETY: an initialised set; a bad number is refused and leaves it as it is.
            unsafe { libc::sigaddset(&mut mask, *signal) };
        }
        Original {
            mask,
            ignores_child,
        }
    }

    /// Puts dispositions and mask back as they were, the mask last, so that a signal
    /// that arrives in between finds its disposition. For the child half: only
    /// async-signal-safe calls.
    pub(super) fn restore(&self) {
        for signal in CHANGED {
            let ignored = signal == libc::SIGCHLD && self.ignores_child;
            let disposition = if ignored {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            };
            set_disposition(signal, disposition);
        }
        mask(Some(&self.mask));
    }
}

/// Every signal blocked until dropped; around fork, so that a child which has not
/// yet restored its dispositions handles nothing.
pub(super) struct AllBlocked(libc::sigset_t);

impl AllBlocked {
    pub(super) fn new() -> Self {
        let mut all = empty_set();
        // SAFETY: `all` is an initialised set.
        unsafe { libc::sigfillset(&mut all) };
        AllBlocked(mask(Some(&all)))
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        mask(Some(&self.0));
    }
}

/// A signal that was sent to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it; 0 for the kernel or a process outside of our pid namespace.
    pub sender_pid: u32,
    /// The sender's real user.
    pub sender_uid: u32,
}

/// The descriptor from which blocked signals are read.
#[derive(Debug)]
pub struct SignalFd(signalfd::SignalFd);

impl SignalFd {
    /// The next pending signal; `None` when there is none.
    ///
    /// # Errors
    /// As read(2).
    pub fn receive(&self) -> io::Result<Option<Received>> {
        let info = retry(|| self.0.read_signal())?;
        Ok(info.map(|info| Received {
            signal: i32::try_from(info.ssi_signo).unwrap_or(0),
            sender_pid: info.ssi_pid,
            sender_uid: info.ssi_uid,
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Saves the original state and blocks `signals`, to be read from a non-blocking,
/// close-on-exec descriptor instead ([`Blocked::open`]). A signal that we were started with as ignored
/// arrives too: while blocked, Linux keeps it. SIGCHLD becomes default, because
/// with it ignored the kernel reaps children itself and no status is ever seen. SIGXFSZ
/// becomes ignored: a file that reaches RLIMIT_FSIZE (`LimitFSIZE=`), such as a log, is
/// then a write that fails (setrlimit(2)), and not the end of us. A worker has it as default,
/// as it has SIGPIPE.
///
/// `ours` become default here and in the workers, those of them that are in `signals`. A shell's "&"
/// and nohup(1) have SIGINT, SIGQUIT and SIGHUP ignored, and who begins so cannot be told by them
/// to leave: shells and Python never catch what was ignored when they began.
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn take_over(signals: &[i32], ours: &[i32]) -> io::Result<(Original, Blocked)> {
    let original = Original::save();
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: `set` is an initialised set; a bad number is refused with EINVAL.
        Errno::result(unsafe { libc::sigaddset(&mut set, *signal) })?;
    }
    set_disposition(libc::SIGCHLD, libc::SIG_DFL);
    set_disposition(libc::SIGXFSZ, libc::SIG_IGN);
    // SAFETY: the set and the null pointer are what pthread_sigmask(3) asks for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    // Now that they are blocked none of them does anything here.
    for signal in ours.iter().filter(|signal| signals.contains(signal)) {
        set_disposition(*signal, libc::SIG_DFL);
    }
    // SAFETY: an initialised set with checked members.
    let set = unsafe { SigSet::from_sigset_t_unchecked(set) };
    Ok((original, Blocked(set)))
}

/// Signals that wait in the kernel until they are read.
#[derive(Debug)]
pub struct Blocked(SigSet);

impl Blocked {
    /// The descriptor from which they are read, with all that have come so far.
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn open(&self) -> io::Result<SignalFd> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(SignalFd(signalfd::SignalFd::with_flags(&self.0, flags)?))
    }
}

/// What Rust's runtime does for a `main` of its own: a peer that goes away is an error of write(2),
/// and no signal.
pub fn ignore_pipe() {
    set_disposition(libc::SIGPIPE, libc::SIG_IGN);
}

/// Sets the mask, if one is given; answers the one before.
fn mask(new: Option<&libc::sigset_t>) -> libc::sigset_t {
    let mut old = empty_set();
    // SAFETY: SIG_SETMASK with valid sets, or with null to only ask, cannot fail.
    unsafe {
        libc::pthread_sigmask(
            libc::SIG_SETMASK,
            new.map_or(ptr::null(), ptr::from_ref),
            &mut old,
        )
    };
    old
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set and cannot fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a place for the old action; null leaves the disposition as it is.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroes are a valid sigaction, and so is what the call wrote.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

fn set_disposition(signal: i32, disposition: libc::sighandler_t) {
    // SAFETY: zeroes are a valid sigaction: no flags, an empty mask.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = disposition;
    // SAFETY: ignored or default, never a handler, so no code of ours can be called.
    unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fd;

    #[test]
    fn a_blocked_signal_is_read_with_its_sender() {
        let signal = libc::SIGRTMIN() + 1;
        let (_, blocked) = take_over(&[libc::SIGURG, signal], &[]).unwrap();
        let signals = blocked.open().unwrap();
        assert!(fd::is_nonblocking(signals.as_fd()).unwrap());
        assert!(fd::is_close_on_exec(signals.as_fd()).unwrap());
        assert_eq!(signals.receive().unwrap(), None);
        // SAFETY: to this very thread, which has the signal blocked.
        unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
        let received = signals.receive().unwrap().unwrap();
        assert_eq!(received.signal, signal);
        assert_eq!(received.sender_pid, std::process::id());
        assert_eq!(received.sender_uid, rustix::process::getuid().as_raw());
    }

    #[test]
    fn an_original_state_can_be_told_to_another_process() {
        for (blocked, ignores_child) in [(vec![], false), (vec![1, 15, 64], true)] {
            let original = Original::from_parts(&blocked, ignores_child);
            assert_eq!(original.to_parts(), (blocked, ignores_child));
        }
        let nonsense = Original::from_parts(&[0, -1, 65, i32::MAX], false);
        assert_eq!(nonsense.to_parts(), (vec![], false));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        let error = take_over(&[65], &[]).map(drop).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn the_runtime_ignores_sigpipe_and_leaves_sigchld_alone() {
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!Original::save().ignores_child);
    }

    #[test]
    fn everything_is_blocked_while_held_and_as_before_afterwards() {
        let is_blocked = |signal| {
            let set = mask(None);
            // SAFETY: an initialised set.
            unsafe { libc::sigismember(&set, signal) == 1 }
        };
        assert!(!is_blocked(libc::SIGTERM));
        let held = AllBlocked::new();
        assert!(is_blocked(libc::SIGTERM) && is_blocked(libc::SIGRTMIN()));
        drop(held);
        assert!(!is_blocked(libc::SIGTERM));
    }
}
