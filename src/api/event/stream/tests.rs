//! What a stream tells when the journal loses what the stream has not sent yet, and when its subscription changes.

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
use crate::domain::{Event, EventId, Provider, SubscriptionId};
use crate::journal::{FollowedSubscription, OnExpired, Start, SubscriptionChanges, Tail};
use crate::store::{self, Append, Op, ReplicaId, Store, Trim};

/// More than the tail in memory holds, a million bytes each, so that a reader from the start must go to the store.
const COUNT: u64 = 20;

struct Opened {
    journal: Journal,
    store: Store,
    /// Whether readers are not told of events.
    hold_back: Arc<AtomicBool>,
    _folder: TempDir,
}

async fn open() -> Opened {
    let folder = TempDir::new().expect("a folder");
    let tail = Arc::new(Tail::new());
    let subscription_changes = SubscriptionChanges::new();
    let (fed, told) = (Arc::clone(&tail), subscription_changes.clone());
    let hold_back = Arc::new(AtomicBool::new(false));
    let held_back = Arc::clone(&hold_back);
    let store = Store::open(store::Options {
        path: folder.path().join("switchboard.db"),
        encode: encode_event,
        committed: Box::new(move |changes| {
            if !held_back.load(Ordering::SeqCst) {
                fed.push(changes.events);
            }
            told.tell(changes.subscriptions);
        }),
        owner: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    let journal = Journal::new(store.clone(), tail, subscription_changes);
    for _ in 0..COUNT {
        append(&journal).await;
    }
    Opened { journal, store, hold_back, _folder: folder }
}

async fn append(journal: &Journal) {
    journal.append(vec![event(1_000_000)]).await.expect("written");
}

fn event(bytes: usize) -> Append {
    let event = Event {
        id: EventId::generate(),
        account: "acme".parse().expect("an id"),
        provider: Provider::Connectly,
        occur_time: None,
        callback_data: None,
        payload: Payload::Unknown { topic: String::new(), problem: String::new() },
    };
    Append { event, identity: None, proof: None, raw: Bytes::from(vec![b'x'; bytes]) }
}

impl Opened {
    async fn trim(&self, most: u32) {
        let before = UnixMillis::now().plus(Duration::from_secs(1));
        self.store.commit(vec![Op::Trim(Trim::older_than(before, most))]).await.expect("written");
    }

    async fn stream(&self, start: Start, on_expired: OnExpired) -> EventStream {
        let wanted = wanted();
        let reader = self.journal.read(start, on_expired, true).await.expect("it starts");
        EventStream::new(&self.journal, reader, wanted, None, CancellationToken::new())
    }

    /// Makes a subscription to what happens from now on, and a stream of it, and takes `started`.
    async fn subscribed(&self) -> (SubscriptionId, EventStream) {
        let id: SubscriptionId = "billing".parse().expect("an id");
        let made = self.journal.create_subscription(id.clone(), Filter::default(), Start::Latest).await;
        made.expect("made");
        let mut stream = self.follow(&id).await;
        let Ok(Response::Started(started)) = next(&mut stream).await else { panic!("it starts") };
        assert_eq!(started.generation, 1);
        (id, stream)
    }

    async fn follow(&self, id: &SubscriptionId) -> EventStream {
        let following = self.journal.follow(id, OnExpired::Fail, true).await.expect("it starts");
        let FollowedSubscription { subscription, reader, watching } = following;
        let followed = Some(Followed::new(subscription.generation, watching));
        EventStream::new(&self.journal, reader, wanted(), followed, CancellationToken::new())
    }

    fn cursor(&self, sequence: u64) -> String {
        self.journal.cursor(sequence).to_string()
    }
}

fn wanted() -> Wanted {
    Wanted {
        filter: Filter::default(),
        // Only a test that stops the clock sees any.
        heartbeat_interval: Duration::from_secs(300),
        idle_timeout: None,
        max_events: None,
        include_raw: true,
    }
}

/// Expects the end of a stream because of what was done with its subscription.
async fn ended(stream: &mut EventStream, reason: ClosingReason, code: Code) {
    let told = next(stream).await;
    let Ok(Response::Closing(closing)) = told else { panic!("{told:?}") };
    assert_eq!((closing.reason(), closing.retry_delay), (reason, None));
    assert_eq!(next(stream).await.expect_err("it ends").code(), code);
    assert!(stream.next().await.is_none(), "it has ended");
}

async fn next(stream: &mut EventStream) -> Result<Response, Status> {
    let response = stream.next().await.expect("open")?;
    let response = SubscribeResponse::decode(response.encode_to_vec().as_slice()).expect("well-formed");
    Ok(response.response.expect("never empty"))
}

/// Takes events, as long as they come, and gives the last one's cursor and what comes behind it.
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
async fn a_slow_reader_that_skips_is_told_of_the_gap_and_goes_on_with_cursors_that_are_right() {
    let opened = open().await;
    let mut stream = opened.stream(Start::Earliest, OnExpired::Skip).await;
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
    opened.trim(10).await;
    let (last, told) = events(&mut stream).await;
    let Ok(Response::Gap(gap)) = told else { panic!("{told:?}") };
    // What was at hand still came; what is missing is what lies between.
    let last = last.expect("the run at hand");
    let missed = gap.missed.expect("known");
    assert_eq!(gap.after_cursor, last);
    assert_eq!(gap.after_cursor, opened.cursor(10 - missed));
    assert_eq!((gap.resume_cursor.clone(), gap.reason()), (opened.cursor(10), GapReason::Expired));
    let told = next(&mut stream).await;
    let Ok(Response::Event(event)) = told else { panic!("{told:?}") };
    assert_eq!(event.cursor, opened.cursor(11));
    tokio::time::pause();
    let (_, told) = events(&mut stream).await;
    let Ok(Response::Heartbeat(heartbeat)) = told else { panic!("{told:?}") };
    assert_eq!(heartbeat.cursor, opened.cursor(COUNT));
}

#[tokio::test]
async fn a_heartbeat_behind_a_gap_to_the_journals_end_stands_there() {
    let opened = open().await;
    let start = Start::After(opened.journal.cursor(1));
    let mut stream = opened.stream(start, OnExpired::Skip).await;
    opened.trim(100).await;
    let Ok(Response::Started(started)) = next(&mut stream).await else { panic!("it starts") };
    assert_eq!(started.cursor, opened.cursor(1));
    let Ok(Response::Gap(gap)) = next(&mut stream).await else { panic!("all is gone") };
    assert_eq!((gap.resume_cursor, gap.missed), (opened.cursor(COUNT), Some(COUNT - 1)));
    tokio::time::pause();
    let Ok(Response::Heartbeat(heartbeat)) = next(&mut stream).await else { panic!("nothing is left") };
    assert_eq!(heartbeat.cursor, opened.cursor(COUNT));
    tokio::time::resume();
    append(&opened.journal).await;
    let told = next(&mut stream).await;
    let Ok(Response::Event(event)) = told else { panic!("{told:?}") };
    assert_eq!(event.cursor, opened.cursor(COUNT + 1));
}

#[tokio::test]
async fn a_slow_reader_that_does_not_skip_ends_with_an_error() {
    let opened = open().await;
    let mut stream = opened.stream(Start::Earliest, OnExpired::Fail).await;
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
    opened.trim(10).await;
    let (_, told) = events(&mut stream).await;
    let told = told.expect_err("events are gone");
    assert_eq!(told.code(), Code::OutOfRange);
    use tonic_types::StatusExt as _;
    let details = told.get_error_details();
    let info = details.error_info().expect("every error has one");
    assert_eq!(info.reason, "CURSOR_EXPIRED");
    assert_eq!(info.metadata["oldest_cursor"], opened.cursor(10));
    assert!(stream.next().await.is_none(), "it has ended");
}

#[tokio::test]
async fn a_stream_since_a_time_of_which_events_are_gone_tells_first_and_not_how_many() {
    let opened = open().await;
    opened.trim(10).await;
    let start = Start::Since(UnixMillis(0));
    let mut stream = opened.stream(start, OnExpired::Skip).await;
    let Ok(Response::Started(started)) = next(&mut stream).await else { panic!("it starts") };
    assert_eq!(started.cursor, opened.cursor(10));
    let Ok(Response::Gap(gap)) = next(&mut stream).await else { panic!("events are gone") };
    assert_eq!((gap.after_cursor.as_str(), gap.missed), ("", None));
    assert_eq!(gap.resume_cursor, opened.cursor(10));
    let Ok(Response::Event(event)) = next(&mut stream).await else { panic!("the rest is there") };
    assert_eq!(event.cursor, opened.cursor(11));
}

#[tokio::test]
async fn once_a_change_is_answered_nothing_that_was_at_hand_is_put_on_a_stream() {
    let opened = open().await;
    let (id, mut stream) = opened.subscribed().await;
    let mut other = opened.follow(&id).await;
    // One commit is one run.
    opened.journal.append((0..5).map(|_| event(10)).collect()).await.expect("written");
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
    assert!(stream.run.is_some(), "four more are at hand");
    opened.journal.update_subscription(id.clone(), Filter::default()).await.expect("changed");
    ended(&mut stream, ClosingReason::SubscriptionChanged, Code::Unavailable).await;
    assert!(matches!(next(&mut other).await, Ok(Response::Started(_))), "the first, always");
    ended(&mut other, ClosingReason::SubscriptionChanged, Code::Unavailable).await;

    let following = opened.journal.follow(&id, OnExpired::Fail, true).await.expect("it starts");
    assert_eq!((following.subscription.generation, following.watching.over()), (2, None));
}

#[tokio::test]
async fn a_stream_that_waits_for_events_is_woken_when_its_subscription_is_moved_or_deleted() {
    let opened = open().await;
    let (id, mut stream) = opened.subscribed().await;
    let waiting = ended(&mut stream, ClosingReason::SubscriptionChanged, Code::Unavailable);
    let (_, moved) = tokio::join!(waiting, opened.journal.seek_subscription(id.clone(), Start::Latest));
    moved.expect("moved");
    let mut stream = opened.follow(&id).await;
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    let waiting = ended(&mut stream, ClosingReason::SubscriptionDeleted, Code::NotFound);
    let (_, deleted) = tokio::join!(waiting, opened.journal.delete_subscription(id));
    deleted.expect("deleted");
}

#[tokio::test]
async fn acknowledging_leaves_streams_as_they_are() {
    let opened = open().await;
    let (id, mut stream) = opened.subscribed().await;
    opened.journal.append((0..2).map(|_| event(10)).collect()).await.expect("written");
    let Ok(Response::Event(first)) = next(&mut stream).await else { panic!("an event") };
    let cursor = first.cursor.parse().expect("a cursor");
    opened.journal.acknowledge(id, cursor, Some(1)).await.expect("acknowledged");
    assert!(matches!(next(&mut stream).await, Ok(Response::Event(_))));
}

#[tokio::test]
async fn the_place_of_a_stream_moves_on_over_what_went_and_is_not_missed() {
    let opened = open().await;
    let id: SubscriptionId = "billing".parse().expect("an id");
    let filter = Filter { accounts: vec!["globex".parse().expect("an id")], types: Vec::new() };
    opened.journal.create_subscription(id.clone(), filter, Start::Earliest).await.expect("made");
    let streams = [opened.follow(&id).await, opened.stream(Start::Earliest, OnExpired::Fail).await];
    opened.trim(100).await;
    for mut stream in streams {
        assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
        tokio::time::pause();
        let told = next(&mut stream).await;
        let Ok(Response::Heartbeat(heartbeat)) = told else { panic!("{told:?}") };
        assert_eq!(heartbeat.cursor, opened.cursor(COUNT), "one that is good");
        tokio::time::resume();
    }
}

/// The journal is told to have come to an event before readers are. Where one follows the other all the time, that must
/// not look as if the stream were still on its way.
#[tokio::test]
async fn a_stream_that_has_come_to_the_end_is_idle_also_while_events_come_that_it_does_not_want() {
    let opened = open().await;
    let reader = opened.journal.read(Start::Latest, OnExpired::Fail, false).await.expect("it starts");
    let wanted = Wanted { idle_timeout: Some(Duration::from_secs(5)), ..wanted() };
    let mut stream = EventStream::new(&opened.journal, reader, wanted, None, CancellationToken::new());
    assert!(matches!(next(&mut stream).await, Ok(Response::Started(_))));
    opened.hold_back.store(true, Ordering::SeqCst);
    append(&opened.journal).await;
    tokio::time::pause();
    let told = next(&mut stream).await;
    let Ok(Response::Closing(closing)) = told else { panic!("{told:?}") };
    assert_eq!(closing.reason(), ClosingReason::IdleTimeout);
}
