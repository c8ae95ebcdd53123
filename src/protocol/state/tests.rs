//! States: written and read, torn, foreign, older and newer.

use proptest::prelude::*;

use super::held::{
    Bytes, Cgroup, Client, Control, File, Kept, Listener, LogCommand, Mailbox, Origin, Owed,
    PidFile, Probe, Runtime, Signals, Start, StatusFile, Turn, Wait, Worker,
};
use super::machine::{Exit, Machine};
use super::*;

/// A state with something in every place of the shell's part. (`core` has fixtures of the other.)
fn state() -> State {
    let label = |text| Label::new(text).unwrap();
    let file = File {
        path: Bytes(b"/run/\xff%/s".to_vec()),
        device: 5,
        inode: u64::MAX,
    };
    let held = Held {
        boot: "2f4f3d3e-0000-4000-8000-000000000001".to_owned(),
        pid: 4000,
        started: 12,
        program: Bytes(b"/usr/bin/sd-starter".to_vec()),
        log_level: "INFO".to_owned(),
        signals: Signals {
            blocked: vec![13],
            ignores_child: true,
        },
        listeners: [Origin::Adopted, Origin::Bound, Origin::Stored]
            .map(|origin| Listener {
                fd: label("listener.0"),
                key: Some("80".to_owned()),
                name: "web".to_owned(),
                origin,
                target: 3,
                pin: Some(9),
                cookie: Some(u64::MAX),
                nonblocking: true,
                file: Some(file.clone()),
                stored: (origin == Origin::Stored).then(|| "sd-starter.port.0.5.80".to_owned()),
            })
            .to_vec()
            .into(),
        keyed: vec![0, 1],
        run: vec![1, 0, 2],
        workers: [Start::Open(label("start.1")), Start::Done, Start::Failed]
            .map(|start| Worker {
                generation: 1,
                pid: 4001,
                pidfd: label("pidfd.1"),
                start,
                mailbox: Some(Mailbox {
                    fd: label("mail.1"),
                    file: file.clone(),
                }),
                refused: 2,
                readiness: Some(label("ready.1")),
            })
            .to_vec(),
        cgroups: [Exit::Status(3), Exit::Unknown]
            .map(|exit| Cgroup {
                generation: 1,
                directory: Bytes(b"/sys/fs/cgroup/x".to_vec()),
                exit: Some(exit),
            })
            .to_vec(),
        probes: vec![Probe {
            generation: 1,
            pid: 4002,
            pidfd: label("probe.1"),
        }],
        kept: vec![Kept {
            id: 4,
            name: "state".to_owned(),
            fd: label("kept.4"),
            watched: true,
        }],
        newest_kept: 4,
        control: Some(Control {
            fd: label("control"),
            file: file.clone(),
            clients: [Turn::Theirs, Turn::Ours { oneway: true }, Turn::Monitoring]
                .map(|turn| Client {
                    id: 7,
                    fd: label("client.7"),
                    input: Bytes(b"{\0".to_vec()),
                    output: Bytes::default(),
                    turn,
                    ended: true,
                    heard: 11,
                })
                .to_vec(),
            newest: 7,
        }),
        waits: vec![Wait {
            id: 7,
            generation: Some(2),
            drained: true,
            serving: true,
        }],
        runtime: Some(Runtime {
            directory: Bytes(b"/run/x".to_vec()),
            lock: Some(label("runtime")),
        }),
        pid_file: Some(PidFile {
            fd: label("pid-file"),
            file: file.clone(),
        }),
        status_file: Some(StatusFile {
            file: Some(file),
            listed: vec![(1, 4001)],
        }),
        log_command: Some(LogCommand {
            pipe: label("log.pipe"),
            writer: label("log.writer"),
            output: label("log.output"),
            error: label("log.error"),
            child: Some((4003, label("log.pidfd"))),
            started: 3,
            deaths: 1,
            due: Some(5),
        }),
        herald: Some(label("herald")),
        owed: vec![Owed {
            generation: 1,
            signal: 15,
            tree: true,
        }],
    };
    State {
        writer: "0.1.0".to_owned(),
        machine: Machine {
            status: "\u{1f980} \"quoted\"\u{1}".to_owned(),
            ..Machine::default()
        },
        held,
        fds: BTreeMap::from([(label("listener.0"), 17)]),
    }
}

#[test]
fn what_version_1_wrote_is_read() {
    // As `core`'s fixtures: written once, with SD_STARTER_REWRITE=1, and never again once released.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state/1/held");
    if std::env::var_os("SD_STARTER_REWRITE").is_some() && !std::path::Path::new(path).exists() {
        std::fs::write(path, render(&state()).unwrap()).unwrap();
    }
    assert_eq!(parse(&std::fs::read(path).unwrap()), Ok(state()));
}

/// A state with another first line or body, and a first line that fits.
pub(in crate::protocol) fn framed(version: u32, needs: u32, body: &str) -> Vec<u8> {
    let head = format!("{MAGIC} {version} {needs} {}", body.len());
    let sum = checksum(&head, body.as_bytes());
    format!("{head} {sum:x}\n{body}").into_bytes()
}

fn body() -> serde_json::Value {
    serde_json::from_slice(&record::to_json(&state())).unwrap()
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
