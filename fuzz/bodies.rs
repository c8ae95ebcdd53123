//! One body for each parser of outside text. The targets of cargo-fuzz call them, and
//! `tests/hostile/fuzz.rs` does with a bounded number of inputs, without nightly.
//!
//! A body must not panic, whatever the bytes; and what it asserts holds for every input: what was
//! parsed can be rendered and is parsed again to the same, and nothing grows beyond its bound.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use sd_starter::core::{Attempts, Event, Machine, Now, Policy, Readiness, StopBy};
use sd_starter::protocol::envdir::parse_file;
use sd_starter::protocol::listen_fds::{self, Listen, ListenEnv};
use sd_starter::protocol::signal_name::Signal;
use sd_starter::protocol::{
    control, notify_message, pid_file, port, state, status_file, worker_sockets,
};

/// A body.
pub(crate) type Body = fn(&[u8]);

/// Every body, by the name of its target.
pub(crate) const BODIES: [(&str, Body); 10] = [
    ("control", control_call),
    ("control_reply", control_reply),
    ("envdir", envdir),
    ("listen_env", listen_env),
    ("notify", notify),
    ("pid_file", pid),
    ("port", port_option),
    ("state", saved_state),
    ("status_file", status),
    ("worker_sockets", worker_ports),
];

/// The fields of an input: what stands between NULs.
fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0)
}

/// LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PIDFDID; an empty field is an unset variable.
pub(crate) fn listen_env(bytes: &[u8]) {
    let mut texts = fields(bytes).map(|field| std::str::from_utf8(field).ok());
    let mut next = || texts.next().flatten().filter(|text| !text.is_empty());
    let env = ListenEnv {
        pid: next(),
        fds: next(),
        names: next(),
        pidfdid: next(),
    };
    if let Ok(Listen::Sockets(names)) = listen_fds::parse(&env, 42, Some(7)) {
        assert!(names.len() <= 16384, "bounded");
        if env.names.is_some() && !names.is_empty() {
            let rendered = listen_fds::render_names(&names);
            assert_eq!(Some(rendered.as_str()), env.names);
        }
    }
}

/// A datagram of a worker.
pub(crate) fn notify(bytes: &[u8]) {
    if let Ok(message) = notify_message::parse(bytes) {
        assert!(bytes.len() <= 4096, "bounded");
        let shown = format!("{message:?}");
        assert!(shown.len() <= 16 * bytes.len() + 1024, "nothing is made up");
    }
}

/// A call of a client.
pub(crate) fn control_call(bytes: &[u8]) {
    match control::parse_call(bytes) {
        Ok(asked) => drop(format!("{asked:?}")),
        Err(refusal) => {
            let rendered = control::render_refusal(&refusal);
            assert_eq!(rendered.last(), Some(&0), "a whole message");
            assert!(control::parse_reply(&rendered[..rendered.len() - 1]).is_ok());
        }
    }
}

/// An answer of a supervisor, as `starterctl` reads it.
pub(crate) fn control_reply(bytes: &[u8]) {
    drop(control::parse_reply(bytes).map(|reply| format!("{reply:?}")));
}

/// A file of `--envdir`: its name, a NUL, its content.
pub(crate) fn envdir(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let name = OsString::from_vec(halves.next().unwrap_or_default().to_vec());
    let content = halves.next().unwrap_or_default();
    if let Ok(Some(variable)) = parse_file(&name, content) {
        assert!(
            !variable.name().contains(&b'='),
            "it would be another variable"
        );
        assert!(!variable.value().contains(&b'\n'), "the first line only");
    }
}

/// The file of `--pid-file`.
pub(crate) fn pid(bytes: &[u8]) {
    if let Ok(pid) = pid_file::parse(bytes) {
        assert!(pid > 0, "0 and negative numbers are process groups: {pid}");
        assert_eq!(
            pid_file::parse(pid_file::render(pid).as_bytes()).ok(),
            Some(pid)
        );
    }
}

/// The file of `--status-file`.
pub(crate) fn status(bytes: &[u8]) {
    if let Ok(workers) = status_file::parse(bytes) {
        let rendered = status_file::render(&workers);
        let again = status_file::parse(rendered.as_bytes());
        let mut sorted = workers;
        sorted.sort();
        assert_eq!(
            again
                .map(|mut again| {
                    again.sort();
                    again
                })
                .ok(),
            Some(sorted)
        );
    }
}

/// The value of `--port`.
pub(crate) fn port_option(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(spec) = port::parse(text) {
        assert!(spec.pin.is_none_or(|pin| pin == 0 || pin > 2), "{spec:?}");
        assert!(
            !spec.key.contains(['=', ';']),
            "it would be two listeners: {spec:?}"
        );
    }
}

/// What a predecessor has written down: as it is, and with a first line that fits what follows, for
/// a checksum would keep everything else out.
pub(crate) fn saved_state(bytes: &[u8]) {
    drop(state::parse(bytes));
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let body = &bytes[end.map_or(0, |end| end + 1)..];
    let (version, needs) = (state::VERSION, state::NEEDS);
    let head = format!("sd-starter state {version} {needs} {}", body.len());
    // FNV-1a, 64 bits.
    let summed = head.bytes().chain(body.iter().copied());
    let sum = summed.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let whole = [format!("{head} {sum:016x}\n").as_bytes(), body].concat();
    let known = match state::parse(&whole) {
        Ok(known) => known,
        Err(state::Unreadable::Content(_) | state::Unreadable::TooLong) => return,
        Err(other) => panic!("the first line is a good one: {other}"),
    };
    if let Ok(rendered) = state::render(&known) {
        assert_eq!(state::parse(&rendered).as_ref(), Ok(&known));
    }
    for recovers in [true, false] {
        if let Ok(machine) = Machine::restore(&known.machine, rules()) {
            let again = Machine::restore(&machine.save(), rules());
            assert_eq!(again.as_ref(), Ok(&machine), "something was lost");
            live_on(machine, &known, bytes.len(), recovers);
        }
    }
}

/// A restored machine: whatever it was, it takes news, gets by without them, and stays small.
fn live_on(mut machine: Machine, known: &state::State, size: usize, recovers: bool) {
    let mut now = Now::at(Duration::from_secs(3));
    let mut count = 0;
    let mut take = |machine: &mut Machine, event, now| {
        count += machine.step(event, now).len();
    };
    if recovers {
        take(&mut machine, Event::Recovered, now);
    }
    let by = StopBy::Terminate;
    let stop = Event::Stop {
        requester: None,
        by,
    };
    for event in [Event::Tick, stop] {
        take(&mut machine, event, now);
        let mut in_vain = 0;
        for _ in 0..50 {
            let Some(due) = machine.deadline() else {
                break;
            };
            in_vain = if due > now { 0 } else { in_vain + 1 };
            assert!(in_vain < 8, "it is due for ever: {machine:?}");
            now = now.max(due);
            take(&mut machine, Event::Tick, now);
        }
    }
    assert!(count <= 8 * size + 2000, "{count} actions of {size} bytes");
    let state = state::State {
        machine: machine.save(),
        ..known.clone()
    };
    // The shell's part of it is no larger than what it was read from.
    let shown = state::render(&state).expect("a state is a text");
    assert!(shown.len() <= 9 * size + 64 * 1024, "it has grown");
}

fn rules() -> Policy {
    Policy {
        readiness: Readiness::Notify,
        interval: Duration::from_secs(1),
        start_timeout: Some(Duration::from_secs(90)),
        attempts: Attempts::Unlimited,
        kill_old_delay: Duration::from_secs(1),
        drain_timeout: Some(Duration::from_secs(30)),
        stop_timeout: Some(Duration::from_secs(90)),
        max_draining: Some(4),
        signal_on_hup: Signal::TERM,
        signal_on_term: Signal::TERM,
        worker_watchdog: Some(Duration::from_secs(3)),
        auto_restart: Some(Duration::from_secs(360)),
        sockets: 2,
    }
}

/// SERVER_STARTER_PORT, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, as a worker reads them.
pub(crate) fn worker_ports(bytes: &[u8]) {
    let mut texts = fields(bytes).map(|field| std::str::from_utf8(field).ok());
    let ports = texts.next().flatten();
    let mut next = || texts.next().flatten().filter(|text| !text.is_empty());
    let env = ListenEnv {
        pid: next(),
        fds: next(),
        names: next(),
        pidfdid: None,
    };
    let Ok(handed) = worker_sockets::parse(ports, &env, 42) else {
        return;
    };
    let mut seen = std::collections::BTreeSet::new();
    for passed in &handed.passed {
        assert!(passed.fd >= 0, "a descriptor: {passed:?}");
        assert!(seen.insert(passed.fd), "one entry each: {passed:?}");
        assert!(passed.key.is_some() || passed.name.is_some(), "{passed:?}");
    }
    let keyed = handed.passed.iter().filter_map(|passed| {
        let key = passed.key.as_ref()?;
        Some(format!("{key}={}", passed.fd))
    });
    let rendered = keyed.collect::<Vec<_>>().join(";");
    assert!(rendered.len() <= bytes.len(), "nothing is made up");
    let again = worker_sockets::parse(Some(&rendered), &env, 42);
    assert_eq!(again, Ok(handed), "{rendered:?}");
}
