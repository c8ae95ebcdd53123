//! Whether the program of a log command is there.
//!
//! A shell that does not find it says so to whoever reads its standard error, which of a daemon is
//! nobody, and all that is logged is lost. start_server executes a command without characters of the
//! shell itself, and does not start when that fails (`failed to open pipe:`; do_exec3 in Perl's doio.c).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Access, access};

use crate::shell::spawn;

/// What Perl leaves to a shell.
const FOR_A_SHELL: &[u8] = b"$&*(){}[]'\";\\|?<>~`\n";

/// Looks for the program of `command` in `path`, the value of PATH.
///
/// # Errors
/// As execvp(3) would fail: `ENOENT`, or what access(2) says of the last one that is there.
pub fn check(command: &OsStr, path: Option<&OsStr>) -> io::Result<()> {
    let Some(program) = program(command.as_bytes()) else {
        return Ok(());
    };
    let mut failure = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in spawn::candidates_in(program, path.map(OsStr::as_bytes)) {
        match access(&*candidate, Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// The program of a command that needs no shell.
fn program(command: &[u8]) -> Option<&[u8]> {
    if command.iter().any(|byte| FOR_A_SHELL.contains(byte)) {
        return None;
    }
    let words = command.split(u8::is_ascii_whitespace);
    let mut words = words.filter(|word| !word.is_empty() && *word != b"exec");
    words.next().filter(|word| !word.contains(&b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_is_named_and_not_there_is_missed() {
        let errno = |command: &str, path: &str| {
            let checked = check(OsStr::new(command), Some(OsStr::new(path)));
            checked.map_err(|error| error.raw_os_error().unwrap_or(0))
        };
        assert_eq!(errno(" cat -u", "/nonexistent:/usr/bin:/bin"), Ok(()));
        assert_eq!(errno("exec cat", "/usr/bin:/bin"), Ok(()));
        assert_eq!(errno("/bin/cat", ""), Ok(()));
        assert_eq!(errno("cat", "/nonexistent:/dev/null"), Err(libc::ENOENT));
        assert_eq!(errno("/no/such -l x", "/bin"), Err(libc::ENOENT));
        // Nobody may execute it, root neither.
        assert_eq!(errno("/etc/passwd", "/bin"), Err(libc::EACCES));
        for shells in [
            "no-such >>log",
            "no-such; cat",
            "A=b no-such",
            "",
            "'no such'",
        ] {
            assert_eq!(errno(shells, "/bin"), Ok(()), "{shells}");
        }
    }
}
