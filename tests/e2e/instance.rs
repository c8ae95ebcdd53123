//! A supervisor without systemd that has a control socket, and clients for it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::SOON;
use crate::support::process::{Supervisor, command, free_address};
use crate::support::programs;
use crate::support::scratch::Scratch;

/// Our interface.
const INTERFACE: &str = "org.sdstarter.Supervisor";

pub(crate) struct Instance {
    pub(crate) supervisor: Supervisor,
    pub(crate) address: SocketAddr,
    scratch: Scratch,
}

impl Instance {
    /// `sd-starter OPTIONS` with the test worker, whose first generation serves.
    pub(crate) fn start(options: &[&str]) -> Self {
        let scratch = Scratch::new();
        let address = free_address();
        std::fs::write(scratch.join("deploy"), "--ready\n--text v1").expect("a scratch directory");
        let mut start = command(programs::SD_STARTER);
        start
            .args(["--attempts", "1", "--ready", "notify"])
            .args(["--port", &address.to_string(), "--control-socket"])
            .arg(scratch.join("control"))
            .args(options)
            .arg("--")
            .arg(programs::hello())
            .arg("--deploy")
            .arg(scratch.join("deploy"));
        let supervisor = Supervisor::start(&mut start);
        supervisor.wait_for_line("is ready after", SOON);
        Self {
            supervisor,
            address,
            scratch,
        }
    }

    pub(crate) fn deploy(&self, flags: &str) {
        replace(&self.scratch.join("deploy"), flags);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.scratch.join("control")
    }

    /// `starterctl WORDS PATH OPTIONS`, with nothing of ours on its stdin.
    pub(crate) fn ctl(&self, words: &[&str]) -> Command {
        let mut ctl = command(programs::STARTERCTL);
        ctl.args(words)
            .arg("--control-socket")
            .arg(self.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ctl
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.ctl(words).output().expect("starterctl can be started")
    }

    pub(crate) fn status(&self) -> Value {
        Client::connect(&self.socket()).call("GetStatus", json!({}))["parameters"].take()
    }
}

/// A Varlink client that knows nothing of ours.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream.set_read_timeout(Some(SOON)).expect("not zero");
        Self {
            stream,
            input: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, method: &str, parameters: Value, more: bool) {
        let method = format!("{INTERFACE}.{method}");
        let call = json!({ "method": method, "parameters": parameters, "more": more });
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        self.stream.write_all(&bytes).expect("it is listened to");
    }

    /// The next answer; `None` when there will be none.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.input.drain(..=end).collect();
                return Some(serde_json::from_slice(&message[..end]).expect("JSON"));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.input.extend(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // With a timeout on the socket, when we were stopped and went on (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.send(method, parameters, false);
        self.next().expect("an answer")
    }
}

/// Writes the worker's flags to the file that it is told to read them in, whole and at once: a generation
/// may be started at this moment.
pub(crate) fn replace(deploy: &Path, flags: &str) {
    let new = deploy.with_extension("new");
    std::fs::write(&new, flags.replace(" --", "\n--")).expect("a scratch directory");
    std::fs::rename(&new, deploy).expect("a scratch directory");
}

/// A text of a program.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// So long a worker boots that nobody waits for its end.
pub(crate) const VERY_LONG: &str = "--ready --boot-ms 600000";

/// What must be quick is not to take longer.
pub(crate) const QUICK: Duration = Duration::from_millis(200);
