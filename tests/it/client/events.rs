//! Event streams across broken connections, silence and restarts of the server.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use switchboard_client::v1::subscribe_request::Start as From;
use switchboard_client::v1::{
    CreateSubscriptionRequest, DeleteSubscriptionRequest, EventFilter, GetSubscriptionRequest,
    SeekSubscriptionRequest, StartPosition, SubscribeRequest, Subscription, create_subscription_request,
    seek_subscription_request,
};
use switchboard_client::{Client, EventStream, StreamItem};
use tonic::Code;

use super::proxy::Proxy;
use super::{connect, text_of};
use crate::support::binary::{Home, Server, post};
use crate::support::gateway::{Gateway, Start, received, within};

/// All events, with the shortest heartbeat interval.
fn everything() -> SubscribeRequest {
    SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..SubscribeRequest::default()
    }
}

async fn texts(events: &mut EventStream, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        match within(events.next()).await.expect("continues") {
            Some(StreamItem::Event(event)) => texts.push(text_of(&event)),
            other => panic!("expected an event, got {other:?}"),
        }
    }
    texts
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("E{n}")).collect()
}

/// Restarts a server on the same ports.
fn restart(home: &Home, at: SocketAddr, webhook: SocketAddr) -> Server {
    let mut command: Command = home.command();
    command.env("SWITCHBOARD__GRPC__LISTEN", at.to_string());
    command.env("SWITCHBOARD__WEBHOOK__LISTEN", webhook.to_string());
    Server::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_delivers_each_event_once_across_restarts() {
    let home = Home::new("http://127.0.0.1:1");
    let mut server = Server::start(home.command());
    let (at, webhook) = (server.grpc, server.webhook);
    let client = Client::connect(at.to_string()).await.expect("connects");
    let mut events = client.subscribe(everything());
    // A stream that starts with new events must not lose those that arrive while it has no connection.
    let mut latest = client.subscribe(SubscribeRequest { start: None, ..everything() });
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    let latest = tokio::spawn(async move { texts(&mut latest, 40).await });
    let http = reqwest::Client::new();
    let mut posted = 0;
    for kill in [true, false, true] {
        for _ in 0..20 {
            let id = format!("E{posted}");
            assert_eq!(post(&http, webhook, received(&id, &id)).await, Some(200));
            posted += 1;
        }
        // The server stops after the stream has delivered all events, in two steps.
        assert_eq!(texts(&mut events, 15).await, names(posted - 20..posted - 5));
        assert_eq!(texts(&mut events, 5).await, names(posted - 5..posted));
        if kill {
            server.kill()
        } else {
            assert!(server.terminate())
        }
        server = restart(&home, at, webhook);
    }
    let id = format!("E{posted}");
    assert_eq!(post(&http, webhook, received(&id, &id)).await, Some(200));
    assert_eq!(texts(&mut events, 1).await, [id]);
    let seen = within(latest).await.expect("no panic");
    let first: usize = seen[0][1..].parse().expect("a number");
    assert_eq!(seen, names(first..first + 40));
    assert!(!events.cursor().is_empty());
}

#[tokio::test]
async fn stream_ends_at_max_events_and_fails_on_bad_cursor() {
    let gateway = Start::quiet().start().await;
    let client = connect(&gateway).await;
    for n in 0..5 {
        gateway.deliver(&received(&format!("E{n}"), &format!("E{n}"))).await;
    }
    let mut events = client.subscribe(SubscribeRequest { max_events: 3, ..everything() });
    assert_eq!(texts(&mut events, 3).await, names(0..3));
    assert_eq!(within(events.next()).await.expect("ends without a failure"), None);
    assert_eq!(within(events.next()).await.expect("stays ended"), None);
    let resume =
        SubscribeRequest { start: Some(From::AfterCursor(events.cursor().to_owned())), ..everything() };
    assert_eq!(texts(&mut client.subscribe(resume), 2).await, names(3..5));

    let malformed = SubscribeRequest { start: Some(From::AfterCursor("x".to_owned())), ..everything() };
    let failed = within(client.subscribe(malformed).next()).await.expect_err("malformed");
    assert_eq!(failed.reason(), "CURSOR_MALFORMED");
}

#[tokio::test]
async fn stream_silent_for_two_heartbeats_is_reopened() {
    let gateway = Start::quiet().start().await;
    let proxy = Proxy::start(gateway.at.grpc).await;
    let client = Client::connect(proxy.address.to_string()).await.expect("connects");
    let mut events = client.subscribe(everything());
    gateway.deliver(&received("E0", "E0")).await;
    assert_eq!(texts(&mut events, 1).await, ["E0"]);
    let before = proxy.opened();
    proxy.silence();
    gateway.deliver(&received("E1", "E1")).await;
    assert_eq!(texts(&mut events, 1).await, ["E1"]);
    assert!(proxy.opened() > before, "on another connection");
}

async fn named(gateway: &Gateway, types: &[&str]) -> Client {
    let client = connect(gateway).await;
    let filter =
        EventFilter { types: types.iter().map(|&word| word.to_owned()).collect(), ..Default::default() };
    let start = create_subscription_request::Start::Position(StartPosition::Earliest.into());
    let create = CreateSubscriptionRequest {
        subscription_id: "billing".to_owned(),
        subscription: Some(Subscription { filter: Some(filter), ..Subscription::default() }),
        start: Some(start),
    };
    within(client.call(create)).await.expect("created");
    client
}

fn billing() -> SubscribeRequest {
    SubscribeRequest { start: Some(From::SubscriptionId("billing".to_owned())), ..everything() }
}

async fn subscription(client: &Client) -> Subscription {
    let request = GetSubscriptionRequest { subscription_id: "billing".to_owned() };
    within(client.call(request)).await.expect("exists").subscription.expect("present")
}

#[tokio::test]
async fn named_subscription_redelivers_only_unhandled_events() {
    let gateway = Start::quiet().start().await;
    let client = named(&gateway, &[]).await;
    for n in 0..6 {
        gateway.deliver(&received(&format!("E{n}"), &format!("E{n}"))).await;
    }
    let mut events = client.subscribe(billing());
    assert_eq!(texts(&mut events, 4).await, names(0..4));
    within(events.acknowledge(None)).await.expect("confirmed");
    // E3 was delivered and is not handled.
    drop(events);
    let mut events = client.subscribe(billing());
    assert_eq!(texts(&mut events, 3).await, names(3..6));
    // E5 was delivered and is not handled.
    assert!(subscription(&client).await.lag_events() >= 1);
    let request = SeekSubscriptionRequest {
        subscription_id: "billing".to_owned(),
        target: Some(seek_subscription_request::Target::Position(StartPosition::Earliest.into())),
    };
    within(client.call(request)).await.expect("moved");
    assert_eq!(texts(&mut events, 6).await, names(0..6), "the stream is reopened at the new position");

    let request = DeleteSubscriptionRequest { subscription_id: "billing".to_owned() };
    within(client.call(request)).await.expect("deleted");
    let failed = within(events.next()).await.expect_err("the subscription was deleted");
    assert_eq!((failed.code(), failed.reason()), (Code::NotFound, "SUBSCRIPTION_NOT_FOUND"));
}

#[tokio::test]
async fn heartbeats_are_acknowledged_without_matching_events() {
    let gateway = Start::quiet().start().await;
    let client = named(&gateway, &["report.run"]).await;
    for n in 0..6 {
        gateway.deliver(&received(&format!("E{n}"), &format!("E{n}"))).await;
    }
    assert_eq!(subscription(&client).await.lag_events, Some(6));
    let mut events = client.subscribe(billing());
    #[expect(clippy::disallowed_methods, reason = "the test aborts it")]
    let reading = tokio::spawn(async move { events.next().await.map(|_| ()) });
    within(async {
        while subscription(&client).await.lag_events() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    reading.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn named_subscription_resumes_after_crash_of_subscriber() {
    let home = Home::new("http://127.0.0.1:1");
    let mut server = Server::start(home.command());
    let (at, webhook) = (server.grpc, server.webhook);
    let client = Client::connect(at.to_string()).await.expect("connects");
    let create = CreateSubscriptionRequest {
        subscription_id: "billing".to_owned(),
        ..CreateSubscriptionRequest::default()
    };
    within(client.call(create)).await.expect("created");
    let http = reqwest::Client::new();
    let mut events = client.subscribe(billing());
    let mut seen = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            let id = format!("E{}", round * 10 + n);
            assert_eq!(post(&http, webhook, received(&id, &id)).await, Some(200));
        }
        let delivered = texts(&mut events, 10).await;
        assert_eq!(delivered, names(round * 10..round * 10 + 10), "each once and in order");
        seen.extend(delivered);
        server.kill();
        server = restart(&home, at, webhook);
    }
    // The subscriber crashes. The next one may receive unacknowledged events again, and misses none.
    drop(events);
    let id = "E30".to_owned();
    assert_eq!(post(&http, webhook, received(&id, &id)).await, Some(200));
    let mut next = client.subscribe(billing());
    loop {
        let text = texts(&mut next, 1).await.remove(0);
        seen.push(text.clone());
        if text == id {
            break;
        }
    }
    let distinct: HashSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct, names(0..31).into_iter().collect());
}
