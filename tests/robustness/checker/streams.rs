//! Checks of streams.

use std::collections::{BTreeMap, HashSet};

use switchboard::pb::v1::ClosingReason;
use tonic::Code;

use super::Journal;
use crate::history::{
    CursorOrigin, Filter, History, ObservedEvent, Restored, Start, Stream, StreamEnd, StreamItem,
};
use crate::subscriber::{CURSOR_EXPIRED, CURSOR_LOST};

/// Checks each stream. Returns the first violation, with the stream that has it.
fn each(history: &History, check: impl Fn(&Stream) -> Result<(), String>) -> Result<(), String> {
    history.streams.iter().try_for_each(|stream| {
        check(stream).map_err(|detail| {
            format!("{} ({:?}, opened at {}): {detail}", stream.subscriber, stream.start, stream.invoked)
        })
    })
}

/// `started` is the first item and occurs once. `closing` is the last item, and the error after it has the same reason.
/// No stream ends with OK, and the server rejects no valid request.
pub(super) fn stream_protocol_is_valid(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        for (at, item) in stream.items.iter().enumerate() {
            let fits = match item {
                StreamItem::Started { .. } => at == 0,
                StreamItem::Closing { .. } => at > 0 && at + 1 == stream.items.len(),
                StreamItem::Event(_) | StreamItem::Heartbeat(_) | StreamItem::Gap { .. } => at > 0,
                StreamItem::Malformed(_) => false,
            };
            if !fits {
                return Err(format!("item {at} is out of place: {item:?}"));
            }
        }
        let announced = match stream.items.last() {
            Some(StreamItem::Closing { reason, .. }) => Some(*reason),
            _ => None,
        };
        let of_a_subscription = stream.subscription().is_some();
        let fits = match (&stream.end, announced) {
            // No subscriber sets a maximum number of events or requests an end at the newest event, so OK is wrong.
            (StreamEnd::Ok, _) => false,
            (StreamEnd::Failed { code, reason, position }, announced) => match reason.as_str() {
                "SERVER_STOPPING" => {
                    *code == Code::Unavailable
                        && announced.is_none_or(|announced| announced == ClosingReason::Shutdown)
                }
                // Disk faults cause it. The subscriber retries.
                "STORE_UNAVAILABLE" => *code == Code::Unavailable && announced.is_none(),
                CURSOR_EXPIRED => {
                    let oldest = position.map_or(u64::MAX, |oldest| oldest.sequence);
                    let may_fail = announced.is_none() && !stream.wants_gaps;
                    let trimmed = journal.trimmed > 0 && oldest <= journal.trimmed;
                    let lost = stream.items.is_empty() && may_be_lost(history, stream.start);
                    *code == Code::OutOfRange && may_fail && (trimmed || lost)
                }
                CURSOR_LOST => {
                    let from_before = matches!(stream.start, Start::After(_, CursorOrigin::BeforeRestore));
                    *code == Code::OutOfRange && from_before && stream.items.is_empty() && position.is_some()
                }
                "SUBSCRIPTION_CHANGED" => {
                    *code == Code::Unavailable
                        && of_a_subscription
                        && announced == Some(ClosingReason::SubscriptionChanged)
                }
                "SUBSCRIPTION_NOT_FOUND" => {
                    let deleted = announced == Some(ClosingReason::SubscriptionDeleted);
                    *code == Code::NotFound && of_a_subscription && (deleted || stream.items.is_empty())
                }
                _ => false,
            },
            (
                StreamEnd::Disconnected
                | StreamEnd::CaughtUp
                | StreamEnd::IdleTimeout
                | StreamEnd::ConnectionLost
                | StreamEnd::NotCaughtUp,
                _,
            ) => true,
        };
        let generation_fits = match stream.items.first() {
            Some(StreamItem::Started { generation, .. }) => (*generation > 0) == of_a_subscription,
            _ => true,
        };
        if fits && generation_fits {
            Ok(())
        } else {
            Err(format!("the stream ended with {:?} after closing reason {announced:?}", stream.end))
        }
    })
}

/// Sequence sequences and receive times never decrease within a stream.
pub(super) fn ordered(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        let mut last: Option<&ObservedEvent> = None;
        for event in stream.events() {
            if let Some(last) = last
                && (event.sequence() < last.sequence() || event.receive_ms < last.receive_ms)
            {
                return Err(format!("{event:?}\narrived after\n{last:?}"));
            }
            last = Some(event);
        }
        Ok(())
    })
}

/// No event occurs twice on a stream.
pub(super) fn unique(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        let (mut ids, mut sequences) = (HashSet::new(), HashSet::new());
        match stream.events().find(|event| !ids.insert(&event.id) | !sequences.insert(event.sequence())) {
            Some(event) => Err(format!("received twice: {event:?}")),
            None => Ok(()),
        }
    })
}

/// Every event on a stream matches its filter.
pub(super) fn filterable(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| match stream.events().find(|event| !stream.filter.matches(event)) {
        Some(event) => Err(format!("the filter {:?} excludes {event:?}", stream.filter)),
        None => Ok(()),
    })
}

/// Visits each item with the stream's position before it, which events and gaps advance.
fn visit(
    stream: &Stream,
    mut check: impl FnMut(u64, &StreamItem) -> Result<(), String>,
) -> Result<(), String> {
    let Some((started, ..)) = stream.started() else { return Ok(()) };
    let mut position = started.sequence;
    for item in &stream.items {
        check(position, item)?;
        match item {
            StreamItem::Event(event) => position = position.max(event.sequence()),
            StreamItem::Gap { resume, .. } => position = position.max(resume.sequence),
            StreamItem::Started { .. }
            | StreamItem::Heartbeat(_)
            | StreamItem::Closing { .. }
            | StreamItem::Malformed(_) => {}
        }
    }
    Ok(())
}

/// From the stream's start to its last event, no selected event is missing.
pub(super) fn reliable(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        visit(stream, |position, item| {
            let StreamItem::Event(event) = item else { return Ok(()) };
            let mut after = position;
            if stream.start == Start::Earliest
                && stream.started().is_some_and(|(start, ..)| start.sequence == position)
            {
                // A start at the earliest position takes the event that is the oldest when the server reads it.
                after = position.max(journal.trimmed.min(event.sequence() - 1));
            }
            match journal.between(after, event.sequence().saturating_sub(1), &stream.filter).next() {
                Some(missing) => Err(format!("{missing:?}\nis missing before\n{event:?}")),
                None => Ok(()),
            }
        })
    })
}

/// The cursor of a heartbeat or of `closing` never decreases and never passes an unsent event.
pub(super) fn bookmarkable(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        let mut heartbeat = 0;
        visit(stream, |position, item| {
            match item {
                StreamItem::Heartbeat(mark) | StreamItem::Closing { cursor: mark, .. } => {
                    if mark.sequence < position.max(heartbeat) {
                        return Err(format!(
                            "the position decreased from {} to {item:?}",
                            position.max(heartbeat)
                        ));
                    }
                    heartbeat = mark.sequence;
                    match journal.between(position, mark.sequence, &stream.filter).next() {
                        Some(unsent) => {
                            Err(format!("{item:?}\npasses\n{unsent:?}\nwhich was not sent before it"))
                        }
                        // Such a position does not exist yet. A subscriber that resumes from it would lose events.
                        None if mark.sequence > journal.newest => {
                            Err(format!("{item:?} is after the journal's end, {}", journal.newest))
                        }
                        None => Ok(()),
                    }
                }
                StreamItem::Event(event) if event.sequence() <= heartbeat => {
                    Err(format!("{event:?}\narrived after a heartbeat with a later position, {heartbeat}"))
                }
                StreamItem::Event(_)
                | StreamItem::Started { .. }
                | StreamItem::Gap { .. }
                | StreamItem::Malformed(_) => Ok(()),
            }
        })
    })
}

/// `started` reports the requested position, and for a start since a time none after an event of that time. No event
/// on the stream is at or before the start.
pub(super) fn starts_at_requested_position(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        let Some((started, oldest, newest)) = stream.started() else { return Ok(()) };
        let is_requested = match stream.start {
            // Events may be stored or trimmed between the server's lookups of the start and of the journal's ends.
            Start::Latest => started.sequence <= newest.sequence,
            Start::Earliest => started.sequence <= oldest.sequence,
            // In a restored journal, the same position has another epoch.
            Start::After(cursor, _) => started.sequence == cursor.sequence,
            // The checks of subscriptions cover that.
            Start::Subscription(_) => true,
            Start::Since(since) => {
                let last = journal.events.get(&started.sequence).map(|event| event.receive_ms);
                last.is_none_or(|last| last < since) || started.sequence <= journal.trimmed
            }
        };
        if !is_requested || oldest.sequence > journal.trimmed || newest.sequence < started.sequence {
            return Err(format!(
                "the stream started at {started:?}; the journal was {oldest:?} to {newest:?}"
            ));
        }
        match stream.events().find(|event| event.sequence() <= started.sequence) {
            Some(event) => Err(format!("the stream started at {started:?} and sent {event:?}")),
            None => Ok(()),
        }
    })
}

/// All streams of a subscriber together contain every selected event from its first start on, except for reported
/// gaps.
pub(super) fn resumable(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    let mut subscribers: BTreeMap<&str, Vec<&Stream>> = BTreeMap::new();
    // The server stores the position of a subscription. Other checks cover it.
    for stream in history.streams.iter().filter(|stream| stream.subscription().is_none()) {
        subscribers.entry(&stream.subscriber).or_default().push(stream);
    }
    for (subscriber, streams) in subscribers {
        let Some((first, ..)) = streams.iter().find_map(|stream| stream.started()) else {
            return Err(format!("{subscriber} never received `started`"));
        };
        let seen: HashSet<u64> =
            streams.iter().flat_map(|stream| stream.events()).map(ObservedEvent::sequence).collect();
        let reported_missing = |sequence: u64| {
            sequence <= journal.trimmed
                && streams.iter().any(|stream| {
                    expired(stream).is_some_and(|(from, to)| from < sequence && sequence <= to)
                        || stream.items.iter().any(|item| match item {
                            StreamItem::Gap { after, resume, .. } => {
                                after.is_none_or(|after| after.sequence < sequence)
                                    && sequence <= resume.sequence
                            }
                            _ => false,
                        })
                })
        };
        let missing = journal
            .between(first.sequence, journal.newest, &streams[0].filter)
            .find(|event| !seen.contains(&event.sequence()) && !reported_missing(event.sequence()));
        if let Some(event) = missing {
            return Err(format!(
                "{subscriber} read from {first:?} to the end on {} streams and never received {event:?}",
                streams.len()
            ));
        }
    }
    Ok(())
}

/// The range that a stream's `CURSOR_EXPIRED` reported: from the stream's position to the cursor to resume from.
fn expired(stream: &Stream) -> Option<(u64, u64)> {
    let StreamEnd::Failed { reason, position: Some(oldest), .. } = &stream.end else { return None };
    let requested = match stream.start {
        Start::After(cursor, _) => cursor.sequence,
        // The start position is unknown.
        Start::Latest | Start::Earliest | Start::Since(_) | Start::Subscription(_) => 0,
    };
    let reached =
        stream.items.iter().filter_map(StreamItem::position).map(|(position, _)| position.sequence).max();
    (reason == CURSOR_EXPIRED).then_some((reached.unwrap_or(requested), oldest.sequence))
}

/// Whether events since this start may be lost: it is a time before the journal was restored.
pub(super) fn may_be_lost(history: &History, start: Start) -> bool {
    let (Some(Restored { newest, .. }), Start::Since(time)) = (&history.restored, start) else {
        return false;
    };
    let first = history.final_journal.iter().find(|event| event.sequence() > *newest);
    first.is_none_or(|first| time <= first.receive_ms)
}

/// In a restored journal, a start after a cursor beyond the backup fails with `CURSOR_LOST` and the last restored
/// position. No other start fails so. A start since a time before the restore fails, because events since then may be
/// lost.
pub(super) fn lost_cursors_are_reported(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    let Some(Restored { newest, .. }) = history.restored else { return Ok(()) };
    let restored = journal.between(0, newest, &Filter::default()).last();
    let last = restored.map_or(i64::MIN, |event| event.receive_ms);
    each(history, |stream| {
        if let Start::Since(time) = stream.start
            && time <= last
            && !stream.wants_gaps
            && stream.started().is_some()
        {
            return Err(format!("the stream started, but events received since {last} may be lost"));
        }
        let Start::After(cursor, CursorOrigin::BeforeRestore) = stream.start else { return Ok(()) };
        let is_lost = cursor.sequence > newest;
        match &stream.end {
            StreamEnd::Failed { reason, position, .. } if reason == CURSOR_LOST => match position {
                Some(position)
                    if is_lost && (position.epoch, position.sequence) == (history.epoch, newest) =>
                {
                    Ok(())
                }
                position => Err(format!(
                    "the last restored sequence is {newest}, but the failure reported {position:?}"
                )),
            },
            _ if is_lost && stream.started().is_some() => {
                Err("the stream started at a lost cursor".to_owned())
            }
            _ => Ok(()),
        }
    })
}

/// A gap occurs only on request and covers only trimmed events. It begins at the stream's position and has the right
/// count.
pub(super) fn gaps_are_reported(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |stream| {
        let mut passed = 0;
        visit(stream, |position, item| {
            passed = passed.max(position);
            match item {
                StreamItem::Heartbeat(mark) => passed = passed.max(mark.sequence),
                StreamItem::Gap { after, resume, missed } => {
                    let after_fits = match (after, stream.start) {
                        (None, Start::Since(_)) => missed.is_none(),
                        (
                            None,
                            Start::Latest | Start::Earliest | Start::After(..) | Start::Subscription(_),
                        ) => false,
                        // The events between the stream's position and the gap must not match the filter.
                        (Some(after), _) => {
                            after.sequence >= passed
                                && journal.between(passed, after.sequence, &stream.filter).next().is_none()
                                && *missed == resume.sequence.checked_sub(after.sequence)
                                && *missed != Some(0)
                        }
                    };
                    if !stream.wants_gaps || resume.sequence > journal.trimmed || !after_fits {
                        return Err(format!(
                            "at position {passed}, with {} trimmed at the end: {item:?}",
                            journal.trimmed
                        ));
                    }
                }
                StreamItem::Started { .. }
                | StreamItem::Event(_)
                | StreamItem::Closing { .. }
                | StreamItem::Malformed(_) => {}
            }
            Ok(())
        })
    })
}

/// After the faults, every subscriber reaches the journal's end.
pub(super) fn subscribers_catch_up(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    let mut last: BTreeMap<&str, &Stream> = BTreeMap::new();
    for stream in &history.streams {
        last.insert(&stream.subscriber, stream);
    }
    for (subscriber, stream) in last {
        let position =
            stream.items.iter().rev().find_map(StreamItem::position).map(|(cursor, _)| cursor.sequence);
        if stream.end != StreamEnd::CaughtUp || position.is_none_or(|position| position < journal.newest) {
            return Err(format!(
                "{subscriber} ended with {:?} at {position:?}; the journal ends at {}",
                stream.end, journal.newest
            ));
        }
    }
    Ok(())
}
