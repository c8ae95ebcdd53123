//! A running supervisor of whatever make, and what proc(5) tells of it.
#![expect(
    unsafe_code,
    reason = "the time of exec is noted between fork and exec"
)]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::contender::{Contender, Place, Row, control};
use crate::log::{LENGTH, Log, Record, What, now};

/// A signal that has done nothing for so long was lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// So many in a row are not.
const TRIES: u32 = 10;
/// A supervisor is given so long to end.
const END_LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Instance {
    contender: Contender,
    pub(crate) log: Log,
    child: Child,
    /// Where one that can answer is asked.
    control: Option<PathBuf>,
}

impl Instance {
    /// Starts it on so many of its ports. With `serve` the worker answers HTTP.
    pub(crate) fn start(row: Row, place: &Place, sockets: u16, serve: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("i{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let log = Log::create(place.scratch.join(format!("{tag}.log")));
        let mut command = row.contender.command(place, &row.ports(sockets), &tag);
        command
            .env("BENCH_LOG", log.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if serve {
            command.env("BENCH_SERVE", "1");
        }
        let mut fifo = log.file().try_clone().expect("a spare descriptor");
        let note_exec = move || {
            // A bench that dies takes what it has started with it.
            // SAFETY: prctl(2) with numbers touches no memory.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
            // Whoever called us may have left something open, in the midst of the sockets' numbers.
            let flag = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
            // SAFETY: close_range(2) with numbers touches no memory.
            unsafe { libc::close_range(3, libc::c_uint::MAX, flag) };
            let mut record = [0; LENGTH];
            record[0] = What::Exec.letter();
            record[8..16].copy_from_slice(&now().to_ne_bytes());
            fifo.write_all(&record)
        };
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(note_exec) };
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            contender: row.contender,
            control: matches!(row.contender, Contender::Ours | Contender::Build(..))
                .then(|| control(place, &tag)),
            log,
            child,
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Tells it to reload.
    pub(crate) fn ask(&self) {
        self.signal(self.contender.reload_signal());
    }

    /// Tells it to reload until it does: when, and its worker's beginning. (Circus loses a signal
    /// that comes while it has an earlier one's work to do.)
    pub(crate) fn reload(&mut self) -> (u64, Record) {
        self.log.clear();
        for _ in 0..TRIES {
            let asked = now();
            self.ask();
            if let Some(main) = self.log.take_within(What::Main, PATIENCE) {
                return (asked, main);
            }
        }
        panic!("{}: does not reload", self.contender.name());
    }

    /// Reloads, and waits until the old worker was told to leave: where somebody answers, so that no
    /// reload is gathered with the next. No process is started for that, as none is to send a signal.
    pub(crate) fn reload_and_wait(&mut self) {
        match &self.control {
            Some(socket) => {
                self.log.clear();
                let answer = call_reload(socket).expect("it listens");
                let success = answer.starts_with(r#"{"parameters""#);
                assert!(success, "{}: {answer}", self.contender.name());
            }
            None => {
                self.reload();
                self.log.take(What::Ready);
                self.log.take(What::Told);
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("our child");
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        // More than once, because start_server loses a signal that comes at the wrong moment.
        let started = Instant::now();
        let mut asked = 0;
        while self.child.try_wait().expect("our child").is_none() {
            let waited = started.elapsed();
            assert!(
                waited < END_LIMIT,
                "{}: does not end",
                self.contender.name()
            );
            if waited.as_secs() >= asked {
                self.signal(Signal::SIGTERM);
                asked += 1;
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Kibibytes of its memory: proportional set size, and private dirty pages.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let rollup = self.proc("smaps_rollup");
        let row = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0.0)
        };
        (row("Pss:"), row("Private_Dirty:"))
    }

    /// Nanoseconds of CPU time of all its threads.
    pub(crate) fn cpu(&self) -> u64 {
        let time = |text: String| text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        self.threads("schedstat").filter_map(time).sum()
    }

    /// How often any of its threads has left a processor: each wake-up is followed by one.
    pub(crate) fn switches(&self) -> u64 {
        let count = |text: String| -> u64 {
            let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
            let numbers =
                lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            numbers.sum()
        };
        self.threads("status").map(count).sum()
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads("status").count()
    }

    pub(crate) fn descriptor_count(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    fn threads(&self, file: &'static str) -> impl Iterator<Item = String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()));
        let tasks = tasks.expect("the supervisor lives").flatten();
        tasks.filter_map(move |task| fs::read_to_string(task.path().join(file)).ok())
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid());
        fs::read_to_string(path).expect("the supervisor lives")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Asks for a reload over Varlink, as starterctl does; the answer, which comes when it is done.
fn call_reload(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"{\"method\":\"org.sdstarter.Supervisor.Reload\",\"parameters\":{}}\0")?;
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(0, &mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
