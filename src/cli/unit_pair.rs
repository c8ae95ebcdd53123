//! `starterctl units`: a socket unit and a service unit, from the pair that we ship.

use super::getopt;
use super::refusal::Refusal;
use crate::shell::settings::{Invocation, ProgramName};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::protocol::port;

const SOCKET_TEMPLATE: &str = include_str!("../../systemd/app.socket");
const SERVICE_TEMPLATE: &str = include_str!("../../systemd/app.service");

/// The service's directives that not every systemd knows, and since which version it does
/// (systemd.exec(5), systemd.unit(5)). An older one would warn of each at every reload.
const SINCE: [(&str, u32); 10] = [
    ("StartLimitIntervalSec", 230),
    ("RemoveIPC", 232),
    ("PrivateUsers", 232),
    ("KeyringMode", 235),
    ("PrivateMounts", 239),
    ("ProtectHostname", 242),
    ("RestrictSUIDSGID", 242),
    ("ProtectKernelLogs", 244),
    ("ProtectClock", 245),
    ("ProtectProc", 247),
];

/// The longest path of a unix socket: sun_path without its NUL, unix(7).
const LONGEST_PATH: usize = 107;

/// What is around the name in the longest path of a service's sockets, of the system and of a user with
/// the longest id. More generations than the digits can count take centuries.
const AROUND_NAME: [&str; 2] = [
    "/run/sd-starter//notify.NNNNNNNN",
    "/run/user/4294967295/sd-starter//notify.NNNNNNNN",
];

/// The name of a pair of units.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnitName(String);

/// Where a socket unit listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listen {
    directive: &'static str,
    address: String,
    tcp: bool,
    ipv6: bool,
}

/// Why there is no pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unfit(String);

/// Two units.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnitPair {
    /// `NAME.socket`, and its text.
    pub socket: (String, String),
    /// `NAME.service`, and its text.
    pub service: (String, String),
}

/// What a pair is made from.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// What it is called.
    pub name: &'a UnitName,
    /// Where it listens, in order.
    pub listen: &'a [Listen],
    /// Options of sd-starter for the service.
    pub options: &'a [OsString],
    /// The server program and its arguments.
    pub command: &'a [OsString],
    /// Where sd-starter and starterctl are.
    pub programs: &'a Path,
    /// The version of systemd that it is for.
    pub systemd: u32,
    /// For a user's own manager, not the system's.
    pub user: bool,
}

impl UnitPair {
    /// Makes a pair.
    ///
    /// # Errors
    /// For what a unit file cannot hold, and a name with which the service could not run.
    pub fn new(order: &Order<'_>) -> Result<Self, Unfit> {
        check(order.options)?;
        let name = &order.name.0;
        let longest = LONGEST_PATH - AROUND_NAME[usize::from(order.user)].len();
        if name.len() > longest {
            return Err(Unfit(format!(
                "the name has {} bytes: at most {longest}, or the paths of the service's sockets \
                 do not fit",
                name.len()
            )));
        }
        Ok(Self {
            socket: (format!("{name}.socket"), socket(order)),
            service: (format!("{name}.service"), service(order)?),
        })
    }
}

fn socket(order: &Order<'_>) -> String {
    let name = &order.name.0;
    let mut unit = Unit::default();
    for line in SOCKET_TEMPLATE.lines() {
        match line.split_once('=') {
            Some(("Description", _)) => {
                unit.put(&format!("Description=Listening sockets of {name}"));
            }
            Some(("ListenStream", _)) => {
                // What is said there is about the address in the template.
                unit.comment.clear();
                for listen in order.listen {
                    unit.put(&format!("{}={}", listen.directive, listen.address));
                }
                if order.listen.iter().any(|listen| listen.ipv6) {
                    unit.put("BindIPv6Only=ipv6-only");
                }
            }
            Some(("FileDescriptorName", _)) => unit.put(&format!("FileDescriptorName={name}")),
            Some(("NoDelay", _)) if !order.listen.iter().all(|listen| listen.tcp) => {}
            Some(_) | None => unit.put(line),
        }
    }
    unit.text
}

/// That sd-starter takes these options, that they are options and nothing else, and that they are for
/// a service.
fn check(options: &[OsString]) -> Result<(), Unfit> {
    let unfit = |reason: String| Err(Unfit(format!("--with: {reason}")));
    let read = |options: &[OsString]| {
        let options = options.iter().cloned();
        getopt::read(options, ProgramName::SdStarter)
    };
    // By themselves first: in front of `--` the last one could take that for its value.
    let arguments = match read(options) {
        Ok(arguments) => arguments,
        Err(Refusal::Text(_)) => {
            let ends_it = |option: &&OsString| {
                matches!(read(&[OsString::clone(option)]), Err(Refusal::Text(_)))
            };
            let option = options.iter().find(ends_it).cloned().unwrap_or_default();
            return unfit(format!(
                "{} does not run a service",
                option.to_string_lossy()
            ));
        }
        Err(refusal) => return unfit(refusal.to_string()),
    };
    if let Some(word) = arguments.command.first() {
        return unfit(format!("{word:?} is no option; the program follows '--'"));
    }
    let flags = [
        ("--restart", arguments.restart),
        ("--stop", arguments.stop),
        ("--daemonize", arguments.daemonize),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
        return unfit(format!("{flag} is not for a service that systemd runs"));
    }
    let argv = [OsString::from("sd-starter")].into_iter();
    let argv = argv.chain(options.iter().cloned());
    let argv = argv.chain(["--".into(), PROGRAM.into()]);
    match super::parse(argv, &[]) {
        Ok(Invocation::Supervise(settings))
            if settings.program == PROGRAM && settings.arguments.is_empty() =>
        {
            Ok(())
        }
        // All else that these words could mean is a `--` among them, behind which ours is the program.
        Ok(_) => unfit("'--' is no option; it stands before the program by itself".to_owned()),
        Err(refusal) => unfit(refusal.to_string()),
    }
}

/// Stands in for the program while options are checked.
const PROGRAM: &str = "PROGRAM";

fn service(order: &Order<'_>) -> Result<String, Unfit> {
    let name = &order.name.0;
    let program = |name: &str| word(order.programs.join(name).as_os_str());
    let words: Result<Vec<_>, _> = order.command.iter().map(|text| word(text)).collect();
    let mut unit = Unit::default();
    // A user's manager may not change users, nor make a sandbox: that is from here to the next section.
    let mut sandbox = false;
    for line in SERVICE_TEMPLATE.lines() {
        if sandbox && line == "[Install]" {
            unit.put("");
        }
        sandbox =
            order.user && (sandbox || line.starts_with("DynamicUser=")) && line != "[Install]";
        match line.split_once('=') {
            _ if sandbox => unit.comment.clear(),
            Some(("WantedBy", _)) if order.user => unit.put("WantedBy=default.target"),
            // The system's targets are not the user's.
            Some(("After", _)) if order.user => unit.put(&format!("After={name}.socket")),
            Some(("Description", _)) => unit.put(&format!("Description={name} under sd-starter")),
            Some(("ExecStart", _)) => {
                let starter = program("sd-starter")?;
                let options: Result<Vec<_>, _> =
                    order.options.iter().map(|text| word(text)).collect();
                let line = [
                    vec![starter],
                    options?,
                    vec!["--".to_owned()],
                    words.clone()?,
                ];
                unit.put(&format!("ExecStart={}", line.concat().join(" ")));
            }
            Some(("ExecReload", _)) => {
                unit.put(&format!("ExecReload={} reload", program("starterctl")?));
            }
            Some((directive, _)) if !is_known(directive, order.systemd) => unit.comment.clear(),
            Some(_) | None => unit.put(&line.replace("app.socket", &format!("{name}.socket"))),
        }
    }
    Ok(unit.text)
}

fn is_known(directive: &str, systemd: u32) -> bool {
    let since = SINCE.iter().find(|(name, _)| *name == directive);
    since.is_none_or(|(_, since)| *since <= systemd)
}

/// A unit file under construction. A comment is held back until the line that it is about is known
/// to stay.
#[derive(Default)]
struct Unit {
    text: String,
    comment: String,
}

impl Unit {
    fn put(&mut self, line: &str) {
        let text = if line.starts_with('#') {
            &mut self.comment
        } else {
            self.text.push_str(&std::mem::take(&mut self.comment));
            &mut self.text
        };
        text.push_str(line);
        text.push('\n');
    }
}

/// One word of a command line, as systemd.service(5) reads it back.
fn word(text: &OsStr) -> Result<String, Unfit> {
    let unfit = || Unfit(format!("{text:?} cannot stand in a unit: it is not UTF-8"));
    let text = text.to_str().ok_or_else(unfit)?;
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=,@+-%$".contains(c);
    let quoted = text.is_empty() || !text.chars().all(is_plain);
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '%' => out.push_str("%%"),
            '$' => out.push_str("$$"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                return Err(Unfit(format!("{text:?} cannot stand in a unit")));
            }
            c => out.push(c),
        }
    }
    Ok(if quoted { format!("\"{out}\"") } else { out })
}

/// The version in the first line of `systemctl --version`: `systemd 257 (257.9-1)`.
#[must_use]
pub fn version_of(text: &str) -> Option<u32> {
    let mut words = text.split_ascii_whitespace();
    let version = words.nth(1)?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl FromStr for UnitName {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let name = text.strip_suffix(".service").unwrap_or(text);
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let fits = !name.is_empty() && !name.starts_with('.');
        if fits && name.chars().all(is_fit) {
            Ok(Self(name.to_owned()))
        } else {
            let reason = "a unit's name has letters, digits, '-', '_' and '.' only";
            Err(Unfit(reason.to_owned()))
        }
    }
}

impl FromStr for Listen {
    type Err = Unfit;

    /// `[ADDRESS:]PORT` as `--port` of sd-starter takes it, a path, or `@NAME`.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let unfit = |reason: &str| Err(Unfit(reason.to_owned()));
        if text.starts_with(['/', '@']) {
            if text.len() < 2 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return unfit("a path or a name without blanks is needed");
            }
            return Ok(Self {
                directive: "ListenStream",
                address: text.replace('%', "%%"),
                tcp: false,
                ipv6: false,
            });
        }
        let spec = match port::parse(text) {
            Ok(spec) => spec,
            Err(error) => return Err(Unfit(error.to_string())),
        };
        if spec.pin.is_some() || spec.port == 0 {
            return unfit("a socket unit has neither =FD nor port 0");
        }
        // Not the bare port: that is a dual-stack socket, which many a server cannot cope with.
        let host = spec.host.as_deref().unwrap_or("0.0.0.0");
        let host: std::net::IpAddr = match host.parse() {
            Ok(host) => host,
            Err(_) => return unfit("a socket unit needs an address, not the name of a host"),
        };
        Ok(Self {
            directive: if spec.udp {
                "ListenDatagram"
            } else {
                "ListenStream"
            },
            address: std::net::SocketAddr::new(host, spec.port).to_string(),
            tcp: !spec.udp,
            ipv6: host.is_ipv6(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(listen: &[&str], command: &[&str], systemd: u32) -> UnitPair {
        let listen: Vec<_> = listen.iter().map(|text| text.parse().unwrap()).collect();
        let command: Vec<_> = command.iter().map(OsString::from).collect();
        let order = Order {
            name: &"web.service".parse().unwrap(),
            listen: &listen,
            options: &[],
            command: &command,
            programs: Path::new("/usr/bin"),
            systemd,
            user: false,
        };
        UnitPair::new(&order).unwrap()
    }

    #[test]
    fn a_users_manager_gets_what_it_can_do() {
        let name = "web".parse().unwrap();
        let order = Order {
            name: &name,
            listen: &["80".parse().unwrap()],
            options: &[],
            command: &["x".into()],
            programs: Path::new("/usr/bin"),
            systemd: 252,
            user: true,
        };
        let (_, text) = UnitPair::new(&order).unwrap().service;
        let end = "\nRuntimeDirectory=sd-starter/%N\nRuntimeDirectoryMode=0755\n\n[Install]\n\
                   WantedBy=default.target\nAlso=web.socket\n";
        assert!(text.ends_with(end), "{text}");
        assert!(
            text.contains("\nAfter=web.socket\n") && !text.contains("User="),
            "{text}"
        );
    }

    #[test]
    fn options_are_checked_and_stand_before_the_program() {
        let make = |options: &[&str]| {
            let options: Vec<_> = options.iter().map(OsString::from).collect();
            UnitPair::new(&Order {
                name: &"web".parse().unwrap(),
                listen: &["80".parse().unwrap()],
                options: &options,
                command: &["/srv/x".into()],
                programs: Path::new("/usr/bin"),
                systemd: 252,
                user: false,
            })
        };
        let (_, text) = make(&["--ready=notify", "--expand"]).unwrap().service;
        assert!(text.contains("ExecStart=/usr/bin/sd-starter --ready=notify --expand -- /srv/x\n"));
        assert!(make(&["--port", "9", "--pid-file=--"]).is_ok());
        for (wrong, reason) in [
            (&["--ready=soon"][..], "'soon'"),
            (&["--no-such-option"], "'--no-such-option'"),
            (&["--port=9", "--version"], "--version does not run"),
            (&["-h"], "-h does not run"),
            (&["--stop", "--pid-file=x"], "--stop is not for"),
            (&["--restart"], "--restart is not for"),
            (&["--daem", "--log-file=x"], "--daemonize is not for"),
            (&["foo"], "\"foo\" is no option"),
            (&[""], "\"\" is no option"),
            (&["--port=9", "--"], "'--' is no option"),
            (&["--", "--daemonize"], "\"--daemonize\" is no option"),
            (&["--dir"], "'--dir' requires a value"),
        ] {
            let refusal = make(wrong).unwrap_err().to_string();
            assert!(refusal.starts_with("--with: "), "{refusal}");
            assert!(refusal.contains(reason), "{wrong:?}: {refusal}");
        }
    }

    #[test]
    fn a_socket_listens_where_it_was_told() {
        let (name, text) = pair(&["80", "[::1]:81", "/run/x"], &["/srv/x"], 252).socket;
        assert_eq!(name, "web.socket");
        let expected = "\
[Unit]
Description=Listening sockets of web

[Socket]
ListenStream=0.0.0.0:80
ListenStream=[::1]:81
ListenStream=/run/x
BindIPv6Only=ipv6-only
FileDescriptorName=web
# Never FlushPending=yes: whenever the service ends it would drop the connections that wait.

[Install]
WantedBy=sockets.target
";
        assert_eq!(text, expected);
        let (_, text) = pair(&["u53", "127.0.0.1:53"], &["x"], 252).socket;
        assert!(text.contains("ListenDatagram=0.0.0.0:53\nListenStream=127.0.0.1:53\n"));
        assert!(!text.contains("NoDelay"));
    }

    #[test]
    fn a_service_runs_what_it_was_told() {
        let (name, text) = pair(&["80"], &["/srv/x", "a b", "100%", "$HOME", "\"\\"], 252).service;
        assert_eq!(name, "web.service");
        let start = r#"ExecStart=/usr/bin/sd-starter -- /srv/x "a b" 100%% $$HOME "\"\\""#;
        assert!(text.lines().any(|line| line == start), "{text}");
        assert!(text.contains("\nRequires=web.socket\n") && text.contains("\nAlso=web.socket\n"));
        assert!(text.contains("\nProtectProc=invisible\n"));
        assert!(
            !text.contains("app.") && !text.contains("plackup"),
            "{text}"
        );
        let (_, text) = pair(&["80"], &["x"], 241).service;
        assert!(
            !text.contains("ProtectProc") && text.contains("KeyringMode"),
            "{text}"
        );
    }

    #[test]
    fn what_a_unit_cannot_hold_is_refused() {
        for text in ["", "x", "localhost:80", "80=3", "0", "/", "/a b", "@"] {
            assert!(text.parse::<Listen>().is_err(), "{text:?}");
        }
        for text in ["", ".x", "a/b", "a b", "a@b"] {
            assert!(text.parse::<UnitName>().is_err(), "{text:?}");
        }
        assert!(word(OsStr::new("\u{1}")).is_err());
    }

    #[test]
    fn sockets_of_the_longest_name_have_room() {
        for (user, runtime) in [(false, "/run"), (true, "/run/user/4294967295")] {
            let make = |length: usize| {
                UnitPair::new(&Order {
                    name: &"n".repeat(length).parse().unwrap(),
                    listen: &["80".parse().unwrap()],
                    options: &[],
                    command: &["/srv/x".into()],
                    programs: Path::new("/usr/bin"),
                    systemd: 252,
                    user,
                })
            };
            let longest = (1..200).take_while(|length| make(*length).is_ok()).count();
            let name = "n".repeat(longest);
            for (file, room) in [("notify.99999999", 0), ("control", 8)] {
                let path = format!("{runtime}/sd-starter/{name}/{file}");
                assert_eq!(path.len() + room, 107, "{path}");
            }
            let refusal = make(longest + 1).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("at most {longest},")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            version_of("systemd 252 (252.39-1~deb12u2)\n+PAM"),
            Some(252)
        );
        assert_eq!(version_of("systemd 258~rc1 (x)"), Some(258));
        assert_eq!(version_of(""), None);
    }
}
