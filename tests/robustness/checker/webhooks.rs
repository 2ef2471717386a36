//! Checks that relate delivered webhooks to events.

use std::collections::{BTreeMap, HashMap};

use super::Journal;
use crate::history::{History, Key, Micros, ObservedEvent, Start, Webhook};

/// All deliveries with one key, by all publishers.
#[derive(Default)]
struct Delivered {
    attempts: usize,
    acks: usize,
    /// When the first delivery began.
    invoked: Micros,
    /// When the first 200 response arrived.
    first_ack: Option<Micros>,
}

fn delivered(webhooks: &[Webhook]) -> BTreeMap<&Key, Delivered> {
    let mut all: BTreeMap<&Key, Delivered> = BTreeMap::new();
    for webhook in webhooks {
        let delivered = all
            .entry(&webhook.key)
            .or_insert_with(|| Delivered { invoked: webhook.invoked, ..Delivered::default() });
        delivered.attempts += webhook.attempts;
        delivered.acks += webhook.accepted_at.len();
        delivered.invoked = delivered.invoked.min(webhook.invoked);
        let answered = delivered.first_ack.into_iter().chain(webhook.accepted_at.first().copied()).min();
        delivered.first_ack = answered;
    }
    all
}

/// The sequence numbers of each key's events, in order.
fn events<'a>(journal: &Journal<'a>) -> HashMap<&'a Key, Vec<u64>> {
    let mut events: HashMap<&Key, Vec<u64>> = HashMap::new();
    for event in journal.events.values() {
        if let Some(key) = &event.key {
            events.entry(key).or_default().push(event.sequence());
        }
    }
    events
}

/// When the event's webhook first got a 200 response, if the history can tell.
fn accepted(
    event: &ObservedEvent,
    delivered: &BTreeMap<&Key, Delivered>,
    journal: &Journal<'_>,
) -> Option<Micros> {
    match &event.key {
        Some(key @ Key::Identity(..)) => {
            // The store does not deduplicate against trimmed events. Of several deliveries, each may have made this
            // event.
            let found = delivered.get(key).filter(|found| found.attempts == 1 || journal.trimmed == 0)?;
            found.first_ack
        }
        // Deliveries of one body without an identity cannot be distinguished.
        Some(Key::Body(..)) | None => None,
    }
}

/// A webhook with a 200 response is stored: once per identity, and once per delivery without an identity.
pub(super) fn accepted_webhooks_are_stored(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    // Trimmed events that no participant received have unknown content.
    let mut unseen = (1..=journal.trimmed).filter(|sequence| !journal.events.contains_key(sequence)).count();
    let events = events(journal);
    for (key, delivered) in delivered(&history.webhooks) {
        let found = events.get(key).map_or(0, Vec::len);
        let least = match key {
            Key::Identity(..) => delivered.acks.min(1),
            Key::Body(..) => delivered.acks,
        };
        let missing = least.saturating_sub(found);
        if missing > unseen {
            return Err(format!(
                "{} of {} deliveries need an event, and {found} have one: {key:?}",
                least, delivered.attempts
            ));
        }
        unseen -= missing;
    }
    Ok(())
}

/// Every event has a delivered webhook, and an identity has one event. A second event needs the first to be trimmed.
pub(super) fn every_event_has_a_webhook(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    let delivered = delivered(&history.webhooks);
    for (key, found) in events(journal) {
        let most = match (key, delivered.get(key)) {
            (_, None) => 0,
            (Key::Identity(..), Some(delivered)) => {
                let trimmed = found.iter().filter(|sequence| **sequence <= journal.trimmed).count();
                delivered.attempts.min(trimmed + 1)
            }
            (Key::Body(..), Some(delivered)) => delivered.attempts,
        };
        if found.len() > most {
            return Err(format!("the events with sequence numbers {found:?} are more than {most}: {key:?}"));
        }
    }
    match history.final_journal.iter().find(|event| event.key.is_none()) {
        Some(event) => Err(format!("the event has no identity and no raw body: {event:?}")),
        None => Ok(()),
    }
}

/// An event without an identity names the newest earlier event with the same body. Other events name none.
pub(super) fn duplicate_bodies_are_marked(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    let mut newest: HashMap<&Key, &str> = HashMap::new();
    for event in &history.final_journal {
        let (Some(key), marked) = (&event.key, event.possible_duplicate_of.as_str()) else { continue };
        let expected = match key {
            Key::Identity(..) => "",
            Key::Body(..) => newest.insert(key, &event.id).unwrap_or_default(),
        };
        // The named event may be trimmed.
        if marked != expected && (!expected.is_empty() || journal.trimmed == 0) {
            return Err(format!("possible_duplicate_of must be {expected:?}: {event:?}"));
        }
    }
    Ok(())
}

/// If a webhook is answered with 200 before another delivery begins, its event has the lower sequence number.
pub(super) fn journal_order_is_real_time_order(
    history: &History,
    journal: &Journal<'_>,
) -> Result<(), String> {
    let delivered = delivered(&history.webhooks);
    let mut latest = None;
    for event in journal.events.values() {
        let invoked = event.key.as_ref().and_then(|key| delivered.get(key)).map(|found| found.invoked);
        if let (Some((invoked, before)), Some(answered)) = (latest, accepted(event, &delivered, journal))
            && answered < invoked
        {
            return Err(format!(
                "the delivery began at {invoked}:\n{before:?}\nbut an event with a higher sequence number was accepted earlier, at {answered}:\n{event:?}"
            ));
        }
        if let Some(invoked) = invoked
            && latest.is_none_or(|(latest, _)| latest < invoked)
        {
            latest = Some((invoked, *event));
        }
    }
    Ok(())
}

/// For each time at which a webhook was accepted, the highest sequence number accepted up to then.
struct Acceptances(Vec<(Micros, u64)>);

impl Acceptances {
    fn from_history(history: &History, journal: &Journal<'_>) -> Self {
        let delivered = delivered(&history.webhooks);
        let mut acceptances: Vec<(Micros, u64)> = journal
            .events
            .values()
            .filter_map(|event| Some((accepted(event, &delivered, journal)?, event.sequence())))
            .collect();
        acceptances.sort_unstable();
        let mut newest = 0;
        for (_, sequence) in &mut acceptances {
            newest = newest.max(*sequence);
            *sequence = newest;
        }
        Self(acceptances)
    }

    fn newest_at(&self, time: Micros) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < time);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// A read after a 200 response includes its event: in `started.newest_cursor`, and on a page that reached the newest.
pub(super) fn reads_include_accepted_webhooks(
    history: &History,
    journal: &Journal<'_>,
) -> Result<(), String> {
    let acceptances = Acceptances::from_history(history, journal);
    for stream in &history.streams {
        let Some((_, _, newest)) = stream.started() else { continue };
        let expected = acceptances.newest_at(stream.invoked);
        if newest.sequence < expected {
            return Err(format!(
                "sequence {expected} was accepted earlier, but the journal ended at {newest:?} for {}, opened at {}",
                stream.subscriber, stream.invoked
            ));
        }
    }
    for page in history.listings.iter().flat_map(|listing| &listing.pages).filter(|page| page.reached_newest)
    {
        let expected = acceptances.newest_at(page.invoked);
        if page.next.sequence < expected {
            return Err(format!(
                "sequence {expected} was accepted before a page was requested at {}, but the page ends at {:?} and reports the newest as reached",
                page.invoked, page.next
            ));
        }
    }
    Ok(())
}

/// A stream that starts at the latest position, or since a time, excludes older events. Of the events received before
/// that time, it includes only those accepted after the stream was opened.
pub(super) fn latest_and_since_exclude_older_events(
    history: &History,
    journal: &Journal<'_>,
) -> Result<(), String> {
    let acceptances = Acceptances::from_history(history, journal);
    for stream in &history.streams {
        let Some((cursor, _, _)) = stream.started() else { continue };
        let first = journal.events.get(&(cursor.sequence + 1));
        let from_before = match (stream.start, first) {
            (Start::Latest, Some(_)) => true,
            (Start::Since(since), Some(first)) => first.receive_ms < since,
            (Start::Latest | Start::Since(_), None)
            | (Start::Earliest | Start::After(..) | Start::Subscription(_), _) => false,
        };
        let expected = acceptances.newest_at(stream.invoked);
        if from_before && cursor.sequence < expected {
            return Err(format!(
                "sequence {expected} was accepted earlier, but is after the start {cursor:?} of {} ({:?}), opened at {}",
                stream.subscriber, stream.start, stream.invoked
            ));
        }
    }
    Ok(())
}
