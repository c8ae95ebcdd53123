//! How a question of `starterctl` ended: an exit code, a line for people, JSON for scripts.

use serde_json::{Value, json};

use super::client::NoAnswer;
use crate::protocol::control::{INTERFACE, Reply};

/// The exit codes of `starterctl`, as its man page lists them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// What was asked for is done.
    Done = 0,
    /// It failed, or may not be asked for.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No such instance, or it is stopping.
    NotThere = 3,
    /// `--timeout` passed first.
    TimedOut = 4,
}

/// A question that was not answered as its asker would like it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// One line: what, and why.
    pub line: String,
    /// The same for scripts.
    pub json: Value,
}

impl Failure {
    /// What went wrong, without the interface that declares it: `Stopping`, `NotThere`.
    #[must_use]
    pub fn name(&self) -> &str {
        let error = self.json["error"].as_str().unwrap_or_default();
        error.rsplit('.').next().unwrap_or_default()
    }

    /// Whether the supervisor itself says that it is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.json["error"] == format!("{INTERFACE}.Stopping")
    }
}

impl From<&NoAnswer> for Failure {
    fn from(error: &NoAnswer) -> Self {
        let code = match error {
            NoAnswer::NoName => Code::Usage,
            NoAnswer::NotThere { .. } | NoAnswer::WentAway => Code::NotThere,
            NoAnswer::TimedOut => Code::TimedOut,
            NoAnswer::Denied { .. } | NoAnswer::Garbled(_) => Code::Failed,
        };
        let line = error.to_string();
        Self {
            code,
            json: json!({ "error": error.name(), "reason": line, "parameters": {} }),
            line,
        }
    }
}

/// What the supervisor answered: the parameters, or why not.
///
/// # Errors
/// The refusal.
pub fn judge(reply: Reply) -> Result<Value, Failure> {
    let Some(error) = &reply.error else {
        return Ok(Value::Object(reply.parameters));
    };
    let code = if *error == format!("{INTERFACE}.Stopping") {
        Code::NotThere
    } else {
        Code::Failed
    };
    let line = refusal(&reply);
    Err(Failure {
        code,
        json: json!({ "error": error, "reason": line, "parameters": reply.parameters }),
        line,
    })
}

/// A refusal in one line.
fn refusal(reply: &Reply) -> String {
    let error = reply.error.as_deref().unwrap_or_default();
    let text = |name: &str| {
        let value = reply.parameters.get(name);
        value.and_then(Value::as_str).unwrap_or_default()
    };
    match error.rsplit('.').next().unwrap_or_default() {
        "ReloadFailed" => text("reason").to_owned(),
        "UpgradeFailed" => format!("not upgraded, nothing has changed: {}", text("reason")),
        // A supervisor from before there was such a thing.
        "MethodNotFound" => "it is too old to do that: it has to be restarted".to_owned(),
        "OtherGeneration" => match reply.parameters.get("serving").and_then(Value::as_u64) {
            Some(serving) => {
                format!("generation {serving} serves, not the one named; nothing was done")
            }
            None => "no generation is serving; nothing was done".to_owned(),
        },
        "Stopping" => "the supervisor is stopping".to_owned(),
        "PermissionDenied" => {
            "permission denied: only root and the service's own user may ask".to_owned()
        }
        "InvalidParameter" => format!("not understood: {}", text("parameter")),
        _ => format!("the supervisor refuses: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<Value, Failure> {
        judge(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_good_answer_is_its_parameters() {
        let answer = judged(r#"{"parameters":{"generation":7}}"#);
        assert_eq!(answer, Ok(json!({ "generation": 7 })));
    }

    #[test]
    fn a_refusal_has_a_code_a_line_and_a_name() {
        let cases = [
            (
                r#"{"error":"org.sdstarter.Supervisor.ReloadFailed","parameters":{"reason":"no"}}"#,
                Code::Failed,
                "no",
            ),
            (
                r#"{"error":"org.sdstarter.Supervisor.Stopping"}"#,
                Code::NotThere,
                "the supervisor is stopping",
            ),
            (
                r#"{"error":"org.sdstarter.Supervisor.OtherGeneration","parameters":{"serving":7}}"#,
                Code::Failed,
                "generation 7 serves, not the one named; nothing was done",
            ),
            (
                r#"{"error":"org.varlink.service.MethodNotFound"}"#,
                Code::Failed,
                "it is too old to do that: it has to be restarted",
            ),
            (
                r#"{"error":"org.varlink.service.MethodNotImplemented"}"#,
                Code::Failed,
                "the supervisor refuses: org.varlink.service.MethodNotImplemented",
            ),
        ];
        for (reply, code, line) in cases {
            let failure = judged(reply).unwrap_err();
            assert_eq!((failure.code, &*failure.line), (code, line));
            assert_eq!(failure.json["reason"], line);
        }
    }

    #[test]
    fn no_answer_has_a_code_too() {
        let failure = |error: NoAnswer| Failure::from(&error).code;
        assert_eq!(failure(NoAnswer::NoName), Code::Usage);
        assert_eq!(failure(NoAnswer::WentAway), Code::NotThere);
        assert_eq!(failure(NoAnswer::TimedOut), Code::TimedOut);
        let path = "/run/x".into();
        assert_eq!(failure(NoAnswer::Denied { path }), Code::Failed);
    }
}
