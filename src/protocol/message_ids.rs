//! The journal's MESSAGE_ID= of each event that an operator acts on (systemd.journal-fields(7)).
//!
//! An id never changes its meaning: the catalog (`packaging/sd-starter.catalog`) says by it what
//! happened, what it means and what to do, and alerts are set on it. Each was drawn at random, as
//! `systemd-id128 new` does.

/// `SD_STARTER_EVENT=`, and the id that goes with it.
pub const MESSAGE_IDS: [(&str, &str); 15] = [
    ("ready", "b17c21f1f2ae49dbaa3bbc6108aa77ef"),
    ("attempt-failed", "7b95952022304b8c84b8e14942c8969d"),
    ("died", "404422e529784bf28be826b69bddf88b"),
    ("hung", "f8afa7724bb3480a92c2089b70a09b06"),
    ("killed", "041652ef88c94fba8d6af5d480550461"),
    ("gave-up", "b06fbde41b61435fbe1ffb2c199c9cd8"),
    ("reload-asked", "7319d12eabbe4ec18a69c3cc2a6439bb"),
    ("draining", "b9d66dfd462640d391c50dac5c33b6dd"),
    ("drained", "c39c690c156e409fa0d063aafb4ff900"),
    ("stopping", "4859823a58704824bad5d9ff2f9cf2fd"),
    ("exiting", "ef1ae59d5c2a425ab2757ae7c951d547"),
    ("complained", "edc9934b974b460f95e1fb0a522cffa0"),
    ("upgraded", "99558c29dff34aa3b6c032129a4b1bc2"),
    ("upgrade-refused", "53e40eb5889b4aa6aeb777d68d5cc528"),
    ("recovered", "644d825d79264942b2f9ae39e477d65a"),
];

/// The id of an event; `None` for one that only tells how far something is.
#[must_use]
pub fn message_id(event: &str) -> Option<&'static str> {
    MESSAGE_IDS
        .iter()
        .find(|(name, _)| *name == event)
        .map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_128_bits_and_nobody_shares_one() {
        for (event, id) in MESSAGE_IDS {
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(id.len() == 32 && id.chars().all(is_hex), "{event}: {id}");
            // Version and variant of a random UUID, as systemd-id128 makes them.
            assert_eq!(&id[12..13], "4", "{event}");
            assert!("89ab".contains(&id[16..17]), "{event}");
        }
        let ids: BTreeSet<_> = MESSAGE_IDS.iter().map(|(_, id)| id).collect();
        let events: BTreeSet<_> = MESSAGE_IDS.iter().map(|(event, _)| event).collect();
        assert_eq!(
            (ids.len(), events.len()),
            (MESSAGE_IDS.len(), MESSAGE_IDS.len())
        );
    }

    #[test]
    fn an_event_is_looked_up_by_its_name() {
        let died = message_id("died");
        assert_eq!(died, Some("404422e529784bf28be826b69bddf88b"));
        assert_eq!(message_id("starting"), None);
    }
}
