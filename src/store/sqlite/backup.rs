//! Backups of a store, and stores restored from them. The store may be in use.
//!
//! **Invariants.** A backup is a snapshot of the store at one moment. It cannot be opened as a store, because the
//! journal may have advanced since, and then the same cursors would name different events. Only a restore makes a
//! store of it, with a new epoch. A backup or a restored store appears under its name complete and durable, or not at
//! all. An existing file is never overwritten. If a process is killed and leaves a partial file, the next backup or
//! restore in that folder deletes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};
use tempfile::NamedTempFile;

use super::super::{Error, LogRange, ReplicaId, Restored};
use super::schema::{self, JournalRow};
use super::{lock, requests};
use crate::domain::UnixMillis;

/// Writes a snapshot of the store to a file, even while a server is using the store. Changes that the server makes
/// meanwhile stay in its write-ahead log.
///
/// # Errors
///
/// If the file is not a store, or the backup already exists or cannot be written.
pub fn back_up(path: &Path, to: &Path) -> Result<LogRange, Error> {
    let opened = failed_to_open(path);
    // Do not create a store that does not exist.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(&opened)?;
    // The log belongs to the server, or to the next one, so this connection must not checkpoint it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&opened)?;
    db.busy_timeout(super::super::LOCK_TIMEOUT).map_err(&opened)?;
    schema::check_is_store(&db).map_err(|error| error.at(path))?;
    let database = TempDatabase::create(to)?;
    db.execute("VACUUM INTO ?1", [database.path().to_string_lossy()]).map_err(|error| {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => opened(error),
            _ => failed_to_write(to)(error),
        }
    })?;
    drop(db);
    let (journal, ()) = database.update(path, |db, _| {
        let updated = db.execute("UPDATE journal SET backup_ms = ?1", params![UnixMillis::now().0]);
        updated.map(drop).map_err(failed_to_write(to))
    })?;
    database.persist()?;
    Ok(log_range(journal))
}

/// Creates a store from a backup, with a new epoch. Existing cursors stay valid up to the end of the backup. Later
/// ones are recognised as lost. Attempts that were in flight become unknown.
///
/// For the duration `replay_guard`, an unknown request may have been executed after the backup. Without a guard,
/// writes may be executed twice, including those that an earlier restore's guard still covers.
///
/// # Errors
///
/// If the file is not a backup or is damaged, if the store already exists or a server has it open, or if the store
/// cannot be written.
pub fn restore(backup: &Path, to: &Path, replay_guard: Option<Duration>) -> Result<Restored, Error> {
    let _lock = lock(to)?;
    // SQLite would treat these files as part of the new database.
    for path in [to.to_owned(), with_suffix(to, "-wal"), with_suffix(to, "-journal")] {
        if path.exists() {
            return Err(Error::Exists { path });
        }
    }
    let unusable = |path: &Path, source| Error::Folder { path: path.to_owned(), source: Arc::new(source) };
    let mut from = File::open(backup).map_err(|source| unusable(backup, source))?;
    let mut database = TempDatabase::create(to)?;
    std::io::copy(&mut from, database.file.as_file_mut()).map_err(|source| unusable(to, source))?;
    let (journal, (backup_time, replay_guard_until)) = database.update(backup, |db, journal| {
        let Some(backup_time) = journal.backup else {
            return Err(Error::NotABackup { path: backup.to_owned() });
        };
        // If the clock reads earlier than the backup's time, the clock is wrong.
        let now = UnixMillis::now().max(backup_time).max(journal.last_receive);
        let replay_guard = replay_guard.map(|replay_guard| now.plus(replay_guard));
        let replay_guard_until =
            replay_guard.map(|until| journal.replay_guard_until.map_or(until, |earlier| until.max(earlier)));
        convert_to_store(db, now, replay_guard_until).map_err(failed_to_write(to))?;
        Ok((backup_time, replay_guard_until))
    })?;
    database.persist()?;
    Ok(Restored { log_range: log_range(journal), backup_time, replay_guard_until })
}

/// Converts a backup to a store: its journal diverges from here on.
fn convert_to_store(
    db: &Connection,
    now: UnixMillis,
    replay_guard_until: Option<UnixMillis>,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO epochs (epoch, last_sequence) SELECT epoch, next_sequence - 1 FROM journal WHERE id = 1",
        [],
    )?;
    // The number of generations that were assigned after the backup is unknown, but less than one per millisecond, so
    // the current time in milliseconds exceeds them. Events received up to now may be lost.
    db.execute(
        "UPDATE journal
         SET epoch = ?1, backup_ms = NULL, replay_guard_until_ms = ?2, generations = max(generations, ?3),
             trimmed_ms = max(coalesce(trimmed_ms, ?3), ?3)",
        params![schema::new_epoch(), replay_guard_until.map(|until| until.0), now.0],
    )?;
    requests::mark_interrupted_unknown(db, ReplicaId::generate(), now)
}

fn log_range(journal: JournalRow) -> LogRange {
    LogRange { oldest: journal.oldest, newest: journal.next_sequence - 1 }
}

/// The prefix and suffix of a temporary file's name. Random characters are between them.
const TEMP_NAME: (&str, &str) = (".switchboard-unfinished-", ".tmp");

/// A database that is being written under a temporary name.
struct TempDatabase {
    file: NamedTempFile,
    /// The final path.
    to: PathBuf,
    /// The folder, with a shared lock, so other processes do not delete the file as a leftover.
    folder: File,
}

impl TempDatabase {
    /// Creates the file in the folder of its final path, so a rename can give it its final name.
    fn create(to: &Path) -> Result<Self, Error> {
        if to.exists() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let make = || {
            let folder = File::open(folder_of(to))?;
            // If the file system cannot lock folders, leftovers stay.
            if folder.try_lock().is_ok() {
                remove_leftovers(folder_of(to));
            }
            // Waits for a process that is deleting leftovers. After that, this file is safe from deletion.
            let _ = folder.lock_shared();
            let (prefix, suffix) = TEMP_NAME;
            let file = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(folder_of(to))?;
            Ok(Self { file, to: to.to_owned(), folder })
        };
        make().map_err(|source| Error::Folder { path: to.to_owned(), source: Arc::new(source) })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// Changes the database, if it is an intact backup or becomes one. `of` is the file that it was copied from.
    /// Returns the journal's state after the change.
    fn update<T>(
        &self,
        of: &Path,
        change: impl FnOnce(&Connection, JournalRow) -> Result<T, Error>,
    ) -> Result<(JournalRow, T), Error> {
        let opened = failed_to_open(of);
        // Do not recreate a file that was deleted.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(self.path(), flags).map_err(&opened)?;
        schema::check_is_store(&db).map_err(|error| error.at(of))?;
        let found: String =
            db.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(&opened)?;
        if found != "ok" {
            return Err(Error::Damaged { path: of.to_owned() });
        }
        let failed = failed_to_write(&self.to);
        // A single file, without a log beside it.
        db.pragma_update(None, "journal_mode", "DELETE").map_err(&failed)?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let changed = change(&transaction, schema::read(&transaction).map_err(Error::of_read)?)?;
        let journal = schema::read(&transaction).map_err(Error::of_read)?;
        transaction.commit().map_err(&failed)?;
        Ok((journal, changed))
    }

    /// Syncs the file and gives it its final name.
    fn persist(self) -> Result<(), Error> {
        let Self { file, to, folder } = self;
        let failed = |source| Error::Folder { path: to.clone(), source: Arc::new(source) };
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(&to).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists { path: to.clone() },
            _ => failed(error.error),
        })?;
        folder.sync_all().map_err(failed)
    }
}

/// Deletes temporary files that killed processes left. The caller has the folder locked.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (name, is_file) = (entry.file_name(), entry.file_type().is_ok_and(|of| of.is_file()));
        let name = name.to_string_lossy();
        // SQLite may have left a rollback journal beside one.
        let is_temporary = name.strip_prefix(TEMP_NAME.0).is_some_and(|name| name.contains(TEMP_NAME.1));
        if is_file && is_temporary {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn failed_to_write(to: &Path) -> impl Fn(rusqlite::Error) -> Error {
    move |source| Error::NotWritten { path: to.to_owned(), source: Arc::new(source) }
}

fn failed_to_open(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    move |source| Error::Open { path: path.to_owned(), source: Arc::new(source) }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
