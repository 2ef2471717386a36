//! Tests of the checks on named subscriptions.

use tonic::Code;

use super::{BILLING, NEWEST, at, index_of, violations_after};
use crate::history::{Completion, Filter, History, Operation, OperationKind, Start, StreamEnd, StreamItem};

fn ok(sequence: u64) -> Completion {
    Completion::Ok { position: at(sequence), generation: None, expired: false, filter: Filter::default() }
}

fn expired(sequence: u64) -> Completion {
    Completion::Ok { position: at(sequence), generation: Some(3), expired: true, filter: Filter::default() }
}

/// Inserts an operation at its invocation time.
fn insert(history: &mut History, invoked: u64, kind: OperationKind, completion: Completion) {
    let before = history.operations.partition_point(|op| op.invoked < invoked);
    history.operations.insert(
        before,
        Operation { subscription: BILLING, kind, invoked, completed: invoked + 1, completion },
    );
}

fn acknowledge(sequence: u64, generation: u64) -> OperationKind {
    OperationKind::Acknowledge { cursor: at(sequence), generation }
}

/// The operation that was invoked at this time.
fn op_at(history: &mut History, time: u64) -> &mut Operation {
    history.operations.iter_mut().find(|op| op.invoked == time).expect("the operation exists")
}

fn failed(code: Code, reason: &str, position: Option<u64>) -> StreamEnd {
    StreamEnd::Failed { code, reason: reason.to_owned(), position: position.map(at) }
}

#[test]
fn lost_acknowledgement_is_reported() {
    // The next stream starts before the acknowledged position.
    let violations = violations_after(|history| insert(history, 106, acknowledge(7, 1), ok(7)));
    assert_eq!(violations, ["acknowledgements_are_durable"]);
    // An acknowledgement without a response may have no effect. So may one that overlaps the start of the stream.
    assert_eq!(
        violations_after(|history| insert(history, 106, acknowledge(7, 1), Completion::Info)),
        [""; 0]
    );
    assert_eq!(violations_after(|history| insert(history, 116, acknowledge(7, 1), ok(7))), [""; 0]);
    // The seek in the good history moves the position back.
    let without_the_seek = violations_after(|history| {
        history.operations.retain(|op| !matches!(op.kind, OperationKind::Seek(_)))
    });
    assert!(without_the_seek.contains(&"acknowledgements_are_durable"), "{without_the_seek:?}");
    // A subscription that exists must be found.
    let not_found = || Completion::Fail("SUBSCRIPTION_NOT_FOUND".to_owned());
    assert_eq!(
        violations_after(|history| op_at(history, 104).completion = not_found()),
        ["acknowledgements_are_durable"]
    );
    let violations = violations_after(|history| {
        let mut failed_stream = history.streams[7].clone();
        failed_stream.items.clear();
        failed_stream.end = failed(Code::NotFound, "SUBSCRIPTION_NOT_FOUND", None);
        history.streams.insert(7, failed_stream);
    });
    assert_eq!(violations, ["acknowledgements_are_durable"]);
}

#[test]
fn decreasing_position_is_reported() {
    let decreases = ["acknowledgements_are_monotonic"];
    assert_eq!(violations_after(|history| op_at(history, 102).completion = ok(3)), decreases);
    assert_eq!(violations_after(|history| op_at(history, 104).completion = ok(4)), decreases);
    // Also across an update.
    let violations = violations_after(|history| {
        op_at(history, 170).completion = ok(13);
        history.streams[8].items[0] = super::started(13, 17);
    });
    assert!(violations.contains(&decreases[0]), "{violations:?}");
    // The order of overlapping operations is unknown.
    assert_eq!(
        violations_after(|history| {
            op_at(history, 102).completion = ok(3);
            op_at(history, 102).invoked = 100;
        }),
        [""; 0]
    );
}

#[test]
fn acknowledgement_that_undoes_a_change_is_reported() {
    let violations = violations_after(|history| {
        op_at(history, 142).completion = ok(12);
        history.streams[7].items.drain(1..=4);
        history.streams[7].items[0] =
            StreamItem::Started { cursor: at(12), oldest: at(0), newest: at(14), generation: 2 };
    });
    assert_eq!(violations, ["stale_acknowledgements_fail"]);
}

#[test]
fn missed_event_of_a_subscription_is_reported() {
    // No stream contains the event.
    let violations = violations_after(|history| {
        for stream in [5, 6] {
            let index = index_of(&history.streams[stream], 7);
            history.streams[stream].items.remove(index);
        }
    });
    assert_eq!(violations, ["reliable", "subscriptions_miss_nothing"]);
    // A stream starts after the acknowledged position.
    let violations = violations_after(|history| {
        history.streams[6].items.remove(1);
        history.streams[6].items[0] =
            StreamItem::Started { cursor: at(6), oldest: at(0), newest: at(11), generation: 1 };
    });
    assert_eq!(violations, ["subscriptions_miss_nothing"]);
    // A read returns a position that nothing acknowledged.
    assert_eq!(
        violations_after(|history| op_at(history, 104).completion = ok(6)),
        ["subscriptions_miss_nothing"]
    );
    // No stream contains the last event.
    let violations = violations_after(|history| {
        let last = index_of(&history.streams[8], NEWEST);
        history.streams[8].items[last] = StreamItem::Heartbeat(at(NEWEST));
    });
    assert_eq!(violations, ["bookmarkable", "subscriptions_miss_nothing"]);
}

/// In the last stream, a gap reports all events up to 16 as trimmed.
fn add_gap(history: &mut History) {
    history.trimmed = 16;
    history.final_journal.drain(..16);
    history.listings.clear();
    history.streams[8].wants_gaps = true;
    let index = index_of(&history.streams[8], 16);
    history.streams[8].items[index] =
        StreamItem::Gap { after: Some(at(14)), resume: at(16), missed: Some(2) };
}

#[test]
fn trimmed_unacknowledged_event_is_reported() {
    assert_eq!(violations_after(add_gap), ["unacknowledged_events_are_retained"]);
    let expires = |change: fn(&mut History)| {
        violations_after(|history| {
            history.retains_unacknowledged = false;
            add_gap(history);
            change(history);
        })
    };
    assert_eq!(expires(|_| {}), [""; 0]);
    // A stream reports that the journal begins after an unacknowledged event.
    let sees = |oldest: u64| {
        violations_after(|history| {
            history.trimmed = oldest;
            history.final_journal.drain(..usize::try_from(oldest).expect("small"));
            history.listings.clear();
            let StreamItem::Started { oldest: reported, .. } = &mut history.streams[6].items[0] else {
                panic!("started")
            };
            *reported = at(oldest);
        })
    };
    assert_eq!(sees(5), [""; 0]);
    assert_eq!(sees(6), ["unacknowledged_events_are_retained"]);
    let violations = violations_after(|history| insert(history, 180, OperationKind::Get, expired(14)));
    assert!(violations.contains(&"unacknowledged_events_are_retained"), "{violations:?}");
}

#[test]
fn unreported_expiry_is_reported() {
    let violations = violations_after(|history| {
        history.retains_unacknowledged = false;
        add_gap(history);
        let gap = history.streams[8].items.remove(1);
        assert!(matches!(gap, StreamItem::Gap { .. }));
    });
    assert_eq!(violations, ["reliable", "expiry_is_reported"]);
    // The subscription is reported as expired, and a stream without gaps starts.
    let known = |wants_gaps: bool| {
        violations_after(|history| {
            history.retains_unacknowledged = false;
            add_gap(history);
            insert(history, 173, OperationKind::Get, expired(14));
            history.streams[8].wants_gaps = wants_gaps;
        })
    };
    assert_eq!(known(true), [""; 0]);
    assert!(known(false).contains(&"expiry_is_reported"));
    // A stream has reported that the journal begins after the position, but a read does not report it as expired.
    let violations = violations_after(|history| {
        history.retains_unacknowledged = false;
        add_gap(history);
        let StreamItem::Started { oldest, .. } = &mut history.streams[6].items[0] else { panic!("started") };
        *oldest = at(6);
        insert(history, 118, OperationKind::Get, ok(5));
    });
    assert_eq!(violations, ["expiry_is_reported"]);
    // No event is trimmed.
    assert!(
        violations_after(|history| insert(history, 173, OperationKind::Get, expired(14)))
            .contains(&"expiry_is_reported")
    );
}

#[test]
fn subscription_that_does_not_catch_up_is_reported() {
    let violations = violations_after(|history| {
        op_at(history, 1_000).completion = Completion::Info;
        op_at(history, 1_002).completion = ok(19);
    });
    assert_eq!(violations, ["subscriptions_catch_up"]);
}

#[test]
fn recreated_subscription_starts_at_its_new_position() {
    let again = |position: u64| {
        violations_after(|history| {
            let create = OperationKind::Create { filter: Filter::default(), start: Start::Latest };
            insert(history, 1_010, OperationKind::Delete, Completion::Info);
            insert(
                history,
                1_012,
                OperationKind::Delete,
                Completion::Fail("SUBSCRIPTION_NOT_FOUND".to_owned()),
            );
            insert(history, 1_014, create, ok(position));
            insert(history, 1_016, OperationKind::Get, ok(NEWEST));
        })
    };
    assert_eq!(again(NEWEST), [""; 0]);
    assert_eq!(again(3), ["subscriptions_miss_nothing"], "nothing acknowledged the position");
}
