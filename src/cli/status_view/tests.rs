//! Views of a status that has something of everything.

use super::*;
use serde_json::json;

const NOW: u64 = 1_000_000_000;

pub(crate) fn sample() -> Value {
    json!({
        "pid": 41, "version": "0.1.0", "command": ["/srv/app", "--fast"], "readiness": "notify",
        "statusText": "serving", "uptimeUSec": 7_200_000_000_u64,
        "serving": 7, "newest": 8, "swapping": true, "stopping": false,
        "workers": [
            { "generation": 6, "pid": 4200, "state": "draining", "ageUSec": 90_000_000,
              "stateUSec": 12_000_000, "deadlineUSec": 48_000_000, "status": null,
              "memory": 900, "memoryOf": "rss", "cpuUSec": 1_500_000, "processes": 1 },
            { "generation": 7, "pid": 4242, "state": "serving", "ageUSec": 34_000_000,
              "stateUSec": 33_000_000, "deadlineUSec": null, "status": "accepting",
              "memory": 25_270_000, "memoryOf": "cgroup", "cpuUSec": 12_000, "processes": 5 },
            { "generation": 8, "pid": 4300, "state": "booting", "ageUSec": 2_000_000,
              "stateUSec": null, "deadlineUSec": 88_000_000, "status": null,
              "memory": null, "memoryOf": null, "cpuUSec": null, "processes": null },
        ],
        "listeners": [
            { "key": "8080", "name": "http", "address": "0.0.0.0:8080", "kind": "tcp", "fd": 3,
              "origin": "adopted" },
            { "key": null, "name": "log", "address": "@x", "kind": "datagram", "fd": 4,
              "origin": "bound" },
        ],
        "lastVerdict": { "verdict": "failed", "timeUSec": NOW - 5_000_000,
            "reason": "generation 5 failed: exited with status 3; generation 4 keeps serving" },
        "lastFailure": "generation 5 failed: exited with status 3",
        "reloadsFailed": 1, "restarts": 0,
    })
}

#[test]
fn everything_is_there_in_plain_text() {
    let expected = "\
* app: serving generation 7 (pid 4242); a new generation is on its way
     Command: /srv/app --fast
  Supervisor: pid 41, sd-starter 0.1.0, up for 2 h, --ready notify
     Serving: generation 7 (pid 4242), 34 s old, 24.0M memory (cgroup), 12 ms CPU, 5 processes
              \"accepting\"
    Starting: generation 8 (pid 4300), not ready after 2 s, 88 s left
    Draining: generation 6 (pid 4200), leaving for 12 s, 90 s old, killed in 48 s, 900B memory (rss), 1.5 s CPU
   Listeners: 8080      http  tcp 0.0.0.0:8080  adopted
              (no key)  log   datagram @x       bound
     Verdict: generation 5 failed: exited with status 3; generation 4 keeps serving (5 s ago)
      So far: 1 failed reload, 0 unexpected deaths
";
    assert_eq!(status("app", &sample(), NOW, Style::default()), expected);
}

#[test]
fn every_line_fits_its_terminal() {
    let style = Style {
        width: Some(40),
        ..Style::default()
    };
    let shown = status("app", &sample(), NOW, style);
    for line in shown.lines() {
        assert!(line.chars().count() <= 40, "{line}");
    }
    assert!(
        shown.contains("keeps serving"),
        "a verdict is never cut:\n{shown}"
    );
    let colours = Style {
        colour: true,
        ..Style::default()
    };
    let shown = status("app", &sample(), NOW, colours);
    assert!(shown.contains("\x1b[1;31mgeneration 5 failed"), "{shown}");
}

#[test]
fn a_terminal_obeys_nobody_elses_words() {
    let evil = "\x1b[2J\u{9b}1A\n     Verdict: good\u{202e}\r";
    let mut answer = sample();
    answer["workers"][1]["status"] = evil.into();
    answer["command"][1] = evil.into();
    answer["lastFailure"] = evil.into();
    answer["lastVerdict"]["reason"] = evil.into();
    answer["listeners"][0]["address"] = evil.into();
    let shown = status(evil, &answer, NOW, Style::default());
    let lines = status("app", &sample(), NOW, Style::default());
    assert_eq!(shown.lines().count(), lines.lines().count(), "{shown}");
    let row = table(&[list_row(evil, &answer)], Style::default());
    let line = super::super::progress::line(&answer, Duration::ZERO);
    assert_eq!((row.lines().count(), line.lines().count()), (2, 1));
    for text in [&shown, &row, &line] {
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(obeyed), "{text:?}");
    }
    assert!(shown.contains("\"\\u{1b}[2J\\u{9b}1A\\n"), "{shown}");
}

#[test]
fn what_is_not_there_is_not_made_up() {
    let shown = status("x", &json!({}), NOW, Style::default());
    assert!(
        shown.starts_with("* x: no generation is serving\n"),
        "{shown}"
    );
    assert_eq!(list_row("x", &json!({}))[1..5], ["down", "-", "-", "-"]);
}

#[test]
fn a_list_is_a_table() {
    let rows = [list_row("app", &sample())];
    let expected = "\
NAME  STATE     GENERATION  PID   AGE   DRAINING  LAST RELOAD
app   swapping  7           4242  34 s  1         failed
";
    assert_eq!(table(&rows, Style::default()), expected);
}

#[test]
fn memory_reads_as_systemctls() {
    let shown = [0, 1023, 1024, 1_300_000, 5 << 30].map(bytes);
    assert_eq!(shown, ["0B", "1023B", "1.0K", "1.2M", "5.0G"]);
}
