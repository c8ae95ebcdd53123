//! A worker's restriction that can be seen coming: servers that are known to fail on a kind of
//! socket, told by the words of the command line. A hint in one line, never a reason to stop.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::protocol::address::Address;

/// What a server fails on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Restriction {
    /// AF_INET6, with or without IPv4.
    Inet6,
    /// AF_UNIX.
    Unix,
    /// More than one socket.
    Several,
    /// A socket that its configuration does not name.
    Unconfigured,
    /// None at all.
    Nothing,
}

/// Servers, as they stand in a command line, what they fail on, and how. Found by running each
/// under start_server 0.35 (Starlet 0.31, Starman 0.4016, Twiggy 0.1026, h2o 2.2.5) or in its source.
const KNOWN: [(&str, Restriction, &str); 9] = [
    ("starlet", Restriction::Inet6, "every request to it dies"),
    ("starman", Restriction::Inet6, "its children die in a loop"),
    ("starman", Restriction::Unix, "its children die in a loop"),
    ("twiggy", Restriction::Unix, "setting TCP_NODELAY fails"),
    ("fcgi", Restriction::Several, "it dies"),
    ("gazelle", Restriction::Several, "it takes one at random"),
    ("monoceros", Restriction::Several, "it takes one at random"),
    ("h2o", Restriction::Unconfigured, "it exits with status 78"),
    ("h2o", Restriction::Nothing, "it exits with status 78"),
];

/// A configuration that is longer is not read: a hint is not worth more.
const LONGEST: u64 = 1 << 20;

/// The lines for a worker's command line and its sockets. `configuration` is the text of the file
/// that [`configuration`] names, if it could be read.
#[must_use]
pub fn advise(
    command: &[&OsStr],
    sockets: &[&Address],
    configuration: Option<&str>,
) -> Vec<String> {
    let Some(server) = server(command) else {
        return Vec::new();
    };
    let known = KNOWN.iter().filter(|(name, ..)| *name == server);
    known
        .filter_map(|(_, restriction, outcome)| {
            let on = offends(*restriction, sockets, configuration)?;
            Some(format!("{server} is known to fail on {on}: {outcome}"))
        })
        .collect()
}

/// The file that says what an h2o listens on.
#[must_use]
pub fn configuration(command: &[&OsStr]) -> Option<PathBuf> {
    (server(command)? == "h2o").then_some(())?;
    let mut words = command.iter().skip(1);
    while let Some(word) = words.next() {
        let text = word.to_str()?;
        if matches!(text, "-c" | "--conf") {
            return words.next().map(PathBuf::from);
        }
        let joined = text.strip_prefix("--conf=").or_else(|| {
            let short = text.strip_prefix("-c");
            short.filter(|_| !text.starts_with("--"))
        });
        if let Some(path) = joined {
            return Some(path.into());
        }
    }
    None
}

/// The text of a configuration, if it is a file of a size that configurations have. It is the worker's to
/// read, whatever it is: a FIFO would keep us waiting, and take from the worker what was written for it.
#[must_use]
pub fn read(path: &Path) -> Option<String> {
    // Not even opened, unless it becomes something else this moment.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = String::new();
    let length = file.take(LONGEST + 1).read_to_string(&mut text).ok()?;
    // Half of it would miss the other half's sockets.
    (length as u64 <= LONGEST).then_some(text)
}

/// Which of the known servers a command line starts: the program itself, or what follows `-s`
/// or `--server` (plackup).
fn server(command: &[&OsStr]) -> Option<&'static str> {
    let program = Path::new(command.first()?).file_name()?.to_str()?;
    let mut named = vec![program];
    let mut words = command.iter().filter_map(|word| word.to_str()).skip(1);
    while let Some(word) = words.next() {
        match word {
            "-s" | "--server" => named.extend(words.next()),
            // The program's interpreter, or a wrapper: perl /usr/bin/starman.
            _ if word.starts_with('/') => {
                named.extend(Path::new(word).file_name().and_then(OsStr::to_str));
            }
            _ => named.extend(
                word.strip_prefix("--server=")
                    .or_else(|| word.strip_prefix("-s").filter(|_| !word.starts_with("--"))),
            ),
        }
    }
    let mut known = KNOWN.iter().map(|(name, ..)| *name);
    known.find(|name| named.iter().any(|word| word.eq_ignore_ascii_case(name)))
}

/// What is wrong with the sockets, in words.
fn offends(
    restriction: Restriction,
    sockets: &[&Address],
    configuration: Option<&str>,
) -> Option<String> {
    let first = |is_it: fn(&Address) -> bool| sockets.iter().find(|address| is_it(address));
    match restriction {
        Restriction::Inet6 => {
            first(|address| matches!(address, Address::Inet6 { .. })).map(|address| match address {
                Address::Inet6 {
                    v6only: false,
                    ip,
                    port,
                    ..
                } if ip.is_unspecified() => {
                    format!("IPv6 sockets ({address}); use 0.0.0.0:{port} for IPv4 alone")
                }
                address => format!("IPv6 sockets ({address})"),
            })
        }
        Restriction::Unix => {
            first(|address| matches!(address, Address::UnixPath(_) | Address::UnixAbstract(_)))
                .map(|address| format!("unix sockets ({address})"))
        }
        Restriction::Several => {
            let count = sockets.len();
            (count > 1).then(|| format!("more than one socket (there are {count})"))
        }
        Restriction::Unconfigured => {
            let text = configuration?;
            let missing = sockets.iter().find(|address| !mentions(text, address));
            missing
                .map(|address| format!("a socket that its configuration does not name ({address})"))
        }
        Restriction::Nothing => sockets.is_empty().then(|| "no socket at all".to_owned()),
    }
}

/// Whether a configuration names a socket, as far as can be told without reading it as h2o does:
/// its port stands there as a number of its own, or its path.
fn mentions(configuration: &str, address: &Address) -> bool {
    match address {
        Address::Inet4 { port, .. } | Address::Inet6 { port, .. } => configuration
            .split(|c: char| !c.is_ascii_digit())
            .any(|number| number.parse() == Ok(*port)),
        Address::UnixPath(path) => configuration.contains(&*String::from_utf8_lossy(path)),
        Address::UnixAbstract(_) | Address::Unnamed | Address::Other { .. } => false,
    }
}

/// A command line's words.
#[must_use]
pub fn words<'a>(program: &'a OsStr, arguments: &'a [OsString]) -> Vec<&'a OsStr> {
    let arguments = arguments.iter().map(OsString::as_os_str);
    std::iter::once(program).chain(arguments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::scratch::Scratch;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const V4: Address = Address::Inet4 {
        ip: Ipv4Addr::UNSPECIFIED,
        port: 8080,
    };
    const V6: Address = Address::Inet6 {
        ip: Ipv6Addr::UNSPECIFIED,
        port: 8080,
        scope: 0,
        v6only: false,
    };

    fn advice(line: &str, sockets: &[&Address], configuration: Option<&str>) -> String {
        let words: Vec<_> = line.split_whitespace().map(OsStr::new).collect();
        advise(&words, sockets, configuration).join("\n")
    }

    #[test]
    fn servers_are_known_by_their_command_lines() {
        let unix = Address::UnixPath((*b"/run/s").into());
        for (line, socket, expected) in [
            (
                "plackup -s Starlet --port 1 app.psgi",
                &V6,
                "starlet is known to fail on IPv6 sockets ([::]:8080); use 0.0.0.0:8080 for IPv4 \
                 alone: every request to it dies",
            ),
            ("plackup --server=Starlet app.psgi", &V4, ""),
            ("plackup -s Starlet app.psgi", &unix, ""),
            (
                "perl /usr/bin/starman app.psgi",
                &unix,
                "starman is known to fail on unix sockets (/run/s): its children die in a loop",
            ),
            (
                "plackup --server Twiggy app.psgi",
                &unix,
                "twiggy is known to fail on unix sockets (/run/s): setting TCP_NODELAY fails",
            ),
            ("node server.js", &V6, ""),
            ("echo starman", &V6, ""),
        ] {
            assert_eq!(advice(line, &[socket], None), expected, "{line}");
        }
    }

    #[test]
    fn several_or_no_sockets() {
        let line = "plackup -s FCGI app.psgi";
        let expected = "fcgi is known to fail on more than one socket (there are 2): it dies";
        assert_eq!(advice(line, &[&V4, &V6], None), expected);
        assert_eq!(advice(line, &[&V4], None), "");
        let expected = "h2o is known to fail on no socket at all: it exits with status 78";
        assert_eq!(advice("h2o -c h2o.conf", &[], None), expected);
    }

    #[test]
    fn h2o_names_each_of_its_sockets() {
        let h2o = |configuration| advice("/usr/bin/h2o -c x.conf", &[&V4], Some(configuration));
        assert_eq!(h2o("listen:\n  host: 127.0.0.1\n  port: 8080\n"), "");
        assert_eq!(
            h2o("listen: 80\nmax-connections: 18080\n"),
            "h2o is known to fail on a socket that its configuration does not name \
             (0.0.0.0:8080): it exits with status 78"
        );
        for (line, path) in [
            ("h2o -c a.conf", Some("a.conf")),
            ("h2o -m worker -ca.conf", Some("a.conf")),
            ("h2o --conf=a.conf", Some("a.conf")),
            ("h2o --conf a.conf", Some("a.conf")),
            ("h2o", None),
            ("nginx -c a.conf", None),
        ] {
            let words: Vec<_> = line.split_whitespace().map(OsStr::new).collect();
            assert_eq!(configuration(&words), path.map(PathBuf::from), "{line}");
        }
    }

    #[test]
    fn only_files_are_read_and_not_without_end() {
        let scratch = Scratch::new();
        let path = scratch.path("h2o.conf");
        assert_eq!(read(&path), None);
        fs::write(&path, "listen: 80\n").unwrap();
        assert_eq!(read(&path).as_deref(), Some("listen: 80\n"));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(LONGEST).unwrap();
        assert!(read(&path).is_some());
        file.set_len(LONGEST + 1).unwrap();
        assert_eq!(read(&path), None);
        // Nobody writes to it: whoever reads waits for ever.
        let fifo = scratch.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&fifo), None);
        assert_eq!(read(Path::new("/dev/zero")), None);
    }
}
