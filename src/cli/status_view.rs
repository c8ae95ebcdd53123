//! What `starterctl` shows, from what the supervisor answered.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::core::Rough;
use crate::protocol::control::Reply;

/// A refusal in one line.
#[must_use]
pub fn refusal(reply: &Reply) -> String {
    let error = reply.error.as_deref().unwrap_or_default();
    let parameters = &reply.parameters;
    let text = |name: &str| {
        parameters
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match error.rsplit('.').next().unwrap_or_default() {
        "ReloadFailed" => text("reason").to_owned(),
        "OtherGeneration" => match parameters.get("serving").and_then(Value::as_u64) {
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

/// The answer to `GetStatus`, for people.
#[must_use]
pub fn status(status: &Value) -> String {
    let mut out = String::new();
    let words = status["command"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let command: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    line(
        &mut out,
        format_args!(
            "{} (sd-starter {}, pid {})",
            command.join(" "),
            status["version"].as_str().unwrap_or("?"),
            status["pid"]
        ),
    );
    line(&mut out, format_args!("    State: {}", state(status)));
    for listener in status["listeners"].as_array().into_iter().flatten() {
        let key = listener["key"].as_str().unwrap_or("(no key)");
        let name = listener["name"].as_str().unwrap_or_default();
        let origin = listener["origin"].as_str().unwrap_or_default();
        line(
            &mut out,
            format_args!(" Listener: {key} ({name}, fd {}, {origin})", listener["fd"]),
        );
    }
    for worker in status["workers"].as_array().into_iter().flatten() {
        let age = span(&worker["ageUSec"]);
        let state = worker["state"].as_str().unwrap_or_default();
        let _ = write!(
            out,
            "   Worker: generation {} (pid {}) {state}, {age} old",
            worker["generation"], worker["pid"]
        );
        if !worker["deadlineUSec"].is_null() {
            let _ = write!(out, ", {} left", span(&worker["deadlineUSec"]));
        }
        if let Some(words) = worker["status"].as_str() {
            let _ = write!(out, ": {words}");
        }
        out.push('\n');
    }
    if let Some(reason) = status["lastVerdict"]["reason"].as_str() {
        line(&mut out, format_args!("  Verdict: {reason}"));
    }
    out
}

/// One instance in a line.
#[must_use]
pub fn list_entry(name: &str, status: &Value) -> String {
    format!("{name}: {}", state(status))
}

fn state(status: &Value) -> String {
    let serving = match status["serving"].as_u64() {
        Some(generation) => format!("serving generation {generation}"),
        None => "no generation is serving".to_owned(),
    };
    if status["stopping"] == true {
        "stopping".to_owned()
    } else if status["swapping"] == true {
        format!("{serving}, a swap is under way")
    } else {
        serving
    }
}

fn span(micros: &Value) -> String {
    Rough(Duration::from_micros(micros.as_u64().unwrap_or(0))).to_string()
}

fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(arguments);
    out.push('\n');
}
