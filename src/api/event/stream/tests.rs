//! Streams whose unsent events are trimmed, and whose subscription changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use prost::Message as _;
use tempfile::TempDir;
use tonic::Code;

use super::*;
use crate::api::response::convert::encode_event;
use crate::domain::event::Payload;
use crate::domain::{Event, EventId, Labels, Provider, SubscriptionId};
use crate::journal::{FollowedSubscription, OnExpired, Start, SubscriptionChanges, Tail};
use crate::store::{self, Append, Op, ReplicaId, Store, Trim};

/// Events of a million bytes each: more than the tail in memory holds, so a reader from the start must use the store.
const COUNT: u64 = 20;

struct Fixture {
    journal: Journal,
    store: Store,
    /// Whether the tail gets no events.
    hold_back: Arc<AtomicBool>,
    _folder: TempDir,
}

async fn open() -> Fixture {
    let folder = TempDir::new().expect("a directory");
    let tail = Arc::new(Tail::new());
    let subscription_changes = SubscriptionChanges::new();
    let (tail_writer, changes_writer) = (Arc::clone(&tail), subscription_changes.clone());
    let hold_back = Arc::new(AtomicBool::new(false));
    let holds_back = Arc::clone(&hold_back);
    let store = Store::open(store::Options {
        path: folder.path().join("switchboard.db"),
        encode: encode_event,
        committed: Box::new(move |changes| {
            if !holds_back.load(Ordering::SeqCst) {
                tail_writer.push(changes.events);
            }
            changes_writer.notify(changes.subscriptions);
        }),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    let journal = Journal::new(store.clone(), tail, subscription_changes);
    for _ in 0..COUNT {
        append(&journal).await;
    }
    Fixture { journal, store, hold_back, _folder: folder }
}

async fn append(journal: &Journal) {
    journal.append(vec![event(1_000_000)]).await.expect("written");
}

fn event(bytes: usize) -> Append {
    let event = Event {
        id: EventId::generate(),
        account: "acme".parse().expect("an id"),
        provider: Provider::CONNECTLY,
        occur_time: None,
        callback_data: None,
        payload: Payload::Unknown { topic: String::new(), problem: String::new() },
    };
    Append { event, identity: None, proof: None, raw: Bytes::from(vec![b'x'; bytes]) }
}

impl Fixture {
    async fn trim(&self, max: u32) {
        let before = UnixMillis::now().plus(Duration::from_secs(1));
        self.store.commit(vec![Op::Trim(Trim::older_than(before, max))]).await.expect("written");
    }

    async fn stream(&self, start: Start, on_expired: OnExpired) -> EventStream {
        let options = options();
        let reader = self.journal.read(start, on_expired, true).await.expect("the stream starts");
        EventStream::new(&self.journal, reader, options, None, CancellationToken::new())
    }

    /// Creates a subscription at the newest position, opens a stream of it, and reads `started`.
    async fn subscribed(&self) -> (SubscriptionId, EventStream) {
        let id: SubscriptionId = "billing".parse().expect("an id");
        let created = self
            .journal
            .create_subscription(id.clone(), Filter::default(), Labels::default(), Start::Latest)
            .await;
        created.expect("created");
        let mut stream = self.follow(&id).await;
        let Ok(Response::Started(started)) = next(&mut stream).await else { panic!("the stream starts") };
        assert_eq!(started.generation, 1);
        (id, stream)
    }

    async fn follow(&self, id: &SubscriptionId) -> EventStream {
        let following = self.journal.follow(id, OnExpired::Fail, true).await.expect("the stream starts");
        let FollowedSubscription { subscription, reader, watch } = following;
        let watched = Some(WatchedSubscription::new(subscription.generation, watch));
        EventStream::new(&self.journal, reader, options(), watched, CancellationToken::new())
    }

    fn cursor(&self, sequence: u64) -> String {
        self.journal.cursor(sequence).to_string()
    }
}

fn options() -> SubscribeOptions {
    SubscribeOptions {
        filter: Filter::default(),
        // Only a test that pauses the clock gets a heartbeat.
        heartbeat_interval: Duration::from_secs(300),
        idle_timeout: None,
        max_events: None,
        include_raw: true,
    }
}

/// Expects the end of a stream after its subscription was changed or deleted.
async fn expect_end(stream: &mut EventStream, reason: ClosingReason, code: Code) {
    let item = next(stream).await;
    let Ok(Response::Closing(closing)) = item else { panic!("{item:?}") };
    assert_eq!((closing.reason(), closing.retry_delay), (reason, None));
    assert_eq!(next(stream).await.expect_err("the stream ends").code(), code);
    assert!(stream.next().await.is_none(), "the stream has ended");
}

async fn next(stream: &mut EventStream) -> Result<Response, Status> {
    let response = stream.next().await.expect("open")?;
    let response = SubscribeResponse::decode(response.encode_to_vec().as_slice()).expect("well-formed");
    Ok(response.response.expect("never empty"))
}

/// Reads consecutive events. Returns the last one's cursor, and the first item that is no event.
async fn events(stream: &mut EventStream) -> (Option<String>, Result<Response, Status>) {
    let mut last = None;
    loop {
        match next(stream).await {
            Ok(Response::Event(event)) => last = Some(event.cursor),
            other => return (last, other),
        }
    }
}

#[tokio::test]
async fn slow_stream_that_skips_gets_gap_and_continues_after_it() {
    let opened = open().await;
    let mut stream = opened.stream(Start::Earliest, OnExpired::Skip).await;
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
    opened.trim(10).await;
    let (last, item) = events(&mut stream).await;
    let Ok(Response::Gap(gap)) = item else { panic!("{item:?}") };
    // The buffered events were still sent. The gap covers only the events after them.
    let last = last.expect("the buffered batch");
    let missed = gap.missed.expect("known");
    assert_eq!(gap.after_cursor, last);
    assert_eq!(gap.after_cursor, opened.cursor(10 - missed));
    assert_eq!((gap.resume_cursor.clone(), gap.reason()), (opened.cursor(10), GapReason::Expired));
    let item = next(&mut stream).await;
    let Ok(Response::Event(event)) = item else { panic!("{item:?}") };
    assert_eq!(event.cursor, opened.cursor(11));
    tokio::time::pause();
    let (_, item) = events(&mut stream).await;
    let Ok(Response::Heartbeat(heartbeat)) = item else { panic!("{item:?}") };
    assert_eq!(heartbeat.cursor, opened.cursor(COUNT));
}

#[tokio::test]
async fn heartbeat_after_gap_to_journal_end_has_its_position() {
    let opened = open().await;
    let start = Start::After(opened.journal.cursor(1));
    let mut stream = opened.stream(start, OnExpired::Skip).await;
    opened.trim(100).await;
    let Ok(Response::Started(started)) = next(&mut stream).await else { panic!("the stream starts") };
    assert_eq!(started.cursor, opened.cursor(1));
    let Ok(Response::Gap(gap)) = next(&mut stream).await else { panic!("all events are trimmed") };
    assert_eq!((gap.resume_cursor, gap.missed), (opened.cursor(COUNT), Some(COUNT - 1)));
    tokio::time::pause();
    let Ok(Response::Heartbeat(heartbeat)) = next(&mut stream).await else { panic!("no event is left") };
    assert_eq!(heartbeat.cursor, opened.cursor(COUNT));
    tokio::time::resume();
    append(&opened.journal).await;
    let item = next(&mut stream).await;
    let Ok(Response::Event(event)) = item else { panic!("{item:?}") };
    assert_eq!(event.cursor, opened.cursor(COUNT + 1));
}

#[tokio::test]
async fn slow_stream_that_does_not_skip_fails_with_cursor_expired() {
    let opened = open().await;
    let mut stream = opened.stream(Start::Earliest, OnExpired::Fail).await;
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
    opened.trim(10).await;
    let (_, item) = events(&mut stream).await;
    let item = item.expect_err("events are trimmed");
    assert_eq!(item.code(), Code::OutOfRange);
    use tonic_types::StatusExt as _;
    let details = item.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.reason, "CURSOR_EXPIRED");
    assert_eq!(info.metadata["oldest_cursor"], opened.cursor(10));
    assert!(stream.next().await.is_none(), "the stream has ended");
}

#[tokio::test]
async fn stream_since_trimmed_time_starts_with_gap_of_unknown_size() {
    let opened = open().await;
    opened.trim(10).await;
    let start = Start::Since(UnixMillis(0));
    let mut stream = opened.stream(start, OnExpired::Skip).await;
    let Ok(Response::Started(started)) = next(&mut stream).await else { panic!("the stream starts") };
    assert_eq!(started.cursor, opened.cursor(10));
    let Ok(Response::Gap(gap)) = next(&mut stream).await else { panic!("events are trimmed") };
    assert_eq!((gap.after_cursor.as_str(), gap.missed), ("", None));
    assert_eq!(gap.resume_cursor, opened.cursor(10));
    let Ok(Response::Event(event)) = next(&mut stream).await else { panic!("the other events are stored") };
    assert_eq!(event.cursor, opened.cursor(11));
}

#[tokio::test]
async fn changed_subscription_drops_buffered_events() {
    let opened = open().await;
    let (id, mut stream) = opened.subscribed().await;
    let mut other = opened.follow(&id).await;
    // One commit is one batch.
    opened.journal.append((0..5).map(|_| event(10)).collect()).await.expect("written");
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
    assert!(stream.batch.is_some(), "four more events are buffered");
    let filter = Filter { accounts: vec!["globex".parse().expect("an id")], ..Filter::default() };
    opened.journal.update_subscription(id.clone(), Some(filter), None).await.expect("changed");
    expect_end(&mut stream, ClosingReason::SubscriptionChanged, Code::Unavailable).await;
    assert!(matches!(next(&mut other).await, Ok(Response::Started(_))), "`started` is always first");
    expect_end(&mut other, ClosingReason::SubscriptionChanged, Code::Unavailable).await;

    let following = opened.journal.follow(&id, OnExpired::Fail, true).await.expect("the stream starts");
    assert_eq!((following.subscription.generation, following.watch.invalidation()), (2, None));
}

#[tokio::test]
async fn seek_or_delete_wakes_a_stream_that_waits_for_events() {
    let opened = open().await;
    let (id, mut stream) = opened.subscribed().await;
    let waiting = expect_end(&mut stream, ClosingReason::SubscriptionChanged, Code::Unavailable);
    let (_, sought) = tokio::join!(waiting, opened.journal.seek_subscription(id.clone(), Start::Latest));
    sought.expect("sought");
    let mut stream = opened.follow(&id).await;
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    let waiting = expect_end(&mut stream, ClosingReason::SubscriptionDeleted, Code::NotFound);
    let (_, deleted) = tokio::join!(waiting, opened.journal.delete_subscription(id));
    deleted.expect("deleted");
}

#[tokio::test]
async fn acknowledge_does_not_affect_open_streams() {
    let opened = open().await;
    let (id, mut stream) = opened.subscribed().await;
    opened.journal.append((0..2).map(|_| event(10)).collect()).await.expect("written");
    let Ok(Response::Event(first)) = next(&mut stream).await else { panic!("an event") };
    let cursor = first.cursor.parse().expect("a cursor");
    opened.journal.acknowledge(id, cursor, Some(1)).await.expect("acknowledged");
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
}

#[tokio::test]
async fn trimmed_events_that_do_not_match_advance_the_position() {
    let opened = open().await;
    let id: SubscriptionId = "billing".parse().expect("an id");
    let filter = Filter { accounts: vec!["globex".parse().expect("an id")], ..Filter::default() };
    opened
        .journal
        .create_subscription(id.clone(), filter, Labels::default(), Start::Earliest)
        .await
        .expect("created");
    let streams = [opened.follow(&id).await, opened.stream(Start::Earliest, OnExpired::Fail).await];
    opened.trim(100).await;
    for mut stream in streams {
        assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
        tokio::time::pause();
        let item = next(&mut stream).await;
        let Ok(Response::Heartbeat(heartbeat)) = item else { panic!("{item:?}") };
        assert_eq!(heartbeat.cursor, opened.cursor(COUNT), "the cursor is valid");
        tokio::time::resume();
    }
}

/// The journal counts an event before its readers get it. Under a constant load, such events must not keep a stream
/// that has reached the end from being idle.
#[tokio::test]
async fn stream_at_the_end_is_idle_although_new_events_are_pending() {
    let opened = open().await;
    let reader = opened.journal.read(Start::Latest, OnExpired::Fail, false).await.expect("the stream starts");
    let options = SubscribeOptions { idle_timeout: Some(Duration::from_secs(5)), ..options() };
    let mut stream = EventStream::new(&opened.journal, reader, options, None, CancellationToken::new());
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    opened.hold_back.store(true, Ordering::SeqCst);
    append(&opened.journal).await;
    tokio::time::pause();
    let item = next(&mut stream).await;
    let Ok(Response::Closing(closing)) = item else { panic!("{item:?}") };
    assert_eq!(closing.reason(), ClosingReason::IdleTimeout);
}
