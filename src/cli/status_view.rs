//! What `starterctl status` and `list` show, from what the supervisor answered.

use std::time::Duration;

use serde_json::Value;

use super::escaped;
use super::style::{Style, Tone, tied};
use crate::core::Rough;

/// Where what a label names begins.
const INDENTATION: usize = 12;

/// The answer to `GetStatus`, for people; `now` is microseconds of CLOCK_REALTIME.
#[must_use]
pub fn status(name: &str, status: &Value, now: u64, style: Style) -> String {
    let (name, status) = (escaped::text(name), &escaped::answer(status));
    let mut view = View {
        style,
        out: String::new(),
    };
    let (tone, state) = state(status);
    let title = style.cut(&format!("* {name}: {state}"));
    // The dot is one column wide; colours would spoil the count.
    let title = title.strip_prefix("* ").unwrap_or_default();
    view.line(&format!("{} {title}", style.dot(tone)));

    let words = array(status, "command");
    let command: Vec<_> = words.iter().filter_map(Value::as_str).collect();
    view.labelled_and_cut("Command", &command.join(" "));
    let supervisor = [
        format!("pid {}", status["pid"]),
        format!("sd-starter {}", text(status, "version")),
        format!("up for {}", span(&status["uptimeUSec"])),
        format!("--ready {}", text(status, "readiness")),
    ];
    view.listed("Supervisor", &supervisor);
    let workers = array(status, "workers");
    let serves = |worker: &&Value| worker["state"] == "serving";
    for worker in workers.iter().filter(serves) {
        view.worker("Serving", worker);
    }
    for worker in workers.iter().rev().filter(|worker| !serves(worker)) {
        let label = match text(worker, "state") {
            "draining" if status["stopping"] == true => "Stopping",
            "draining" => "Draining",
            "trial" => "On trial",
            _ => "Starting",
        };
        view.worker(label, worker);
    }
    view.listeners(array(status, "listeners"));
    view.verdict(status, now);
    let failed = status["reloadsFailed"].as_u64().unwrap_or(0);
    let restarts = status["restarts"].as_u64().unwrap_or(0);
    if failed + restarts > 0 {
        let counts = format!(
            "{}, {}",
            count(failed, "failed reload"),
            count(restarts, "unexpected death")
        );
        view.labelled("So far", Tone::Plain, &counts);
    }
    view.out
}

/// What an instance is doing, in some words and a tone.
#[must_use]
pub fn state(status: &Value) -> (Tone, String) {
    let serving = status["serving"].as_u64();
    let worker = |wanted: u64| {
        let workers = array(status, "workers").iter();
        let pid = workers
            .filter(|worker| worker["generation"] == wanted)
            .find_map(|worker| worker["pid"].as_u64());
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    };
    let words = match serving {
        Some(generation) => format!("serving generation {generation}{}", worker(generation)),
        None => "no generation is serving".to_owned(),
    };
    if status["stopping"] == true {
        (Tone::Busy, "stopping".to_owned())
    } else if status["swapping"] == true {
        (
            Tone::Busy,
            format!("{words}; a new generation is on its way"),
        )
    } else if serving.is_some() {
        (Tone::Good, words)
    } else {
        (Tone::Bad, words)
    }
}

struct View {
    style: Style,
    out: String,
}

impl View {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn labelled(&mut self, label: &str, tone: Tone, text: &str) {
        // After the label stand a colon and a blank.
        let lines = self.style.wrap(text, INDENTATION + 2);
        for (index, line) in lines.iter().enumerate() {
            let (label, colon) = if index == 0 { (label, ":") } else { ("", " ") };
            let line = self.style.paint(tone, line);
            self.line(&format!("{label:>INDENTATION$}{colon} {line}"));
        }
    }

    /// Parts with commas between them; a line may end only there.
    fn listed(&mut self, label: &str, parts: &[String]) {
        let parts: Vec<_> = parts.iter().map(|part| tied(part)).collect();
        self.labelled(label, Tone::Plain, &parts.join(", "));
    }

    fn labelled_and_cut(&mut self, label: &str, text: &str) {
        let line = self.style.cut(&format!("{label:>INDENTATION$}: {text}"));
        self.line(&line);
    }

    fn worker(&mut self, label: &str, worker: &Value) {
        let mut parts = vec![format!(
            "generation {} (pid {})",
            worker["generation"], worker["pid"]
        )];
        let age = span(&worker["ageUSec"]);
        let left = span(&worker["deadlineUSec"]);
        let limited = !worker["deadlineUSec"].is_null();
        match text(worker, "state") {
            "draining" => {
                parts.push(format!("leaving for {}", span(&worker["stateUSec"])));
                parts.push(format!("{age} old"));
                if limited {
                    parts.push(format!("killed in {left}"));
                }
            }
            "trial" => parts.push(format!("for {left} more")),
            "spawned" | "booting" => {
                parts.push(format!("not ready after {age}"));
                if limited {
                    parts.push(format!("{left} left"));
                }
            }
            _ => parts.push(format!("{age} old")),
        }
        if let Some(memory) = worker["memory"].as_u64() {
            let of = text(worker, "memoryOf");
            parts.push(format!("{} memory ({of})", bytes(memory)));
        }
        if !worker["cpuUSec"].is_null() {
            parts.push(format!("{} CPU", span(&worker["cpuUSec"])));
        }
        if let Some(processes) = worker["processes"].as_u64().filter(|many| *many > 1) {
            parts.push(format!("{processes} processes"));
        }
        self.listed(label, &parts);
        if let Some(words) = worker["status"].as_str() {
            for line in self.style.wrap(&format!("\"{words}\""), INDENTATION + 2) {
                let line = self.style.paint(Tone::Faint, &line);
                self.line(&format!("{:INDENTATION$}  {line}", ""));
            }
        }
    }

    /// In columns: key, name, kind and address, origin.
    fn listeners(&mut self, listeners: &[Value]) {
        let rows: Vec<_> = listeners
            .iter()
            .map(|listener| {
                let address = text(listener, "address");
                let key = listener["key"].as_str().unwrap_or("(no key)");
                // What would only say the same again is left out; "unknown" is no name.
                let name = Some(text(listener, "name"));
                let name = name.filter(|name| ![key, address, "unknown"].contains(name));
                let address = Some(address).filter(|address| *address != key);
                [
                    key.to_owned(),
                    name.unwrap_or_default().to_owned(),
                    [text(listener, "kind"), address.unwrap_or_default()]
                        .join(" ")
                        .trim_end()
                        .to_owned(),
                    text(listener, "origin").to_owned(),
                ]
            })
            .collect();
        let widths = widths(&rows);
        for (index, row) in rows.iter().enumerate() {
            let label = if index == 0 { "Listeners" } else { "" };
            let colon = if index == 0 { ':' } else { ' ' };
            let line = format!("{label:>INDENTATION$}{colon} {}", columns(row, &widths));
            let line = self.style.cut(line.trim_end());
            self.line(&line);
        }
    }

    fn verdict(&mut self, status: &Value, now: u64) {
        let last = &status["lastVerdict"];
        let reason = last["reason"].as_str();
        if let Some(reason) = reason {
            let then = last["timeUSec"].as_u64().unwrap_or(now);
            let ago = Rough(Duration::from_micros(now.saturating_sub(then)));
            let tone = match text(last, "verdict") {
                "serving" => Tone::Good,
                "failed" => Tone::Bad,
                _ => Tone::Plain,
            };
            self.labelled("Verdict", tone, &format!("{reason} ({ago} ago)"));
        }
        let failure = status["lastFailure"].as_str();
        // Mostly the verdict says so already.
        let said = |failure: &&str| !reason.is_some_and(|reason| reason.contains(*failure));
        if let Some(failure) = failure.filter(said) {
            self.labelled("Failure", Tone::Bad, failure);
        }
    }
}

/// One line of `starterctl list`: name, state, generation, pid, age, draining, last reload.
#[must_use]
pub fn list_row(name: &str, status: &Value) -> [String; 7] {
    let status = &escaped::answer(status);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let workers = array(status, "workers");
    let serving = workers.iter().find(|worker| worker["state"] == "serving");
    let draining = workers
        .iter()
        .filter(|worker| worker["state"] == "draining");
    let state = if status["stopping"] == true {
        "stopping"
    } else if status["swapping"] == true {
        "swapping"
    } else if serving.is_some() {
        "serving"
    } else {
        "down"
    };
    let verdict = status["lastVerdict"]["verdict"].as_str();
    [
        escaped::text(name),
        state.to_owned(),
        or_dash(serving.map(|worker| worker["generation"].to_string())),
        or_dash(serving.map(|worker| worker["pid"].to_string())),
        or_dash(serving.map(|worker| span(&worker["ageUSec"]))),
        draining.count().to_string(),
        or_dash(verdict.map(|verdict| {
            if verdict == "serving" {
                "good"
            } else {
                verdict
            }
            .to_owned()
        })),
    ]
}

/// The lines of `starterctl list` as a table with a head.
#[must_use]
pub fn table(rows: &[[String; 7]], style: Style) -> String {
    let head = [
        "NAME",
        "STATE",
        "GENERATION",
        "PID",
        "AGE",
        "DRAINING",
        "LAST RELOAD",
    ];
    let mut all = vec![head.map(str::to_owned)];
    all.extend_from_slice(rows);
    let widths = widths(&all);
    let mut out = String::new();
    for row in &all {
        out.push_str(&style.cut(columns(row, &widths).trim_end()));
        out.push('\n');
    }
    out
}

fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|column| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    })
}

fn columns<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let cells = row.iter().zip(widths).filter(|(_, width)| **width > 0);
    let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join("  ")
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

pub(super) fn span(micros: &Value) -> String {
    Rough(Duration::from_micros(micros.as_u64().unwrap_or(0))).to_string()
}

/// As systemctl shows memory: 24.1M.
fn bytes(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut letter = "B";
    for (index, name) in ["K", "M", "G", "T"].iter().enumerate() {
        let next = 1_u64 << (10 * (index + 1));
        if bytes < next {
            break;
        }
        (unit, letter) = (next, name);
    }
    let tenths = bytes.saturating_mul(10) / unit;
    match letter {
        "B" => format!("{bytes}B"),
        _ => format!("{}.{}{letter}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use tests::sample;
