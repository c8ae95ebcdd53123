//! The live line: what a long wait is waiting for.

use std::time::Duration;

use serde_json::Value;

use super::escaped;
use super::status_view::span;
use crate::core::Rough;

/// What a supervisor with this status is waiting for; `waited` is how long we have.
#[must_use]
pub fn line(status: &Value, waited: Duration) -> String {
    let (waited, status) = (Rough(waited), &escaped::answer(status));
    let workers = status["workers"].as_array().map(Vec::as_slice);
    let workers = workers.unwrap_or_default();
    let full = |worker: &Value| {
        format!(
            "generation {} (pid {})",
            worker["generation"], worker["pid"]
        )
    };
    let killed = |worker: &Value| match &worker["deadlineUSec"] {
        Value::Null => String::new(),
        left => format!(", killed in {}", span(left)),
    };
    let left = |worker: &Value| match &worker["deadlineUSec"] {
        Value::Null => String::new(),
        left => format!(", {} left", span(left)),
    };
    let said = |worker: &Value| match worker["status"].as_str() {
        Some(words) => format!(": {words}"),
        None => String::new(),
    };
    if status["stopping"] == true {
        let Some(oldest) = workers.first() else {
            return format!("{waited}: stopping");
        };
        let others = match workers.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let limit = killed(oldest);
        return format!(
            "{waited}: waiting for {}{others} to leave{limit}",
            full(oldest)
        );
    }
    let candidate = workers.iter().find(|worker| {
        matches!(
            worker["state"].as_str(),
            Some("spawned" | "booting" | "trial")
        )
    });
    if let Some(worker) = candidate {
        return if worker["state"] == "trial" {
            format!("{waited}: {} is on trial{}", full(worker), left(worker))
        } else {
            let limit = left(worker);
            let words = said(worker);
            format!(
                "{waited}: waiting for {} to be ready{limit}{words}",
                full(worker)
            )
        };
    }
    if status["swapping"] == true {
        let why = status["lastFailure"].as_str().unwrap_or_default();
        return format!("{waited}: pausing before the next try: {why}");
    }
    let draining = workers.iter().find(|worker| worker["state"] == "draining");
    match draining {
        Some(worker) => {
            let limit = killed(worker);
            format!(
                "{waited}: {} is leaving{limit}{}",
                full(worker),
                said(worker)
            )
        }
        None => format!("{waited}: waiting"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::status_view::sample;
    use super::*;

    #[test]
    fn it_names_what_is_waited_for() {
        let waited = Duration::from_secs(3);
        let mut status = sample();
        assert_eq!(
            line(&status, waited),
            "3 s: waiting for generation 8 (pid 4300) to be ready, 88 s left"
        );
        status["workers"][2]["status"] = "\x1b]0;x\x07".into();
        assert_eq!(
            line(&status, waited),
            "3 s: waiting for generation 8 (pid 4300) to be ready, 88 s left: \\u{1b}]0;x\\u{7}"
        );
        status["workers"][2]["state"] = "trial".into();
        assert_eq!(
            line(&status, waited),
            "3 s: generation 8 (pid 4300) is on trial, 88 s left"
        );
        status["workers"].as_array_mut().unwrap().pop();
        assert_eq!(
            line(&status, waited),
            "3 s: pausing before the next try: generation 5 failed: exited with status 3"
        );
        status["swapping"] = false.into();
        assert_eq!(
            line(&status, waited),
            "3 s: generation 6 (pid 4200) is leaving, killed in 48 s"
        );
        status["stopping"] = true.into();
        assert_eq!(
            line(&status, waited),
            "3 s: waiting for generation 6 (pid 4200) and 1 more to leave, killed in 48 s"
        );
    }
}
