//! What is asked about named subscriptions: where they start, what is wrong with a request, lists, and how many there may be.

use switchboard::domain::{Cursor, Filter};
use switchboard::pb::v1;
use switchboard::pb::v1::seek_subscription_request::Place;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{EventFilter, StartPosition, SubscribeRequest, create_subscription_request};
use switchboard::store::{self, Change, MAX_SUBSCRIPTIONS, Op};
use tonic::{Code, Status};

use crate::gateway::{Start, fields, metadata, reason, within};
use crate::subscriptions::{
    ID, acknowledge, create, delete, deliver, from_the_start, get, open, seek, subscribed, texts, types,
    within_the_store,
};

#[tokio::test]
async fn a_subscription_starts_where_its_maker_says() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..3).await;
    create(&gateway, from_the_start()).await.expect("made");
    let events = open(&gateway).await.events(3).await;
    use create_subscription_request::Start as At;
    let since = events[1].receive_time.expect("there");
    let first_since = events.iter().position(|event| event.receive_time == Some(since)).expect("there");
    for (start, lag) in [
        (None, 0),
        (Some(At::Position(StartPosition::Unspecified.into())), 0),
        (Some(At::Position(StartPosition::Latest.into())), 0),
        (Some(At::Position(StartPosition::Earliest.into())), 3),
        (Some(At::AfterCursor(events[1].cursor.clone())), 1),
        (Some(At::Since(since)), 3 - first_since as u64),
    ] {
        delete(&gateway).await.expect("there is one");
        let request = v1::CreateSubscriptionRequest { start: start.clone(), ..from_the_start() };
        assert_eq!(create(&gateway, request).await.expect("made").lag_events, lag, "{start:?}");
    }
}

#[tokio::test]
async fn one_that_exists_is_left_as_it_is() {
    let gateway = Start::quiet().start().await;
    let made = create(&gateway, from_the_start()).await.expect("made");
    deliver(&gateway, 0..1).await;
    let mut stream = open(&gateway).await;
    let request = v1::CreateSubscriptionRequest {
        filter: Some(types(&["unknown"])),
        start: None,
        subscription: ID.to_owned(),
    };
    for request in [request, from_the_start()] {
        let told = create(&gateway, request).await.expect_err("there is one");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::AlreadyExists, "SUBSCRIPTION_EXISTS"));
        assert_eq!(metadata(&told, "subscription"), ID);
    }
    let stands = get(&gateway).await;
    assert_eq!((stands.cursor, stands.filter, stands.generation), (made.cursor, None, 1));
    assert_eq!(texts(&mut stream, 1).await, ["0"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_at_once_with_its_fields() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    let mut events = gateway.events();
    let mut told: Vec<(Status, &[&str])> = Vec::new();
    for id in ["", "Billing", "a--b", &"a".repeat(64)] {
        let subscription = id.to_owned();
        let request = SubscribeRequest { start: Some(From::Subscription(subscription)), ..subscribed() };
        told.push((gateway.subscribe(request).await.err().expect("no id"), &["subscription"]));
        let request = v1::GetSubscriptionRequest { subscription: id.to_owned() };
        told.push((within(events.get_subscription(request)).await.expect_err("no id"), &["subscription"]));
        let request = v1::DeleteSubscriptionRequest { subscription: id.to_owned() };
        told.push((within(events.delete_subscription(request)).await.expect_err("no id"), &["subscription"]));
    }
    let request = v1::CreateSubscriptionRequest {
        subscription: "a_b".to_owned(),
        filter: Some(types(&["message.seen"])),
        start: Some(create_subscription_request::Start::Position(9)),
    };
    let wrong = create(&gateway, request).await.expect_err("all wrong");
    told.push((wrong, &["subscription", "filter.types[0]", "position"]));
    let wrong = within(events.update_subscription(v1::UpdateSubscriptionRequest::default())).await;
    told.push((wrong.expect_err("nothing given"), &["subscription", "filter"]));
    let wrong = within(events.seek_subscription(v1::SeekSubscriptionRequest::default())).await;
    told.push((wrong.expect_err("nothing given"), &["subscription", "place"]));
    for (place, field) in [
        (Place::Position(StartPosition::Unspecified.into()), "position"),
        (Place::Position(9), "position"),
        (Place::Since(prost_types::Timestamp { seconds: 0, nanos: -1 }), "since"),
    ] {
        let wrong = seek(&gateway, place).await.expect_err("no place");
        assert_eq!(fields(&wrong), [field]);
    }
    let wrong = within(events.acknowledge(v1::AcknowledgeRequest::default())).await;
    told.push((wrong.expect_err("nothing given"), &["subscription", "cursor"]));
    let request = v1::ListSubscriptionsRequest { page_size: 101, ..Default::default() };
    told.push((within(events.list_subscriptions(request)).await.expect_err("too many"), &["page_size"]));
    // A subscription has a filter of its own; an empty one is one too.
    for filter in [types(&["message.received"]), EventFilter::default()] {
        let request = SubscribeRequest { filter: Some(filter), ..subscribed() };
        told.push((gateway.subscribe(request).await.err().expect("two filters"), &["filter"]));
    }
    for (told, expected) in told {
        assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&told), expected);
    }
    assert_eq!(get(&gateway).await.generation, 1, "nothing of it was done");
}

#[tokio::test]
async fn cursors_that_are_no_place_of_this_journal_are_told_apart() {
    let gateway = Start::quiet().start().await;
    let made = create(&gateway, from_the_start()).await.expect("made");
    let here: Cursor = made.cursor.parse().expect("a cursor");
    let foreign = Cursor { epoch: here.epoch ^ 1, ..here }.to_string();
    let ahead = Cursor { number: 99, ..here }.to_string();
    let malformed = (Code::InvalidArgument, "CURSOR_MALFORMED".to_owned());
    let lost = (Code::OutOfRange, "CURSOR_LOST".to_owned());
    for (cursor, expected) in [("x", &malformed), (foreign.as_str(), &malformed), (ahead.as_str(), &lost)] {
        let start = create_subscription_request::Start::AfterCursor(cursor.to_owned());
        let request = v1::CreateSubscriptionRequest {
            subscription: "another".to_owned(),
            filter: None,
            start: Some(start),
        };
        let place = Place::AfterCursor(cursor.to_owned());
        for (told, field) in [
            (acknowledge(&gateway, cursor, 0).await.map(|_| ()), "cursor"),
            (seek(&gateway, place).await.map(|_| ()), "after_cursor"),
            (create(&gateway, request).await.map(|_| ()), "after_cursor"),
        ] {
            let told = told.expect_err("no place");
            assert_eq!(&(told.code(), reason(&told)), expected, "{cursor} {field}");
            assert_eq!(fields(&told), if expected == &malformed { vec![field] } else { vec![] });
        }
    }
    let filter = EventFilter { accounts: vec!["nobody".to_owned()], types: vec![] };
    let request = v1::UpdateSubscriptionRequest { subscription: ID.to_owned(), filter: Some(filter) };
    let told = within(gateway.events().update_subscription(request)).await.expect_err("there is nobody");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "ACCOUNT_NOT_FOUND"));
    let stands = get(&gateway).await;
    assert_eq!((stands.cursor, stands.generation), (made.cursor, 1), "nothing of it was done");
}

#[tokio::test]
async fn the_list_comes_in_the_order_of_ids_page_by_page() {
    let gateway = Start::quiet().start().await;
    let mut ids: Vec<String> = ["crm", "a", "billing-eu", "billing", "z0", "0"].map(str::to_owned).to_vec();
    for id in &ids {
        let request = v1::CreateSubscriptionRequest { subscription: id.clone(), ..from_the_start() };
        create(&gateway, request).await.expect("made");
    }
    ids.sort();
    let list = async |page_size, page_token: &str| {
        let request = v1::ListSubscriptionsRequest { page_size, page_token: page_token.to_owned() };
        within(gateway.events().list_subscriptions(request)).await.map(tonic::Response::into_inner)
    };
    for page_size in [0, 1, 2, 3, 5, 6, 100] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(page_size, &token).await.expect("listed");
            assert!(page_size == 0 || page.subscriptions.len() <= page_size as usize);
            assert!(!page.subscriptions.is_empty(), "no page for nothing");
            seen.extend(page.subscriptions.into_iter().map(|subscription| subscription.id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, ids, "{page_size}");
    }
    let all = list(0, "").await.expect("listed").subscriptions;
    assert_eq!(all[2], get(&gateway).await, "as it is shown alone");

    let token = list(2, "").await.expect("listed").next_page_token;
    for wrong in [&token[1..], "x"] {
        let told = list(2, wrong).await.expect_err("no token");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_MALFORMED"));
    }
    for id in ids {
        let request = v1::DeleteSubscriptionRequest { subscription: id };
        within(gateway.events().delete_subscription(request)).await.expect("deleted");
    }
    let empty = list(0, "").await.expect("listed");
    assert!(empty.subscriptions.is_empty() && empty.next_page_token.is_empty());
    // Where its subscription was deleted meanwhile, a token is good all the same.
    assert!(list(2, &token).await.expect("listed").subscriptions.is_empty());
}

#[tokio::test]
async fn there_are_at_most_a_thousand() {
    let folder = Start::quiet().start().await.stop().await;
    let made = within_the_store(folder.path(), async |store| {
        let make = |n| {
            let change = Change::Create { filter: Filter::default(), position: store::SeekPosition::Newest };
            Op::Subscription(format!("s{n}").parse().expect("an id"), Box::new(change))
        };
        store.commit((0..MAX_SUBSCRIPTIONS).map(make).collect()).await.expect("written")
    });
    assert_eq!(made.await.len(), 1_000);
    let gateway = Start::quiet().on(folder).start().await;
    let told = create(&gateway, from_the_start()).await.expect_err("too many");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::ResourceExhausted, "SUBSCRIPTIONS_EXHAUSTED"));
    let request = v1::CreateSubscriptionRequest { subscription: "s7".to_owned(), ..from_the_start() };
    assert_eq!(reason(&create(&gateway, request).await.expect_err("there is one")), "SUBSCRIPTION_EXISTS");
    let request = v1::DeleteSubscriptionRequest { subscription: "s7".to_owned() };
    within(gateway.events().delete_subscription(request)).await.expect("deleted");
    create(&gateway, from_the_start()).await.expect("there is room");
}
