//! Reopening after a disk failure: which problems verification finds.

use super::*;

/// A closed store with three events, and its newest published cursor.
async fn failed() -> (TempDir, Cursor) {
    let opened = open();
    for id in ["1", "2", "3"] {
        opened.commit_one(append("acme", Some(Identity::message(id)), id)).await;
    }
    let (store, folder) = (opened.store, opened.folder);
    close(&store).await;
    (folder, store.newest())
}

async fn close(store: &Store) {
    store.close().await;
    let mut health = store.health();
    while health.changed().await.is_ok() {}
}

fn reopen(folder: &TempDir, newest: Cursor) -> Result<Store, Error> {
    let path = folder.path().join("switchboard.db");
    let options = Options {
        path,
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    };
    Store::reopen(options, newest)
}

fn fault(folder: &TempDir, newest: Cursor) -> String {
    match reopen(folder, newest) {
        Err(Error::VerificationFailed(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

fn change(folder: &TempDir, sql: &str) {
    Connection::open(folder.path().join("switchboard.db"))
        .and_then(|db| db.execute_batch(sql))
        .expect("made");
}

#[tokio::test]
async fn intact_store_reopens_with_every_published_event() {
    let (folder, newest) = failed().await;
    let store = reopen(&folder, newest).expect("opens");
    assert_eq!(store.newest(), newest);
    assert_eq!(sequences(&store.read(0, false).await.expect("readable")), [1, 2, 3]);
}

#[tokio::test]
async fn event_written_but_not_published_may_be_stored() {
    let (folder, newest) = failed().await;
    let store = reopen(&folder, Cursor { sequence: 2, ..newest }).expect("opens");
    assert_eq!(store.newest(), newest);
}

#[tokio::test]
async fn trimmed_store_passes_verification() {
    let (folder, newest) = failed().await;
    // First some, then all.
    for most in [2, 1] {
        let store = reopen(&folder, newest).expect("opens");
        let before = UnixMillis::now().plus(std::time::Duration::from_secs(1));
        let done = store
            .commit(vec![Op::Trim(crate::store::Trim::older_than(before, most))])
            .await
            .expect("written");
        assert!(matches!(&*done, [OpResult::Trimmed(trimmed)] if trimmed.events == u64::from(most)));
        close(&store).await;
    }
    let store = reopen(&folder, newest).expect("opens");
    assert_eq!(store.log_range(), LogRange { oldest: 4, newest: 3 });
}

#[tokio::test]
async fn store_without_a_published_event_is_refused() {
    let (folder, newest) = failed().await;
    assert_eq!(fault(&folder, Cursor { sequence: 4, ..newest }), "event 4 was published and is missing");
    assert_eq!(
        fault(&folder, Cursor { epoch: newest.epoch ^ 1, ..newest }),
        "the file contains another journal"
    );
}

#[tokio::test]
async fn inconsistent_rows_fail_verification() {
    for (sql, expected) in [
        ("DELETE FROM events WHERE sequence = 2", "sequence numbers are not contiguous"),
        (
            "DELETE FROM events WHERE sequence = 3",
            "the newest event does not precede the next sequence number",
        ),
        ("DELETE FROM events WHERE sequence = 1", "events are missing that were never trimmed"),
        ("DELETE FROM events", "events are missing that were never trimmed"),
        ("UPDATE events SET receive_ms = 0 WHERE sequence = 2", "receive times go backwards"),
        (
            "UPDATE journal SET last_receive_ms = 0",
            "the newest event was received after the journal's last receive time",
        ),
        ("DELETE FROM journal", "the journal's row is missing"),
    ] {
        let (folder, newest) = failed().await;
        change(&folder, sql);
        assert_eq!(fault(&folder, newest), expected, "{sql}");
    }
}

/// An outdated page of an index, which a check of the tables alone would not find.
#[tokio::test]
async fn index_without_a_row_fails_verification() {
    let (folder, newest) = failed().await;
    change(
        &folder,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = replace(sql, 'identity IS NOT NULL', 'sequence > 1')
         WHERE name = 'events_identity';",
    );
    change(&folder, "REINDEX events_identity");
    change(
        &folder,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = replace(sql, 'sequence > 1', 'identity IS NOT NULL')
         WHERE name = 'events_identity';",
    );
    let fault = fault(&folder, newest);
    assert!(fault.contains("missing from index events_identity"), "{fault}");
}

#[tokio::test]
async fn deleted_file_is_not_recreated() {
    let (folder, newest) = failed().await;
    let path = folder.path().join("switchboard.db");
    std::fs::remove_file(&path).expect("there");
    let opened = reopen(&folder, newest);
    assert!(matches!(opened, Err(Error::Open { .. })), "{opened:?}");
    assert!(!path.exists());
}

#[tokio::test]
async fn verification_waits_until_other_connection_closes() {
    let (folder, newest) = failed().await;
    let forgotten = Connection::open(folder.path().join("switchboard.db")).expect("opens");
    let events: i64 =
        forgotten.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("readable");
    assert_eq!(events, 3);
    std::thread::scope(|threads| {
        let opening = threads.spawn(|| reopen(&folder, newest));
        // The other thread has reached verification once it holds the lock.
        let lock = std::fs::File::open(folder.path().join("switchboard.db.lock")).expect("there");
        while lock.try_lock().is_ok() {
            lock.unlock().expect("held");
            std::thread::yield_now();
        }
        assert!(!opening.is_finished());
        drop(forgotten);
        opening.join().expect("no panic").expect("opens");
    });
}
