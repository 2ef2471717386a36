//! Formats the results of each part as a table.

use std::fmt;

use crate::measure::{LoadRounds, Rounds};

/// A part's results.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One quantity, measured on Switchboard and, if there is one, on the baseline.
#[derive(Debug)]
struct Row {
    what: String,
    baseline: Option<Rounds>,
    switchboard: Rounds,
    target: Option<Target>,
}

/// The target for a ratio, or for a quantity without a baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Table {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        baseline: &Rounds,
        switchboard: &Rounds,
        target: Option<Target>,
    ) {
        self.rows.push(Row {
            what: what.into(),
            baseline: Some(baseline.clone()),
            switchboard: switchboard.clone(),
            target,
        });
    }

    /// Adds a quantity without a baseline. The target applies to the quantity itself.
    pub(crate) fn figure(&mut self, what: impl Into<String>, switchboard: &Rounds, target: Option<Target>) {
        self.rows.push(Row { what: what.into(), baseline: None, switchboard: switchboard.clone(), target });
    }

    /// Adds the rows for one kind of request. The target applies to the requests per second.
    pub(crate) fn load(
        &mut self,
        request: &str,
        in_flight: usize,
        baseline: &LoadRounds,
        switchboard: &LoadRounds,
        target: Option<Target>,
    ) {
        let at = format!("{in_flight} in flight");
        self.row(format!("{request}s/s, {at}"), &baseline.per_second, &switchboard.per_second, target);
        self.row(format!("p50 in us, {at}"), &baseline.p50, &switchboard.p50, None);
        self.row(format!("p99 in us, {at}"), &baseline.p99, &switchboard.p99, None);
        self.row(format!("server CPU us per {request}, {at}"), &baseline.cpu, &switchboard.cpu, None);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let head = ["", "switchboard", "baseline", "ratio", "target", ""].map(str::to_owned);
        let lines: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let width =
            |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 6] = std::array::from_fn(width);
        for cells in &lines {
            let mut line = format!("  {:<1$}", cells[0], widths[0]);
            for (cell, width) in cells.iter().zip(widths).skip(1) {
                line += &format!("   {cell:<width$}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let ratios = self
            .baseline
            .as_ref()
            .map(|baseline| self.switchboard.with(baseline, |switchboard, baseline| switchboard / baseline));
        let value = ratios.as_ref().unwrap_or(&self.switchboard).median();
        let (target, verdict) = match self.target {
            None => (String::new(), ""),
            Some(Target::AtLeast(limit)) => (format!(">= {}", format_target(limit)), verdict(value >= limit)),
            Some(Target::AtMost(limit)) => (format!("<= {}", format_target(limit)), verdict(value <= limit)),
        };
        let ratio = ratios.map_or_else(String::new, |ratios| {
            format!("{:.2} ({:.2}-{:.2})", ratios.median(), ratios.smallest(), ratios.largest())
        });
        let baseline = self.baseline.as_ref().map_or_else(String::new, spread);
        [self.what.clone(), spread(&self.switchboard), baseline, ratio, target, verdict.to_owned()]
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// The median, followed by the range.
pub(crate) fn spread(rounds: &Rounds) -> String {
    format!("{} ({}-{})", number(rounds.median()), number(rounds.smallest()), number(rounds.largest()))
}

/// Formats a target: ratios unchanged, large numbers with thousands separators.
fn format_target(value: f64) -> String {
    if value < 10.0 { value.to_string() } else { number(value) }
}

/// Formats a number: two decimals below 10, otherwise none, with thousands separators.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
