//! Opening the file again after its disk has failed.
//!
//! When a sync fails, the system may mark the pages that it could not write as clean: they are read as they were
//! written, are not on disk, and a later sync that succeeds says nothing about them. So nothing that is read is believed,
//! and nothing is told, before it was brought to the disk once more:
//!
//! 1. Whatever the system would still write is written, and both files are dropped from its cache as far as it lets us,
//!    so that what is read next is what is on disk. What the log lost by this was never told to anybody: a commit is told
//!    only when its sync has succeeded.
//! 2. The whole log is moved into the file and that is synced. The engine remembers in its index which part of the log
//!    it has moved before, and counts a part as moved that no sync has covered yet. Whoever has the file for himself has
//!    an index of his own, made anew from the log, and moves everything; as long as anything else has the file open, a
//!    backup that is being made, that is waited for.
//! 3. The file is dropped from the cache again, and all of it is read: by the engine's own check, indexes against tables,
//!    and against what we know of our own rows, and of what was told.
//!
//! **What is known then**: the file is whole, all events that were told since the process began are in it, and what the
//! log held was written and synced without an error. **What is not**: whether the log still held all that is no event,
//! attempts that began and acknowledgements, if a disk that fails spoils what it had kept before; whether a disk that
//! reported a success has kept its word, which nobody can ask; whether what was read came from the disk itself, where
//! the system did not let go of its cache; and what stood in a webhook's body, which has no checksum. A commit that was
//! refused may be there: whoever was told so sends it again, and what has an identity is recognised.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::super::{Error, LOCK_TIMEOUT};
use super::schema;
use crate::domain::Cursor;

/// Brings everything to the disk once more and holds it against what it should be.
pub(super) fn verify(path: &Path, newest: Cursor) -> Result<(), Error> {
    let opened = |source| Error::Open { path: path.to_owned(), source: Arc::new(source) };
    // That this sync fails may be the same failure, told once more; all that it was to write is written again below.
    if let Err(error) = sync_and_drop_cache(path) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the store's files could not be synced");
    }
    let mut logged = false;
    while let Err(error) = move_log(path) {
        if !schema::in_use(&error) {
            return Err(opened(error));
        }
        // A backup comes to its end, and callers wait; whoever cannot wait stops the server.
        if !std::mem::replace(&mut logged, true) {
            tracing::warn!("something else has the store open: it is verified when that has closed it");
        }
    }
    sync_and_drop_cache(path)
        .map_err(|source| Error::Folder { path: path.to_owned(), source: Arc::new(source) })?;
    // A file that is gone must not be made.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(opened)?;
    schema::disable_checkpoint_on_close(&db).map_err(opened)?;
    match find_problem(&db, newest).map_err(opened)? {
        None => Ok(()),
        Some(problem) => Err(Error::VerificationFailed(problem)),
    }
}

/// Writes what the system holds, and has it expire what it can: also what it could not write.
///
/// Nothing may have the files open: closing a file lets go of all locks that this process has on it.
fn sync_and_drop_cache(path: &Path) -> std::io::Result<()> {
    let mut synced = Ok(());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    for path in [path.to_owned(), PathBuf::from(log)] {
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            // The log need not be there. A file that is not is found out when it is opened.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        synced = synced.and(file.sync_all());
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed) {
            tracing::debug!(%error, "the system does not drop a file from its cache");
        }
    }
    synced
}

/// Writes the whole log into the file, and syncs that.
fn move_log(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    schema::disable_checkpoint_on_close(&db)?;
    // Before anything is read: then there is no index that others have seen.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.busy_timeout(LOCK_TIMEOUT)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    schema::move_log(&db)
}

/// What is wrong, if anything is.
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
        return Ok(Some("the journal's row is gone".to_owned()));
    };
    if epoch.cast_unsigned() != newest.epoch {
        return Ok(Some("it is another journal".to_owned()));
    }
    if next_sequence.cast_unsigned() <= newest.sequence {
        return Ok(Some(format!("event {} is gone, which was told", newest.sequence)));
    }
    for (problem, query) in CHECKS {
        if snapshot.query_row(query, [], |row| row.get(0))? {
            return Ok(Some((*problem).to_owned()));
        }
    }
    Ok(None)
}

/// What must not be: each with the question whether it is.
const CHECKS: &[(&str, &str)] = &[
    ("numbers have holes", "SELECT count(*) <> coalesce(max(sequence) - min(sequence) + 1, 0) FROM events"),
    (
        "the newest event is not the one before the next",
        "SELECT next_sequence <> coalesce((SELECT max(sequence) + 1 FROM events), next_sequence) FROM journal",
    ),
    (
        "events are gone that were never trimmed",
        "SELECT coalesce((SELECT min(sequence) FROM events), next_sequence) > 1 AND trimmed_ms IS NULL FROM journal",
    ),
    (
        "receive times go backwards",
        "SELECT EXISTS (SELECT 1 FROM (
             SELECT receive_ms, lag(receive_ms, 1, receive_ms) OVER (ORDER BY sequence) AS earlier FROM events)
         WHERE receive_ms < earlier)",
    ),
    (
        "the newest event was received later than any",
        "SELECT coalesce((SELECT receive_ms FROM events ORDER BY sequence DESC LIMIT 1), last_receive_ms)
             > last_receive_ms FROM journal",
    ),
];
