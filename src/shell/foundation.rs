//! From what was bound to the parts of a loop: everything that must not exist twice, and so comes
//! after the fork of `--daemonize`.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::control::{Control, beside_pid_file};
use super::envdir::Envdir;
use super::failure::{Failure, system};
use super::heritage::Heritage;
use super::journal::Journal;
use super::listeners::Listeners;
use super::log_command::LogCommand;
use super::log_file::LogFile;
use super::manager::Manager;
use super::own_program::OwnProgram;
use super::runtime::Runtime;
use super::settings::{LogTarget, Ready, Settings};
use super::spawn::Spawner;
use super::start::Environment;
use super::status_file::StatusFile;
use super::supervisor::Parts;
use super::surroundings::Surroundings;
use super::token::Token;
use super::vault::Vault;
use super::voice::Voice;
use super::watchdog::Watchdog;
use crate::core::{Machine, Policy};
use crate::os::clock;
use crate::os::epoll::{Epoll, Interest};
use crate::os::reason::Reason;
use crate::os::signals::{Original, SignalFd};
use crate::protocol::generation::Generation;
use crate::protocol::listen_fds::Name;
use crate::protocol::tuning::Tuning;
use crate::protocol::worker_env;

/// So many copies of listeners at most wait to be sent to systemd.
const COPIES: usize = 64;

/// How long systemd may take in all to make room for them, before we go on without.
const STORING: Duration = Duration::from_secs(1);

/// What stands when there is only one process left, the one that stays.
pub(super) struct Foundation<'a> {
    pub(super) settings: Settings,
    pub(super) environment: Environment,
    pub(super) voice: Voice,
    pub(super) original: Original,
    pub(super) signal_fd: SignalFd,
    pub(super) listeners: Listeners,
    /// What systemd need not keep any longer.
    pub(super) released: Vec<Name>,
    pub(super) log: Option<LogFile>,
    pub(super) is_daemon: bool,
    pub(super) own_program: OwnProgram,
    pub(super) reaps_strangers: bool,
    /// What a predecessor has left, if there is one.
    pub(super) heritage: Option<&'a mut Heritage>,
}

impl Foundation<'_> {
    pub(super) fn build(self) -> Result<Parts, Failure> {
        let Self {
            mut settings,
            environment,
            mut heritage,
            ..
        } = self;
        // A manager that cannot be told is no reason not to serve.
        let mut listeners = self.listeners;
        let mut manager = Manager::from_environment(environment.get("NOTIFY_SOCKET"))
            .unwrap_or_else(|error| {
                log::warn!("nobody is told how it goes: {}", Reason(&error));
                Manager::nobody()
            });
        let watchdog = Watchdog::from_environment(
            environment.text("WATCHDOG_USEC"),
            environment.text("WATCHDOG_PID"),
            clock::now(),
        )
        .filter(|_| manager.is_there());
        // First what goes: it makes room for what comes.
        for name in self.released {
            manager.release(name);
        }
        let vault = open_vault(&settings, &environment, &mut listeners, &mut manager);
        let inherited = heritage.as_mut().and_then(|heritage| {
            let Heritage { state, luggage } = &mut **heritage;
            let taken = Runtime::take_over(state.held.runtime.as_ref()?, luggage);
            taken.inspect_err(not_taken("the runtime directory")).ok()
        });
        let runtime = inherited.map_or_else(
            || {
                Runtime::open(
                    environment.get("RUNTIME_DIRECTORY"),
                    environment.get("XDG_RUNTIME_DIR"),
                )
            },
            Ok,
        );
        let runtime = match runtime {
            Ok(runtime) => Some(runtime),
            // Without one there is no NOTIFY_SOCKET for workers, and no other way to be ready.
            Err(error) if settings.ready == Ready::Notify => {
                return Err(system("creating a runtime directory")(error));
            }
            Err(error) => {
                let reason = Reason(&error);
                log::warn!("workers get no notify socket: creating a runtime directory: {reason}");
                None
            }
        };
        let epoll = Epoll::new().map_err(system("creating an epoll set"))?;
        let signals = self.signal_fd;
        epoll
            .add(signals.as_fd(), Token::Signals.into(), Interest::Readable)
            .map_err(system("waiting for signals"))?;
        let inherited = heritage.as_mut().and_then(|heritage| {
            let Heritage { state, luggage } = &mut **heritage;
            let taken = Control::take_over(state.held.control.as_ref()?, luggage, &epoll);
            taken.inspect_err(not_taken("the control socket")).ok()
        });
        let control = match inherited {
            Some(control) => Some(control),
            None => open_control(&settings, runtime.as_ref(), &epoll)?,
        };

        let tuning = Tuning {
            kill_old_delay: settings.kill_old_delay,
            auto_restart: settings.auto_restart,
        };
        let mut envdir = Envdir::new(
            settings.envdir.clone(),
            environment.0.clone(),
            settings.told_to_workers.clone(),
            tuning,
        );
        // One that cannot be read is reported by the first spawn.
        if let Ok(reading) = envdir.read(Generation::FIRST) {
            let tuning = reading.retuned.unwrap_or(tuning);
            settings.kill_old_delay = tuning.kill_old_delay;
            settings.auto_restart = tuning.auto_restart;
        }
        if let Some(watch) = envdir.watch() {
            epoll
                .add(watch, Token::Envdir.into(), Interest::Readable)
                .map_err(system("watching the envdir"))?;
        }

        let rules = policy(&settings, listeners.as_slice().len());
        let machine = match &heritage {
            Some(heritage) => Machine::restore(&heritage.state.machine, rules)
                .map_err(|unfit| system("taking over the state")(io::Error::other(unfit)))?,
            None => Machine::new(rules),
        };
        let invocation_id = environment.text("INVOCATION_ID").map(str::to_owned);
        // Before the log command starts: a supervisor moves to its leaf without children.
        let surroundings = Surroundings::arrange(&settings, environment.text("JOURNAL_STREAM"));
        let log_environment = worker_env::without_ours(&environment.0);
        let spawner = Spawner::new(&settings, environment.0, self.original.clone());
        let mut status_file = settings.status_file.clone().map(StatusFile::new);
        let listed = heritage.as_ref();
        let listed = listed.and_then(|heritage| heritage.state.held.status_file.as_ref());
        if let (Some(status_file), Some(listed)) = (&mut status_file, listed) {
            status_file.take_over(listed);
        }
        let original = self.original.clone();
        let inherited = heritage.and_then(|heritage| {
            let Heritage { state, luggage } = heritage;
            let saved = state.held.log_command.as_ref()?;
            let Some(LogTarget::Command(command)) = &settings.log else {
                return None;
            };
            let environment = log_environment.clone();
            let original = self.original.clone();
            let taken =
                LogCommand::take_over(command, environment, original, saved, luggage, &epoll);
            taken.inspect_err(not_taken("the log command")).ok()
        });
        if let Some(ours) = inherited.as_ref().map(LogCommand::our_writer) {
            ours.map_or_else(|_| (), Journal::write_to);
        }
        // From here on stderr is the log: whatever fails after this is said there.
        let mut log_command = match self.log {
            Some(log) => log
                .redirect(log_environment, self.original, self.is_daemon)
                .map_err(system("redirecting output to the log"))?,
            None => None,
        };
        if let Some(log_command) = &mut log_command {
            log_command
                .start(&epoll)
                .map_err(system("waiting for the log command"))?;
        }
        let log_command = log_command.or(inherited);
        Ok(Parts {
            settings,
            machine,
            epoll,
            signals,
            spawner,
            listeners,
            manager,
            vault,
            watchdog,
            control,
            runtime,
            voice: self.voice,
            invocation_id,
            envdir,
            status_file,
            log_command,
            surroundings,
            herald: None,
            pid_file: None,
            own_program: self.own_program,
            original,
            reaps_strangers: self.reaps_strangers,
        })
    }
}

/// What a predecessor has left and we cannot use is made anew.
fn not_taken(thing: &'static str) -> impl Fn(&io::Error) {
    move |error| log::warn!("cannot take over {thing}: {}", Reason(error))
}

/// Has systemd keep our sockets, where it keeps anything for us.
fn open_vault(
    settings: &Settings,
    environment: &Environment,
    listeners: &mut Listeners,
    manager: &mut Manager,
) -> Option<Vault> {
    let there_is_one = manager.is_there() && !settings.no_fd_store;
    let announced = environment.text("FDSTORE").filter(|_| there_is_one);
    let Some(mut vault) = Vault::from_environment(announced) else {
        for name in listeners.disown() {
            manager.release(name);
        }
        return None;
    };
    listeners.stored().for_each(|name| vault.has(name));
    let mut unkept = BTreeSet::new();
    let until = clock::now().saturating_add(STORING);
    for (count, (name, fd)) in (1..).zip(listeners.to_keep()) {
        // A listener has no other end, and what becomes of it is for us to say.
        if !vault.keep(manager, &name, fd, false) {
            unkept.insert(name);
        }
        // There may be more of them than there are numbers for copies.
        if count % COPIES == 0 {
            manager.make_room(until.saturating_sub(clock::now()));
        }
    }
    listeners.entrust(&unkept);
    Some(vault)
}

/// Where clients ask: as told, or where `starterctl` looks, or beside the pid file, where
/// `--restart` looks. Where nobody has asked for it, that it fails is no reason not to serve.
fn open_control(
    settings: &Settings,
    runtime: Option<&Runtime>,
    epoll: &Epoll,
) -> Result<Option<Control>, Failure> {
    if let Some(path) = &settings.control_socket {
        let control = Control::open(path, epoll).map_err(|error| Failure::System {
            stage: format!("cannot open the control socket {}", path.display()),
            error,
        })?;
        return Ok(Some(control));
    }
    let beside = || settings.pid_file.as_deref().map(beside_pid_file);
    let Some(path) = runtime.and_then(Runtime::control_socket).or_else(beside) else {
        return Ok(None);
    };
    match Control::open(&path, epoll) {
        Ok(control) => Ok(Some(control)),
        Err(error) => {
            log::warn!(
                "cannot open the control socket {}: {}; nobody can ask how a reload went",
                path.display(),
                Reason(&error)
            );
            Ok(None)
        }
    }
}

/// The machine's constants.
pub(super) fn policy(settings: &Settings, sockets: usize) -> Policy {
    Policy {
        readiness: settings.ready.readiness(),
        interval: settings.interval,
        start_timeout: settings.start_timeout.duration(),
        attempts: settings.attempts,
        kill_old_delay: settings.kill_old_delay,
        drain_timeout: settings.drain_timeout.duration(),
        stop_timeout: settings.stop_timeout.duration(),
        max_draining: settings
            .max_draining
            .and_then(|limit| usize::try_from(limit.get()).ok()),
        signal_on_hup: settings.signal_on_hup,
        signal_on_term: settings.signal_on_term,
        worker_watchdog: settings.worker_watchdog,
        auto_restart: settings.auto_restart,
        sockets,
    }
}
