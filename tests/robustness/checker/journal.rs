//! Checks of the journal as a whole.

use std::collections::HashMap;

use super::{Journal, all_observed};
use crate::history::{History, ObservedEvent, Restored, StreamItem};

/// All participants receive the same events at all times: a sequence number identifies one event, and an event has
/// one sequence number. Restored events keep their content, id and cursor. Events after the restore have cursors that
/// were never used.
pub(super) fn subscribers_agree(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    let mut sequences: HashMap<&str, u64> = HashMap::new();
    let (restored, journal_before) = match &history.restored {
        Some(Restored { newest, journal_before }) => (*newest, &journal_before[..]),
        None => (0, &[][..]),
    };
    let before: HashMap<u64, &ObservedEvent> =
        journal_before.iter().map(|event| (event.sequence(), event)).collect();
    for event in all_observed(history) {
        let known = journal.events[&event.sequence()];
        if (&known.id, known.content) != (&event.id, event.content) {
            return Err(format!("two events have one sequence number:\n{known:?}\n{event:?}"));
        }
        if event.sequence() <= restored {
            if let Some(before) = before.get(&event.sequence())
                && (&before.id, before.content, before.cursor) != (&event.id, event.content, event.cursor)
            {
                return Err(format!("an event changed in the restore:\n{before:?}\n{event:?}"));
            }
        } else if event.cursor.epoch != history.epoch {
            return Err(format!("the event's cursor has another epoch than the journal: {event:?}"));
        }
        if *sequences.entry(&event.id).or_insert(event.sequence()) != event.sequence() {
            return Err(format!(
                "one event has two sequence numbers, {} and that of {event:?}",
                sequences[event.id.as_str()]
            ));
        }
    }
    let keeps_epoch = journal_before.first().is_some_and(|event| event.cursor.epoch == history.epoch);
    if keeps_epoch {
        return Err(format!(
            "the restored journal must have a new epoch, and has the old one: {}",
            history.epoch
        ));
    }
    for stream in &history.streams {
        let other = stream.items.iter().find(|item| match item {
            StreamItem::Started { cursor, oldest, newest, .. } => {
                [cursor, oldest, newest].iter().any(|position| position.epoch != history.epoch)
            }
            StreamItem::Heartbeat(position)
            | StreamItem::Closing { cursor: position, .. }
            | StreamItem::Gap { resume: position, .. } => {
                // The cursor after a restored event may have the old epoch.
                position.epoch != history.epoch && position.sequence > restored
            }
            StreamItem::Event(_) | StreamItem::Malformed(_) => false,
        });
        if let Some(item) = other {
            return Err(format!("{} received a cursor of another epoch: {item:?}", stream.subscriber));
        }
    }
    match journal.events.last_key_value() {
        Some((last, event)) if *last > journal.newest => {
            Err(format!("a participant received an event that is not in the final journal: {event:?}"))
        }
        _ => Ok(()),
    }
}

/// Sequence numbers have no holes. A hole is a lost event.
pub(super) fn sequences_are_contiguous(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    for (expected, event) in (journal.trimmed + 1..).zip(&history.final_journal) {
        if event.sequence() != expected {
            return Err(format!("sequence {expected} is missing or out of order before {event:?}"));
        }
    }
    Ok(())
}

/// Receive times never decrease along the journal, also when the machine's clock jumps back.
pub(super) fn receive_times_are_monotonic(_: &History, journal: &Journal<'_>) -> Result<(), String> {
    let mut events = journal.events.values();
    let Some(mut before) = events.next() else { return Ok(()) };
    for event in events {
        if event.receive_ms < before.receive_ms {
            return Err(format!("the receive time decreases from\n{before:?}\nto\n{event:?}"));
        }
        before = event;
    }
    Ok(())
}
