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
    if upgrade.user && whereabouts.xdg_runtime_dir.is_none() {
        complain("--user: XDG_RUNTIME_DIR is not set");
        return Code::Usage;
    }
    if upgrade.user {
        return upgrade_all(whereabouts.own_instances(), upgrade);
    }
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
///
/// Those of others are not meant by a user who asks for all. But whoever may ask nobody has forgotten
/// his sudo, and must not take silence for success.
fn upgrade_all(instances: Vec<(String, PathBuf)>, upgrade: &Upgrade) -> Code {
    let mut answers = Map::new();
    let mut code = Code::Done;
    let mut upgraded = false;
    let mut denied = Vec::new();
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
                upgraded = true;
                answers.insert(name, reply);
            }
            Err(failure) if failure.name() == "PermissionDenied" => denied.push((name, failure)),
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
    if !upgraded && !denied.is_empty() {
        complain(&denial(&denied));
        for (name, failure) in denied {
            answers.insert(name, failure.json);
            if code == Code::Done {
                code = failure.code;
            }
        }
    }
    if upgrade.json {
        say(&Value::Object(answers).to_string());
    }
    code
}

/// A directory without a supervisor is no instance, and one that is stopping will be none. One that
/// went away while it was asked is named: that may be the new program's doing.
fn is_passed_over(failure: &Failure) -> bool {
    matches!(failure.name(), "NotThere" | "Stopping")
}

fn denial(denied: &[(String, Failure)]) -> String {
    let names: Vec<_> = denied.iter().map(|(name, _)| name.as_str()).collect();
    format!(
        "permission denied for {}: not upgraded; only root and a service's own user may ask",
        names.join(", ")
    )
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
            user: false,
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

    #[test]
    fn who_may_ask_nobody_is_told() {
        let denied = b"{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}\0";
        let (directory, instances, [a, not_there, c]) = instances(["a", "not-there", "c"]);
        drop(not_there);
        std::fs::remove_file(directory.join("not-there")).expect("it is ours");
        let threads = [a, c].map(|listener| answering(listener, denied));
        assert_eq!(upgrade_all(instances.to_vec(), &all(60)), Code::Failed);
        for thread in threads {
            assert!(thread.join().expect("it was asked") > 0);
        }
        std::fs::remove_dir_all(&directory).expect("it is ours");
        let failure = Failure::from(&NoAnswer::Denied { path: "x".into() });
        let denied = ["a", "b"].map(|name| (name.to_owned(), failure.clone()));
        assert!(denial(&denied).starts_with("permission denied for a, b: not upgraded;"));
    }

    /// Which the system's instances beside a user's deny, and rightly so.
    #[test]
    fn the_packages_ask_users_for_their_own_only() {
        let script = include_str!("../../../packaging/upgrade-all");
        assert!(script.contains("\"$@\" \"$bin/starterctl\" upgrade --all $scope 2>&1"));
        assert!(script.contains("\nscope=--user\nfor directory in /run/user/"));
        let whereabouts = Whereabouts::default();
        let mut upgrade_users = all(60);
        upgrade_users.user = true;
        assert_eq!(upgrade(&whereabouts, &upgrade_users), Code::Usage);
    }
}
