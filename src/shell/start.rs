//! From settings to a running loop, and the order in which everything ends.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;

use super::adopted;
use super::advice;
use super::bequest::ledger_label;
use super::expansion;
use super::failure::system;
pub use super::failure::{Failure, exit_code};
use super::foundation::Foundation;
use super::heritage::{self, Descent, Heritage};
use super::journal::Journal;
use super::ledger::Ledger;
use super::listeners::Listeners;
use super::log_file::{self, LogFile};
use super::luggage;
use super::manager::Manager;
use super::own_program::OwnProgram;
use super::pid_file::PidFile;
use super::remains::{Found, Remains};
use super::settings::Settings;
use super::supervisor::Supervisor;
use super::vault::Vault;
use super::voice::Voice;
use crate::core::Outcome;
use crate::os::daemon::{self, Report, Side};
use crate::os::reason::Reason;
use crate::os::{fd, process, signals, succession};
use crate::protocol::keepsake::Keepsake;
use crate::protocol::listen_fds::{ListenEnv, Name};
use crate::protocol::signal_name::Signal;
use crate::protocol::state::State;

/// The signals that are ours to hear; those of `--forward` come on top.
const SIGNALS: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
];

/// Those that start_server has handlers for: exec makes them default in its workers.
const HANDLED: [i32; 4] = [libc::SIGHUP, libc::SIGTERM, libc::SIGINT, libc::SIGALRM];

/// The environment that we were started with: read once, never changed.
#[derive(Clone, Debug)]
pub struct Environment(pub Vec<(OsString, OsString)>);

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }
}

/// Supervises until the end.
///
/// # Errors
/// When the pid file, the listeners, the control socket or the loop's own descriptors cannot be
/// had; nothing is left bound or running then.
pub(super) fn supervise(
    mut settings: Settings,
    mut environment: Environment,
) -> Result<Outcome, Failure> {
    let voice = Voice::of(settings.name);
    fd::ensure_standard().map_err(system("opening /dev/null"))?;
    let prefix = match voice {
        Voice::Ours => "sd-starter: ",
        Voice::StartServer => "",
    };
    Journal::install("sd-starter", prefix, settings.log.is_some());

    // First of all, so that no signal is lost from here on.
    let mut heard = SIGNALS.to_vec();
    heard.extend(settings.forward.iter().map(|signal| signal.get()));
    // Before any descriptor is opened: what exec left open is told by that it was there before.
    let descent = Descent::claim(&mut environment, &settings);
    let mut heritage = None;
    let mut left_open = None;
    match descent {
        Descent::None => {}
        Descent::Heir(left) => heritage = Some(*left),
        Descent::Disinherited { reason } => {
            left_open = Some(heritage::unclaimed(&settings));
            start_afresh(&reason, &settings);
        }
    }
    let is_afresh = left_open.is_some();
    let reaps_strangers = std::process::id() == 1 || is_afresh;
    if reaps_strangers {
        heard.push(libc::SIGCHLD);
    }
    let told = [settings.signal_on_hup, settings.signal_on_term].map(Signal::get);
    let ours = [&HANDLED[..], &told[..]].concat();
    let (original, blocked) =
        signals::take_over(&heard, &ours).map_err(system("taking over the signals"))?;
    let original = heritage.as_ref().map_or(original, Heritage::original);
    let own_program = own_program(&environment, heritage.as_ref());
    // Before anything that another instance could notice (B8), and released last (B20).
    let pid_file = pid_file(&settings, heritage.as_mut())?;
    // Of an heir, output and error are the log already.
    let log = settings.log.as_ref().filter(|_| heritage.is_none());
    let log = log.map(|log| LogFile::open(log, environment.get("PATH")));
    let log = log.transpose()?;
    if voice == Voice::StartServer && heritage.is_none() {
        log::info!("start_server (pid:{}) starting now...", std::process::id());
    }

    let listen_env = ListenEnv {
        pid: environment.text("LISTEN_PID"),
        fds: environment.text("LISTEN_FDS"),
        names: environment.text("LISTEN_FDNAMES"),
        pidfdid: environment.text("LISTEN_PIDFDID"),
    };
    let mut released = Vec::new();
    let survives = survives(&settings, &environment);
    let mut found = None;
    let gathered = match (&mut heritage, left_open) {
        (Some(Heritage { state, luggage }), _) => {
            let (listeners, lost) = Listeners::take_over(&state.held, luggage);
            for lost in lost {
                log::error!("cannot take over the listener {lost}");
            }
            Ok(listeners)
        }
        (None, Some(left_open)) => {
            Listeners::gather_from(left_open, &settings, false, &mut released)
        }
        (None, None) => {
            let mut given = adopted::adopt(&listen_env)?;
            let remains = given
                .as_mut()
                .map_or_else(|_| Remains::default(), Remains::take_out_of);
            if survives {
                found = Some(remains.open(&settings));
            } else {
                released.extend(remains.keepsakes().iter().map(Keepsake::name));
            }
            // Whoever is left in our cgroup then is led by nobody.
            let orphaned = found.as_ref().is_some_and(|found| found.heritage.is_none());
            Listeners::gather(&settings, given, orphaned, &mut released)
        }
    };
    let listeners = gathered.inspect_err(|_| let_go(&environment, &released))?;
    // Not before: the numbers from 3 on are the first that are free, and a socket that stands where
    // workers find it need not be moved for each of them.
    let signal_fd = blocked.open().map_err(system("taking over the signals"))?;
    if survives && found.is_none() {
        found = Some(Found::default());
    }
    if let Some(heritage) = found.as_ref().and_then(|found| found.heritage.as_ref()) {
        // At once: a worker may be waiting in accept(2) where it expects to be turned away.
        listeners.restore_flags(&heritage.state.held.listeners);
        say_what_is_lacking(&heritage.state, &listeners);
    }
    // They are sockets by now, and there may be thousands.
    settings.ports = Vec::new();
    if settings.expand {
        let sockets = listeners.as_slice();
        settings.arguments = expansion::arguments(&settings.arguments, sockets)?;
        environment.0 = expansion::environment(&environment.0, sockets)?;
    }
    // After adoption, which refuses what is close-on-exec already: that is ours, not inherited.
    fd::close_on_exec_from(fd::FIRST).map_err(system("looking at inherited descriptors"))?;
    if heritage.is_none() {
        let advice = advice(&settings, &listeners);
        for (level, line) in voice.introduce(&listeners, &advice) {
            log::log!(level, "{line}");
        }
    }

    // No epoll set exists yet, because its hold on the signals would stay with the parent.
    let mut herald = heritage.as_mut().and_then(Heritage::herald);
    if settings.daemonize && heritage.is_none() && !is_afresh {
        match daemon::daemonize().map_err(system("becoming a daemon"))? {
            Side::Parent(waiting) => see_off(waiting.report(&original)),
            Side::Daemon(ours) => herald = Some(ours),
        }
    }
    let path = settings.pid_file.as_deref().unwrap_or_else(|| "".as_ref());
    let stage = format!("writing the pid file {}", path.display());
    let foundation = Foundation {
        settings,
        environment,
        voice,
        original,
        signal_fd,
        listeners,
        released,
        log,
        is_daemon: herald.is_some(),
        own_program,
        reaps_strangers,
        heritage: heritage
            .as_mut()
            .or_else(|| found.as_mut()?.heritage.as_mut()),
    };
    let written = pid_file.as_ref().map_or(Ok(()), PidFile::write);
    let built = written
        .map_err(|error| Failure::System { stage, error })
        .and_then(|()| foundation.build());
    let mut parts = built.inspect_err(|failure| {
        if let Some(herald) = &mut herald {
            // Our own stderr is still the user's: the reason is said there, once.
            herald.tell(failure.exit_code(), "");
        }
    })?;
    parts.herald = herald;
    parts.pid_file = pid_file;
    let mut supervisor = Supervisor::new(parts);
    let mut found = found;
    let mut resumed = Ok(());
    if let Some(mut heritage) = heritage {
        if let Some(found) = &mut found {
            let memory = heritage.luggage.take(&ledger_label());
            let opened = memory.ok().and_then(|memory| Ledger::open(memory).ok());
            found.ledger = opened.map(|(ledger, _)| ledger);
            found.is_ours = true;
        }
        resumed = supervisor.resume(heritage);
    }
    if let Some(found) = found {
        resumed = resumed.and_then(|()| supervisor.survive(found));
    }
    let outcome = resumed.and_then(|()| supervisor.run());
    if let Err(broken) = &outcome {
        log::error!("{}: {}", broken.stage, Reason(&broken.error));
        supervisor.abandon();
    }
    let log_command = supervisor.clean_up();
    let pid_file = supervisor.pid_file.take();
    drop(supervisor);
    if let Some(log_command) = log_command {
        log_file::close(log_command);
    }
    drop(pid_file);
    Ok(outcome?)
}

/// What we are called and where, as far back as our first predecessor knew it.
fn own_program(environment: &Environment, heritage: Option<&Heritage>) -> OwnProgram {
    let Some(heritage) = heritage else {
        return OwnProgram::at_start(environment);
    };
    let path = luggage::path(&heritage.state.held.program);
    let own_program = OwnProgram::new(path, environment);
    // It was executed by a descriptor's number, which would be its name otherwise.
    succession::set_name(&own_program.name());
    own_program
}

/// The pid file: our predecessor's, or one that is locked now.
fn pid_file(
    settings: &Settings,
    heritage: Option<&mut Heritage>,
) -> Result<Option<PidFile>, Failure> {
    let saved = heritage.and_then(|Heritage { state, luggage }| {
        let taken = PidFile::take_over(state.held.pid_file.as_ref()?, luggage);
        let lost = |error: &std::io::Error| log::warn!("cannot take over the pid file: {error}");
        taken.inspect_err(lost).ok()
    });
    match (saved, &settings.pid_file) {
        (Some(saved), _) => Ok(Some(saved)),
        (None, Some(path)) => Ok(Some(PidFile::lock(path)?)),
        (None, None) => Ok(None),
    }
}

/// Says what is lost with a state that cannot be used, and tells the workers that nobody leads any
/// more to leave. What clients send meanwhile waits in the listeners, which stay open.
fn start_afresh(reason: &str, settings: &Settings) {
    let orphans = process::children();
    log::error!(
        "starting afresh: {reason}; the listeners stay open, but {} processes that were running          are told to leave, because nothing else is known of them",
        orphans.len()
    );
    for pid in orphans {
        let told = process::pidfd_open(pid)
            .and_then(|pidfd| process::send_signal(pidfd.as_fd(), settings.signal_on_hup.get()));
        if let Err(error) = told {
            log::warn!("cannot tell process {pid} to leave: {}", Reason(&error));
        }
    }
}

/// The end of the process that the user started: what became of the daemon is its exit status.
fn see_off(report: Option<Report>) -> ! {
    let report = report.unwrap_or_else(|| Report {
        code: exit_code::OTHER,
        reason: "the daemon ended before its first worker came up; its log may say why".to_owned(),
    });
    if !report.reason.is_empty() {
        log::error!("{}", report.reason);
    }
    daemon::leave(report.code)
}

/// Whether workers are to outlive a crash of ours, and can.
fn survives(settings: &Settings, environment: &Environment) -> bool {
    if !settings.crash_adoption {
        return false;
    }
    let can =
        !settings.no_fd_store && Vault::from_environment(environment.text("FDSTORE")).is_some();
    if !can {
        log::warn!(
            "--crash-adoption needs an fd store: FileDescriptorStoreMax= in the unit, and before \
             systemd 254 Environment=FDSTORE= as well"
        );
    }
    can
}

/// A command line that has changed over a crash: workers that are taken back have the sockets of the
/// old one.
fn say_what_is_lacking(state: &State, listeners: &Listeners) {
    let lacking = listeners.not_among(&state.held.listeners);
    if let (Some(generation), false) = (state.machine.newest, lacking.is_empty()) {
        let lacking = lacking.join(", ");
        log::warn!(
            "generation {generation} does not have {lacking}, which was not asked for when it was \
             started: a reload starts one that does"
        );
    }
}

/// We end before the loop begins: systemd need not keep these any longer.
fn let_go(environment: &Environment, released: &[Name]) {
    let Ok(mut manager) = Manager::from_environment(environment.get("NOTIFY_SOCKET")) else {
        return;
    };
    for name in released {
        manager.release(name.clone());
    }
    // What systemd has no room for now it is told the next time.
    drop(manager.flush());
}

/// What is known of this worker and these sockets.
fn advice(settings: &Settings, listeners: &Listeners) -> Vec<String> {
    let words = advice::words(&settings.program, &settings.arguments);
    let directory = settings.dir.clone().unwrap_or_default();
    let configuration =
        advice::configuration(&words).and_then(|path| advice::read(&directory.join(path)));
    let sockets: Vec<_> = listeners
        .as_slice()
        .iter()
        .map(|listener| &listener.address)
        .collect();
    advice::advise(&words, &sockets, configuration.as_deref())
}
