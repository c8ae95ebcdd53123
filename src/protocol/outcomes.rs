//! Everything that the parsers of outside text can come to, brought about. The lists are made of the
//! same words as the matches, and the matches have no wildcard: a new outcome, method or field does
//! not compile, or is missed here, until something brings it about.
//!
//! The inputs are not written one by one either: all sequences of a parser's telling pieces, up to a
//! length, and every method of the interface definitions with every kind of parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde_json::json;

use super::control::{self, Call, DEFINITION, Refusal};
use super::duration::{DurationError, Limit};
use super::envdir::{self, EnvdirError};
use super::keepsake::Keepsake;
use super::listen_fds::{self, Listen, ListenEnv, ListenError, Name, NotForUs};
use super::notify_message::{self, Message, Refused, Watchdog};
use super::port::{self, PortError};
use super::state::{self, Unreadable};
use super::status_file::{self, StatusFileError};
use super::worker_env::{BadVariable, Variable};
use super::worker_sockets::{self, Malformed};

macro_rules! outcomes {
    ($name:ident($type:ty): $($word:ident = $pattern:pat,)*) => {
        struct $name;

        impl $name {
            const ALL: &'static [&'static str] = &[$(stringify!($word)),*];

            fn of(outcome: &$type) -> &'static str {
                match outcome { $($pattern => stringify!($word)),* }
            }

            /// Each was met in one of these.
            #[track_caller]
            fn assert_all(outcomes: impl IntoIterator<Item = $type>) {
                let met: BTreeSet<_> = outcomes.into_iter().map(|one| Self::of(&one)).collect();
                let all: BTreeSet<_> = Self::ALL.iter().copied().collect();
                assert_eq!(met, all, "met, and what there is");
            }
        }
    };
}

outcomes!(Ports(Result<port::PortSpec, PortError>):
    Good = Ok(_),
    Form = Err(PortError::Form),
    Number = Err(PortError::Number),
    Host = Err(PortError::Host(_)),
    Pin = Err(PortError::Pin),
);
outcomes!(Listens(Result<Listen, ListenError>):
    Sockets = Ok(Listen::Sockets(_)),
    Unset = Ok(Listen::NotForUs(NotForUs::Unset)),
    OtherPid = Ok(Listen::NotForUs(NotForUs::OtherPid(_))),
    OtherPidfd = Ok(Listen::NotForUs(NotForUs::OtherPidfd)),
    Number = Err(ListenError::Number(_)),
    Count = Err(ListenError::Count { .. }),
    BadName = Err(ListenError::BadName),
);
outcomes!(Handed(Result<worker_sockets::Handed, Malformed>):
    Good = Ok(_),
    Entry = Err(Malformed::Entry(_)),
    Twice = Err(Malformed::Twice(_)),
    TooLong = Err(Malformed::TooLong),
    Listen = Err(Malformed::Listen(_)),
);
outcomes!(Datagrams(Result<Message, Refused>):
    Good = Ok(_),
    TooLong = Err(Refused::TooLong),
    Nul = Err(Refused::Nul),
    NotUtf8 = Err(Refused::NotUtf8),
);
outcomes!(Watchdogs(Watchdog):
    Pet = Watchdog::Pet,
    Trigger = Watchdog::Trigger,
);
outcomes!(Calls(Call):
    GetInfo = Call::GetInfo,
    GetInterfaceDescription = Call::GetInterfaceDescription(_),
    Reload = Call::Reload(_),
    Stop = Call::Stop,
    Upgrade = Call::Upgrade,
    GetStatus = Call::GetStatus,
    Wait = Call::Wait(_),
    Monitor = Call::Monitor,
    Ping = Call::Ping,
    SetLogLevel = Call::SetLogLevel(_),
);
outcomes!(Refusals(Refusal):
    Garbage = Refusal::Garbage,
    InterfaceNotFound = Refusal::InterfaceNotFound(_),
    MethodNotFound = Refusal::MethodNotFound(_),
    InvalidParameter = Refusal::InvalidParameter(_),
    ExpectedMore = Refusal::ExpectedMore,
    PermissionDenied = Refusal::PermissionDenied,
    Stopping = Refusal::Stopping,
    ReloadFailed = Refusal::ReloadFailed { .. },
    UpgradeFailed = Refusal::UpgradeFailed { .. },
    OtherGeneration = Refusal::OtherGeneration { .. },
);
outcomes!(Limits(Result<Limit, DurationError>):
    After = Ok(Limit::After(_)),
    Never = Ok(Limit::Never),
    Form = Err(DurationError::Form),
    TooLong = Err(DurationError::TooLong),
);
outcomes!(Variables(Result<Variable, BadVariable>):
    Good = Ok(_),
    EmptyName = Err(BadVariable::EmptyName),
    Name = Err(BadVariable::Name),
    Value = Err(BadVariable::Value),
);
outcomes!(Envdirs(Result<Vec<Variable>, EnvdirError>):
    Good = Ok(_),
    Variable = Err(EnvdirError::Variable(..)),
    TooLong = Err(EnvdirError::TooLong(_)),
    TooMany = Err(EnvdirError::TooMany),
);
outcomes!(Keepsakes(Option<Keepsake>):
    Port = Some(Keepsake::Port { .. }),
    Path = Some(Keepsake::Path { .. }),
    State = Some(Keepsake::State),
    Labelled = Some(Keepsake::Labelled(_)),
    NotOurs = None,
);
outcomes!(States(Result<state::State, Unreadable>):
    Good = Ok(_),
    TooLong = Err(Unreadable::TooLong),
    NotAState = Err(Unreadable::NotAState),
    Torn = Err(Unreadable::Torn),
    Version = Err(Unreadable::Version { .. }),
    Content = Err(Unreadable::Content(_)),
);
outcomes!(StatusFiles(Result<(), StatusFileError>):
    Good = Ok(()),
    TooLong = Err(StatusFileError::TooLong),
    Line = Err(StatusFileError::Line(_)),
);

/// Every sequence of up to so many of the pieces.
fn sequences(pieces: &[&str], most: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut longest = all.clone();
    for _ in 0..most {
        let longer = |text: &String| {
            pieces
                .iter()
                .map(|piece| format!("{text}{piece}"))
                .collect()
        };
        longest = longest.iter().flat_map::<Vec<_>, _>(longer).collect();
        all.extend_from_slice(&longest);
    }
    all
}

#[test]
fn every_outcome_of_a_port() {
    let pieces = [
        "80", "u", ":", "=", "[", "]", "::1", "h", "99999", "\0", "2", "9",
    ];
    Ports::assert_all(sequences(&pieces, 4).iter().map(|text| port::parse(text)));
}

fn environments(run: &mut dyn FnMut(&ListenEnv<'_>)) {
    let numbers = [
        None,
        Some("42"),
        Some("2"),
        Some("0"),
        Some("x"),
        Some("-1"),
    ];
    for (pid, fds) in numbers
        .iter()
        .flat_map(|pid| numbers.map(|fds| (*pid, fds)))
    {
        for names in [None, Some(""), Some("a:b"), Some("a"), Some("a:\u{7f}")] {
            for pidfdid in [None, Some("7"), Some("8"), Some("x")] {
                run(&ListenEnv {
                    pid,
                    fds,
                    names,
                    pidfdid,
                });
            }
        }
    }
}

#[test]
fn every_outcome_of_what_systemd_passes() {
    let mut met = Vec::new();
    environments(&mut |env| met.push(listen_fds::parse(env, 42, Some(7))));
    Listens::assert_all(met);
}

#[test]
fn every_outcome_of_what_a_worker_is_given() {
    let mut met = Vec::new();
    let long = "x".repeat(128 * 1024 + 1);
    for text in sequences(&["80", "=", "3", ";"], 6).iter().chain([&long]) {
        let none = ListenEnv::default();
        met.push(worker_sockets::parse(Some(text), &none, 42));
    }
    environments(&mut |env| met.push(worker_sockets::parse(None, env, 42)));
    Handed::assert_all(met);
}

/// The fields of a message, and which of them a datagram has set.
macro_rules! fields {
    ($($field:ident)*) => {
        const FIELDS: &[&str] = &[$(stringify!($field)),*];

        fn set(message: &Message) -> Vec<&'static str> {
            // All of them: a new one has to be named here.
            let Message { $($field),* } = message;
            let none = Message::default();
            let mut set = Vec::new();
            $(if *$field != none.$field { set.push(stringify!($field)); })*
            set
        }
    };
}

fields!(ready reloading monotonic_usec stopping status errno bus_error varlink_error exit_status
    main_pid main_pidfd_id main_pidfd watchdog watchdog_interval extend_timeout restart_reset
    fd_store fd_store_remove fd_name fd_poll_off barrier notify_access malformed);

#[test]
fn every_field_of_a_datagram_and_every_refusal() {
    // The names that the table at the top of the parser has.
    let table = include_str!("notify_message.rs");
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let names: BTreeSet<&str> = cells
        .flat_map(|cell| cell.split(['`', ' ']))
        .filter_map(|word| word.split_once('=').map(|(name, _)| name))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let long = "9".repeat(5000);
    let values = [
        "1",
        "0",
        "trigger",
        "",
        "-1",
        "x",
        "a b\u{e9}",
        "77",
        "all",
        &long,
    ];
    let mut met = Vec::new();
    let mut by_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut watchdogs = Vec::new();
    for name in names {
        for value in values {
            for end in ["", "\0", "\0\0"] {
                let parsed = notify_message::parse(format!("{name}={value}{end}").as_bytes());
                if let Ok(message) = &parsed {
                    let set = set(message);
                    assert!(set.len() <= 1, "{name}={value} sets {set:?}");
                    by_name.entry(name).or_default().extend(set);
                    watchdogs.extend(message.watchdog);
                }
                met.push(parsed);
            }
        }
    }
    met.push(notify_message::parse(b"STATUS=\xff"));
    Datagrams::assert_all(met);
    Watchdogs::assert_all(watchdogs);
    let fields: BTreeSet<_> = by_name.values().flatten().copied().collect();
    assert_eq!(
        fields,
        FIELDS.iter().copied().collect(),
        "set, and what there is"
    );
    for (name, fields) in by_name {
        // Whatever text is good there, or any other value is none.
        let nonsense = fields.contains("malformed") || ["STATUS", "NOTIFYACCESS"].contains(&name);
        let sense = fields.iter().any(|field| *field != "malformed");
        assert!(sense && nonsense, "{name}: {fields:?}");
    }
}

/// The methods of an interface, as its definition has them.
fn methods(definition: &str) -> Vec<String> {
    let interface = definition
        .lines()
        .find_map(|line| line.strip_prefix("interface "));
    let interface = interface.expect("its name").trim();
    let words = definition
        .lines()
        .filter_map(|line| line.strip_prefix("method "));
    let names = words.filter_map(|line| line.split('(').next());
    names
        .map(|name| format!("{interface}.{}", name.trim()))
        .collect()
}

#[test]
fn every_call_and_every_refusal() {
    let service = include_str!("org.varlink.service.varlink");
    let systemd = include_str!("io.systemd.service.varlink");
    let mut names: Vec<String> = [DEFINITION, service, systemd]
        .iter()
        .flat_map(|definition| methods(definition))
        .collect();
    assert!(names.len() >= Calls::ALL.len(), "{names:?}");
    let known = names.len();
    names.extend(["org.sdstarter.Supervisor.No", "no.such.Method", "none", ""].map(str::to_owned));
    let parameters = [
        json!(null),
        json!({}),
        json!({ "interface": "org.varlink.service" }),
        json!({ "level": 3 }),
        json!({ "level": 9 }),
        json!({ "level": "x" }),
        json!({ "generation": 2 }),
        json!({ "generation": -2 }),
        json!([]),
    ];
    let (mut calls, mut refusals) = (Vec::new(), Vec::new());
    for (place, name) in names.iter().enumerate() {
        let (calls_before, refusals_before) = (calls.len(), refusals.len());
        for (parameters, more) in parameters
            .iter()
            .flat_map(|one| [(one, true), (one, false)])
        {
            let call = json!({ "method": name, "parameters": parameters, "more": more });
            match control::parse_call(call.to_string().as_bytes()) {
                Ok(asked) => calls.push(asked.call),
                Err(refusal) => refusals.push(refusal),
            }
        }
        assert_eq!(
            calls.len() > calls_before,
            place < known,
            "{name} is good for something"
        );
        assert!(
            refusals.len() > refusals_before,
            "{name} is not good whatever comes with it"
        );
    }
    Calls::assert_all(calls);
    // What only the supervisor can know.
    let reason = || "why".to_owned();
    refusals.extend([
        Refusal::PermissionDenied,
        Refusal::Stopping,
        Refusal::ReloadFailed {
            reason: reason(),
            generation: 2,
            kept: Some(1),
        },
        Refusal::UpgradeFailed { reason: reason() },
        Refusal::OtherGeneration { serving: Some(1) },
    ]);
    // Each is an error that its client can read, of a name that a definition has.
    let texts = [DEFINITION, service, systemd].concat();
    for refusal in &refusals {
        let text = control::render_refusal(refusal);
        let reply = control::parse_reply(&text[..text.len() - 1]).expect("a reply");
        let error = reply.error.expect("an error");
        let name = error.rsplit('.').next().expect("a name");
        assert!(texts.contains(&format!("error {name} ")), "{error}");
    }
    Refusals::assert_all(refusals);
    assert!(control::parse_reply(b"[1").is_err());
}

#[test]
fn every_outcome_of_a_duration() {
    let pieces = [
        "1",
        ".",
        "5",
        "s",
        " ",
        "ms",
        "infinity",
        "999999999999",
        "-",
        "x",
    ];
    let texts = sequences(&pieces, 3);
    Limits::assert_all(texts.iter().map(|text| text.parse()));
}

#[test]
fn every_outcome_of_a_variable_and_of_a_directory_of_them() {
    let texts = sequences(&["A", "=", "\0", "\n"], 3);
    let pairs = || {
        texts
            .iter()
            .flat_map(|name| texts.iter().map(move |value| (name, value)))
    };
    Variables::assert_all(
        pairs().map(|(name, value)| Variable::new(name.as_str(), value.as_str())),
    );
    let file = |name: &str, value: &[u8]| (OsString::from(name), value.to_vec());
    let few = pairs().map(|(name, value)| vec![file(name, value.as_bytes())]);
    let many = (0..=envdir::MAX_FILES).map(|number| file(&format!("A{number}"), b"1"));
    let long = vec![file("A", &vec![b'x'; envdir::MAX_VALUE_LENGTH + 1])];
    let all = few.chain([many.collect(), long]);
    Envdirs::assert_all(all.map(|files| envdir::parse(&files)));
}

#[test]
fn every_kind_of_keepsake() {
    let pieces = ["sd-starter.", "state", "port", "path", ".", "1", "x", "/p"];
    let texts = sequences(&pieces, 5);
    let prefixed = |text: &String| {
        let with = |prefix: &str| Name::new(&format!("sd-starter.{prefix}.1.2.{text}"));
        [with("path"), with("port")]
    };
    let names = texts.iter().filter_map(|text| Name::new(text));
    let names = names.chain(texts[..9].iter().flat_map(prefixed).flatten());
    Keepsakes::assert_all(names.map(|name| Keepsake::parse(&name)));
}

#[test]
fn every_outcome_of_a_saved_state() {
    let known = include_bytes!("../../fuzz/seeds/state/steady");
    let mut met: Vec<_> = (0..known.len())
        .map(|end| state::parse(&known[..end]))
        .collect();
    for place in 0..known.len().min(200) {
        for byte in [b'0', b'9', b' ', b'\n'] {
            let mut changed = known.to_vec();
            changed[place] = byte;
            met.push(state::parse(&changed));
        }
    }
    met.push(state::parse(known));
    met.push(state::parse(&vec![b' '; state::MAX_LENGTH + 1]));
    // A sum that fits, and nothing that does.
    met.push(state::parse(&state::tests::framed(
        state::VERSION,
        state::NEEDS,
        "{}",
    )));
    States::assert_all(met);
}

#[test]
fn every_outcome_of_a_status_file() {
    let mut texts = sequences(&["1", ":", "23", "\n", "x", "-"], 4);
    texts.push("1:1\n".repeat(65536));
    let parsed = texts.iter().map(|text| status_file::parse(text.as_bytes()));
    StatusFiles::assert_all(parsed.map(|parsed| parsed.map(drop)));
}
