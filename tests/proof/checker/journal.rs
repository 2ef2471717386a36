//! What holds for the journal as a whole.

use std::collections::HashMap;

use super::{Journal, everything_seen};
use crate::record::{Given, Records, Restored, Seen};

/// Whoever is given an event, whenever, is given the same: one place holds one event, and an event has one place. What
/// was restored is what was there, under the names that it had; what came later has names that were never given before.
pub(super) fn readers_agree(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let mut places: HashMap<&str, u64> = HashMap::new();
    let (restored, lost) = match &records.restored {
        Some(Restored { newest, lost }) => (*newest, &lost[..]),
        None => (0, &[][..]),
    };
    let before: HashMap<u64, &Seen> = lost.iter().map(|event| (event.number(), event)).collect();
    for event in everything_seen(records) {
        let known = journal.events[&event.number()];
        if (&known.id, known.content) != (&event.id, event.content) {
            return Err(format!("one place, two events:\n{known:?}\n{event:?}"));
        }
        if event.number() <= restored {
            if let Some(before) = before.get(&event.number())
                && (&before.id, before.content, before.cursor) != (&event.id, event.content, event.cursor)
            {
                return Err(format!("restored as another one:\n{before:?}\n{event:?}"));
            }
        } else if event.cursor.epoch != records.epoch {
            return Err(format!("an event of another journal: {event:?}"));
        }
        if *places.entry(&event.id).or_insert(event.number()) != event.number() {
            return Err(format!("one event, two places: {} and {event:?}", places[event.id.as_str()]));
        }
    }
    let named_before = lost.first().is_some_and(|event| event.cursor.epoch == records.epoch);
    if named_before {
        return Err(format!(
            "the journal was restored, and its places are named as before: {}",
            records.epoch
        ));
    }
    for stream in &records.streams {
        let other = stream.given.iter().find(|given| match given {
            Given::Started { cursor, oldest, newest, .. } => {
                [cursor, oldest, newest].iter().any(|place| place.epoch != records.epoch)
            }
            Given::Heartbeat(place)
            | Given::Closing { cursor: place, .. }
            | Given::Gap { resume: place, .. } => {
                // The place behind an event may have the event's name.
                place.epoch != records.epoch && place.number > restored
            }
            Given::Event(_) | Given::Nonsense(_) => false,
        });
        if let Some(given) = other {
            return Err(format!("{} was given a place of another journal: {given:?}", stream.reader));
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
