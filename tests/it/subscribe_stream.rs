//! `Subscribe`: start positions, filters, heartbeats and ends of streams.

use std::time::Duration;

use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{ClosingReason, EventFilter, StartPosition, SubscribeClosing, SubscribeRequest};
use tonic::Code;

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Start, Subscriber, connect, fields, reason, received, subscribe, text, text_of,
    within,
};

fn from_the_start() -> SubscribeRequest {
    SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        ..SubscribeRequest::default()
    }
}

fn after(cursor: &str) -> SubscribeRequest {
    SubscribeRequest { start: Some(From::AfterCursor(cursor.to_owned())), ..SubscribeRequest::default() }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    Some(duration.try_into().expect("in range"))
}

async fn closing(subscriber: &mut Subscriber) -> SubscribeClosing {
    match subscriber.next().await.expect("still open") {
        Some(Response::Closing(closing)) => closing,
        other => panic!("no closing but {other:?}"),
    }
}

async fn texts(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    subscriber.events(count).await.iter().map(|event| text_of(event).to_owned()).collect()
}

#[tokio::test]
async fn stream_starts_at_latest_earliest_or_after_a_cursor() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(&received("1", "one")).await;
    gateway.deliver(&received("2", "two")).await;
    let mut latest = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    let mut earliest = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let first = earliest.event().await;
    let mut resumed = gateway.subscribe(after(&first.cursor)).await.expect("subscribed");
    gateway.deliver(&received("3", "three")).await;

    assert_eq!(texts(&mut latest, 1).await, ["three"]);
    assert_eq!(texts(&mut earliest, 2).await, ["two", "three"]);
    assert_eq!(texts(&mut resumed, 2).await, ["two", "three"]);
    assert_eq!(resumed.started.cursor, first.cursor);
    assert_eq!(latest.started.cursor, latest.started.newest_cursor);
    assert_eq!(earliest.started.cursor, earliest.started.oldest_cursor);
    assert_eq!(latest.started.heartbeat_interval, duration(Duration::from_secs(15)));
}

#[tokio::test]
async fn event_has_the_same_id_cursor_and_time_after_a_restart() {
    let gateway = Start::quiet().start().await;
    let mut live = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    gateway.deliver(&received("1", "one")).await;
    let live = live.event().await;
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    let history = gateway.subscribe(from_the_start()).await.expect("subscribed").event().await;
    assert_eq!(live, history);
    assert!(live.event_id.starts_with("evt_") && live.cursor.len() <= 64);
    assert_eq!(live.occur_time.map(|time| time.seconds), Some(1_700_000_000));
}

#[tokio::test]
async fn reconnects_and_restarts_deliver_each_event_once_in_order() {
    let mut gateway = Start::quiet().start().await;
    let mut seen = Vec::new();
    let mut cursor = None;
    for round in 0..4 {
        for n in 0..25 {
            gateway.deliver(&received(&format!("{round}-{n}"), &format!("{round}-{n}"))).await;
        }
        // The client reads a part, disconnects, and resumes.
        for part in [7, 11] {
            let request = cursor.as_deref().map_or_else(from_the_start, after);
            let mut subscriber = gateway.subscribe(request).await.expect("subscribed");
            for event in subscriber.events(part).await {
                seen.push(text_of(&event).to_owned());
                cursor = Some(event.cursor);
            }
        }
        gateway = Start::quiet().on(gateway.stop().await).start().await;
    }
    let mut rest = gateway.subscribe(after(&cursor.expect("there were events"))).await.expect("subscribed");
    seen.extend(texts(&mut rest, 100 - seen.len()).await);
    let expected: Vec<String> =
        (0..4).flat_map(|round| (0..25).map(move |n| format!("{round}-{n}"))).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn filter_selects_by_account_and_type() {
    let gateway = Start::quiet().with_replies().start().await;
    let filtered = |accounts: &[&str], types: &[&str]| SubscribeRequest {
        filter: Some(EventFilter {
            accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
            types: types.iter().map(|&word| word.to_owned()).collect(),
            ..EventFilter::default()
        }),
        idle_timeout: duration(Duration::from_millis(700)),
        ..from_the_start()
    };
    gateway.send(text(CONNECTLY, "Hello!")).await.expect("accepted");
    let mut all = gateway.subscribe(from_the_start()).await.expect("subscribed");
    all.events(5).await;
    gateway.deliver("no JSON").await;

    for (accounts, types, expected) in [
        (&[][..], &[][..], 6),
        (&[CONNECTLY], &["message.*"], 5),
        (&[], &["message.received"], 1),
        (&[], &["message.status", "message.received"], 4),
        (&[CONNECTBY, CONNECTLY], &["unknown"], 1),
        (&[CONNECTBY], &[], 0),
    ] {
        let mut subscriber = gateway.subscribe(filtered(accounts, types)).await.expect("subscribed");
        let mut count = 0;
        loop {
            match subscriber.next().await.expect("open") {
                Some(Response::Event(_)) => count += 1,
                Some(Response::Closing(closing)) => {
                    assert_eq!(closing.reason(), ClosingReason::IdleTimeout);
                    // The cursor is after every event that the filter skipped.
                    let rest = gateway.subscribe(after(&closing.cursor)).await.expect("subscribed");
                    assert_eq!(rest.started.cursor, rest.started.newest_cursor);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(count, expected, "{accounts:?} {types:?}");
    }
}

#[tokio::test]
async fn stream_ends_with_ok_after_max_events_or_idle_timeout() {
    let gateway = Start::quiet().start().await;
    for n in 0..5 {
        gateway.deliver(&received(&n.to_string(), &n.to_string())).await;
    }
    let mut three =
        gateway.subscribe(SubscribeRequest { max_events: 3, ..from_the_start() }).await.expect("subscribed");
    assert_eq!(texts(&mut three, 3).await, ["0", "1", "2"]);
    let end = closing(&mut three).await;
    assert_eq!(end.reason(), ClosingReason::MaxEvents);
    assert_eq!(end.retry_delay, None);
    assert_eq!(three.next().await.expect("OK"), None);

    let idle = SubscribeRequest { idle_timeout: duration(Duration::from_millis(300)), ..after(&end.cursor) };
    let mut rest = gateway.subscribe(idle).await.expect("subscribed");
    assert_eq!(texts(&mut rest, 2).await, ["3", "4"]);
    assert_eq!(closing(&mut rest).await.reason(), ClosingReason::IdleTimeout);
    assert_eq!(rest.next().await.expect("OK"), None);
}

#[tokio::test]
async fn heartbeat_cursor_advances_past_filtered_events() {
    let gateway = Start::quiet().start().await;
    let request = SubscribeRequest {
        filter: Some(EventFilter { types: vec!["unknown".to_owned()], ..EventFilter::default() }),
        heartbeat_interval: duration(Duration::from_secs(1)),
        ..SubscribeRequest::default()
    };
    let mut subscriber = gateway.subscribe(request).await.expect("subscribed");
    assert_eq!(subscriber.started.heartbeat_interval, duration(Duration::from_secs(1)));
    let began = std::time::Instant::now();
    let mut cursors = Vec::new();
    for n in 0..2 {
        gateway.deliver(&received(&n.to_string(), "hidden")).await;
        match subscriber.next().await.expect("open") {
            Some(Response::Heartbeat(heartbeat)) => cursors.push(heartbeat.cursor),
            other => panic!("no heartbeat but {other:?}"),
        }
    }
    assert!(began.elapsed() >= Duration::from_millis(1_900), "heartbeats arrive before the interval");
    assert_ne!(cursors[0], cursors[1]);
    gateway.deliver("shown").await;
    assert_eq!(subscriber.event().await.r#type, "unknown");
    let mut resumed = gateway.subscribe(after(&cursors[0])).await.expect("resumes after a heartbeat");
    assert_eq!(text_of(&resumed.event().await), "hidden");
}

#[tokio::test]
async fn shutdown_closes_streams_with_a_cursor_and_unavailable() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(&received("1", "one")).await;
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let event = subscriber.event().await;
    let folder = gateway.stop().await;
    let end = closing(&mut subscriber).await;
    assert_eq!(end.reason(), ClosingReason::Shutdown);
    assert_eq!(end.cursor, event.cursor);
    assert!(end.retry_delay.is_some());
    let error = subscriber.next().await.expect_err("clients must retry");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SERVER_STOPPING"));

    let gateway = Start::quiet().on(folder).start().await;
    let mut again = gateway.subscribe(after(&end.cursor)).await.expect("subscribed");
    gateway.deliver(&received("2", "two")).await;
    assert_eq!(texts(&mut again, 1).await, ["two"]);
}

#[tokio::test]
async fn malformed_or_foreign_cursor_is_rejected() {
    let gateway = Start::quiet().start().await;
    let foreign = Start::quiet().start().await;
    foreign.deliver(&received("1", "elsewhere")).await;
    let elsewhere = foreign.subscribe(from_the_start()).await.expect("subscribed").event().await.cursor;
    for cursor in ["", "x", "AAAA", elsewhere.as_str(), &elsewhere[1..]] {
        let error =
            gateway.subscribe(after(cursor)).await.err().unwrap_or_else(|| panic!("{cursor:?} is no cursor"));
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (Code::InvalidArgument, "CURSOR_MALFORMED"),
            "{cursor:?}"
        );
        assert_eq!(fields(&error), ["after_cursor"]);
    }
}

#[tokio::test]
async fn each_of_100_subscribers_gets_every_event() {
    let gateway = Start::quiet().start().await;
    let mut subscribers = Vec::new();
    for n in 0..100 {
        // Half of the subscribers share a connection.
        let channel = if n % 2 == 0 { gateway.channel.clone() } else { connect(gateway.at).await };
        subscribers.push(subscribe(channel, SubscribeRequest::default()).await.expect("subscribed"));
    }
    assert!(gateway.metric("switchboard_subscribers").await >= 100.0);
    let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    for text in &expected {
        gateway.deliver(&received(text, text)).await;
    }
    let readers = subscribers.iter_mut().map(|subscriber| texts(subscriber, expected.len()));
    for seen in within(futures_util::future::join_all(readers)).await {
        assert_eq!(seen, expected);
    }
}

/// While one subscriber does not read, more events arrive than the tail in memory and the transport buffers hold.
#[tokio::test]
async fn slow_subscriber_delays_no_other_and_loses_nothing() {
    let gateway = Start::quiet().start().await;
    let mut slow =
        subscribe(connect(gateway.at).await, SubscribeRequest::default()).await.expect("subscribed");
    let mut quick =
        subscribe(connect(gateway.at).await, SubscribeRequest::default()).await.expect("subscribed");
    let padding = "x".repeat(900_000);
    const COUNT: usize = 40;
    for n in 0..COUNT {
        gateway.deliver(&received(&n.to_string(), &format!("{n} {padding}"))).await;
        assert!(text_of(&quick.event().await).starts_with(&format!("{n} ")), "the fast subscriber keeps up");
    }
    for n in 0..COUNT {
        assert!(
            text_of(&slow.event().await).starts_with(&format!("{n} ")),
            "the slow subscriber misses nothing"
        );
    }
}

#[tokio::test]
async fn stream_that_catches_up_is_not_idle() {
    let gateway = Start::quiet().start().await;
    for n in 0..300 {
        gateway.deliver(&received(&n.to_string(), "hidden")).await;
    }
    gateway.deliver("shown").await;
    // After the restart, the stream reads pages from the store.
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    let request = SubscribeRequest {
        filter: Some(EventFilter { types: vec!["unknown".to_owned()], ..EventFilter::default() }),
        idle_timeout: duration(Duration::from_nanos(1)),
        ..from_the_start()
    };
    let mut subscriber = gateway.subscribe(request).await.expect("subscribed");
    assert_eq!(subscriber.event().await.r#type, "unknown");
    assert_eq!(closing(&mut subscriber).await.reason(), ClosingReason::IdleTimeout);
}
