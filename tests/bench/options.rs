//! What to measure, and how often.

use std::time::Duration;

use crate::contender::Contender;

/// How often and how long. Rows that take a second for a reload have fewer rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) starts: usize,
    pub(crate) starts_of_1000: usize,
    pub(crate) reloads: usize,
    /// Before memory is looked at again.
    pub(crate) memory: usize,
    pub(crate) idle: Duration,
    pub(crate) endurance: usize,
    /// Pairs of laps, one with reloads and one without, of so long each.
    pub(crate) laps: usize,
    pub(crate) lap: Duration,
    /// Between two reloads under load.
    pub(crate) pause: Duration,
    pub(crate) answers: usize,
    pub(crate) systemctl: usize,
}

const FULL: Effort = Effort {
    starts: 60,
    starts_of_1000: 20,
    reloads: 400,
    memory: 10,
    idle: Duration::from_secs(60),
    endurance: 10_000,
    laps: 20,
    lap: Duration::from_millis(2_600),
    pause: Duration::from_millis(50),
    answers: 20,
    systemctl: 40,
};

const QUICK: Effort = Effort {
    starts: 12,
    starts_of_1000: 5,
    reloads: 100,
    idle: Duration::from_secs(5),
    endurance: 1_000,
    laps: 4,
    answers: 4,
    systemctl: 10,
    ..FULL
};

const SMOKE: Effort = Effort {
    starts: 2,
    starts_of_1000: 1,
    reloads: 2,
    memory: 1,
    idle: Duration::from_secs(1),
    endurance: 20,
    laps: 1,
    lap: Duration::from_millis(500),
    answers: 1,
    systemctl: 1,
    ..FULL
};

pub(crate) struct Options {
    pub(crate) effort: Effort,
    pub(crate) is_smoke: bool,
    /// Other builds of ours.
    pub(crate) builds: Vec<Contender>,
    parts: Vec<String>,
    rows: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            effort: FULL,
            is_smoke: false,
            builds: Vec::new(),
            parts: Vec::new(),
            rows: Vec::new(),
        };
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            match name {
                "--quick" => options.effort = QUICK,
                "--smoke" => (options.effort, options.is_smoke) = (SMOKE, true),
                "--only" => options.parts.push(value.to_owned()),
                "--rows" => options.rows.extend(value.split(',').map(str::to_owned)),
                "--build" => options
                    .builds
                    .push(Contender::build(value).expect("--build=NAME=PATH")),
                _ => panic!("not an option: {argument}; see tests/bench/run"),
            }
        }
        options
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || part == "done" || self.parts.iter().any(|wanted| wanted == part)
    }

    pub(crate) fn wants_row(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == name)
    }

    /// For the reader of the figures.
    pub(crate) fn remark(&self) -> &'static str {
        match self.effort.endurance {
            10_000 => "",
            1_000 => " A quick run: fewer rounds, and 1,000 reloads instead of 10,000.",
            _ => " A smoke: these figures mean nothing.",
        }
    }
}
