//! Reads of the journal from any position: since a time, across a gap, and page by page.

use std::path::Path;
use std::time::Duration;

use switchboard::api::encode_event;
use switchboard::domain::UnixMillis;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::list_events_request::Anchor;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{
    Event, EventFilter, ExpiredPolicy, GapReason, ListEventsRequest, ListEventsResponse, StartPosition,
    SubscribeGap, SubscribeRequest,
};
use switchboard::store::{self, Op, OpResult, ReplicaId, Store, Trim};
use tonic::{Code, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, Subscriber, fields, metadata, reason, received, text_of, within,
};

async fn list(gateway: &Gateway, request: ListEventsRequest) -> Result<ListEventsResponse, Status> {
    let mut client = EventServiceClient::new(gateway.channel.clone());
    within(client.list_events(request)).await.map(tonic::Response::into_inner)
}

fn page_at(place: Anchor) -> ListEventsRequest {
    ListEventsRequest { anchor: Some(place), ..ListEventsRequest::default() }
}

fn earliest() -> Anchor {
    Anchor::Position(StartPosition::Earliest.into())
}

fn subscribe_from(start: From) -> SubscribeRequest {
    SubscribeRequest { start: Some(start), ..SubscribeRequest::default() }
}

fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().map(text_of).collect()
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

async fn deliver(gateway: &Gateway, numbers: std::ops::Range<usize>) {
    for text in numbered(numbers) {
        gateway.deliver(&received(&text, &text)).await;
    }
}

/// Trims the oldest events in the store of a stopped server.
async fn trim(folder: &Path, most: u32) {
    let store = Store::open(store::Options {
        path: folder.join("switchboard.db"),
        encode: encode_event,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    let before = UnixMillis::now().plus(Duration::from_secs(1));
    let done = store
        .commit(vec![Op::Trim(Trim {
            before,
            force_before: before,
            max_bytes: None,
            step_events: most,
            step_bytes: u64::MAX,
        })])
        .await
        .expect("written");
    assert!(matches!(&*done, [OpResult::Trimmed(trimmed)] if trimmed.events == u64::from(most)));
    store.close().await;
    let mut health = store.health();
    while within(health.changed()).await.is_ok() {}
}

/// A server whose events `0` to `2` are trimmed and `3` and `4` are stored, and all five events.
pub(crate) async fn trimmed() -> (Gateway, Vec<Event>) {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..5).await;
    let events = list(&gateway, page_at(earliest())).await.expect("listed").events;
    assert_eq!(texts(&events), numbered(0..5));
    let folder = gateway.stop().await;
    trim(folder.path(), 3).await;
    (Start::quiet().on(folder).start().await, events)
}

async fn next_gap(subscriber: &mut Subscriber) -> SubscribeGap {
    match subscriber.next().await.expect("open") {
        Some(Response::Gap(gap)) => gap,
        other => panic!("no gap but {other:?}"),
    }
}

#[tokio::test]
async fn stream_since_a_time_starts_at_the_first_event_since_then() {
    let gateway = Start::quiet().start().await;
    let none = gateway.subscribe(subscribe_from(From::Since(Default::default()))).await.expect("subscribed");
    assert_eq!(none.started.cursor, none.started.oldest_cursor);
    deliver(&gateway, 0..3).await;
    let events = list(&gateway, page_at(earliest())).await.expect("listed").events;
    let times: Vec<_> = events.iter().map(|event| event.receive_time.expect("present")).collect();
    let mut wanted = times.clone();
    wanted.push(prost_types::Timestamp { seconds: 0, nanos: 1 });
    // One nanosecond later, an event of that time is older.
    wanted.extend(times.iter().map(|time| prost_types::Timestamp { nanos: time.nanos + 1, ..*time }));
    for since in wanted {
        let moment = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
        let first = times.iter().position(|time| moment(time) >= moment(&since));
        let expected: Vec<&str> = first.map_or(vec![], |first| texts(&events[first..]));
        let listed = list(&gateway, page_at(Anchor::Since(since))).await.expect("listed");
        assert_eq!(texts(&listed.events), expected, "{since:?}");
        let mut stream = gateway.subscribe(subscribe_from(From::Since(since))).await.expect("subscribed");
        assert_eq!(stream.started.cursor, listed.previous_cursor);
        assert_eq!(texts(&stream.events(expected.len()).await), expected, "{since:?}");
    }

    // A stream since a future time delivers new events at once.
    let future = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 };
    let mut stream = gateway.subscribe(subscribe_from(From::Since(future))).await.expect("subscribed");
    assert_eq!(stream.started.cursor, stream.started.newest_cursor);
    let listed = list(&gateway, page_at(Anchor::Since(future))).await.expect("listed");
    assert!(listed.events.is_empty() && listed.reached_newest && !listed.reached_oldest);
    deliver(&gateway, 3..4).await;
    assert_eq!(text_of(&stream.event().await), "3");
}

#[tokio::test]
async fn invalid_time_policy_or_page_size_names_its_field() {
    let gateway = Start::quiet().start().await;
    let no_time = prost_types::Timestamp { seconds: 0, nanos: -1 };
    let request = SubscribeRequest { expired_policy: 9, ..subscribe_from(From::Since(no_time)) };
    let error = gateway.subscribe(request).await.err().expect("refused");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["since", "expired_policy"]);

    let request = ListEventsRequest {
        page_size: 1_001,
        filter: Some(EventFilter { types: vec!["message.seen".to_owned()], ..EventFilter::default() }),
        ..page_at(Anchor::Since(no_time))
    };
    let error = list(&gateway, request).await.expect_err("refused");
    assert_eq!(reason(&error), "REQUEST_INVALID");
    assert_eq!(fields(&error), ["filter.types[0]", "since", "page_size"]);
    let error = list(&gateway, page_at(Anchor::Position(9))).await.expect_err("refused");
    assert_eq!(fields(&error), ["position"]);
    let filter = EventFilter { accounts: vec!["unknown-account".to_owned()], ..EventFilter::default() };
    let request = ListEventsRequest { filter: Some(filter), ..ListEventsRequest::default() };
    let error = list(&gateway, request).await.expect_err("refused");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "ACCOUNT_NOT_FOUND"));
}

#[tokio::test]
async fn expired_start_fails_unless_the_policy_is_skip_with_gap() {
    let (gateway, events) = trimmed().await;
    let oldest = &events[2].cursor;
    let skipping = |start| SubscribeRequest {
        expired_policy: ExpiredPolicy::SkipWithGap.into(),
        ..subscribe_from(start)
    };
    let after_first = || From::AfterCursor(events[0].cursor.clone());
    let long_ago = || From::Since(prost_types::Timestamp::default());
    for start in [after_first(), long_ago()] {
        let error = gateway.subscribe(subscribe_from(start)).await.err().expect("expired");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
        assert_eq!(&metadata(&error, "oldest_cursor"), oldest);
    }

    let mut stream = gateway.subscribe(skipping(after_first())).await.expect("subscribed");
    assert_eq!(stream.started.cursor, events[0].cursor);
    let gap = next_gap(&mut stream).await;
    assert_eq!((&gap.after_cursor, &gap.resume_cursor), (&events[0].cursor, oldest));
    assert_eq!((gap.missed, gap.reason()), (Some(2), GapReason::Expired));
    assert_eq!(stream.events(2).await, events[3..]);

    let mut stream = gateway.subscribe(skipping(long_ago())).await.expect("subscribed");
    let gap = next_gap(&mut stream).await;
    assert_eq!((gap.after_cursor.as_str(), &gap.resume_cursor, gap.missed), ("", oldest, None));
    assert_eq!(stream.events(2).await, events[3..]);

    // There is no gap if every event is stored.
    for start in [From::AfterCursor(oldest.clone()), From::Position(StartPosition::Earliest.into())] {
        let mut stream = gateway.subscribe(skipping(start)).await.expect("subscribed");
        assert_eq!(stream.events(2).await, events[3..]);
    }
    let last_expired = events[2].receive_time.expect("present");
    let later = prost_types::Timestamp { nanos: last_expired.nanos + 1, ..last_expired };
    gateway.subscribe(subscribe_from(From::Since(later))).await.expect("every event since then is stored");
}

#[tokio::test]
async fn expired_page_fails_and_empty_page_succeeds() {
    let (gateway, events) = trimmed().await;
    let expired = || events[0].cursor.clone();
    for place in [
        Anchor::AfterCursor(expired()),
        Anchor::BeforeCursor(expired()),
        Anchor::Since(prost_types::Timestamp::default()),
    ] {
        let error = list(&gateway, page_at(place)).await.expect_err("expired");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
        assert_eq!(metadata(&error, "oldest_cursor"), events[2].cursor);
    }
    let left = list(&gateway, page_at(Anchor::AfterCursor(events[2].cursor.clone()))).await.expect("listed");
    assert_eq!(left.events, events[3..]);
    assert!(left.reached_oldest && left.reached_newest);
    let before = list(&gateway, page_at(Anchor::BeforeCursor(left.previous_cursor))).await.expect("listed");
    assert!(before.events.is_empty() && before.reached_oldest && !before.reached_newest);

    for (place, field) in [
        (Anchor::AfterCursor("x".to_owned()), "after_cursor"),
        (Anchor::BeforeCursor(String::new()), "before_cursor"),
    ] {
        let error = list(&gateway, page_at(place)).await.expect_err("no cursor");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "CURSOR_MALFORMED"));
        assert_eq!(fields(&error), [field]);
    }
    let foreign = Start::quiet().start().await;
    let error = list(&foreign, page_at(Anchor::BeforeCursor(expired()))).await.expect_err("another journal");
    assert_eq!(
        (reason(&error), fields(&error)),
        ("CURSOR_MALFORMED".to_owned(), vec!["before_cursor".to_owned()])
    );
}

/// Pages and streams use the same cursors.
#[tokio::test]
async fn stream_resumes_after_the_cursor_of_a_page() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..3).await;
    let page = list(&gateway, ListEventsRequest::default()).await.expect("listed");
    assert_eq!(texts(&page.events), numbered(0..3));
    assert!(page.reached_oldest && page.reached_newest);
    let mut stream =
        gateway.subscribe(subscribe_from(From::AfterCursor(page.next_cursor))).await.expect("subscribed");
    deliver(&gateway, 3..4).await;
    let event = stream.event().await;
    assert_eq!(text_of(&event), "3");
    // An event's cursor is the position after it.
    let before = list(&gateway, page_at(Anchor::BeforeCursor(event.cursor.clone()))).await.expect("listed");
    assert_eq!(before.events.last(), Some(&event));
    let after = list(&gateway, page_at(Anchor::AfterCursor(event.cursor))).await.expect("listed");
    assert!(after.events.is_empty() && after.reached_newest);
}

#[tokio::test]
async fn pages_in_both_directions_miss_no_event_under_load() {
    const COUNT: usize = 60;
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..20).await;
    let forward = async {
        let (mut seen, mut place) = (Vec::new(), earliest());
        while seen.len() < COUNT {
            let page =
                list(&gateway, ListEventsRequest { page_size: 7, ..page_at(place) }).await.expect("listed");
            assert!(page.events.len() <= 7);
            seen.extend(texts(&page.events).into_iter().map(str::to_owned));
            place = Anchor::AfterCursor(page.next_cursor);
        }
        seen
    };
    let back = async {
        let (mut seen, mut place) = (Vec::new(), Anchor::Position(StartPosition::Latest.into()));
        loop {
            let page =
                list(&gateway, ListEventsRequest { page_size: 3, ..page_at(place) }).await.expect("listed");
            assert!(page.events.len() <= 3);
            let mut page_texts: Vec<String> = texts(&page.events).into_iter().map(str::to_owned).collect();
            page_texts.extend(seen);
            seen = page_texts;
            place = Anchor::BeforeCursor(page.previous_cursor);
            if page.reached_oldest {
                return seen;
            }
        }
    };
    let (forward, back, ()) = tokio::join!(forward, back, deliver(&gateway, 20..COUNT));
    assert_eq!(forward, numbered(0..COUNT));
    assert!(back.len() >= 20);
    assert_eq!(back, numbered(0..back.len()));
}

#[tokio::test]
async fn page_contains_matching_events_and_skips_the_rest() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..3).await;
    gateway.deliver("no JSON").await;
    deliver(&gateway, 3..5).await;
    let filtered = async |accounts: &[&str], types: &[&str], place| {
        let filter = EventFilter {
            accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
            types: types.iter().map(|&word| word.to_owned()).collect(),
            ..EventFilter::default()
        };
        list(&gateway, ListEventsRequest { filter: Some(filter), ..page_at(place) }).await.expect("listed")
    };
    for place in [earliest(), Anchor::Position(StartPosition::Latest.into())] {
        let page = filtered(&[CONNECTLY], &["message.*"], place.clone()).await;
        assert_eq!(texts(&page.events), numbered(0..5));
        let page = filtered(&[], &["unknown"], place.clone()).await;
        assert_eq!(page.events.iter().map(|event| event.r#type.as_str()).collect::<Vec<_>>(), ["unknown"]);
        let page = filtered(&[CONNECTBY], &[], place).await;
        assert!(page.events.is_empty() && page.reached_oldest && page.reached_newest);
        let rest =
            gateway.subscribe(subscribe_from(From::AfterCursor(page.next_cursor))).await.expect("subscribed");
        assert_eq!(rest.started.cursor, rest.started.newest_cursor);
    }
}

#[tokio::test]
async fn listed_events_equal_streamed_events() {
    let gateway = Start::quiet().start().await;
    let bodies = ["no JSON".to_owned(), received("1", "one")];
    for body in &bodies {
        gateway.deliver(body).await;
    }
    for include_raw in [false, true] {
        let earliest_stream = From::Position(StartPosition::Earliest.into());
        let request = SubscribeRequest { include_raw, ..subscribe_from(earliest_stream) };
        let streamed = gateway.subscribe(request).await.expect("subscribed").events(2).await;
        let page =
            list(&gateway, ListEventsRequest { include_raw, ..page_at(earliest()) }).await.expect("listed");
        assert_eq!(page.events, streamed);
        let raw: Vec<&[u8]> = page.events.iter().map(|event| event.raw_body.as_ref()).collect();
        let expected = bodies.each_ref().map(|body| if include_raw { body.as_bytes() } else { b"" });
        assert_eq!(raw, expected);
    }
}

/// The client of this test accepts messages of up to 4 MiB, which is tonic's default.
#[tokio::test]
async fn page_of_large_events_fits_the_client_message_limit() {
    const COUNT: usize = 7;
    let gateway = Start::quiet().start().await;
    let padding = "x".repeat(1_000_000);
    for n in 0..COUNT {
        gateway.deliver(&received(&n.to_string(), &format!("{n} {padding}"))).await;
    }
    for (include_raw, fit) in [(false, 4), (true, 2)] {
        let (mut seen, mut place) = (0, earliest());
        loop {
            let request = ListEventsRequest { include_raw, ..page_at(place) };
            let page = list(&gateway, request).await.expect("small enough");
            assert_eq!(page.events.len(), fit.min(COUNT - seen));
            for event in &page.events {
                assert!(text_of(event).starts_with(&format!("{seen} ")));
                seen += 1;
            }
            if page.reached_newest {
                break;
            }
            place = Anchor::AfterCursor(page.next_cursor);
        }
        assert_eq!(seen, COUNT);
    }
}
