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
    let (fed, told) = (Arc::clone(&tail), subscription_changes.clone());
    let store = Store::open(store::Options {
        path: folder.path().join("switchboard.db"),
        encode: |_, stamp| stamp.cursor.sequence.to_string().into(),
        committed: Box::new(move |changes| {
            fed.push(changes.events);
            told.tell(changes.subscriptions);
        }),
        owner: ReplicaId::generate(),
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
            provider: Provider::Connectly,
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

pub(crate) async fn trim(journal: &Journal, most: u32) {
    let before = UnixMillis(UnixMillis::now().0 + 1_000);
    journal.store.commit(vec![Op::Trim(Trim::older_than(before, most))]).await.expect("written");
}

/// The numbers of the next run.
async fn run(reader: &mut Reader) -> Vec<u64> {
    loop {
        match reader.next().await.expect("readable") {
            Next::Events(run) => return run.events().iter().map(|event| event.sequence).collect(),
            Next::MovedOn(place) => assert_eq!(place, reader.cursor()),
            Next::Gap(gap) => panic!("no events but {gap:?}"),
        }
    }
}

async fn gap(reader: &mut Reader) -> Gap {
    match reader.next().await.expect("readable") {
        Next::Gap(gap) => gap,
        next @ (Next::Events(_) | Next::MovedOn(_)) => panic!("no gap but {next:?}"),
    }
}

fn after(journal: &Journal, sequence: u64) -> Start {
    Start::After(journal.cursor(sequence))
}

#[tokio::test]
async fn a_cursor_whose_followers_are_gone_has_expired_and_the_oldest_is_told() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    for gone in [0, 1, 2] {
        let told = journal.read(after(journal, gone), OnExpired::Fail, false).await.map(|_| ());
        let Err(Error::CursorExpired { oldest }) = told else { panic!("{told:?}") };
        assert_eq!(oldest, journal.cursor(3));
    }
    let mut reader =
        journal.read(after(journal, 3), OnExpired::Fail, false).await.expect("4 and 5 are there");
    assert_eq!(run(&mut reader).await[0], 4);
}

#[tokio::test]
async fn a_cursor_that_the_journal_has_not_come_to_is_lost() {
    let opened = open();
    append(&opened.journal, 2, 10).await;
    for ahead in [3, u64::MAX] {
        let told =
            opened.journal.read(after(&opened.journal, ahead), OnExpired::Skip, false).await.map(|_| ());
        let Err(Error::CursorLost { newest }) = told else { panic!("{told:?}") };
        assert_eq!(newest, opened.journal.cursor(2));
    }
}

#[tokio::test]
async fn a_reader_whose_events_are_trimmed_before_it_comes_is_told() {
    let opened = open();
    let journal = &opened.journal;
    // More than the tail in memory holds, so that the reader must go to the store.
    append(journal, 20, 1_000_000).await;
    let mut reader = journal.read(after(journal, 0), OnExpired::Fail, false).await.expect("all is there");
    trim(journal, 2).await;
    let told = reader.next().await.map(|_| ());
    assert!(matches!(told, Err(Error::CursorExpired { .. })), "{told:?}");
}

#[tokio::test]
async fn the_earliest_is_what_is_the_oldest_when_it_is_read() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader = journal.read(Start::Earliest, OnExpired::Fail, false).await.expect("all is there");
    trim(journal, 2).await;
    assert_eq!(run(&mut reader).await[0], 3);
}

/// Whoever is given an event may come back with its cursor at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_from_the_moment_at_which_it_is_given() {
    let opened = open();
    let readers = (0..8).map(|_| {
        let journal = opened.journal.clone();
        async move {
            let mut reader = journal.read(Start::Earliest, OnExpired::Fail, false).await.expect("readable");
            let mut seen = 0;
            while seen < 500 {
                seen = *run(&mut reader).await.last().expect("never empty");
                let start = Start::After(reader.cursor());
                journal.read(start, OnExpired::Fail, false).await.expect("a cursor that was just given");
            }
        }
    });
    let readers = futures_util::future::join_all(readers);
    tokio::join!(readers, append(&opened.journal, 500, 10));
}

#[tokio::test]
async fn readers_far_behind_and_up_to_date_see_the_same() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 40, 900_000).await;
    let mut reader = journal.read(Start::Earliest, OnExpired::Fail, true).await.expect("readable");
    let mut seen = Vec::new();
    while seen.len() < 45 {
        if seen.len() == 40 {
            append(journal, 5, 10).await;
        }
        let Next::Events(run) = reader.next().await.expect("readable") else { panic!("nothing is gone") };
        assert!(run.events().iter().all(|event| event.raw.is_some()));
        seen.extend(run.events().iter().map(|event| event.sequence));
    }
    assert_eq!(seen, (1..=45).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_skips_is_told_at_the_start_how_many_are_gone_and_goes_on_behind_them() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    trim(journal, 3).await;
    let mut reader = journal.read(after(journal, 1), OnExpired::Skip, true).await.expect("skips");
    assert_eq!(reader.cursor(), journal.cursor(1));
    let missing = Gap { after: Some(journal.cursor(1)), resume: journal.cursor(3) };
    assert_eq!((gap(&mut reader).await, missing.missed()), (missing, Some(2)));
    assert_eq!(reader.cursor(), journal.cursor(3));
    assert_eq!(run(&mut reader).await[0], 4);
}

#[tokio::test]
async fn who_skips_is_told_in_the_middle_too_and_when_nothing_at_all_is_left() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader = journal.read(Start::Earliest, OnExpired::Skip, true).await.expect("all is there");
    let position = *run(&mut reader).await.last().expect("never empty");
    trim(journal, 4).await;
    let expected = Gap { after: Some(journal.cursor(position)), resume: journal.cursor(4) };
    assert_eq!(gap(&mut reader).await, expected);
    assert_eq!(run(&mut reader).await[0], 5);

    // The tail does not reach back to this place, and the store will have nothing.
    let mut reader = journal.read(after(journal, 3), OnExpired::Skip, true).await.expect("skips");
    trim(journal, 100).await;
    let expected = Gap { after: Some(journal.cursor(3)), resume: journal.cursor(20) };
    assert_eq!(gap(&mut reader).await, expected);
    append(journal, 1, 10).await;
    assert_eq!(run(&mut reader).await, [21]);
}

#[tokio::test]
async fn the_earliest_is_what_comes_next_when_nothing_is_left() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader = journal.read(Start::Earliest, OnExpired::Fail, true).await.expect("all is there");
    trim(journal, 100).await;
    append(journal, 1, 10).await;
    assert_eq!(*run(&mut reader).await.last().expect("never empty"), 21);
}

#[tokio::test]
async fn a_reader_since_a_moment_is_told_only_of_what_was_received_since() {
    let opened = open();
    let journal = &opened.journal;
    let long_ago = Start::Since(UnixMillis(0));
    let soon = || Start::Since(UnixMillis::now().plus(std::time::Duration::from_secs(3_600)));
    for gone in [OnExpired::Fail, OnExpired::Skip] {
        let reader = journal.read(long_ago, gone, false).await.expect("nothing was ever received");
        assert_eq!(reader.cursor(), journal.cursor(0));
    }
    append(journal, 5, 10).await;
    let mut reader = journal.read(long_ago, OnExpired::Fail, false).await.expect("all is there");
    assert_eq!(run(&mut reader).await[0], 1);
    trim(journal, 2).await;
    let told = journal.read(long_ago, OnExpired::Fail, false).await.map(|_| ());
    let Err(Error::CursorExpired { oldest }) = told else { panic!("{told:?}") };
    assert_eq!(oldest, journal.cursor(2));
    let mut reader = journal.read(long_ago, OnExpired::Skip, false).await.expect("skips");
    let expected = Gap { after: None, resume: journal.cursor(2) };
    assert_eq!((gap(&mut reader).await, expected.missed()), (expected, None));
    assert_eq!(run(&mut reader).await[0], 3);
    let reader = journal.read(soon(), OnExpired::Fail, false).await.expect("nothing of it is gone");
    assert_eq!(reader.cursor(), journal.cursor(5));
}
