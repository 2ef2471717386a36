//! Named subscriptions: the stored position, what moves it, and the effect on open streams.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use prost_types::FieldMask;
use switchboard::api::encode_event;
use switchboard::domain::{AccountId, Filter, Labels, UnixMillis};
use switchboard::pb::v1;
use switchboard::pb::v1::seek_subscription_request::Target;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::subscription_service_client::SubscriptionServiceClient;
use switchboard::pb::v1::{
    ClosingReason, EventFilter, ExpiredPolicy, StartPosition, SubscribeClosing, SubscribeRequest,
    Subscription, create_subscription_request,
};
use switchboard::store::{self, Change, Op, OpResult, ReplicaId, Store, Trim};
use tonic::{Code, Status};

use crate::support::binary::{Home, Server, post};
use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, Subscriber, metadata, reason, received, subscribe, text_of, within,
};

pub(crate) const ID: &str = "billing";

/// A subscription to all events from the start of the journal.
pub(crate) fn from_the_start() -> v1::CreateSubscriptionRequest {
    v1::CreateSubscriptionRequest {
        subscription_id: ID.to_owned(),
        subscription: None,
        start: Some(create_subscription_request::Start::Position(StartPosition::Earliest.into())),
    }
}

pub(crate) fn types(words: &[&str]) -> EventFilter {
    EventFilter { types: words.iter().map(|&word| word.to_owned()).collect(), ..EventFilter::default() }
}

pub(crate) async fn create(
    gateway: &Gateway,
    request: v1::CreateSubscriptionRequest,
) -> Result<Subscription, Status> {
    let created = within(gateway.subscriptions().create_subscription(request)).await?.into_inner();
    Ok(created.subscription.expect("never empty"))
}

pub(crate) async fn get(gateway: &Gateway) -> Subscription {
    let request = v1::GetSubscriptionRequest { subscription_id: ID.to_owned() };
    let found =
        within(gateway.subscriptions().get_subscription(request)).await.expect("present").into_inner();
    found.subscription.expect("never empty")
}

/// A creation with a filter.
pub(crate) fn with_filter(
    filter: EventFilter,
    request: v1::CreateSubscriptionRequest,
) -> v1::CreateSubscriptionRequest {
    let subscription = Some(Subscription { filter: Some(filter), ..Subscription::default() });
    v1::CreateSubscriptionRequest { subscription, ..request }
}

/// A request that replaces the filter of [`ID`].
pub(crate) fn change_of_filter(filter: EventFilter) -> v1::UpdateSubscriptionRequest {
    let subscription =
        Subscription { subscription_id: ID.to_owned(), filter: Some(filter), ..Subscription::default() };
    v1::UpdateSubscriptionRequest { subscription: Some(subscription), update_mask: None }
}

pub(crate) async fn update(gateway: &Gateway, filter: EventFilter) -> Subscription {
    let request = change_of_filter(filter);
    let changed =
        within(gateway.subscriptions().update_subscription(request)).await.expect("changed").into_inner();
    changed.subscription.expect("never empty")
}

pub(crate) async fn seek(gateway: &Gateway, place: Target) -> Result<Subscription, Status> {
    let request = v1::SeekSubscriptionRequest { subscription_id: ID.to_owned(), target: Some(place) };
    let moved = within(gateway.subscriptions().seek_subscription(request)).await?.into_inner();
    Ok(moved.subscription.expect("never empty"))
}

pub(crate) async fn delete(gateway: &Gateway) -> Result<(), Status> {
    let request = v1::DeleteSubscriptionRequest { subscription_id: ID.to_owned() };
    within(gateway.subscriptions().delete_subscription(request)).await.map(drop)
}

/// Acknowledges a cursor and returns the position afterwards.
pub(crate) async fn acknowledge(gateway: &Gateway, cursor: &str, generation: u64) -> Result<String, Status> {
    let request =
        v1::AcknowledgeRequest { subscription_id: ID.to_owned(), cursor: cursor.to_owned(), generation };
    Ok(within(gateway.subscriptions().acknowledge(request)).await?.into_inner().cursor)
}

pub(crate) fn subscribed() -> SubscribeRequest {
    SubscribeRequest { start: Some(From::SubscriptionId(ID.to_owned())), ..SubscribeRequest::default() }
}

pub(crate) async fn open(gateway: &Gateway) -> Subscriber {
    gateway.subscribe(subscribed()).await.expect("subscribed")
}

pub(crate) async fn deliver(gateway: &Gateway, numbers: std::ops::Range<usize>) {
    for text in numbers.map(|n| n.to_string()) {
        gateway.deliver(&received(&text, &text)).await;
    }
}

pub(crate) async fn texts(subscriber: &mut Subscriber, count: usize) -> Vec<String> {
    subscriber.events(count).await.iter().map(|event| text_of(event).to_owned()).collect()
}

/// The closing message and the status of a stream, which must come next.
async fn next_closing(subscriber: &mut Subscriber) -> (SubscribeClosing, Status) {
    let closing = match subscriber.next().await.expect("still open") {
        Some(Response::Closing(closing)) => closing,
        other => panic!("no closing but {other:?}"),
    };
    (closing, subscriber.next().await.expect_err("the stream fails"))
}

/// Opens the store of a stopped server to make changes that no RPC offers.
pub(crate) async fn with_store<T>(folder: &Path, work: impl AsyncFnOnce(&Store) -> T) -> T {
    let store = Store::open(store::Options {
        path: folder.join("switchboard.db"),
        encode: encode_event,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    let done = work(&store).await;
    store.close().await;
    let mut health = store.health();
    while within(health.changed()).await.is_ok() {}
    done
}

#[tokio::test]
async fn subscription_stream_starts_after_the_acknowledged_cursor() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..5).await;
    let created = create(&gateway, from_the_start()).await.expect("created");
    assert_eq!((created.subscription_id.as_str(), created.generation, created.filter.clone()), (ID, 1, None));
    assert_eq!((created.lag_events, created.expired, created.acknowledge_time), (Some(5), false, None));
    assert!(created.create_time.is_some() && created.create_time == created.update_time);

    let mut stream = open(&gateway).await;
    assert_eq!((&stream.started.cursor, stream.started.generation), (&created.cursor, 1));
    let events = stream.events(3).await;
    // Unacknowledged events do not block the stream. A new stream delivers them again.
    assert_eq!(acknowledge(&gateway, &events[1].cursor, 1).await.expect("acknowledged"), events[1].cursor);
    let mut next = open(&gateway).await;
    assert_eq!(next.started.cursor, events[1].cursor);
    assert_eq!(texts(&mut next, 3).await, ["2", "3", "4"]);
    assert_eq!(texts(&mut stream, 2).await, ["3", "4"]);
    let current = get(&gateway).await;
    assert_eq!((&current.cursor, current.lag_events, current.generation), (&events[1].cursor, Some(3), 1));
    assert!(current.acknowledge_time.is_some() && current.update_time == created.update_time);

    // Without a subscription there is no generation.
    assert_eq!(gateway.subscribe(SubscribeRequest::default()).await.expect("open").started.generation, 0);
}

/// The process is killed right after each reply.
#[tokio::test(flavor = "multi_thread")]
async fn answered_acknowledgement_survives_kill_9() {
    const ROUNDS: usize = 5;
    let home = Home::new("http://127.0.0.1:1");
    let mut acknowledged: Option<String> = None;
    for round in 0..ROUNDS {
        let server = Server::start(home.command());
        let channel = server.channel().await;
        let mut subscriptions = SubscriptionServiceClient::new(channel.clone());
        if round == 0 {
            within(subscriptions.create_subscription(from_the_start())).await.expect("created");
            for n in 0..2 * ROUNDS {
                let body = received(&n.to_string(), &n.to_string());
                assert_eq!(post(&reqwest::Client::new(), server.webhook, body).await, Some(200));
            }
        }
        let mut stream = subscribe(channel, subscribed()).await.expect("subscribed");
        if let Some(place) = &acknowledged {
            assert_eq!(&stream.started.cursor, place);
        }
        let two = stream.events(2).await;
        assert_eq!(text_of(&two[0]), (2 * round).to_string());
        let request = v1::AcknowledgeRequest {
            subscription_id: ID.to_owned(),
            cursor: two[1].cursor.clone(),
            generation: 1,
        };
        let answer = within(subscriptions.acknowledge(request)).await.expect("acknowledged").into_inner();
        server.kill();
        acknowledged = Some(answer.cursor);
    }
    let server = Server::start(home.command());
    let stream = subscribe(server.channel().await, subscribed()).await.expect("subscribed");
    assert_eq!(Some(&stream.started.cursor), acknowledged.as_ref());
    assert_eq!(stream.started.cursor, stream.started.newest_cursor);
}

#[tokio::test]
async fn acknowledgement_accepts_any_cursor_and_never_moves_back() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    deliver(&gateway, 0..3).await;
    // The subscription never had a stream.
    let listed =
        within(gateway.events().list_events(v1::ListEventsRequest::default())).await.expect("listed");
    let events = listed.into_inner().events;
    let cursor = |at: usize| events[at].cursor.as_str();
    for (up_to, current) in [(1, 1), (0, 1), (1, 1), (2, 2), (0, 2)] {
        assert_eq!(acknowledge(&gateway, cursor(up_to), 0).await.expect("acknowledged"), cursor(current));
        assert_eq!(get(&gateway).await.cursor, cursor(current));
    }
}

#[tokio::test]
async fn two_streams_of_one_subscription_both_get_every_event() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    let (mut one, mut two) = (open(&gateway).await, open(&gateway).await);
    deliver(&gateway, 0..10).await;
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(texts(&mut one, 5).await, expected[..5]);
    // An acknowledgement on one stream does not affect the other.
    let event = one.event().await;
    acknowledge(&gateway, &event.cursor, 1).await.expect("acknowledged");
    assert_eq!(texts(&mut two, 10).await, expected);
    assert_eq!(texts(&mut one, 4).await, expected[6..]);
}

#[tokio::test]
async fn seek_back_replays_and_rejects_stale_acknowledgements() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    deliver(&gateway, 0..4).await;
    let mut before = open(&gateway).await;
    let events = before.events(4).await;
    acknowledge(&gateway, &events[2].cursor, before.started.generation).await.expect("acknowledged");

    let moved = seek(&gateway, Target::AfterCursor(events[0].cursor.clone())).await.expect("moved");
    assert_eq!((&moved.cursor, moved.generation, moved.lag_events), (&events[0].cursor, 2, Some(3)));
    let late = acknowledge(&gateway, &events[3].cursor, before.started.generation).await;
    let late = late.expect_err("stale generation");
    let expected = (Code::FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE".to_owned());
    assert_eq!((late.code(), reason(&late)), expected);
    assert_eq!((metadata(&late, "generation"), metadata(&late, "subscription_id")), ("2".into(), ID.into()));
    assert_eq!(get(&gateway).await.cursor, events[0].cursor);

    let (closing, error) = next_closing(&mut before).await;
    assert_eq!(closing.reason(), ClosingReason::SubscriptionChanged);
    assert_eq!(closing.retry_delay, None, "the client may reconnect at once");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SUBSCRIPTION_CHANGED"));
    let mut again = open(&gateway).await;
    assert_eq!(
        (again.started.generation, texts(&mut again, 3).await),
        (2, vec!["1".into(), "2".into(), "3".into()])
    );
    acknowledge(&gateway, &events[3].cursor, again.started.generation).await.expect("acknowledged");

    // Seeks forward, to named positions, and to times.
    for (place, lag) in [
        (Target::Position(StartPosition::Earliest.into()), 4),
        (Target::Since(Default::default()), 4),
        (Target::Position(StartPosition::Latest.into()), 0),
    ] {
        assert_eq!(seek(&gateway, place.clone()).await.expect("moved").lag_events, Some(lag), "{place:?}");
    }
    assert_eq!(get(&gateway).await.generation, 5);
}

#[tokio::test]
async fn filter_change_ends_streams_and_keeps_the_position() {
    let gateway = Start::quiet().start().await;
    let request = with_filter(types(&["message.received", "message.received"]), from_the_start());
    let created = create(&gateway, request).await.expect("created");
    assert_eq!(created.filter, Some(types(&["message.received"])));
    let mut before = open(&gateway).await;
    deliver(&gateway, 0..1).await;
    gateway.deliver("no JSON").await;
    assert_eq!(texts(&mut before, 1).await, ["0"]);

    let changed = update(&gateway, types(&["unknown"])).await;
    assert_eq!((changed.generation, changed.cursor), (2, created.cursor));
    assert_eq!(changed.filter, Some(types(&["unknown"])));
    // The filter is returned as it was set, so a client can compare the two to detect a change.
    let words = types(&["report.run", "message.*", "message.status"]);
    assert_eq!(update(&gateway, words.clone()).await.filter, Some(words));
    update(&gateway, types(&["unknown"])).await;
    // After the reply, no event arrives under the old filter.
    deliver(&gateway, 1..3).await;
    let (closing, error) = next_closing(&mut before).await;
    assert_eq!(closing.reason(), ClosingReason::SubscriptionChanged);
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SUBSCRIPTION_CHANGED"));
    let mut after = open(&gateway).await;
    assert_eq!((after.started.generation, after.event().await.r#type.as_str()), (4, "unknown"));

    assert_eq!(
        update(&gateway, EventFilter::default()).await.filter,
        None,
        "an empty filter matches everything"
    );
    assert_eq!(open(&gateway).await.events(4).await.len(), 4);
}

#[tokio::test]
async fn delete_ends_streams_and_later_calls_are_not_found() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    let mut stream = open(&gateway).await;
    delete(&gateway).await.expect("deleted");
    let (closing, error) = next_closing(&mut stream).await;
    assert_eq!((closing.reason(), closing.retry_delay), (ClosingReason::SubscriptionDeleted, None));
    let not_found = |error: &Status| {
        assert_eq!((error.code(), reason(error).as_str()), (Code::NotFound, "SUBSCRIPTION_NOT_FOUND"));
        assert_eq!(metadata(error, "subscription_id"), ID);
    };
    not_found(&error);
    not_found(&delete(&gateway).await.expect_err("deleted"));
    not_found(&gateway.subscribe(subscribed()).await.map(|_| ()).expect_err("deleted or expired"));
    not_found(&acknowledge(&gateway, &stream.started.cursor, 0).await.expect_err("deleted or expired"));
    not_found(
        &seek(&gateway, Target::Position(StartPosition::Latest.into()))
            .await
            .expect_err("deleted or expired"),
    );
    let request = v1::GetSubscriptionRequest { subscription_id: ID.to_owned() };
    not_found(
        &within(gateway.subscriptions().get_subscription(request)).await.expect_err("deleted or expired"),
    );
    let request = change_of_filter(EventFilter::default());
    not_found(
        &within(gateway.subscriptions().update_subscription(request)).await.expect_err("deleted or expired"),
    );
    deliver(&gateway, 0..1).await;
    let second = create(&gateway, from_the_start()).await.expect("created again");
    assert_eq!(second.generation, 2, "an acknowledgement for the deleted subscription does not apply");
    let late = acknowledge(&gateway, &stream.started.newest_cursor, stream.started.generation).await;
    assert_eq!(reason(&late.expect_err("stale generation")), "SUBSCRIPTION_GENERATION_STALE");
    assert_eq!(get(&gateway).await.cursor, second.cursor);
}

#[tokio::test]
async fn acknowledged_heartbeat_resets_the_lag_without_a_match() {
    let gateway = Start::quiet().start().await;
    let request = with_filter(types(&["unknown"]), from_the_start());
    create(&gateway, request).await.expect("created");
    deliver(&gateway, 0..3).await;
    assert_eq!(get(&gateway).await.lag_events, Some(3));
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = SubscribeRequest { heartbeat_interval, ..subscribed() };
    let mut stream = gateway.subscribe(request).await.expect("subscribed");
    let heartbeat = match stream.next().await.expect("open") {
        Some(Response::Heartbeat(heartbeat)) => heartbeat,
        other => panic!("no heartbeat but {other:?}"),
    };
    assert_eq!(acknowledge(&gateway, &heartbeat.cursor, 1).await.expect("acknowledged"), heartbeat.cursor);
    let current = get(&gateway).await;
    assert_eq!((current.lag_events, current.lag_time), (Some(0), Some(Default::default())));
}

/// A map of labels.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Updates [`ID`] with a mask, or without one.
pub(crate) async fn update_with(
    gateway: &Gateway,
    subscription: Subscription,
    paths: Option<&[&str]>,
) -> Result<Subscription, Status> {
    let subscription = Some(Subscription { subscription_id: ID.to_owned(), ..subscription });
    let update_mask =
        paths.map(|paths| FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() });
    let request = v1::UpdateSubscriptionRequest { subscription, update_mask };
    let updated = within(gateway.subscriptions().update_subscription(request)).await?.into_inner();
    Ok(updated.subscription.expect("never empty"))
}

#[tokio::test]
async fn labels_change_without_ending_the_stream() {
    let gateway = Start::quiet().start().await;
    let team = labels(&[("team", "crm"), ("stage", "")]);
    let subscription = Some(Subscription { labels: team.clone(), ..Subscription::default() });
    let request = v1::CreateSubscriptionRequest { subscription, ..from_the_start() };
    let created = create(&gateway, request).await.expect("created");
    assert_eq!((&created.labels, &created.filter), (&team, &None));
    let mut stream = open(&gateway).await;

    // Labels are replaced as a whole.
    let other = labels(&[("owner", "Žofie")]);
    let change = Subscription { labels: other.clone(), ..Subscription::default() };
    let changed = update_with(&gateway, change, None).await.expect("updated");
    assert_eq!((&changed.labels, changed.generation), (&other, 1));
    let updated_at = |subscription: &Subscription| subscription.update_time.map(|at| (at.seconds, at.nanos));
    assert!(updated_at(&changed) >= updated_at(&created), "{changed:?}");
    // A subscription that was read can be written back: its output only fields have no effect.
    let unchanged = update_with(&gateway, changed.clone(), None).await.expect("updated");
    assert_eq!(unchanged, changed);
    let all = update_with(&gateway, changed.clone(), Some(&["*"])).await.expect("updated");
    assert_eq!(all, changed);
    let cleared = update_with(&gateway, Subscription::default(), Some(&["labels"])).await.expect("updated");
    assert_eq!((cleared.labels.len(), cleared.generation), (0, 1));

    deliver(&gateway, 0..1).await;
    assert_eq!(texts(&mut stream, 1).await, ["0"], "the stream is still open");
    acknowledge(&gateway, &stream.started.newest_cursor, 1).await.expect("still the generation");
}

#[tokio::test]
async fn equal_filter_ends_no_stream() {
    let gateway = Start::quiet().start().await;
    let request = with_filter(types(&["message.*", "unknown"]), from_the_start());
    let created = create(&gateway, request).await.expect("created");
    let mut stream = open(&gateway).await;
    for filter in [types(&["message.*", "unknown"]), types(&["unknown", "message.*", "unknown"])] {
        assert_eq!(update(&gateway, filter).await, created, "nothing changed");
    }
    deliver(&gateway, 0..1).await;
    assert_eq!(texts(&mut stream, 1).await, ["0"]);
    // It matches the same events, but it is another filter.
    let changed = update(&gateway, types(&["message.received", "message.*", "unknown"])).await;
    assert_eq!(changed.generation, 2);
    assert_eq!(next_closing(&mut stream).await.0.reason(), ClosingReason::SubscriptionChanged);
}

#[tokio::test]
async fn update_sets_only_the_masked_fields() {
    let gateway = Start::quiet().start().await;
    let team = labels(&[("team", "crm")]);
    let words = types(&["unknown"]);
    let initial =
        Subscription { filter: Some(words.clone()), labels: team.clone(), ..Subscription::default() };
    let request = v1::CreateSubscriptionRequest { subscription: Some(initial), ..from_the_start() };
    create(&gateway, request).await.expect("created");

    // A field outside the mask is not even checked.
    let wrong = Subscription {
        filter: Some(types(&["message.*"])),
        labels: labels(&[("Invalid", "")]),
        ..Subscription::default()
    };
    let changed = update_with(&gateway, wrong.clone(), Some(&["filter"])).await.expect("updated");
    assert_eq!((changed.filter, &changed.labels), (Some(types(&["message.*"])), &team));
    let wrong = Subscription { filter: Some(types(&["?"])), labels: team.clone(), ..wrong };
    let mask: &[&str] = &["labels", "expired", "generation", "labels"];
    let changed = update_with(&gateway, wrong, Some(mask)).await.expect("updated");
    assert_eq!((changed.filter, &changed.labels), (Some(types(&["message.*"])), &team));
    let empty = Subscription { filter: Some(EventFilter::default()), ..Subscription::default() };
    let changed = update_with(&gateway, empty, None).await.expect("updated");
    assert_eq!((changed.filter, &changed.labels), (None, &team), "an empty filter is a value");
    update(&gateway, words).await;
    let changed = update_with(&gateway, Subscription::default(), Some(&["*"])).await.expect("updated");
    assert_eq!((changed.filter, changed.labels.len()), (None, 0), "empty fields in the mask are cleared");
}

#[tokio::test]
async fn subscription_survives_a_restart_unchanged() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    deliver(&gateway, 0..3).await;
    update(&gateway, EventFilter { accounts: vec![CONNECTLY.to_owned()], ..types(&["message.received"]) })
        .await;
    let labeled = Subscription { labels: labels(&[("team", "crm")]), ..Subscription::default() };
    update_with(&gateway, labeled, None).await.expect("updated");
    let mut stream = open(&gateway).await;
    let event = stream.event().await;
    acknowledge(&gateway, &event.cursor, 2).await.expect("acknowledged");
    let lag_time = None;
    let before_restart = Subscription { lag_time, ..get(&gateway).await };
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    assert_eq!(stream.events(2).await.len(), 2, "events in flight at the shutdown");
    let (closing, error) = next_closing(&mut stream).await;
    assert_eq!(closing.reason(), ClosingReason::Shutdown);
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SERVER_STOPPING"));

    assert_eq!(Subscription { lag_time, ..get(&gateway).await }, before_restart);
    assert_eq!(before_restart.lag_events, Some(2));
    let mut stream = open(&gateway).await;
    assert_eq!((stream.started.generation, texts(&mut stream, 2).await), (2, vec!["1".into(), "2".into()]));
}

#[tokio::test]
async fn expired_subscription_fails_or_reports_gap_until_acknowledged() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("created");
    deliver(&gateway, 0..5).await;
    let events = open(&gateway).await.events(5).await;
    let folder = gateway.stop().await;
    with_store(folder.path(), async |store| {
        let before = UnixMillis::now().plus(Duration::from_secs(1));
        let done = store
            .commit(vec![Op::Trim(Trim {
                before,
                force_before: before,
                max_bytes: None,
                step_events: 3,
                step_bytes: u64::MAX,
            })])
            .await
            .expect("written");
        assert!(matches!(&*done, [OpResult::Trimmed(trimmed)] if trimmed.events == 3));
    })
    .await;
    let gateway = Start::quiet().on(folder).start().await;
    let current = get(&gateway).await;
    assert_eq!((current.expired, current.lag_events), (true, Some(5)), "trimmed events count too");
    let error = gateway.subscribe(subscribed()).await.map(|_| ()).expect_err("expired");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    assert_eq!(metadata(&error, "oldest_cursor"), events[2].cursor);

    let skipping = SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..subscribed() };
    let mut stream = gateway.subscribe(skipping).await.expect("subscribed");
    let gap = match stream.next().await.expect("open") {
        Some(Response::Gap(gap)) => gap,
        other => panic!("no gap but {other:?}"),
    };
    assert_eq!((&gap.after_cursor, gap.missed), (&current.cursor, Some(3)));
    assert_eq!(gap.resume_cursor, events[2].cursor);
    assert_eq!(stream.events(2).await, events[3..]);

    acknowledge(&gateway, &gap.resume_cursor, 1).await.expect("acknowledged");
    let valid = get(&gateway).await;
    assert_eq!((valid.expired, valid.lag_events), (false, Some(2)));
    assert_eq!(open(&gateway).await.events(2).await, events[3..]);
    // A seek to a trimmed position fails and changes nothing.
    for place in [Target::AfterCursor(events[0].cursor.clone()), Target::Since(Default::default())] {
        let error = seek(&gateway, place).await.expect_err("deleted or expired");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    }
    assert_eq!(get(&gateway).await.generation, 1);
}

#[tokio::test]
async fn filter_on_a_removed_account_matches_nothing() {
    let gateway = Start::quiet().start().await;
    let folder = gateway.stop().await;
    with_store(folder.path(), async |store| {
        let accounts = ["removed", CONNECTBY].map(|id| id.parse::<AccountId>().expect("an id")).to_vec();
        let filter = Filter { accounts, ..Filter::default() };
        let change =
            Change::Create { filter, labels: Labels::default(), position: store::SeekPosition::Oldest };
        let op = Op::Subscription(ID.parse().expect("an id"), Box::new(change));
        store.commit(vec![op]).await.expect("written");
    })
    .await;
    let gateway = Start::quiet().on(folder).start().await;
    let filter = get(&gateway).await.filter.expect("present");
    assert_eq!(filter.accounts, ["removed", CONNECTBY]);
    deliver(&gateway, 0..2).await;
    let idle_timeout = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let request = SubscribeRequest { idle_timeout, ..subscribed() };
    let mut stream = gateway.subscribe(request).await.expect("subscribed");
    match stream.next().await.expect("open") {
        Some(Response::Closing(closing)) => assert_eq!(closing.cursor, stream.started.newest_cursor),
        other => panic!("no closing but {other:?}"),
    }
}
