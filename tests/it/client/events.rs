//! The loop over events, while connections break, the server restarts, and nothing is heard.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use switchboard::client::{Client, Events, Happened};
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    CreateSubscriptionRequest, DeleteSubscriptionRequest, EventFilter, GetSubscriptionRequest,
    SeekSubscriptionRequest, StartPosition, SubscribeRequest, Subscription, create_subscription_request,
    seek_subscription_request,
};
use tonic::Code;

use super::proxy::Proxy;
use crate::binary::{Home, Server};
use crate::gateway::{Gateway, Start, received, text_of, within};
use crate::process::post;

/// From the very beginning, with heartbeats as often as there may be.
fn everything() -> SubscribeRequest {
    SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..SubscribeRequest::default()
    }
}

async fn texts(events: &mut Events, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        match within(events.next()).await.expect("goes on") {
            Some(Happened::Event(event)) => texts.push(text_of(&event).to_owned()),
            other => panic!("no event but {other:?}"),
        }
    }
    texts
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("E{n}")).collect()
}

/// A server that can be started again on the same ports.
fn again(home: &Home, at: SocketAddr, webhook: SocketAddr) -> Server {
    let mut command: Command = home.command();
    command.env("SWITCHBOARD__GRPC__LISTEN", at.to_string());
    command.env("SWITCHBOARD__WEBHOOK__LISTEN", webhook.to_string());
    Server::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_survives_restarts_of_the_server_without_loss_and_without_repetition() {
    let home = Home::new("http://127.0.0.1:1");
    let mut server = Server::start(home.command());
    let (at, webhook) = (server.grpc, server.webhook);
    let client = Client::connect(format!("http://{at}")).await.expect("connects");
    let mut events = client.subscribe(everything());
    // Another one that began at the end, and must not lose what comes while it has no connection.
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
        // In the middle of it.
        assert_eq!(texts(&mut events, 15).await, names(posted - 20..posted - 5));
        assert_eq!(texts(&mut events, 5).await, names(posted - 5..posted));
        if kill {
            server.kill()
        } else {
            assert!(server.terminate())
        }
        server = again(&home, at, webhook);
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
async fn the_loop_ends_as_was_asked_for_and_fails_for_what_only_its_caller_can_mend() {
    let gateway = Start::quiet().start().await;
    let client = Client::connect(format!("http://{}", gateway.at.grpc)).await.expect("connects");
    for n in 0..5 {
        gateway.deliver(&received(&format!("E{n}"), &format!("E{n}"))).await;
    }
    let mut events = client.subscribe(SubscribeRequest { max_events: 3, ..everything() });
    assert_eq!(texts(&mut events, 3).await, names(0..3));
    assert_eq!(within(events.next()).await.expect("the end"), None);
    assert_eq!(within(events.next()).await.expect("the end still"), None);
    let go_on =
        SubscribeRequest { start: Some(From::AfterCursor(events.cursor().to_owned())), ..everything() };
    assert_eq!(texts(&mut client.subscribe(go_on), 2).await, names(3..5));

    let malformed = SubscribeRequest { start: Some(From::AfterCursor("x".to_owned())), ..everything() };
    let failed = within(client.subscribe(malformed).next()).await.expect_err("malformed");
    assert_eq!(failed.reason(), "CURSOR_MALFORMED");
}

#[tokio::test]
async fn a_stream_that_is_silent_for_two_heartbeats_is_opened_anew() {
    let gateway = Start::quiet().start().await;
    let proxy = Proxy::before(gateway.at.grpc).await;
    let client = Client::connect(format!("http://{}", proxy.address)).await.expect("connects");
    let mut events = client.subscribe(everything());
    gateway.deliver(&received("E0", "E0")).await;
    assert_eq!(texts(&mut events, 1).await, ["E0"]);
    let before = proxy.opened();
    proxy.fall_silent();
    gateway.deliver(&received("E1", "E1")).await;
    assert_eq!(texts(&mut events, 1).await, ["E1"]);
    assert!(proxy.opened() > before, "on another connection");
}

async fn named(gateway: &Gateway, types: &[&str]) -> Client {
    let client = Client::connect(format!("http://{}", gateway.at.grpc)).await.expect("connects");
    let filter =
        EventFilter { types: types.iter().map(|&word| word.to_owned()).collect(), ..Default::default() };
    let start = create_subscription_request::Start::Position(StartPosition::Earliest.into());
    let create = CreateSubscriptionRequest {
        subscription: "billing".to_owned(),
        filter: Some(filter),
        start: Some(start),
    };
    within(client.call(create)).await.expect("made");
    client
}

fn billing() -> SubscribeRequest {
    SubscribeRequest { start: Some(From::Subscription("billing".to_owned())), ..everything() }
}

async fn standing(client: &Client) -> Subscription {
    let request = GetSubscriptionRequest { subscription: "billing".to_owned() };
    within(client.call(request)).await.expect("there").subscription.expect("always")
}

#[tokio::test]
async fn of_a_named_subscription_what_is_done_with_does_not_come_again_and_what_is_not_does() {
    let gateway = Start::quiet().start().await;
    let client = named(&gateway, &[]).await;
    for n in 0..6 {
        gateway.deliver(&received(&format!("E{n}"), &format!("E{n}"))).await;
    }
    let mut events = client.subscribe(billing());
    assert_eq!(texts(&mut events, 4).await, names(0..4));
    within(events.acknowledge(None)).await.expect("durable");
    // E3 was given out and is not done with.
    drop(events);
    let mut events = client.subscribe(billing());
    assert_eq!(texts(&mut events, 3).await, names(3..6));
    // E5 was given out and is not done with.
    assert!(standing(&client).await.lag_events >= 1);
    let request = SeekSubscriptionRequest {
        subscription: "billing".to_owned(),
        place: Some(seek_subscription_request::Place::Position(StartPosition::Earliest.into())),
    };
    within(client.call(request)).await.expect("moved");
    assert_eq!(texts(&mut events, 6).await, names(0..6), "the stream is opened again where it was moved to");

    let request = DeleteSubscriptionRequest { subscription: "billing".to_owned() };
    within(client.call(request)).await.expect("deleted");
    let failed = within(events.next()).await.expect_err("gone");
    assert_eq!((failed.code(), failed.reason()), (Code::NotFound, "SUBSCRIPTION_NOT_FOUND"));
}

#[tokio::test]
async fn heartbeats_are_acknowledged_so_that_a_quiet_subscription_is_not_behind() {
    let gateway = Start::quiet().start().await;
    let client = named(&gateway, &["report.completed"]).await;
    for n in 0..6 {
        gateway.deliver(&received(&format!("E{n}"), &format!("E{n}"))).await;
    }
    assert_eq!(standing(&client).await.lag_events, 6);
    let mut events = client.subscribe(billing());
    #[expect(clippy::disallowed_methods, reason = "the test aborts it")]
    let reading = tokio::spawn(async move { events.next().await.map(|_| ()) });
    within(async {
        while standing(&client).await.lag_events > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    reading.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_subscription_goes_on_over_restarts_in_another_process_too() {
    let home = Home::new("http://127.0.0.1:1");
    let mut server = Server::start(home.command());
    let (at, webhook) = (server.grpc, server.webhook);
    let client = Client::connect(format!("http://{at}")).await.expect("connects");
    let create = CreateSubscriptionRequest {
        subscription: "billing".to_owned(),
        ..CreateSubscriptionRequest::default()
    };
    within(client.call(create)).await.expect("made");
    let http = reqwest::Client::new();
    let mut events = client.subscribe(billing());
    let mut seen = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            let id = format!("E{}", round * 10 + n);
            assert_eq!(post(&http, webhook, received(&id, &id)).await, Some(200));
        }
        let given = texts(&mut events, 10).await;
        assert_eq!(given, names(round * 10..round * 10 + 10), "once, in order, over the restart");
        seen.extend(given);
        server.kill();
        server = again(&home, at, webhook);
    }
    // Its own process dies: the next one has at most what was not done with or not acknowledged twice, and misses nothing.
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
