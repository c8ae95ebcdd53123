//! What we want to reach, and whether we do.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::book::{Book, short};
use crate::booted::TRUE;
use crate::contender::Contender;
use crate::metric::Metric;

/// One figure, and what it may be.
struct Target {
    what: &'static str,
    wanted: &'static str,
    /// None where it was not measured in this run.
    figure: Option<f64>,
    limit: Limit,
    /// Whether it is the same on any machine, however busy.
    is_certain: bool,
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met(&self) -> Option<bool> {
        let figure = self.figure?;
        Some(match self.limit {
            Limit::AtMost(most) => figure <= most,
            Limit::AtLeast(least) => figure >= least,
        })
    }
}

fn targets(book: &Book) -> Vec<Target> {
    let ours = Contender::Ours.name();
    let floor = Contender::Floor.name();
    let start_server = Contender::StartServer0.name();
    let of = |metric| book.median(metric, ours);
    let times = |metric, other| book.ratio(metric, ours, other);
    let most = |what, wanted, figure, limit| Target {
        what,
        wanted,
        figure,
        limit: Limit::AtMost(limit),
        is_certain: false,
    };
    let certain = |what, wanted, figure, limit| Target {
        is_certain: true,
        ..most(what, wanted, figure, limit)
    };
    let least = |what, wanted, figure, limit| Target {
        what,
        wanted,
        figure,
        limit: Limit::AtLeast(limit),
        is_certain: false,
    };
    let faster = times(Metric::Start, start_server).map(|ratio| 1.0 / ratio);
    let systemctl = of(Metric::Systemctl).zip(book.median(Metric::Systemctl, TRUE));
    let late_dirty = of(Metric::LateDirty).zip(of(Metric::EarlyDirty));
    let growth = |early, late| Some(of(late)? / of(early)?);
    let sizes = ["sd-starter", "starterctl"].map(|name| book.median(Metric::Size, name));
    let size = sizes.into_iter().flatten().reduce(f64::max);
    let of_1000 = |figure: f64| figure * 1000.0 / book.sum(Metric::Reloads, ours).unwrap_or(1.0);
    vec![
        most(
            "exec to the worker's main(), one socket",
            "3 x floor",
            times(Metric::Start, floor),
            3.0,
        ),
        least("the same, faster than start_server", "25 x", faster, 25.0),
        most(
            "the same, 1,000 sockets",
            "1.5 x floor",
            times(Metric::StartOf1000, floor),
            1.5,
        ),
        most(
            "SIGHUP to the new worker's main()",
            "2 x floor",
            times(Metric::ReloadMain, floor),
            2.0,
        ),
        most(
            "READY to the old worker's SIGTERM",
            "2 x floor",
            times(Metric::ReadyTold, floor),
            2.0,
        ),
        most(
            "`systemctl reload`, longer than with ExecReload=/bin/true",
            "10 ms",
            systemctl.map(|(reload, nothing)| reload - nothing),
            10.0,
        ),
        most(
            "CPU of 100 reloads",
            "2 x floor",
            times(Metric::Cpu, floor),
            2.0,
        ),
        most(
            "CPU of 100 reloads",
            "1/2 x start_server",
            times(Metric::Cpu, start_server),
            0.5,
        ),
        most(
            "idle after the start: PSS, KiB",
            "1024",
            of(Metric::PssStarted),
            1024.0,
        ),
        most(
            "idle after ten reloads: PSS, KiB",
            "1024",
            of(Metric::PssReloaded),
            1024.0,
        ),
        most(
            "idle: private dirty, KiB",
            "300",
            of(Metric::PrivateDirty),
            300.0,
        ),
        most(
            "idle: bytes for each further socket",
            "200",
            of(Metric::SocketBytes),
            200.0,
        ),
        most("idle: wake-ups in 60 s", "0", of(Metric::WakeUps), 0.0),
        // Some pages more or less: where the heap's free ones happen to be.
        most(
            "after 10,000 reloads: private dirty, more than after 10, KiB",
            "32",
            late_dirty.map(|(late, early)| late - early),
            32.0,
        ),
        certain(
            "after 10,000 reloads: descriptors, as after 10",
            "1 x",
            growth(Metric::EarlyDescriptors, Metric::LateDescriptors),
            1.0,
        ),
        certain(
            "after 10,000 reloads: threads, as after 10",
            "1 x",
            growth(Metric::EarlyThreads, Metric::LateThreads),
            1.0,
        ),
        most(
            "requests lost, for 1,000 reloads under load",
            "0",
            book.sum(Metric::Lost, ours).map(of_1000),
            0.0,
        ),
        most(
            "p99 with reloads",
            "1.2 x without",
            of(Metric::P99Ratio),
            1.2,
        ),
        certain("the larger program, MiB", "1.2", size, 1.2),
    ]
}

/// Those that are missed and have no excuse.
pub(crate) fn certainly_missed(book: &Book) -> Vec<&'static str> {
    let all = targets(book).into_iter();
    let missed = all.filter(|target| target.is_certain && target.is_met() == Some(false));
    missed.map(|target| target.what).collect()
}

/// Whether any of them is.
pub(crate) fn are_missed(book: &Book) -> bool {
    targets(book)
        .iter()
        .any(|target| target.is_met() == Some(false))
}

pub(crate) fn markdown(book: &Book) -> String {
    let mut text = "| what | target | measured | |\n|---|---|---:|---|\n".to_owned();
    for target in targets(book) {
        let bound = match target.limit {
            Limit::AtMost(_) => "at most",
            Limit::AtLeast(_) => "at least",
        };
        let _ = writeln!(
            text,
            "| {} | {bound} {} | {} | {} |",
            target.what,
            target.wanted,
            target.figure.map(short).unwrap_or_default(),
            match target.is_met() {
                Some(true) => "met",
                Some(false) => "**not met**",
                None => "not measured",
            }
        );
    }
    text
}

pub(crate) fn json(book: &Book) -> Value {
    let all = targets(book);
    let all = all.iter().map(|target| {
        json!({
            "what": target.what,
            "target": target.wanted,
            "measured": target.figure,
            "met": target.is_met(),
        })
    });
    all.collect()
}
