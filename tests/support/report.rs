//! What a load has seen, by class of failure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::failure::{Class, Failure};

/// So many failures are shown in words.
const SHOWN_FAILURES: usize = 10;

/// The three kinds of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    New,
    KeepAlive,
    Held,
}

/// When a generation answered, since the start of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) first: Duration,
    pub(crate) last: Duration,
    pub(crate) answers: u64,
}

#[derive(Default)]
pub(crate) struct Report {
    /// The kinds that must have sent something, or the report proves nothing.
    pub(crate) planned: Vec<Kind>,
    pub(crate) generations: BTreeMap<u64, Seen>,
    rows: BTreeMap<Kind, Row>,
    /// The first failures, in words.
    failures: Vec<String>,
    /// Every failure, by when it was noticed.
    failed_at: Vec<(Duration, Class)>,
}

#[derive(Default)]
struct Row {
    latencies: Vec<Duration>,
    failed: BTreeMap<Class, u64>,
}

impl Report {
    pub(crate) fn record(
        &mut self,
        kind: Kind,
        at: Duration,
        took: Duration,
        result: Result<u64, Failure>,
    ) {
        let row = self.rows.entry(kind).or_default();
        match result {
            Ok(generation) => {
                row.latencies.push(took);
                let new = Seen {
                    first: at,
                    last: at,
                    answers: 0,
                };
                let seen = self.generations.entry(generation).or_insert(new);
                seen.last = at;
                seen.answers += 1;
            }
            Err(failure) => {
                *row.failed.entry(failure.class).or_default() += 1;
                self.failed_at.push((at, failure.class));
                if self.failures.len() < SHOWN_FAILURES {
                    self.failures
                        .push(format!("{kind:?} at {at:.3?} after {took:.3?}: {failure}"));
                }
            }
        }
    }

    /// Adds what a later (or overlapping) report has seen.
    pub(crate) fn add(&mut self, other: &Self) {
        for (kind, row) in &other.rows {
            let sum = self.rows.entry(*kind).or_default();
            sum.latencies.extend_from_slice(&row.latencies);
            for (class, count) in &row.failed {
                *sum.failed.entry(*class).or_default() += count;
            }
        }
        for (generation, seen) in &other.generations {
            let sum = self.generations.entry(*generation).or_insert(Seen {
                answers: 0,
                ..*seen
            });
            sum.first = sum.first.min(seen.first);
            sum.last = sum.last.max(seen.last);
            sum.answers += seen.answers;
        }
        self.failed_at.extend_from_slice(&other.failed_at);
        let room = SHOWN_FAILURES.saturating_sub(self.failures.len());
        self.failures
            .extend(other.failures.iter().take(room).cloned());
    }

    /// How many requests of any kind were answered as they should be.
    pub(crate) fn answered(&self) -> u64 {
        self.rows
            .values()
            .map(|row| row.latencies.len() as u64)
            .sum()
    }

    /// How many requests failed, and how.
    pub(crate) fn failed(&self, class: Class) -> u64 {
        self.rows
            .values()
            .filter_map(|row| row.failed.get(&class))
            .sum()
    }

    /// When each failure was noticed, since the start of the load, and how it failed.
    pub(crate) fn failed_at(&self) -> &[(Duration, Class)] {
        &self.failed_at
    }

    /// The slowest answer.
    pub(crate) fn slowest(&self) -> Duration {
        self.percentile(100)
    }

    /// What so many percent of the answers did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rows = self.rows.values();
        let all: Vec<_> = rows.flat_map(|row| &row.latencies).copied().collect();
        percentile(&all, percent)
    }

    /// Fails the test, with the table, if a client noticed anything, or if nobody asked anything.
    #[track_caller]
    pub(crate) fn assert_no_failures(&self) {
        let failed = Class::ALL.iter().any(|class| self.failed(*class) > 0);
        assert!(
            !failed,
            "clients noticed:\n{self}{}",
            self.failures.join("\n")
        );
        let silent = |kind: &Kind| {
            self.rows
                .get(kind)
                .is_none_or(|row| row.latencies.is_empty())
        };
        let silent: Vec<_> = self.planned.iter().filter(|kind| silent(kind)).collect();
        assert!(
            self.answered() > 0 && silent.is_empty(),
            "no answers at all for {silent:?}:\n{self}"
        );
    }

    /// Fails the test if a request failed, or if another generation than this one answered.
    #[track_caller]
    pub(crate) fn assert_only_generation(&self, generation: u64) {
        self.assert_no_failures();
        let answered: Vec<_> = self.generations.keys().copied().collect();
        assert_eq!(answered, [generation], "generations that answered:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11}{:>8}", "", "ok")?;
        for class in Class::ALL {
            write!(f, "{:>11}", format!("{class:?}").to_lowercase())?;
        }
        writeln!(f, "{:>9}{:>9}{:>9}", "p50", "p99", "max")?;
        for (kind, row) in &self.rows {
            write!(f, "{:<11}{:>8}", format!("{kind:?}"), row.latencies.len())?;
            for class in Class::ALL {
                write!(
                    f,
                    "{:>11}",
                    row.failed.get(&class).copied().unwrap_or_default()
                )?;
            }
            for percent in [50, 99, 100] {
                let milliseconds = percentile(&row.latencies, percent).as_secs_f64() * 1e3;
                write!(f, "{milliseconds:>7.1}ms")?;
            }
            writeln!(f)?;
        }
        let mut generations = self.generations.keys();
        let (first, last) = (generations.next(), generations.next_back());
        let last = last.or(first).map_or("none".to_owned(), u64::to_string);
        let first = first.map_or("none".to_owned(), u64::to_string);
        let count = self.generations.len();
        writeln!(f, "{count} generations answered, {first} to {last}")
    }
}

fn percentile(latencies: &[Duration], percent: usize) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
