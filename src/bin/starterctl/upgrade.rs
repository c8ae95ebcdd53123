//! `starterctl upgrade`: one instance, or all of them.

use std::time::Instant;

use sd_starter::cli::answer::{Code, Failure, judge};
use sd_starter::cli::client::call;
use sd_starter::cli::control::Upgrade;
use sd_starter::cli::escaped;
use sd_starter::cli::whereabouts::Whereabouts;
use serde_json::{Map, Value, json};

use crate::ask::{Question, ask, deadline};
use crate::terminal::{complain, say};

pub(crate) fn upgrade(whereabouts: &Whereabouts, upgrade: &Upgrade) -> Code {
    if upgrade.all {
        return upgrade_all(whereabouts, upgrade);
    }
    let question = Question::new("Upgrade", &json!({}), &upgrade.target);
    ask(
        whereabouts,
        question.by(upgrade.timeout, upgrade.json),
        words,
    )
}

fn words(reply: &Value) -> String {
    let text = |name: &str| reply.get(name).and_then(Value::as_str);
    let text = |name: &str| escaped::text(text(name).unwrap_or("?"));
    format!(
        "version {} has taken over from {}",
        text("to"),
        text("from")
    )
}

/// One after the other: if the new program is bad in a way that its trial does not show, not
/// everybody has it at once. The exit code is the first one that is not 0.
fn upgrade_all(whereabouts: &Whereabouts, upgrade: &Upgrade) -> Code {
    let mut answers = Map::new();
    let mut code = Code::Done;
    for (name, socket) in whereabouts.instances() {
        let until = deadline(upgrade.timeout, Instant::now());
        let answer = match call(&socket, "Upgrade", &json!({}), until, || None) {
            Ok(reply) => judge(reply),
            Err(error) => Err(Failure::from(&error)),
        };
        match answer {
            Ok(reply) => {
                if !upgrade.json {
                    say(&format!("{}: {}", escaped::text(&name), words(&reply)));
                }
                answers.insert(name, reply);
            }
            // A directory without a supervisor is no instance.
            Err(Failure {
                code: Code::NotThere,
                ..
            }) => {}
            Err(failure) => {
                complain(&format!("{name}: {}", failure.line));
                answers.insert(name, failure.json);
                if code == Code::Done {
                    code = failure.code;
                }
            }
        }
    }
    if upgrade.json {
        say(&Value::Object(answers).to_string());
    }
    code
}
