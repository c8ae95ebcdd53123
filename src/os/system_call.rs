//! System calls that tell why they failed without errno.
//!
//! errno is a variable of the thread, and a child that runs in our memory until exec shares it with
//! us: what the one has just been told, the other could read. So the calls of the child half that can
//! fail go to the kernel directly where that is written down here, and elsewhere a child gets a
//! memory of its own ([`BY_HAND`]).
#![expect(unsafe_code, reason = "system calls by hand")]

use libc::c_long;

/// Whether [`call`] leaves errno alone.
pub(super) const BY_HAND: bool = cfg!(all(
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
));

/// Makes a system call (syscall(2)); answers its result, or the errno(3) that it failed with.
///
/// # Safety
/// As for the call that `number` is.
#[cfg(all(target_pointer_width = "64", target_arch = "x86_64"))]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 3]) -> Result<c_long, i32> {
    let result: c_long;
    let [first, second, third] = arguments;
    // SAFETY: the caller's promise; these are the registers that syscall(2) names, and the two that the
    // instruction overwrites.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    outcome(result)
}

/// The same.
///
/// # Safety
/// As for the call that `number` is.
#[cfg(all(target_pointer_width = "64", target_arch = "aarch64"))]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 3]) -> Result<c_long, i32> {
    let result: c_long;
    let [first, second, third] = arguments;
    // SAFETY: the caller's promise; these are the registers that syscall(2) names.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second,
            in("x2") third,
            options(nostack),
        );
    }
    outcome(result)
}

/// The same, through the C library.
///
/// # Safety
/// As for the call that `number` is.
#[cfg(not(all(
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(super) unsafe fn call(number: c_long, arguments: [usize; 3]) -> Result<c_long, i32> {
    let [first, second, third] = arguments;
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(number, first, second, third) };
    match result {
        -1 => Err(nix::errno::Errno::last_raw()),
        result => Ok(result),
    }
}

/// The kernel answers an error as its negative (syscall(2)).
#[cfg(all(
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn outcome(result: c_long) -> Result<c_long, i32> {
    match i32::try_from(result) {
        Ok(error @ -4095..0) => Err(-error),
        _ => Ok(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_result_and_a_reason_come_back_and_errno_is_left_alone() {
        // SAFETY: it takes nothing.
        let pid = unsafe { call(libc::SYS_getpid, [0; 3]) };
        assert_eq!(pid, Ok(std::process::id().into()));
        Errno::EXFULL.set();
        // SAFETY: there is no such descriptor.
        let closed = unsafe { call(libc::SYS_close, [usize::MAX, 0, 0]) };
        assert_eq!(closed, Err(libc::EBADF));
        assert!(!BY_HAND || Errno::last() == Errno::EXFULL);
    }

    #[test]
    fn all_three_arguments_arrive() {
        // Not for the children of other tests, which are looked at.
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (read, write) = rustix::pipe::pipe_with(flags).unwrap();
        let number = |fd: &std::os::fd::OwnedFd| {
            usize::try_from(std::os::fd::AsRawFd::as_raw_fd(fd)).unwrap()
        };
        let text = b"three";
        // SAFETY: a buffer, and less than its length.
        let written = unsafe { call(libc::SYS_write, [number(&write), text.as_ptr() as usize, 4]) };
        assert_eq!(written, Ok(4));
        let mut buffer = [0; 8];
        // SAFETY: a buffer and its length.
        let got = unsafe {
            call(
                libc::SYS_read,
                [number(&read), buffer.as_mut_ptr() as usize, buffer.len()],
            )
        };
        assert_eq!((got, &buffer[..4]), (Ok(4), &b"thre"[..]));
    }
}
