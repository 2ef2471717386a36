//! Reading the journal from any place: since a time, over a gap, and page by page.

use std::path::Path;
use std::time::Duration;

use switchboard::api::encode_event;
use switchboard::domain::UnixMillis;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::list_events_request::Place;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{
    Event, EventFilter, ExpiredPolicy, GapReason, ListEventsRequest, ListEventsResponse, StartPosition,
    SubscribeGap, SubscribeRequest,
};
use switchboard::store::{self, Done, Op, ReplicaId, Store, Trim};
use tonic::{Code, Status};

use crate::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, Subscriber, fields, metadata, reason, received, text_of, within,
};

async fn list(gateway: &Gateway, request: ListEventsRequest) -> Result<ListEventsResponse, Status> {
    let mut client = EventServiceClient::new(gateway.channel.clone());
    within(client.list_events(request)).await.map(tonic::Response::into_inner)
}

fn at(place: Place) -> ListEventsRequest {
    ListEventsRequest { place: Some(place), ..ListEventsRequest::default() }
}

fn earliest() -> Place {
    Place::Position(StartPosition::Earliest.into())
}

fn from(start: From) -> SubscribeRequest {
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

/// Has the operator's retention take the oldest events of a server that was stopped.
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
    assert!(matches!(&*done, [Done::Trimmed(trimmed)] if trimmed.events == u64::from(most)));
    store.close().await;
    let mut health = store.health();
    while within(health.changed()).await.is_ok() {}
}

/// A server with five events, `0` to `4`, of which the oldest three are gone, and the cursors of all.
pub(crate) async fn trimmed() -> (Gateway, Vec<Event>) {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..5).await;
    let events = list(&gateway, at(earliest())).await.expect("listed").events;
    assert_eq!(texts(&events), numbered(0..5));
    let folder = gateway.stop().await;
    trim(folder.path(), 3).await;
    (Start::quiet().on(folder).start().await, events)
}

async fn gap(subscriber: &mut Subscriber) -> SubscribeGap {
    match subscriber.next().await.expect("open") {
        Some(Response::Gap(gap)) => gap,
        other => panic!("no gap but {other:?}"),
    }
}

#[tokio::test]
async fn a_stream_since_a_time_starts_before_the_first_event_received_then() {
    let gateway = Start::quiet().start().await;
    let none = gateway.subscribe(from(From::Since(Default::default()))).await.expect("nothing is lost");
    assert_eq!(none.started.cursor, none.started.oldest_cursor);
    deliver(&gateway, 0..3).await;
    let events = list(&gateway, at(earliest())).await.expect("listed").events;
    let times: Vec<_> = events.iter().map(|event| event.receive_time.expect("there")).collect();
    let mut wanted = times.clone();
    wanted.push(prost_types::Timestamp { seconds: 0, nanos: 1 });
    // A nanosecond later an event of that time lies before it.
    wanted.extend(times.iter().map(|time| prost_types::Timestamp { nanos: time.nanos + 1, ..*time }));
    for since in wanted {
        let moment = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
        let behind = times.iter().position(|time| moment(time) >= moment(&since));
        let expected: Vec<&str> = behind.map_or(vec![], |behind| texts(&events[behind..]));
        let listed = list(&gateway, at(Place::Since(since))).await.expect("listed");
        assert_eq!(texts(&listed.events), expected, "{since:?}");
        let mut stream = gateway.subscribe(from(From::Since(since))).await.expect("subscribed");
        assert_eq!(stream.started.cursor, listed.previous_cursor);
        assert_eq!(texts(&stream.events(expected.len()).await), expected, "{since:?}");
    }

    // A time to come holds nothing back until then.
    let future = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 };
    let mut stream = gateway.subscribe(from(From::Since(future))).await.expect("subscribed");
    assert_eq!(stream.started.cursor, stream.started.newest_cursor);
    let listed = list(&gateway, at(Place::Since(future))).await.expect("listed");
    assert!(listed.events.is_empty() && listed.reached_newest && !listed.reached_oldest);
    deliver(&gateway, 3..4).await;
    assert_eq!(text_of(&stream.event().await), "3");
}

#[tokio::test]
async fn what_is_no_time_no_policy_or_no_size_is_told_with_its_field() {
    let gateway = Start::quiet().start().await;
    let no_time = prost_types::Timestamp { seconds: 0, nanos: -1 };
    let request = SubscribeRequest { expired_policy: 9, ..from(From::Since(no_time)) };
    let told = gateway.subscribe(request).await.err().expect("refused");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&told), ["since", "expired_policy"]);

    let request = ListEventsRequest {
        page_size: 1_001,
        filter: Some(EventFilter { types: vec!["message.seen".to_owned()], accounts: vec![] }),
        ..at(Place::Since(no_time))
    };
    let told = list(&gateway, request).await.expect_err("refused");
    assert_eq!(reason(&told), "REQUEST_INVALID");
    assert_eq!(fields(&told), ["filter.types[0]", "since", "page_size"]);
    let told = list(&gateway, at(Place::Position(9))).await.expect_err("refused");
    assert_eq!(fields(&told), ["position"]);
    let filter = EventFilter { accounts: vec!["nobody".to_owned()], types: vec![] };
    let request = ListEventsRequest { filter: Some(filter), ..ListEventsRequest::default() };
    let told = list(&gateway, request).await.expect_err("refused");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "ACCOUNT_NOT_FOUND"));
}

#[tokio::test]
async fn a_start_whose_events_are_gone_fails_unless_it_skips_with_a_gap() {
    let (gateway, events) = trimmed().await;
    let oldest = &events[2].cursor;
    let skipping =
        |start| SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..from(start) };
    let behind_first = || From::AfterCursor(events[0].cursor.clone());
    let long_ago = || From::Since(prost_types::Timestamp::default());
    for start in [behind_first(), long_ago()] {
        let told = gateway.subscribe(from(start)).await.err().expect("events are gone");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
        assert_eq!(&metadata(&told, "oldest_cursor"), oldest);
    }

    let mut stream = gateway.subscribe(skipping(behind_first())).await.expect("subscribed");
    assert_eq!(stream.started.cursor, events[0].cursor);
    let told = gap(&mut stream).await;
    assert_eq!((&told.after_cursor, &told.resume_cursor), (&events[0].cursor, oldest));
    assert_eq!((told.missed, told.reason()), (Some(2), GapReason::Expired));
    assert_eq!(stream.events(2).await, events[3..]);

    let mut stream = gateway.subscribe(skipping(long_ago())).await.expect("subscribed");
    let told = gap(&mut stream).await;
    assert_eq!((told.after_cursor.as_str(), &told.resume_cursor, told.missed), ("", oldest, None));
    assert_eq!(stream.events(2).await, events[3..]);

    // What is all there is no gap.
    for start in [From::AfterCursor(oldest.clone()), From::Position(StartPosition::Earliest.into())] {
        let mut stream = gateway.subscribe(skipping(start)).await.expect("subscribed");
        assert_eq!(stream.events(2).await, events[3..]);
    }
    let last_gone = events[2].receive_time.expect("there");
    let later = prost_types::Timestamp { nanos: last_gone.nanos + 1, ..last_gone };
    gateway.subscribe(from(From::Since(later))).await.expect("all that was received since is there");
}

#[tokio::test]
async fn pages_of_what_is_gone_are_told_apart_from_empty_ones() {
    let (gateway, events) = trimmed().await;
    let gone = || events[0].cursor.clone();
    for place in [
        Place::AfterCursor(gone()),
        Place::BeforeCursor(gone()),
        Place::Since(prost_types::Timestamp::default()),
    ] {
        let told = list(&gateway, at(place)).await.expect_err("gone");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
        assert_eq!(metadata(&told, "oldest_cursor"), events[2].cursor);
    }
    let left = list(&gateway, at(Place::AfterCursor(events[2].cursor.clone()))).await.expect("listed");
    assert_eq!(left.events, events[3..]);
    assert!(left.reached_oldest && left.reached_newest);
    let before = list(&gateway, at(Place::BeforeCursor(left.previous_cursor))).await.expect("listed");
    assert!(before.events.is_empty() && before.reached_oldest && !before.reached_newest);

    for (place, field) in [
        (Place::AfterCursor("x".to_owned()), "after_cursor"),
        (Place::BeforeCursor(String::new()), "before_cursor"),
    ] {
        let told = list(&gateway, at(place)).await.expect_err("no cursor");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "CURSOR_MALFORMED"));
        assert_eq!(fields(&told), [field]);
    }
    let foreign = Start::quiet().start().await;
    let told = list(&foreign, at(Place::BeforeCursor(gone()))).await.expect_err("another journal's");
    assert_eq!(
        (reason(&told), fields(&told)),
        ("CURSOR_MALFORMED".to_owned(), vec!["before_cursor".to_owned()])
    );
}

/// A page's cursors are a stream's, and a stream's are a page's.
#[tokio::test]
async fn a_list_goes_on_as_a_stream() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..3).await;
    let page = list(&gateway, ListEventsRequest::default()).await.expect("listed");
    assert_eq!(texts(&page.events), numbered(0..3));
    assert!(page.reached_oldest && page.reached_newest);
    let mut stream = gateway.subscribe(from(From::AfterCursor(page.next_cursor))).await.expect("subscribed");
    deliver(&gateway, 3..4).await;
    let event = stream.event().await;
    assert_eq!(text_of(&event), "3");
    // An event's own cursor is the place behind it.
    let before = list(&gateway, at(Place::BeforeCursor(event.cursor.clone()))).await.expect("listed");
    assert_eq!(before.events.last(), Some(&event));
    let after = list(&gateway, at(Place::AfterCursor(event.cursor))).await.expect("listed");
    assert!(after.events.is_empty() && after.reached_newest);
}

#[tokio::test]
async fn pages_forward_and_back_meet_without_a_hole_while_events_come_in() {
    const COUNT: usize = 60;
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..20).await;
    let forward = async {
        let (mut seen, mut place) = (Vec::new(), earliest());
        while seen.len() < COUNT {
            let page = list(&gateway, ListEventsRequest { page_size: 7, ..at(place) }).await.expect("listed");
            assert!(page.events.len() <= 7);
            seen.extend(texts(&page.events).into_iter().map(str::to_owned));
            place = Place::AfterCursor(page.next_cursor);
        }
        seen
    };
    let back = async {
        let (mut seen, mut place) = (Vec::new(), Place::Position(StartPosition::Latest.into()));
        loop {
            let page = list(&gateway, ListEventsRequest { page_size: 3, ..at(place) }).await.expect("listed");
            assert!(page.events.len() <= 3);
            let mut page_texts: Vec<String> = texts(&page.events).into_iter().map(str::to_owned).collect();
            page_texts.extend(seen);
            seen = page_texts;
            place = Place::BeforeCursor(page.previous_cursor);
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
async fn a_page_holds_what_the_filter_lets_through_and_moves_past_the_rest() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..3).await;
    gateway.deliver("no JSON").await;
    deliver(&gateway, 3..5).await;
    let filtered = async |accounts: &[&str], types: &[&str], place| {
        let filter = EventFilter {
            accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
            types: types.iter().map(|&word| word.to_owned()).collect(),
        };
        list(&gateway, ListEventsRequest { filter: Some(filter), ..at(place) }).await.expect("listed")
    };
    for place in [earliest(), Place::Position(StartPosition::Latest.into())] {
        let page = filtered(&[CONNECTLY], &["message.*"], place.clone()).await;
        assert_eq!(texts(&page.events), numbered(0..5));
        let page = filtered(&[], &["unknown"], place.clone()).await;
        assert_eq!(page.events.iter().map(|event| event.r#type.as_str()).collect::<Vec<_>>(), ["unknown"]);
        let page = filtered(&[CONNECTBY], &[], place).await;
        assert!(page.events.is_empty() && page.reached_oldest && page.reached_newest);
        let rest = gateway.subscribe(from(From::AfterCursor(page.next_cursor))).await.expect("subscribed");
        assert_eq!(rest.started.cursor, rest.started.newest_cursor);
    }
}

#[tokio::test]
async fn listed_events_are_the_streamed_ones_with_their_bodies_when_asked() {
    let gateway = Start::quiet().start().await;
    let bodies = ["no JSON".to_owned(), received("1", "one")];
    for body in &bodies {
        gateway.deliver(body).await;
    }
    for include_raw in [false, true] {
        let earliest_stream = From::Position(StartPosition::Earliest.into());
        let request = SubscribeRequest { include_raw, ..from(earliest_stream) };
        let streamed = gateway.subscribe(request).await.expect("subscribed").events(2).await;
        let page = list(&gateway, ListEventsRequest { include_raw, ..at(earliest()) }).await.expect("listed");
        assert_eq!(page.events, streamed);
        let raw: Vec<&[u8]> = page.events.iter().map(|event| event.raw_body.as_ref()).collect();
        let expected = bodies.each_ref().map(|body| if include_raw { body.as_bytes() } else { b"" });
        assert_eq!(raw, expected);
    }
}

/// The client of these tests takes messages of 4 MiB, as most do.
#[tokio::test]
async fn an_answer_with_large_events_stays_within_what_clients_take() {
    const COUNT: usize = 7;
    let gateway = Start::quiet().start().await;
    let padding = "x".repeat(1_000_000);
    for n in 0..COUNT {
        gateway.deliver(&received(&n.to_string(), &format!("{n} {padding}"))).await;
    }
    for (include_raw, fit) in [(false, 4), (true, 2)] {
        let (mut seen, mut place) = (0, earliest());
        loop {
            let request = ListEventsRequest { include_raw, ..at(place) };
            let page = list(&gateway, request).await.expect("small enough");
            assert_eq!(page.events.len(), fit.min(COUNT - seen));
            for event in &page.events {
                assert!(text_of(event).starts_with(&format!("{seen} ")));
                seen += 1;
            }
            if page.reached_newest {
                break;
            }
            place = Place::AfterCursor(page.next_cursor);
        }
        assert_eq!(seen, COUNT);
    }
}
