//! Requests about named subscriptions: start positions, validation, lists, and the maximum number.

use switchboard::domain::{Cursor, Filter, Labels, TypePattern};
use switchboard::pb::v1;
use switchboard::pb::v1::seek_subscription_request::Target;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    EventFilter, StartPosition, SubscribeRequest, Subscription, create_subscription_request,
};
use switchboard::store::{self, Change, MAX_SUBSCRIPTIONS, Op};
use tonic::{Code, Status};

use crate::subscriptions::{
    ID, acknowledge, change_of_filter, create, delete, deliver, from_the_start, get, labels, open, seek,
    subscribed, texts, types, update_with, with_filter, with_store,
};
use crate::support::gateway::{Start, fields, metadata, reason, within};

#[tokio::test]
async fn subscription_starts_at_the_requested_position() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..3).await;
    create(&gateway, from_the_start()).await.expect("created");
    let events = open(&gateway).await.events(3).await;
    use create_subscription_request::Start as At;
    let since = events[1].receive_time.expect("present");
    let first_since = events.iter().position(|event| event.receive_time == Some(since)).expect("present");
    for (start, lag) in [
        (None, 0),
        (Some(At::Position(StartPosition::Unspecified.into())), 0),
        (Some(At::Position(StartPosition::Latest.into())), 0),
        (Some(At::Position(StartPosition::Earliest.into())), 3),
        (Some(At::AfterCursor(events[1].cursor.clone())), 1),
        (Some(At::Since(since)), 3 - first_since as u64),
    ] {
        delete(&gateway).await.expect("deleted");
        let request = v1::CreateSubscriptionRequest { start: start.clone(), ..from_the_start() };
        assert_eq!(create(&gateway, request).await.expect("created").lag_events, Some(lag), "{start:?}");
    }
}

#[tokio::test]
async fn create_of_an_existing_subscription_changes_nothing() {
    let gateway = Start::quiet().start().await;
    let created = create(&gateway, from_the_start()).await.expect("created");
    deliver(&gateway, 0..1).await;
    let mut stream = open(&gateway).await;
    let request = with_filter(
        types(&["unknown"]),
        v1::CreateSubscriptionRequest { subscription_id: ID.to_owned(), ..Default::default() },
    );
    for request in [request, from_the_start()] {
        let error = create(&gateway, request).await.expect_err("exists");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::AlreadyExists, "SUBSCRIPTION_EXISTS"));
        assert_eq!(metadata(&error, "subscription_id"), ID);
    }
    let current = get(&gateway).await;
    assert_eq!((current.cursor, current.filter, current.generation), (created.cursor, None, 1));
    assert_eq!(texts(&mut stream, 1).await, ["0"]);
}

#[tokio::test]
async fn invalid_subscription_request_names_its_fields() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    let mut subscriptions = gateway.subscriptions();
    let mut errors: Vec<(Status, &[&str])> = Vec::new();
    for id in ["", "Billing", "a--b", &"a".repeat(64)] {
        let subscription = id.to_owned();
        let request = SubscribeRequest { start: Some(From::SubscriptionId(subscription)), ..subscribed() };
        errors.push((gateway.subscribe(request).await.err().expect("no id"), &["subscription_id"]));
        let request = v1::GetSubscriptionRequest { subscription_id: id.to_owned() };
        errors.push((
            within(subscriptions.get_subscription(request)).await.expect_err("no id"),
            &["subscription_id"],
        ));
        let request = v1::DeleteSubscriptionRequest { subscription_id: id.to_owned() };
        errors.push((
            within(subscriptions.delete_subscription(request)).await.expect_err("no id"),
            &["subscription_id"],
        ));
    }
    let request = with_filter(
        types(&["message.seen"]),
        v1::CreateSubscriptionRequest {
            subscription_id: "a_b".to_owned(),
            subscription: None,
            start: Some(create_subscription_request::Start::Position(9)),
        },
    );
    let wrong = create(&gateway, request).await.expect_err("all wrong");
    errors.push((wrong, &["subscription_id", "subscription.filter.types[0]", "position"]));
    let wrong = within(subscriptions.update_subscription(v1::UpdateSubscriptionRequest::default())).await;
    errors.push((wrong.expect_err("nothing given"), &["subscription.subscription_id", "update_mask"]));
    let wrong = within(subscriptions.seek_subscription(v1::SeekSubscriptionRequest::default())).await;
    errors.push((wrong.expect_err("nothing given"), &["subscription_id", "target"]));
    for (place, field) in [
        (Target::Position(StartPosition::Unspecified.into()), "position"),
        (Target::Position(9), "position"),
        (Target::Since(prost_types::Timestamp { seconds: 0, nanos: -1 }), "since"),
    ] {
        let wrong = seek(&gateway, place).await.expect_err("invalid position");
        assert_eq!(fields(&wrong), [field]);
    }
    let wrong = within(subscriptions.acknowledge(v1::AcknowledgeRequest::default())).await;
    errors.push((wrong.expect_err("nothing given"), &["subscription_id", "cursor"]));
    let request = v1::ListSubscriptionsRequest { page_size: 1_001, ..Default::default() };
    errors.push((
        within(subscriptions.list_subscriptions(request)).await.expect_err("too many"),
        &["page_size"],
    ));
    // A subscription has its own filter, so a request may not have one, not even an empty one.
    for filter in [types(&["message.received"]), EventFilter::default()] {
        let request = SubscribeRequest { filter: Some(filter), ..subscribed() };
        errors.push((gateway.subscribe(request).await.err().expect("two filters"), &["filter"]));
    }
    for (error, expected) in errors {
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), expected);
    }
    assert_eq!(get(&gateway).await.generation, 1, "the rejected requests changed nothing");
}

#[tokio::test]
async fn invalid_update_names_its_mask_filter_and_labels() {
    let gateway = Start::quiet().start().await;
    let created = create(&gateway, from_the_start()).await.expect("created");
    let wrong = Subscription {
        filter: Some(types(&["message.seen"])),
        labels: labels(&[("Team", "crm"), ("team", &"x".repeat(64)), ("\u{1}", "")]),
        ..Subscription::default()
    };
    let (filter, values) = (
        ["subscription.filter.types[0]"],
        ["subscription.labels", "subscription.labels[Team]", "subscription.labels[team]"],
    );
    let both = [&filter[..], &values].concat();
    let mask_and_filter = [&["update_mask"], &filter[..]].concat();
    let nothing = Subscription::default();
    for (subscription, paths, expected) in [
        (&wrong, None, &both[..]),
        (&wrong, Some(&["*"][..]), &both),
        (&wrong, Some(&["labels"]), &values),
        (&wrong, Some(&["filter", "name"]), &mask_and_filter),
        (&nothing, None, &["update_mask"]),
        (&nothing, Some(&[]), &["update_mask"]),
        (&nothing, Some(&["subscription_id", "cursor"]), &["update_mask"]),
        (&nothing, Some(&["filter.types"]), &["update_mask"]),
    ] {
        let error = update_with(&gateway, subscription.clone(), paths).await.expect_err("invalid");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), expected, "{paths:?}");
    }
    let request = v1::CreateSubscriptionRequest {
        subscription_id: "a_b".to_owned(),
        subscription: Some(wrong),
        ..from_the_start()
    };
    let error = create(&gateway, request).await.expect_err("all wrong");
    assert_eq!(fields(&error), [&["subscription_id"], &both[..]].concat());
    let current = get(&gateway).await;
    assert_eq!((current.update_time, current.generation), (created.update_time, 1), "nothing changed");
}

#[tokio::test]
async fn create_ignores_the_resources_output_only_fields() {
    let gateway = Start::quiet().start().await;
    let subscription = Subscription {
        subscription_id: "not an id".to_owned(),
        cursor: "not a cursor".to_owned(),
        generation: 7,
        create_time: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
        lag_events: Some(9),
        expired: true,
        ..Subscription::default()
    };
    let request = v1::CreateSubscriptionRequest { subscription: Some(subscription), ..from_the_start() };
    let created = create(&gateway, request).await.expect("created");
    assert_eq!((created.subscription_id.as_str(), created.generation), (ID, 1));
    assert_eq!((created.lag_events, created.expired), (Some(0), false));
}

#[tokio::test]
async fn page_of_large_subscriptions_ends_before_4_mib() {
    let folder = Start::quiet().start().await.stop().await;
    let accounts = (0..256).map(|n| format!("{n}-{}", "a".repeat(58)).parse().expect("an id")).collect();
    let large = Filter { accounts, ..Filter::default() };
    let many: Labels = (0..64).map(|n| (format!("k{n}-{}", "x".repeat(50)), "ž".repeat(63))).collect();
    const COUNT: usize = 250;
    with_store(folder.path(), async |store| {
        let make = |n| {
            let (filter, labels) = (large.clone(), many.clone());
            let change = Change::Create { filter, labels, position: store::SeekPosition::Newest };
            Op::Subscription(format!("s{n:04}").parse().expect("an id"), Box::new(change))
        };
        store.commit((0..COUNT).map(make).collect()).await.expect("written");
    })
    .await;
    let gateway = Start::quiet().on(folder).start().await;
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListSubscriptionsRequest { page_size: 1_000, page_token: token };
        let page = within(gateway.subscriptions().list_subscriptions(request)).await;
        let page = page.expect("at most 4 MiB, the limit of the client").into_inner();
        let ids = page.subscriptions.into_iter().map(|subscription| subscription.subscription_id);
        pages.push(ids.collect::<Vec<_>>());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert!(sizes.len() > 1 && sizes[..sizes.len() - 1].iter().all(|&size| size > 100), "{sizes:?}");
    assert_eq!(pages.concat(), (0..COUNT).map(|n| format!("s{n:04}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn list_without_page_size_returns_100_subscriptions() {
    let folder = Start::quiet().start().await.stop().await;
    with_store(folder.path(), async |store| {
        let make = |n| {
            let (filter, labels) = (Filter::default(), Labels::default());
            let change = Change::Create { filter, labels, position: store::SeekPosition::Newest };
            Op::Subscription(format!("s{n:04}").parse().expect("an id"), Box::new(change))
        };
        store.commit((0..MAX_SUBSCRIPTIONS).map(make).collect()).await.expect("written");
    })
    .await;
    let gateway = Start::quiet().on(folder).start().await;
    for (page_size, expected, more) in
        [(0, 100, true), (100, 100, true), (250, 250, true), (1_000, 1_000, false)]
    {
        let request = v1::ListSubscriptionsRequest { page_size, page_token: String::new() };
        let page =
            within(gateway.subscriptions().list_subscriptions(request)).await.expect("listed").into_inner();
        assert_eq!((page.subscriptions.len(), !page.next_page_token.is_empty()), (expected, more));
    }
}

#[tokio::test]
async fn malformed_foreign_and_lost_cursors_are_distinguished() {
    let gateway = Start::quiet().start().await;
    let created = create(&gateway, from_the_start()).await.expect("created");
    let here: Cursor = created.cursor.parse().expect("a cursor");
    let foreign = Cursor { epoch: here.epoch ^ 1, ..here }.to_string();
    let ahead = Cursor { sequence: 99, ..here }.to_string();
    let malformed = (Code::InvalidArgument, "CURSOR_MALFORMED".to_owned());
    let lost = (Code::OutOfRange, "CURSOR_LOST".to_owned());
    for (cursor, expected) in [("x", &malformed), (foreign.as_str(), &malformed), (ahead.as_str(), &lost)] {
        let start = create_subscription_request::Start::AfterCursor(cursor.to_owned());
        let request = v1::CreateSubscriptionRequest {
            subscription_id: "another".to_owned(),
            subscription: None,
            start: Some(start),
        };
        let place = Target::AfterCursor(cursor.to_owned());
        for (error, field) in [
            (acknowledge(&gateway, cursor, 0).await.map(|_| ()), "cursor"),
            (seek(&gateway, place).await.map(|_| ()), "after_cursor"),
            (create(&gateway, request).await.map(|_| ()), "after_cursor"),
        ] {
            let error = error.expect_err("invalid position");
            assert_eq!(&(error.code(), reason(&error)), expected, "{cursor} {field}");
            assert_eq!(fields(&error), if expected == &malformed { vec![field] } else { vec![] });
        }
    }
    let filter = EventFilter { accounts: vec!["unknown-account".to_owned()], ..EventFilter::default() };
    let request = change_of_filter(filter);
    let error =
        within(gateway.subscriptions().update_subscription(request)).await.expect_err("no such account");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "ACCOUNT_NOT_FOUND"));
    let current = get(&gateway).await;
    assert_eq!(
        (current.cursor, current.generation),
        (created.cursor, 1),
        "the rejected requests changed nothing"
    );
}

#[tokio::test]
async fn read_subscription_can_be_sent_back_with_new_labels() {
    let folder = Start::quiet().start().await.stop().await;
    // An account that has left the configuration since, and a type of a later version.
    let filter = Filter {
        accounts: vec!["closed".parse().expect("an id")],
        types: vec![TypePattern::parse("call.received")],
        ..Filter::default()
    };
    let change = Change::Create { filter, labels: Labels::default(), position: store::SeekPosition::Newest };
    let op = Op::Subscription(ID.parse().expect("an id"), Box::new(change));
    with_store(folder.path(), async |store| store.commit(vec![op]).await.expect("written")).await;
    let gateway = Start::quiet().on(folder).start().await;

    let read = get(&gateway).await;
    assert_eq!(read.filter.as_ref().expect("present").accounts, ["closed"]);
    let changed = Subscription { labels: labels(&[("team", "crm")]), ..read.clone() };
    let updated = update_with(&gateway, changed.clone(), None).await.expect("changed");
    assert_eq!((updated.filter, updated.generation), (read.filter, read.generation));
    assert_eq!(updated.labels, labels(&[("team", "crm")]));

    let accounts = vec!["closed".to_owned(), "other".to_owned()];
    let wrong = Subscription { filter: Some(EventFilter { accounts, ..EventFilter::default() }), ..changed };
    let error = update_with(&gateway, wrong, None).await.expect_err("an account that was never selected");
    assert_eq!(reason(&error), "ACCOUNT_NOT_FOUND");
    assert_eq!(fields(&error), ["subscription.filter.accounts[1]"]);
}

#[tokio::test]
async fn subscriptions_are_listed_by_id_page_by_page() {
    let gateway = Start::quiet().start().await;
    let mut ids: Vec<String> = ["crm", "a", "billing-eu", "billing", "z0", "0"].map(str::to_owned).to_vec();
    for id in &ids {
        let request = v1::CreateSubscriptionRequest { subscription_id: id.clone(), ..from_the_start() };
        create(&gateway, request).await.expect("created");
    }
    ids.sort();
    let list = async |page_size, page_token: &str| {
        let request = v1::ListSubscriptionsRequest { page_size, page_token: page_token.to_owned() };
        within(gateway.subscriptions().list_subscriptions(request)).await.map(tonic::Response::into_inner)
    };
    for page_size in [0, 1, 2, 3, 5, 6, 1_000] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(page_size, &token).await.expect("listed");
            assert!(page_size == 0 || page.subscriptions.len() <= page_size as usize);
            assert!(!page.subscriptions.is_empty(), "an empty page");
            seen.extend(page.subscriptions.into_iter().map(|subscription| subscription.subscription_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, ids, "{page_size}");
    }
    let all = list(0, "").await.expect("listed").subscriptions;
    assert_eq!(all[2], get(&gateway).await, "equal to GetSubscription");

    let token = list(2, "").await.expect("listed").next_page_token;
    for wrong in [&token[1..], "x"] {
        let error = list(2, wrong).await.expect_err("no token");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_MALFORMED"));
    }
    for id in ids {
        let request = v1::DeleteSubscriptionRequest { subscription_id: id };
        within(gateway.subscriptions().delete_subscription(request)).await.expect("deleted");
    }
    let empty = list(0, "").await.expect("listed");
    assert!(empty.subscriptions.is_empty() && empty.next_page_token.is_empty());
    // A token stays valid after its subscription was deleted.
    assert!(list(2, &token).await.expect("listed").subscriptions.is_empty());
}

#[tokio::test]
async fn subscription_1001_is_rejected() {
    let folder = Start::quiet().start().await.stop().await;
    let created = with_store(folder.path(), async |store| {
        let make = |n| {
            let change = Change::Create {
                filter: Filter::default(),
                labels: Labels::default(),
                position: store::SeekPosition::Newest,
            };
            Op::Subscription(format!("s{n}").parse().expect("an id"), Box::new(change))
        };
        store.commit((0..MAX_SUBSCRIPTIONS).map(make).collect()).await.expect("written")
    });
    assert_eq!(created.await.len(), 1_000);
    let gateway = Start::quiet().on(folder).start().await;
    let error = create(&gateway, from_the_start()).await.expect_err("too many");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "SUBSCRIPTIONS_EXHAUSTED"));
    let request = v1::CreateSubscriptionRequest { subscription_id: "s7".to_owned(), ..from_the_start() };
    assert_eq!(reason(&create(&gateway, request).await.expect_err("exists")), "SUBSCRIPTION_EXISTS");
    let request = v1::DeleteSubscriptionRequest { subscription_id: "s7".to_owned() };
    within(gateway.subscriptions().delete_subscription(request)).await.expect("deleted");
    create(&gateway, from_the_start()).await.expect("created");
}
