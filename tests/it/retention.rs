//! Retention: by age except for unacknowledged events of a subscription, and by size for all events, with an error log.

use std::time::Duration;

use switchboard::pb::v1;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscription_service_client::SubscriptionServiceClient;
use switchboard::pb::v1::{StartPosition, SubscribeRequest, Subscription, create_subscription_request};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::binary::{Home, Server, post};
use crate::support::gateway::{
    Gateway, Start, Subscriber, metadata, reason, received, subscribe, text_of, within,
};

const MIB: u64 = 1 << 20;

fn earliest() -> From {
    From::Position(StartPosition::Earliest.into())
}

async fn open(channel: Channel, start: From) -> Result<Subscriber, Status> {
    subscribe(channel, SubscribeRequest { start: Some(start), ..SubscribeRequest::default() }).await
}

/// Creates a subscription at a position.
async fn create(channel: Channel, id: &str, start: create_subscription_request::Start) {
    let request = v1::CreateSubscriptionRequest {
        subscription_id: id.to_owned(),
        subscription: None,
        start: Some(start),
    };
    within(SubscriptionServiceClient::new(channel).create_subscription(request)).await.expect("created");
}

async fn get(channel: Channel, id: &str) -> Subscription {
    let request = v1::GetSubscriptionRequest { subscription_id: id.to_owned() };
    let found =
        within(SubscriptionServiceClient::new(channel).get_subscription(request)).await.expect("present");
    found.into_inner().subscription.expect("never empty")
}

async fn acknowledge(channel: Channel, id: &str, cursor: &str) {
    let request =
        v1::AcknowledgeRequest { subscription_id: id.to_owned(), cursor: cursor.to_owned(), generation: 0 };
    within(SubscriptionServiceClient::new(channel).acknowledge(request)).await.expect("acknowledged");
}

/// Waits until `cursor` is the oldest one.
async fn wait_until_oldest_is(gateway: &Gateway, cursor: &str) {
    let moved = async {
        loop {
            let stream = open(gateway.channel.clone(), earliest()).await.expect("subscribed");
            if stream.started.oldest_cursor == cursor {
                return;
            }
        }
    };
    within(moved).await;
}

async fn deliver(gateway: &Gateway, numbers: std::ops::Range<usize>) {
    for text in numbers.map(|n| n.to_string()) {
        gateway.deliver(&received(&text, &text)).await;
    }
}

#[tokio::test]
async fn unacknowledged_event_outlives_retention() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..4).await;
    let events = gateway.subscribe(SubscribeRequest { start: Some(earliest()), ..Default::default() }).await;
    let events = events.expect("subscribed").events(4).await;
    let after_second = create_subscription_request::Start::AfterCursor(events[1].cursor.clone());
    create(gateway.channel.clone(), "billing", after_second).await;

    // Retention is zero, so only unacknowledged events of the subscription stay.
    let zero_retention = || Start::quiet().journal(|journal| journal.retention = Duration::ZERO);
    let gateway = zero_retention().on(gateway.stop().await).start().await;
    wait_until_oldest_is(&gateway, &events[1].cursor).await;
    let mut stream = open(gateway.channel.clone(), From::SubscriptionId("billing".to_owned())).await;
    assert_eq!(stream.as_mut().expect("subscribed").events(2).await, events[2..]);
    acknowledge(gateway.channel.clone(), "billing", &events[2].cursor).await;

    let gateway = zero_retention().on(gateway.stop().await).start().await;
    wait_until_oldest_is(&gateway, &events[2].cursor).await;
    assert!(!get(gateway.channel.clone(), "billing").await.expired);

    // `subscription_retention` limits how long they stay.
    let too_long = zero_retention().journal(|journal| {
        journal.retention = Duration::ZERO;
        journal.subscription_retention = Duration::ZERO;
    });
    let gateway = too_long.on(gateway.stop().await).start().await;
    wait_until_oldest_is(&gateway, &events[3].cursor).await;
    let billing = get(gateway.channel.clone(), "billing").await;
    assert_eq!((billing.expired, billing.lag_events), (true, Some(1)));
}

#[tokio::test]
async fn live_stream_misses_nothing_while_old_events_are_trimmed() {
    let small = Start::quiet().journal(|journal| journal.retention_bytes = Some(0));
    let gateway = small.start().await;
    let mut live = open(gateway.channel.clone(), earliest()).await.expect("subscribed");
    let texts: Vec<String> = (0..40).map(|n| format!("{n} {}", "x".repeat(100_000))).collect();
    for (n, text) in texts.iter().enumerate() {
        gateway.deliver(&received(&n.to_string(), text)).await;
        assert_eq!(text_of(&live.event().await), text, "an event is missing or out of order");
    }
    // The size limit trims some of these megabytes.
    let oldest =
        async || open(gateway.channel.clone(), earliest()).await.expect("subscribed").started.oldest_cursor;
    within(async { while oldest().await == live.started.oldest_cursor {} }).await;
    let error = open(gateway.channel.clone(), From::AfterCursor(live.started.cursor.clone())).await;
    let error = error.err().expect("expired");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
}

/// Starts the binary with the smallest `retention_bytes` that the configuration allows.
fn start_with_minimum_size(home: &Home) -> Server {
    let mut command = home.command();
    command.env("SWITCHBOARD__JOURNAL__RETENTION_BYTES", (16 * MIB).to_string());
    Server::start(command)
}

impl Server {
    /// The log lines of a level.
    fn log_lines(&self, level: &str) -> Vec<serde_json::Value> {
        let log = self.log.lock().expect("unpoisoned").clone();
        let lines = serde_json::Deserializer::from_str(&log).into_iter::<serde_json::Value>();
        lines.map(|line| line.expect("JSON")).filter(|line| line["level"] == level).collect()
    }

    /// The value of a metric.
    async fn metric(&self, line: &str) -> Option<f64> {
        let lines = self.log_lines("INFO");
        let admin =
            lines.iter().find_map(|line| line["fields"]["admin"].as_str()).expect("the admin address");
        let page = reqwest::get(format!("http://{admin}/metrics")).await.expect("answers");
        let page = page.text().await.expect("a page");
        page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    async fn wait_for_metric(&self, line: &str, matches: impl Fn(f64) -> bool) {
        within(async { while !self.metric(line).await.is_some_and(&matches) {} }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn size_limit_expires_a_lagging_subscription_and_logs_an_error() {
    let home = Home::new("http://127.0.0.1:1");
    let server = start_with_minimum_size(&home);
    let channel = server.channel().await;
    let from_the_start = || create_subscription_request::Start::Position(StartPosition::Earliest.into());
    create(channel.clone(), "slow", from_the_start()).await;
    create(channel.clone(), "quick", from_the_start()).await;
    let mut quick =
        open(channel.clone(), From::SubscriptionId("quick".to_owned())).await.expect("subscribed");
    let first = quick.started.oldest_cursor.clone();
    let client = reqwest::Client::new();
    // Each event takes a megabyte, and its raw body another one.
    let secret = format!("whisper {}", "x".repeat(1_000_000));
    let mut last = String::new();
    for n in 0..24 {
        assert_eq!(post(&client, server.webhook, received(&n.to_string(), &secret)).await, Some(200));
        last = quick.event().await.cursor;
        acknowledge(channel.clone(), "quick", &last).await;
    }

    server
        .wait_for_metric("switchboard_subscriptions_expired_total{subscription=\"slow\"}", |times| {
            times == 1.0
        })
        .await;
    server.wait_for_metric("switchboard_journal_bytes", |bytes| bytes <= (17 * MIB) as f64).await;
    server.wait_for_metric("switchboard_journal_oldest_sequence", |oldest| oldest > 1.0).await;
    server
        .wait_for_metric("switchboard_subscription_lag_events{subscription=\"slow\"}", |lag| lag == 24.0)
        .await;
    server
        .wait_for_metric("switchboard_subscription_lag_seconds{subscription=\"slow\"}", |lag| lag > 0.0)
        .await;
    server
        .wait_for_metric("switchboard_subscription_lag_events{subscription=\"quick\"}", |lag| lag == 0.0)
        .await;
    assert_eq!(
        server.metric("switchboard_subscriptions_expired_total{subscription=\"quick\"}").await,
        Some(0.0)
    );
    let lines = server.log_lines("ERROR");
    let ids: Vec<&str> = lines.iter().filter_map(|line| line["fields"]["subscription"].as_str()).collect();
    assert_eq!((ids, lines.len()), (vec!["slow"], 1), "{lines:?}");
    assert!(!server.log.lock().expect("unpoisoned").contains("whisper"));

    let slow = get(channel.clone(), "slow").await;
    assert_eq!((slow.expired, slow.lag_events, &slow.cursor), (true, Some(24), &first));
    let quick = get(channel.clone(), "quick").await;
    assert_eq!((quick.expired, quick.lag_events, quick.cursor), (false, Some(0), last));
    let error =
        open(channel.clone(), From::SubscriptionId("slow".to_owned())).await.err().expect("events are lost");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    let oldest = open(channel.clone(), earliest()).await.expect("subscribed").started.oldest_cursor;
    assert_ne!(oldest, first);
    assert_eq!(metadata(&error, "oldest_cursor"), oldest);
    // An acknowledgement of a stored position makes the subscription valid again.
    acknowledge(channel.clone(), "slow", &oldest).await;
    assert!(!get(channel.clone(), "slow").await.expired);
    assert!(server.terminate());

    let server = start_with_minimum_size(&home);
    assert!(!get(server.channel().await, "slow").await.expired, "the restart lost events");
    assert_eq!(server.log_lines("ERROR"), [] as [serde_json::Value; 0]);
}
