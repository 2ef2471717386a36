//! What holds for streams.

use std::collections::{BTreeMap, HashSet};

use switchboard::pb::v1::ClosingReason;
use tonic::Code;

use super::Journal;
use crate::reader::{CURSOR_EXPIRED, CURSOR_LOST};
use crate::record::{End, Given, Kept, Records, Restored, Seen, Start, Stream, Wanted};

/// The first violation, with whose stream it is.
fn each(records: &Records, holds: impl Fn(&Stream) -> Result<(), String>) -> Result<(), String> {
    records.streams.iter().try_for_each(|stream| {
        holds(stream).map_err(|told| {
            format!("{} ({:?}, asked at {}): {told}", stream.reader, stream.start, stream.opened)
        })
    })
}

/// `started` is the first and comes once, `closing` is the last, and an end with OK or for a shutdown was announced.
/// Nobody is refused who asked for nothing wrong.
pub(super) fn streams_have_their_form(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        for (at, given) in stream.given.iter().enumerate() {
            let fits = match given {
                Given::Started { .. } => at == 0,
                Given::Closing { .. } => at > 0 && at + 1 == stream.given.len(),
                Given::Event(_) | Given::Heartbeat(_) | Given::Gap { .. } => at > 0,
                Given::Nonsense(_) => false,
            };
            if !fits {
                return Err(format!("out of place, as number {at}: {given:?}"));
            }
        }
        let announced = match stream.given.last() {
            Some(Given::Closing { reason, .. }) => Some(*reason),
            _ => None,
        };
        let of_a_subscription = stream.subscription().is_some();
        let fits = match (&stream.end, announced) {
            // Nobody asks for so many events, or for an end when there are none.
            (End::Ok, _) => false,
            (End::Refused { code, reason, place }, announced) => match reason.as_str() {
                "SERVER_STOPPING" => {
                    *code == Code::Unavailable
                        && announced.is_none_or(|announced| announced == ClosingReason::Shutdown)
                }
                // The disk is what it is made to be; the reader is told to come again.
                "STORE_UNAVAILABLE" => *code == Code::Unavailable && announced.is_none(),
                CURSOR_EXPIRED => {
                    let oldest = place.map_or(u64::MAX, |oldest| oldest.number);
                    let is_told = announced.is_none() && !stream.skips;
                    let trimmed = journal.trimmed > 0 && oldest <= journal.trimmed;
                    let lost = stream.given.is_empty() && may_be_lost(records, stream.start);
                    *code == Code::OutOfRange && is_told && (trimmed || lost)
                }
                CURSOR_LOST => {
                    let from_before = matches!(stream.start, Start::After(_, Kept::BeforeRestore));
                    *code == Code::OutOfRange && from_before && stream.given.is_empty() && place.is_some()
                }
                "SUBSCRIPTION_CHANGED" => {
                    *code == Code::Unavailable
                        && of_a_subscription
                        && announced == Some(ClosingReason::SubscriptionChanged)
                }
                "SUBSCRIPTION_NOT_FOUND" => {
                    let deleted = announced == Some(ClosingReason::SubscriptionDeleted);
                    *code == Code::NotFound && of_a_subscription && (deleted || stream.given.is_empty())
                }
                _ => false,
            },
            (End::Left | End::Settled | End::Silent | End::Broken | End::Lagging, _) => true,
        };
        let generation_fits = match stream.given.first() {
            Some(Given::Started { generation, .. }) => (*generation > 0) == of_a_subscription,
            _ => true,
        };
        if fits && generation_fits {
            Ok(())
        } else {
            Err(format!("ended with {:?} after {announced:?}", stream.end))
        }
    })
}

/// Numbers and receive times never go back.
pub(super) fn ordered(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        let mut last: Option<&Seen> = None;
        for event in stream.events() {
            if let Some(last) = last
                && (event.number() < last.number() || event.receive_ms < last.receive_ms)
            {
                return Err(format!("{event:?}\ncame after\n{last:?}"));
            }
            last = Some(event);
        }
        Ok(())
    })
}

/// No event comes twice.
pub(super) fn no_duplicate_within_a_stream(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        let (mut ids, mut numbers) = (HashSet::new(), HashSet::new());
        match stream.events().find(|event| !ids.insert(&event.id) | !numbers.insert(event.number())) {
            Some(event) => Err(format!("came twice: {event:?}")),
            None => Ok(()),
        }
    })
}

/// No event comes that the filter does not choose.
pub(super) fn only_what_is_wanted(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| match stream.events().find(|event| !stream.wanted.matches(event)) {
        Some(event) => Err(format!("{:?} were wanted: {event:?}", stream.wanted)),
        None => Ok(()),
    })
}

/// Walks along a stream: `at` is told of everything that was given, with the place that the events and gaps before it
/// had come to.
fn along(stream: &Stream, mut at: impl FnMut(u64, &Given) -> Result<(), String>) -> Result<(), String> {
    let Some((started, ..)) = stream.started() else { return Ok(()) };
    let mut place = started.number;
    for given in &stream.given {
        at(place, given)?;
        match given {
            Given::Event(event) => place = place.max(event.number()),
            Given::Gap { resume, .. } => place = place.max(resume.number),
            Given::Started { .. } | Given::Heartbeat(_) | Given::Closing { .. } | Given::Nonsense(_) => {}
        }
    }
    Ok(())
}

/// From where the stream started to its last event, every wanted event is there.
pub(super) fn no_holes(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        along(stream, |place, given| {
            let Given::Event(event) = given else { return Ok(()) };
            let mut behind = place;
            if stream.start == Start::Earliest
                && stream.started().is_some_and(|(start, ..)| start.number == place)
            {
                // Whoever asks for the oldest event takes what is the oldest when it is read.
                behind = place.max(journal.trimmed.min(event.number() - 1));
            }
            match journal.between(behind, event.number().saturating_sub(1), &stream.wanted).next() {
                Some(missing) => Err(format!("{missing:?}\nis missing before\n{event:?}")),
                None => Ok(()),
            }
        })
    })
}

/// The cursor of a heartbeat or of `closing` never goes back, and never lies past an event that was not sent before.
pub(super) fn bookmarkable(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        let mut marked = 0;
        along(stream, |place, given| {
            match given {
                Given::Heartbeat(mark) | Given::Closing { cursor: mark, .. } => {
                    if mark.number < place.max(marked) {
                        return Err(format!("went back from {} to {given:?}", place.max(marked)));
                    }
                    marked = mark.number;
                    match journal.between(place, mark.number, &stream.wanted).next() {
                        Some(unsent) => {
                            Err(format!("{given:?}\nlies past\n{unsent:?}\nwhich was not sent before"))
                        }
                        // Such a place is not there yet, and would be lost for whoever comes back with it.
                        None if mark.number > journal.newest => {
                            Err(format!("{given:?} lies past the journal's end, {}", journal.newest))
                        }
                        None => Ok(()),
                    }
                }
                Given::Event(event) if event.number() <= marked => {
                    Err(format!("{event:?}\ncame after a heartbeat that had passed it, {marked}"))
                }
                Given::Event(_) | Given::Started { .. } | Given::Gap { .. } | Given::Nonsense(_) => Ok(()),
            }
        })
    })
}

/// `started` says the place that was asked for, and none behind what was received since the time that was; and nothing
/// comes from before it.
pub(super) fn starts_where_it_was_asked_to(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        let Some((started, oldest, newest)) = stream.started() else { return Ok(()) };
        let right = match stream.start {
            // Events may come in, or go, between the look for the place and the look at the journal's ends.
            Start::Latest => started.number <= newest.number,
            Start::Earliest => started.number <= oldest.number,
            // In a journal that was restored, the same place has another name.
            Start::After(cursor, _) => started.number == cursor.number,
            // That is held against what was acknowledged.
            Start::SubscriptionId(_) => true,
            Start::Since(since) => {
                let last = journal.events.get(&started.number).map(|event| event.receive_ms);
                last.is_none_or(|last| last < since) || started.number <= journal.trimmed
            }
        };
        if !right || oldest.number > journal.trimmed || newest.number < started.number {
            return Err(format!("started at {started:?}, the journal being from {oldest:?} to {newest:?}"));
        }
        match stream.events().find(|event| event.number() <= started.number) {
            Some(event) => Err(format!("started at {started:?}, and gave {event:?}")),
            None => Ok(()),
        }
    })
}

/// What a reader was given on all of its streams together is all that there is from where it first started, but for the
/// gaps that it was told of.
pub(super) fn resumable(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let mut readers: BTreeMap<&str, Vec<&Stream>> = BTreeMap::new();
    // Whose place the server keeps is another matter.
    for stream in records.streams.iter().filter(|stream| stream.subscription().is_none()) {
        readers.entry(&stream.reader).or_default().push(stream);
    }
    for (reader, streams) in readers {
        let Some((first, ..)) = streams.iter().find_map(|stream| stream.started()) else {
            return Err(format!("{reader} was never given a stream"));
        };
        let seen: HashSet<u64> =
            streams.iter().flat_map(|stream| stream.events()).map(Seen::number).collect();
        let told_missing = |number: u64| {
            number <= journal.trimmed
                && streams.iter().any(|stream| {
                    expired(stream).is_some_and(|(from, to)| from < number && number <= to)
                        || stream.given.iter().any(|given| match given {
                            Given::Gap { after, resume, .. } => {
                                after.is_none_or(|after| after.number < number) && number <= resume.number
                            }
                            _ => false,
                        })
                })
        };
        let missing = journal
            .between(first.number, journal.newest, &streams[0].wanted)
            .find(|event| !seen.contains(&event.number()) && !told_missing(event.number()));
        if let Some(event) = missing {
            return Err(format!(
                "{reader} has read from {first:?} to the end, on {} streams, and was never given {event:?}",
                streams.len()
            ));
        }
    }
    Ok(())
}

/// What a stream said is gone, if it ended for that: from where it had come to, up to the place that it was told to go on
/// from.
fn expired(stream: &Stream) -> Option<(u64, u64)> {
    let End::Refused { reason, place: Some(oldest), .. } = &stream.end else { return None };
    let asked_for = match stream.start {
        Start::After(cursor, _) => cursor.number,
        // Where that was is not known.
        Start::Latest | Start::Earliest | Start::Since(_) | Start::SubscriptionId(_) => 0,
    };
    let come_to = stream.given.iter().filter_map(Given::place).map(|(place, _)| place.number).max();
    (reason == CURSOR_EXPIRED).then_some((come_to.unwrap_or(asked_for), oldest.number))
}

/// Whether that is a time since which events may be lost: from before the journal was restored.
pub(super) fn may_be_lost(records: &Records, start: Start) -> bool {
    let (Some(Restored { newest, .. }), Start::Since(moment)) = (&records.restored, start) else {
        return false;
    };
    let first = records.whole.iter().find(|event| event.number() > *newest);
    first.is_none_or(|first| moment <= first.receive_ms)
}

/// In a journal that was restored, whoever comes with a place behind its backup is told that it is lost, and where to go
/// on: behind all that was restored. Nobody else is told so. Whoever asks for what was received since a time from before
/// is told that not all of it is there.
pub(super) fn lost_is_told(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let Some(Restored { newest, .. }) = records.restored else { return Ok(()) };
    let restored = journal.between(0, newest, &Wanted::default()).last();
    let last = restored.map_or(i64::MIN, |event| event.receive_ms);
    each(records, |stream| {
        if let Start::Since(moment) = stream.start
            && moment <= last
            && !stream.skips
            && stream.started().is_some()
        {
            return Err(format!("it was given a stream, and what was received since {last} may be lost"));
        }
        let Start::After(cursor, Kept::BeforeRestore) = stream.start else { return Ok(()) };
        let is_lost = cursor.number > newest;
        match &stream.end {
            End::Refused { reason, place, .. } if reason == CURSOR_LOST => match place {
                Some(place) if is_lost && (place.epoch, place.number) == (records.epoch, newest) => Ok(()),
                place => Err(format!("{newest} is the last that was restored, and it was told {place:?}")),
            },
            _ if is_lost && stream.started().is_some() => Err("it was given a stream".to_owned()),
            _ => Ok(()),
        }
    })
}

/// A gap is told to whoever asked for gaps, of what was trimmed, from the place that the stream had come to, and rightly
/// counted.
pub(super) fn gaps_are_told(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |stream| {
        let mut passed = 0;
        along(stream, |place, given| {
            passed = passed.max(place);
            match given {
                Given::Heartbeat(mark) => passed = passed.max(mark.number),
                Given::Gap { after, resume, missed } => {
                    let after_fits = match (after, stream.start) {
                        (None, Start::Since(_)) => missed.is_none(),
                        (
                            None,
                            Start::Latest | Start::Earliest | Start::After(..) | Start::SubscriptionId(_),
                        ) => false,
                        // Between the last event and the gap there may be what was passed over unseen.
                        (Some(after), _) => {
                            after.number >= passed
                                && journal.between(passed, after.number, &stream.wanted).next().is_none()
                                && *missed == resume.number.checked_sub(after.number)
                                && *missed != Some(0)
                        }
                    };
                    if !stream.skips || resume.number > journal.trimmed || !after_fits {
                        return Err(format!(
                            "at {passed}, where all up to {} was trimmed in the end: {given:?}",
                            journal.trimmed
                        ));
                    }
                }
                Given::Started { .. } | Given::Event(_) | Given::Closing { .. } | Given::Nonsense(_) => {}
            }
            Ok(())
        })
    })
}

/// When faults are over, every reader comes to the journal's end.
pub(super) fn everything_settles(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    let mut last: BTreeMap<&str, &Stream> = BTreeMap::new();
    for stream in &records.streams {
        last.insert(&stream.reader, stream);
    }
    for (reader, stream) in last {
        let place = stream.given.iter().rev().find_map(Given::place).map(|(cursor, _)| cursor.number);
        if stream.end != End::Settled || place.is_none_or(|place| place < journal.newest) {
            return Err(format!(
                "{reader} ended with {:?} at {place:?}, the journal at {}",
                stream.end, journal.newest
            ));
        }
    }
    Ok(())
}
