//! Tests of the checks: each check fails on a history that violates it, and on no other change.

mod restored;
mod streams;
mod subscriptions;

use switchboard::domain::Cursor;
use switchboard::pb::v1::ClosingReason;
use tonic::Code;

use super::{Violation, violations};
use crate::history::{
    Completion, CursorOrigin, Direction, Filter, History, Key, Listing, ObservedEvent, Operation,
    OperationKind, Page, Start, Stream, StreamEnd, StreamItem, Webhook,
};

/// The number of events. Even sequence numbers are statuses, and every fifth event has no identity.
const NEWEST: u64 = 20;

const BILLING: &str = "billing";

fn at(sequence: u64) -> Cursor {
    Cursor { epoch: 7, sequence }
}

fn key(sequence: u64) -> Key {
    match sequence % 5 {
        0 => Key::Body("globex".to_owned(), 55),
        _ => Key::Identity("globex".to_owned(), format!("message {sequence}")),
    }
}

fn event(sequence: u64) -> ObservedEvent {
    let earlier = sequence.checked_sub(5).filter(|earlier| *earlier > 0 && sequence.is_multiple_of(5));
    ObservedEvent {
        cursor: at(sequence),
        id: format!("evt_{sequence}"),
        content: 1_000 + sequence,
        account: "globex".to_owned(),
        event_type: if sequence.is_multiple_of(2) { "message.status" } else { "message.received" }.to_owned(),
        // Two events per millisecond.
        receive_ms: i64::try_from(sequence / 2).expect("small"),
        key: Some(key(sequence)),
        possible_duplicate_of: earlier.map(|earlier| format!("evt_{earlier}")).unwrap_or_default(),
    }
}

fn started(sequence: u64, newest: u64) -> StreamItem {
    StreamItem::Started { cursor: at(sequence), oldest: at(0), newest: at(newest), generation: 0 }
}

/// One webhook per event, delivered once, in sequence.
fn webhook(sequence: u64) -> Webhook {
    Webhook { key: key(sequence), invoked: sequence * 10, attempts: 1, accepted_at: vec![sequence * 10 + 5] }
}

fn stream(subscriber: &str, start: Start, invoked: u64, items: Vec<StreamItem>, end: StreamEnd) -> Stream {
    let (subscriber, filter) = (subscriber.to_owned(), Filter::default());
    Stream { subscriber, filter, start, wants_gaps: false, invoked, started_at: invoked + 1, items, end }
}

fn events(numbers: impl IntoIterator<Item = u64>) -> impl Iterator<Item = StreamItem> {
    numbers.into_iter().map(|sequence| StreamItem::Event(event(sequence)))
}

fn page(previous: u64, next: u64, invoked: u64) -> Page {
    Page {
        invoked,
        events: (previous + 1..=next).map(event).collect(),
        previous: at(previous),
        next: at(next),
        reached_oldest: previous == 0,
        reached_newest: next == NEWEST,
    }
}

/// A history without violations. Streams 0 and 1 belong to one subscriber that resumed once. Stream 2 is live. Stream
/// 3 filters statuses. Stream 4 starts since a time. Streams 5 to 8 read a subscription.
fn good() -> History {
    let mut history = good_without_subscription();
    add_subscription(&mut history);
    history
}

fn good_without_subscription() -> History {
    let mut whole = vec![started(0, 8)];
    whole.extend(events(1..=8));
    whole.push(StreamItem::Heartbeat(at(8)));
    whole.extend(events(9..=12));
    let mut resumed = vec![started(8, 15)];
    resumed.extend(events(9..=NEWEST));
    resumed.push(StreamItem::Heartbeat(at(NEWEST)));
    let mut live = vec![started(4, 4)];
    live.extend(events(5..=NEWEST));
    live.push(StreamItem::Closing { cursor: at(NEWEST), reason: ClosingReason::Shutdown });
    let mut statuses = vec![started(0, 0), StreamItem::Heartbeat(at(1))];
    statuses.extend(events((1..=NEWEST).filter(|sequence| sequence.is_multiple_of(2))));
    let mut since = vec![started(7, NEWEST)];
    since.extend(events(8..=NEWEST));
    let only_statuses = Filter { types: vec!["message.status".to_owned()], ..Filter::default() };
    History {
        webhooks: (1..=NEWEST).map(webhook).collect(),
        streams: vec![
            stream("all", Start::Earliest, 86, whole, StreamEnd::ConnectionLost),
            stream("all", Start::After(at(8), CursorOrigin::Heartbeat), 156, resumed, StreamEnd::CaughtUp),
            stream("live", Start::Latest, 46, live, StreamEnd::CaughtUp),
            Stream {
                filter: only_statuses,
                ..stream("statuses", Start::Earliest, 0, statuses, StreamEnd::CaughtUp)
            },
            stream("since", Start::Since(4), 1_000, since, StreamEnd::CaughtUp),
        ],
        listings: vec![
            Listing {
                filter: Filter::default(),
                direction: Direction::Forward,
                start: Start::Earliest,
                pages: vec![page(0, 8, 80), page(8, NEWEST, 1_000)],
                full_scan: true,
                failure: None,
            },
            Listing {
                filter: Filter::default(),
                direction: Direction::Backward,
                start: Start::After(at(15), CursorOrigin::Event),
                pages: vec![page(9, 15, 1_000), page(0, 9, 1_001)],
                full_scan: false,
                failure: None,
            },
        ],
        operations: Vec::new(),
        epoch: 7,
        restored: None,
        retains_unacknowledged: true,
        final_journal: (1..=NEWEST).map(event).collect(),
        trimmed: 0,
    }
}

/// Adds a subscription. It is read up to 10 and acknowledged up to 5, then once more up to 3. It is read further,
/// sought back to 8, gets another filter at 14, and is read to the end.
fn add_subscription(history: &mut History) {
    let ok = |position: u64, generation: Option<u64>| Completion::Ok {
        position: at(position),
        generation,
        expired: false,
        filter: Filter::default(),
    };
    let statuses = Filter { types: vec!["message.status".to_owned()], ..Filter::default() };
    let acknowledge = |sequence, generation| OperationKind::Acknowledge { cursor: at(sequence), generation };
    let create = OperationKind::Create { filter: Filter::default(), start: Start::Earliest };
    let stale = Completion::Fail("SUBSCRIPTION_GENERATION_STALE".to_owned());
    let operations = [
        (create, 1, ok(0, Some(1))),
        (acknowledge(5, 1), 100, ok(5, None)),
        (acknowledge(3, 1), 102, ok(5, None)),
        (OperationKind::Get, 104, ok(5, Some(1))),
        (acknowledge(12, 1), 130, ok(12, None)),
        (OperationKind::Seek(Start::After(at(8), CursorOrigin::EarlierEvent)), 140, ok(8, Some(2))),
        (acknowledge(12, 1), 142, stale),
        (acknowledge(14, 2), 160, ok(14, None)),
        (OperationKind::Update(statuses.clone()), 170, ok(14, Some(3))),
        (acknowledge(NEWEST, 3), 1_000, ok(NEWEST, None)),
        (OperationKind::Get, 1_002, ok(NEWEST, Some(3))),
    ];
    history.operations.extend(operations.into_iter().map(|(kind, invoked, completion)| Operation {
        subscription: BILLING,
        kind,
        invoked,
        completed: invoked + 1,
        completion,
    }));
    let changed = StreamEnd::Failed {
        code: Code::Unavailable,
        reason: "SUBSCRIPTION_CHANGED".to_owned(),
        position: None,
    };
    for (invoked, from, newest, generation, to, end) in [
        (46, 0, 4, 1, 10, StreamEnd::ConnectionLost),
        (116, 5, 11, 1, 12, changed),
        (150, 8, 14, 2, 15, StreamEnd::Disconnected),
        (176, 14, 17, 3, NEWEST, StreamEnd::CaughtUp),
    ] {
        let mut items =
            vec![StreamItem::Started { cursor: at(from), oldest: at(0), newest: at(newest), generation }];
        let filter = if generation == 3 { statuses.clone() } else { Filter::default() };
        items.extend(events((from + 1..=to).filter(|sequence| filter.matches(&event(*sequence)))));
        if matches!(end, StreamEnd::Failed { .. }) {
            items.push(StreamItem::Closing { cursor: at(to), reason: ClosingReason::SubscriptionChanged });
        }
        let stream = stream("billing/1", Start::Subscription(BILLING), invoked, items, end);
        history.streams.push(Stream { filter, ..stream });
    }
}

/// Changes a good history and returns the names of the checks that then fail.
fn violations_after(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = good();
    change(&mut history);
    violations(&history).into_iter().map(|Violation { check, .. }| check).collect()
}

/// The index of an event in a stream.
fn index_of(stream: &Stream, sequence: u64) -> usize {
    let is = |item: &StreamItem| matches!(item, StreamItem::Event(event) if event.sequence() == sequence);
    stream.items.iter().position(is).expect("the stream contains the event")
}

#[test]
fn good_history_has_no_violations() {
    assert_eq!(violations(&good()), []);
}

#[test]
fn decreasing_receive_time_is_reported() {
    let violations = violations_after(|history| {
        history.final_journal[9].receive_ms = 0;
    });
    assert_eq!(violations, ["receive_times_are_monotonic"]);
    let violations = violations_after(|history| {
        let late = index_of(&history.streams[2], 12);
        let StreamItem::Event(event) = &mut history.streams[2].items[late] else { panic!("an event") };
        event.receive_ms = 0;
    });
    assert_eq!(violations, ["ordered"]);
}

#[test]
fn different_events_with_one_sequence_are_reported() {
    // Another event.
    let violations = violations_after(|history| {
        let other = index_of(&history.streams[0], 12);
        let StreamItem::Event(event) = &mut history.streams[0].items[other] else { panic!("an event") };
        event.id = "evt_other".to_owned();
    });
    assert_eq!(violations, ["subscribers_agree"]);
    // The same event with other content.
    let violations = violations_after(|history| history.listings[0].pages[0].events[0].content = 0);
    assert_eq!(violations, ["subscribers_agree"]);
    // An event that is not in the final journal: the server sent it before it was durable.
    let violations =
        violations_after(|history| history.streams[0].items.push(StreamItem::Event(event(NEWEST + 1))));
    assert!(violations.starts_with(&["subscribers_agree"]), "{violations:?}");
    // One event with two sequence numbers.
    let violations = violations_after(|history| history.final_journal[19].id = "evt_1".to_owned());
    assert!(violations.starts_with(&["subscribers_agree"]), "{violations:?}");
    // An event of a recreated journal.
    let violations = violations_after(|history| {
        let StreamItem::Event(event) = &mut history.streams[0].items[1] else { panic!("an event") };
        event.cursor.epoch = 8;
    });
    assert_eq!(violations, ["subscribers_agree"]);
}

#[test]
fn hole_in_journal_is_reported() {
    let violations = violations_after(|history| {
        history.final_journal.remove(9);
    });
    // Other participants received the missing event.
    assert!(violations.contains(&"sequences_are_contiguous"), "{violations:?}");
}

#[test]
fn accepted_webhook_without_event_is_reported() {
    let violations = violations_after(|history| history.webhooks.push(webhook(NEWEST + 1)));
    assert_eq!(violations, ["accepted_webhooks_are_stored"]);
    // Two accepted deliveries of a body without an identity, but one event.
    let violations = violations_after(|history| history.webhooks.push(webhook(5)));
    assert_eq!(violations, ["accepted_webhooks_are_stored"]);
    // A webhook without a 200 response may be stored or not.
    let unanswered = |sequence| Webhook { accepted_at: Vec::new(), ..webhook(sequence) };
    assert_eq!(violations_after(|history| history.webhooks.push(unanswered(NEWEST + 1))), [""; 0]);
    assert_eq!(violations_after(|history| history.webhooks[0].accepted_at.clear()), [""; 0]);
    // A webhook with an identity may be accepted more than once.
    assert_eq!(
        violations_after(|history| history.webhooks.push(Webhook {
            invoked: 500,
            accepted_at: vec![505],
            ..webhook(1)
        })),
        [""; 0]
    );
}

#[test]
fn event_without_webhook_is_reported() {
    let violations = violations_after(|history| {
        history.webhooks.remove(1);
    });
    assert_eq!(violations, ["every_event_has_a_webhook"]);
    // Two events of one identity.
    let violations = violations_after(|history| {
        history.webhooks.remove(16);
        history.final_journal[16].key = Some(key(1));
    });
    assert!(violations.contains(&"every_event_has_a_webhook"), "{violations:?}");
    let violations = violations_after(|history| {
        for (sequence, stream) in [(7, 0), (7, 2)] {
            let at = index_of(&history.streams[stream], sequence);
            let StreamItem::Event(event) = &mut history.streams[stream].items[at] else { panic!("an event") };
            event.key = None;
        }
        history.final_journal[6].key = None;
    });
    assert!(violations.contains(&"every_event_has_a_webhook"), "{violations:?}");
}

#[test]
fn identity_of_trimmed_event_may_be_stored_again() {
    let again = |trimmed: u64| {
        violations_after(|history| {
            // The webhook of event 1 is delivered again and becomes the last event but one.
            history.webhooks.retain(|webhook| webhook.key != key(NEWEST - 1));
            history.webhooks[0].attempts = 2;
            history.webhooks[0].accepted_at.push(195);
            for event in &mut history.final_journal {
                if event.sequence() == NEWEST - 1 {
                    event.key = Some(key(1));
                }
            }
            history.trimmed = trimmed;
            history.final_journal.retain(|event| event.sequence() > trimmed);
            history.listings.clear();
        })
    };
    assert_eq!(again(1), [""; 0]);
    assert!(again(0).contains(&"every_event_has_a_webhook"));
}

#[test]
fn wrong_duplicate_mark_is_reported() {
    let violations = violations_after(|history| history.final_journal[9].possible_duplicate_of.clear());
    assert_eq!(violations, ["duplicate_bodies_are_marked"]);
    let violations =
        violations_after(|history| history.final_journal[14].possible_duplicate_of = "evt_5".to_owned());
    assert_eq!(violations, ["duplicate_bodies_are_marked"]);
    let violations =
        violations_after(|history| history.final_journal[0].possible_duplicate_of = "evt_5".to_owned());
    assert_eq!(violations, ["duplicate_bodies_are_marked"]);
}

#[test]
fn journal_order_unlike_response_order_is_reported() {
    let violations = violations_after(|history| {
        history.webhooks[0].invoked = 900;
        history.webhooks[0].accepted_at = vec![905];
    });
    assert_eq!(violations, ["journal_order_is_real_time_order"]);
}

#[test]
fn read_without_accepted_webhook_is_reported() {
    let violations = violations_after(|history| history.streams[0].invoked = 96);
    assert_eq!(violations, ["reads_include_accepted_webhooks"]);
    let violations = violations_after(|history| {
        history.listings[0].pages.pop();
        history.listings[0].full_scan = false;
        history.listings[0].pages[0].reached_newest = true;
        history.listings[0].pages[0].invoked = 100;
    });
    assert_eq!(violations, ["reads_include_accepted_webhooks"]);
}

#[test]
fn pages_that_are_not_adjacent_are_reported() {
    let violations = violations_after(|history| {
        history.listings[0].pages[1] = page(9, NEWEST, 1_000);
    });
    assert_eq!(violations, ["pages_are_adjacent"]);
    let violations = violations_after(|history| history.listings[1].pages[1] = page(0, 10, 1_001));
    assert_eq!(violations, ["pages_are_adjacent"]);
    let violations = violations_after(|history| history.listings[1].pages[0] = page(9, 14, 1_000));
    assert_eq!(violations, ["pages_are_adjacent"]);
}

#[test]
fn page_with_missing_or_extra_event_is_reported() {
    let violations = violations_after(|history| {
        history.listings[0].pages[0].events.remove(3);
    });
    assert_eq!(violations, ["pages_are_complete"]);
    assert_eq!(
        violations_after(|history| history.listings[1].pages[0].events.swap(0, 1)),
        ["pages_are_complete"]
    );
    assert_eq!(
        violations_after(|history| history.listings[1].pages[0].events.push(event(16))),
        ["pages_are_complete"]
    );
}

#[test]
fn listing_that_ends_early_or_stalls_is_reported() {
    let violations = violations_after(|history| {
        history.listings[0].pages.pop();
    });
    assert_eq!(violations, ["listings_reach_the_end"]);
    let violations = violations_after(|history| {
        let mut still = page(8, 8, 100);
        still.reached_newest = false;
        history.listings[0].pages.insert(1, still);
    });
    assert_eq!(violations, ["listings_reach_the_end"]);
    let violations = violations_after(|history| {
        history.listings[1].pages.pop();
        history.listings[1].pages[0].reached_oldest = true;
    });
    assert_eq!(violations, ["listings_reach_the_end"]);
    assert_eq!(
        violations_after(|history| history.listings[0].failure = Some("CURSOR_LOST".to_owned())),
        ["listings_reach_the_end"]
    );
}
