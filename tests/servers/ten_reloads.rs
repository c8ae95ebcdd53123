//! One server, ten reloads, one load.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::http::Target;
use crate::support::load::{Load, Plan};
use crate::support::process::{self, Supervisor, free_address};
use crate::support::programs::SD_STARTER;
use crate::support::report::Report;
use crate::support::requirement;
use crate::support::scratch::Scratch;
use crate::support::wait;

pub(crate) const RELOADS: usize = 10;

/// A Perl or Ruby server starts in a second; a machine under load gets more.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A server in a directory of its own.
pub(crate) struct Server {
    name: &'static str,
    scratch: Scratch,
    address: SocketAddr,
    target: Target,
    plan: Plan,
}

impl Server {
    /// None where a file that it needs is missing, after having said so.
    pub(crate) fn new(name: &'static str, needed: &[(&str, &str)]) -> Option<Self> {
        if !needed
            .iter()
            .all(|(path, package)| requirement::file(path, package))
        {
            return None;
        }
        let address = free_address();
        let server = Self {
            name,
            scratch: Scratch::new(),
            address,
            target: Target::inet(address),
            plan: Plan {
                new_per_second: 100,
                keep_alive: 0,
                ..Plan::default()
            },
        };
        // By the old name, as its users have it.
        let program = program();
        std::os::unix::fs::symlink(program, server.path("start_server")).expect("a new link");
        Some(server)
    }

    /// Clients come over a unix socket in its directory.
    pub(crate) fn on_path(mut self, name: &str) -> Self {
        self.target = Target::unix(self.path(name));
        self
    }

    /// So few connections that there are moments without any.
    pub(crate) fn with_gaps(mut self) -> Self {
        self.plan.new_per_second = 10;
        self
    }

    /// Also clients that keep their connection: for servers that announce its end.
    pub(crate) fn with_keep_alive(mut self) -> Self {
        self.plan.keep_alive = 4;
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Writes a file, whole and at once.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("our own directory");
        fs::rename(new, self.path(name)).expect("our own directory");
    }

    /// `start_server` with a command line whose words are separated by blanks, in the directory.
    pub(crate) fn start_server(&self, line: &str) -> Command {
        let mut command = process::command("./start_server");
        command.args(line.split_whitespace());
        command.current_dir(self.path(""));
        command
    }

    /// Starts it, reloads it ten times under load, stops it; `deploy` comes before every start of a
    /// generation. The report stands on stdout, whatever it says.
    #[track_caller]
    pub(crate) fn reload_under_load(
        &self,
        command: &mut Command,
        deploy: impl Fn(usize),
    ) -> Report {
        deploy(1);
        let mut supervisor = Supervisor::start(command.stdout(std::process::Stdio::null()));
        wait::until("the first answer", SOON, || self.target.get("/").is_ok());
        let load = Load::start(&self.target, self.plan);
        load.wait_for_generation(1, SOON);
        for reload in 1..=RELOADS {
            deploy(reload + 1);
            // The original forgets a HUP that comes just before it goes to sleep.
            wait::until("its sleep", SOON, || asleep(supervisor.pid()));
            supervisor.signal(Signal::SIGHUP);
            supervisor.wait_for_lines("killing old workers", reload, SOON);
            supervisor.wait_for_lines("old worker ", reload, SOON);
            load.wait_for_generation(reload as u64 + 1, SOON);
        }
        let report = load.stop();
        println!(
            "\n{} under {}, {RELOADS} reloads\n{report}",
            self.name,
            program().display()
        );
        supervisor.signal(Signal::SIGTERM);
        assert_eq!(supervisor.wait_for_code(SOON), 0, "{}", supervisor.stderr());
        report
    }
}

fn asleep(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(") S ")
}

/// The program under test, as in the compatibility stories.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("START_SERVER_UNDER_TEST")
        .map_or_else(|| Path::new(SD_STARTER).to_owned(), PathBuf::from)
}
