//! What clients notice: the first answer of a new generation, and latencies under load.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::booted::{Booted, RESTART, RESTART_PORT};
use crate::contender::{Contender, Place, Row};
use crate::instance::{Instance, PATIENCE};
use crate::log::What;
use crate::metric::Metric;
use crate::options::Effort;
use crate::support::failure::Class;
use crate::support::http::Target;
use crate::support::load::{Load, Plan};
use crate::support::report::Report;
use crate::support::rig::Rig;
use crate::support::running::Running;
use crate::support::wait;

/// For a server to answer, or to answer anew.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two questions who answers.
const POLL: Duration = Duration::from_micros(200);
/// The others do a fifth of our laps: they are there to be compared, not to be proven.
const LAPS_OF_OTHERS: usize = 5;

/// Somebody who serves.
struct Lane<'a> {
    name: &'static str,
    laps: usize,
    target: Target,
    how: How<'a>,
}

enum How<'a> {
    /// By its signal, and the records say when it is done.
    Records(Instance),
    /// By its signal, and its answers say when it is done.
    Answers(Instance),
    Restart(&'a Rig),
}

pub(crate) fn measure(
    book: &mut Book,
    place: &Place,
    rows: &[Row],
    booted: &Booted,
    effort: &Effort,
) {
    let mut lanes: Vec<_> = rows
        .iter()
        .map(|row| Lane::start(*row, place, effort))
        .collect();
    lanes.push(Lane {
        name: RESTART,
        laps: effort.laps.div_ceil(LAPS_OF_OTHERS),
        target: booted.rig.tcp(RESTART_PORT),
        how: How::Restart(&booted.rig),
    });
    for lane in &lanes {
        wait::until("an answer", LIMIT, || lane.answerer().is_some());
    }
    // start_server counts a worker as started after its interval.
    sleep(Duration::from_millis(1200));
    for _ in 0..effort.answers {
        for lane in &mut lanes {
            lane.forget();
            let took = lane.first_answer();
            book.add(Metric::Answer, lane.name, took.as_secs_f64() * 1e3);
        }
    }
    for round in 0..effort.laps {
        for lane in lanes.iter_mut().filter(|lane| round < lane.laps) {
            lane.forget();
            let (quiet, _) = lane.lap(effort.lap, None);
            let (busy, reloads) = lane.lap(effort.lap, Some(effort.pause));
            let [quiet_p99, busy_p99] =
                [&quiet, &busy].map(|report| report.percentile(99).as_secs_f64() * 1e3);
            let lost: u64 = Class::ALL.iter().map(|class| busy.failed(*class)).sum();
            for (metric, value) in [
                (Metric::P99Quiet, quiet_p99),
                (Metric::P99Reloads, busy_p99),
                (Metric::P99Ratio, busy_p99 / quiet_p99),
                (Metric::Reloads, f64::from(reloads)),
                (Metric::Lost, lost as f64),
            ] {
                book.add(metric, lane.name, value);
            }
        }
    }
    for lane in lanes {
        match lane.how {
            How::Records(instance) | How::Answers(instance) => instance.stop(),
            How::Restart(_) => {}
        }
    }
}

impl<'a> Lane<'a> {
    fn start(row: Row, place: &Place, effort: &Effort) -> Self {
        let instance = Instance::start(row, place, 1, true);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, row.ports(1)[0]));
        let is_ours = matches!(row.contender, Contender::Ours | Contender::Build(..));
        Self {
            name: row.name(),
            laps: if is_ours {
                effort.laps
            } else {
                effort.laps.div_ceil(LAPS_OF_OTHERS)
            },
            target: Target::inet(address),
            how: if row.contender.has_records() {
                How::Records(instance)
            } else {
                How::Answers(instance)
            },
        }
    }

    /// The pid of whoever answers.
    fn answerer(&self) -> Option<String> {
        let answer = self.target.get("/").ok()?;
        let (_, rest) = answer.body.split_once(", pid ")?;
        Some(rest.trim().trim_end_matches(')').to_owned())
    }

    /// What the log still has of earlier reloads.
    fn forget(&mut self) {
        if let How::Records(instance) = &mut self.how {
            // The last old worker drains for a tenth of a second.
            sleep(Duration::from_millis(120));
            instance.log.clear();
        }
    }

    fn ask(&self) -> Option<Running> {
        match &self.how {
            How::Records(instance) | How::Answers(instance) => {
                instance.ask();
                None
            }
            How::Restart(rig) => Some(rig.spawn(&["systemctl", "restart", "plain"])),
        }
    }

    /// Reloads, and waits until somebody new answers.
    fn first_answer(&mut self) -> Duration {
        let before = self.answerer();
        let started = Instant::now();
        let mut asked = started;
        let running = self.ask();
        let took = loop {
            let answerer = self.answerer();
            let took = asked.elapsed();
            if answerer.is_some() && answerer != before {
                break took;
            }
            assert!(
                started.elapsed() < LIMIT,
                "{}: nobody new answers",
                self.name
            );
            // HAProxy and circus lose a signal that comes while they have an earlier one's work to do.
            if took > PATIENCE && running.is_none() {
                asked = Instant::now();
                self.ask();
            }
            sleep(POLL);
        };
        self.finish(running);
        took
    }

    fn reload(&mut self) {
        match &mut self.how {
            How::Records(instance) => instance.reload_and_wait(),
            How::Answers(_) => drop(self.first_answer()),
            How::Restart(_) => {
                let running = self.ask();
                self.finish(running);
            }
        }
    }

    fn finish(&mut self, running: Option<Running>) {
        if let Some(running) = running {
            let output = running.wait(LIMIT);
            assert!(output.status.success(), "{}: {output}", self.name);
        }
        if let How::Records(instance) = &mut self.how {
            instance.log.take(What::Ready);
            instance.log.take(What::Told);
        }
    }

    /// Load for so long; with a `pause`, also reloads, one each pause or as fast as they are done.
    fn lap(&mut self, long: Duration, pause: Option<Duration>) -> (Report, u32) {
        let load = Load::start(&self.target, Plan::default());
        let started = Instant::now();
        let mut reloads = 0;
        while let Some(pause) = pause.filter(|_| started.elapsed() < long) {
            let due = Instant::now() + pause;
            self.reload();
            reloads += 1;
            sleep(due.saturating_duration_since(Instant::now()));
        }
        sleep(long.saturating_sub(started.elapsed()));
        // A machine that stood still meanwhile has sent nothing, and of nothing there is no percentile.
        load.wait_for_answers(1, LIMIT);
        (load.stop(), reloads)
    }
}
