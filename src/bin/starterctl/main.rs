//! `starterctl`: asks a running sd-starter. See `starterctl --help`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use nix::poll::poll;
use sd_starter::cli::client::{NoAnswer, Whereabouts, call};
use sd_starter::cli::control::{Control, Target, Task};
use sd_starter::cli::display;
use sd_starter::protocol::control::{INTERFACE, Reload, Reply, Wait};
use sd_starter::protocol::duration::Limit;
use serde_json::{Value, json};
use signal_hook::consts::SIGTERM;
use signal_hook::flag::register_conditional_shutdown;

/// The exit codes of `starterctl`, as its man page lists them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Code {
    Done = 0,
    Failed = 1,
    NotThere = 3,
    TimedOut = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

fn main() -> ExitCode {
    let control = match Control::try_parse() {
        Ok(control) => control,
        Err(error) => {
            // Help goes to stdout with 0, a mistake to stderr with 2. A closed stdout is no error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let whereabouts = Whereabouts {
        runtime_directory: std::env::var_os("RUNTIME_DIRECTORY").map(Into::into),
        xdg_runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").map(Into::into),
    };
    match control.task {
        Task::Reload(reload) => {
            let parameters = Reload {
                if_generation: reload.if_generation.map(|generation| generation.get()),
                invocation_id: std::env::var("INVOCATION_ID").ok(),
                main_pid: std::env::var("MAINPID")
                    .ok()
                    .and_then(|pid| pid.parse().ok()),
            };
            if parameters.main_pid.is_some() {
                // systemd stops a unit's control processes together with the unit; unless they
                // exit 0 then, the unit ends as failed.
                if let Err(error) = exit_cleanly_on_termination() {
                    complain(&format!("cannot handle SIGTERM: {error}"));
                }
            }
            let asked = Asked {
                target: &reload.target,
                timeout: reload.timeout,
                json: reload.json,
            };
            ask(&whereabouts, "Reload", &parameters, &asked, |reply| {
                let generation = reply.get("generation").and_then(Value::as_u64).unwrap_or(0);
                format!("generation {generation} serves")
            })
        }
        Task::Status(status) => {
            let asked = Asked {
                target: &status.target,
                timeout: Limit::Never,
                json: status.json,
            };
            ask(
                &whereabouts,
                "GetStatus",
                &json!({}),
                &asked,
                display::status,
            )
        }
        Task::Stop(stop) => {
            let asked = Asked {
                target: &stop.target,
                timeout: stop.timeout,
                json: false,
            };
            ask(&whereabouts, "Stop", &json!({}), &asked, |_| {
                "stopped".to_owned()
            })
        }
        Task::Wait(wait) => {
            let parameters = Wait {
                generation: wait.condition.generation.map(|generation| generation.get()),
                drained: wait.condition.drained,
                serving: wait.condition.serving,
            };
            let asked = Asked {
                target: &wait.target,
                timeout: wait.timeout,
                json: false,
            };
            ask(&whereabouts, "Wait", &parameters, &asked, |_| String::new())
        }
        Task::List(list) => list_instances(&whereabouts, list.json),
    }
}

/// How long SIGTERM may take to reach us after the supervisor got its own, in milliseconds: systemd
/// sends both in one go.
const STOP_GRACE: u16 = 1000;

/// Makes SIGTERM an orderly end.
fn exit_cleanly_on_termination() -> std::io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    register_conditional_shutdown(SIGTERM, 0, always).map(drop)
}

/// What the options say about one question.
struct Asked<'a> {
    target: &'a Target,
    timeout: Limit,
    json: bool,
}

fn ask(
    whereabouts: &Whereabouts,
    method: &str,
    parameters: &impl serde::Serialize,
    asked: &Asked<'_>,
    words: impl FnOnce(&Value) -> String,
) -> ExitCode {
    let reply = whereabouts
        .find(asked.target)
        .and_then(|socket| call(&socket, method, parameters, asked.timeout));
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            complain(&error.to_string());
            return match error {
                NoAnswer::NoName => ExitCode::from(2),
                NoAnswer::NotThere { .. } | NoAnswer::WentAway => Code::NotThere.into(),
                NoAnswer::TimedOut => Code::TimedOut.into(),
                NoAnswer::Garbled(_) => Code::Failed.into(),
            };
        }
    };
    if asked.json {
        say(&json!({ "error": reply.error, "parameters": reply.parameters }).to_string());
    }
    if let Some(error) = &reply.error {
        complain(&display::refusal(&reply));
        return if *error == format!("{INTERFACE}.Stopping") {
            if std::env::var_os("MAINPID").is_some() {
                // Most likely the unit stops, and our SIGTERM is on its way: exit 0 by that,
                // or the unit ends as failed.
                let _ = poll(&mut [], STOP_GRACE);
            }
            Code::NotThere.into()
        } else {
            Code::Failed.into()
        };
    }
    if !asked.json {
        let text = words(&Value::Object(reply.parameters));
        if !text.is_empty() {
            say(&text);
        }
    }
    Code::Done.into()
}

/// Every instance that the caller may ask, by its directory's name.
fn list_instances(whereabouts: &Whereabouts, json: bool) -> ExitCode {
    let mut instances = Vec::new();
    for directory in whereabouts.directories() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let socket = entry.path().join("control");
            let reply = call(&socket, "GetStatus", &json!({}), Limit::Never);
            if let Ok(Reply {
                error: None,
                parameters,
            }) = reply
            {
                let name = entry.file_name().to_string_lossy().into_owned();
                instances.push((name, Value::Object(parameters)));
            }
        }
    }
    instances.sort_by(|one, other| one.0.cmp(&other.0));
    if json {
        let list: serde_json::Map<String, Value> = instances.into_iter().collect();
        say(&Value::Object(list).to_string());
    } else {
        for (name, status) in &instances {
            say(&display::list_entry(name, status));
        }
    }
    Code::Done.into()
}

/// A line on stdout; that nobody reads it is no error.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// A line on stderr; that nobody reads it is no error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "starterctl: {text}");
}
