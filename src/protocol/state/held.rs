//! The shell's part of a saved state: descriptors, by their labels, and what is known of each.
//!
//! Everything that could mean something else by now carries what it is proved by: a file its inode,
//! a socket its cookie, a process its pid beside a pidfd. What cannot be proved is not taken over.

use std::path::Path;

use super::label::Label;
use super::machine::{Exit, Moment};
use super::record::{Once, choice, record};

/// Bytes that may be any, as a path's: a text with `%XX` for what is not plain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bytes(pub Vec<u8>);

record! {
    /// What the shell held.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct Held {
        /// Which boot this is (`/proc/sys/kernel/random/boot_id`): moments and cookies mean nothing in
        /// another.
        pub boot: String,
        /// The supervisor's process id.
        pub pid: i32,
        /// When it began.
        pub started: Moment,
        /// Where its program is, to be looked for again: where the path that it was started by led to.
        pub program: Bytes,
        /// What is logged: a name of `log::LevelFilter`.
        pub log_level: String,
        /// The signals that it was started with.
        pub signals: Signals,
        /// The listeners, in their order.
        pub listeners: Once<Vec<Listener>>,
        /// Those with a key, in the order of `SERVER_STARTER_PORT`: their places in `listeners`.
        pub keyed: Vec<usize>,
        /// Those that `LISTEN_FDS` counts, in the order of its numbers.
        pub run: Vec<usize>,
        /// The workers that were not reaped.
        pub workers: Vec<Worker>,
        /// The cgroups of generations, also of those whose worker was reaped.
        pub cgroups: Vec<Cgroup>,
        /// The commands of `--ready=command:CMD` that run.
        pub probes: Vec<Probe>,
        /// What workers have given us to keep.
        pub kept: Vec<Kept>,
        /// The newest id in there.
        pub newest_kept: u64,
        /// The control socket.
        pub control: Option<Control>,
        /// The clients that wait for something to hold.
        pub waits: Vec<Wait>,
        /// The directory of our sockets.
        pub runtime: Option<Runtime>,
        /// `--pid-file`.
        pub pid_file: Option<PidFile>,
        /// `--status-file`.
        pub status_file: Option<StatusFile>,
        /// `--log-file '| command'`.
        pub log_command: Option<LogCommand>,
        /// The pipe to the parent of a daemon that is just starting.
        pub herald: Option<Label>,
        /// Signals that were about to be sent, and perhaps were.
        pub owed: Vec<Owed> = Vec::new(),
    }
}

record! {
    /// A signal that was about to be sent.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Owed {
        /// To which generation.
        pub generation: u64,
        /// Its number.
        pub signal: i32,
        /// Whether everybody in the generation's cgroup is to be killed.
        pub tree: bool,
    }
}

record! {
    /// Signal state to give back to workers.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct Signals {
        /// The numbers that were blocked.
        pub blocked: Vec<i32>,
        /// Whether SIGCHLD was ignored.
        pub ignores_child: bool,
    }
}

record! {
    /// A file of ours.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct File {
        /// Where it is.
        pub path: Bytes,
        /// Its device.
        pub device: u64,
        /// Its inode: what is at the path is only ours while it has this one.
        pub inode: u64,
    }
}

choice! {
    /// Where a listener came from.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Origin {
        /// A socket unit.
        Adopted,
        /// We bound it.
        Bound,
        /// We bound it in an earlier life.
        Stored,
    }
}

record! {
    /// A listener.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Listener {
        /// The socket.
        pub fd: Label,
        /// Its name in `SERVER_STARTER_PORT`.
        pub key: Option<String>,
        /// Its name in `LISTEN_FDNAMES`.
        pub name: String,
        /// Where it came from.
        pub origin: Origin,
        /// The number at which workers find it.
        pub target: i32,
        /// The number that the user asked for.
        pub pin: Option<i32>,
        /// SO_COOKIE, by which it is known again; `None` for what is no socket.
        pub cookie: Option<u64>,
        /// O_NONBLOCK as the running generations know it: systemd clears it when it restarts a service.
        pub nonblocking: bool,
        /// The file of a unix socket that we bound.
        pub file: Option<File>,
        /// The name under which systemd's fd store has it, if it has.
        pub stored: Option<String>,
    }
}

record! {
    /// A worker's process.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Worker {
        /// Its generation.
        pub generation: u64,
        /// Its pid.
        pub pid: i32,
        /// Its pidfd.
        pub pidfd: Label,
        /// How its start went.
        pub start: Start,
        /// Its notify socket.
        pub mailbox: Option<Mailbox>,
        /// How often its mail was thrown away.
        pub refused: u32,
        /// The reading end of its pipe of `--ready=fd:N`.
        pub readiness: Option<Label>,
    }
}

choice! {
    /// What is known of the way from fork to exec.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub enum Start {
        /// The pipe that tells.
        Open(pipe: Label),
        /// Its program runs.
        Done,
        /// It failed, was reported, and only has to be reaped.
        Failed,
    }
}

record! {
    /// A notify socket.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Mailbox {
        /// The socket.
        pub fd: Label,
        /// Its file.
        pub file: File,
    }
}

record! {
    /// The cgroup of a generation.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Cgroup {
        /// The generation.
        pub generation: u64,
        /// Its directory.
        pub directory: Bytes,
        /// How the worker ended, once it has, while others are left.
        pub exit: Option<Exit>,
    }
}

record! {
    /// A command that is asked about a worker.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Probe {
        /// About which generation.
        pub generation: u64,
        /// Its pid, which is its process group too.
        pub pid: i32,
        /// Its pidfd.
        pub pidfd: Label,
    }
}

record! {
    /// A descriptor that workers gave us to keep.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Kept {
        /// Our number for it.
        pub id: u64,
        /// Its FDNAME=.
        pub name: String,
        /// The descriptor.
        pub fd: Label,
        /// Whether it is given up when its other end closes.
        pub watched: bool,
    }
}

record! {
    /// The control socket.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Control {
        /// The listening socket.
        pub fd: Label,
        /// Its file.
        pub file: File,
        /// Its clients.
        pub clients: Vec<Client>,
        /// The newest client's number.
        pub newest: u64,
    }
}

record! {
    /// A client of the control socket. One that waits for a verdict is a requester of the machine
    /// under the same number.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Client {
        /// Its number.
        pub id: u64,
        /// Its connection.
        pub fd: Label,
        /// Read and not yet understood.
        pub input: Bytes,
        /// Answered and not yet written.
        pub output: Bytes,
        /// Whose turn it is.
        pub turn: Turn,
        /// Whether it has said all that it will.
        pub ended: bool,
        /// When it last said something.
        pub heard: Moment,
    }
}

choice! {
    /// Whose turn it is.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Turn {
        /// The client's.
        Theirs,
        /// Ours.
        Ours {
            /// The client wants no answer.
            oneway: bool,
        },
        /// It hears every event.
        Monitoring,
    }
}

record! {
    /// A client that waits for something to hold.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Wait {
        /// Its number.
        pub id: u64,
        /// This generation or a later one serves.
        pub generation: Option<u64>,
        /// No old generation is left.
        pub drained: bool,
        /// Some generation serves and no swap is under way.
        pub serving: bool,
    }
}

record! {
    /// The directory of our sockets.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Runtime {
        /// Where it is.
        pub directory: Bytes,
        /// Its lock (flock(2) belongs to the open file), if we made it.
        pub lock: Option<Label>,
    }
}

record! {
    /// The pid file.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct PidFile {
        /// The open file, which holds the lock.
        pub fd: Label,
        /// The file.
        pub file: File,
    }
}

record! {
    /// The status file.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct StatusFile {
        /// The file, once it was written.
        pub file: Option<File>,
        /// The generations and pids that stand in it.
        pub listed: Vec<(u64, i32)>,
    }
}

record! {
    /// The command that takes the log.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct LogCommand {
        /// The end that the command reads.
        pub pipe: Label,
        /// The end that workers write to.
        pub writer: Label,
        /// The command's own output.
        pub output: Label,
        /// The command's own error.
        pub error: Label,
        /// The process, if it runs: its pid and its pidfd.
        pub child: Option<(i32, Label)>,
        /// When it was started.
        pub started: Moment,
        /// Its deaths in quick succession.
        pub deaths: u32,
        /// When it is to be started again.
        pub due: Option<Moment>,
    }
}

impl File {
    /// A file by its path, device and inode.
    #[must_use]
    pub fn new(path: &Path, (device, inode): (u64, u64)) -> Self {
        Self {
            path: path.into(),
            device,
            inode,
        }
    }
}

impl From<&Path> for Bytes {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_encoded_bytes().into())
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        let plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b'%';
        let mut text = Self::with_capacity(bytes.0.len());
        for byte in bytes.0 {
            if plain(byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        text
    }
}

impl TryFrom<String> for Bytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut pieces = text.split('%');
        let mut bytes: Vec<u8> = pieces.next().unwrap_or_default().into();
        for piece in pieces {
            let (digits, rest) = piece
                .split_at_checked(2)
                .ok_or("a % without two digits behind it")?;
            let byte = u8::from_str_radix(digits, 16).map_err(|_| "a % without two digits")?;
            bytes.push(byte);
            bytes.extend(rest.bytes());
        }
        Ok(Self(bytes))
    }
}
