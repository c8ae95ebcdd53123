//! Processes, by pidfd: a number that was reaped may already be somebody else's,
//! a pidfd never is.
#![expect(unsafe_code, reason = "pidfd_send_signal and waitid by number")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags};

use super::retry;

/// `f_type` of the file system behind pidfds since Linux 6.9 (magic.h).
const PIDFS_MAGIC: i64 = 0x5049_4446;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// By itself, with this exit status (0 to 255).
    Exited(i32),
    /// By a signal.
    Signaled {
        /// Its number; real-time signals have no name but end a process too.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
}

/// A pidfd of a process that cannot be reaped meanwhile: a child of ours, or us.
///
/// # Errors
/// `ESRCH` when there is no such process, `EINVAL` for a number below 1, `EMFILE`.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = positive(pid)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends `signal` (any number, real-time ones too) to the process behind `pidfd`.
///
/// # Errors
/// `ESRCH` when it is gone, `EINVAL` for no signal, `EPERM`.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed (pidfd_send_signal(2)); no memory is touched.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

/// SIGKILL to a child that leads a process group ([`super::child::Plan::new_session`])
/// and to everybody in that group. The child must not have been reaped: as long as it
/// is not, neither its pid nor the number of its group can be somebody else's.
///
/// # Errors
/// `EINVAL` for a number below 2, `EPERM`; that everybody is gone is none.
pub fn kill_group(leader: i32, pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // The group exists only once the child has come as far as setsid(2).
    gone_is_fine(send_signal(pidfd, libc::SIGKILL))?;
    let group = positive(leader)?;
    if group.is_init() {
        return Err(Errno::EINVAL.into());
    }
    let killed = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    gone_is_fine(killed.map_err(io::Error::from))
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

/// Whether the process behind `pidfd` has ended (pidfd_open(2): it polls as readable then).
///
/// # Errors
/// As poll(2).
pub fn has_ended(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut pidfd = [PollFd::new(pidfd, PollFlags::POLLIN)];
    Ok(retry(|| poll(&mut pidfd, PollTimeout::ZERO))? > 0)
}

/// How the child behind `pidfd` ended, and reaps it; `None` while it runs.
///
/// # Errors
/// `ECHILD` when it is not our child (taken over after a crash) or reaped already.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<WaitStatus>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).expect("open descriptors are not negative");
    let ended = waitid(libc::P_PIDFD, id, libc::WEXITED | libc::WNOHANG)?;
    Ok(ended.map(|(_, status)| status))
}

/// Kills a child with SIGKILL and waits for its end.
///
/// # Errors
/// As pidfd_send_signal(2) and waitid(2).
pub fn kill_and_reap(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    gone_is_fine(send_signal(pidfd, libc::SIGKILL))?;
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).expect("open descriptors are not negative");
    waitid(libc::P_PIDFD, id, libc::WEXITED).map(drop)
}

/// waitid(2): who ended, and how; `None` when nobody has.
fn waitid(
    sort: libc::idtype_t,
    id: libc::id_t,
    options: i32,
) -> io::Result<Option<(i32, WaitStatus)>> {
    // All zero is how "nobody" is told from an answer (waitid(2), RETURN VALUE).
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    retry(|| {
        // SAFETY: `info` is a place for one siginfo_t.
        Errno::result(unsafe { libc::waitid(sort, id, info.as_mut_ptr(), options) })
    })?;
    // SAFETY: zeroes are a valid siginfo_t, and so is what waitid wrote.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the child's fields; zeroed they read as 0.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let ended = match info.si_code {
        libc::CLD_EXITED => WaitStatus::Exited(status),
        code => WaitStatus::Signaled {
            signal: status,
            core: code == libc::CLD_DUMPED,
        },
    };
    Ok(Some((pid, ended)))
}

/// The inode of a pidfd, which is unique among all processes until reboot; `None`
/// where it is not (before Linux 6.9). `LISTEN_PIDFDID` carries it (systemd 259).
#[must_use]
pub fn pidfd_inode(pidfd: BorrowedFd<'_>) -> Option<u64> {
    let system = rustix::fs::fstatfs(pidfd).ok()?;
    let on_pidfs = system.f_type == PIDFS_MAGIC;
    let file = on_pidfs.then(|| rustix::fs::fstat(pidfd))?.ok()?;
    Some(file.st_ino)
}

/// [`pidfd_inode`] of this process.
#[must_use]
pub fn own_pidfd_inode() -> Option<u64> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    pidfd_inode(pidfd_open(own).ok()?.as_fd())
}

/// Makes orphaned descendants our children, as if we were PID 1
/// (PR_SET_CHILD_SUBREAPER of prctl(2)). Workers do not inherit it.
///
/// # Errors
/// None since Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    let own = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(own))?)
}

/// Our children, as far as proc(5) tells.
#[must_use]
pub fn children() -> Vec<i32> {
    let own = std::process::id();
    let text = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
    let text = text.unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Whether a process is a child of ours that was not reaped.
#[must_use]
pub fn is_our_child(pid: i32) -> bool {
    let peek = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let id = libc::id_t::try_from(pid).ok().filter(|id| *id > 0);
    id.is_some_and(|id| waitid(libc::P_PID, id, peek).is_ok())
}

/// Reaps every ended child that `is_ours` does not claim, for PID 1 and subreapers;
/// says how many. Call it on SIGCHLD and after the known children were waited for:
/// it stops at an ended child that is ours, whose status belongs to [`try_wait`].
///
/// # Errors
/// As waitid(2); having no children is not one.
pub fn reap_strangers(is_ours: impl Fn(i32) -> bool) -> io::Result<usize> {
    let mut reaped = 0;
    loop {
        // Looked at without reaping first: the number tells whose it is.
        let peek = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let ended = match waitid(libc::P_ALL, 0, peek) {
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => None,
            other => other?,
        };
        let Some((pid, _)) = ended.filter(|(pid, _)| !is_ours(*pid)) else {
            return Ok(reaped);
        };
        let id = libc::id_t::try_from(pid).expect("the kernel's pids are positive");
        waitid(libc::P_PID, id, libc::WEXITED | libc::WNOHANG)?;
        reaped += 1;
    }
}

/// Whether this process has one thread: what [`super::child::spawn`] takes for
/// granted, since after fork a lock that another thread held stays locked for ever.
///
/// # Errors
/// When /proc is not mounted.
pub fn is_single_threaded() -> io::Result<bool> {
    Ok(std::fs::read_dir("/proc/self/task")?.count() == 1)
}

fn positive(pid: i32) -> io::Result<Pid> {
    let valid = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
    valid.ok_or_else(|| Errno::EINVAL.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn cat() -> (Child, OwnedFd) {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pidfd = pidfd_open(i32::try_from(child.id()).unwrap()).unwrap();
        (child, pidfd)
    }

    /// A pidfd is readable once its process has ended.
    fn ended(pidfd: &OwnedFd) -> WaitStatus {
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, 10_000u16).unwrap();
        try_wait(pidfd.as_fd()).unwrap().unwrap()
    }

    #[test]
    fn a_running_child_has_not_ended_and_an_ended_one_tells_its_status() {
        let (mut child, pidfd) = cat();
        assert_eq!(try_wait(pidfd.as_fd()).unwrap(), None);
        drop(child.stdin.take());
        assert_eq!(ended(&pidfd), WaitStatus::Exited(0));
        let again = try_wait(pidfd.as_fd()).unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn a_real_time_signal_ends_and_is_told() {
        let (_child, pidfd) = cat();
        let signal = libc::SIGRTMIN() + 3;
        send_signal(pidfd.as_fd(), signal).unwrap();
        assert_eq!(
            ended(&pidfd),
            WaitStatus::Signaled {
                signal,
                core: false
            }
        );
    }

    #[test]
    fn a_reaped_process_is_never_signalled() {
        let (_child, pidfd) = cat();
        send_signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
        let signal = libc::SIGKILL;
        assert_eq!(
            ended(&pidfd),
            WaitStatus::Signaled {
                signal,
                core: false
            }
        );
        let error = send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn numbers_that_mean_groups_are_refused() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(
                pidfd_open(pid).unwrap_err().raw_os_error(),
                Some(libc::EINVAL)
            );
        }
    }

    #[test]
    fn a_pidfd_has_an_inode_of_its_own() {
        let (mut child, pidfd) = cat();
        let (own, other) = (own_pidfd_inode(), pidfd_inode(pidfd.as_fd()));
        assert_eq!(own, own_pidfd_inode());
        assert!(own.is_none() || own != other);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(pidfd_inode(file.as_fd()), None);
        drop(child.stdin.take());
        ended(&pidfd);
    }

    #[test]
    fn children_of_ours_are_left_to_their_owner() {
        let (mut child, pidfd) = cat();
        drop(child.stdin.take());
        // Every child of the test process is claimed, so nothing may be reaped.
        assert_eq!(reap_strangers(|_| true).unwrap(), 0);
        assert_eq!(ended(&pidfd), WaitStatus::Exited(0));
    }
}
