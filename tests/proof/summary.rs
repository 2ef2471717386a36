//! What a round has proved, so that one that proved little is seen.

use std::collections::BTreeMap;
use std::fmt;

use crate::record::{End, Kept, Records, Start};
use crate::round::Kind;

/// What was done and what happened, counted by its name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A slow reader has not read for so long that what it comes to next is no longer in the server's memory.
pub(crate) const FELL_BEHIND: &str = "slow reader fell out of the tail";

/// A process has opened its store again when a sync had failed, and served from it.
pub(crate) const OPENED_AGAIN: &str = "stores opened again after a failed sync";

/// A stream started where events were gone, before any could be too old.
pub(crate) const TRIMMED_BY_SIZE: &str = "starts where events are gone for their size";

/// A stream started where events were gone.
pub(crate) const TRIMMED: &str = "starts where events are gone";

/// What is counted when a stream starts.
pub(crate) fn of_start(start: Start) -> &'static str {
    match start {
        Start::Latest => "starts at the latest",
        Start::Earliest => "starts at the earliest",
        Start::Since(_) => "starts since a time",
        Start::After(_, Kept::Event) => "starts behind an event",
        Start::After(_, Kept::EarlierEvent) => "starts behind an event before the last",
        Start::After(_, Kept::Heartbeat) => "starts behind a heartbeat",
        Start::After(_, Kept::Started) => "starts behind a start",
        Start::After(_, Kept::Gap) => "starts behind a gap",
        Start::After(_, Kept::Closing) => "starts behind a closing",
        Start::SubscriptionId(_) => "starts of a subscription",
        Start::After(_, Kept::BeforeRestore) => "starts behind an event from before the restore",
        Start::After(_, Kept::Lost) => "starts at the newest that was restored",
        Start::After(_, Kept::Expired) => "starts at the oldest that is left",
    }
}

/// What is counted when a stream ends.
pub(crate) fn of_end(end: &End) -> &'static str {
    match end {
        End::Left => "streams left",
        End::Settled => "streams settled",
        End::Silent => "streams silent",
        End::Ok => "streams ended with OK",
        End::Refused { .. } => "streams refused",
        End::Broken => "streams broken",
        End::Lagging => "streams lagging",
    }
}

/// What must be counted while faults fall: they go on until it is.
fn least(kind: Kind) -> Vec<(String, u64)> {
    let mut least = vec![
        ("events given live", 50),
        ("webhooks taken", 100),
        ("webhooks taken again", 1),
        ("starts at the latest", 1),
        ("starts at the earliest", 1),
        ("streams broken", 3),
        ("server restarts", 2),
        ("starts of a subscription", 8),
        ("acknowledgements answered", 50),
        ("subscriptions sought", 1),
        ("subscriptions updated", 1),
        ("subscriptions made anew", 1),
        ("other calls of subscriptions answered", 8),
    ];
    let in_many_faults = [
        (FELL_BEHIND, 1),
        ("events given from the journal", 50),
        ("webhooks not answered", 1),
        ("heartbeats", 5),
        ("starts at the earliest", 3),
        ("starts behind an event", 10),
        ("starts behind an event before the last", 1),
        ("starts behind a heartbeat", 1),
        ("streams left", 5),
        ("pages forward", 4),
        ("pages back", 4),
    ];
    // Of a journal that was restored, who starts since a time from before is told that events may be missing.
    least.push(match kind {
        Kind::Strict | Kind::Held | Kind::Expiring => ("starts since a time", 1),
        Kind::Restored => ("refused: CURSOR_EXPIRED", 1),
    });
    match kind {
        Kind::Strict => {
            least.extend(in_many_faults);
            least.extend([
                ("webhooks answered 503", 1),
                ("full disks that were told as 503", 1),
                (OPENED_AGAIN, 1),
                ("webhooks taken after the backup", 20),
                ("acknowledgements not answered", 1),
                ("acknowledgements refused", 1),
            ]);
        }
        Kind::Held => least.push((TRIMMED, 2)),
        Kind::Expiring => {
            least.extend(in_many_faults);
            least.extend([
                ("gaps", 1),
                (TRIMMED_BY_SIZE, 1),
                ("subscriptions seen expired", 1),
                ("gaps of subscriptions", 1),
                ("subscriptions refused: CURSOR_EXPIRED", 1),
            ]);
        }
        Kind::Restored => least.extend([
            ("starts behind an event from before the restore", 2),
            ("refused: CURSOR_LOST", 2),
            ("starts at the newest that was restored", 2),
        ]),
    }
    let least = least.into_iter().map(|(what, least)| (what.to_owned(), least));
    least.chain(kind.faults().iter().map(|fault| (fault.to_string(), 1))).collect()
}

/// What there is too little of.
pub(crate) fn too_little(counts: &Counts, kind: Kind) -> Vec<String> {
    let count = |what: &str| counts.get(what).copied().unwrap_or_default();
    least(kind)
        .into_iter()
        .filter(|(what, least)| count(what) < *least)
        .map(|(what, least)| format!("{what}: {}, and {least} at least are needed", count(&what)))
        .collect()
}

/// What a round was.
#[derive(Debug)]
pub(crate) struct Summary {
    counts: Counts,
    /// How many events there were in the end.
    events: usize,
    /// How many were trimmed before.
    trimmed: u64,
    /// The most memory that the server had, in KiB.
    memory: u64,
}

/// The most memory that the server may take, in KiB, with readers that do not read.
const MEMORY: u64 = 256 << 10;

impl Summary {
    pub(crate) fn new(records: &Records, counts: Counts, memory: u64) -> Self {
        Self { counts, events: records.whole.len(), trimmed: records.trimmed, memory }
    }

    /// What there should have been more of.
    pub(crate) fn too_little(&self, kind: Kind) -> Vec<String> {
        too_little(&self.counts, kind)
    }

    /// Whether the server took more memory than it may.
    pub(crate) fn too_much(&self) -> Option<String> {
        (self.memory > MEMORY).then(|| format!("the server took {} KiB of memory, of {MEMORY}", self.memory))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "  {count:>7} {what}")?;
        }
        writeln!(f, "  {:>7} events in the end", self.events)?;
        writeln!(f, "  {:>7} events trimmed before", self.trimmed)?;
        write!(f, "  {:>7} KiB of memory at most", self.memory)
    }
}

#[test]
fn a_strict_round_without_a_store_that_was_opened_again_has_proved_too_little() {
    let mut counts: Counts = least(Kind::Strict).into_iter().collect();
    assert_eq!(too_little(&counts, Kind::Strict), [""; 0]);
    counts.remove(OPENED_AGAIN);
    let told = too_little(&counts, Kind::Strict);
    assert!(matches!(&told[..], [told] if told.starts_with(OPENED_AGAIN)), "{told:?}");
}
