use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::domain::event::Payload;
use crate::domain::{Event, EventId, Provider, UnixMillis};
use crate::store::Owner;

struct Opened {
    journal: Journal,
    _folder: TempDir,
}

fn open() -> Opened {
    let folder = TempDir::new().expect("a folder");
    let tail = Arc::new(Tail::new());
    let fed = Arc::clone(&tail);
    let store = Store::open(store::Options {
        path: folder.path().join("switchboard.db"),
        encode: |_, stamp| stamp.cursor.number.to_string().into(),
        committed: Box::new(move |changes| fed.push(changes.events)),
        owner: Owner::generate(),
        max_pages: None,
    })
    .expect("opens");
    Opened { journal: Journal::new(store, tail), _folder: folder }
}

fn event(bytes: usize) -> Append {
    Append {
        event: Event {
            id: EventId::generate(),
            account: "acme".parse().expect("an id"),
            provider: Provider::Connectly,
            occur_time: None,
            callback_data: None,
            payload: Payload::Unknown { topic: String::new(), problem: String::new(), written: None },
        },
        identity: None,
        proof: None,
        raw: Bytes::from(vec![b'x'; bytes]),
    }
}

async fn append(journal: &Journal, count: usize, bytes: usize) {
    for _ in 0..count {
        journal.append(vec![event(bytes)]).await.expect("written");
    }
}

async fn trim(journal: &Journal, most: u32) {
    let before = UnixMillis(UnixMillis::now().0 + 1_000);
    journal.store.commit(vec![Op::Trim { before, most }]).await.expect("written");
}

fn after(journal: &Journal, number: u64) -> Start {
    Start::After(journal.cursor(number))
}

#[tokio::test]
async fn a_cursor_whose_followers_are_gone_has_expired_and_the_oldest_is_told() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    for gone in [0, 1, 2] {
        let told = journal.read(after(journal, gone), false).map(|_| ());
        let Err(Error::CursorExpired { oldest }) = told else { panic!("{told:?}") };
        assert_eq!(oldest, journal.cursor(3));
    }
    let mut reader = journal.read(after(journal, 3), false).expect("4 and 5 are there");
    assert_eq!(reader.next().await.expect("readable").events()[0].number, 4);
}

#[tokio::test]
async fn a_cursor_that_the_journal_has_not_come_to_is_lost() {
    let opened = open();
    append(&opened.journal, 2, 10).await;
    for ahead in [3, u64::MAX] {
        let told = opened.journal.read(after(&opened.journal, ahead), false).map(|_| ());
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
    let mut reader = journal.read(after(journal, 0), false).expect("all is there");
    trim(journal, 2).await;
    let told = reader.next().await.map(|_| ());
    assert!(matches!(told, Err(Error::CursorExpired { .. })), "{told:?}");
}

#[tokio::test]
async fn the_earliest_is_what_is_the_oldest_when_it_is_read() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 20, 1_000_000).await;
    let mut reader = journal.read(Start::Earliest, false).expect("all is there");
    trim(journal, 2).await;
    assert_eq!(reader.next().await.expect("readable").events()[0].number, 3);
}

/// Whoever is given an event may come back with its cursor at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_from_the_moment_at_which_it_is_given() {
    let opened = open();
    let readers = (0..8).map(|_| {
        let journal = opened.journal.clone();
        async move {
            let mut reader = journal.read(Start::Earliest, false).expect("readable");
            let mut seen = 0;
            while seen < 500 {
                seen = reader.next().await.expect("readable").events().last().expect("never empty").number;
                journal.read(Start::After(reader.cursor()), false).expect("a cursor that was just given");
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
    let mut reader = journal.read(Start::Earliest, true).expect("readable");
    let mut seen = Vec::new();
    while seen.len() < 45 {
        if seen.len() == 40 {
            append(journal, 5, 10).await;
        }
        let run = reader.next().await.expect("readable");
        assert!(run.events().iter().all(|event| event.raw.is_some()));
        seen.extend(run.events().iter().map(|event| event.number));
    }
    assert_eq!(seen, (1..=45).collect::<Vec<_>>());
}
