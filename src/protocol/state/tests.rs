//! States: written and read, torn, foreign, older and newer.

use proptest::prelude::*;

use super::held::{Bytes, File, Listener, Origin};
use super::machine::{Machine, Phase};
use super::*;

fn state() -> State {
    let file = File {
        path: Bytes(b"/run/\xff%/s".to_vec()),
        device: 5,
        inode: u64::MAX,
    };
    State {
        writer: "0.1.0".to_owned(),
        machine: Machine {
            newest: None,
            phase: Phase::New,
            leaving: Vec::new(),
            again: Vec::new(),
            active: false,
            reloading: false,
            deaths: 0,
            probing: None,
            last_failure: None,
            last_verdict: None,
            reloads_failed: 0,
            restarts: 0,
            extend_at: None,
            status: "\u{1f980} \"quoted\"\u{1}".to_owned(),
            upgrade: None,
        },
        held: Held {
            listeners: vec![Listener {
                fd: Label::numbered("listener", 0),
                key: Some("80".to_owned()),
                name: "web".to_owned(),
                origin: Origin::Bound,
                target: 3,
                pin: None,
                cookie: Some(u64::MAX),
                nonblocking: true,
                file: Some(file),
            }],
            ..Held::default()
        },
        fds: BTreeMap::from([(Label::numbered("listener", 0), 17)]),
    }
}

/// A state with another first line or body, and a first line that fits.
fn framed(version: u32, needs: u32, body: &str) -> Vec<u8> {
    let head = format!("{MAGIC} {version} {needs} {}", body.len());
    let sum = checksum(&head, body.as_bytes());
    format!("{head} {sum:x}\n{body}").into_bytes()
}

fn body() -> serde_json::Value {
    serde_json::to_value(state()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let bytes = render(&state()).unwrap();
    assert_eq!(parse(&bytes), Ok(state()));
}

#[test]
fn a_state_that_was_torn_is_known_as_such_wherever_it_was() {
    let whole = render(&state()).unwrap();
    for end in 0..whole.len() {
        let torn = parse(&whole[..end]).unwrap_err();
        assert!(
            matches!(torn, Unreadable::NotAState | Unreadable::Torn),
            "{end}"
        );
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(parse(&bytes).is_err(), "{at}");
    }
}

#[test]
fn older_reads_newer_unless_newer_forbids_it() {
    let mut newer = body();
    newer["heldToo"] = serde_json::json!({ "more": [1, 2] });
    newer["held"]["listeners"][0]["mark"] = 7.into();
    let newer = newer.to_string();
    assert_eq!(parse(&framed(9, 1, &newer)), Ok(state()));
    let refused = parse(&framed(9, 2, &newer)).unwrap_err();
    let versions = Unreadable::Version {
        version: 9,
        needs: 2,
    };
    assert_eq!(refused, versions);
    // Whatever else has changed, even the rest of the first line.
    let foreign = b"sd-starter state 9 2 zstd\n\0\0\0";
    assert_eq!(parse(foreign), Err(versions));
}

#[test]
fn what_it_has_no_rules_for_is_refused() {
    let mut newer = body();
    newer["machine"]["phase"] = "hibernating".into();
    let refused = parse(&framed(9, 1, &newer.to_string())).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("unknown variant `hibernating`"), "{text}");
}

#[test]
fn nobody_reads_without_a_bound() {
    let long = vec![b' '; MAX_LENGTH + 1];
    assert_eq!(parse(&long), Err(Unreadable::TooLong));
    let mut huge = state();
    huge.machine.status = "x".repeat(MAX_LENGTH);
    assert_eq!(render(&huge), Err(Unreadable::TooLong));
    let deep = "[".repeat(100_000);
    assert!(matches!(
        parse(&framed(1, 1, &deep)),
        Err(Unreadable::Content(_))
    ));
}

#[test]
fn version_0_never_was() {
    let refused = parse(&framed(0, 0, &body().to_string()));
    assert!(matches!(refused, Err(Unreadable::Version { .. })));
}

proptest! {
    #[test]
    fn bytes_survive_a_round_trip(bytes: Vec<u8>) {
        let text = String::from(Bytes(bytes.clone()));
        prop_assert!(text.is_ascii());
        prop_assert_eq!(Bytes::try_from(text), Ok(Bytes(bytes)));
    }

    #[test]
    fn never_panics(bytes: Vec<u8>, text in "\\PC*") {
        let _ = parse(&bytes);
        let _ = parse(&[MAGIC.as_bytes(), &bytes[..]].concat());
        let _ = parse(&framed(1, 1, &text));
        let _ = Bytes::try_from(text);
    }
}
