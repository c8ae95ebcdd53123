//! Why a system call failed, in the words of errno(3).

use std::fmt;
use std::io;

use nix::errno::Errno;

/// An error as a person reads it: `Permission denied`, without the
/// ` (os error 13)` that std adds.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a>(pub &'a io::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error() {
            Some(errno) => f.write_str(describe(errno)),
            None => self.0.fmt(f),
        }
    }
}

/// The text of an errno.
#[must_use]
pub fn describe(errno: i32) -> &'static str {
    Errno::from_raw(errno).desc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_words_and_ours_stay_as_they_are() {
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        assert_eq!(Reason(&denied).to_string(), "Permission denied");
        let ours = io::Error::new(io::ErrorKind::InvalidInput, "not inherited");
        assert_eq!(Reason(&ours).to_string(), "not inherited");
    }
}
