//! Event filters that select customers.

use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::list_events_request::Anchor;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Event, EventFilter, GetConversationRequest, ListEventsRequest, SendMessageRequest, StartPosition,
    SubscribeRequest,
};
use tonic::Code;

use crate::subscriptions::{create, from_the_start, get, open, update, with_filter};
use crate::support::gateway::{CONNECTLY, Gateway, Start, Subscriber, fields, reason, text, within};

/// One Brazilian number in its two spellings, and another customer's number.
const LONG: &str = "+5511987654321";
const SHORT: &str = "+551187654321";
const OTHER: &str = "+15550100009";
const OWN: &str = "+15550100002";

fn of_customers(addresses: &[&str]) -> EventFilter {
    EventFilter {
        customers: addresses.iter().map(|&address| address.to_owned()).collect(),
        ..EventFilter::default()
    }
}

/// The body of a webhook with a text. A party is an id, and possibly a user id and a parent user id, separated by blanks.
fn message(id: &str, from: &str, to: &str, echo: bool) -> String {
    let party = |ids: &str| {
        let mut ids = ids.split(' ');
        serde_json::json!({
            "id": ids.next(), "userId": ids.next(), "parentUserId": ids.next(), "channelType": "whatsapp"
        })
    };
    serde_json::json!({
        "topic": "messages",
        "timestamp": "1700000000",
        "sender": party(from),
        "recipient": party(to),
        "message": {"id": id, "text": id, "isEcho": echo},
    })
    .to_string()
}

async fn list(gateway: &Gateway, filter: EventFilter) -> Vec<Event> {
    let request = ListEventsRequest {
        filter: Some(filter),
        anchor: Some(Anchor::Position(StartPosition::Earliest.into())),
        ..ListEventsRequest::default()
    };
    let mut client = EventServiceClient::new(gateway.channel.clone());
    within(client.list_events(request)).await.expect("listed").into_inner().events
}

async fn list_ids(gateway: &Gateway, customers: &[&str]) -> Vec<String> {
    list(gateway, of_customers(customers)).await.into_iter().map(|event| event.event_id).collect()
}

async fn next_ids(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    subscriber.events(count).await.into_iter().map(|event| event.event_id).collect()
}

#[tokio::test]
async fn customer_filter_selects_every_type_in_any_spelling() {
    let gateway = Start::quiet().with_replies().start().await;
    let request = SubscribeRequest {
        filter: Some(of_customers(&[LONG])),
        start: Some(From::Position(StartPosition::Earliest.into())),
        ..SubscribeRequest::default()
    };
    let mut live = gateway.subscribe(request).await.expect("subscribed");
    for to in [LONG, OTHER] {
        let request = SendMessageRequest { to: to.to_owned(), ..text(CONNECTLY, "Hello!") };
        gateway.send(request).await.expect("accepted");
    }
    gateway.deliver(&message("echo", OWN, SHORT, true)).await;
    gateway.deliver(&message("other echo", OWN, OTHER, true)).await;
    gateway.deliver("no JSON").await;

    // Accepted, three statuses, the reply and the echo.
    let delivered = live.events(6).await;
    let mut types: Vec<_> = delivered.iter().map(|event| event.r#type.as_str()).collect();
    types.sort_unstable();
    let status = "message.status";
    assert_eq!(types, ["message.accepted", "message.echo", "message.received", status, status, status]);
    // Both customers' messages are complete once the other one's arrived too.
    let mut other = gateway
        .subscribe(SubscribeRequest {
            filter: Some(of_customers(&[OTHER])),
            start: Some(From::Position(StartPosition::Earliest.into())),
            ..SubscribeRequest::default()
        })
        .await
        .expect("subscribed");
    let others = next_ids(&mut other, 6).await;

    let ids: Vec<_> = delivered.into_iter().map(|event| event.event_id).collect();
    for spelling in [LONG, SHORT, "55 11 98765-4321"] {
        assert_eq!(list_ids(&gateway, &[spelling]).await, ids, "{spelling}");
    }
    assert_eq!(list_ids(&gateway, &[OTHER]).await, others);
    let both = list_ids(&gateway, &[OTHER, SHORT]).await;
    assert_eq!(both.len(), ids.len() + others.len());
    assert_eq!(
        list(&gateway, EventFilter::default()).await.len(),
        both.len() + 1,
        "one event has no customer"
    );
    let received = EventFilter { types: vec!["message.received".to_owned()], ..of_customers(&[LONG]) };
    assert_eq!(list(&gateway, received).await.len(), 1, "a filter's fields are combined with AND");

    // Read from the file, after a restart.
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    assert_eq!(list_ids(&gateway, &[SHORT]).await, ids);
}

#[tokio::test]
async fn customer_filter_selects_by_number_or_user_id() {
    let gateway = Start::quiet().start().await;
    for (id, from) in [
        ("all", "+15550100001 US.7 US.ENT.7"),
        ("number", "+15550100001"),
        ("user", "US.7"),
        ("no", OTHER),
        ("bare", "15550100008"),
    ] {
        gateway.deliver(&message(id, from, OWN, false)).await;
    }
    let ids = list_ids(&gateway, &[]).await;
    assert_eq!(list_ids(&gateway, &["+15550100001"]).await, ids[..2]);
    assert_eq!(list_ids(&gateway, &["bsuid:US.7"]).await, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(list_ids(&gateway, &["bsuid:US.7", "+15550100001"]).await, ids[..3]);
    assert_eq!(list_ids(&gateway, &["bsuid:US.ENT.7"]).await, ids[..1], "the parent user id");
    assert_eq!(list_ids(&gateway, &["+15550100008"]).await, ids[4..], "a number without its plus sign");
    assert_eq!(list_ids(&gateway, &["bsuid:US.8"]).await, [""; 0]);

    for customer in ["+15550100001", "bsuid:US.7", "bsuid:US.ENT.7", "+15550100008"] {
        let request = GetConversationRequest {
            account: CONNECTLY.to_owned(),
            customer: customer.to_owned(),
            ..GetConversationRequest::default()
        };
        let found =
            within(gateway.conversations().get_conversation(request)).await.expect("found").into_inner();
        let conversation = found.conversation.expect("never empty");
        assert!(conversation.last_received_time.is_some(), "{customer} wrote");
    }
}

#[tokio::test]
async fn subscription_keeps_its_customers_and_streams_only_theirs() {
    let gateway = Start::quiet().start().await;
    let filter = of_customers(&[LONG, "bsuid:US.7"]);
    let created = create(&gateway, with_filter(filter.clone(), from_the_start())).await.expect("created");
    assert_eq!(created.filter, Some(filter.clone()));
    for (id, from) in [("1", OTHER), ("2", SHORT), ("3", OTHER), ("4", "US.7")] {
        gateway.deliver(&message(id, from, OWN, false)).await;
    }
    let ids = list_ids(&gateway, &[]).await;
    assert_eq!(next_ids(&mut open(&gateway).await, 2).await, [ids[1].clone(), ids[3].clone()]);

    let reordered = of_customers(&["bsuid:US.7", LONG]);
    assert_eq!(update(&gateway, reordered).await.generation, created.generation, "the same filter");
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    assert_eq!(get(&gateway).await.filter, Some(filter), "as the client gave it");
    let changed = update(&gateway, of_customers(&[OTHER])).await;
    assert!(changed.generation > created.generation);
    assert_eq!(next_ids(&mut open(&gateway).await, 2).await, [ids[0].clone(), ids[2].clone()]);
}

#[tokio::test]
async fn customer_that_is_no_address_is_invalid() {
    let gateway = Start::quiet().start().await;
    let subscribe = async |customers: &[&str]| {
        let filter = Some(of_customers(customers));
        gateway.subscribe(SubscribeRequest { filter, ..SubscribeRequest::default() }).await.map(|_| ())
    };
    let wrong = subscribe(&[LONG, "0123", "", "bsuid:us.1"]).await.expect_err("no addresses");
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&wrong), ["filter.customers[1]", "filter.customers[2]", "filter.customers[3]"]);
    let many = subscribe(&[LONG; 257]).await.expect_err("too many");
    assert_eq!(fields(&many), ["filter.customers"]);
    subscribe(&[LONG; 256]).await.expect("the maximum");
}
