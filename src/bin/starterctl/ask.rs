//! One question and its answer; on a terminal with a live line while it is awaited.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::poll;
use sd_starter::cli::answer::{Code, Failure, judge};
use sd_starter::cli::client::{NoAnswer, call};
use sd_starter::cli::control::Target;
use sd_starter::cli::progress;
use sd_starter::cli::style::Style;
use sd_starter::cli::whereabouts::Whereabouts;
use sd_starter::protocol::duration::Limit;
use serde::Serialize;
use serde_json::{Value, json};

use crate::terminal::{complain, say, stderr_style};

/// A wait that is over sooner needs no explanation.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the live line is written anew.
const EVERY: Duration = Duration::from_secs(1);

/// For the live line an answer is not worth a longer wait.
const GLANCE: Duration = Duration::from_millis(500);

/// How long SIGTERM may take to reach us after the supervisor got its own, in milliseconds: systemd
/// sends both in one go.
const STOP_GRACE: u16 = 1000;

/// What is asked of whom.
pub(crate) struct Question<'a> {
    method: &'static str,
    parameters: Value,
    target: &'a Target,
    timeout: Limit,
    json: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        method: &'static str,
        parameters: &impl Serialize,
        target: &'a Target,
    ) -> Self {
        Self {
            method,
            parameters: json!(parameters),
            target,
            timeout: Limit::Never,
            json: false,
        }
    }

    pub(crate) fn by(mut self, timeout: Limit, json: bool) -> Self {
        self.timeout = timeout;
        self.json = json;
        self
    }
}

/// The moment at which a limit that begins now has passed.
pub(crate) fn deadline(limit: Limit, now: Instant) -> Option<Instant> {
    limit.duration().and_then(|limit| now.checked_add(limit))
}

/// Asks, and says what came of it.
pub(crate) fn ask(
    whereabouts: &Whereabouts,
    question: Question<'_>,
    words: impl FnOnce(&Value) -> String,
) -> Code {
    match answer(whereabouts, &question) {
        Ok(reply) if question.json => {
            say(&reply.to_string());
            Code::Done
        }
        Ok(reply) => {
            let text = words(&reply);
            if !text.is_empty() {
                say(&text);
            }
            Code::Done
        }
        Err(failure) => {
            let code = fail(&failure, question.json);
            if failure.is_stopping() && std::env::var_os("MAINPID").is_some() {
                // Most likely the unit stops, and our SIGTERM is on its way: exit 0 by that, or the
                // unit ends as failed.
                let _ = poll(&mut [], STOP_GRACE);
            }
            code
        }
    }
}

/// Says why there is no good answer: to people in any case, to a script if it reads JSON.
pub(crate) fn fail(failure: &Failure, json: bool) -> Code {
    if json {
        say(&failure.json.to_string());
    }
    complain(&failure.line);
    failure.code
}

fn answer(whereabouts: &Whereabouts, question: &Question<'_>) -> Result<Value, Failure> {
    let no_answer = |error: NoAnswer| Failure::from(&error);
    let socket = whereabouts.find(question.target).map_err(no_answer)?;
    let started = Instant::now();
    let until = deadline(question.timeout, started);
    let mut live = LiveLine::new(stderr_style(), started);
    let tick = || live.tick(&socket);
    let reply = call(&socket, question.method, &question.parameters, until, tick);
    live.erase();
    judge(reply.map_err(no_answer)?)
}

/// A line on a terminal's stderr that is written over and over, and gone in the end.
struct LiveLine {
    style: Style,
    started: Instant,
    next: Instant,
    shown: bool,
}

impl LiveLine {
    fn new(style: Style, started: Instant) -> Self {
        Self {
            style,
            started,
            next: started + PATIENCE,
            shown: false,
        }
    }

    /// Writes the line if it is time; until when to wait quietly then.
    fn tick(&mut self, socket: &Path) -> Option<Instant> {
        if !self.style.live {
            return None;
        }
        let now = Instant::now();
        if now >= self.next {
            self.next = now + EVERY;
            let status = call(socket, "GetStatus", &json!({}), Some(now + GLANCE), || None);
            if let Ok(Ok(status)) = status.map(judge) {
                let line = progress::line(&status, now.saturating_duration_since(self.started));
                // One column stays free, or some terminals begin a new line.
                let width = self.style.width.map(|width| width.saturating_sub(1));
                let line = Style {
                    width,
                    ..self.style
                }
                .cut(&line);
                self.shown = true;
                write_over(&line);
            }
        }
        Some(self.next)
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.shown) {
            write_over("");
        }
    }
}

/// Back to the first column, the text, and nothing behind it. That nobody reads it is no error.
fn write_over(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "\r{text}\x1b[K");
    let _ = stderr.flush();
}
