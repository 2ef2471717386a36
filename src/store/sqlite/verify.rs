//! Reopening the file after a disk failure.
//!
//! After a failed sync, the system may mark pages that it could not write as clean. Reads then return the written
//! content although it is not on disk, and a later successful sync does not cover these pages. So the store trusts
//! and publishes nothing that it has not written to the disk once more:
//!
//! 1. Sync both files and drop them from the system's cache as far as possible. The next reads then return what is
//!    on disk. Whatever the log loses by this was never published, because a commit is published only after its sync
//!    succeeded.
//!
//! 2. Move the whole log into the file, and sync the file. SQLite's shared index records which part of the log was
//!    moved, and includes parts that no sync has covered. An exclusive connection builds its own index from the log
//!    and moves everything. So this step waits until no other connection, such as a running backup, has the file
//!    open.
//!
//! 3. Drop the file from the cache again, and read all of it. SQLite's integrity check compares indexes with
//!    tables. Further checks compare Switchboard's own rows with each other and with what was published.
//!
//! **Guaranteed afterwards**: the file is intact, it contains every event published since the process started, and
//! the content of the log was written and synced without an error.
//!
//! **Not guaranteed**:
//!
//! - The log still held everything other than events, such as begun attempts and acknowledgements. A failing disk may
//!   have destroyed data that it had stored before.
//! - The disk stored what it reported as stored. That cannot be checked.
//! - The reads came from the disk. The system may not have dropped its cache.
//! - The content of webhook bodies is unchanged. Bodies have no checksum.
//!
//! A commit that failed may be in the file. Its caller commits it again, and an event with an identity is recognised
//! as a duplicate.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::super::{Error, LOCK_TIMEOUT};
use super::schema;
use crate::domain::Cursor;

/// Writes everything to the disk once more, and verifies the file.
pub(super) fn verify(path: &Path, newest: Cursor) -> Result<(), Error> {
    let opened = |source| Error::Open { path: path.to_owned(), source: Arc::new(source) };
    // This sync may report the earlier failure again. Everything that it should write is written again below.
    if let Err(error) = sync_and_drop_cache(path) {
        tracing::warn!(error = &error as &dyn std::error::Error, "sync of the store's files failed");
    }
    let mut logged = false;
    while let Err(error) = move_log(path) {
        if !schema::in_use(&error) {
            return Err(opened(error));
        }
        // A backup ends eventually, and callers wait meanwhile. An operator who cannot wait stops the server.
        if !std::mem::replace(&mut logged, true) {
            tracing::warn!("another process has the store open; verification waits until it closes the file");
        }
    }
    sync_and_drop_cache(path)
        .map_err(|source| Error::Folder { path: path.to_owned(), source: Arc::new(source) })?;
    // Do not create a file that was deleted.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(opened)?;
    schema::disable_checkpoint_on_close(&db).map_err(opened)?;
    match find_problem(&db, newest).map_err(opened)? {
        None => Ok(()),
        Some(problem) => Err(Error::VerificationFailed(problem)),
    }
}

/// Syncs the files, and asks the system to drop its cache of them, including pages that it could not write.
///
/// The process must not have the files open, because closing a file releases all of the process's locks on it.
fn sync_and_drop_cache(path: &Path) -> std::io::Result<()> {
    let mut synced = Ok(());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    for path in [path.to_owned(), PathBuf::from(log)] {
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            // The log may be absent. If the database is absent, opening it reports that.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        synced = synced.and(file.sync_all());
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed) {
            tracing::debug!(%error, "the system did not drop a file from its cache");
        }
    }
    synced
}

/// Writes the whole log into the file, and syncs the file.
fn move_log(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    schema::disable_checkpoint_on_close(&db)?;
    // Before the first read, so this connection uses an index of the log that no other connection has used.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.busy_timeout(LOCK_TIMEOUT)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    schema::move_log(&db)
}

/// Returns the first problem found.
fn find_problem(db: &Connection, newest: Cursor) -> rusqlite::Result<Option<String>> {
    let snapshot = db.unchecked_transaction()?;
    let result: String = snapshot.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if result != "ok" {
        return Ok(Some(result));
    }
    let row = snapshot.query_row("SELECT epoch, next_sequence FROM journal WHERE id = 1", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    let Some((epoch, next_sequence)) = row.optional()? else {
        return Ok(Some("the journal's row is missing".to_owned()));
    };
    if epoch.cast_unsigned() != newest.epoch {
        return Ok(Some("the file contains another journal".to_owned()));
    }
    if next_sequence.cast_unsigned() <= newest.sequence {
        return Ok(Some(format!("event {} was published and is missing", newest.sequence)));
    }
    for (problem, query) in CHECKS {
        if snapshot.query_row(query, [], |row| row.get(0))? {
            return Ok(Some((*problem).to_owned()));
        }
    }
    Ok(None)
}

/// Each problem, with a query that returns whether it exists.
const CHECKS: &[(&str, &str)] = &[
    ("sequence numbers are not contiguous", "SELECT count(*) <> coalesce(max(sequence) - min(sequence) + 1, 0) FROM events"),
    (
        "the newest event does not precede the next sequence number",
        "SELECT next_sequence <> coalesce((SELECT max(sequence) + 1 FROM events), next_sequence) FROM journal",
    ),
    (
        "events are missing that were never trimmed",
        "SELECT coalesce((SELECT min(sequence) FROM events), next_sequence) > 1 AND trimmed_ms IS NULL FROM journal",
    ),
    (
        "receive times go backwards",
        "SELECT EXISTS (SELECT 1 FROM (
             SELECT receive_ms, lag(receive_ms, 1, receive_ms) OVER (ORDER BY sequence) AS earlier FROM events)
         WHERE receive_ms < earlier)",
    ),
    (
        "the newest event was received after the journal's last receive time",
        "SELECT coalesce((SELECT receive_ms FROM events ORDER BY sequence DESC LIMIT 1), last_receive_ms)
             > last_receive_ms FROM journal",
    ),
];
