//! What holds for the journal as a whole.

use std::collections::HashMap;

use super::{Journal, everything_seen};
use crate::record::Records;

/// Whoever is given an event, whenever, is given the same: one place holds one event, and an event has one place.
pub(super) fn readers_agree(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let mut places: HashMap<&str, u64> = HashMap::new();
    let epoch = records.whole.first().map(|event| event.cursor.epoch);
    for event in everything_seen(records) {
        let known = journal.events[&event.number()];
        if (&known.id, known.content) != (&event.id, event.content) {
            return Err(format!("one place, two events:\n{known:?}\n{event:?}"));
        }
        if epoch.is_some_and(|epoch| epoch != event.cursor.epoch) {
            return Err(format!("an event of another journal: {event:?}"));
        }
        if *places.entry(&event.id).or_insert(event.number()) != event.number() {
            return Err(format!("one event, two places: {} and {event:?}", places[event.id.as_str()]));
        }
    }
    match journal.events.last_key_value() {
        Some((last, event)) if *last > journal.newest => {
            Err(format!("given to a reader, and not in the journal in the end: {event:?}"))
        }
        _ => Ok(()),
    }
}

/// Numbers have no holes: what is missing between two events was lost.
pub(super) fn numbers_are_contiguous(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    for (expected, event) in (journal.trimmed + 1..).zip(&records.whole) {
        if event.number() != expected {
            return Err(format!("number {expected} is missing, or not in its place, before {event:?}"));
        }
    }
    Ok(())
}

/// Receive times never go back along the journal, whatever the machine's clock does.
pub(super) fn receive_times_never_go_back(_: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let mut events = journal.events.values();
    let Some(mut before) = events.next() else { return Ok(()) };
    for event in events {
        if event.receive_ms < before.receive_ms {
            return Err(format!("{before:?}\ncomes before\n{event:?}"));
        }
        before = event;
    }
    Ok(())
}
