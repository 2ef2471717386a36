//! Event streams against a server that breaks them on purpose.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use switchboard_client::v1::subscribe_request::Start;
use switchboard_client::v1::subscribe_response::Response as StreamResponse;
use switchboard_client::v1::{
    AcknowledgeRequest, ClosingReason, Event, SubscribeClosing, SubscribeHeartbeat, SubscribeRequest,
    SubscribeStarted,
};
use switchboard_client::{Client, Error, EventStream, StreamItem, prost_types};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fake_server::{Action, FakeServer, Received, StreamEnd, StreamScript};
use crate::within;

fn billing() -> SubscribeRequest {
    SubscribeRequest {
        start: Some(Start::SubscriptionId("billing".to_owned())),
        ..SubscribeRequest::default()
    }
}

/// The start of a stream at cursor `0`, with heartbeats every `interval` seconds.
fn started(generation: u64, interval: i64) -> StreamResponse {
    StreamResponse::Started(SubscribeStarted {
        cursor: "0".to_owned(),
        generation,
        heartbeat_interval: Some(prost_types::Duration { seconds: interval, nanos: 0 }),
        ..SubscribeStarted::default()
    })
}

fn event(cursor: &str) -> StreamResponse {
    StreamResponse::Event(Event { cursor: cursor.to_owned(), ..Event::default() })
}

fn closing(reason: i32, retry_delay: Duration) -> StreamResponse {
    let retry_delay = Some(retry_delay.try_into().expect("short"));
    StreamResponse::Closing(SubscribeClosing { reason, retry_delay, ..SubscribeClosing::default() })
}

fn failed(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "no", ErrorDetails::with_error_info(reason, "switchboard", []))
}

/// A server with these scripts, and a stream of its events.
async fn start<A: Into<Action>>(
    streams: impl IntoIterator<Item = StreamScript>,
    actions: impl IntoIterator<Item = A>,
    request: SubscribeRequest,
) -> (FakeServer, EventStream) {
    let server = FakeServer::with_streams(streams, actions).await;
    let events = server.client().await.subscribe(request);
    (server, events)
}

/// No acknowledgement fails.
const NO_FAILURES: [Status; 0] = [];

async fn next(events: &mut EventStream) -> Event {
    match within(events.next()).await.expect("continues") {
        Some(StreamItem::Event(event)) => event,
        other => panic!("expected an event, got {other:?}"),
    }
}

async fn failure(events: &mut EventStream) -> Error {
    within(events.next()).await.expect_err("fails")
}

fn subscribed() -> Received {
    Received::Subscribe(billing())
}

fn acknowledged(cursor: &str, generation: u64) -> Received {
    let (subscription_id, cursor) = ("billing".to_owned(), cursor.to_owned());
    Received::Acknowledge(AcknowledgeRequest { subscription_id, cursor, generation })
}

#[tokio::test]
async fn acknowledgement_is_resent_after_broken_connection() {
    let first = StreamScript(vec![started(7, 60), event("1")], StreamEnd::Silence);
    let second = StreamScript(vec![started(7, 60), event("2")], StreamEnd::Silence);
    let (server, mut events) = start([first, second], [Action::Cut], billing()).await;
    assert_eq!(next(&mut events).await.cursor, "1");
    // The stream acknowledges while it waits for the next event.
    assert_eq!(next(&mut events).await.cursor, "2");
    let again = acknowledged("1", 7);
    assert_eq!(server.received(), [subscribed(), again.clone(), again, subscribed()]);
}

#[tokio::test]
async fn transient_acknowledgement_failure_is_retried_on_same_stream() {
    let codes = [Code::Internal, Code::Unknown, Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable];
    join_all(codes.map(async |code| {
        let stream = StreamScript(vec![started(7, 60), event("1")], StreamEnd::After(vec![(3, event("2"))]));
        let (server, mut events) = start([stream], [Status::new(code, "no")], billing()).await;
        next(&mut events).await;
        assert_eq!(next(&mut events).await.cursor, "2");
        let again = acknowledged("1", 7);
        assert_eq!(server.received(), [subscribed(), again.clone(), again], "{code:?}");
    }))
    .await;

    // Any other failure ends the stream.
    let stream = StreamScript(vec![started(7, 60), event("1")], StreamEnd::Silence);
    let (_server, mut events) =
        start([stream], [failed(Code::NotFound, "SUBSCRIPTION_NOT_FOUND")], billing()).await;
    next(&mut events).await;
    assert_eq!(failure(&mut events).await.reason(), "SUBSCRIPTION_NOT_FOUND");
    assert_eq!(within(events.next()).await.expect("ends without a failure"), None);
}

#[tokio::test]
async fn unanswered_acknowledgement_does_not_delay_events() {
    let later = StreamEnd::After(vec![(2, event("2")), (3, event("3"))]);
    let stream = StreamScript(vec![started(7, 60), event("1")], later);
    let server = FakeServer::with_streams([stream], [Action::Hang]).await;
    // A lazy client opens no connection except the one of the stream.
    let mut events = Client::builder(server.address()).connect_lazy().expect("usable").subscribe(billing());
    next(&mut events).await;
    assert_eq!(next(&mut events).await.cursor, "2", "while the acknowledgement is in progress");
    // The acknowledgement times out after ten seconds.
    let third = timeout(Duration::from_secs(60), events.next()).await.expect("resent");
    assert!(matches!(third, Ok(Some(StreamItem::Event(event))) if event.cursor == "3"));
    assert_eq!(server.received(), [subscribed(), acknowledged("1", 7), acknowledged("2", 7)]);
    assert_eq!(server.proxy().opened(), 1);
}

#[tokio::test]
async fn named_event_and_end_of_stream_are_acknowledged() {
    let end = closing(ClosingReason::MaxEvents.into(), Duration::ZERO);
    let stream = StreamScript(vec![started(7, 60), event("1"), event("2"), end], StreamEnd::Ok);
    let (server, mut events) = start([stream], NO_FAILURES, billing()).await;
    let first = next(&mut events).await;
    within(events.acknowledge(None)).await.expect("nothing to acknowledge");
    assert_eq!(server.received(), [subscribed()]);
    within(events.acknowledge(&first)).await.expect("confirmed");
    assert_eq!(server.received()[1..], [acknowledged("1", 7)]);
    next(&mut events).await;
    // An event that was not the last one delivered has no effect.
    within(events.acknowledge(&first)).await.expect("nothing to acknowledge");
    assert_eq!(within(events.next()).await.expect("ends without a failure"), None);
    assert_eq!(server.received()[1..], [acknowledged("1", 7), acknowledged("2", 7)]);
}

#[tokio::test]
async fn acknowledgement_keeps_generation_after_seek() {
    let unavailable = StreamEnd::Status(failed(Code::Unavailable, "SUBSCRIPTION_CHANGED"));
    let changed = closing(ClosingReason::SubscriptionChanged.into(), Duration::ZERO);
    let moved = StreamScript(vec![started(7, 60), event("1"), event("2"), changed], unavailable.clone());
    let then = StreamScript(vec![started(8, 60), event("1")], StreamEnd::Silence);
    let (server, mut events) = start([moved, then.clone()], NO_FAILURES, billing()).await;
    for cursor in ["1", "2"] {
        assert_eq!(next(&mut events).await.cursor, cursor);
    }
    let first = next(&mut events).await;
    assert_eq!((first.cursor.as_str(), events.cursor()), ("1", "0"), "the new position of the subscription");
    within(events.acknowledge(None)).await.expect("nothing to acknowledge");
    let received = server.received();
    let new =
        |received: &Received| matches!(received, Received::Acknowledge(request) if request.generation != 7);
    assert!(!received.iter().any(new), "{received:?}");
    within(events.acknowledge(&first)).await.expect("confirmed");
    assert_eq!(server.received().last(), Some(&acknowledged("1", 8)));

    // The acknowledgement may fail before the stream reports the change.
    let moved = StreamScript(vec![started(7, 60), event("1")], unavailable);
    let stale = failed(Code::FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE");
    let (server, mut events) = start([moved, then], [stale], billing()).await;
    let first = next(&mut events).await;
    let failed = within(events.acknowledge(&first)).await.expect_err("the subscription was moved");
    assert_eq!(failed.reason(), "SUBSCRIPTION_GENERATION_STALE");
    assert_eq!(next(&mut events).await.cursor, "1");
    assert_eq!(server.received(), [subscribed(), acknowledged("1", 7), subscribed()]);
}

#[tokio::test]
async fn sixth_reset_without_a_delivery_ends_stream() {
    let ends = [Code::Internal, Code::Unknown, Code::Cancelled]
        .map(|code| StreamEnd::Status(Status::new(code, "no")));
    join_all(ends.into_iter().chain([StreamEnd::Reset]).map(async |end| {
        let nothing = || StreamScript(vec![started(0, 60)], end.clone());
        // A reset can discard earlier responses, so these streams end with a status instead.
        let delivering = |response| {
            StreamScript(vec![started(0, 60), response], StreamEnd::Status(Status::internal("no")))
        };
        let heartbeat =
            StreamResponse::Heartbeat(SubscribeHeartbeat { cursor: "2".to_owned(), server_time: None });
        let mut streams: Vec<StreamScript> = (0..5).map(|_| nothing()).collect();
        streams.push(delivering(event("1")));
        streams.extend((0..4).map(|_| nothing()));
        streams.push(delivering(heartbeat));
        streams.extend((0..9).map(|_| nothing()));
        let (server, mut events) = start(streams, NO_FAILURES, SubscribeRequest::default()).await;
        next(&mut events).await;
        let failed = failure(&mut events).await;
        assert!(matches!(failed.code(), Code::Internal | Code::Unknown | Code::Cancelled), "{failed}");
        assert_eq!(server.received().len(), 5 + 1 + 4 + 1 + 5);
    }))
    .await;

    // A failure that comes from the server is not a reset.
    let end = StreamEnd::Status(failed(Code::Internal, "INTERNAL"));
    let (server, mut events) =
        start([StreamScript(vec![started(0, 60)], end)], NO_FAILURES, SubscribeRequest::default()).await;
    assert_eq!(failure(&mut events).await.reason(), "INTERNAL");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn stream_is_reopened_after_each_broken_connection() {
    let ends = [StreamEnd::Cut, StreamEnd::Ok, StreamEnd::Status(Status::unavailable("restarting"))];
    join_all(ends.map(async |end| {
        let mut streams: Vec<StreamScript> =
            (0..6).map(|_| StreamScript(vec![started(0, 60)], end.clone())).collect();
        streams.push(StreamScript(vec![started(0, 60), event("1")], StreamEnd::Silence));
        let (_server, mut events) = start(streams, NO_FAILURES, SubscribeRequest::default()).await;
        next(&mut events).await;
    }))
    .await;
}

#[tokio::test]
async fn stream_ends_after_closing_unless_server_shuts_down() {
    // A reason that this version does not know, and a known one.
    for reason in [99, ClosingReason::IdleTimeout.into()] {
        let stream = StreamScript(vec![started(0, 60), closing(reason, Duration::ZERO)], StreamEnd::Ok);
        let (server, mut events) = start([stream], NO_FAILURES, SubscribeRequest::default()).await;
        assert_eq!(within(events.next()).await.expect("ends without a failure"), None);
        assert_eq!(server.received().len(), 1);
    }
    // The stream waits for the delay that the server requests.
    let least = Duration::from_millis(1_500);
    let shutdown = closing(ClosingReason::Shutdown.into(), least);
    let end = StreamEnd::Status(failed(Code::Unavailable, "SERVER_STOPPING"));
    let streams = [
        StreamScript(vec![started(0, 60), event("1"), shutdown], end),
        StreamScript(vec![started(0, 60), event("2")], StreamEnd::Silence),
    ];
    let (_server, mut events) = start(streams, NO_FAILURES, SubscribeRequest::default()).await;
    next(&mut events).await;
    let before = Instant::now();
    assert_eq!(next(&mut events).await.cursor, "2");
    assert!(before.elapsed() >= least, "{:?}", before.elapsed());
}

#[tokio::test]
async fn max_events_holds_when_closing_is_lost() {
    let request = SubscribeRequest { max_events: 3, ..SubscribeRequest::default() };
    let streams = [
        StreamScript(vec![started(0, 60), event("1"), event("2")], StreamEnd::Silence),
        StreamScript(vec![started(0, 60), event("3")], StreamEnd::Silence),
        StreamScript(vec![started(0, 60), event("4")], StreamEnd::Silence),
    ];
    let (server, mut events) = start(streams, NO_FAILURES, request.clone()).await;
    let cut = server.proxy().cut();
    for cursor in ["1", "2", "3"] {
        assert_eq!(next(&mut events).await.cursor, cursor);
        if cursor != "1" {
            cut.all();
        }
    }
    assert_eq!(within(events.next()).await.expect("ends without a failure"), None);
    let start = Some(Start::AfterCursor("2".to_owned()));
    let second = SubscribeRequest { max_events: 1, start, ..SubscribeRequest::default() };
    assert_eq!(server.received(), [Received::Subscribe(request), Received::Subscribe(second)]);
}

/// Calls `next` with a short timeout until it returns an event.
async fn next_by_polling(events: &mut EventStream) -> Event {
    within(async {
        loop {
            if let Ok(item) = timeout(Duration::from_millis(20), events.next()).await {
                match item.expect("continues") {
                    Some(StreamItem::Event(event)) => return event,
                    other => panic!("expected an event, got {other:?}"),
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn dropped_next_keeps_timers_and_open_stream() {
    // The stream is reopened after two heartbeat intervals of silence.
    let streams = [
        StreamScript(vec![started(0, 1)], StreamEnd::Silence),
        StreamScript(vec![started(0, 60), event("1")], StreamEnd::Silence),
    ];
    let (_server, mut events) = start(streams, NO_FAILURES, SubscribeRequest::default()).await;
    next_by_polling(&mut events).await;

    // A dropped `next` does not restart a stream that is opening.
    let (server, mut events) =
        start([StreamScript(vec![], StreamEnd::NoHeaders)], NO_FAILURES, SubscribeRequest::default()).await;
    let mut left = 20;
    within(async {
        while left > 0 {
            let waited = timeout(Duration::from_millis(20), events.next()).await;
            assert!(waited.is_err(), "no item arrives");
            left -= usize::from(!server.received().is_empty());
        }
    })
    .await;
    assert_eq!(server.received().len(), 1);

    // The delay before each new stream grows.
    let unavailable =
        (0..3).map(|_| StreamScript(vec![], StreamEnd::Status(Status::unavailable("starting"))));
    let available = StreamScript(vec![started(0, 60), event("1")], StreamEnd::Silence);
    let before = Instant::now();
    let (server, mut events) =
        start(unavailable.chain([available]), NO_FAILURES, SubscribeRequest::default()).await;
    next_by_polling(&mut events).await;
    assert_eq!(server.received().len(), 4);
    assert!(before.elapsed() >= Duration::from_millis(700), "{:?}", before.elapsed());
}

#[tokio::test]
async fn close_acknowledges_handled_events_only() {
    let stream = StreamScript(vec![started(7, 60), event("1"), event("2")], StreamEnd::Silence);
    let (server, mut events) = start([stream.clone()], NO_FAILURES, billing()).await;
    for cursor in ["1", "2"] {
        assert_eq!(next(&mut events).await.cursor, cursor);
    }
    within(events.close()).await.expect("confirmed");
    assert_eq!(server.received(), [subscribed(), acknowledged("1", 7)]);

    // A server that does not respond delays the end by two seconds.
    let (_server, mut events) = start([stream], [Action::Hang], billing()).await;
    for cursor in ["1", "2"] {
        assert_eq!(next(&mut events).await.cursor, cursor);
    }
    let before = Instant::now();
    let failed = within(events.close()).await.expect_err("not confirmed");
    assert_eq!(failed.code(), Code::DeadlineExceeded);
    assert!((2..10).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());

    // Nothing to acknowledge.
    let (server, events) = start([], NO_FAILURES, billing()).await;
    within(events.close()).await.expect("sends nothing");
    assert_eq!(server.received(), []);
}

#[tokio::test]
async fn stream_trait_delivers_same_items_and_ends() {
    let broken = StreamScript(vec![started(7, 60), event("1")], StreamEnd::Cut);
    let end = closing(ClosingReason::MaxEvents.into(), Duration::ZERO);
    let last = StreamScript(vec![started(7, 60), event("2"), end], StreamEnd::Ok);
    let (server, events) = start([broken, last], NO_FAILURES, billing()).await;
    let items: Vec<_> = within(events.collect()).await;
    let cursor = |item: &Result<StreamItem, Error>| match item {
        Ok(StreamItem::Event(event)) => event.cursor.clone(),
        other => panic!("expected an event, got {other:?}"),
    };
    let cursors: Vec<_> = items.iter().map(cursor).collect();
    assert_eq!(cursors, ["1", "2"]);
    assert_eq!(server.received(), [subscribed(), acknowledged("1", 7), subscribed(), acknowledged("2", 7)]);

    // A failure is the last item.
    let refused = StreamScript(vec![], StreamEnd::Status(failed(Code::InvalidArgument, "CURSOR_MALFORMED")));
    let (_server, events) = start([refused], NO_FAILURES, SubscribeRequest::default()).await;
    let items: Vec<_> = within(events.collect()).await;
    assert!(matches!(&items[..], [Err(error)] if error.reason() == "CURSOR_MALFORMED"), "{items:?}");
}
