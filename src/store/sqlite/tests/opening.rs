//! How a file is opened, and which are refused.

use super::*;

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let opened = open();
    let second = Store::open(Options {
        path: opened.folder.path().join("switchboard.db"),
        encode,
        committed: Box::new(|_| {}),
        owner: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    drop(open_in_place(&path));
    Connection::open(&path).and_then(|db| db.pragma_update(None, "user_version", 99)).expect("made");
    let opened = Store::open(Options {
        path: path.clone(),
        encode,
        committed: Box::new(|_| {}),
        owner: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(opened, Err(Error::TooNew { found: 99, .. })), "{opened:?}");
    let version: i64 = Connection::open(&path)
        .and_then(|db| db.pragma_query_value(None, "user_version", |row| row.get(0)))
        .expect("readable");
    assert_eq!(version, 99);
}

fn open_in_place(path: &Path) -> Store {
    let options = Options {
        path: path.to_owned(),
        encode,
        committed: Box::new(|_| {}),
        owner: ReplicaId::generate(),
        max_pages: None,
    };
    Store::open(options).expect("opens")
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE theirs (x)")).expect("made");
    let opened = Store::open(Options {
        path: path.clone(),
        encode,
        committed: Box::new(|_| {}),
        owner: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(opened, Err(Error::Foreign { .. })), "{opened:?}");
    let tables: i64 = Connection::open(&path)
        .and_then(|db| db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)))
        .expect("readable");
    assert_eq!(tables, 1);
}

#[test]
fn the_writer_asks_for_a_sync_at_every_commit() {
    let folder = TempDir::new().expect("a folder");
    let mut db = Connection::open(folder.path().join("switchboard.db")).expect("opens");
    assert!(schema::prepare(&mut db, ReplicaId::generate(), None).is_ok());
    let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("there");
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("there");
    assert_eq!((synchronous, mode.as_str()), (2, "wal"), "2 is FULL");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    std::fs::write(&path, "this is no database at all, but a text of some length".repeat(100))
        .expect("written");
    let opened = Store::open(Options {
        path,
        encode,
        committed: Box::new(|_| {}),
        owner: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(opened, Err(Error::Open { .. })), "{opened:?}");
}

/// The first version's tables, as it made them.
pub(super) const FIRST_VERSION: &str = "
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL,
        next_number INTEGER NOT NULL,
        last_receive_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        account TEXT NOT NULL,
        type TEXT NOT NULL,
        receive_ms INTEGER NOT NULL,
        identity TEXT,
        raw_hash BLOB,
        event BLOB NOT NULL,
        raw BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX events_identity ON events (account, identity) WHERE identity IS NOT NULL;
    CREATE INDEX events_raw_hash ON events (account, raw_hash) WHERE raw_hash IS NOT NULL;
    INSERT INTO journal VALUES (1, 77, 6, 1700000000000);
    INSERT INTO events VALUES (5, 'evt_1', 'acme', 'unknown', 1700000000000, NULL, NULL, x'65', x'72');
    PRAGMA application_id = 0x5357424a;
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_the_first_version_keeps_its_journal_and_takes_what_is_new() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    Connection::open(&path).and_then(|db| db.execute_batch(FIRST_VERSION)).expect("made");
    let opened = open_in(folder, None);
    assert_eq!(opened.store.epoch(), 77);
    assert_eq!(opened.store.log_range(), LogRange { oldest: 5, newest: 5 });
    // Of what was trimmed before, all that is known is that it was not younger than what is left.
    for (moment, after, trimmed) in [(1_700_000_000_000, 4, true), (1_700_000_000_001, 5, false)] {
        let since = opened.store.since(UnixMillis(moment)).await.expect("readable");
        assert_eq!(since, TimeLocation { after, trimmed });
    }
    assert_eq!(opened.record("r").await, None);
    let id = opened.in_doubt("r").await;
    assert_eq!(opened.one(append("acme", None, "x")).await, OpResult::Appended(6));

    let opened = opened.reopen();
    assert_eq!(opened.stands("r").await, Some(("unknown", 1)));
    assert_eq!(opened.state(id).await, Some(MessageState::Unknown));
    let version: i64 = Connection::open(&path)
        .and_then(|db| db.pragma_query_value(None, "user_version", |row| row.get(0)))
        .expect("readable");
    assert_eq!(version, 4);
}

/// What the third version had beside the first one's tables, as far as it matters here.
const THIRD_VERSION: &str = "
    ALTER TABLE journal ADD COLUMN trimmed_ms INTEGER;
    INSERT INTO events VALUES (6, 'evt_2', 'acme', 'unknown', 1700000000000, 'I', NULL, x'656565', x'');
    UPDATE journal SET next_number = 7;
    PRAGMA user_version = 3;
";

#[tokio::test]
async fn a_file_of_an_earlier_version_knows_what_its_events_take_and_takes_subscriptions() {
    for (more, bytes) in [("", 2), (THIRD_VERSION, 5)] {
        let folder = TempDir::new().expect("a folder");
        let db = Connection::open(folder.path().join("switchboard.db")).expect("made");
        db.execute_batch(FIRST_VERSION).expect("made");
        if !more.is_empty() {
            for table in [
                crate::store::sqlite::requests::TABLE,
                messages::TABLE,
                provider_messages::TABLE,
                conversations::TABLE,
            ] {
                db.execute_batch(table).expect("made");
            }
            db.execute_batch(more).expect("made");
        }
        drop(db);
        let opened = open_in(folder, None);
        assert_eq!(opened.bytes(), (bytes, bytes));
        assert_eq!(opened.changed("s", create(Filter::default(), SeekPosition::Oldest)).await.sequence, 4);
        opened.one(append("acme", None, "x")).await;
        let Trimmed { events, expired, .. } =
            opened.trim(Trim { most_bytes: Some(0), ..Trim::older_than(UnixMillis(0), 1) }).await;
        assert_eq!((events, expired), (1, vec![subscription("s")]));
        let opened = opened.reopen();
        let (told, found) = opened.bytes();
        assert_eq!(told, found);
        assert_eq!(opened.place("s").await, 4);
    }
}

#[tokio::test]
async fn what_another_owner_had_in_flight_is_unknown_when_the_store_is_opened() {
    let opened = open();
    let (_, first) = opened.attempt("first", None).await;
    let again = opened.in_doubt("again").await;
    opened.attempt("again", Some(1)).await;
    let (_, done) = opened.attempt("done", None).await;
    opened.end("done", 1, accepted(&["P"])).await;
    let write = opened.one(opened.begin_op("write", None, None)).await;
    assert_eq!(write, OpResult::Begun(Box::new(BeginResult::Attempt { number: 1, message_id: None })));

    let opened = opened.reopen();
    let failed = doubt(UnknownReason::ServerFailed);
    for (id, attempt) in [("first", 1), ("again", 2), ("write", 1)] {
        let record = opened.record(id).await.expect("kept");
        assert_eq!((record.attempt, record.state), (attempt, RequestState::Unknown(failed.clone())), "{id}");
    }
    for (id, attempt) in [(first, 1), (again, 2)] {
        let message = opened.message(id).await.expect("kept");
        assert_eq!((message.state, message.attempt), (MessageState::Unknown, attempt));
        assert_eq!(
            message.problem,
            Some(crate::domain::message::MessageProblem::OutcomeUnknown(failed.clone()))
        );
    }
    assert_eq!(opened.stands("done").await, Some(("accepted", 1)));
    assert_eq!(opened.state(done).await, Some(MessageState::Accepted));
    assert_eq!(opened.attempt("again", Some(2)).await, (3, again), "it can be resent");
}

#[tokio::test]
async fn what_is_in_flight_stays_so_for_its_own_owner() {
    let opened = open();
    opened.attempt("r", None).await;
    let Opened { store, owner, folder, .. } = opened;
    drop(store);
    let store = Store::open(Options {
        path: folder.path().join("switchboard.db"),
        encode,
        committed: Box::new(|_| {}),
        owner,
        max_pages: None,
    })
    .expect("opens");
    let record = store.request(&account("acme"), &request("r")).await.expect("readable").expect("kept");
    assert!(matches!(record.state, RequestState::InFlight { .. }), "{record:?}");
}

fn break_off(_: &Event, _: &Stamp) -> Bytes {
    panic!("as the test wants it")
}

#[tokio::test]
async fn a_store_whose_writer_is_gone_says_so() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::open(Options {
        path: folder.path().join("switchboard.db"),
        encode: break_off,
        committed: Box::new(|_| {}),
        owner: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    let told = store.commit(vec![append("acme", None, "x")]).await;
    assert!(matches!(told, Err(Error::Closed)), "{told:?}");
    let mut health = store.health();
    let died = health.wait_for(|health| *health == crate::store::Health::Dead);
    let died = tokio::time::timeout(std::time::Duration::from_secs(10), died).await;
    assert!(died.is_ok_and(|died| died.is_ok()), "it may be readable, and is not writable");
}
