//! Opening a file, and which files are refused.

use super::*;

#[tokio::test]
async fn second_process_cannot_open_the_store() {
    let opened = open();
    let second = Store::open(Options {
        path: opened.folder.path().join("switchboard.db"),
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
}

#[tokio::test]
async fn store_of_a_newer_format_is_refused_and_unchanged() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    drop(open_in_place(&path));
    Connection::open(&path).and_then(|db| db.pragma_update(None, "user_version", 99)).expect("made");
    let opened = Store::open(Options {
        path: path.clone(),
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
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
        replica_id: ReplicaId::generate(),
        max_pages: None,
    };
    Store::open(options).expect("opens")
}

#[tokio::test]
async fn another_programs_database_is_refused_and_unchanged() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE theirs (x)")).expect("made");
    let opened = Store::open(Options {
        path: path.clone(),
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(opened, Err(Error::Foreign { .. })), "{opened:?}");
    let tables: i64 = Connection::open(&path)
        .and_then(|db| db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)))
        .expect("readable");
    assert_eq!(tables, 1);
}

#[test]
fn writer_syncs_every_commit() {
    let folder = TempDir::new().expect("a folder");
    let mut db = Connection::open(folder.path().join("switchboard.db")).expect("opens");
    assert!(schema::prepare(&mut db, ReplicaId::generate(), None).is_ok());
    let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("there");
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("there");
    assert_eq!((synchronous, mode.as_str()), (2, "wal"), "2 is FULL");
}

#[tokio::test]
async fn file_that_is_not_a_store_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    std::fs::write(&path, "this is not a database, but a text of some length".repeat(100)).expect("written");
    let opened = Store::open(Options {
        path,
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(opened, Err(Error::Open { .. })), "{opened:?}");
}

/// A store of an earlier version, as far as opening reads it.
pub(super) const OLDER_FORMAT: &str = "
    CREATE TABLE journal (id INTEGER PRIMARY KEY, next_number INTEGER NOT NULL) STRICT;
    INSERT INTO journal VALUES (1, 6);
    PRAGMA application_id = 0x5357424a;
    PRAGMA user_version = 4;
";

#[tokio::test]
async fn store_of_an_older_format_is_refused_and_unchanged() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("switchboard.db");
    Connection::open(&path).and_then(|db| db.execute_batch(OLDER_FORMAT)).expect("made");
    let before = std::fs::read(&path).expect("readable");
    let opened = Store::open(Options {
        path: path.clone(),
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    });
    let Err(error @ Error::TooOld { found: 4, required: 5, .. }) = opened else { panic!("{opened:?}") };
    assert!(error.to_string().contains("has format 4"), "{error}");
    assert_eq!(std::fs::read(&path).expect("readable"), before);
}

#[tokio::test]
async fn opening_marks_attempts_of_other_replicas_unknown() {
    let opened = open();
    let (_, first) = opened.attempt("first", None).await;
    let again = opened.unknown_attempt("again").await;
    opened.attempt("again", Some(1)).await;
    let (_, done) = opened.attempt("done", None).await;
    opened.finish_request("done", 1, accepted(&["P"])).await;
    let write = opened.commit_one(opened.begin_op("write", None, None)).await;
    assert_eq!(write, OpResult::Begun(Box::new(BeginResult::Attempt { number: 1, message_id: None })));

    let opened = opened.reopen();
    let failed = unknown_outcome(UnknownReason::ServerFailed);
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
    assert_eq!(opened.request_state("done").await, Some(("accepted", 1)));
    assert_eq!(opened.state(done).await, Some(MessageState::Accepted));
    assert_eq!(opened.attempt("again", Some(2)).await, (3, again), "it can be resent");
}

#[tokio::test]
async fn own_attempt_in_flight_stays_in_flight_on_open() {
    let opened = open();
    opened.attempt("r", None).await;
    let Opened { store, replica_id, folder, .. } = opened;
    drop(store);
    let store = Store::open(Options {
        path: folder.path().join("switchboard.db"),
        encode,
        committed: Box::new(|_| {}),
        replica_id,
        max_pages: None,
    })
    .expect("opens");
    let record = store.request(&account("acme"), &request("r")).await.expect("readable").expect("kept");
    assert!(matches!(record.state, RequestState::InFlight { .. }), "{record:?}");
}

fn break_off(_: &Event, _: &Stamp) -> Bytes {
    panic!("panic requested by the test")
}

#[tokio::test]
async fn store_is_dead_after_its_writer_panics() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::open(Options {
        path: folder.path().join("switchboard.db"),
        encode: break_off,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    })
    .expect("opens");
    let result = store.commit(vec![append("acme", None, "x")]).await;
    assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    let mut health = store.health();
    let died = health.wait_for(|health| *health == crate::store::Health::Dead);
    let died = tokio::time::timeout(std::time::Duration::from_secs(10), died).await;
    assert!(died.is_ok_and(|died| died.is_ok()), "the health becomes `Dead`");
}

#[tokio::test]
async fn only_the_owner_can_read_the_files_of_a_new_store() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().expect("a folder");
    let store = open_in_place(&folder.path().join("switchboard.db"));
    store.commit(Vec::new()).await.expect("written");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("readable") {
        let entry = entry.expect("readable");
        let mode = entry.metadata().expect("readable").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().expect("UTF-8"));
    }
    names.sort();
    assert_eq!(names, ["switchboard.db", "switchboard.db-shm", "switchboard.db-wal", "switchboard.db.lock"]);
}

#[tokio::test]
async fn unusable_lock_file_is_named_in_the_error() {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("switchboard.db.lock")).expect("created");
    let opened = Store::open(Options {
        path: folder.path().join("switchboard.db"),
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    });
    let error = opened.expect_err("a folder cannot be locked").to_string();
    assert!(error.ends_with("switchboard.db.lock"), "{error}");
}
