//! Coverage: what happened in a round. A round that exercised too little fails.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{CursorOrigin, History, Start, StreamEnd};
use crate::round::Scenario;

/// Counters by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A slow subscriber paused for so long that its next event is no longer in the server's in-memory tail.
pub(crate) const LEFT_THE_TAIL: &str = "slow subscribers overtaken by the tail";

/// A process reopened its store after a failed fsync and served from it.
pub(crate) const STORE_REOPENED: &str = "stores reopened after a failed fsync";

/// A stream started after trimmed events, before any event could exceed its retention time.
pub(crate) const TRIMMED_BY_SIZE: &str = "starts where events are trimmed by size";

/// A stream started after trimmed events.
pub(crate) const TRIMMED: &str = "starts where events are trimmed";

/// The counter of a stream's start.
pub(crate) fn start_counter(start: Start) -> &'static str {
    match start {
        Start::Latest => "starts at latest",
        Start::Earliest => "starts at earliest",
        Start::Since(_) => "starts since a time",
        Start::After(_, CursorOrigin::Event) => "starts after an event",
        Start::After(_, CursorOrigin::EarlierEvent) => "starts after an event before the last",
        Start::After(_, CursorOrigin::Heartbeat) => "starts after a heartbeat",
        Start::After(_, CursorOrigin::Started) => "starts after started",
        Start::After(_, CursorOrigin::Gap) => "starts after a gap",
        Start::After(_, CursorOrigin::Closing) => "starts after closing",
        Start::Subscription(_) => "starts of a subscription",
        Start::After(_, CursorOrigin::BeforeRestore) => "starts after an event from before the restore",
        Start::After(_, CursorOrigin::Lost) => "starts at the newest restored event",
        Start::After(_, CursorOrigin::Expired) => "starts at the oldest remaining event",
    }
}

/// The counter of a stream's end.
pub(crate) fn end_counter(end: &StreamEnd) -> &'static str {
    match end {
        StreamEnd::Disconnected => "streams closed by the subscriber",
        StreamEnd::CaughtUp => "streams caught up",
        StreamEnd::IdleTimeout => "streams idle",
        StreamEnd::Ok => "streams ended with OK",
        StreamEnd::Failed { .. } => "streams failed",
        StreamEnd::ConnectionLost => "streams with a lost connection",
        StreamEnd::NotCaughtUp => "streams not caught up",
    }
}

/// The minimum of each counter. Fault injection continues until all minimums are reached.
fn minimums(scenario: Scenario) -> Vec<(String, u64)> {
    let mut least = vec![
        ("events received live", 50),
        ("webhooks accepted", 100),
        ("webhooks accepted again", 1),
        ("starts at latest", 1),
        ("starts at earliest", 1),
        ("streams with a lost connection", 3),
        ("server restarts", 2),
        ("starts of a subscription", 8),
        ("acknowledgements completed", 50),
        ("subscriptions sought", 1),
        ("subscriptions updated", 1),
        ("subscriptions recreated", 1),
        ("other subscription operations completed", 8),
    ];
    let in_many_faults = [
        (LEFT_THE_TAIL, 1),
        ("events received from the journal", 50),
        ("webhooks without response", 1),
        ("heartbeats", 5),
        ("starts at earliest", 3),
        ("starts after an event", 10),
        ("starts after an event before the last", 1),
        ("starts after a heartbeat", 1),
        ("streams closed by the subscriber", 5),
        ("pages listed forward", 4),
        ("pages listed backward", 4),
    ];
    // In a restored journal, a start since a time before the restore fails because events may be missing.
    least.push(match scenario {
        Scenario::Strict | Scenario::Held | Scenario::Expiring => ("starts since a time", 1),
        Scenario::Restored => ("streams failed: CURSOR_EXPIRED", 1),
    });
    match scenario {
        Scenario::Strict => {
            least.extend(in_many_faults);
            least.extend([
                ("webhooks answered 503", 1),
                ("full disks reported as 503", 1),
                (STORE_REOPENED, 1),
                ("webhooks accepted after the backup", 20),
                ("acknowledgements without response", 1),
                ("acknowledgements failed", 1),
            ]);
        }
        Scenario::Held => least.push((TRIMMED, 2)),
        Scenario::Expiring => {
            least.extend(in_many_faults);
            least.extend([
                ("gaps", 1),
                (TRIMMED_BY_SIZE, 1),
                ("subscriptions reported expired", 1),
                ("subscription gaps", 1),
                ("subscription streams failed: CURSOR_EXPIRED", 1),
            ]);
        }
        Scenario::Restored => least.extend([
            ("starts after an event from before the restore", 2),
            ("streams failed: CURSOR_LOST", 2),
            ("starts at the newest restored event", 2),
        ]),
    }
    let least = least.into_iter().map(|(counter, least)| (counter.to_owned(), least));
    least.chain(scenario.faults().iter().map(|fault| (fault.to_string(), 1))).collect()
}

/// The counters that are below their minimum.
pub(crate) fn insufficient_coverage(counts: &Counts, scenario: Scenario) -> Vec<String> {
    let count = |counter: &str| counts.get(counter).copied().unwrap_or_default();
    minimums(scenario)
        .into_iter()
        .filter(|(counter, least)| count(counter) < *least)
        .map(|(counter, least)| format!("{counter}: {} of at least {least}", count(&counter)))
        .collect()
}

/// The counters and totals of one run.
#[derive(Debug)]
pub(crate) struct Summary {
    counts: Counts,
    /// Number of events in the final journal.
    events: usize,
    /// Number of trimmed events.
    trimmed: u64,
    /// Peak memory of the server, in KiB.
    memory: u64,
}

/// The server's memory limit in KiB. It holds while subscribers do not read.
const MEMORY: u64 = 256 << 10;

impl Summary {
    pub(crate) fn new(history: &History, counts: Counts, memory: u64) -> Self {
        Self { counts, events: history.final_journal.len(), trimmed: history.trimmed, memory }
    }

    /// The counters that are below their minimum.
    pub(crate) fn insufficient_coverage(&self, scenario: Scenario) -> Vec<String> {
        insufficient_coverage(&self.counts, scenario)
    }

    /// The error if the server's peak memory exceeds the limit.
    pub(crate) fn excess_memory(&self) -> Option<String> {
        (self.memory > MEMORY)
            .then(|| format!("the server used {} KiB of memory; the limit is {MEMORY} KiB", self.memory))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (counter, count) in &self.counts {
            writeln!(f, "  {count:>7} {counter}")?;
        }
        writeln!(f, "  {:>7} events in the final journal", self.events)?;
        writeln!(f, "  {:>7} trimmed events", self.trimmed)?;
        write!(f, "  {:>7} KiB peak memory", self.memory)
    }
}

#[test]
fn strict_round_without_reopened_store_is_insufficient() {
    let mut counts: Counts = minimums(Scenario::Strict).into_iter().collect();
    assert_eq!(insufficient_coverage(&counts, Scenario::Strict), [""; 0]);
    counts.remove(STORE_REOPENED);
    let missing = insufficient_coverage(&counts, Scenario::Strict);
    assert!(matches!(&missing[..], [missing] if missing.starts_with(STORE_REOPENED)), "{missing:?}");
}
