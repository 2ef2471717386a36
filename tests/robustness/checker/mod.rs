//! The checker: checks a history against every guarantee. It is pure, so the same history has the same result.
//!
//! The reference is the journal: every event that any participant received, by sequence number. One reader reads the
//! whole journal at the end. The events of all other participants must agree with it and with each other.

mod journal;
mod listings;
mod streams;
mod subscriptions;
mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::history::{Filter, History, ObservedEvent};

/// A violated guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The name of the check.
    pub(crate) check: &'static str,
    /// The first violation that the check found.
    pub(crate) detail: String,
}

/// A check: returns the first violation in a history. The journal is derived from the same history.
type Check = fn(&History, &Journal<'_>) -> Result<(), String>;

/// All checks, in the order in which violations are reported. Checks whose violation makes others meaningless come
/// first.
const CHECKS: &[(&str, Check)] = &[
    ("subscribers_agree", journal::subscribers_agree),
    ("sequences_are_contiguous", journal::sequences_are_contiguous),
    ("receive_times_are_monotonic", journal::receive_times_are_monotonic),
    ("accepted_webhooks_are_stored", webhooks::accepted_webhooks_are_stored),
    ("every_event_has_a_webhook", webhooks::every_event_has_a_webhook),
    ("duplicate_bodies_are_marked", webhooks::duplicate_bodies_are_marked),
    ("journal_order_is_real_time_order", webhooks::journal_order_is_real_time_order),
    ("reads_include_accepted_webhooks", webhooks::reads_include_accepted_webhooks),
    ("latest_and_since_exclude_older_events", webhooks::latest_and_since_exclude_older_events),
    ("stream_protocol_is_valid", streams::stream_protocol_is_valid),
    ("ordered", streams::ordered),
    ("unique", streams::unique),
    ("filterable", streams::filterable),
    ("reliable", streams::reliable),
    ("bookmarkable", streams::bookmarkable),
    ("starts_at_requested_position", streams::starts_at_requested_position),
    ("resumable", streams::resumable),
    ("gaps_are_reported", streams::gaps_are_reported),
    ("subscribers_catch_up", streams::subscribers_catch_up),
    ("lost_cursors_are_reported", streams::lost_cursors_are_reported),
    ("acknowledgements_are_durable", subscriptions::acknowledgements_are_durable),
    ("acknowledgements_are_monotonic", subscriptions::acknowledgements_are_monotonic),
    ("stale_acknowledgements_fail", subscriptions::stale_acknowledgements_fail),
    ("subscriptions_miss_nothing", subscriptions::subscriptions_miss_nothing),
    ("unacknowledged_events_are_retained", subscriptions::unacknowledged_events_are_retained),
    ("expiry_is_reported", subscriptions::expiry_is_reported),
    ("subscriptions_catch_up", subscriptions::subscriptions_catch_up),
    ("pages_are_adjacent", listings::pages_are_adjacent),
    ("pages_are_complete", listings::pages_are_complete),
    ("listings_reach_the_end", listings::listings_reach_the_end),
];

/// Runs all checks and returns the violations.
pub(crate) fn violations(history: &History) -> Vec<Violation> {
    let journal = Journal::from_history(history);
    CHECKS
        .iter()
        .filter_map(|(check, run)| run(history, &journal).err().map(|detail| Violation { check, detail }))
        .collect()
}

/// The number of checks.
pub(crate) fn check_count() -> usize {
    CHECKS.len()
}

/// The journal, as far as any participant observed it.
pub(super) struct Journal<'a> {
    events: BTreeMap<u64, &'a ObservedEvent>,
    /// The last sequence number.
    newest: u64,
    /// Events up to this sequence number were trimmed by the end. Only these may be missing in a participant's view.
    trimmed: u64,
}

impl<'a> Journal<'a> {
    fn from_history(history: &'a History) -> Self {
        // The final read has raw bodies, so its events take precedence.
        let mut events: BTreeMap<u64, &ObservedEvent> =
            history.final_journal.iter().map(|event| (event.sequence(), event)).collect();
        let newest = events.last_key_value().map_or(history.trimmed, |(newest, _)| *newest);
        for event in all_observed(history) {
            events
                .entry(event.sequence())
                .and_modify(|known| {
                    if known.key.is_none() && event.key.is_some() {
                        *known = event;
                    }
                })
                .or_insert(event);
        }
        Self { events, newest, trimmed: history.trimmed }
    }

    /// The events that `filter` selects, after one sequence number up to and including another.
    fn between<'s>(
        &'s self,
        after: u64,
        up_to: u64,
        filter: &'s Filter,
    ) -> impl DoubleEndedIterator<Item = &'a ObservedEvent> + 's {
        // A range that ends before it begins is empty.
        let up_to = up_to.max(after);
        self.events
            .range((std::ops::Bound::Excluded(after), std::ops::Bound::Included(up_to.max(after + 1))))
            .map(|(_, event)| *event)
            .filter(move |event| event.sequence() <= up_to && filter.matches(event))
    }
}

/// Every event that any participant received.
fn all_observed(history: &History) -> impl Iterator<Item = &ObservedEvent> {
    let streams = history.streams.iter().flat_map(|stream| stream.events());
    let listings = history.listings.iter().flat_map(|listing| &listing.pages).flat_map(|page| &page.events);
    history.final_journal.iter().chain(streams).chain(listings)
}
