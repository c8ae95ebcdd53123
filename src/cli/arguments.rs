//! The options of `sd-starter`, and the source of its help and man page. `cli::getopt` reads them.
//!
//! Values stay texts here: `--restart` and `--stop` are given the whole command
//! line by scripts and must not judge the rest of it, so the checking is done
//! in `cli::settings` when we know what is asked for.

use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Start a server so that it can be replaced without losing a connection
///
/// sd-starter holds the listening sockets, its own or systemd's, and runs
/// PROGRAM on them. Asked to reload (by systemctl reload, starterctl reload or
/// SIGHUP), it starts a new generation of PROGRAM beside the old one on the
/// same sockets; only when the new one is known to be good is the old one told
/// to leave. If the new one fails, the old one keeps serving and the reload has
/// failed.
///
/// PROGRAM finds its sockets in SERVER_STARTER_PORT (Server::Starter) and in
/// LISTEN_FDS (systemd). It should end gracefully on SIGTERM.
///
/// Installed under the name start_server it is a drop-in replacement for the
/// start_server of Perl's Server::Starter.
///
/// A DURATION is a number of seconds, with a fraction if need be (5, 0.5), or
/// numbers with units (500ms, 1m 30s). A SIGNAL is a name or a number (TERM,
/// SIGTERM, 15). Options may be abbreviated.
#[derive(Clone, Debug, Default, Eq, Parser, PartialEq)]
#[command(
    name = "sd-starter",
    version,
    max_term_width = 100,
    args_override_self = true,
    override_usage = "sd-starter [OPTIONS] [--] PROGRAM [ARGS]...",
    after_long_help = AFTER_HELP,
)]
pub struct Arguments {
    /// The program to run, and its arguments
    ///
    /// Everything from PROGRAM on is left to it, whatever it looks like.
    #[arg(value_name = "PROGRAM", last = true)]
    pub command: Vec<OsString>,

    /// Listen on this port, for TCP [may be repeated]
    ///
    /// Without HOST on all IPv4 addresses; an IPv6 address stands in square
    /// brackets. A u before the number makes it UDP: u53. With =FD the worker
    /// finds the socket on that file descriptor. A port that systemd has passed
    /// is used, not bound again.
    #[arg(long, value_name = "[HOST:]PORT[=FD]", help_heading = SOCKETS)]
    pub port: Vec<String>,

    /// Listen on a unix socket at this path [may be repeated]
    #[arg(long, value_name = "PATH", help_heading = SOCKETS)]
    pub path: Vec<PathBuf>,

    /// Access mode of the unix sockets, octal [default: as the umask says]
    ///
    /// Under the name start_server the default is 0777.
    #[arg(long, value_name = "MODE", help_heading = SOCKETS)]
    pub path_mode: Option<String>,

    /// Length of the queue of connections that wait to be accepted [default: SOMAXCONN]
    ///
    /// A negative one is as long as net.core.somaxconn allows.
    #[arg(long, value_name = "CONNECTIONS", help_heading = SOCKETS)]
    pub backlog: Option<String>,

    /// Give the systemd socket FDNAME this key in SERVER_STARTER_PORT [may be repeated]
    ///
    /// Without it a socket has the key that start_server would have given it:
    /// PORT, ADDRESS:PORT or its path.
    #[arg(long, value_name = "FDNAME=KEY", help_heading = SOCKETS)]
    pub listen_key: Vec<String>,

    /// When a new generation is ready [default: auto]
    ///
    /// auto: it sends READY=1 (sd_notify) or is alive after --interval,
    /// whichever comes first. notify: it sends READY=1, nothing else counts.
    /// alive: it is alive after --interval, as start_server judges. fd:N: it
    /// writes a line feed to file descriptor N, as with s6. command:CMD: the
    /// shell command CMD, asked every --interval for at most ten seconds, exits
    /// 0; WORKER_PID and SERVER_STARTER_GENERATION tell it whom to ask about.
    /// (A request to the shared sockets may be answered by the old generation.)
    #[arg(long, value_name = "HOW", help_heading = READINESS)]
    pub ready: Option<String>,

    /// How long a new generation must live to count as started [default: 1 second]
    ///
    /// Also the first pause between two attempts. And reloads that are asked for
    /// faster than they are of use (more than two at once by SIGHUP, or by
    /// several clients) are gathered: one new generation in each interval, or
    /// each second where that is shorter, starts after all of them.
    #[arg(long, value_name = "DURATION", help_heading = READINESS)]
    pub interval: Option<String>,

    /// How long a new generation may take to become ready, or infinity [default: 90 seconds]
    ///
    /// It can ask for more with EXTEND_TIMEOUT_USEC.
    #[arg(long, value_name = "DURATION", help_heading = READINESS)]
    pub start_timeout: Option<String>,

    /// How often a generation that does not become ready is tried, or unlimited
    ///
    /// Default: 1 under systemd (NOTIFY_SOCKET is set), where the verdict
    /// matters; else, and under the name start_server, unlimited.
    #[arg(long, value_name = "TIMES", help_heading = READINESS)]
    pub attempts: Option<String>,

    /// How long a new generation is on trial before the old ones are told to
    /// leave [default: 0, or 5 seconds with --enable-auto-restart]
    ///
    /// If it dies on trial, the old one keeps serving. [env: KILL_OLD_DELAY]
    #[arg(long, value_name = "DURATION", help_heading = SWAP)]
    pub kill_old_delay: Option<String>,

    /// The signal that tells an old generation to leave [default: TERM]
    #[arg(long, value_name = "SIGNAL", help_heading = SWAP)]
    pub signal_on_hup: Option<String>,

    /// How long an old generation may take to leave, then it is killed [default: infinity]
    #[arg(long, value_name = "DURATION", help_heading = SWAP)]
    pub drain_timeout: Option<String>,

    /// How many old generations may be leaving at once; beyond, the oldest is
    /// killed [default: any number]
    #[arg(long, value_name = "GENERATIONS", help_heading = SWAP)]
    pub max_draining: Option<String>,

    /// Reload by itself, every --auto-restart-interval [env: ENABLE_AUTO_RESTART]
    #[arg(long, help_heading = SWAP)]
    pub enable_auto_restart: bool,

    /// The interval of --enable-auto-restart [default: 360 seconds] [env: AUTO_RESTART_INTERVAL]
    #[arg(long, value_name = "DURATION", help_heading = SWAP)]
    pub auto_restart_interval: Option<String>,

    /// The signal that tells every generation to leave when we stop [default: TERM]
    ///
    /// We stop on SIGTERM; on SIGINT the workers are sent TERM in any case.
    #[arg(long, value_name = "SIGNAL", help_heading = STOP)]
    pub signal_on_term: Option<String>,

    /// How long that may take, then everybody is killed; or infinity [default: 90 seconds]
    ///
    /// Under the name start_server the default is infinity.
    #[arg(long, value_name = "DURATION", help_heading = STOP)]
    pub stop_timeout: Option<String>,

    /// Pass this signal on to the serving generation [may be repeated]
    #[arg(long, value_name = "SIGNAL", help_heading = STOP)]
    pub forward: Vec<String>,

    /// Fill in {fd:SOCKET}, {port:SOCKET} and {addr:SOCKET} in the program's
    /// arguments and in its environment
    ///
    /// For servers that know neither SERVER_STARTER_PORT nor LISTEN_FDS. SOCKET
    /// is a key (8080, /run/app.sock) or a FileDescriptorName=. What does not
    /// read like a placeholder stays as it is; {{fd:SOCKET} is the text
    /// {fd:SOCKET}. An unknown one is an error at the start. The files of
    /// --envdir are not looked at.
    #[arg(long, help_heading = WORKER)]
    pub expand: bool,

    /// Tell workers of their sockets as einhorn does, too: EINHORN_FD_COUNT,
    /// EINHORN_FD_0...
    #[arg(long, help_heading = WORKER)]
    pub einhorn: bool,

    /// How often a worker has to send WATCHDOG=1 (sd_notify) once it is ready
    /// [default: never]
    ///
    /// It finds the time in WATCHDOG_USEC. If the serving generation misses it,
    /// a new one is started, and once that serves the one that hangs is told to
    /// leave and killed ten seconds later.
    #[arg(long, value_name = "DURATION", help_heading = WORKER)]
    pub worker_watchdog: Option<String>,

    /// How many file descriptors workers may give us to keep for the next
    /// generation (FDSTORE=1) [default: 0, as in systemd]
    ///
    /// The next generation finds them in LISTEN_FDS, after its sockets.
    #[arg(long, value_name = "DESCRIPTORS", help_heading = WORKER)]
    pub fd_store_max: Option<String>,

    /// No cgroup of its own for each generation, even where systemd allows it
    /// (Delegate=yes)
    ///
    /// Without, what a worker has started and left behind is not killed at the
    /// --drain-timeout.
    #[arg(long, help_heading = WORKER)]
    pub no_cgroup: bool,

    /// Do not have systemd keep our sockets (FileDescriptorStoreMax=)
    ///
    /// Where the unit has an fd store, a socket of --port or --path outlives a
    /// crash and a restart of ours, with the connections that wait on it.
    #[arg(long, help_heading = SOCKETS)]
    pub no_fd_store: bool,

    /// After a crash of ours, take the running workers back [env:
    /// SD_STARTER_CRASH_ADOPTION]
    ///
    /// Needs a unit that leaves them running (KillMode=process) and an fd store:
    /// see crash-adoption.conf.
    #[arg(long, help_heading = WORKER)]
    pub crash_adoption: bool,

    /// The working directory of the workers
    ///
    /// Looked up anew for every generation, so a symbolic link is followed to
    /// where it then points.
    #[arg(long, value_name = "DIR", help_heading = WORKER)]
    pub dir: Option<PathBuf>,

    /// Add variables to the workers' environment from the files in this
    /// directory [env: ENVDIR]
    ///
    /// The name of a file is the name of a variable, its first line is the
    /// value. Read anew for every generation.
    #[arg(long, value_name = "DIR", help_heading = WORKER)]
    pub envdir: Option<PathBuf>,

    /// Write our process id to this file, and hold a lock on it
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub pid_file: Option<PathBuf>,

    /// Write GENERATION:PID of every generation to this file
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub status_file: Option<PathBuf>,

    /// Append all output to this file, or to a shell command: '| CMD'
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub log_file: Option<OsString>,

    /// Run in the background; needs --log-file
    #[arg(long, help_heading = FILES)]
    pub daemonize: bool,

    /// The socket for starterctl [default: $RUNTIME_DIRECTORY/control]
    #[arg(long, value_name = "PATH", help_heading = FILES)]
    pub control_socket: Option<PathBuf>,

    /// Have the running supervisor reload, and wait until it has
    ///
    /// Needs the --pid-file and the --status-file that it was started with. Any
    /// other options, and the program, are ignored.
    #[arg(long, help_heading = ERRANDS)]
    pub restart: bool,

    /// Have the running supervisor stop, and wait until it has
    ///
    /// Needs the --pid-file that it was started with. Any other options, and
    /// the program, are ignored.
    #[arg(long, help_heading = ERRANDS)]
    pub stop: bool,

    /// How long --restart and --stop wait [default: infinity]
    #[arg(long, value_name = "DURATION", help_heading = ERRANDS)]
    pub timeout: Option<String>,
}

const SOCKETS: &str = "Sockets";
const READINESS: &str = "Starting a generation";
const SWAP: &str = "Replacing a generation";
const STOP: &str = "Stopping, and other signals";
const WORKER: &str = "The worker's surroundings";
const FILES: &str = "Files";
const ERRANDS: &str = "Speaking to a running supervisor";

const AFTER_HELP: &str = "\
Signals:
  HUP        reload
  USR2       upgrade in place, as starterctl upgrade does: the sd-starter that
             is now on disk takes over, in the same process
  TERM, INT  stop; a second INT kills every worker at once

Exit codes:
  0     stopped as asked; --help, --version
  1     a bad option, or a bad value of one
  69    the first generation could not be started
  255   no program, a bad port, a host that does not resolve
  other the errno of the system call that failed: 98 a port is in use,
        13 permission denied, 2 no such file or directory";
