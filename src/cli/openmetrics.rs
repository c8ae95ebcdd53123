//! `starterctl status --openmetrics`: the OpenMetrics text format, version 1.0.
//!
//! It is also what the textfile collector of Prometheus' node exporter reads, which does not know
//! `# UNIT` and `# EOF` and skips them as comments. The label is `name`, not `instance`: that one
//! is the scraper's own.

use std::fmt::Write as _;

use serde_json::Value;

/// The metrics of one instance.
#[must_use]
pub fn render(name: &str, status: &Value) -> String {
    let mut page = Page {
        labels: format!("name=\"{}\"", escaped(name)),
        out: String::new(),
    };
    let number = |value: &Value| value.as_u64().map(|number| number.to_string());
    let seconds = |value: &Value| value.as_u64().map(in_seconds);
    let flag = |is_so: bool| Some(u8::from(is_so).to_string());
    let workers = status["workers"].as_array().map(Vec::as_slice);
    let workers = workers.unwrap_or_default();
    let draining = || {
        workers
            .iter()
            .filter(|worker| worker["state"] == "draining")
    };
    let oldest = draining()
        .filter_map(|worker| worker["stateUSec"].as_u64())
        .max();
    let verdict = &status["lastVerdict"];
    let serving = workers.iter().find(|worker| worker["state"] == "serving");

    let generation = number(&status["serving"]).or_else(|| Some("0".to_owned()));
    page.gauge(
        "generation",
        "",
        "The generation that serves; 0 when none does.",
        generation,
    );
    let age = serving.and_then(|worker| seconds(&worker["ageUSec"]));
    page.gauge(
        "generation_age",
        "seconds",
        "How old the serving generation is.",
        age,
    );
    page.gauge(
        "swapping",
        "",
        "Whether a new generation is on its way.",
        flag(status["swapping"] == true),
    );
    page.gauge(
        "last_reload_success",
        "",
        "Whether the last reload ended with a new generation that serves.",
        verdict["verdict"]
            .as_str()
            .and_then(|verdict| flag(verdict == "serving")),
    );
    page.gauge(
        "last_reload_timestamp",
        "seconds",
        "When the last reload ended.",
        seconds(&verdict["timeUSec"]),
    );
    page.counter(
        "reloads_failed",
        "Reloads that failed.",
        number(&status["reloadsFailed"]),
    );
    page.counter(
        "restarts",
        "Serving generations that died by themselves.",
        number(&status["restarts"]),
    );
    page.gauge(
        "draining_generations",
        "",
        "Old generations that have not left yet.",
        Some(draining().count().to_string()),
    );
    page.gauge(
        "draining_oldest_age",
        "seconds",
        "For how long the oldest of them has been leaving; 0 when there is none.",
        Some(in_seconds(oldest.unwrap_or(0))),
    );
    page.family(
        "memory",
        "gauge",
        "bytes",
        "Memory of a generation's processes.",
    );
    for worker in workers {
        let (Some(memory), Some(generation)) =
            (number(&worker["memory"]), number(&worker["generation"]))
        else {
            continue;
        };
        let state = worker["state"].as_str().unwrap_or_default();
        let labels = format!(",generation=\"{generation}\",state=\"{}\"", escaped(state));
        page.sample("memory_bytes", &labels, &memory);
    }
    page.out.push_str("# EOF\n");
    page.out
}

struct Page {
    labels: String,
    out: String,
}

impl Page {
    /// A gauge; without a value it is left out whole.
    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: Option<String>) {
        let Some(value) = value else { return };
        self.family(name, "gauge", unit, help);
        let name = if unit.is_empty() {
            name.to_owned()
        } else {
            format!("{name}_{unit}")
        };
        self.sample(&name, "", &value);
    }

    fn counter(&mut self, name: &str, help: &str, value: Option<String>) {
        let Some(value) = value else { return };
        self.family(name, "counter", "", help);
        self.sample(&format!("{name}_total"), "", &value);
    }

    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        let name = if unit.is_empty() {
            format!("sd_starter_{name}")
        } else {
            format!("sd_starter_{name}_{unit}")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.out, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: &str) {
        let all = &self.labels;
        let _ = writeln!(self.out, "sd_starter_{name}{{{all}{labels}}} {value}");
    }
}

/// Exactly, without floating point.
fn in_seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::status_view::sample;
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    /// The rules of the format that a text like ours can break.
    fn check(text: &str) {
        let mut families = BTreeSet::new();
        let mut family = String::new();
        let mut kind = String::new();
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        for line in text.trim_end_matches("# EOF\n").lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (word, name, rest) = (words.next(), words.next(), words.next());
                let (name, rest) = (name.expect("a name"), rest.expect("more"));
                match word {
                    Some("TYPE") => {
                        assert!(families.insert(name.to_owned()), "{name} comes twice");
                        (family, kind) = (name.to_owned(), rest.to_owned());
                    }
                    Some("UNIT") => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                    Some("HELP") => assert!(!rest.is_empty()),
                    other => panic!("{other:?}"),
                }
                assert_eq!(name, family, "families do not interleave");
                continue;
            }
            let (name, rest) = line.split_once('{').expect("labels");
            let (labels, value) = rest.rsplit_once("} ").expect("a value");
            let suffix = if kind == "counter" { "_total" } else { "" };
            assert_eq!(name, format!("{family}{suffix}"));
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(labels.starts_with("name=\""), "{line}");
        }
    }

    #[test]
    fn every_figure_is_there() {
        let text = render("app", &sample());
        check(&text);
        for line in [
            "sd_starter_generation{name=\"app\"} 7",
            "sd_starter_last_reload_success{name=\"app\"} 0",
            "sd_starter_last_reload_timestamp_seconds{name=\"app\"} 995.000000",
            "sd_starter_reloads_failed_total{name=\"app\"} 1",
            "sd_starter_restarts_total{name=\"app\"} 0",
            "sd_starter_draining_generations{name=\"app\"} 1",
            "sd_starter_draining_oldest_age_seconds{name=\"app\"} 12.000000",
            "sd_starter_memory_bytes{name=\"app\",generation=\"7\",state=\"serving\"} 25270000",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_never_happened_is_left_out() {
        let text = render("a\"b\\c\n", &json!({ "workers": [], "reloadsFailed": 0 }));
        check(&text);
        assert!(!text.contains("last_reload"), "{text}");
        assert!(
            text.contains("sd_starter_generation{name=\"a\\\"b\\\\c\\n\"} 0"),
            "{text}"
        );
    }
}
