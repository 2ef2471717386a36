//! Holds what was recorded against the promises, each by its name. Pure: the same records have the same verdict.
//!
//! What is true is the journal: every event that anybody was given, by its number. At the end one reader reads all of
//! it, and whatever others were given must agree with that, and with each other.

mod journal;
mod streams;
mod subscriptions;
mod walks;
mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::record::{Records, Seen, Wanted};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Its name.
    pub(crate) promise: &'static str,
    /// What was seen first that breaks it.
    pub(crate) told: String,
}

/// A promise: what is recorded, and what is true, to the first violation.
type Promise = fn(&Records, &Journal<'_>) -> Result<(), String>;

/// All promises. Their order is that of the verdict: what makes others meaningless comes first.
const PROMISES: &[(&str, Promise)] = &[
    ("readers_agree", journal::readers_agree),
    ("numbers_are_contiguous", journal::numbers_are_contiguous),
    ("receive_times_never_go_back", journal::receive_times_never_go_back),
    ("every_200_is_in_the_journal", webhooks::every_200_is_in_the_journal),
    ("nothing_that_nobody_posted", webhooks::nothing_that_nobody_posted),
    ("equal_bodies_are_marked", webhooks::equal_bodies_are_marked),
    ("answered_before_is_before", webhooks::answered_before_is_before),
    ("a_200_can_be_read_at_once", webhooks::a_200_can_be_read_at_once),
    ("nothing_from_before_the_start", webhooks::nothing_from_before_the_start),
    ("streams_have_their_form", streams::streams_have_their_form),
    ("ordered", streams::ordered),
    ("no_duplicate_within_a_stream", streams::no_duplicate_within_a_stream),
    ("only_what_is_wanted", streams::only_what_is_wanted),
    ("no_holes", streams::no_holes),
    ("bookmarkable", streams::bookmarkable),
    ("starts_where_it_was_asked_to", streams::starts_where_it_was_asked_to),
    ("resumable", streams::resumable),
    ("gaps_are_told", streams::gaps_are_told),
    ("everything_settles", streams::everything_settles),
    ("lost_is_told", streams::lost_is_told),
    ("acknowledged_is_durable", subscriptions::acknowledged_is_durable),
    ("acknowledge_never_goes_back", subscriptions::acknowledge_never_goes_back),
    ("late_acknowledgements_are_refused", subscriptions::late_acknowledgements_are_refused),
    ("a_subscription_misses_nothing", subscriptions::a_subscription_misses_nothing),
    ("held_events_stay", subscriptions::held_events_stay),
    ("expired_is_told", subscriptions::expired_is_told),
    ("subscriptions_settle", subscriptions::subscriptions_settle),
    ("pages_meet", walks::pages_meet),
    ("pages_are_whole", walks::pages_are_whole),
    ("walks_reach_their_end", walks::walks_reach_their_end),
];

/// Every promise that was broken.
pub(crate) fn check(records: &Records) -> Vec<Broken> {
    let journal = Journal::of(records);
    PROMISES
        .iter()
        .filter_map(|(promise, holds)| holds(records, &journal).err().map(|told| Broken { promise, told }))
        .collect()
}

/// How many promises there are.
pub(crate) fn promises() -> usize {
    PROMISES.len()
}

/// The journal, as far as anybody has seen it.
pub(super) struct Journal<'a> {
    events: BTreeMap<u64, &'a Seen>,
    /// The number of the newest event.
    newest: u64,
    /// Up to this number events were trimmed in the end: those, and no others, may be missing anywhere.
    trimmed: u64,
}

impl<'a> Journal<'a> {
    fn of(records: &'a Records) -> Self {
        // What was read at the end, with raw bodies, is the best witness.
        let mut events: BTreeMap<u64, &Seen> =
            records.whole.iter().map(|event| (event.number(), event)).collect();
        let newest = events.last_key_value().map_or(records.trimmed, |(newest, _)| *newest);
        for event in everything_seen(records) {
            events
                .entry(event.number())
                .and_modify(|known| {
                    if known.key.is_none() && event.key.is_some() {
                        *known = event;
                    }
                })
                .or_insert(event);
        }
        Self { events, newest, trimmed: records.trimmed }
    }

    /// The wanted events behind one place up to another.
    fn between<'s>(
        &'s self,
        behind: u64,
        up_to: u64,
        wanted: &'s Wanted,
    ) -> impl DoubleEndedIterator<Item = &'a Seen> + 's {
        // A range that ends before it begins is empty.
        let up_to = up_to.max(behind);
        self.events
            .range((std::ops::Bound::Excluded(behind), std::ops::Bound::Included(up_to.max(behind + 1))))
            .map(|(_, event)| *event)
            .filter(move |event| event.number() <= up_to && wanted.matches(event))
    }
}

/// Every event that anybody was given, whoever it was.
fn everything_seen(records: &Records) -> impl Iterator<Item = &Seen> {
    let streams = records.streams.iter().flat_map(|stream| stream.events());
    let walks = records.walks.iter().flat_map(|walk| &walk.pages).flat_map(|page| &page.events);
    records.whole.iter().chain(streams).chain(walks)
}
