//! Where the figures are kept, and how they are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::contender::{Contender, Row};
use crate::metric::Metric;
use crate::options::Options;

#[derive(Default)]
pub(crate) struct Book {
    values: BTreeMap<(Metric, String), Vec<f64>>,
    /// In the order of their first figure.
    rows: Vec<String>,
}

pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Book {
    pub(crate) fn add(&mut self, metric: Metric, row: &str, value: f64) {
        assert!(value.is_finite(), "{metric:?} of {row}: {value}");
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        let values = self.values.entry((metric, row.to_owned())).or_default();
        values.push(value);
    }

    pub(crate) fn summary(&self, metric: Metric, row: &str) -> Option<Summary> {
        let mut sorted = self.values.get(&(metric, row.to_owned()))?.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Summary {
            median,
            min,
            max,
            count: sorted.len(),
        })
    }

    pub(crate) fn median(&self, metric: Metric, row: &str) -> Option<f64> {
        Some(self.summary(metric, row)?.median)
    }

    /// All figures of a row together.
    pub(crate) fn sum(&self, metric: Metric, row: &str) -> Option<f64> {
        let values = self.values.get(&(metric, row.to_owned()))?;
        Some(values.iter().sum())
    }

    /// The median of one row as a multiple of that of another.
    pub(crate) fn ratio(&self, metric: Metric, row: &str, other: &str) -> Option<f64> {
        let ratio = self.median(metric, row)? / self.median(metric, other)?;
        Some(ratio).filter(|ratio| ratio.is_finite())
    }

    /// What should have been measured and was not.
    pub(crate) fn missing(&self, options: &Options, rows: &[Row]) -> Vec<String> {
        let metrics = Metric::ALL.into_iter();
        let wanted = metrics.filter(|metric| options.wants(metric.part()));
        let pairs = wanted.flat_map(|metric| rows.iter().map(move |row| (metric, row.contender)));
        let due = pairs.filter(|(metric, contender)| metric.applies_to(*contender));
        let none =
            due.filter(|(metric, contender)| self.median(*metric, contender.name()).is_none());
        none.map(|(metric, contender)| format!("{}: {}", contender.name(), metric.title()))
            .collect()
    }

    /// Medians, a column for each row: for the README.
    pub(crate) fn overview(&self) -> String {
        let mut text = "Medians:\n\n| |".to_owned();
        for row in &self.rows {
            let _ = write!(text, " {row} |");
        }
        let _ = write!(text, "\n|---|{}\n", "---:|".repeat(self.rows.len()));
        for metric in Metric::ALL {
            let medians: Vec<_> = self
                .rows
                .iter()
                .map(|row| self.shown(metric, row))
                .collect();
            if medians.iter().all(Option::is_none) {
                continue;
            }
            let _ = write!(text, "| {} |", metric.title());
            for median in medians {
                let _ = write!(text, " {} |", median.unwrap_or_default());
            }
            text.push('\n');
        }
        text
    }

    /// What stands for all figures of a row: their median, or how many in all.
    fn shown(&self, metric: Metric, row: &str) -> Option<String> {
        match metric {
            Metric::Lost | Metric::Reloads => self.sum(metric, row).map(|sum| format!("{sum:.0}")),
            _ => self.median(metric, row).map(short),
        }
    }

    /// Each metric with each row: median, min to max, and the ratio to the floor.
    pub(crate) fn details(&self) -> String {
        let mut text = String::new();
        for metric in Metric::ALL {
            let rows = self.rows.iter();
            let lines = rows.filter_map(|row| Some((row, self.summary(metric, row)?)));
            let lines: Vec<_> = lines.collect();
            if lines.is_empty() {
                continue;
            }
            let title = metric.title();
            let _ = writeln!(
                text,
                "**{title}**\n\n| | median | min | max | n | x floor |\n|---|---:|---:|---:|---:|---:|"
            );
            for (row, summary) in lines {
                let ratio = self.ratio(metric, row, Contender::Floor.name());
                let _ = writeln!(
                    text,
                    "| {row} | {} | {} | {} | {} | {} |",
                    short(summary.median),
                    short(summary.min),
                    short(summary.max),
                    summary.count,
                    ratio.map(short).unwrap_or_default()
                );
            }
            text.push('\n');
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let mut metrics = Map::new();
        for metric in Metric::ALL {
            let mut rows = Map::new();
            for row in &self.rows {
                if let Some(summary) = self.summary(metric, row) {
                    let values = &self.values[&(metric, row.clone())];
                    let figures = json!({
                        "median": summary.median,
                        "min": summary.min,
                        "max": summary.max,
                        "values": values,
                    });
                    rows.insert(row.clone(), figures);
                }
            }
            if !rows.is_empty() {
                metrics.insert(metric.title().to_owned(), Value::Object(rows));
            }
        }
        json!({ "metrics": metrics })
    }
}

/// Three significant digits or so.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
