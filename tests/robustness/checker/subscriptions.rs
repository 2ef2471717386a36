//! Checks of named subscriptions.
//!
//! They compare times. Only the subscription's manager sets its position. The time between two of its changes is a
//! *span*: the position only advances in it. A check considers operations and streams that lie entirely within one
//! span. Those that overlap a change are not checked.

use std::collections::{BTreeSet, HashSet};

use super::Journal;
use crate::history::{
    Completion, Filter, History, Micros, ObservedEvent, Operation, OperationKind, Start, Stream, StreamEnd,
    StreamItem,
};
use crate::subscriber::CURSOR_EXPIRED;

const NOT_FOUND: &str = "SUBSCRIPTION_NOT_FOUND";

/// A time between two changes of a subscription's position.
struct Span<'a> {
    /// When the change at the span's beginning was invoked.
    change: Micros,
    from: Micros,
    /// When the next change was invoked.
    to: Micros,
    /// The position that the change set. `None` if it is unknown.
    position: Option<u64>,
    filter: &'a Filter,
}

impl Span<'_> {
    fn contains(&self, invoked: Micros, completed: Micros) -> bool {
        self.from < invoked && completed < self.to
    }

    fn has(&self, op: &Operation) -> bool {
        self.contains(op.invoked, op.completed)
    }

    fn has_start(&self, stream: &Stream) -> bool {
        self.contains(stream.invoked, stream.started_at)
    }
}

/// The recorded operations and streams of one subscription.
struct Subscription<'a> {
    id: &'static str,
    operations: Vec<&'a Operation>,
    streams: Vec<&'a Stream>,
}

fn all(history: &History) -> Vec<Subscription<'_>> {
    let ids: BTreeSet<&'static str> = history.operations.iter().map(|op| op.subscription).collect();
    let of = |id| Subscription {
        id,
        operations: history.operations.iter().filter(|op| op.subscription == id).collect(),
        streams: history.streams.iter().filter(|stream| stream.subscription() == Some(id)).collect(),
    };
    ids.into_iter().map(of).collect()
}

/// Checks each subscription. Returns the first violation, with the subscription's id.
fn each(history: &History, check: impl Fn(&Subscription<'_>) -> Result<(), String>) -> Result<(), String> {
    all(history).iter().try_for_each(|subscription| {
        check(subscription).map_err(|detail| format!("{}: {detail}", subscription.id))
    })
}

/// The position that an operation returned.
fn position(op: &Operation) -> Option<u64> {
    match &op.completion {
        Completion::Ok { position, .. } => Some(position.sequence),
        Completion::Info | Completion::Deleted | Completion::Fail(_) => None,
    }
}

/// The position to acknowledge, if the operation is an acknowledgement.
fn acknowledged(op: &Operation) -> Option<u64> {
    match &op.kind {
        OperationKind::Acknowledge { cursor, .. } => Some(cursor.sequence),
        OperationKind::Create { .. }
        | OperationKind::Update(_)
        | OperationKind::Seek(_)
        | OperationKind::Delete
        | OperationKind::Get => None,
    }
}

impl<'a> Subscription<'a> {
    /// The spans in which the subscription exists. An update does not change the position. It ends a span only if
    /// `at_updates` is set.
    fn spans(&self, at_updates: bool) -> Vec<Span<'a>> {
        let mut spans: Vec<Span<'a>> = Vec::new();
        let (mut exists, mut attempts): (bool, Vec<&Operation>) = (false, Vec::new());
        for op in &self.operations {
            let changes = match &op.kind {
                OperationKind::Create { .. } | OperationKind::Seek(_) | OperationKind::Delete => true,
                OperationKind::Update(_) => at_updates,
                OperationKind::Get | OperationKind::Acknowledge { .. } => false,
            };
            if !changes {
                continue;
            }
            attempts.push(op);
            if op.completion == Completion::Info {
                // The manager retries it.
                if let Some(last) = spans.last_mut().filter(|_| exists) {
                    last.to = last.to.min(attempts[0].invoked);
                }
                continue;
            }
            let (first, failed) = (attempts[0], matches!(op.completion, Completion::Fail(_)));
            let may_have_effect = attempts.len() > 1 || !failed;
            attempts.clear();
            if !may_have_effect {
                continue;
            }
            if let Some(last) = spans.last_mut().filter(|_| exists) {
                last.to = last.to.min(first.invoked);
            }
            let (start, filter) = match &op.kind {
                OperationKind::Create { filter, start } => (Some(start), Some(filter)),
                OperationKind::Seek(start) => (Some(start), None),
                OperationKind::Update(filter) => (None, Some(filter)),
                OperationKind::Delete | OperationKind::Get | OperationKind::Acknowledge { .. } => {
                    (None, None)
                }
            };
            exists = op.kind != OperationKind::Delete;
            let filter = filter.or(spans.last().map(|span| span.filter));
            if let Some(filter) = filter.filter(|_| exists) {
                let set = match start {
                    Some(Start::After(cursor, _)) => Some(cursor.sequence),
                    Some(Start::Latest | Start::Earliest | Start::Since(_) | Start::Subscription(_))
                    | None => None,
                };
                let position = position(op).or(set);
                spans.push(Span {
                    change: first.invoked,
                    from: op.completed,
                    to: Micros::MAX,
                    position,
                    filter,
                });
            }
        }
        spans
    }

    /// The highest position possible at a time of a span: the one that the change set, any position with an invoked
    /// acknowledgement since then, or one that trimming may have set. `None` if the change's position is unknown.
    fn furthest(&self, span: &Span<'_>, at: Micros, trimmed: u64) -> Option<u64> {
        let acknowledged = self.operations.iter().filter_map(|op| {
            // An acknowledgement without a response may take effect late.
            let may_count =
                op.invoked <= at && (op.completed >= span.change || op.completion == Completion::Info);
            acknowledged(op).filter(|_| may_count)
        });
        Some(acknowledged.max().unwrap_or(0).max(span.position?).max(trimmed))
    }

    /// Each observed position: the invocation, the completion, and the position.
    fn observed_positions(&self) -> impl Iterator<Item = (Micros, Micros, u64)> {
        let operations = self.operations.iter().filter_map(|op| {
            let is_read = match op.kind {
                OperationKind::Get | OperationKind::Acknowledge { .. } | OperationKind::Update(_) => true,
                OperationKind::Create { .. } | OperationKind::Seek(_) | OperationKind::Delete => false,
            };
            Some((op.invoked, op.completed, position(op).filter(|_| is_read)?))
        });
        let starts = self.streams.iter().filter_map(|stream| {
            let (started, ..) = stream.started()?;
            Some((stream.invoked, stream.started_at, started.sequence))
        });
        operations.chain(starts)
    }

    /// The events of a span that the filter selects and no stream contains, from the span's first observed start to
    /// its last observed position.
    fn missed_in(&self, journal: &Journal<'a>, span: &Span<'a>, is_last: bool) -> Vec<&'a ObservedEvent> {
        let starts = self.streams.iter().filter(|stream| span.has_start(stream));
        let from = starts.filter_map(|stream| stream.started()).map(|(started, ..)| started.sequence).min();
        let Some(from) = from else { return Vec::new() };
        let reached =
            self.observed_positions().filter(|(invoked, completed, _)| span.contains(*invoked, *completed));
        let to = reached.map(|(.., position)| position).max().unwrap_or(from);
        let to = if is_last { journal.newest } else { to };
        let received: HashSet<u64> =
            self.streams.iter().flat_map(|stream| stream.events()).map(ObservedEvent::sequence).collect();
        journal.between(from, to, span.filter).filter(|event| !received.contains(&event.sequence())).collect()
    }

    fn missed_events(&self, journal: &Journal<'a>) -> Vec<&'a ObservedEvent> {
        let spans = self.spans(true);
        let missed =
            |(at, span)| self.missed_in(journal, span, at + 1 == spans.len() && span.to == Micros::MAX);
        spans.iter().enumerate().flat_map(missed).collect()
    }

    /// Whether a failure or a gap reported the event as expired.
    fn was_reported(&self, sequence: u64) -> bool {
        self.streams.iter().any(|stream| {
            let failed = match &stream.end {
                StreamEnd::Failed { reason, position: Some(oldest), .. } => {
                    reason == CURSOR_EXPIRED && sequence <= oldest.sequence
                }
                StreamEnd::Failed { position: None, .. }
                | StreamEnd::Disconnected
                | StreamEnd::CaughtUp
                | StreamEnd::IdleTimeout
                | StreamEnd::Ok
                | StreamEnd::ConnectionLost
                | StreamEnd::NotCaughtUp => false,
            };
            failed
                || stream.items.iter().any(|item| match item {
                    StreamItem::Gap { after, resume, .. } => {
                        after.is_none_or(|after| after.sequence < sequence) && sequence <= resume.sequence
                    }
                    StreamItem::Started { .. }
                    | StreamItem::Event(_)
                    | StreamItem::Heartbeat(_)
                    | StreamItem::Closing { .. }
                    | StreamItem::Malformed(_) => false,
                })
        })
    }
}

fn failed_with(end: &StreamEnd, with: &str) -> bool {
    matches!(end, StreamEnd::Failed { reason, .. } if reason == with)
}

/// A stream that is opened after a completed acknowledgement starts at its position or later. A subscription that
/// exists is found.
pub(super) fn acknowledgements_are_durable(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |subscription| {
        for span in subscription.spans(false) {
            let is_answered = |op: &&&Operation| acknowledged(op).is_some() && span.has(op);
            let answered: Vec<&Operation> =
                subscription.operations.iter().filter(is_answered).copied().collect();
            for stream in subscription.streams.iter().filter(|stream| span.has_start(stream)) {
                let Some((started, ..)) = stream.started() else {
                    if stream.items.is_empty() && failed_with(&stream.end, NOT_FOUND) {
                        return Err(format!(
                            "it exists, but {}, opened at {}, failed with NOT_FOUND",
                            stream.subscriber, stream.invoked
                        ));
                    }
                    continue;
                };
                let lost = answered.iter().find(|op| {
                    op.completed < stream.invoked
                        && position(op).is_some_and(|position| position > started.sequence)
                });
                if let Some(op) = lost {
                    return Err(format!(
                        "{op:?}\ncompleted before {} was opened at {}, but the stream started at {started:?}",
                        stream.subscriber, stream.invoked
                    ));
                }
            }
            let refused = Completion::Fail(NOT_FOUND.to_owned());
            if let Some(op) =
                subscription.operations.iter().find(|op| span.has(op) && op.completion == refused)
            {
                return Err(format!("it exists, but is not found: {op:?}"));
            }
        }
        Ok(())
    })
}

/// The positions that operations return never decrease, except by a seek.
pub(super) fn acknowledgements_are_monotonic(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |subscription| {
        for span in subscription.spans(false) {
            let positions =
                subscription.operations.iter().filter(|op| position(op).is_some() && span.has(op));
            let mut by_end: Vec<&Operation> = positions.copied().collect();
            let mut by_start = by_end.clone();
            by_end.sort_by_key(|op| op.completed);
            by_start.sort_by_key(|op| op.invoked);
            let (mut completed, mut furthest) = (by_end.into_iter().peekable(), None::<&Operation>);
            for op in by_start {
                while let Some(before) = completed.next_if(|before| before.completed < op.invoked) {
                    if furthest.is_none_or(|furthest| position(furthest) < position(before)) {
                        furthest = Some(before);
                    }
                }
                if let Some(before) = furthest.filter(|before| position(op) < position(before)) {
                    return Err(format!("{op:?}\nreturned a lower position than the earlier\n{before:?}"));
                }
            }
        }
        Ok(())
    })
}

/// An acknowledgement with the generation of before a change fails, also if the subscription was deleted and
/// recreated.
pub(super) fn stale_acknowledgements_fail(history: &History, _: &Journal<'_>) -> Result<(), String> {
    each(history, |subscription| {
        let generations: Vec<(Micros, u64)> = subscription
            .operations
            .iter()
            .filter_map(|op| match (&op.kind, &op.completion) {
                (
                    OperationKind::Create { .. } | OperationKind::Update(_) | OperationKind::Seek(_),
                    Completion::Ok { generation: Some(generation), .. },
                ) => Some((op.completed, *generation)),
                _ => None,
            })
            .collect();
        for op in &subscription.operations {
            let (OperationKind::Acknowledge { generation: used @ 1.., .. }, Some(_)) =
                (&op.kind, position(op))
            else {
                continue;
            };
            let current = generations.iter().rev().find(|(since, _)| *since < op.invoked);
            if let Some((since, current)) = current.filter(|(_, current)| current > used) {
                return Err(format!("its generation was {current} since {since}: {op:?}"));
            }
        }
        Ok(())
    })
}

/// The position is never beyond what a change set, a client acknowledged, or trimming skipped. Between the first and
/// the last observed position, the streams contain every selected event that is not trimmed.
pub(super) fn subscriptions_miss_nothing(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |subscription| {
        for span in subscription.spans(true) {
            for (invoked, completed, position) in subscription
                .observed_positions()
                .filter(|(invoked, completed, _)| span.contains(*invoked, *completed))
            {
                if let Some(furthest) = subscription.furthest(&span, completed, journal.trimmed)
                    && position > furthest
                {
                    return Err(format!(
                        "between {invoked} and {completed} the position was {position}, but nothing beyond {furthest} was acknowledged"
                    ));
                }
            }
        }
        let is_present = |event: &&ObservedEvent| event.sequence() > journal.trimmed;
        match subscription.missed_events(journal).into_iter().find(is_present) {
            Some(event) => {
                Err(format!("none of its {} streams contains {event:?}", subscription.streams.len()))
            }
            None => Ok(()),
        }
    })
}

/// While the configuration retains unacknowledged events, none of them is trimmed in any participant's view.
pub(super) fn unacknowledged_events_are_retained(
    history: &History,
    journal: &Journal<'_>,
) -> Result<(), String> {
    if !history.retains_unacknowledged {
        return Ok(());
    }
    let starts = history.streams.iter().filter_map(|stream| {
        let (_, oldest, _) = stream.started()?;
        Some((stream.invoked, stream.started_at, oldest.sequence))
    });
    let mut oldest: Vec<(Micros, Micros, u64)> = starts.filter(|(.., oldest)| *oldest > 0).collect();
    oldest.push((Micros::MAX - 2, Micros::MAX - 1, journal.trimmed));
    each(history, |subscription| {
        for stream in &subscription.streams {
            let gap = stream.items.iter().find(|item| matches!(item, StreamItem::Gap { .. }));
            if gap.is_some() || failed_with(&stream.end, CURSOR_EXPIRED) {
                return Err(format!(
                    "{}, opened at {}, received {gap:?} and ended with {:?}",
                    stream.subscriber, stream.invoked, stream.end
                ));
            }
        }
        let expired = |op: &&&Operation| matches!(op.completion, Completion::Ok { expired: true, .. });
        if let Some(op) = subscription.operations.iter().find(expired) {
            return Err(format!("reported as expired: {op:?}"));
        }
        for span in subscription.spans(true) {
            for (invoked, completed, oldest) in
                oldest.iter().filter(|(invoked, completed, _)| span.contains(*invoked, *completed))
            {
                let Some(furthest) = subscription.furthest(&span, *completed, 0) else { continue };
                if let Some(event) = journal.between(furthest, *oldest, span.filter).next() {
                    return Err(format!(
                        "between {invoked} and {completed} events up to {oldest} were trimmed, but at most {furthest} was acknowledged; missing:\n{event:?}"
                    ));
                }
            }
        }
        Ok(())
    })
}

/// The highest trimmed sequence number that any stream had reported before this time.
fn trimmed_before(history: &History, before: Micros) -> u64 {
    let streams = history.streams.iter().filter(|stream| stream.started_at < before);
    streams.filter_map(|stream| stream.started()).map(|(_, oldest, _)| oldest.sequence).max().unwrap_or(0)
}

/// Expired events are reported to the subscription's streams. A subscription that lost an event, and no other, is
/// reported as expired. While it is expired, a stream without gaps fails.
pub(super) fn expiry_is_reported(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |subscription| {
        let unreported = |event: &&ObservedEvent| {
            event.sequence() <= journal.trimmed && !subscription.was_reported(event.sequence())
        };
        if let Some(event) = subscription.missed_events(journal).into_iter().find(unreported) {
            return Err(format!("no stream received or reported as expired: {event:?}"));
        }
        for stream in &subscription.streams {
            if let StreamEnd::Failed { reason, position: Some(oldest), .. } = &stream.end
                && reason == CURSOR_EXPIRED
                && oldest.sequence > journal.trimmed
            {
                return Err(format!(
                    "{} must resume from {oldest:?}, but that event is not trimmed",
                    stream.subscriber
                ));
            }
        }
        let spans = subscription.spans(false);
        for op in &subscription.operations {
            let Completion::Ok { position, expired, .. } = &op.completion else { continue };
            let trimmed = trimmed_before(history, op.invoked);
            if op.kind == OperationKind::Get && !expired && position.sequence < trimmed {
                return Err(format!(
                    "events up to {trimmed} were trimmed before, but it is not expired: {op:?}"
                ));
            }
            if !expired {
                continue;
            }
            if position.sequence >= journal.trimmed {
                return Err(format!(
                    "reported as expired, but no event after its position is trimmed: {op:?}"
                ));
            }
            let Some(span) = spans.iter().find(|span| span.has(op)) else { continue };
            // A later acknowledgement may end the expired state.
            let until = subscription
                .operations
                .iter()
                .filter(|other| acknowledged(other).is_some() && other.completed >= op.invoked);
            let until = until.map(|other| other.invoked).min().unwrap_or(span.to);
            let started = subscription.streams.iter().find(|stream| {
                !stream.wants_gaps
                    && stream.started().is_some()
                    && op.completed < stream.invoked
                    && stream.started_at < until.min(span.to)
            });
            if let Some(stream) = started {
                return Err(format!(
                    "{op:?}\nreported it as expired, but {}, opened at {}, started without a gap",
                    stream.subscriber, stream.invoked
                ));
            }
        }
        Ok(())
    })
}

/// After the faults, every subscription's position reaches the journal's end.
pub(super) fn subscriptions_catch_up(history: &History, journal: &Journal<'_>) -> Result<(), String> {
    each(history, |subscription| {
        let last = subscription.operations.iter().rev().find(|op| op.kind == OperationKind::Get);
        match last.and_then(|op| position(op)) {
            Some(position) if position >= journal.newest => Ok(()),
            position => Err(format!("the position is {position:?}; the journal ends at {}", journal.newest)),
        }
    })
}
