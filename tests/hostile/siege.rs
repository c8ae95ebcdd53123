//! A supervisor with the test worker behind a port, a control socket, and a load on it; and what it
//! costs.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::SOON;
use crate::support::failure::Class;
use crate::support::http::Target;
use crate::support::load::{Load, Plan};
use crate::support::process::{Supervisor, command, free_address};
use crate::support::programs;
use crate::support::report::Report;
use crate::support::scratch::Scratch;
use crate::support::wait;

pub(crate) struct Siege {
    pub(crate) supervisor: Supervisor,
    pub(crate) address: SocketAddr,
    pub(crate) scratch: Scratch,
    /// The pid of the supervisor itself, which may be a descendant of what was started.
    pub(crate) pid: i32,
}

/// What a process has open, holds and has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) descriptors: usize,
    /// Resident, in KiB.
    pub(crate) memory: u64,
    pub(crate) cpu: Duration,
    pub(crate) zombies: usize,
}

impl Siege {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_as(&[], options, &[])
    }

    /// `WRAPPER... sd-starter OPTIONS -- hello`, serving. `worker` comes before the worker's own
    /// words.
    pub(crate) fn start_as(wrapper: &[&str], options: &[&str], worker: &[&str]) -> Self {
        let scratch = Scratch::new();
        Self::start_in(scratch, wrapper, options, worker)
    }

    pub(crate) fn start_in(
        scratch: Scratch,
        wrapper: &[&str],
        options: &[&str],
        worker: &[&str],
    ) -> Self {
        let address = free_address();
        std::fs::write(scratch.join("deploy"), "--ready\n--text v1").expect("our directory");
        // Copies, where another user is to run them.
        let copy = scratch.join("sd-starter");
        let (program, hello) = if copy.exists() {
            (copy, scratch.join("hello"))
        } else {
            (programs::SD_STARTER.into(), programs::hello())
        };
        let program = program.to_str().expect("UTF-8");
        let programs = [wrapper, &[program]].concat();
        let (first, rest) = programs.split_first().expect("one at least");
        let mut start = command(first);
        start
            .args(rest)
            .args(["--ready", "notify", "--attempts", "1"]);
        start.args(["--port", &address.to_string(), "--control-socket"]);
        start
            .arg(scratch.join("control"))
            .args(options)
            .arg("--")
            .args(worker);
        start.arg(hello).arg("--deploy").arg(scratch.join("deploy"));
        let supervisor = Supervisor::start(&mut start);
        wait::until("an answer", SOON, || Target::inet(address).get("/").is_ok());
        let pid = supervisor.pid();
        let siege = Self {
            supervisor,
            address,
            scratch,
            pid,
        };
        // Who answers may do so before the supervisor has heard that it is ready: what is counted from here
        // on has nothing of the start in it.
        siege.settle();
        siege
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.scratch.join("control")
    }

    pub(crate) fn target(&self) -> Target {
        Target::inet(self.address)
    }

    pub(crate) fn load(&self) -> Load {
        let plan = Plan {
            new_per_second: 100,
            keep_alive: 2,
            keep_alive_pause: Duration::from_millis(10),
        };
        let load = Load::start(&self.target(), plan);
        load.wait_for_answers(20, SOON);
        load
    }

    /// Sets how the next generation behaves.
    pub(crate) fn deploy(&self, flags: &str) {
        let new = self.scratch.join("deploy.new");
        std::fs::write(&new, flags.replace(" --", "\n--")).expect("our directory");
        std::fs::rename(&new, self.scratch.join("deploy")).expect("our directory");
    }

    #[track_caller]
    pub(crate) fn version(&self) -> String {
        let answer = self.target().get("/").and_then(|answer| answer.version());
        answer.expect("an answer")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).expect("it lives");
    }

    /// One call of the control socket, and its answer. When it returns, nothing of it is left to be done.
    pub(crate) fn call(&self, method: &str, parameters: &Value) -> Value {
        let mut client = Client::connect(&self.control());
        client.send(method, parameters);
        let answer = client.answer();
        client.leave();
        answer
    }

    /// Asks for a reload and waits for the verdict: the generation that serves, or the reason.
    pub(crate) fn reload(&self) -> Result<u64, String> {
        verdict(&self.call("Reload", &json!({})))
    }

    pub(crate) fn status(&self) -> Value {
        self.call("GetStatus", &json!({}))["parameters"].take()
    }

    /// The newest generation's number.
    pub(crate) fn newest(&self) -> u64 {
        self.status()["newest"].as_u64().expect("a number")
    }

    /// The pid of the one that serves.
    pub(crate) fn serving(&self) -> Option<i32> {
        let workers = self.status()["workers"].take();
        let mut list = workers.as_array()?.iter();
        let serving = list.find(|seen| seen["state"] == "serving")?;
        serving["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits until one generation is there and nothing is under way.
    #[track_caller]
    pub(crate) fn settle(&self) {
        wait::until("one generation, serving", SOON, || {
            let status = self.status();
            let list = status["workers"].as_array();
            status["swapping"] == false
                && list.is_some_and(|list| list.len() == 1 && list[0]["state"] == "serving")
        });
    }

    pub(crate) fn cost(&self) -> Cost {
        cost(self.pid)
    }

    pub(crate) fn log_lines(&self) -> usize {
        self.supervisor.stderr().lines().count()
    }

    #[track_caller]
    pub(crate) fn ends_well(mut self) {
        self.supervisor.signal(Signal::SIGTERM);
        assert_eq!(self.supervisor.wait_for_code(SOON), 0);
    }
}

/// What a reload came to.
pub(crate) fn verdict(answer: &Value) -> Result<u64, String> {
    let parameters = &answer["parameters"];
    match answer.get("error") {
        None => Ok(parameters["generation"].as_u64().expect("a number")),
        Some(error) => Err(format!("{error}: {parameters}")),
    }
}

/// Requests of a load that failed, of whatever class.
pub(crate) fn lost(report: &Report) -> u64 {
    Class::ALL.iter().map(|class| report.failed(*class)).sum()
}

pub(crate) fn cost(pid: i32) -> Cost {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let status = read("status").expect("it lives");
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    // The time on a processor, in nanoseconds (Documentation/scheduler/sched-stats).
    let schedstat = read("schedstat").expect("it lives");
    let cpu = schedstat.split_whitespace().next();
    let cpu = cpu
        .and_then(|word| word.parse().ok())
        .map(Duration::from_nanos);
    Cost {
        descriptors: descriptors.count(),
        memory: memory.expect("a number"),
        cpu: cpu.expect("a number"),
        zombies: zombies(pid),
    }
}

fn zombies(parent: i32) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap_or_default();
    let is_zombie = |pid: &&str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    children.split_whitespace().filter(is_zombie).count()
}

/// A Varlink client that knows nothing of ours.
pub(crate) struct Client(UnixStream);

impl Client {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream.set_read_timeout(Some(SOON * 3)).expect("not zero");
        Self(stream)
    }

    pub(crate) fn send(&mut self, method: &str, parameters: &Value) {
        self.try_send(method, parameters)
            .expect("it is listened to");
    }

    /// As above; it may have been turned away.
    pub(crate) fn try_send(&mut self, method: &str, parameters: &Value) -> std::io::Result<()> {
        let method = format!("org.sdstarter.Supervisor.{method}");
        let call = json!({ "method": method, "parameters": parameters });
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        self.0.write_all(&bytes)
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Value {
        self.next(SOON * 3).expect("an answer")
    }

    /// Hangs up, and waits until the other side has done so, too.
    pub(crate) fn leave(mut self) {
        self.0.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(self.next(SOON * 3), None);
    }

    /// The next answer; `None` when it hangs up.
    #[track_caller]
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Value> {
        self.0.set_read_timeout(Some(limit)).expect("not zero");
        let mut text = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(0) => return None,
                Ok(_) if byte == [0] => {
                    return Some(serde_json::from_slice(&text).expect("JSON"));
                }
                Ok(_) => text.push(byte[0]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }
}

/// Runs a tool to its end, which must be a good one.
#[track_caller]
pub(crate) fn tool(line: &[&str]) -> String {
    let output = Command::new(line[0]).args(&line[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{line:?}: {error}"));
    assert!(output.status.success(), "{line:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
