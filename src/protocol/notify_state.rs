//! What we say to systemd: sd_notify(3), one state a datagram.
//!
//! Of two states in one datagram the last wins up to systemd 252 and STOPPING,
//! READY, RELOADING in this order from 257 on: so we never send two.

use super::listen_fds::Name;
use super::notify_message::MAX_LENGTH;
use sd_notify::NotifyState;
use std::time::Duration;

/// Start-up or a reload is over: `READY=1`.
pub fn ready() -> String {
    NotifyState::Ready.to_string()
}

/// A reload begins: `RELOADING=1` and, in the same datagram as
/// `Type=notify-reload` wants it, CLOCK_MONOTONIC in microseconds.
pub fn reloading(monotonic_usec: u64) -> String {
    let when = NotifyState::MonotonicUsec(monotonic_usec.into());
    format!("{}\n{when}", NotifyState::Reloading)
}

/// The supervisor is stopping: `STOPPING=1`.
pub fn stopping() -> String {
    NotifyState::Stopping.to_string()
}

/// One line for `systemctl status`: `STATUS=`, cut on a character boundary so
/// that the datagram stays below [`MAX_LENGTH`]. Control characters become
/// blanks: a line break would begin another assignment.
pub fn status(text: &str) -> String {
    let one_line: String = text
        .chars()
        .take(MAX_LENGTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut state = NotifyState::Status(&one_line).to_string();
    let mut end = state.len().min(MAX_LENGTH - 1);
    while !state.is_char_boundary(end) {
        end -= 1;
    }
    state.truncate(end);
    state
}

/// The current phase lasts at least `more` from now on: `EXTEND_TIMEOUT_USEC=`.
pub fn extend_timeout(more: Duration) -> String {
    let usec = u64::try_from(more.as_micros()).unwrap_or(u64::MAX);
    match u32::try_from(usec) {
        Ok(usec) => NotifyState::ExtendTimeoutUsec(usec).to_string(),
        // The crate's type ends at 71 minutes, the protocol does not.
        Err(_) => NotifyState::Custom(&format!("EXTEND_TIMEOUT_USEC={usec}")).to_string(),
    }
}

/// A sign of life: `WATCHDOG=1`.
pub fn watchdog() -> String {
    NotifyState::Watchdog.to_string()
}

/// Keep the descriptor that comes along, under this name: `FDSTORE=1`. With `poll` systemd gives it
/// up by itself when its other end closes; without, `FDPOLL=0` (systemd 246).
pub fn keep(name: &Name, poll: bool) -> String {
    // The crate's words for the store come with its own way of sending, and a dependency for that.
    let mut state = format!("FDSTORE=1\nFDNAME={name}");
    if !poll {
        state.push_str("\nFDPOLL=0");
    }
    state
}

/// Give up what is kept under this name: `FDSTOREREMOVE=1`.
pub fn release(name: &Name) -> String {
    format!("FDSTOREREMOVE=1\nFDNAME={name}")
}

#[cfg(test)]
mod tests {
    use super::super::notify_message::{self, Message};
    use super::*;
    use proptest::prelude::*;

    fn read(datagram: &str) -> Message {
        notify_message::parse(datagram.as_bytes()).expect("a good datagram")
    }

    #[test]
    fn our_own_messages_are_one_state_each() {
        assert_eq!(ready(), "READY=1");
        assert_eq!(stopping(), "STOPPING=1");
        assert_eq!(watchdog(), "WATCHDOG=1");
        assert_eq!(reloading(17), "RELOADING=1\nMONOTONIC_USEC=17");
        assert_eq!(status("a\nREADY=1"), "STATUS=a READY=1");
        let name = Name::new("a").expect("a good name");
        assert_eq!(keep(&name, true), "FDSTORE=1\nFDNAME=a");
        assert_eq!(keep(&name, false), "FDSTORE=1\nFDNAME=a\nFDPOLL=0");
        assert_eq!(release(&name), "FDSTOREREMOVE=1\nFDNAME=a");
        assert_eq!(
            extend_timeout(Duration::from_secs(1)),
            "EXTEND_TIMEOUT_USEC=1000000"
        );
        assert_eq!(
            extend_timeout(Duration::from_secs(7200)),
            "EXTEND_TIMEOUT_USEC=7200000000"
        );
    }

    proptest! {
        #[test]
        fn a_status_arrives(text in "\\PC{0,60}", times in 0usize..200) {
            let text = text.repeat(times);
            let datagram = status(&text);
            prop_assert!(datagram.len() < MAX_LENGTH);
            let arrived = read(&datagram).status;
            let arrived = arrived.expect("it was a status");
            prop_assert!(text.starts_with(&arrived));
            prop_assert!(arrived == text || datagram.len() > MAX_LENGTH - 5);
        }

        #[test]
        fn an_extension_arrives(usec: u64) {
            let more = Duration::from_micros(usec);
            prop_assert_eq!(read(&extend_timeout(more)).extend_timeout, Some(more));
        }
    }
}
