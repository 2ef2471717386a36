//! What a round has proved, so that one that proved little is seen.

use std::collections::BTreeMap;
use std::fmt;

use crate::record::{Direction, End, Given, Kept, Records, Start};
use crate::round::Retention;
use crate::trouble::Fault;

/// What was recorded, counted.
#[derive(Debug)]
pub(crate) struct Summary {
    /// What happened, by its name.
    counts: BTreeMap<String, u64>,
    /// The most memory that the server had, in KiB.
    memory: u64,
}

/// The most memory that the server may take, in KiB, with readers that do not read.
const MEMORY: u64 = 400 << 10;

/// A slow reader has not read for so long that what it comes to next is no longer in the server's memory.
pub(crate) const FELL_BEHIND: &str = "slow reader fell out of the tail";

/// What must be counted while faults fall: they go on until it is.
pub(crate) fn needed(retention: Retention) -> &'static [&'static str] {
    match retention {
        Retention::Long => &["webhooks not answered", "webhooks answered 503"],
        Retention::Short => &["webhooks not answered", "gaps told"],
    }
}

impl Summary {
    pub(crate) fn of(records: &Records, mut counts: BTreeMap<String, u64>, memory: u64) -> Self {
        let mut add = |what: &str, count: usize| {
            *counts.entry(what.to_owned()).or_default() += u64::try_from(count).expect("fits");
        };
        add("events", records.whole.len());
        add("events trimmed", usize::try_from(records.trimmed).expect("fits"));
        add("streams", records.streams.len());
        for stream in &records.streams {
            add("events given on streams", stream.events().count());
            if let Some((_, _, newest)) = stream.started() {
                add("streams that started", 1);
                add(
                    "events given live",
                    stream.events().filter(|event| event.number() > newest.number).count(),
                );
                add(
                    match stream.start {
                        Start::Latest => "starts at the latest",
                        Start::Earliest => "starts at the earliest",
                        Start::Since(_) => "starts since a time",
                        Start::After(_, Kept::Event) => "reconnects behind an event",
                        Start::After(_, Kept::EarlierEvent) => "reconnects behind an event before the last",
                        Start::After(_, Kept::Heartbeat) => "reconnects behind a heartbeat",
                        Start::After(_, Kept::Started) => "reconnects behind a start",
                        Start::After(_, Kept::Gap) => "reconnects behind a gap",
                        Start::After(_, Kept::Closing) => "reconnects behind a closing",
                        Start::After(_, Kept::Expired) => "reconnects at the oldest that is left",
                    },
                    1,
                );
            }
            add(
                match &stream.end {
                    End::Left => "streams left",
                    End::Settled => "streams settled",
                    End::Silent => "streams silent",
                    End::Ok => "streams ended with OK",
                    End::Refused { .. } => "streams refused",
                    End::Broken => "streams broken",
                    End::Lagging => "streams lagging",
                },
                1,
            );
            for given in &stream.given {
                match given {
                    Given::Heartbeat(_) => add("heartbeats", 1),
                    Given::Gap { .. } => add("gaps", 1),
                    Given::Closing { .. } => add("closings", 1),
                    Given::Started { .. } | Given::Event(_) | Given::Nonsense(_) => {}
                }
            }
        }
        for walk in &records.walks {
            match walk.direction {
                Direction::Forward => add("pages forward", walk.pages.len()),
                Direction::Back => add("pages back", walk.pages.len()),
            }
        }
        Self { counts, memory }
    }

    fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// What there should have been more of.
    pub(crate) fn too_little(&self, retention: Retention) -> Vec<String> {
        let mut least = vec![
            ("events given live", 50),
            ("webhooks taken", 200),
            ("webhooks taken again", 5),
            ("webhooks not answered", 1),
            ("heartbeats", 5),
            ("starts at the latest", 2),
            ("starts at the earliest", 4),
            ("starts since a time", 2),
            ("reconnects behind an event", 10),
            ("reconnects behind an event before the last", 1),
            ("reconnects behind a heartbeat", 1),
            ("streams left", 5),
            ("streams broken", 5),
            ("pages forward", 4),
            ("pages back", 4),
            ("server restarts", 2),
            (FELL_BEHIND, 1),
        ];
        match retention {
            Retention::Long => {
                least.extend([("webhooks answered 503", 1), ("full disks that were told as 503", 1)]);
            }
            Retention::Short => least.extend([("events trimmed", 1), ("gaps", 1)]),
        }
        let faults = match retention {
            Retention::Long => &Fault::ALL[..],
            Retention::Short => &Fault::WHERE_EVENTS_EXPIRE[..],
        };
        let faults: Vec<String> = faults.iter().map(|fault| format!("fault: {fault:?}")).collect();
        least.extend(faults.iter().map(|fault| (fault.as_str(), 1)));
        least
            .into_iter()
            .filter(|(what, least)| self.count(what) < *least)
            .map(|(what, least)| format!("{what}: {}, and {least} at least are needed", self.count(what)))
            .collect()
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
        write!(f, "  {:>7} KiB of memory at most", self.memory)
    }
}
