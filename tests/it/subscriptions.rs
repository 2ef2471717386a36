//! Named subscriptions: the place that the server keeps, who moves it, and what becomes of the streams.

use std::path::Path;
use std::time::Duration;

use switchboard::api::encode_event;
use switchboard::domain::{AccountId, Filter, UnixMillis};
use switchboard::pb::v1;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::seek_subscription_request::Place;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{
    ClosingReason, EventFilter, ExpiredPolicy, StartPosition, SubscribeClosing, SubscribeRequest,
    Subscription, create_subscription_request,
};
use switchboard::store::{self, Change, Done, Op, ReplicaId, Store, Trim};
use tonic::{Code, Status};

use crate::binary::{Home, Server};
use crate::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, Subscriber, metadata, reason, received, subscribe, text_of, within,
};
use crate::process::post;

pub(crate) const ID: &str = "billing";

/// A subscription to all that happens from the journal's start on.
pub(crate) fn from_the_start() -> v1::CreateSubscriptionRequest {
    v1::CreateSubscriptionRequest {
        subscription: ID.to_owned(),
        filter: None,
        start: Some(create_subscription_request::Start::Position(StartPosition::Earliest.into())),
    }
}

pub(crate) fn types(words: &[&str]) -> EventFilter {
    EventFilter { accounts: vec![], types: words.iter().map(|&word| word.to_owned()).collect() }
}

pub(crate) async fn create(
    gateway: &Gateway,
    request: v1::CreateSubscriptionRequest,
) -> Result<Subscription, Status> {
    let made = within(gateway.events().create_subscription(request)).await?.into_inner();
    Ok(made.subscription.expect("never empty"))
}

pub(crate) async fn get(gateway: &Gateway) -> Subscription {
    let request = v1::GetSubscriptionRequest { subscription: ID.to_owned() };
    let found = within(gateway.events().get_subscription(request)).await.expect("there").into_inner();
    found.subscription.expect("never empty")
}

pub(crate) async fn update(gateway: &Gateway, filter: EventFilter) -> Subscription {
    let request = v1::UpdateSubscriptionRequest { subscription: ID.to_owned(), filter: Some(filter) };
    let changed = within(gateway.events().update_subscription(request)).await.expect("changed").into_inner();
    changed.subscription.expect("never empty")
}

pub(crate) async fn seek(gateway: &Gateway, place: Place) -> Result<Subscription, Status> {
    let request = v1::SeekSubscriptionRequest { subscription: ID.to_owned(), place: Some(place) };
    let moved = within(gateway.events().seek_subscription(request)).await?.into_inner();
    Ok(moved.subscription.expect("never empty"))
}

pub(crate) async fn delete(gateway: &Gateway) -> Result<(), Status> {
    let request = v1::DeleteSubscriptionRequest { subscription: ID.to_owned() };
    within(gateway.events().delete_subscription(request)).await.map(drop)
}

/// Acknowledges, and gives the place that stands.
pub(crate) async fn acknowledge(gateway: &Gateway, cursor: &str, generation: u64) -> Result<String, Status> {
    let request =
        v1::AcknowledgeRequest { subscription: ID.to_owned(), cursor: cursor.to_owned(), generation };
    Ok(within(gateway.events().acknowledge(request)).await?.into_inner().cursor)
}

pub(crate) fn subscribed() -> SubscribeRequest {
    SubscribeRequest { start: Some(From::Subscription(ID.to_owned())), ..SubscribeRequest::default() }
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

/// What a stream ends with, which must come next.
async fn end(subscriber: &mut Subscriber) -> (SubscribeClosing, Status) {
    let closing = match subscriber.next().await.expect("still open") {
        Some(Response::Closing(closing)) => closing,
        other => panic!("no closing but {other:?}"),
    };
    (closing, subscriber.next().await.expect_err("the stream fails"))
}

/// The store of a server that was stopped, to do in it what no caller can.
pub(crate) async fn within_the_store<T>(folder: &Path, work: impl AsyncFnOnce(&Store) -> T) -> T {
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
async fn a_stream_of_a_subscription_starts_behind_what_is_acknowledged() {
    let gateway = Start::quiet().start().await;
    deliver(&gateway, 0..5).await;
    let made = create(&gateway, from_the_start()).await.expect("made");
    assert_eq!((made.id.as_str(), made.generation, made.filter.clone()), (ID, 1, None));
    assert_eq!((made.lag_events, made.expired, made.acknowledge_time), (5, false, None));
    assert!(made.create_time.is_some() && made.create_time == made.update_time);

    let mut stream = open(&gateway).await;
    assert_eq!((&stream.started.cursor, stream.started.generation), (&made.cursor, 1));
    let events = stream.events(3).await;
    // What is not acknowledged does not hold the stream up, and comes again on another one.
    assert_eq!(acknowledge(&gateway, &events[1].cursor, 1).await.expect("acknowledged"), events[1].cursor);
    let mut next = open(&gateway).await;
    assert_eq!(next.started.cursor, events[1].cursor);
    assert_eq!(texts(&mut next, 3).await, ["2", "3", "4"]);
    assert_eq!(texts(&mut stream, 2).await, ["3", "4"]);
    let stands = get(&gateway).await;
    assert_eq!((&stands.cursor, stands.lag_events, stands.generation), (&events[1].cursor, 3, 1));
    assert!(stands.acknowledge_time.is_some() && stands.update_time == made.update_time);

    // Without a subscription there is no generation.
    assert_eq!(gateway.subscribe(SubscribeRequest::default()).await.expect("open").started.generation, 0);
}

/// The process is killed right after the answer, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_is_on_disk_when_it_is_answered() {
    const ROUNDS: usize = 5;
    let home = Home::new("http://127.0.0.1:1");
    let mut acknowledged: Option<String> = None;
    for round in 0..ROUNDS {
        let server = Server::start(home.command());
        let channel = server.channel().await;
        let mut events = EventServiceClient::new(channel.clone());
        if round == 0 {
            within(events.create_subscription(from_the_start())).await.expect("made");
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
            subscription: ID.to_owned(),
            cursor: two[1].cursor.clone(),
            generation: 1,
        };
        let answer = within(events.acknowledge(request)).await.expect("acknowledged").into_inner();
        server.kill();
        acknowledged = Some(answer.cursor);
    }
    let server = Server::start(home.command());
    let stream = subscribe(server.channel().await, subscribed()).await.expect("subscribed");
    assert_eq!(Some(&stream.started.cursor), acknowledged.as_ref());
    assert_eq!(stream.started.cursor, stream.started.newest_cursor);
}

#[tokio::test]
async fn an_acknowledgement_never_goes_back_and_may_be_any_cursor_of_the_journal() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    deliver(&gateway, 0..3).await;
    // No stream of the subscription was ever open.
    let listed =
        within(gateway.events().list_events(v1::ListEventsRequest::default())).await.expect("listed");
    let events = listed.into_inner().events;
    let cursor = |at: usize| events[at].cursor.as_str();
    for (up_to, stands) in [(1, 1), (0, 1), (1, 1), (2, 2), (0, 2)] {
        assert_eq!(acknowledge(&gateway, cursor(up_to), 0).await.expect("acknowledged"), cursor(stands));
        assert_eq!(get(&gateway).await.cursor, cursor(stands));
    }
}

#[tokio::test]
async fn two_streams_of_one_subscription_both_get_everything() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    let (mut one, mut two) = (open(&gateway).await, open(&gateway).await);
    deliver(&gateway, 0..10).await;
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(texts(&mut one, 5).await, expected[..5]);
    // What one of them acknowledges does not keep it from the other.
    let event = one.event().await;
    acknowledge(&gateway, &event.cursor, 1).await.expect("acknowledged");
    assert_eq!(texts(&mut two, 10).await, expected);
    assert_eq!(texts(&mut one, 4).await, expected[6..]);
}

#[tokio::test]
async fn seeking_back_replays_and_a_late_acknowledgement_of_the_stream_before_does_not_undo_it() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    deliver(&gateway, 0..4).await;
    let mut before = open(&gateway).await;
    let events = before.events(4).await;
    acknowledge(&gateway, &events[2].cursor, before.started.generation).await.expect("acknowledged");

    let moved = seek(&gateway, Place::AfterCursor(events[0].cursor.clone())).await.expect("moved");
    assert_eq!((&moved.cursor, moved.generation, moved.lag_events), (&events[0].cursor, 2, 3));
    let late = acknowledge(&gateway, &events[3].cursor, before.started.generation).await;
    let late = late.expect_err("the subscription was moved since");
    let expected = (Code::FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE".to_owned());
    assert_eq!((late.code(), reason(&late)), expected);
    assert_eq!((metadata(&late, "generation"), metadata(&late, "subscription")), ("2".into(), ID.into()));
    assert_eq!(get(&gateway).await.cursor, events[0].cursor);

    let (closing, told) = end(&mut before).await;
    assert_eq!(closing.reason(), ClosingReason::SubscriptionChanged);
    assert_eq!(closing.retry_after, None, "there is no need to wait");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "SUBSCRIPTION_CHANGED"));
    let mut again = open(&gateway).await;
    assert_eq!(
        (again.started.generation, texts(&mut again, 3).await),
        (2, vec!["1".into(), "2".into(), "3".into()])
    );
    acknowledge(&gateway, &events[3].cursor, again.started.generation).await.expect("acknowledged");

    // Forward, and to named places and times.
    for (place, lag) in [
        (Place::Position(StartPosition::Earliest.into()), 4),
        (Place::Since(Default::default()), 4),
        (Place::Position(StartPosition::Latest.into()), 0),
    ] {
        assert_eq!(seek(&gateway, place.clone()).await.expect("moved").lag_events, lag, "{place:?}");
    }
    assert_eq!(get(&gateway).await.generation, 5);
}

#[tokio::test]
async fn another_filter_ends_streams_and_the_next_one_filters_anew_from_the_same_place() {
    let gateway = Start::quiet().start().await;
    let request = v1::CreateSubscriptionRequest {
        filter: Some(types(&["message.received", "message.received"])),
        ..from_the_start()
    };
    let made = create(&gateway, request).await.expect("made");
    assert_eq!(made.filter, Some(types(&["message.received"])));
    let mut before = open(&gateway).await;
    deliver(&gateway, 0..1).await;
    gateway.deliver("no JSON").await;
    assert_eq!(texts(&mut before, 1).await, ["0"]);

    let changed = update(&gateway, types(&["unknown"])).await;
    assert_eq!((changed.generation, changed.cursor), (2, made.cursor));
    assert_eq!(changed.filter, Some(types(&["unknown"])));
    // Whoever holds them against each other, to see whether there is anything to change, sees that they are the same.
    let words = types(&["report.completed", "message.*", "message.status"]);
    assert_eq!(update(&gateway, words.clone()).await.filter, Some(words));
    update(&gateway, types(&["unknown"])).await;
    // Once that is answered, nothing more comes under the old filter.
    deliver(&gateway, 1..3).await;
    let (closing, told) = end(&mut before).await;
    assert_eq!(closing.reason(), ClosingReason::SubscriptionChanged);
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "SUBSCRIPTION_CHANGED"));
    let mut after = open(&gateway).await;
    assert_eq!((after.started.generation, after.event().await.r#type.as_str()), (4, "unknown"));

    assert_eq!(update(&gateway, EventFilter::default()).await.filter, None, "an empty one means all");
    assert_eq!(open(&gateway).await.events(4).await.len(), 4);
}

#[tokio::test]
async fn deleting_ends_streams_and_what_is_deleted_is_not_found() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    let mut stream = open(&gateway).await;
    delete(&gateway).await.expect("deleted");
    let (closing, told) = end(&mut stream).await;
    assert_eq!((closing.reason(), closing.retry_after), (ClosingReason::SubscriptionDeleted, None));
    let not_found = |told: &Status| {
        assert_eq!((told.code(), reason(told).as_str()), (Code::NotFound, "SUBSCRIPTION_NOT_FOUND"));
        assert_eq!(metadata(told, "subscription"), ID);
    };
    not_found(&told);
    not_found(&delete(&gateway).await.expect_err("also the second time"));
    not_found(&gateway.subscribe(subscribed()).await.map(|_| ()).expect_err("gone"));
    not_found(&acknowledge(&gateway, &stream.started.cursor, 0).await.expect_err("gone"));
    not_found(&seek(&gateway, Place::Position(StartPosition::Latest.into())).await.expect_err("gone"));
    let request = v1::GetSubscriptionRequest { subscription: ID.to_owned() };
    not_found(&within(gateway.events().get_subscription(request)).await.expect_err("gone"));
    let request =
        v1::UpdateSubscriptionRequest { subscription: ID.to_owned(), filter: Some(EventFilter::default()) };
    not_found(&within(gateway.events().update_subscription(request)).await.expect_err("gone"));
    deliver(&gateway, 0..1).await;
    let anew = create(&gateway, from_the_start()).await.expect("made anew");
    assert_eq!(anew.generation, 2, "what was on its way to the old one is not acknowledged to it");
    let late = acknowledge(&gateway, &stream.started.newest_cursor, stream.started.generation).await;
    assert_eq!(reason(&late.expect_err("the old one's")), "SUBSCRIPTION_GENERATION_STALE");
    assert_eq!(get(&gateway).await.cursor, anew.cursor);
}

#[tokio::test]
async fn heartbeats_can_be_acknowledged_and_the_lag_goes_to_zero_where_nothing_matches() {
    let gateway = Start::quiet().start().await;
    let request = v1::CreateSubscriptionRequest { filter: Some(types(&["unknown"])), ..from_the_start() };
    create(&gateway, request).await.expect("made");
    deliver(&gateway, 0..3).await;
    assert_eq!(get(&gateway).await.lag_events, 3);
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = SubscribeRequest { heartbeat_interval, ..subscribed() };
    let mut stream = gateway.subscribe(request).await.expect("subscribed");
    let heartbeat = match stream.next().await.expect("open") {
        Some(Response::Heartbeat(heartbeat)) => heartbeat,
        other => panic!("no heartbeat but {other:?}"),
    };
    assert_eq!(acknowledge(&gateway, &heartbeat.cursor, 1).await.expect("acknowledged"), heartbeat.cursor);
    let stands = get(&gateway).await;
    assert_eq!((stands.lag_events, stands.lag_time), (0, Some(Default::default())));
}

#[tokio::test]
async fn a_subscription_outlives_a_restart_as_it_stood() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    deliver(&gateway, 0..3).await;
    update(&gateway, EventFilter { accounts: vec![CONNECTLY.to_owned()], ..types(&["message.received"]) })
        .await;
    let mut stream = open(&gateway).await;
    let event = stream.event().await;
    acknowledge(&gateway, &event.cursor, 2).await.expect("acknowledged");
    let lag_time = None;
    let stood = Subscription { lag_time, ..get(&gateway).await };
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    assert_eq!(stream.events(2).await.len(), 2, "what was on its way");
    let (closing, told) = end(&mut stream).await;
    assert_eq!(closing.reason(), ClosingReason::Shutdown);
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "SERVER_STOPPING"));

    assert_eq!(Subscription { lag_time, ..get(&gateway).await }, stood);
    assert_eq!(stood.lag_events, 2);
    let mut stream = open(&gateway).await;
    assert_eq!((stream.started.generation, texts(&mut stream, 2).await), (2, vec!["1".into(), "2".into()]));
}

#[tokio::test]
async fn one_that_has_expired_fails_or_tells_of_a_gap_until_a_place_that_is_left_is_acknowledged() {
    let gateway = Start::quiet().start().await;
    create(&gateway, from_the_start()).await.expect("made");
    deliver(&gateway, 0..5).await;
    let events = open(&gateway).await.events(5).await;
    let folder = gateway.stop().await;
    within_the_store(folder.path(), async |store| {
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
        assert!(matches!(&*done, [Done::Trimmed(trimmed)] if trimmed.events == 3));
    })
    .await;
    let gateway = Start::quiet().on(folder).start().await;
    let stands = get(&gateway).await;
    assert_eq!((stands.expired, stands.lag_events), (true, 5), "what is gone counts too");
    let told = gateway.subscribe(subscribed()).await.map(|_| ()).expect_err("events are gone");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    assert_eq!(metadata(&told, "oldest_cursor"), events[2].cursor);

    let skipping = SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..subscribed() };
    let mut stream = gateway.subscribe(skipping).await.expect("subscribed");
    let gap = match stream.next().await.expect("open") {
        Some(Response::Gap(gap)) => gap,
        other => panic!("no gap but {other:?}"),
    };
    assert_eq!((&gap.after_cursor, gap.missed), (&stands.cursor, Some(3)));
    assert_eq!(gap.resume_cursor, events[2].cursor);
    assert_eq!(stream.events(2).await, events[3..]);

    acknowledge(&gateway, &gap.resume_cursor, 1).await.expect("acknowledged");
    let healed = get(&gateway).await;
    assert_eq!((healed.expired, healed.lag_events), (false, 2));
    assert_eq!(open(&gateway).await.events(2).await, events[3..]);
    // Seeking a place that is gone fails, and changes nothing.
    for place in [Place::AfterCursor(events[0].cursor.clone()), Place::Since(Default::default())] {
        let told = seek(&gateway, place).await.expect_err("gone");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    }
    assert_eq!(get(&gateway).await.generation, 1);
}

#[tokio::test]
async fn an_account_that_is_gone_from_the_configuration_matches_nothing() {
    let gateway = Start::quiet().start().await;
    let folder = gateway.stop().await;
    within_the_store(folder.path(), async |store| {
        let accounts = ["gone", CONNECTBY].map(|id| id.parse::<AccountId>().expect("an id")).to_vec();
        let filter = Filter { accounts, types: vec![] };
        let change = Change::Create { filter, position: store::SeekPosition::Oldest };
        let op = Op::Subscription(ID.parse().expect("an id"), Box::new(change));
        store.commit(vec![op]).await.expect("written");
    })
    .await;
    let gateway = Start::quiet().on(folder).start().await;
    let filter = get(&gateway).await.filter.expect("there");
    assert_eq!(filter.accounts, ["gone", CONNECTBY]);
    deliver(&gateway, 0..2).await;
    let idle_timeout = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let request = SubscribeRequest { idle_timeout, ..subscribed() };
    let mut stream = gateway.subscribe(request).await.expect("subscribed");
    match stream.next().await.expect("open") {
        Some(Response::Closing(closing)) => assert_eq!(closing.cursor, stream.started.newest_cursor),
        other => panic!("no closing but {other:?}"),
    }
}
