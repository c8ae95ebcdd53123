//! The load client: it counts every way in which a client could notice a swap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::gate::Gate;
use super::held::Held;
use super::http::{Connection, Target};
use super::report::{Kind, Report};

/// Threads that share the new connections: so many may be waiting for their answer at once.
pub(crate) const OPEN_LOOP_THREADS: u64 = 32;
/// A connection that has been idle for longer is not used again: servers close such, and a client that the
/// machine kept waiting must not take that for a failure of theirs.
const REUSE: Duration = Duration::from_millis(500);
/// The longest sleep before a client looks whether it should stop.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// Who sends how much.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Open loop: so many connections a second, one request each, whatever became of those before.
    /// Their latency counts from the moment when they were due, not when a thread got round to them.
    pub(crate) new_per_second: u32,
    /// Connections that are kept alive, each sending all the time.
    pub(crate) keep_alive: usize,
    /// Between two requests of a kept-alive connection.
    pub(crate) keep_alive_pause: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            new_per_second: 200,
            keep_alive: 4,
            keep_alive_pause: Duration::from_millis(5),
        }
    }
}

/// A load that runs until it is stopped.
pub(crate) struct Load {
    target: Target,
    plan: Plan,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    started: Instant,
    stop: AtomicBool,
    tickets: AtomicU64,
    tally: Mutex<Tally>,
    recorded: Condvar,
}

struct Tally {
    total: Report,
    lap: Report,
    lap_started: Instant,
}

impl Load {
    pub(crate) fn start(target: &Target, plan: Plan) -> Self {
        let started = Instant::now();
        let tally = Tally {
            total: Report::default(),
            lap: Report::default(),
            lap_started: started,
        };
        let shared = Arc::new(Shared {
            started,
            stop: AtomicBool::new(false),
            tickets: AtomicU64::new(0),
            tally: Mutex::new(tally),
            recorded: Condvar::new(),
        });
        let mut load = Self {
            target: target.clone(),
            plan,
            shared,
            threads: Vec::new(),
        };
        if plan.new_per_second > 0 {
            let period = Duration::from_secs(1) / plan.new_per_second;
            for _ in 0..OPEN_LOOP_THREADS {
                load.spawn(move |target, shared| open_loop(target, shared, period));
            }
        }
        for _ in 0..plan.keep_alive {
            load.spawn(move |target, shared| keep_alive(target, shared, plan.keep_alive_pause));
        }
        load
    }

    /// Sends a request to `gate`, and returns when a worker has taken it. A failure is counted.
    #[track_caller]
    pub(crate) fn hold(&self, gate: &Gate) -> Held {
        match Held::take(&self.target, gate) {
            Ok(held) => held,
            Err(failure) => {
                self.shared
                    .record(Kind::Held, Instant::now(), Err(failure.clone()));
                panic!("a request to be held: {failure}");
            }
        }
    }

    /// Reads the rest of a held request's answer; its gate must be open. Counted like any other.
    pub(crate) fn finish(&self, held: Held) {
        let (due, result) = (held.due, held.finish());
        self.shared.record(Kind::Held, due, result);
    }

    /// Waits until a request was answered by `generation`.
    #[track_caller]
    pub(crate) fn wait_for_generation(&self, generation: u64, limit: Duration) {
        let seen = |tally: &Tally| {
            let reports = [&tally.total, &tally.lap];
            reports
                .iter()
                .any(|report| report.generations.contains_key(&generation))
        };
        let tally = self.shared.lock();
        let waited = self
            .shared
            .recorded
            .wait_timeout_while(tally, limit, |tally| !seen(tally));
        let (tally, waited) = waited.expect("no thread panics with the lock held");
        let known: Vec<_> = tally.lap.generations.keys().copied().collect();
        drop(tally);
        assert!(
            !waited.timed_out(),
            "generation {generation} answered nothing within {limit:?}; of late: {known:?}"
        );
    }

    /// Waits until `count` requests were answered in the current lap.
    #[track_caller]
    pub(crate) fn wait_for_answers(&self, count: u64, limit: Duration) {
        let few = |tally: &mut Tally| tally.lap.answered() < count;
        let tally = self.shared.lock();
        let waited = self.shared.recorded.wait_timeout_while(tally, limit, few);
        let timed_out = waited
            .expect("no thread panics with the lock held")
            .1
            .timed_out();
        assert!(!timed_out, "fewer than {count} answers within {limit:?}");
    }

    /// The time that its reports go by.
    pub(crate) fn clock(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// What happened since the last lap, or since the start. A request counts for the lap that it was
    /// due in, so a lap holds nothing of what was in flight when it began.
    pub(crate) fn lap(&self) -> Report {
        let mut tally = self.shared.lock();
        let lap = std::mem::take(&mut tally.lap);
        tally.lap_started = Instant::now();
        tally.total.add(&lap);
        lap
    }

    /// Stops, and returns everything since the start.
    pub(crate) fn stop(mut self) -> Report {
        self.finish_threads();
        self.lap();
        let mut report = std::mem::take(&mut self.shared.lock().total);
        report.planned = vec![];
        if self.plan.new_per_second > 0 {
            report.planned.push(Kind::New);
        }
        if self.plan.keep_alive > 0 {
            report.planned.push(Kind::KeepAlive);
        }
        report
    }

    fn spawn(&mut self, client: impl FnOnce(&Target, &Shared) + Send + 'static) {
        let (target, shared) = (self.target.clone(), Arc::clone(&self.shared));
        let run = move || {
            target.network.enter();
            client(&target, &shared);
        };
        self.threads.push(thread::spawn(run));
    }

    fn finish_threads(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a load client does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally
            .lock()
            .expect("no thread panics with the lock held")
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps until `due`; false when told to stop before.
    fn sleep_until(&self, due: Instant) -> bool {
        while !self.stopped() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(STOP_INTERVAL));
        }
        false
    }

    fn record(&self, kind: Kind, due: Instant, result: Result<u64, Failure>) {
        let at = self.started.elapsed();
        let mut tally = self.lock();
        let current = due >= tally.lap_started;
        let report = if current {
            &mut tally.lap
        } else {
            &mut tally.total
        };
        report.record(kind, at, due.elapsed(), result);
        drop(tally);
        self.recorded.notify_all();
    }
}

fn open_loop(target: &Target, shared: &Shared, period: Duration) {
    loop {
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let due = shared.started + period.mul_f64(ticket as f64);
        if !shared.sleep_until(due) {
            return;
        }
        let result = target.connect().and_then(|mut connection| {
            connection.send("/", false)?;
            connection.answer()?.generation()
        });
        shared.record(Kind::New, due, result);
    }
}

fn keep_alive(target: &Target, shared: &Shared, pause: Duration) {
    let mut open: Option<Connection> = None;
    let mut due = Instant::now();
    let mut idle_since = due;
    while shared.sleep_until(due) {
        let kept = open.take().filter(|_| idle_since.elapsed() < REUSE);
        let is_kept = kept.is_some();
        let mut idle = Duration::ZERO;
        let result = kept
            .map_or_else(|| target.connect(), Ok)
            .and_then(|mut connection| {
                let sent = connection.send("/", true);
                idle = idle_since.elapsed();
                sent?;
                let answer = connection.answer()?;
                idle_since = Instant::now();
                open = (!answer.close).then_some(connection);
                answer.generation()
            });
        // It was kept waiting between the look at the clock and the request: the same once more.
        if result.is_err() && is_kept && idle >= REUSE {
            continue;
        }
        shared.record(Kind::KeepAlive, due, result);
        due = Instant::now() + pause;
    }
}
