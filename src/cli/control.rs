//! The options of `starterctl`, and the source of its help and man page.
//!
//! A mistake is exit code 2, clap's own.

use super::unit_pair::{Listen, UnitName};
use crate::protocol::duration::Limit;
use crate::protocol::generation::Generation;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Ask a running sd-starter
///
/// An instance is named as its unit is, without .service; or it is the path of
/// a control socket. Without either it is the one that $RUNTIME_DIRECTORY
/// points at, as in ExecReload=.
///
/// A DURATION is a number of seconds, with a fraction if need be (5, 0.5), or
/// numbers with units (500ms, 1m 30s), or infinity. --json prints what the
/// supervisor answered, or why there is no answer, as one object on stdout.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "starterctl",
    version,
    max_term_width = 100,
    infer_long_args = true,
    after_long_help = AFTER_HELP,
)]
pub struct Control {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Replace the serving generation by a new one, and wait for the verdict
    Reload(Reload),
    /// Put the sd-starter that is now on disk in the place of the one that runs
    ///
    /// Same process, same sockets, same workers: nobody notices. It is tried
    /// first; if it cannot take over, nothing happens, and the answer says why.
    Upgrade(Upgrade),
    /// Show the generations and the sockets
    Status(Status),
    /// Stop the instance, and wait until it has
    Stop(Stop),
    /// Wait until something is so
    Wait(Wait),
    /// Show every instance on this machine
    List(List),
    /// Print or install a socket unit and a service unit for a server program
    Units(Units),
}

/// Which instance.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance: the name of its unit, or the path of its control socket
    #[arg(value_name = "NAME|PATH")]
    pub instance: Option<Instance>,

    /// The path of the control socket
    #[arg(long, value_name = "PATH", conflicts_with = "instance")]
    pub control_socket: Option<PathBuf>,
}

/// `starterctl reload`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Which instance.
    #[command(flatten)]
    pub target: Target,

    /// How long to wait for the verdict
    ///
    /// The reload goes on when the wait is over. A systemd that is stuck delays the verdict by five
    /// seconds at most.
    #[arg(long, value_name = "DURATION", default_value = "infinity")]
    pub timeout: Limit,

    /// Reload only if this generation is the serving one
    ///
    /// Otherwise nothing is done, and that is a failure.
    #[arg(long, value_name = "GENERATION")]
    pub if_generation: Option<Generation>,

    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,
}

/// `starterctl upgrade`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Which instance.
    #[command(flatten)]
    pub target: Target,

    /// Every instance on this machine that you may ask, one after the other
    ///
    /// One that cannot be upgraded does not keep the others from it. It is a failure if there are
    /// some and you may ask none.
    #[arg(long, conflicts_with_all = ["instance", "control_socket"])]
    pub all: bool,

    /// With --all: of your own manager's services only, not of the system's
    ///
    /// They are found by $XDG_RUNTIME_DIR.
    #[arg(long, requires = "all")]
    pub user: bool,

    /// How long to wait, for each [default: infinity; with --all 30s]
    ///
    /// The upgrade goes on when the wait is over.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Limit>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// With `--all` one that hangs must not keep the others waiting.
const EACH_OF_ALL: Duration = Duration::from_secs(30);

impl Upgrade {
    /// How long to wait for each instance.
    #[must_use]
    pub fn limit(&self) -> Limit {
        let default = if self.all {
            Limit::After(EACH_OF_ALL)
        } else {
            Limit::Never
        };
        self.timeout.unwrap_or(default)
    }
}

/// `starterctl status`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which instance.
    #[command(flatten)]
    pub target: Target,

    /// How long to wait for an answer
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub timeout: Limit,

    /// Show it again whenever something happens, until the instance ends
    ///
    /// On a terminal the view is renewed every second, too, and shows what has
    /// happened; in a pipe one view follows another, with --json one a line.
    #[arg(long, conflicts_with = "openmetrics")]
    pub watch: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Print metrics in the OpenMetrics text format
    ///
    /// As the textfile collector of Prometheus' node exporter takes them.
    #[arg(long, conflicts_with = "json")]
    pub openmetrics: bool,
}

/// `starterctl stop`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which instance.
    #[command(flatten)]
    pub target: Target,

    /// How long to wait for the end
    ///
    /// The stop goes on when the wait is over.
    #[arg(long, value_name = "DURATION", default_value = "infinity")]
    pub timeout: Limit,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `starterctl wait`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which instance.
    #[command(flatten)]
    pub target: Target,

    /// For what.
    #[command(flatten)]
    pub condition: Condition,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "infinity")]
    pub timeout: Limit,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to wait for: exactly one of these.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(required = true, multiple = false)]
pub struct Condition {
    /// Until this generation, or a later one, serves
    #[arg(long, value_name = "GENERATION")]
    pub generation: Option<Generation>,

    /// Until no old generation is left
    #[arg(long)]
    pub drained: bool,

    /// Until any generation serves
    #[arg(long)]
    pub serving: bool,
}

/// `starterctl list`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// How long to wait for each instance
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub timeout: Limit,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `starterctl units`
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Units {
    /// The name of the units, without a suffix
    #[arg(value_name = "NAME")]
    pub name: UnitName,

    /// The server program and its arguments
    #[arg(value_name = "PROGRAM", last = true, required = true)]
    pub command: Vec<OsString>,

    /// Where to listen [may be repeated]
    ///
    /// PORT is every IPv4 address; ADDRESS:PORT one, an IPv6 address in square
    /// brackets; with a u before the number UDP; a path; @NAME for an abstract
    /// unix socket.
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub listen: Vec<Listen>,

    /// An option of sd-starter for the service [may be repeated]
    ///
    /// As one word: --with=--ready=notify.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub with: Vec<OsString>,

    /// Write the units to this directory instead of printing them
    ///
    /// Without DIR to /etc/systemd/system, or ~/.config/systemd/user. What is
    /// there is never overwritten.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub install: Option<Option<PathBuf>>,

    /// For the manager of a user's own services, who has no sandbox to offer
    #[arg(long)]
    pub user: bool,

    /// The version of systemd that the units are for [default: the installed one]
    #[arg(long, value_name = "VERSION")]
    pub systemd: Option<u32>,
}

/// An instance as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instance {
    /// By its unit, without `.service`: a name below /run/sd-starter.
    Unit(String),
    /// By the path of its control socket.
    Socket(PathBuf),
}

/// A text that names no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnInstance;

impl fmt::Display for NotAnInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither the name of a unit nor a path with a slash")
    }
}

impl std::error::Error for NotAnInstance {}

impl FromStr for Instance {
    type Err = NotAnInstance;

    fn from_str(text: &str) -> Result<Instance, NotAnInstance> {
        if text.contains('/') {
            return Ok(Instance::Socket(text.into()));
        }
        let name = text.strip_suffix(".service").unwrap_or(text);
        // A name becomes a directory below /run: it must stay there.
        if name.is_empty() || name.starts_with('.') || name.contains('\0') {
            return Err(NotAnInstance);
        }
        Ok(Instance::Unit(name.to_owned()))
    }
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done; for reload: the new generation serves
  1  it failed, or may not be asked for; for reload: the old generation keeps
     serving, or --if-generation named another one; for upgrade: nothing has
     changed
  2  a bad option, or a bad value of one
  3  no such instance, or it is stopping
  4  --timeout passed first";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn task(line: &str) -> Task {
        let words = line.split(' ');
        Control::try_parse_from(words).expect("a good line").task
    }

    fn mistake(line: &str) -> i32 {
        Control::try_parse_from(line.split(' '))
            .expect_err("a bad line")
            .exit_code()
    }

    #[test]
    fn the_definitions_hold_together() {
        Control::command().debug_assert();
    }

    #[test]
    fn reads_a_reload() {
        let Task::Reload(reload) =
            task("starterctl reload app.service --timeout 1m --if-generation=7")
        else {
            unreachable!("it is a reload")
        };
        assert_eq!(
            reload.target.instance,
            Some(Instance::Unit("app".to_owned()))
        );
        assert_eq!(reload.timeout, Limit::After(Duration::from_secs(60)));
        assert_eq!(reload.if_generation, Generation::new(7));
    }

    #[test]
    fn reads_a_bare_reload_as_in_exec_reload() {
        let target = Target {
            instance: None,
            control_socket: None,
        };
        let expected = Reload {
            target,
            timeout: Limit::Never,
            if_generation: None,
            json: false,
        };
        assert_eq!(task("starterctl reload"), Task::Reload(expected));
    }

    #[test]
    fn an_upgrade_of_all_does_not_wait_for_ever_for_one() {
        for (line, limit) in [
            ("starterctl upgrade", Limit::Never),
            ("starterctl upgrade --all", Limit::After(EACH_OF_ALL)),
            (
                "starterctl upgrade --all --timeout 2m",
                Limit::After(Duration::from_secs(120)),
            ),
            ("starterctl upgrade --all --timeout infinity", Limit::Never),
        ] {
            let Task::Upgrade(upgrade) = task(line) else {
                unreachable!("it is an upgrade")
            };
            assert_eq!(upgrade.limit(), limit, "{line}");
        }
    }

    #[test]
    fn an_instance_is_a_name_or_a_path() {
        assert_eq!("a@b".parse(), Ok(Instance::Unit("a@b".to_owned())));
        assert_eq!(
            "./control".parse(),
            Ok(Instance::Socket("./control".into()))
        );
        for text in ["", ".", "..", ".service"] {
            assert_eq!(text.parse::<Instance>(), Err(NotAnInstance), "{text:?}");
        }
    }

    #[test]
    fn reads_an_order_for_units() {
        let Task::Units(units) =
            task("starterctl units web --listen 80 --listen /run/x --install -- x --json")
        else {
            unreachable!("it is one")
        };
        assert_eq!(units.listen.len(), 2);
        assert_eq!(units.install, Some(None));
        assert_eq!(units.command, ["x", "--json"]);
    }

    #[test]
    fn a_mistake_is_exit_code_2() {
        assert_eq!(mistake("starterctl"), 2);
        assert_eq!(mistake("starterctl bogus"), 2);
        assert_eq!(mistake("starterctl wait app"), 2);
        assert_eq!(mistake("starterctl wait --drained --serving"), 2);
        assert_eq!(mistake("starterctl reload app --control-socket /run/x"), 2);
        assert_eq!(mistake("starterctl reload --timeout soon"), 2);
        assert_eq!(mistake("starterctl reload --if-generation 0"), 2);
        assert_eq!(mistake("starterctl status --watch --openmetrics"), 2);
        assert_eq!(mistake("starterctl units web -- x"), 2);
        assert_eq!(mistake("starterctl units web --listen 80"), 2);
    }
}
