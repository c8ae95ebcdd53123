//! `starterctl upgrade`: one instance, or all of them.

use std::path::PathBuf;
use std::time::Instant;

use sd_starter::cli::answer::{Code, Failure, judge};
use sd_starter::cli::client::{NoAnswer, call};
use sd_starter::cli::control::Upgrade;
use sd_starter::cli::escaped;
use sd_starter::cli::whereabouts::Whereabouts;
use sd_starter::core::Rough;
use sd_starter::protocol::duration::Limit;
use serde_json::{Map, Value, json};

use crate::ask::{Question, ask, deadline};
use crate::terminal::{complain, say};

pub(crate) fn upgrade(whereabouts: &Whereabouts, upgrade: &Upgrade) -> Code {
    if upgrade.all {
        return upgrade_all(whereabouts.instances(), upgrade);
    }
    let question = Question::new("Upgrade", &json!({}), &upgrade.target);
    ask(
        whereabouts,
        question.by(upgrade.limit(), upgrade.json),
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
/// everybody has it at once. One that does not answer in time is passed over. The exit code is the
/// first one that is not 0.
fn upgrade_all(instances: Vec<(String, PathBuf)>, upgrade: &Upgrade) -> Code {
    let mut answers = Map::new();
    let mut code = Code::Done;
    for (name, socket) in instances {
        let until = deadline(upgrade.limit(), Instant::now());
        let answer = match call(&socket, "Upgrade", &json!({}), until, || None) {
            Ok(reply) => judge(reply),
            Err(NoAnswer::TimedOut) => Err(late(upgrade.limit())),
            Err(error) => Err(Failure::from(&error)),
        };
        match answer {
            Ok(reply) => {
                if !upgrade.json {
                    say(&format!("{}: {}", escaped::text(&name), words(&reply)));
                }
                answers.insert(name, reply);
            }
            Err(failure) if is_passed_over(&failure) => {}
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

/// A directory without a supervisor is no instance; one that is stopping will be none; and those of
/// others are not meant by a user who asks for all. One that went away while it was asked is named:
/// that may be the new program's doing.
fn is_passed_over(failure: &Failure) -> bool {
    matches!(failure.name(), "NotThere" | "Stopping" | "PermissionDenied")
}

/// That one of many does not answer: it may hang, or need longer than others.
fn late(limit: Limit) -> Failure {
    let mut failure = Failure::from(&NoAnswer::TimedOut);
    if let Some(limit) = limit.duration() {
        failure.line = format!(
            "it did not answer within {}; the upgrade goes on if it can",
            Rough(limit)
        );
        failure.json["reason"] = failure.line.clone().into();
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use sd_starter::cli::control::Target;

    fn all(seconds: u64) -> Upgrade {
        Upgrade {
            target: Target {
                instance: None,
                control_socket: None,
            },
            all: true,
            // Long enough for those that do answer, whatever the machine does meanwhile.
            timeout: Some(Limit::After(Duration::from_secs(seconds))),
            json: false,
        }
    }

    /// Sockets in a directory of their own, which is to be removed at the end.
    fn instances(names: [&str; 3]) -> (PathBuf, [(String, PathBuf); 3], [UnixListener; 3]) {
        let directory = format!("starterctl.{}.{}", std::process::id(), names[1]);
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir(&directory).expect("a new directory");
        let instances = names.map(|name| (name.to_owned(), directory.join(name)));
        let listeners = instances
            .each_ref()
            .map(|(_, socket)| UnixListener::bind(socket).expect("a new socket"));
        (directory, instances, listeners)
    }

    /// Answers one client with these bytes; gives how much was asked.
    fn answering(listener: UnixListener, reply: &'static [u8]) -> JoinHandle<usize> {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let asked = stream.read(&mut [0; 4096]).expect("a call");
            stream.write_all(reply).expect("it waits");
            asked
        })
    }

    const UPGRADED: &[u8] = b"{\"parameters\":{\"from\":\"1\",\"to\":\"2\"}}\0";

    #[test]
    fn one_that_does_not_answer_does_not_keep_the_others_waiting() {
        let (directory, instances, [a, mute, c]) = instances(["a", "mute", "c"]);
        let threads = [a, c].map(|listener| answering(listener, UPGRADED));
        let upgrade = all(2);
        assert_eq!(upgrade_all(instances.to_vec(), &upgrade), Code::TimedOut);
        for thread in threads {
            assert!(thread.join().expect("it was asked") > 0);
        }
        drop(mute);
        std::fs::remove_dir_all(&directory).expect("it is ours");
        assert_eq!(
            late(upgrade.limit()).line,
            "it did not answer within 2 s; the upgrade goes on if it can"
        );
    }

    #[test]
    fn those_of_others_are_not_meant_and_one_that_went_away_is_named() {
        let denied = b"{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}\0";
        for (last, code) in [(UPGRADED, Code::Done), (b"", Code::NotThere)] {
            let (directory, instances, [a, gone, c]) = instances(["a", "gone", "c"]);
            drop(gone);
            let threads = [answering(a, denied), answering(c, last)];
            assert_eq!(upgrade_all(instances.to_vec(), &all(60)), code);
            for thread in threads {
                assert!(thread.join().expect("it was asked") > 0);
            }
            std::fs::remove_dir_all(&directory).expect("it is ours");
        }
    }
}
