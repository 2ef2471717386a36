mod list;
mod subscriptions;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::domain::event::Payload;
use crate::domain::{Event, EventId, Provider, UnixMillis};
use crate::store::{ReplicaId, Trim};

pub(crate) struct Opened {
    pub(crate) journal: Journal,
    _folder: TempDir,
}

pub(crate) fn open() -> Opened {
    let folder = TempDir::new().expect("a folder");
    let tail = Arc::new(Tail::new());
    let subscription_changes = SubscriptionChanges::new();
    let (fed_tail, notified) = (Arc::clone(&tail), subscription_changes.clone());
    let store = Store::open(store::Options {
        path: folder.path().join("switchboard.db"),
        encode: |_, stamp| stamp.cursor.sequence.to_string().into(),
        committed: Box::new(move |changes| {
            fed_tail.push(changes.events);
            notified.notify(changes.subscriptions);
        }),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    Opened { journal: Journal::new(store, tail, subscription_changes), _folder: folder }
}

pub(crate) fn event(bytes: usize) -> Append {
    Append {
        event: Event {
            id: EventId::generate(),
            account: "acme".parse().expect("an id"),
            provider: Provider::CONNECTLY,
            occur_time: None,
            callback_data: None,
            payload: Payload::Unknown { topic: String::new(), problem: String::new() },
        },
        identity: None,
        proof: None,
        raw: Bytes::from(vec![b'x'; bytes]),
    }
}

pub(crate) async fn append(journal: &Journal, count: usize, bytes: usize) {
    for _ in 0..count {
        journal.append(vec![event(bytes)]).await.expect("written");
    }
}

pub(crate) async fn trim(journal: &Journal, max: u32) {
    let before = UnixMillis(UnixMillis::now().0 + 1_000);
    journal.store.commit(vec![Op::Trim(Trim::older_than(before, max))]).await.expect("written");
}

/// Returns the sequence numbers of the next batch.
async fn next_batch(reader: &mut Reader) -> Vec<u64> {
    loop {
        match reader.next().await.expect("readable") {
            Next::Events(batch) => return batch.events().iter().map(|event| event.sequence).collect(),
            Next::MovedOn(cursor) => assert_eq!(cursor, reader.cursor()),
            Next::Gap(gap) => panic!("expected events, got {gap:?}"),
        }
    }
}

async fn next_gap(reader: &mut Reader) -> Gap {
    match reader.next().await.expect("readable") {
        Next::Gap(gap) => gap,
        next @ (Next::Events(_) | Next::MovedOn(_)) => panic!("expected a gap, got {next:?}"),
    }
}

fn after(journal: &Journal, sequence: u64) -> Start {
    Start::After(journal.cursor(sequence))
}

#[tokio::test]
async fn cursor_before_trimmed_events_expires_with_oldest() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    for trimmed in [0, 1, 2] {
        let result = journal.read(after(journal, trimmed), OnExpired::Fail, false).await.map(|_| ());
        let Err(Error::CursorExpired { oldest }) = result else { panic!("{result:?}") };
        assert_eq!(oldest, journal.cursor(3));
    }
    let mut reader =
        journal.read(after(journal, 3), OnExpired::Fail, false).await.expect("4 and 5 are stored");
    assert_eq!(next_batch(&mut reader).await[0], 4);
}

#[tokio::test]
async fn cursor_ahead_of_the_journal_is_lost() {
    let opened = open();
    append(&opened.journal, 2, 10).await;
    for ahead in [3, u64::MAX] {
        let result =
            opened.journal.read(after(&opened.journal, ahead), OnExpired::Skip, false).await.map(|_| ());
        let Err(Error::CursorLost { newest }) = result else { panic!("{result:?}") };
        assert_eq!(newest, opened.journal.cursor(2));
    }
}

#[tokio::test]
async fn read_of_trimmed_events_fails_with_cursor_expired() {
    let opened = open();
    let journal = &opened.journal;
    // More than the tail in memory holds, so the reader must read from the store.
    append(journal, 20, 1_000_000).await;
    let mut reader =
        journal.read(after(journal, 0), OnExpired::Fail, false).await.expect("all events are stored");
    trim(journal, 2).await;
    let result = reader.next().await.map(|_| ());
    assert!(matches!(result, Err(Error::CursorExpired { .. })), "{result:?}");
}

#[tokio::test]
async fn earliest_resolves_to_the_oldest_event_at_read_time() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader =
        journal.read(Start::Earliest, OnExpired::Fail, false).await.expect("all events are stored");
    trim(journal, 2).await;
    assert_eq!(next_batch(&mut reader).await[0], 3);
}

/// A client may use an event's cursor as soon as it has received the event.
#[tokio::test(flavor = "multi_thread")]
async fn cursor_is_valid_as_soon_as_it_is_returned() {
    let opened = open();
    let readers = (0..8).map(|_| {
        let journal = opened.journal.clone();
        async move {
            let mut reader = journal.read(Start::Earliest, OnExpired::Fail, false).await.expect("readable");
            let mut seen = 0;
            while seen < 500 {
                seen = *next_batch(&mut reader).await.last().expect("never empty");
                let start = Start::After(reader.cursor());
                journal.read(start, OnExpired::Fail, false).await.expect("a cursor that was just returned");
            }
        }
    });
    let readers = futures_util::future::join_all(readers);
    tokio::join!(readers, append(&opened.journal, 500, 10));
}

#[tokio::test]
async fn lagging_and_current_readers_see_the_same_events() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 40, 900_000).await;
    let mut reader = journal.read(Start::Earliest, OnExpired::Fail, true).await.expect("readable");
    let mut seen = Vec::new();
    while seen.len() < 45 {
        if seen.len() == 40 {
            append(journal, 5, 10).await;
        }
        let Next::Events(batch) = reader.next().await.expect("readable") else {
            panic!("nothing was trimmed")
        };
        assert!(batch.events().iter().all(|event| event.raw.is_some()));
        seen.extend(batch.events().iter().map(|event| event.sequence));
    }
    assert_eq!(seen, (1..=45).collect::<Vec<_>>());
}

#[tokio::test]
async fn skip_on_start_reports_a_gap_and_resumes_after_it() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    trim(journal, 3).await;
    let mut reader = journal.read(after(journal, 1), OnExpired::Skip, true).await.expect("skips");
    assert_eq!(reader.cursor(), journal.cursor(1));
    let missing = Gap { after: Some(journal.cursor(1)), resume: journal.cursor(3) };
    assert_eq!((next_gap(&mut reader).await, missing.missed()), (missing, Some(2)));
    assert_eq!(reader.cursor(), journal.cursor(3));
    assert_eq!(next_batch(&mut reader).await[0], 4);
}

#[tokio::test]
async fn skip_mid_stream_reports_a_gap_even_if_all_is_trimmed() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader =
        journal.read(Start::Earliest, OnExpired::Skip, true).await.expect("all events are stored");
    let position = *next_batch(&mut reader).await.last().expect("never empty");
    trim(journal, 4).await;
    let expected = Gap { after: Some(journal.cursor(position)), resume: journal.cursor(4) };
    assert_eq!(next_gap(&mut reader).await, expected);
    assert_eq!(next_batch(&mut reader).await[0], 5);

    // The tail does not reach back to this position, and the store has no events.
    let mut reader = journal.read(after(journal, 3), OnExpired::Skip, true).await.expect("skips");
    trim(journal, 100).await;
    let expected = Gap { after: Some(journal.cursor(3)), resume: journal.cursor(20) };
    assert_eq!(next_gap(&mut reader).await, expected);
    append(journal, 1, 10).await;
    assert_eq!(next_batch(&mut reader).await, [21]);
}

#[tokio::test]
async fn earliest_waits_for_new_events_after_full_trim() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader =
        journal.read(Start::Earliest, OnExpired::Fail, true).await.expect("all events are stored");
    trim(journal, 100).await;
    append(journal, 1, 10).await;
    assert_eq!(*next_batch(&mut reader).await.last().expect("never empty"), 21);
}

#[tokio::test]
async fn read_since_a_time_reports_only_gaps_after_that_time() {
    let opened = open();
    let journal = &opened.journal;
    let long_ago = Start::Since(UnixMillis(0));
    let soon = || Start::Since(UnixMillis::now().plus(std::time::Duration::from_secs(3_600)));
    for on_expired in [OnExpired::Fail, OnExpired::Skip] {
        let reader = journal.read(long_ago, on_expired, false).await.expect("nothing was ever received");
        assert_eq!(reader.cursor(), journal.cursor(0));
    }
    append(journal, 5, 10).await;
    let mut reader = journal.read(long_ago, OnExpired::Fail, false).await.expect("all events are stored");
    assert_eq!(next_batch(&mut reader).await[0], 1);
    trim(journal, 2).await;
    let result = journal.read(long_ago, OnExpired::Fail, false).await.map(|_| ());
    let Err(Error::CursorExpired { oldest }) = result else { panic!("{result:?}") };
    assert_eq!(oldest, journal.cursor(2));
    let mut reader = journal.read(long_ago, OnExpired::Skip, false).await.expect("skips");
    let expected = Gap { after: None, resume: journal.cursor(2) };
    assert_eq!((next_gap(&mut reader).await, expected.missed()), (expected, None));
    assert_eq!(next_batch(&mut reader).await[0], 3);
    let reader = journal.read(soon(), OnExpired::Fail, false).await.expect("nothing after it was trimmed");
    assert_eq!(reader.cursor(), journal.cursor(5));
}
