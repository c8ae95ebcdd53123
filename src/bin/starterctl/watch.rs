//! `starterctl status --watch`: the status again whenever something happens.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use sd_starter::cli::answer::{Code, Failure, judge};
use sd_starter::cli::client::{Connection, NoAnswer, call};
use sd_starter::cli::control::Status;
use sd_starter::cli::escaped;
use sd_starter::cli::status_view;
use sd_starter::cli::style::Style;
use sd_starter::cli::whereabouts::Whereabouts;
use sd_starter::protocol::monitor_event::{EXITING, MonitorEvent, WATCHING};
use serde_json::{Value, json};

use crate::ask::{deadline, fail};
use crate::terminal::{lines, now_usec, stdout_style};

/// Ages move on, also when nothing happens.
const EVERY: Duration = Duration::from_secs(1);

/// Events that come together are shown together.
const TOGETHER: Duration = Duration::from_millis(50);

/// How many events are remembered, should the terminal be so high.
const MOST_EVENTS: usize = 100;

/// What is to be seen, and where.
struct View<'a> {
    name: &'a str,
    json: bool,
    style: Style,
    /// What has happened: the time of day in UTC, and a line.
    events: VecDeque<String>,
}

/// Shows it until the supervisor ends, or nobody looks any more.
pub(crate) fn watch(whereabouts: &Whereabouts, status: &Status, name: &str) -> Code {
    match follow(whereabouts, status, name) {
        Ok(()) => Code::Done,
        Err(failure) => fail(&failure, status.json),
    }
}

fn follow(whereabouts: &Whereabouts, status: &Status, name: &str) -> Result<(), Failure> {
    let no_answer = |error: NoAnswer| Failure::from(&error);
    let patience = || deadline(status.timeout, Instant::now());
    let socket = whereabouts.find(&status.target).map_err(no_answer)?;
    let mut events = Connection::open(&socket, patience()).map_err(no_answer)?;
    events.subscribe("Monitor").map_err(no_answer)?;
    let style = stdout_style();
    let mut view = View {
        name,
        json: status.json,
        style,
        events: VecDeque::new(),
    };
    loop {
        let status = match current(&socket, patience()) {
            Ok(status) => status,
            // Who has gone while we were about to ask has said so before.
            Err(_) if has_ended(&mut events) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if !view.show(&status) {
            return Ok(());
        }
        // On a terminal time shows too.
        let mut until = style.live.then(|| Instant::now() + EVERY);
        while let Some(reply) = events.receive(until).map_err(no_answer)? {
            let event: MonitorEvent = match serde_json::from_value(judge(reply)?) {
                Ok(event) => event,
                Err(error) => return Err(no_answer(NoAnswer::Garbled(error.to_string()))),
            };
            if event.event == EXITING {
                return Ok(());
            }
            if event.event != WATCHING {
                view.remember(&event);
                let soon = Instant::now() + TOGETHER;
                until = Some(until.map_or(soon, |until| until.min(soon)));
            }
        }
    }
}

/// Whether the supervisor has said its last word: it was sent before anybody could find it gone.
fn has_ended(events: &mut Connection) -> bool {
    let until = Instant::now() + EVERY;
    while let Ok(Some(reply)) = events.receive(Some(until)) {
        let event = judge(reply)
            .ok()
            .map(serde_json::from_value::<MonitorEvent>);
        if event.is_some_and(|event| event.is_ok_and(|event| event.event == EXITING)) {
            return true;
        }
    }
    false
}

fn current(socket: &Path, until: Option<Instant>) -> Result<Value, Failure> {
    let reply = call(socket, "GetStatus", &json!({}), until, || None);
    judge(reply.map_err(|error| Failure::from(&error))?)
}

impl View<'_> {
    fn remember(&mut self, event: &MonitorEvent) {
        let seconds = event.time_usec / 1_000_000 % 86_400;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let line = format!(
            "{hours:02}:{minutes:02}:{:02}Z {}",
            seconds % 60,
            escaped::text(&event.text)
        );
        self.events.push_back(line);
        if self.events.len() > MOST_EVENTS {
            self.events.pop_front();
        }
    }

    /// Whether somebody has seen it.
    fn show(&self, status: &Value) -> bool {
        let mut text = if self.json {
            format!("{status}\n")
        } else {
            status_view::status(self.name, status, now_usec(), self.style)
        };
        if self.style.live && !self.json {
            let used = text.lines().count() + 2;
            let room = lines().map_or(10, |lines| lines.saturating_sub(used));
            let skipped = self.events.len().saturating_sub(room);
            text.push('\n');
            for event in self.events.iter().skip(skipped) {
                text.push_str(&self.style.cut(event));
                text.push('\n');
            }
            // To the top; then each line with nothing behind it, and nothing below the last.
            text = format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"));
        } else if !self.json {
            text.push('\n');
        }
        let mut stdout = std::io::stdout();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .is_ok()
    }
}
