//! What holds for named subscriptions.
//!
//! All is told by moments. Where a subscription stands is set by those changes that one alone makes, and whatever was
//! asked and answered wholly between two of them is of one *span*: there its place moves forward only. What a change
//! overlaps is held against nothing.

use std::collections::{BTreeSet, HashSet};

use super::Journal;
use crate::reader::CURSOR_EXPIRED;
use crate::record::{Answer, Call, End, Given, Moment, Records, Seen, Start, Stream, Wanted, What};

const NOT_FOUND: &str = "SUBSCRIPTION_NOT_FOUND";

/// A time in which nobody set a subscription's place.
struct Span<'a> {
    /// When the change before it began, and when that was done.
    change: Moment,
    from: Moment,
    /// When the next change began.
    to: Moment,
    /// The place that the change set. None where nobody was told.
    place: Option<u64>,
    wanted: &'a Wanted,
}

impl Span<'_> {
    fn holds(&self, asked: Moment, ended: Moment) -> bool {
        self.from < asked && ended < self.to
    }

    fn has(&self, call: &Call) -> bool {
        self.holds(call.asked, call.ended)
    }

    fn has_start(&self, stream: &Stream) -> bool {
        self.holds(stream.opened, stream.began)
    }
}

/// All that was recorded of one subscription.
struct Subscription<'a> {
    id: &'static str,
    calls: Vec<&'a Call>,
    streams: Vec<&'a Stream>,
}

fn all(records: &Records) -> Vec<Subscription<'_>> {
    let ids: BTreeSet<&'static str> = records.calls.iter().map(|call| call.subscription).collect();
    let of = |id| Subscription {
        id,
        calls: records.calls.iter().filter(|call| call.subscription == id).collect(),
        streams: records.streams.iter().filter(|stream| stream.subscription() == Some(id)).collect(),
    };
    ids.into_iter().map(of).collect()
}

/// The first violation, with whose it is.
fn each(records: &Records, holds: impl Fn(&Subscription<'_>) -> Result<(), String>) -> Result<(), String> {
    all(records).iter().try_for_each(|found| holds(found).map_err(|told| format!("{}: {told}", found.id)))
}

/// The place that a call was told.
fn place(call: &Call) -> Option<u64> {
    match &call.answer {
        Answer::Stands { place, .. } => Some(place.number),
        Answer::Unknown | Answer::Gone | Answer::Refused(_) => None,
    }
}

/// What was to be acknowledged, if it was.
fn acknowledged(call: &Call) -> Option<u64> {
    match &call.what {
        What::Acknowledge { cursor, .. } => Some(cursor.number),
        What::Create { .. } | What::Update(_) | What::Seek(_) | What::Delete | What::Get => None,
    }
}

impl<'a> Subscription<'a> {
    /// The spans in which it stood. An update leaves the place, and ends one only if it is to.
    fn spans(&self, at_updates: bool) -> Vec<Span<'a>> {
        let mut spans: Vec<Span<'a>> = Vec::new();
        let (mut exists, mut tries): (bool, Vec<&Call>) = (false, Vec::new());
        for call in &self.calls {
            let changes = match &call.what {
                What::Create { .. } | What::Seek(_) | What::Delete => true,
                What::Update(_) => at_updates,
                What::Get | What::Acknowledge { .. } => false,
            };
            if !changes {
                continue;
            }
            tries.push(call);
            if call.answer == Answer::Unknown {
                // It is asked again.
                if let Some(last) = spans.last_mut().filter(|_| exists) {
                    last.to = last.to.min(tries[0].asked);
                }
                continue;
            }
            let (first, refused) = (tries[0], matches!(call.answer, Answer::Refused(_)));
            let maybe_done = tries.len() > 1 || !refused;
            tries.clear();
            if !maybe_done {
                continue;
            }
            if let Some(last) = spans.last_mut().filter(|_| exists) {
                last.to = last.to.min(first.asked);
            }
            let (asked_for, wanted) = match &call.what {
                What::Create { wanted, start } => (Some(start), Some(wanted)),
                What::Seek(start) => (Some(start), None),
                What::Update(wanted) => (None, Some(wanted)),
                What::Delete | What::Get | What::Acknowledge { .. } => (None, None),
            };
            exists = call.what != What::Delete;
            let wanted = wanted.or(spans.last().map(|span| span.wanted));
            if let Some(wanted) = wanted.filter(|_| exists) {
                let set = match asked_for {
                    Some(Start::After(cursor, _)) => Some(cursor.number),
                    Some(Start::Latest | Start::Earliest | Start::Since(_) | Start::SubscriptionId(_))
                    | None => None,
                };
                let place = place(call).or(set);
                spans.push(Span { change: first.asked, from: call.ended, to: Moment::MAX, place, wanted });
            }
        }
        spans
    }

    /// The furthest place at which it can stand at a moment of a span: where it was set, what anybody has asked to
    /// acknowledge since, and where trimming may have moved it. None where nobody knows.
    fn furthest(&self, span: &Span<'_>, at: Moment, trimmed: u64) -> Option<u64> {
        let acknowledged = self.calls.iter().filter_map(|call| {
            // One that was not answered may be done late.
            let may_count = call.asked <= at && (call.ended >= span.change || call.answer == Answer::Unknown);
            acknowledged(call).filter(|_| may_count)
        });
        Some(acknowledged.max().unwrap_or(0).max(span.place?).max(trimmed))
    }

    /// Where it was seen to stand, and when.
    fn seen(&self) -> impl Iterator<Item = (Moment, Moment, u64)> {
        let calls = self.calls.iter().filter_map(|call| {
            let looks = match call.what {
                What::Get | What::Acknowledge { .. } | What::Update(_) => true,
                What::Create { .. } | What::Seek(_) | What::Delete => false,
            };
            Some((call.asked, call.ended, place(call).filter(|_| looks)?))
        });
        let starts = self.streams.iter().filter_map(|stream| {
            let (started, ..) = stream.started()?;
            Some((stream.opened, stream.began, started.number))
        });
        calls.chain(starts)
    }

    /// The events that it wanted in a span and that none of its streams gave: between where it first stood and where it
    /// came to.
    fn missed(&self, journal: &Journal<'a>, span: &Span<'a>, is_last: bool) -> Vec<&'a Seen> {
        let starts = self.streams.iter().filter(|stream| span.has_start(stream));
        let from = starts.filter_map(|stream| stream.started()).map(|(started, ..)| started.number).min();
        let Some(from) = from else { return Vec::new() };
        let came_to = self.seen().filter(|(asked, ended, _)| span.holds(*asked, *ended));
        let to = came_to.map(|(.., place)| place).max().unwrap_or(from);
        let to = if is_last { journal.newest } else { to };
        let given: HashSet<u64> =
            self.streams.iter().flat_map(|stream| stream.events()).map(Seen::number).collect();
        journal.between(from, to, span.wanted).filter(|event| !given.contains(&event.number())).collect()
    }

    fn all_missed(&self, journal: &Journal<'a>) -> Vec<&'a Seen> {
        let spans = self.spans(true);
        let missed = |(at, span)| self.missed(journal, span, at + 1 == spans.len() && span.to == Moment::MAX);
        spans.iter().enumerate().flat_map(missed).collect()
    }

    /// Whether a stream was told that an event is gone.
    fn was_told(&self, number: u64) -> bool {
        self.streams.iter().any(|stream| {
            let refused = match &stream.end {
                End::Refused { reason, place: Some(oldest), .. } => {
                    reason == CURSOR_EXPIRED && number <= oldest.number
                }
                End::Refused { place: None, .. }
                | End::Left
                | End::Settled
                | End::Silent
                | End::Ok
                | End::Broken
                | End::Lagging => false,
            };
            refused
                || stream.given.iter().any(|given| match given {
                    Given::Gap { after, resume, .. } => {
                        after.is_none_or(|after| after.number < number) && number <= resume.number
                    }
                    Given::Started { .. }
                    | Given::Event(_)
                    | Given::Heartbeat(_)
                    | Given::Closing { .. }
                    | Given::Nonsense(_) => false,
                })
        })
    }
}

fn is_refused(end: &End, with: &str) -> bool {
    matches!(end, End::Refused { reason, .. } if reason == with)
}

/// Where an acknowledgement that was answered stands, or behind it, a stream that is asked for later starts; and what
/// stands is found.
pub(super) fn acknowledged_is_durable(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |found| {
        for span in found.spans(false) {
            let answered = |call: &&&Call| acknowledged(call).is_some() && span.has(call);
            let answered: Vec<&Call> = found.calls.iter().filter(answered).copied().collect();
            for stream in found.streams.iter().filter(|stream| span.has_start(stream)) {
                let Some((started, ..)) = stream.started() else {
                    if stream.given.is_empty() && is_refused(&stream.end, NOT_FOUND) {
                        return Err(format!(
                            "it stands, and {}, who asked at {}, is refused",
                            stream.reader, stream.opened
                        ));
                    }
                    continue;
                };
                let lost = answered.iter().find(|call| {
                    call.ended < stream.opened && place(call).is_some_and(|place| place > started.number)
                });
                if let Some(call) = lost {
                    return Err(format!(
                        "{call:?}\nwas answered before {} asked, at {}, and was given a stream at {started:?}",
                        stream.reader, stream.opened
                    ));
                }
            }
            let refused = Answer::Refused(NOT_FOUND.to_owned());
            if let Some(call) = found.calls.iter().find(|call| span.has(call) && call.answer == refused) {
                return Err(format!("it stands, and is not found: {call:?}"));
            }
        }
        Ok(())
    })
}

/// The places that are answered, to `Acknowledge` and to whoever looks, never go back but by a seek.
pub(super) fn acknowledge_never_goes_back(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |found| {
        for span in found.spans(false) {
            let told = found.calls.iter().filter(|call| place(call).is_some() && span.has(call));
            let mut by_end: Vec<&Call> = told.copied().collect();
            let mut by_start = by_end.clone();
            by_end.sort_by_key(|call| call.ended);
            by_start.sort_by_key(|call| call.asked);
            let (mut ended, mut furthest) = (by_end.into_iter().peekable(), None::<&Call>);
            for call in by_start {
                while let Some(before) = ended.next_if(|before| before.ended < call.asked) {
                    if furthest.is_none_or(|furthest| place(furthest) < place(before)) {
                        furthest = Some(before);
                    }
                }
                if let Some(before) = furthest.filter(|before| place(call) < place(before)) {
                    return Err(format!("{call:?}\ncame after\n{before:?}"));
                }
            }
        }
        Ok(())
    })
}

/// Whoever acknowledges with the generation of a stream from before a change is refused, also when the subscription was
/// deleted and made anew since.
pub(super) fn late_acknowledgements_are_refused(records: &Records, _: &Journal<'_>) -> Result<(), String> {
    each(records, |found| {
        let generations: Vec<(Moment, u64)> = found
            .calls
            .iter()
            .filter_map(|call| match (&call.what, &call.answer) {
                (
                    What::Create { .. } | What::Update(_) | What::Seek(_),
                    Answer::Stands { generation: Some(generation), .. },
                ) => Some((call.ended, *generation)),
                _ => None,
            })
            .collect();
        for call in &found.calls {
            let (What::Acknowledge { generation: given @ 1.., .. }, Some(_)) = (&call.what, place(call))
            else {
                continue;
            };
            let current = generations.iter().rev().find(|(since, _)| *since < call.asked);
            if let Some((since, current)) = current.filter(|(_, current)| current > given) {
                return Err(format!("its generation was {current} since {since}: {call:?}"));
            }
        }
        Ok(())
    })
}

/// It stands nowhere but where it was set, where somebody has acknowledged, or where trimming has moved it; and between
/// where it stood and where it has come to, its streams gave every event that it wants and that is still there.
pub(super) fn a_subscription_misses_nothing(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |found| {
        for span in found.spans(true) {
            for (asked, ended, place) in found.seen().filter(|(asked, ended, _)| span.holds(*asked, *ended)) {
                if let Some(furthest) = found.furthest(&span, ended, journal.trimmed)
                    && place > furthest
                {
                    return Err(format!(
                        "between {asked} and {ended} it stood at {place}, and nobody has acknowledged more than {furthest}"
                    ));
                }
            }
        }
        let still_there = |event: &&Seen| event.number() > journal.trimmed;
        match found.all_missed(journal).into_iter().find(still_there) {
            Some(event) => Err(format!("none of its {} streams gave {event:?}", found.streams.len())),
            None => Ok(()),
        }
    })
}

/// As long as nothing lets go of what subscriptions hold: of the events that one wants and has not acknowledged, none is
/// gone, whoever looks.
pub(super) fn held_events_stay(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    if !records.holds {
        return Ok(());
    }
    let starts = records.streams.iter().filter_map(|stream| {
        let (_, oldest, _) = stream.started()?;
        Some((stream.opened, stream.began, oldest.number))
    });
    let mut oldest: Vec<(Moment, Moment, u64)> = starts.filter(|(.., oldest)| *oldest > 0).collect();
    oldest.push((Moment::MAX - 2, Moment::MAX - 1, journal.trimmed));
    each(records, |found| {
        for stream in &found.streams {
            let gap = stream.given.iter().find(|given| matches!(given, Given::Gap { .. }));
            if gap.is_some() || is_refused(&stream.end, CURSOR_EXPIRED) {
                return Err(format!(
                    "{} ({}) was told {gap:?}, and ended with {:?}",
                    stream.reader, stream.opened, stream.end
                ));
            }
        }
        let expired = |call: &&&Call| matches!(call.answer, Answer::Stands { expired: true, .. });
        if let Some(call) = found.calls.iter().find(expired) {
            return Err(format!("it has expired: {call:?}"));
        }
        for span in found.spans(true) {
            for (asked, ended, oldest) in oldest.iter().filter(|(asked, ended, _)| span.holds(*asked, *ended))
            {
                let Some(furthest) = found.furthest(&span, *ended, 0) else { continue };
                if let Some(event) = journal.between(furthest, *oldest, span.wanted).next() {
                    return Err(format!(
                        "between {asked} and {ended} the journal began behind {oldest}, and it had acknowledged up to {furthest} at most, and not\n{event:?}"
                    ));
                }
            }
        }
        Ok(())
    })
}

/// The place behind which the journal begins, as far as anybody was told before a moment.
fn oldest_told(records: &Records, before: Moment) -> u64 {
    let told = records.streams.iter().filter(|stream| stream.began < before);
    told.filter_map(|stream| stream.started()).map(|(_, oldest, _)| oldest.number).max().unwrap_or(0)
}

/// What a subscription wanted, was not given and is gone, its streams were told of. One that is said to have expired says
/// so to whoever does not want gaps; and it is said of those that have lost something, and of no others.
pub(super) fn expired_is_told(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |found| {
        let gone = |event: &&Seen| event.number() <= journal.trimmed && !found.was_told(event.number());
        if let Some(event) = found.all_missed(journal).into_iter().find(gone) {
            return Err(format!("it was neither given nor told of {event:?}"));
        }
        for stream in &found.streams {
            if let End::Refused { reason, place: Some(oldest), .. } = &stream.end
                && reason == CURSOR_EXPIRED
                && oldest.number > journal.trimmed
            {
                return Err(format!(
                    "{} was told to go on behind {oldest:?}, and what is there is left",
                    stream.reader
                ));
            }
        }
        let spans = found.spans(false);
        for call in &found.calls {
            let Answer::Stands { place, expired, .. } = &call.answer else { continue };
            let gone = oldest_told(records, call.asked);
            if call.what == What::Get && !expired && place.number < gone {
                return Err(format!("all up to {gone} was gone before, and it has not expired: {call:?}"));
            }
            if !expired {
                continue;
            }
            if place.number >= journal.trimmed {
                return Err(format!("all is there that is behind its place: {call:?}"));
            }
            let Some(span) = spans.iter().find(|span| span.has(call)) else { continue };
            // Whoever acknowledges may have ended it.
            let until =
                found.calls.iter().filter(|other| acknowledged(other).is_some() && other.ended >= call.asked);
            let until = until.map(|other| other.asked).min().unwrap_or(span.to);
            let started = found.streams.iter().find(|stream| {
                !stream.skips
                    && stream.started().is_some()
                    && call.ended < stream.opened
                    && stream.began < until.min(span.to)
            });
            if let Some(stream) = started {
                return Err(format!(
                    "{call:?}\nwas answered, and {}, who asked at {}, was given a stream",
                    stream.reader, stream.opened
                ));
            }
        }
        Ok(())
    })
}

/// When faults are over, every subscription has come to the journal's end.
pub(super) fn subscriptions_settle(records: &Records, journal: &Journal<'_>) -> Result<(), String> {
    each(records, |found| {
        let last = found.calls.iter().rev().find(|call| call.what == What::Get);
        match last.and_then(|call| place(call)) {
            Some(place) if place >= journal.newest => Ok(()),
            place => Err(format!("stands at {place:?}, the journal at {}", journal.newest)),
        }
    })
}
