//! Command lines as they are found in the wild, and what they must mean.
//! Source of the lines: manuals, init scripts and tests of Server::Starter's users.

use super::*;
use crate::core::Attempts;
use crate::protocol::duration::Limit;
use crate::protocol::signal_name::Signal;
use crate::shell::settings::{Errand, LogTarget, Ready, Settings};
use clap::CommandFactory;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

fn read_with(line: &str, variables: &[(&str, &str)]) -> Result<Invocation, Refusal> {
    let owned = |(name, value): &(&str, &str)| (name.into(), value.into());
    let environment: Vec<(OsString, OsString)> = variables.iter().map(owned).collect();
    parse(line.split_whitespace().map(OsString::from), &environment)
}

fn supervise_with(line: &str, variables: &[(&str, &str)]) -> Settings {
    match read_with(line, variables) {
        Ok(Invocation::Supervise(settings)) => *settings,
        other => unreachable!("{line}: {other:?}"),
    }
}

fn supervise(line: &str) -> Settings {
    supervise_with(line, &[])
}

/// The exit code and the text of a line that does not get through.
fn refused(line: &str) -> (u8, String) {
    let refusal = read_with(line, &[]).expect_err(line);
    (refusal.code(), refusal.to_string())
}

fn words(settings: &Settings) -> String {
    let program = std::iter::once(&settings.program).chain(&settings.arguments);
    program
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn keys(settings: &Settings) -> Vec<&str> {
    settings
        .ports
        .iter()
        .map(|port| port.key.as_str())
        .collect()
}

#[test]
fn wild_lines_mean_what_their_authors_meant() {
    for (line, port, program) in [
        (
            "start_server --port=8080 -- plackup -s Starlet --max-workers=4 app.psgi",
            Some("8080"),
            "plackup -s Starlet --max-workers=4 app.psgi",
        ),
        (
            "start_server --port 8080 plackup --server Twiggy app.psgi",
            Some("8080"),
            "plackup --server Twiggy app.psgi",
        ),
        (
            "start_server --interval=2 --port=127.0.0.1:80 --signal-on-hup=QUIT --signal-on-term=QUIT \
             -- unicorn -c unicorn.conf.rb config.ru",
            Some("127.0.0.1:80"),
            "unicorn -c unicorn.conf.rb config.ru",
        ),
        (
            "start_server --path=s.sock -- plackup app.psgi",
            None,
            "plackup app.psgi",
        ),
        (
            "start_server --path SOCK node server.js",
            None,
            "node server.js",
        ),
        ("start_server -- true", None, "true"),
        (
            "/usr/bin/start_server --port [::1]:u53 --backlog 16384 x -- -y",
            Some("[::1]:53"),
            "x -- -y",
        ),
    ] {
        let settings = supervise(line);
        assert_eq!(
            keys(&settings),
            port.into_iter().collect::<Vec<_>>(),
            "{line}"
        );
        assert_eq!(words(&settings), program, "{line}");
        assert_eq!(settings.name, ProgramName::StartServer, "{line}");
    }
}

#[test]
fn h2o_gets_what_it_passes() {
    let settings = supervise(
        "start_server --pid-file=/p --log-file=/l --daemonize --port=[::]:80 --port=h:443 \
         --port=h:u443 --path=/s -- h2o -c conf",
    );
    assert_eq!(keys(&settings), ["[::]:80", "h:443", "h:443"]);
    assert!(settings.daemonize);
    assert_eq!(settings.log, Some(LogTarget::File("/l".into())));
    assert_eq!(settings.pid_file, Some("/p".into()));
}

#[test]
fn every_spelling_is_read_under_both_names() {
    for name in ["start_server", "sd-starter"] {
        for spelling in [
            "--port=80",
            "--port 80",
            "-port 80",
            "-port=80",
            "--por=80",
            "--PORT=80",
        ] {
            let settings = supervise(&format!("{name} {spelling} prog"));
            assert_eq!(
                (keys(&settings), words(&settings).as_str()),
                (vec!["80"], "prog")
            );
        }
    }
}

#[test]
fn restart_and_stop_ignore_the_rest() {
    let rest = "--port=nonsense --interval=nonsense --pid-file /p --status-file /s -- h2o -c conf";
    let errand = Errand {
        name: ProgramName::StartServer,
        pid_file: "/p".into(),
        status_file: Some("/s".into()),
        control_socket: None,
        timeout: Limit::Never,
    };
    let restart = read_with(&format!("start_server --restart {rest}"), &[]);
    assert_eq!(restart, Ok(Invocation::Restart(errand.clone())));
    let stop = read_with(&format!("start_server --stop {rest}"), &[]);
    assert_eq!(stop, Ok(Invocation::Stop(errand)));
}

#[test]
fn restart_and_stop_need_their_files() {
    assert_eq!(refused("start_server --restart --pid-file /p").0, 255);
    assert_eq!(refused("start_server --restart --status-file /s").0, 255);
    let (code, text) = refused("start_server --stop");
    assert_eq!(
        (code, text.as_str()),
        (255, "--stop option requires --pid-file to be set as well")
    );
}

#[test]
fn the_defaults_of_both_names() {
    let ours = supervise("sd-starter prog");
    let theirs = supervise("start_server prog");
    assert_eq!(ours.stop_timeout, Limit::After(Duration::from_secs(90)));
    assert_eq!(theirs.stop_timeout, Limit::Never);
    assert_eq!((ours.path_mode, theirs.path_mode), (None, Some(0o777)));
    assert_eq!(
        (ours.attempts, theirs.attempts),
        (Attempts::Unlimited, Attempts::Unlimited)
    );
    for settings in [ours, theirs] {
        assert_eq!(settings.ready, Ready::Auto);
        assert_eq!(settings.interval, Duration::from_secs(1));
        assert_eq!(
            settings.start_timeout,
            Limit::After(Duration::from_secs(90))
        );
        assert_eq!(
            (settings.signal_on_hup, settings.signal_on_term),
            (Signal::TERM, Signal::TERM)
        );
        assert_eq!(settings.drain_timeout, Limit::Never);
        assert_eq!(
            (settings.kill_old_delay, settings.auto_restart),
            (Duration::ZERO, None)
        );
        assert_eq!((settings.backlog, settings.max_draining), (None, None));
        assert!(settings.told_to_workers.is_empty());
    }
}

#[test]
fn under_systemd_one_attempt_is_the_default() {
    let systemd = [("NOTIFY_SOCKET", "/run/systemd/notify")];
    let once = Attempts::AtMost(NonZeroU32::MIN);
    assert_eq!(supervise_with("sd-starter prog", &systemd).attempts, once);
    assert_eq!(
        supervise_with("start_server prog", &systemd).attempts,
        Attempts::Unlimited
    );
    let given = supervise_with("sd-starter --attempts=unlimited prog", &systemd);
    assert_eq!(given.attempts, Attempts::Unlimited);
}

#[test]
fn variables_stand_in_for_options() {
    let variables = [
        ("ENVDIR", "/env"),
        ("ENABLE_AUTO_RESTART", "1"),
        ("AUTO_RESTART_INTERVAL", "60"),
        ("KILL_OLD_DELAY", "0.5"),
    ];
    let settings = supervise_with("start_server prog", &variables);
    assert_eq!(settings.envdir, Some(PathBuf::from("/env")));
    assert_eq!(settings.auto_restart, Some(Duration::from_secs(60)));
    assert_eq!(settings.kill_old_delay, Duration::from_millis(500));
    let line = "start_server --envdir=/e --kill-old-delay=9 --auto-restart-interval=0 prog";
    let settings = supervise_with(line, &variables);
    assert_eq!(settings.envdir, Some(PathBuf::from("/e")));
    assert_eq!(settings.auto_restart, Some(Duration::from_secs(360)));
    assert_eq!(settings.kill_old_delay, Duration::from_secs(9));
    let told: Vec<&[u8]> = settings
        .told_to_workers
        .iter()
        .map(|variable| variable.name())
        .collect();
    assert_eq!(
        told,
        [&b"ENVDIR"[..], b"AUTO_RESTART_INTERVAL", b"KILL_OLD_DELAY"]
    );
}

#[test]
fn a_false_variable_is_no_variable() {
    let variables = [
        ("ENABLE_AUTO_RESTART", "0"),
        ("ENVDIR", ""),
        ("KILL_OLD_DELAY", ""),
    ];
    let settings = supervise_with("start_server prog", &variables);
    assert_eq!((settings.auto_restart, settings.envdir), (None, None));
    let refusal = read_with("start_server prog", &[("KILL_OLD_DELAY", "soon")]).expect_err("bad");
    assert!(
        refusal.to_string().contains("'KILL_OLD_DELAY'"),
        "{refusal}"
    );
}

#[test]
fn auto_restart_brings_a_trial() {
    let settings = supervise("start_server --enable-auto-restart prog");
    assert_eq!(settings.auto_restart, Some(Duration::from_secs(360)));
    assert_eq!(settings.kill_old_delay, Duration::from_secs(5));
}

#[test]
fn every_option_of_ours_is_read() {
    let settings = supervise(
        "sd-starter --path-mode 0660 --path /run/a --listen-key web=80 --ready fd:5 \
         --start-timeout infinity --attempts 3 --drain-timeout 1m --stop-timeout 0.5 \
         --max-draining 2 --forward USR1 --forward sigusr2 --dir /d --control-socket /c \
         --worker-watchdog 10 --fd-store-max 64 --no-cgroup --no-fd-store --crash-adoption prog",
    );
    assert_eq!(
        (settings.path_mode, settings.paths),
        (Some(0o660), vec![PathBuf::from("/run/a")])
    );
    assert_eq!(settings.listen_keys[0].key, "80");
    assert_eq!(
        (settings.ready, settings.start_timeout),
        (Ready::Fd(5), Limit::Never)
    );
    assert_eq!(
        settings.attempts,
        Attempts::AtMost(NonZeroU32::new(3).expect("not 0"))
    );
    assert_eq!(
        settings.drain_timeout,
        Limit::After(Duration::from_secs(60))
    );
    assert_eq!(
        settings.stop_timeout,
        Limit::After(Duration::from_millis(500))
    );
    assert_eq!(settings.max_draining.map(NonZeroU32::get), Some(2));
    assert_eq!(settings.forward.len(), 2);
    assert_eq!(settings.worker_watchdog, Some(Duration::from_secs(10)));
    assert_eq!((settings.fd_store_max, settings.no_cgroup), (64, true));
    assert!(settings.no_fd_store && settings.crash_adoption);
    assert_eq!(
        (settings.dir, settings.control_socket),
        (Some("/d".into()), Some("/c".into()))
    );
}

#[test]
fn a_bad_value_is_one_line_and_exit_code_1() {
    for (option, reason) in [
        ("--interval=abc", "not a time"),
        ("--interval=-1", "not a time"),
        ("--signal-on-hup=BOGUS", "no such signal"),
        ("--signal-on-term=0", "no such signal"),
        ("--forward=HUP", "a meaning of its own"),
        ("--forward=KILL", "cannot be caught"),
        ("--path-mode=999", "octal"),
        ("--path-mode=7777", "octal"),
        ("--backlog=1.5", "number of connections"),
        ("--attempts=0", "from 1 up"),
        ("--max-draining=0", "zero"),
        ("--ready=fd:2", "from 3"),
        ("--ready=command:", "no command"),
        ("--ready=soon", "not one of"),
        ("--listen-key=web", "FDNAME=KEY"),
        ("--listen-key=a:b=80", "file descriptor"),
        ("--listen-key=web=a;b", "neither"),
        ("--path=/a=b", "';' and '='"),
        ("--log-file=|", "no command"),
        ("--kill-old-delay=11y", "ten years"),
        ("--worker-watchdog=0", "longer than 0"),
        ("--fd-store-max=many", "number of descriptors"),
        ("--fd-store-max=4097", "up to 4096"),
    ] {
        for name in ["start_server", "sd-starter"] {
            let (code, text) = refused(&format!("{name} {option} prog"));
            let (option, _) = option.split_once('=').expect("an option with a value");
            assert_eq!((code, text.lines().count()), (1, 1), "{text}");
            assert!(text.contains(reason) && text.contains(option), "{text}");
        }
    }
}

#[test]
fn a_bad_option_is_one_line_and_exit_code_1() {
    for line in [
        "--bogus prog",
        "-p 80 prog",
        "--daemonize=1 prog",
        "--port",
        "--port= prog",
        "-=x",
    ] {
        let (code, text) = refused(&format!("start_server {line}"));
        assert_eq!((code, text.lines().count()), (1, 1), "{text}");
        assert!(text.starts_with("error: "), "{text}");
    }
    let (_, text) = refused("sd-starter --prot=80 prog");
    assert!(text.contains("--prot") && text.contains("--port"), "{text}");
}

#[test]
fn a_bad_port_is_exit_code_255_in_the_words_of_each_name() {
    let (code, text) = refused("start_server --port=abc prog");
    assert_eq!(code, 255);
    assert!(text.starts_with("invalid ``port'' value:abc"), "{text}");
    let (code, text) = refused("sd-starter --port=99999 prog");
    assert_eq!(code, 255);
    assert_eq!(
        text,
        "error: invalid value '99999' for '--port': the port number is above 65535"
    );
    let (code, text) = refused("start_server --port=*:80 prog");
    assert_eq!(code, 255);
    assert!(text.starts_with("failed to resolve host:*"), "{text}");
    assert_eq!(refused("start_server --port=80=4 --port=81=4 prog").0, 255);
}

#[test]
fn no_program_is_exit_code_255() {
    assert_eq!(
        refused("start_server --port=80"),
        (255, "server program not specified".to_owned())
    );
    assert_eq!(refused("sd-starter --").0, 255);
    assert_eq!(refused("start_server --daemonize prog").0, 255);
}

#[test]
fn help_and_version_are_exit_code_0() {
    for line in [
        "--help",
        "-h",
        "-help",
        "--version",
        "-V",
        "--help --port=abc",
    ] {
        assert_eq!(refused(&format!("start_server {line}")).0, 0, "{line}");
    }
    assert!(
        refused("start_server --help")
            .1
            .contains("Usage: start_server")
    );
    assert!(refused("sd-starter --help").1.contains("Usage: sd-starter"));
    assert!(refused("sd-starter --version").1.starts_with("sd-starter "));
}

#[test]
fn the_name_is_that_of_the_file() {
    for name in ["start_server", "/usr/bin/start_server", "./start_server.sd"] {
        assert_eq!(
            program_name(OsStr::new(name)),
            ProgramName::StartServer,
            "{name}"
        );
    }
    for name in ["", "sd-starter", "/opt/start_server/sd-starter"] {
        assert_eq!(
            program_name(OsStr::new(name)),
            ProgramName::SdStarter,
            "{name}"
        );
    }
}

#[test]
fn a_log_command_keeps_its_blanks() {
    let argv = [
        "sd-starter",
        "--log-file",
        " | rotatelogs  /l",
        "prog",
        "a b",
    ]
    .map(OsString::from);
    let Ok(Invocation::Supervise(settings)) = parse(argv, &[]) else {
        unreachable!("a good line");
    };
    assert_eq!(
        settings.log,
        Some(LogTarget::Command("rotatelogs  /l".into()))
    );
    assert_eq!(settings.arguments, [OsString::from("a b")]);
}

#[test]
fn the_definitions_hold_together() {
    arguments::Arguments::command().debug_assert();
}

#[test]
fn the_librarys_defaults_are_the_command_lines() {
    assert_eq!(supervise("sd-starter -- app"), Settings::new("app".into()));
    let settings = supervise("sd-starter --expand --einhorn -- app --fd {fd:http}");
    assert!(settings.expand && settings.einhorn);
    assert_eq!(words(&settings), "app --fd {fd:http}");
}
