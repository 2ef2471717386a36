//! Checks of streams.

use switchboard::pb::v1::ClosingReason;
use tonic::Code;

use super::{NEWEST, at, broken, event, events, position, started, stream};
use crate::record::{End, Given, Kept, Records, Start};

#[test]
fn an_event_that_is_left_out_is_a_hole() {
    let told = broken(|records| {
        let gone = position(&records.streams[2], 9);
        records.streams[2].given.remove(gone);
    });
    assert_eq!(told, ["no_holes", "resumable"]);
    // Of what a filter chooses.
    let told = broken(|records| {
        let gone = position(&records.streams[3], 4);
        records.streams[3].given.remove(gone);
    });
    assert_eq!(told, ["no_holes", "resumable"]);
    // On one stream, where another of the same reader gave it.
    let told = broken(|records| {
        let gone = position(&records.streams[0], 10);
        records.streams[0].given.remove(gone);
    });
    assert_eq!(told, ["no_holes"]);
    // The first behind the start.
    let told = broken(|records| {
        records.streams[1].given.remove(1);
    });
    assert_eq!(told, ["no_holes"]);
}

#[test]
fn events_in_another_order_are_told() {
    let told = broken(|records| {
        let first = position(&records.streams[2], 9);
        records.streams[2].given.swap(first, first + 1);
    });
    assert_eq!(told, ["ordered", "no_holes"]);
}

#[test]
fn an_event_that_comes_twice_on_a_stream_is_told() {
    let told = broken(|records| {
        let twice = position(&records.streams[2], 9);
        let event = records.streams[2].given[twice].clone();
        records.streams[2].given.insert(twice, event);
    });
    assert_eq!(told, ["no_duplicate_within_a_stream"]);
}

#[test]
fn an_event_that_is_not_wanted_is_told() {
    let told = broken(|records| {
        let before = position(&records.streams[3], 4);
        records.streams[3].given.insert(before, Given::Event(event(3)));
    });
    assert_eq!(told, ["only_what_is_wanted"]);
}

#[test]
fn a_heartbeat_that_is_ahead_or_goes_back_is_told() {
    // Past the next event.
    let told = broken(|records| {
        let next = position(&records.streams[2], 9);
        records.streams[2].given.insert(next, Given::Heartbeat(at(9)));
    });
    assert_eq!(told, ["bookmarkable"]);
    // Past what is on no stream behind it.
    let told = broken(|records| records.streams[0].given.push(Given::Heartbeat(at(15))));
    assert_eq!(told, ["bookmarkable"]);
    // Past the journal's end.
    let told = broken(|records| records.streams[1].given.push(Given::Heartbeat(at(NEWEST + 1))));
    assert_eq!(told, ["bookmarkable"]);
    // Back.
    let told = broken(|records| {
        let next = position(&records.streams[2], 9);
        records.streams[2].given.insert(next, Given::Heartbeat(at(7)));
    });
    assert_eq!(told, ["bookmarkable"]);
    // Not past what the filter hides: that it may.
    let told = broken(|records| {
        let next = position(&records.streams[3], 4);
        records.streams[3].given.insert(next, Given::Heartbeat(at(3)));
    });
    assert_eq!(told, [""; 0]);
    // A closing is held to the same.
    let told = broken(|records| {
        records.streams[2].given.pop();
        records.streams[2]
            .given
            .push(Given::Closing { cursor: at(NEWEST - 1), reason: ClosingReason::Shutdown });
    });
    assert!(told.contains(&"bookmarkable"), "{told:?}");
}

#[test]
fn a_stream_that_starts_elsewhere_is_told() {
    let told = broken(|records| records.streams[1].given[0] = started(9, 15));
    assert!(told.contains(&"starts_where_it_was_asked_to"), "{told:?}");
    // At the latest that was the latest long before.
    let told = broken(|records| {
        records.streams[2].given[0] = started(3, 4);
        records.streams[2].given.insert(1, Given::Event(event(4)));
    });
    assert_eq!(told, ["nothing_from_before_the_start"]);
    // Since a time: too early, and too late.
    for (start, expected) in [(5, "nothing_from_before_the_start"), (8, "starts_where_it_was_asked_to")] {
        let told = broken(|records| {
            records.streams[4].given.truncate(1);
            records.streams[4].given[0] = started(start, NEWEST);
            records.streams[4].given.extend(events(start + 1..=NEWEST));
        });
        assert_eq!(told, [expected], "{start}");
    }
    // Something from before the start.
    let told = broken(|records| records.streams[1].given.insert(1, Given::Event(event(8))));
    assert_eq!(told, ["starts_where_it_was_asked_to"]);
}

#[test]
fn what_a_reader_loses_over_a_reconnect_is_told() {
    let told = broken(|records| {
        let Start::After(..) = records.streams[1].start else { panic!("it is resumed") };
        records.streams[1].start = Start::After(at(14), Kept::Heartbeat);
        records.streams[1].given.drain(1..=6);
        records.streams[1].given[0] = started(14, 15);
    });
    assert_eq!(told, ["resumable"]);
    let told = broken(|records| records.streams[2].given.clear());
    assert_eq!(told, ["resumable", "everything_settles"]);
}

/// A reader that has read up to 3 and is told that all up to a place is gone; goes on there, and breaks off at 8. In the
/// end all up to 12 is gone.
fn with_a_refusal(records: &mut Records, place: Option<u64>) {
    records.trimmed = 12;
    records.whole.drain(..12);
    records.walks.clear();
    let refused =
        End::Refused { code: Code::OutOfRange, reason: "CURSOR_EXPIRED".to_owned(), place: place.map(at) };
    let mut first = vec![started(0, 3)];
    first.extend(events(1..=3));
    first.push(Given::Heartbeat(at(3)));
    let mut second = vec![started(5, 8)];
    second.extend(events(6..=8));
    let mut third = vec![started(8, 12)];
    third.extend(events(9..=NEWEST));
    records.streams.extend([
        stream("expired", Start::Earliest, 26, first, refused),
        stream("expired", Start::After(at(5), Kept::Expired), 76, second, End::Broken),
        stream("expired", Start::After(at(8), Kept::Event), 116, third, End::Settled),
    ]);
}

#[test]
fn a_refusal_tells_of_what_is_gone_then_and_of_nothing_else() {
    let told = |place: Option<u64>, change: fn(&mut Records)| {
        broken(|records| {
            records.calls.clear();
            records.streams.truncate(5);
            with_a_refusal(records, place);
            change(records);
        })
    };
    assert_eq!(told(Some(5), |_| {}), [""; 0]);
    // What is lost over a later reconnect, and gone in the end, was there when that was told.
    let at_a_later_reconnect = |records: &mut Records| {
        records.streams[7].start = Start::After(at(9), Kept::Event);
        records.streams[7].given[0] = started(9, 12);
        records.streams[7].given.remove(1);
    };
    assert_eq!(told(Some(5), at_a_later_reconnect), ["resumable"]);
    // What is from before the place that the stream had come to was passed over.
    let before_the_refusal = |records: &mut Records| {
        records.streams[5].start = Start::After(at(2), Kept::Event);
        records.streams[5].given.splice(..3, [started(2, 3)]);
        records.streams.insert(5, stream("expired", Start::Earliest, 16, vec![started(0, 1)], End::Broken));
    };
    assert_eq!(told(Some(5), before_the_refusal), ["resumable"]);
    // Told to go on elsewhere than where what is left begins.
    assert_eq!(told(Some(13), |_| {}), ["streams_have_their_form"]);
    assert_eq!(told(None, |_| {}), ["streams_have_their_form", "resumable"]);
}

#[test]
fn a_stream_without_its_form_is_told() {
    let expected = ["streams_have_their_form"];
    let refused = |code, reason: &str| End::Refused { code, reason: reason.to_owned(), place: None };
    let told = broken(|records| {
        records.streams[0].given.insert(1, started(0, 8));
    });
    assert_eq!(told, expected);
    let told = broken(|records| {
        let Some(closing) = records.streams[2].given.pop() else { panic!("closing") };
        let last = records.streams[2].given.len() - 1;
        records.streams[2].given.insert(last, closing);
    });
    assert!(told.starts_with(&expected), "{told:?}");
    assert_eq!(broken(|records| records.streams[0].given.push(Given::Nonsense("?".to_owned()))), expected);
    for end in [
        End::Ok,
        refused(Code::OutOfRange, "CURSOR_LOST"),
        refused(Code::OutOfRange, "CURSOR_EXPIRED"),
        refused(Code::InvalidArgument, "CURSOR_MALFORMED"),
        refused(Code::Internal, "SERVER_STOPPING"),
        refused(Code::Internal, ""),
    ] {
        assert_eq!(broken(|records| records.streams[0].end = end.clone()), expected, "{end:?}");
    }
    for end in [refused(Code::Unavailable, "STORE_UNAVAILABLE"), End::Left, End::Silent] {
        assert_eq!(broken(|records| records.streams[0].end = end), [""; 0]);
    }
}

#[test]
fn a_gap_where_nothing_was_trimmed_is_told_and_one_that_tells_what_was_is_not() {
    let gap = |after: u64, resume: u64, missed| Given::Gap {
        after: Some(at(after)),
        resume: at(resume),
        missed: Some(missed),
    };
    let with = |trimmed: u64, told: Given| {
        broken(|records| {
            records.trimmed = trimmed;
            let gone = usize::try_from(trimmed).expect("small");
            records.whole.drain(..gone);
            records.walks.clear();
            let stream = &mut records.streams[2];
            stream.skips = true;
            let (from, to) = (position(stream, 9), position(stream, 10));
            stream.given.drain(from..=to);
            stream.given.insert(from, told);
        })
    };
    assert_eq!(with(10, gap(8, 10, 2)), [""; 0]);
    assert!(with(0, gap(8, 10, 2)).contains(&"gaps_are_told"));
    assert!(with(10, gap(8, 10, 3)).contains(&"gaps_are_told"), "wrongly counted");
    assert!(with(10, gap(7, 10, 3)).contains(&"gaps_are_told"), "from before where the stream was");
    let not_asked_for = broken(|records| records.streams[1].given.push(gap(20, 21, 1)));
    assert!(not_asked_for.contains(&"gaps_are_told"));
    // Without being told.
    assert!(with(10, Given::Heartbeat(at(8))).contains(&"no_holes"));
}

#[test]
fn a_reader_that_does_not_come_to_the_end_is_told() {
    assert_eq!(broken(|records| records.streams[1].end = End::Lagging), ["everything_settles"]);
    let told = broken(|records| {
        records.streams[3].given.pop();
    });
    assert_eq!(told, ["resumable", "everything_settles"]);
}
