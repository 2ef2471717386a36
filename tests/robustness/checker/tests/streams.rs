//! Tests of the checks on streams.

use switchboard::pb::v1::ClosingReason;
use tonic::Code;

use super::{NEWEST, at, event, events, index_of, started, stream, violations_after};
use crate::history::{CursorOrigin, History, Start, StreamEnd, StreamItem};

#[test]
fn missing_event_is_reported() {
    let violations = violations_after(|history| {
        let index = index_of(&history.streams[2], 9);
        history.streams[2].items.remove(index);
    });
    assert_eq!(violations, ["reliable", "resumable"]);
    // An event that the filter selects.
    let violations = violations_after(|history| {
        let index = index_of(&history.streams[3], 4);
        history.streams[3].items.remove(index);
    });
    assert_eq!(violations, ["reliable", "resumable"]);
    // An event that another stream of the same subscriber contains.
    let violations = violations_after(|history| {
        let index = index_of(&history.streams[0], 10);
        history.streams[0].items.remove(index);
    });
    assert_eq!(violations, ["reliable"]);
    // The first event after the start.
    let violations = violations_after(|history| {
        history.streams[1].items.remove(1);
    });
    assert_eq!(violations, ["reliable"]);
}

#[test]
fn reordered_events_are_reported() {
    let violations = violations_after(|history| {
        let first = index_of(&history.streams[2], 9);
        history.streams[2].items.swap(first, first + 1);
    });
    assert_eq!(violations, ["ordered", "reliable"]);
}

#[test]
fn duplicate_event_on_a_stream_is_reported() {
    let violations = violations_after(|history| {
        let twice = index_of(&history.streams[2], 9);
        let event = history.streams[2].items[twice].clone();
        history.streams[2].items.insert(twice, event);
    });
    assert_eq!(violations, ["unique"]);
}

#[test]
fn event_outside_the_filter_is_reported() {
    let violations = violations_after(|history| {
        let before = index_of(&history.streams[3], 4);
        history.streams[3].items.insert(before, StreamItem::Event(event(3)));
    });
    assert_eq!(violations, ["filterable"]);
}

#[test]
fn heartbeat_ahead_or_going_back_is_reported() {
    // Beyond the next event.
    let violations = violations_after(|history| {
        let next = index_of(&history.streams[2], 9);
        history.streams[2].items.insert(next, StreamItem::Heartbeat(at(9)));
    });
    assert_eq!(violations, ["bookmarkable"]);
    // Beyond an event that the stream does not contain later.
    let violations = violations_after(|history| history.streams[0].items.push(StreamItem::Heartbeat(at(15))));
    assert_eq!(violations, ["bookmarkable"]);
    // Beyond the journal's end.
    let violations =
        violations_after(|history| history.streams[1].items.push(StreamItem::Heartbeat(at(NEWEST + 1))));
    assert_eq!(violations, ["bookmarkable"]);
    // A position before the previous one.
    let violations = violations_after(|history| {
        let next = index_of(&history.streams[2], 9);
        history.streams[2].items.insert(next, StreamItem::Heartbeat(at(7)));
    });
    assert_eq!(violations, ["bookmarkable"]);
    // Beyond an event that the filter excludes: allowed.
    let violations = violations_after(|history| {
        let next = index_of(&history.streams[3], 4);
        history.streams[3].items.insert(next, StreamItem::Heartbeat(at(3)));
    });
    assert_eq!(violations, [""; 0]);
    // The same rules apply to `closing`.
    let violations = violations_after(|history| {
        history.streams[2].items.pop();
        history.streams[2]
            .items
            .push(StreamItem::Closing { cursor: at(NEWEST - 1), reason: ClosingReason::Shutdown });
    });
    assert!(violations.contains(&"bookmarkable"), "{violations:?}");
}

#[test]
fn wrong_start_position_is_reported() {
    let violations = violations_after(|history| history.streams[1].items[0] = started(9, 15));
    assert!(violations.contains(&"starts_at_requested_position"), "{violations:?}");
    // A latest position that was out of date when the stream was opened.
    let violations = violations_after(|history| {
        history.streams[2].items[0] = started(3, 4);
        history.streams[2].items.insert(1, StreamItem::Event(event(4)));
    });
    assert_eq!(violations, ["latest_and_since_exclude_older_events"]);
    // Since a time: too early and too late.
    for (start, expected) in
        [(5, "latest_and_since_exclude_older_events"), (8, "starts_at_requested_position")]
    {
        let violations = violations_after(|history| {
            history.streams[4].items.truncate(1);
            history.streams[4].items[0] = started(start, NEWEST);
            history.streams[4].items.extend(events(start + 1..=NEWEST));
        });
        assert_eq!(violations, [expected], "{start}");
    }
    // An event from before the start.
    let violations =
        violations_after(|history| history.streams[1].items.insert(1, StreamItem::Event(event(8))));
    assert_eq!(violations, ["starts_at_requested_position"]);
}

#[test]
fn event_lost_over_a_reconnect_is_reported() {
    let violations = violations_after(|history| {
        let Start::After(..) = history.streams[1].start else { panic!("the stream resumes after a cursor") };
        history.streams[1].start = Start::After(at(14), CursorOrigin::Heartbeat);
        history.streams[1].items.drain(1..=6);
        history.streams[1].items[0] = started(14, 15);
    });
    assert_eq!(violations, ["resumable"]);
    let violations = violations_after(|history| history.streams[2].items.clear());
    assert_eq!(violations, ["resumable", "subscribers_catch_up"]);
}

/// A subscriber reads up to 3, gets `CURSOR_EXPIRED` with a cursor, resumes there and disconnects at 8. At the end
/// all events up to 12 are trimmed.
fn add_expired_subscriber(history: &mut History, position: Option<u64>) {
    history.trimmed = 12;
    history.final_journal.drain(..12);
    history.listings.clear();
    let refused = StreamEnd::Failed {
        code: Code::OutOfRange,
        reason: "CURSOR_EXPIRED".to_owned(),
        position: position.map(at),
    };
    let mut first = vec![started(0, 3)];
    first.extend(events(1..=3));
    first.push(StreamItem::Heartbeat(at(3)));
    let mut second = vec![started(5, 8)];
    second.extend(events(6..=8));
    let mut third = vec![started(8, 12)];
    third.extend(events(9..=NEWEST));
    history.streams.extend([
        stream("expired", Start::Earliest, 26, first, refused),
        stream("expired", Start::After(at(5), CursorOrigin::Expired), 76, second, StreamEnd::ConnectionLost),
        stream("expired", Start::After(at(8), CursorOrigin::Event), 116, third, StreamEnd::CaughtUp),
    ]);
}

#[test]
fn cursor_expired_covers_only_events_expired_at_that_time() {
    let violations = |position: Option<u64>, change: fn(&mut History)| {
        violations_after(|history| {
            history.operations.clear();
            history.streams.truncate(5);
            add_expired_subscriber(history, position);
            change(history);
        })
    };
    assert_eq!(violations(Some(5), |_| {}), [""; 0]);
    // An event that a later reconnect loses and that is trimmed at the end was not yet expired at the failure.
    let at_a_later_reconnect = |history: &mut History| {
        history.streams[7].start = Start::After(at(9), CursorOrigin::Event);
        history.streams[7].items[0] = started(9, 12);
        history.streams[7].items.remove(1);
    };
    assert_eq!(violations(Some(5), at_a_later_reconnect), ["resumable"]);
    // An event from before the stream's position at the failure was skipped, not expired.
    let before_the_failure = |history: &mut History| {
        history.streams[5].start = Start::After(at(2), CursorOrigin::Event);
        history.streams[5].items.splice(..3, [started(2, 3)]);
        history.streams.insert(
            5,
            stream("expired", Start::Earliest, 16, vec![started(0, 1)], StreamEnd::ConnectionLost),
        );
    };
    assert_eq!(violations(Some(5), before_the_failure), ["resumable"]);
    // The cursor to resume from is not the oldest one.
    assert_eq!(violations(Some(13), |_| {}), ["stream_protocol_is_valid"]);
    assert_eq!(violations(None, |_| {}), ["stream_protocol_is_valid", "resumable"]);
}

#[test]
fn invalid_stream_protocol_is_reported() {
    let expected = ["stream_protocol_is_valid"];
    let refused = |code, reason: &str| StreamEnd::Failed { code, reason: reason.to_owned(), position: None };
    let violations = violations_after(|history| {
        history.streams[0].items.insert(1, started(0, 8));
    });
    assert_eq!(violations, expected);
    let violations = violations_after(|history| {
        let Some(closing) = history.streams[2].items.pop() else { panic!("closing") };
        let last = history.streams[2].items.len() - 1;
        history.streams[2].items.insert(last, closing);
    });
    assert!(violations.starts_with(&expected), "{violations:?}");
    assert_eq!(
        violations_after(|history| history.streams[0].items.push(StreamItem::Malformed("?".to_owned()))),
        expected
    );
    for end in [
        StreamEnd::Ok,
        refused(Code::OutOfRange, "CURSOR_LOST"),
        refused(Code::OutOfRange, "CURSOR_EXPIRED"),
        refused(Code::InvalidArgument, "CURSOR_MALFORMED"),
        refused(Code::Internal, "SERVER_STOPPING"),
        refused(Code::Internal, ""),
    ] {
        assert_eq!(violations_after(|history| history.streams[0].end = end.clone()), expected, "{end:?}");
    }
    for end in
        [refused(Code::Unavailable, "STORE_UNAVAILABLE"), StreamEnd::Disconnected, StreamEnd::IdleTimeout]
    {
        assert_eq!(violations_after(|history| history.streams[0].end = end), [""; 0]);
    }
}

#[test]
fn gap_without_trimmed_events_is_reported() {
    let gap = |after: u64, resume: u64, missed| StreamItem::Gap {
        after: Some(at(after)),
        resume: at(resume),
        missed: Some(missed),
    };
    let with = |trimmed: u64, violations: StreamItem| {
        violations_after(|history| {
            history.trimmed = trimmed;
            let gone = usize::try_from(trimmed).expect("small");
            history.final_journal.drain(..gone);
            history.listings.clear();
            let stream = &mut history.streams[2];
            stream.wants_gaps = true;
            let (from, to) = (index_of(stream, 9), index_of(stream, 10));
            stream.items.drain(from..=to);
            stream.items.insert(from, violations);
        })
    };
    assert_eq!(with(10, gap(8, 10, 2)), [""; 0]);
    assert!(with(0, gap(8, 10, 2)).contains(&"gaps_are_reported"));
    assert!(with(10, gap(8, 10, 3)).contains(&"gaps_are_reported"), "the count is wrong");
    assert!(
        with(10, gap(7, 10, 3)).contains(&"gaps_are_reported"),
        "the gap begins before the stream's position"
    );
    let not_requested = violations_after(|history| history.streams[1].items.push(gap(20, 21, 1)));
    assert!(not_requested.contains(&"gaps_are_reported"));
    // No gap is reported.
    assert!(with(10, StreamItem::Heartbeat(at(8))).contains(&"reliable"));
}

#[test]
fn subscriber_that_does_not_catch_up_is_reported() {
    assert_eq!(
        violations_after(|history| history.streams[1].end = StreamEnd::NotCaughtUp),
        ["subscribers_catch_up"]
    );
    let violations = violations_after(|history| {
        history.streams[3].items.pop();
    });
    assert_eq!(violations, ["resumable", "subscribers_catch_up"]);
}
