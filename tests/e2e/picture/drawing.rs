//! Lines and boxes: a time line for each generation, and the requests below.

use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 20.0;
const LANE: f64 = 52.0;
/// Where the first generation's lane begins: below the reloads.
const TOP: f64 = 126.0;
/// The height of the tallest column of requests.
const REQUESTS: f64 = 70.0;
/// One column of requests.
const SLICE: u64 = 40_000;
const COLOURS: [&str; 3] = ["#2f6fb3", "#2c8c57", "#b3402f"];

/// A request that was answered, or was not.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) at: u64,
    pub(crate) generation: Option<u64>,
}

/// What became of a generation, and when.
pub(crate) struct Stage {
    name: String,
    generation: u64,
    pub(crate) at: u64,
}

impl Stage {
    pub(crate) fn new(name: &str, generation: u64, at: u64) -> Self {
        Self {
            name: name.to_owned(),
            generation,
            at,
        }
    }

    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.generation, self.name)
    }
}

/// A `starterctl reload`.
pub(crate) struct Reload {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) code: i32,
    pub(crate) said: String,
}

/// Everything that is drawn.
pub(crate) struct Picture {
    pub(crate) span: (u64, u64),
    pub(crate) stages: Vec<Stage>,
    pub(crate) held: (u64, u64),
    pub(crate) reloads: Vec<Reload>,
    pub(crate) answers: Vec<Answer>,
}

impl Picture {
    fn x(&self, at: u64) -> f64 {
        let (begin, end) = self.span;
        let part = at.saturating_sub(begin) as f64 / (end - begin) as f64;
        LEFT + part.min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    pub(crate) fn draw(&self) -> String {
        let lanes = self
            .stages
            .iter()
            .map(|stage| stage.generation)
            .max()
            .unwrap_or(1);
        let base = TOP + lanes as f64 * LANE + 14.0 + REQUESTS;
        let height = base + 56.0;
        let failed = self
            .answers
            .iter()
            .filter(|answer| answer.generation.is_none())
            .count();
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">
<title>A swap and a failed one, from a run of the test suite</title>
<desc>Drawn by tests/e2e/picture.rs from the events of Monitor and from {} requests, {failed} failed.</desc>
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>
"##,
            self.answers.len()
        );
        for reload in &self.reloads {
            self.reload(&mut svg, reload, base);
        }
        for generation in 1..=lanes {
            self.lane(&mut svg, generation);
        }
        self.held(&mut svg);
        self.requests(&mut svg, base);
        for second in 0..=(self.span.1 - self.span.0) / 1_000_000 {
            let x = self.x(self.span.0 + second * 1_000_000);
            let _ = writeln!(
                svg,
                r##"<text x="{x:.1}" y="{:.1}" fill="#555555" text-anchor="middle">{second} s</text>"##,
                base + 20.0
            );
        }
        let _ = writeln!(
            svg,
            r##"<text x="{WIDTH_IN}" y="{:.1}" fill="#222222" text-anchor="end">{} requests on new connections, {failed} failed</text>
</svg>"##,
            base + 44.0,
            self.answers.len(),
            WIDTH_IN = WIDTH - RIGHT,
        );
        svg
    }

    fn reload(&self, svg: &mut String, reload: &Reload, base: f64) {
        let (from, until) = (self.x(reload.from), self.x(reload.until));
        let colour = if reload.code == 0 {
            "#2c8c57"
        } else {
            "#b3402f"
        };
        let _ = writeln!(
            svg,
            r##"<rect x="{from:.1}" y="24" width="{:.1}" height="{:.1}" fill="{colour}" opacity="0.08"/>
<text x="{from:.1}" y="36" fill="#222222">starterctl reload</text>
<text x="{from:.1}" y="54" fill="{colour}">exit status {}</text>"##,
            until - from,
            base - 24.0,
            reload.code,
        );
        let said = reload.said.trim_start_matches("starterctl: ");
        let said = said.replace(", ", ",; ");
        for (index, part) in said.split("; ").enumerate() {
            let y = 70 + 14 * index;
            let _ = writeln!(
                svg,
                r##"<text x="{from:.1}" y="{y}" fill="{colour}" font-size="11">{}</text>"##,
                escaped(part)
            );
        }
    }

    /// The stages of one generation, each up to the next.
    fn lane(&self, svg: &mut String, generation: u64) {
        let y = TOP + (generation - 1) as f64 * LANE;
        let _ = writeln!(
            svg,
            r##"<text x="12" y="{:.1}" fill="#222222">generation {generation}</text>"##,
            y + 22.0
        );
        let colour = colour(generation);
        let own: Vec<_> = self
            .stages
            .iter()
            .filter(|stage| stage.generation == generation)
            .collect();
        for (index, stage) in own.iter().enumerate() {
            let until = own.get(index + 1).map_or(self.span.1, |next| next.at);
            let (from, until) = (self.x(stage.at), self.x(until));
            let (word, opacity) = match stage.name.as_str() {
                "starting" => ("starting", 0.25),
                "draining" => ("draining", 0.45),
                "serving" | "ready" => ("serving", 1.0),
                "attempt-failed" => {
                    let _ = writeln!(
                        svg,
                        r##"<text x="{:.1}" y="{:.1}" fill="{colour}">failed</text>"##,
                        from + 6.0,
                        y + 21.0
                    );
                    continue;
                }
                _ => continue,
            };
            let ink = if opacity < 0.9 { "#222222" } else { "#ffffff" };
            let _ = writeln!(
                svg,
                r##"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="32" rx="3" fill="{colour}" fill-opacity="{opacity}"/>
<text x="{:.1}" y="{:.1}" fill="{ink}">{word}</text>"##,
                (until - from).max(1.0),
                from + 6.0,
                y + 21.0
            );
        }
    }

    /// The request that the old generation was given time for.
    fn held(&self, svg: &mut String) {
        let (from, until) = (self.x(self.held.0), self.x(self.held.1));
        let y = TOP + 30.0;
        let _ = writeln!(
            svg,
            r##"<line x1="{from:.1}" y1="{y}" x2="{until:.1}" y2="{y}" stroke="#222222" stroke-width="3"/>
<text x="{:.1}" y="{:.1}" fill="#222222" font-size="11" text-anchor="end">one long request, finished by the generation that began it</text>"##,
            until,
            y + 16.0
        );
    }

    fn requests(&self, svg: &mut String, base: f64) {
        let mut slices: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
        for answer in &self.answers {
            let slice = answer.at.saturating_sub(self.span.0) / SLICE;
            let generation = answer.generation.unwrap_or(u64::MAX);
            *slices
                .entry(slice)
                .or_default()
                .entry(generation)
                .or_default() += 1;
        }
        let tallest = slices
            .values()
            .map(|slice| slice.values().sum::<usize>())
            .max();
        let scale = REQUESTS / tallest.unwrap_or(1) as f64;
        let _ = writeln!(
            svg,
            r##"<text x="12" y="{:.1}" fill="#222222">requests</text>
<text x="12" y="{:.1}" fill="#555555" font-size="11">answered by</text>"##,
            base - REQUESTS / 2.0,
            base - REQUESTS / 2.0 + 16.0
        );
        for (slice, counts) in slices {
            let x = self.x(self.span.0 + slice * SLICE);
            let width = self.x(self.span.0 + (slice + 1) * SLICE) - x - 0.6;
            let mut y = base;
            for (generation, count) in counts {
                let tall = count as f64 * scale;
                y -= tall;
                let _ = writeln!(
                    svg,
                    r##"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{tall:.1}" fill="{}"/>"##,
                    colour(generation)
                );
            }
        }
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" y1="{base:.1}" x2="{:.1}" y2="{base:.1}" stroke="#999999"/>"##,
            WIDTH - RIGHT
        );
    }
}

fn colour(generation: u64) -> &'static str {
    let index = usize::try_from(generation.saturating_sub(1)).unwrap_or(usize::MAX);
    COLOURS.get(index).copied().unwrap_or("#ff0000")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
