//! The loop over events against a server that breaks it on purpose.

use std::time::Duration;

use futures_util::future::join_all;
use switchboard::client::{Error, Events, Happened};
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response as Told;
use switchboard::pb::v1::{
    AcknowledgeRequest, ClosingReason, Event, SubscribeClosing, SubscribeHeartbeat, SubscribeRequest,
    SubscribeStarted,
};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::scripted::{Act, Asked, End, Scene, Scripted};
use crate::gateway::within;

fn billing() -> SubscribeRequest {
    SubscribeRequest { start: Some(From::Subscription("billing".to_owned())), ..SubscribeRequest::default() }
}

/// The server's first word: behind `0`, with that many seconds between heartbeats.
fn started(generation: u64, interval: i64) -> Told {
    Told::Started(SubscribeStarted {
        cursor: "0".to_owned(),
        generation,
        heartbeat_interval: Some(prost_types::Duration { seconds: interval, nanos: 0 }),
        ..SubscribeStarted::default()
    })
}

fn event(cursor: &str) -> Told {
    Told::Event(Event { cursor: cursor.to_owned(), ..Event::default() })
}

fn closing(reason: i32, retry_after: Duration) -> Told {
    let retry_after = Some(retry_after.try_into().expect("short"));
    Told::Closing(SubscribeClosing { reason, retry_after, ..SubscribeClosing::default() })
}

fn told(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "no", ErrorDetails::with_error_info(reason, "switchboard", []))
}

/// The server, and a loop over its events.
async fn playing<A: Into<Act>>(
    scenes: impl IntoIterator<Item = Scene>,
    acts: impl IntoIterator<Item = A>,
    request: SubscribeRequest,
) -> (Scripted, Events) {
    let server = Scripted::playing(scenes, acts).await;
    let events = server.client().await.subscribe(request);
    (server, events)
}

/// Where no acknowledgement is expected to fail.
const WILLING: [Status; 0] = [];

async fn next(events: &mut Events) -> Event {
    match within(events.next()).await.expect("goes on") {
        Some(Happened::Event(event)) => event,
        other => panic!("no event but {other:?}"),
    }
}

async fn failure(events: &mut Events) -> Error {
    within(events.next()).await.expect_err("fails")
}

fn subscribed() -> Asked {
    Asked::Subscribe(billing())
}

fn acknowledged(cursor: &str, generation: u64) -> Asked {
    let (subscription, cursor) = ("billing".to_owned(), cursor.to_owned());
    Asked::Acknowledge(AcknowledgeRequest { subscription, cursor, generation })
}

#[tokio::test]
async fn an_acknowledgement_that_breaks_the_connection_is_made_again_and_nothing_comes_twice() {
    let first = Scene(vec![started(7, 60), event("1")], End::Silence);
    let second = Scene(vec![started(7, 60), event("2")], End::Silence);
    let (server, mut events) = playing([first, second], [Act::Cut], billing()).await;
    assert_eq!(next(&mut events).await.cursor, "1");
    // Waiting for more, the loop acknowledges.
    assert_eq!(next(&mut events).await.cursor, "2");
    let again = acknowledged("1", 7);
    assert_eq!(server.asked(), [subscribed(), again.clone(), again, subscribed()]);
}

#[tokio::test]
async fn an_acknowledgement_that_fails_in_passing_is_made_again_on_the_stream_that_is_open() {
    let codes = [Code::Internal, Code::Unknown, Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable];
    join_all(codes.map(async |code| {
        let scene = Scene(vec![started(7, 60), event("1")], End::After(vec![(3, event("2"))]));
        let (server, mut events) = playing([scene], [Status::new(code, "no")], billing()).await;
        next(&mut events).await;
        assert_eq!(next(&mut events).await.cursor, "2");
        let again = acknowledged("1", 7);
        assert_eq!(server.asked(), [subscribed(), again.clone(), again], "{code:?}");
    }))
    .await;

    // Any other is the program's.
    let scene = Scene(vec![started(7, 60), event("1")], End::Silence);
    let (_server, mut events) =
        playing([scene], [told(Code::NotFound, "SUBSCRIPTION_NOT_FOUND")], billing()).await;
    next(&mut events).await;
    assert_eq!(failure(&mut events).await.reason(), "SUBSCRIPTION_NOT_FOUND");
    assert_eq!(within(events.next()).await.expect("the end"), None);
}

#[tokio::test]
async fn an_acknowledgement_without_an_answer_holds_nothing_up_and_is_made_again() {
    let later = End::After(vec![(2, event("2")), (3, event("3"))]);
    let scene = Scene(vec![started(7, 60), event("1")], later);
    let server = Scripted::playing([scene], [Act::Hang]).await;
    // Only the loop's own connection is opened.
    let mut events = switchboard::client::Client::builder(server.address())
        .connect_lazy()
        .expect("usable")
        .subscribe(billing());
    next(&mut events).await;
    assert_eq!(next(&mut events).await.cursor, "2", "the acknowledgement is under way");
    // It is given up after ten seconds.
    let third = timeout(Duration::from_secs(60), events.next()).await.expect("made again");
    assert!(matches!(third, Ok(Some(Happened::Event(event))) if event.cursor == "3"));
    assert_eq!(server.asked(), [subscribed(), acknowledged("1", 7), acknowledged("2", 7)]);
    assert_eq!(server.proxy().opened(), 1);
}

#[tokio::test]
async fn what_is_done_with_is_acknowledged_when_the_loop_ends_and_an_event_at_hand_when_it_is_named() {
    let end = closing(ClosingReason::MaxEvents.into(), Duration::ZERO);
    let scene = Scene(vec![started(7, 60), event("1"), event("2"), end], End::Ok);
    let (server, mut events) = playing([scene], WILLING, billing()).await;
    let first = next(&mut events).await;
    within(events.acknowledge(None)).await.expect("nothing to acknowledge");
    assert_eq!(server.asked(), [subscribed()]);
    within(events.acknowledge(&first)).await.expect("durable");
    assert_eq!(server.asked()[1..], [acknowledged("1", 7)]);
    next(&mut events).await;
    // An event that is not at hand is done with already, or never came.
    within(events.acknowledge(&first)).await.expect("nothing to acknowledge");
    assert_eq!(within(events.next()).await.expect("the end"), None);
    assert_eq!(server.asked()[1..], [acknowledged("1", 7), acknowledged("2", 7)]);
}

#[tokio::test]
async fn what_was_done_before_a_subscription_was_moved_is_not_acknowledged_as_if_it_came_after() {
    let unavailable = End::Status(told(Code::Unavailable, "SUBSCRIPTION_CHANGED"));
    let changed = closing(ClosingReason::SubscriptionChanged.into(), Duration::ZERO);
    let moved = Scene(vec![started(7, 60), event("1"), event("2"), changed], unavailable.clone());
    let then = Scene(vec![started(8, 60), event("1")], End::Silence);
    let (server, mut events) = playing([moved, then.clone()], WILLING, billing()).await;
    for cursor in ["1", "2"] {
        assert_eq!(next(&mut events).await.cursor, cursor);
    }
    let first = next(&mut events).await;
    assert_eq!((first.cursor.as_str(), events.cursor()), ("1", "0"), "where it was moved to");
    within(events.acknowledge(None)).await.expect("nothing to acknowledge");
    let asked = server.asked();
    let new = |asked: &Asked| matches!(asked, Asked::Acknowledge(place) if place.generation != 7);
    assert!(!asked.iter().any(new), "{asked:?}");
    within(events.acknowledge(&first)).await.expect("durable");
    assert_eq!(server.asked().last(), Some(&acknowledged("1", 8)));

    // The gateway may say it to the acknowledgement first.
    let moved = Scene(vec![started(7, 60), event("1")], unavailable);
    let stale = told(Code::FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE");
    let (server, mut events) = playing([moved, then], [stale], billing()).await;
    let first = next(&mut events).await;
    let failed = within(events.acknowledge(&first)).await.expect_err("moved");
    assert_eq!(failed.reason(), "SUBSCRIPTION_GENERATION_STALE");
    assert_eq!(next(&mut events).await.cursor, "1");
    assert_eq!(server.asked(), [subscribed(), acknowledged("1", 7), subscribed()]);
}

#[tokio::test]
async fn a_stream_that_is_reset_again_and_again_before_anything_came_fails_at_the_sixth_time() {
    let ends =
        [Code::Internal, Code::Unknown, Code::Cancelled].map(|code| End::Status(Status::new(code, "no")));
    join_all(ends.into_iter().chain([End::Reset]).map(async |end| {
        let nothing = || Scene(vec![started(0, 60)], end.clone());
        // After a reset, what was told before it may be lost: these are to arrive.
        let arriving = |told| Scene(vec![started(0, 60), told], End::Status(Status::internal("no")));
        let heartbeat = Told::Heartbeat(SubscribeHeartbeat { cursor: "2".to_owned(), time: None });
        let mut scenes: Vec<Scene> = (0..5).map(|_| nothing()).collect();
        scenes.push(arriving(event("1")));
        scenes.extend((0..4).map(|_| nothing()));
        scenes.push(arriving(heartbeat));
        scenes.extend((0..9).map(|_| nothing()));
        let (server, mut events) = playing(scenes, WILLING, SubscribeRequest::default()).await;
        next(&mut events).await;
        let failed = failure(&mut events).await;
        assert!(matches!(failed.code(), Code::Internal | Code::Unknown | Code::Cancelled), "{failed}");
        assert_eq!(server.asked().len(), 5 + 1 + 4 + 1 + 5);
    }))
    .await;

    // What the gateway says itself is no reset.
    let end = End::Status(told(Code::Internal, "INTERNAL"));
    let (server, mut events) =
        playing([Scene(vec![started(0, 60)], end)], WILLING, SubscribeRequest::default()).await;
    assert_eq!(failure(&mut events).await.reason(), "INTERNAL");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_stream_whose_connection_breaks_is_opened_again_for_ever() {
    let ends = [End::Cut, End::Ok, End::Status(Status::unavailable("restarting"))];
    join_all(ends.map(async |end| {
        let mut scenes: Vec<Scene> = (0..6).map(|_| Scene(vec![started(0, 60)], end.clone())).collect();
        scenes.push(Scene(vec![started(0, 60), event("1")], End::Silence));
        let (_server, mut events) = playing(scenes, WILLING, SubscribeRequest::default()).await;
        next(&mut events).await;
    }))
    .await;
}

#[tokio::test]
async fn after_closing_with_ok_the_loop_ends_unless_the_gateway_asks_for_another_stream() {
    // A reason that this version does not know, and none.
    for reason in [99, ClosingReason::IdleTimeout.into()] {
        let scene = Scene(vec![started(0, 60), closing(reason, Duration::ZERO)], End::Ok);
        let (server, mut events) = playing([scene], WILLING, SubscribeRequest::default()).await;
        assert_eq!(within(events.next()).await.expect("the end"), None);
        assert_eq!(server.asked().len(), 1);
    }
    // The time that it asks for is waited for.
    let least = Duration::from_millis(1_500);
    let shutdown = closing(ClosingReason::Shutdown.into(), least);
    let end = End::Status(told(Code::Unavailable, "SERVER_STOPPING"));
    let scenes = [
        Scene(vec![started(0, 60), event("1"), shutdown], end),
        Scene(vec![started(0, 60), event("2")], End::Silence),
    ];
    let (_server, mut events) = playing(scenes, WILLING, SubscribeRequest::default()).await;
    next(&mut events).await;
    let before = Instant::now();
    assert_eq!(next(&mut events).await.cursor, "2");
    assert!(before.elapsed() >= least, "{:?}", before.elapsed());
}

#[tokio::test]
async fn no_more_events_come_than_were_asked_for_when_the_word_that_it_was_the_last_is_lost() {
    let request = SubscribeRequest { max_events: 3, ..SubscribeRequest::default() };
    let scenes = [
        Scene(vec![started(0, 60), event("1"), event("2")], End::Silence),
        Scene(vec![started(0, 60), event("3")], End::Silence),
        Scene(vec![started(0, 60), event("4")], End::Silence),
    ];
    let (server, mut events) = playing(scenes, WILLING, request.clone()).await;
    let cut = server.proxy().cut();
    for cursor in ["1", "2", "3"] {
        assert_eq!(next(&mut events).await.cursor, cursor);
        if cursor != "1" {
            cut.all();
        }
    }
    assert_eq!(within(events.next()).await.expect("the end"), None);
    let start = Some(From::AfterCursor("2".to_owned()));
    let second = SubscribeRequest { max_events: 1, start, ..SubscribeRequest::default() };
    assert_eq!(server.asked(), [Asked::Subscribe(request), Asked::Subscribe(second)]);
}

/// Asks for the next event again and again, and has no patience with any of the answers.
async fn impatiently(events: &mut Events) -> Event {
    within(async {
        loop {
            if let Ok(happened) = timeout(Duration::from_millis(20), events.next()).await {
                match happened.expect("goes on") {
                    Some(Happened::Event(event)) => return event,
                    other => panic!("no event but {other:?}"),
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_program_that_waits_for_other_things_too_loses_no_time_that_the_loop_has_waited() {
    // Two heartbeats of silence.
    let scenes =
        [Scene(vec![started(0, 1)], End::Silence), Scene(vec![started(0, 60), event("1")], End::Silence)];
    let (_server, mut events) = playing(scenes, WILLING, SubscribeRequest::default()).await;
    impatiently(&mut events).await;

    // A stream that is being opened is not opened anew.
    let (server, mut events) =
        playing([Scene(vec![], End::Mute)], WILLING, SubscribeRequest::default()).await;
    let mut left = 20;
    within(async {
        while left > 0 {
            let waited = timeout(Duration::from_millis(20), events.next()).await;
            assert!(waited.is_err(), "nothing came");
            left -= usize::from(!server.asked().is_empty());
        }
    })
    .await;
    assert_eq!(server.asked().len(), 1);

    // Between two tries, more and more time passes.
    let gone = (0..3).map(|_| Scene(vec![], End::Status(Status::unavailable("starting"))));
    let there = Scene(vec![started(0, 60), event("1")], End::Silence);
    let before = Instant::now();
    let (server, mut events) = playing(gone.chain([there]), WILLING, SubscribeRequest::default()).await;
    impatiently(&mut events).await;
    assert_eq!(server.asked().len(), 4);
    assert!(before.elapsed() >= Duration::from_millis(700), "{:?}", before.elapsed());
}
