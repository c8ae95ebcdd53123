//! From arguments to settings: every value checked, every default filled in.

use super::arguments::Arguments;
use super::environment::Environment;
use super::refusal::Refusal;
use super::values;
use crate::core::Attempts;
use crate::protocol::duration::Limit;
use crate::protocol::port::{self, PortError, PortSpec};
use crate::protocol::tuning::{self, Tuning};
use crate::protocol::worker_env::Variable;
use crate::shell::settings::{Errand, Invocation, ProgramName, Ready, Settings};
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;

const START_SERVER_PATH_MODE: u32 = 0o777;

/// What the arguments ask for. `name` and `environment` choose defaults.
pub(super) fn invocation(
    mut arguments: Arguments,
    name: ProgramName,
    environment: &Environment<'_>,
) -> Result<Invocation, Refusal> {
    forget_empty(&mut arguments);
    if arguments.restart {
        let message = "--restart option requires --pid-file and --status-file to be set as well";
        match arguments.status_file {
            Some(_) => errand(arguments, name, message).map(Invocation::Restart),
            None => Err(Refusal::died(message)),
        }
    } else if arguments.stop {
        let message = "--stop option requires --pid-file to be set as well";
        errand(arguments, name, message).map(Invocation::Stop)
    } else {
        let settings = settings(arguments, name, environment)?;
        Ok(Invocation::Supervise(Box::new(settings)))
    }
}

/// What is as good as not given, where an empty value is let through at all. Not the envdir: its
/// empty value hides that of the environment.
fn forget_empty(arguments: &mut Arguments) {
    for path in [&mut arguments.pid_file, &mut arguments.status_file] {
        path.take_if(|path| path.as_os_str().is_empty());
    }
    for signal in [&mut arguments.signal_on_hup, &mut arguments.signal_on_term] {
        signal.take_if(|signal| signal.is_empty());
    }
    arguments.log_file.take_if(|file| file.is_empty());
}

/// Scripts pass the whole command line together with --restart and --stop:
/// only what is needed here is looked at.
fn errand(arguments: Arguments, name: ProgramName, message: &str) -> Result<Errand, Refusal> {
    Ok(Errand {
        name,
        pid_file: arguments.pid_file.ok_or_else(|| Refusal::died(message))?,
        status_file: arguments.status_file,
        control_socket: arguments.control_socket,
        timeout: values::parsed("--timeout", arguments.timeout)?.unwrap_or(Limit::Never),
    })
}

fn settings(
    arguments: Arguments,
    name: ProgramName,
    environment: &Environment<'_>,
) -> Result<Settings, Refusal> {
    let is_start_server = name == ProgramName::StartServer;
    let told_to_workers = told_to_workers(&arguments);
    let tuning = tuning(&arguments, environment)?;
    let ports = ports(&arguments.port, name)?;
    let ready = match &arguments.ready {
        Some(text) => values::ready(text)?,
        None => Ready::Auto,
    };
    if ports
        .iter()
        .any(|port| Ready::Fd(port.pin.unwrap_or(-1)) == ready)
    {
        return Err(Refusal::usage(
            "'--ready' and '--port' ask for the same file descriptor",
        ));
    }
    let log = arguments
        .log_file
        .as_deref()
        .map(values::log_target)
        .transpose()?;
    if arguments.daemonize && log.is_none() {
        return Err(Refusal::died(match name {
            // Its very words, typing error included: scripts may look for them.
            ProgramName::StartServer => {
                "Usage: --log-file option must be specified together with --deamonize"
            }
            ProgramName::SdStarter => "--daemonize requires --log-file to be set as well",
        }));
    }
    let mut command = arguments.command.into_iter();
    let program = command
        .next()
        .ok_or_else(|| Refusal::died("server program not specified"))?;

    let defaults = Settings::new(program);
    Ok(Settings {
        name,
        arguments: command.collect(),
        expand: arguments.expand,
        einhorn: arguments.einhorn,
        ports,
        paths: values::paths(arguments.path)?,
        path_mode: match arguments.path_mode {
            Some(text) => Some(values::path_mode(&text)?),
            None => is_start_server.then_some(START_SERVER_PATH_MODE),
        },
        backlog: arguments
            .backlog
            .as_deref()
            .map(values::backlog)
            .transpose()?
            // To Perl 0 is as good as none.
            .filter(|backlog| !is_start_server || *backlog != 0),
        listen_keys: values::each(&arguments.listen_key, values::listen_key)?,
        ready,
        interval: match arguments.interval {
            Some(text) => values::duration("--interval", &text)?,
            None => defaults.interval,
        },
        start_timeout: values::parsed("--start-timeout", arguments.start_timeout)?
            .unwrap_or(defaults.start_timeout),
        attempts: match arguments.attempts {
            Some(text) => values::attempts(&text)?,
            None if is_start_server || !environment.has("NOTIFY_SOCKET") => defaults.attempts,
            None => Attempts::AtMost(NonZeroU32::MIN),
        },
        kill_old_delay: tuning.kill_old_delay,
        signal_on_hup: values::parsed("--signal-on-hup", arguments.signal_on_hup)?
            .unwrap_or(defaults.signal_on_hup),
        signal_on_term: values::parsed("--signal-on-term", arguments.signal_on_term)?
            .unwrap_or(defaults.signal_on_term),
        drain_timeout: values::parsed("--drain-timeout", arguments.drain_timeout)?
            .unwrap_or(defaults.drain_timeout),
        stop_timeout: values::parsed("--stop-timeout", arguments.stop_timeout)?.unwrap_or(
            if is_start_server {
                Limit::Never
            } else {
                defaults.stop_timeout
            },
        ),
        max_draining: values::parsed("--max-draining", arguments.max_draining)?,
        forward: values::each(&arguments.forward, values::forwarded)?,
        dir: arguments.dir,
        envdir: arguments
            .envdir
            .or_else(|| environment.path("ENVDIR"))
            .filter(|path| !path.as_os_str().is_empty()),
        pid_file: arguments.pid_file,
        status_file: arguments.status_file,
        log,
        daemonize: arguments.daemonize,
        auto_restart: tuning.auto_restart,
        worker_watchdog: values::positive("--worker-watchdog", arguments.worker_watchdog)?,
        fd_store_max: match arguments.fd_store_max {
            Some(text) => values::fd_store_max(&text)?,
            None => 0,
        },
        no_cgroup: arguments.no_cgroup,
        no_fd_store: arguments.no_fd_store,
        crash_adoption: arguments.crash_adoption
            || environment.is_true("SD_STARTER_CRASH_ADOPTION"),
        control_socket: arguments.control_socket,
        told_to_workers,
        ..defaults
    })
}

/// The ports, in order. A mistake ends the program as it ends `start_server`.
fn ports(texts: &[String], name: ProgramName) -> Result<Vec<PortSpec>, Refusal> {
    let mut ports: Vec<PortSpec> = Vec::new();
    for text in texts {
        let spec = port::parse(text).map_err(|error| bad_port(text, &error, name))?;
        if spec.pin.is_some() && ports.iter().any(|other| other.pin == spec.pin) {
            // start_server loses the first of the two without a word (B10).
            let reason = "another port is put on that file descriptor already";
            let refusal = Refusal::value("--port", text, reason).into_line();
            return Err(Refusal::died(refusal));
        }
        ports.push(spec);
    }
    Ok(ports)
}

fn bad_port(text: &str, error: &PortError, name: ProgramName) -> Refusal {
    Refusal::died(match (name, error) {
        (ProgramName::StartServer, PortError::Host(host)) => {
            format!("failed to resolve host:{host}: {error}")
        }
        (ProgramName::StartServer, _) => format!("invalid ``port'' value:{text}: {error}"),
        (ProgramName::SdStarter, _) => Refusal::value("--port", text, error).into_line(),
    })
}

/// Trial time and automatic reloads: each from its option, else from its variable.
fn tuning(arguments: &Arguments, environment: &Environment<'_>) -> Result<Tuning, Refusal> {
    let either = |option: &str, text: &Option<String>, variable: &str| match text {
        Some(text) => values::duration(option, text).map(Some),
        None => environment.duration(variable),
    };
    let interval = either(
        "--auto-restart-interval",
        &arguments.auto_restart_interval,
        tuning::AUTO_RESTART_INTERVAL,
    )?;
    let kill_old_delay = either(
        "--kill-old-delay",
        &arguments.kill_old_delay,
        tuning::KILL_OLD_DELAY,
    )?;
    let enabled = arguments.enable_auto_restart || environment.is_true(tuning::ENABLE_AUTO_RESTART);
    Ok(Tuning::settle(enabled, interval, kill_old_delay))
}

/// The options that `start_server` puts into its own environment, and so into
/// its workers'.
fn told_to_workers(arguments: &Arguments) -> Vec<Variable> {
    let told = [
        (
            "ENVDIR",
            arguments
                .envdir
                .as_ref()
                .map(|dir| dir.as_os_str().as_bytes()),
        ),
        (
            "ENABLE_AUTO_RESTART",
            arguments.enable_auto_restart.then_some(&b"1"[..]),
        ),
        (
            "AUTO_RESTART_INTERVAL",
            arguments
                .auto_restart_interval
                .as_ref()
                .map(String::as_bytes),
        ),
        (
            "KILL_OLD_DELAY",
            arguments.kill_old_delay.as_ref().map(String::as_bytes),
        ),
    ];
    // An argument has no NUL, so each of them is a variable.
    let variable = |(name, value): (&str, Option<&[u8]>)| Variable::new(name, value?).ok();
    told.into_iter().filter_map(variable).collect()
}
