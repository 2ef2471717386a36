//! What is printed for each part.

use std::fmt;

use crate::measure::{Rounds, Seen};

/// A part's results.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One quantity, of the floor and of ours.
#[derive(Debug)]
struct Row {
    what: String,
    floor: Option<Rounds>,
    ours: Rounds,
    wanted: Option<Wanted>,
}

/// What a ratio should be, or a quantity without one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
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
        floor: &Rounds,
        ours: &Rounds,
        wanted: Option<Wanted>,
    ) {
        self.rows.push(Row { what: what.into(), floor: Some(floor.clone()), ours: ours.clone(), wanted });
    }

    /// A quantity that no floor has; `wanted` is of the quantity itself.
    pub(crate) fn figure(&mut self, what: impl Into<String>, ours: &Rounds, wanted: Option<Wanted>) {
        self.rows.push(Row { what: what.into(), floor: None, ours: ours.clone(), wanted });
    }

    /// The rows of requests of one kind; `wanted` is of their number per second.
    pub(crate) fn load(
        &mut self,
        request: &str,
        in_flight: usize,
        floor: &Seen,
        ours: &Seen,
        wanted: Option<Wanted>,
    ) {
        let at = format!("{in_flight} in flight");
        self.row(format!("{request}s/s, {at}"), &floor.per_second, &ours.per_second, wanted);
        self.row(format!("p50 in us, {at}"), &floor.p50, &ours.p50, None);
        self.row(format!("p99 in us, {at}"), &floor.p99, &ours.p99, None);
        self.row(format!("server CPU us per {request}, {at}"), &floor.cpu, &ours.cpu, None);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let head = ["", "ours", "floor", "ratio", "wanted", ""].map(str::to_owned);
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
        let ratios = self.floor.as_ref().map(|floor| self.ours.with(floor, |ours, floor| ours / floor));
        let judged = ratios.as_ref().unwrap_or(&self.ours).median();
        let (wanted, verdict) = match self.wanted {
            None => (String::new(), ""),
            Some(Wanted::AtLeast(least)) => (format!(">= {}", plain(least)), verdict(judged >= least)),
            Some(Wanted::AtMost(most)) => (format!("<= {}", plain(most)), verdict(judged <= most)),
        };
        let ratio = ratios.map_or_else(String::new, |ratios| {
            format!("{:.2} ({:.2}-{:.2})", ratios.median(), ratios.smallest(), ratios.largest())
        });
        let floor = self.floor.as_ref().map_or_else(String::new, spread);
        [self.what.clone(), spread(&self.ours), floor, ratio, wanted, verdict.to_owned()]
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// The median with the smallest and the largest.
pub(crate) fn spread(rounds: &Rounds) -> String {
    format!("{} ({}-{})", number(rounds.median()), number(rounds.smallest()), number(rounds.largest()))
}

/// What was asked for: ratios as they are, large numbers with thousands apart.
fn plain(value: f64) -> String {
    if value < 10.0 { value.to_string() } else { number(value) }
}

/// Three digits or so, thousands apart.
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
