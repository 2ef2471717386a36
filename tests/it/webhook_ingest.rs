//! Webhook ingestion: verification, deduplication, storage and HTTP statuses.

use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{StartPosition, SubscribeRequest, event::Payload};
use switchboard::sandbox::connectly::{Signature, sign};
use switchboard::sandbox::{Fault, FaultRule};

use crate::support::gateway::{CONNECTBY, CONNECTLY, Gateway, Start, received, text, text_of};

fn from_the_start() -> SubscribeRequest {
    SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        include_raw: true,
        ..SubscribeRequest::default()
    }
}

/// The texts of all events in the journal.
async fn texts(gateway: &Gateway) -> Vec<String> {
    gateway.deliver(&received("the-last", "the last")).await;
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let mut texts = Vec::new();
    loop {
        let event = subscriber.event().await;
        match text_of(&event) {
            "the last" => return texts,
            text => texts.push(text.to_owned()),
        }
    }
}

#[tokio::test]
async fn webhook_with_an_invalid_signature_is_rejected() {
    let gateway = Start::quiet().start().await;
    let body = received("M1", "forged");
    let right = sign(gateway.connectly().webhook_secret(), body.as_bytes());
    let wrong = sign("another secret", body.as_bytes());
    let other = sign(gateway.connectly().webhook_secret(), b"another body");
    for signature in
        [None, Some(""), Some("x"), Some(wrong.as_str()), Some(other.as_str()), Some(&right[1..])]
    {
        assert_eq!(gateway.post(CONNECTLY, signature, body.clone()).await, 401, "{signature:?}");
    }
    // An unknown account, an account without webhooks, and names that are no account ids.
    for account in ["unknown-account", CONNECTBY, "Unknown-Account", "demo-connectly%2f"] {
        assert_eq!(gateway.post(account, Some(&right), body.clone()).await, 401, "{account}");
    }
    assert_eq!(texts(&gateway).await, [""; 0]);
    let rejected = r#"switchboard_webhooks_total{account="demo-connectly",result="rejected"}"#;
    assert!(gateway.metric(rejected).await >= 6.0, "a counter counts them");
}

#[tokio::test]
async fn each_configured_secret_is_accepted() {
    let gateway =
        Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__WEBHOOK_SECRETS", "old one,new-one").start().await;
    let body = received("M1", "hi");
    for (secret, answer) in [("old one", 200), ("new-one", 200), ("sandbox-webhook-secret", 401)] {
        assert_eq!(gateway.post(CONNECTLY, Some(&sign(secret, body.as_bytes())), body.clone()).await, answer);
    }
}

#[tokio::test]
async fn duplicates_are_dropped_by_provider_id_across_restarts() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(&received("M1", "one")).await;
    gateway.deliver(&received("M1", "one")).await;
    gateway.deliver(&received("M2", "one")).await;
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    gateway.deliver(&received("M1", "one")).await;
    gateway.deliver(&received("M3", "three")).await;
    assert_eq!(texts(&gateway).await, ["one", "one", "three"]);
}

#[tokio::test]
async fn equal_bodies_without_an_identity_are_kept_and_marked() {
    let gateway = Start::quiet().start().await;
    let body = r#"{"sender":{"id":"+15550100001"},"message":{"text":"again"}}"#;
    gateway.deliver(body).await;
    gateway.deliver(body).await;
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let (first, second) = (subscriber.event().await, subscriber.event().await);
    assert_eq!((text_of(&first), text_of(&second)), ("again", "again"));
    assert_eq!(first.possible_duplicate_of, "");
    assert_eq!(second.possible_duplicate_of, first.event_id);
}

#[tokio::test]
async fn unreadable_webhook_is_stored_with_its_bytes() {
    let gateway = Start::quiet().start().await;
    for body in [&b"\x00\xff not JSON"[..], br#"{"topic":"brand_new","x":1}"#] {
        let delivery = gateway.connectly().inject_webhook(body, Signature::Right).await;
        assert_eq!(delivery.status, Some(200));
    }
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let (first, second) = (subscriber.event().await, subscriber.event().await);
    assert_eq!(first.r#type, "unknown");
    assert_eq!(&first.raw_body[..], b"\x00\xff not JSON");
    let Some(Payload::Unknown(unknown)) = &second.payload else { panic!("{second:?}") };
    assert_eq!(unknown.provider_topic, "brand_new");
}

#[tokio::test]
async fn raw_body_is_included_on_request_live_and_from_history() {
    let gateway = Start::quiet().start().await;
    let mut live = gateway
        .subscribe(SubscribeRequest { include_raw: true, ..SubscribeRequest::default() })
        .await
        .expect("subscribed");
    let mut without = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    let body = received("M1", "hi");
    gateway.deliver(&body).await;
    assert_eq!(&live.event().await.raw_body[..], body.as_bytes());
    assert!(without.event().await.raw_body.is_empty());
    // After a restart, no event is in memory.
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    let mut history = gateway.subscribe(from_the_start()).await.expect("subscribed");
    assert_eq!(&history.event().await.raw_body[..], body.as_bytes());
}

#[tokio::test]
async fn body_over_the_limit_is_answered_413() {
    let gateway = Start::quiet().start().await;
    let body = |bytes: usize| {
        let empty = received("big", "");
        received("big", &"x".repeat(bytes - empty.len()))
    };
    let most = body(1 << 20);
    assert_eq!(most.len(), 1 << 20);
    gateway.deliver(&most).await;
    let over = body((1 << 20) + 1);
    let signature = sign(gateway.connectly().webhook_secret(), over.as_bytes());
    assert_eq!(gateway.post(CONNECTLY, Some(&signature), over).await, 413);
    // The largest event with its raw body fits the message limit of an ordinary client.
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    assert_eq!(subscriber.event().await.raw_body.len(), 1 << 20);
}

/// The event contains most of the body three times, and must still fit the message limit of an ordinary client.
#[tokio::test]
async fn largest_unsupported_message_is_delivered_with_raw_body() {
    let most = 1280 << 10;
    let gateway = Start::quiet().with("WEBHOOK__MAX_BODY_BYTES", &most.to_string()).start().await;
    let body = |kind: &str| format!(r#"{{"message":{{"type":"{kind}"}}}}"#);
    let body = body(&"x".repeat(most - body("").len()));
    assert_eq!(body.len(), most);
    gateway.deliver(&body).await;
    gateway.deliver(&body).await;
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let (first, second) = (subscriber.event().await, subscriber.event().await);
    assert_eq!(first.r#type, "message.received");
    assert_eq!(first.raw_body.len(), most);
    assert_eq!(second.possible_duplicate_of, first.event_id);
}

#[tokio::test]
async fn get_and_unknown_paths_are_rejected() {
    let gateway = Start::quiet().start().await;
    let url = format!("http://{}/webhooks/{CONNECTLY}", gateway.at.webhook);
    assert_eq!(reqwest::get(url).await.expect("answers").status(), 405);
    let elsewhere = format!("http://{}/elsewhere", gateway.at.webhook);
    assert_eq!(reqwest::get(elsewhere).await.expect("answers").status(), 404);
}

#[tokio::test]
async fn duplicate_and_forged_webhooks_append_no_event() {
    let gateway = Start::quiet().with_replies().start().await;
    gateway.connectly().set_fault(FaultRule::once(Fault::DuplicateWebhook)).await;
    gateway.connectly().set_fault(FaultRule::once(Fault::WrongSignature)).await;
    gateway.send(text(CONNECTLY, "Hello!")).await.expect("accepted");
    let mut subscriber = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let words: Vec<String> = subscriber
        .events(5)
        .await
        .into_iter()
        .map(|event| match event.payload {
            Some(Payload::MessageAccepted(_)) => "accepted".to_owned(),
            Some(Payload::MessageStatus(status)) => status.provider_status,
            Some(Payload::MessageReceived(_)) => "answer".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(words, ["accepted", "sent", "delivered", "read", "answer"]);
}
