//! What is measured with nothing else going on: starts, reloads, memory, idling, endurance.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::contender::{Contender, Place, Row};
use crate::instance::Instance;
use crate::log::What;
use crate::metric::Metric;

/// After a reload, so that its aftermath (an exit, a reaping) does not fall on the next row.
const SETTLE: Duration = Duration::from_millis(4);

/// Who has nothing to do for so long is idle.
const IDLE: Duration = Duration::from_secs(2);

/// Signals to ours that come faster than this are gathered.
const GATHERED: Duration = Duration::from_millis(110);

/// From the supervisor's exec to its worker's main, `rounds` times for each.
pub(crate) fn starts(book: &mut Book, place: &Place, rows: &[Row], rounds: usize, sockets: u16) {
    let metric = match sockets {
        1 => Metric::Start,
        _ => Metric::StartOf1000,
    };
    for round in 0..rounds {
        for row in rows.iter().filter(|row| metric.applies_to(row.contender)) {
            if round % row.contender.every().min(6) != 0 {
                continue;
            }
            // The first one is for the caches, of which the row before has left little.
            start(*row, place, sockets);
            book.add(metric, row.name(), start(*row, place, sockets));
        }
    }
}

fn start(row: Row, place: &Place, sockets: u16) -> f64 {
    let mut instance = Instance::start(row, place, sockets, false);
    let exec = instance.log.take(What::Exec).at;
    let main = instance.log.take(What::Main).at;
    instance.log.take(What::Ready);
    sleep(SETTLE);
    instance.stop();
    milliseconds(exec, main)
}

/// Reloads, `rounds` times for each, and what they cost.
pub(crate) fn reloads(book: &mut Book, place: &Place, rows: &[Row], rounds: usize) {
    struct Running {
        row: Row,
        instance: Instance,
        before: u64,
        children: u64,
        count: u32,
    }
    let start = |(row, instance): (Row, Instance)| Running {
        row,
        before: instance.cpu(),
        instance,
        children: 0,
        count: 0,
    };
    let all = settled(with_records(rows), place, 1);
    let mut all: Vec<_> = all.into_iter().map(start).collect();
    for round in 0..rounds {
        let next = Instant::now() + GATHERED;
        for running in &mut all {
            if round % running.row.contender.every() != 0 {
                continue;
            }
            let row = running.row.name();
            let (asked, main) = running.instance.reload();
            let log = &mut running.instance.log;
            let ready = log.take(What::Ready);
            let told = log.take(What::Told);
            book.add(Metric::ReloadMain, row, milliseconds(asked, main.at));
            book.add(Metric::ReadyTold, row, milliseconds(ready.at, told.at));
            running.children += main.cpu;
            running.count += 1;
            sleep(SETTLE);
        }
        sleep(next.saturating_duration_since(Instant::now()));
    }
    for running in all {
        let own = running.instance.cpu() - running.before;
        let of_100 = |nanoseconds: u64| nanoseconds as f64 / 1e6 * 100.0 / f64::from(running.count);
        let row = running.row.name();
        book.add(Metric::Cpu, row, of_100(own + running.children));
        book.add(Metric::CpuOwn, row, of_100(own));
        running.instance.stop();
    }
}

/// Memory with 1 socket, after the start and after reloads without a pause, and with 1,000. One after the
/// other, because two that share pages would each count half of them.
pub(crate) fn memory(book: &mut Book, place: &Place, rows: &[Row], reloads: usize) {
    for row in with_records(rows) {
        for (row, mut small) in settled(std::iter::once(row), place, 1) {
            sleep(IDLE);
            let (pss, _) = small.memory();
            book.add(Metric::PssStarted, row.name(), pss);
            reload(&mut small, reloads);
            sleep(IDLE);
            let (pss, dirty) = small.memory();
            book.add(Metric::PssReloaded, row.name(), pss);
            book.add(Metric::PrivateDirty, row.name(), dirty);
            small.stop();
        }
    }
    let many = rows.iter().filter(|row| row.contender.takes_1000_sockets());
    for (row, mut large) in settled(many, place, 1000) {
        reload(&mut large, 3);
        sleep(IDLE);
        let (_, with_1000) = large.memory();
        large.stop();
        let with_1 = book.median(Metric::PrivateDirty, row.name());
        let each = (with_1000 - with_1.expect("measured above")) * 1024.0 / 999.0;
        book.add(Metric::SocketBytes, row.name(), each);
    }
}

/// Idles for so long, all at once; counted as of a minute.
pub(crate) fn idle(book: &mut Book, place: &Place, rows: &[Row], long: Duration) {
    let running = settled(with_records(rows), place, 1);
    // gunicorn's first look at its workers, and our rest after the start: over.
    sleep(IDLE);
    let before: Vec<u64> = running.iter().map(|(_, one)| one.switches()).collect();
    sleep(long);
    for ((row, instance), before) in running.into_iter().zip(before) {
        let count = (instance.switches() - before) as f64;
        book.add(
            Metric::WakeUps,
            row.name(),
            count * 60.0 / long.as_secs_f64(),
        );
        instance.stop();
    }
}

/// Memory, descriptors and threads after 10 reloads and after `many`.
pub(crate) fn endurance(book: &mut Book, place: &Place, rows: &[Row], many: usize) {
    let ours = |row: &&Row| matches!(row.contender, Contender::Ours | Contender::Build(..));
    for (row, mut instance) in settled(rows.iter().filter(ours), place, 1) {
        let mut state = |instance: &Instance, metrics: [Metric; 3]| {
            sleep(IDLE);
            let (_, dirty) = instance.memory();
            let descriptors = instance.descriptor_count() as f64;
            let figures = [dirty, descriptors, instance.thread_count() as f64];
            for (metric, figure) in metrics.into_iter().zip(figures) {
                book.add(metric, row.name(), figure);
            }
        };
        reload(&mut instance, 10);
        let early = [
            Metric::EarlyDirty,
            Metric::EarlyDescriptors,
            Metric::EarlyThreads,
        ];
        state(&instance, early);
        reload(&mut instance, many - 10);
        let late = [
            Metric::LateDirty,
            Metric::LateDescriptors,
            Metric::LateThreads,
        ];
        state(&instance, late);
        instance.stop();
    }
}

fn with_records(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.contender.has_records())
}

/// Supervisors whose first workers are ready.
fn settled<'a>(
    rows: impl Iterator<Item = &'a Row>,
    place: &Place,
    sockets: u16,
) -> Vec<(Row, Instance)> {
    let start = |row: &Row| (*row, Instance::start(*row, place, sockets, false));
    let mut all: Vec<_> = rows.map(start).collect();
    for (_, instance) in &mut all {
        instance.log.take(What::Ready);
    }
    // start_server counts a worker as started after its interval; a reload before is another thing.
    sleep(Duration::from_millis(1200));
    for (_, instance) in &mut all {
        instance.log.clear();
    }
    all
}

fn reload(instance: &mut Instance, times: usize) {
    for _ in 0..times {
        instance.reload_and_wait();
    }
    // The last old worker is reaped.
    sleep(Duration::from_millis(50));
    instance.log.clear();
}

fn milliseconds(from: u64, to: u64) -> f64 {
    (to as f64 - from as f64) / 1e6
}
