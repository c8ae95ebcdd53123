//! `starterctl`: asks a running sd-starter. See `starterctl --help`.

mod ask;
mod terminal;
mod units;
mod upgrade;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use ask::{Question, ask, deadline};
use clap::Parser;
use sd_starter::cli::answer::{Code, Failure, judge};
use sd_starter::cli::client::call;
use sd_starter::cli::control::{Control, List, Status, Task};
use sd_starter::cli::whereabouts::{Whereabouts, name_of};
use sd_starter::cli::{openmetrics, status_view};
use sd_starter::protocol::control::{Reload, Wait};
use serde_json::{Map, Value, json};
use signal_hook::consts::SIGTERM;
use signal_hook::flag::register_conditional_shutdown;
use terminal::{complain, now_usec, say, stdout_style};

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
    let code = match control.task {
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
            let question = Question::new("Reload", &parameters, &reload.target);
            ask(
                &whereabouts,
                question.by(reload.timeout, reload.json),
                |reply| {
                    let generation = reply.get("generation").and_then(Value::as_u64).unwrap_or(0);
                    format!("generation {generation} serves")
                },
            )
        }
        Task::Upgrade(upgrade) => upgrade::upgrade(&whereabouts, &upgrade),
        Task::Status(status) => show_status(&whereabouts, &status),
        Task::Stop(stop) => {
            let question = Question::new("Stop", &json!({}), &stop.target);
            ask(&whereabouts, question.by(stop.timeout, stop.json), |_| {
                "stopped".to_owned()
            })
        }
        Task::Wait(wait) => {
            let parameters = Wait {
                generation: wait.condition.generation.map(|generation| generation.get()),
                drained: wait.condition.drained,
                serving: wait.condition.serving,
            };
            let question = Question::new("Wait", &parameters, &wait.target);
            ask(&whereabouts, question.by(wait.timeout, wait.json), |_| {
                String::new()
            })
        }
        Task::List(list) => show_list(&whereabouts, &list),
        Task::Units(order) => units::make(&order),
    };
    ExitCode::from(code as u8)
}

/// Makes SIGTERM an orderly end.
fn exit_cleanly_on_termination() -> std::io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    register_conditional_shutdown(SIGTERM, 0, always).map(drop)
}

fn show_status(whereabouts: &Whereabouts, status: &Status) -> Code {
    let name = whereabouts
        .find(&status.target)
        .map(|socket| name_of(&socket));
    let name = name.unwrap_or_default();
    if status.watch {
        return watch::watch(whereabouts, status, &name);
    }
    let question = Question::new("GetStatus", &json!({}), &status.target);
    ask(
        &whereabouts.clone(),
        question.by(status.timeout, status.json),
        |reply| {
            if status.openmetrics {
                openmetrics::render(&name, reply)
            } else {
                status_view::status(&name, reply, now_usec(), stdout_style())
            }
        },
    )
}

/// Every instance that the caller may ask, by its directory's name. One that does not answer is
/// named with the reason; a directory without a supervisor is not an instance.
fn show_list(whereabouts: &Whereabouts, list: &List) -> Code {
    let mut found = Map::new();
    let mut rows = Vec::new();
    for (name, socket) in whereabouts.instances() {
        let until = deadline(list.timeout, Instant::now());
        let answer = match call(&socket, "GetStatus", &json!({}), until, || None) {
            Ok(reply) => judge(reply),
            Err(error) => Err(Failure::from(&error)),
        };
        match answer {
            Ok(status) => {
                rows.push(status_view::list_row(&name, &status));
                found.insert(name, status);
            }
            Err(Failure {
                code: Code::NotThere,
                ..
            }) => {}
            Err(failure) => {
                complain(&format!("{name}: {}", failure.line));
                found.insert(name, failure.json);
            }
        }
    }
    if list.json {
        say(&Value::Object(found).to_string());
    } else if !rows.is_empty() {
        say(&status_view::table(&rows, stdout_style()));
    }
    Code::Done
}
