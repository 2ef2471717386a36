//! Backups of a store, live or not, and stores made out of them.
//!
//! **Invariants.** A backup is one moment of the store. It is no store: it cannot be opened as one, for its journal may
//! have gone on since, and the same cursors would name other events. Only restoring makes a store of it, with a new
//! epoch. A backup and a restored store appear under their names whole and durable, or not at all; what is there already
//! is never written over. What somebody left half made who was killed goes with the next that is made in its folder.

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

/// Writes a backup of the store in a file: of this moment, also while a server is serving from it. What that writes
/// meanwhile waits in its log.
///
/// # Errors
///
/// When the file is no store, or the backup exists already or cannot be written.
pub fn back_up(path: &Path, to: &Path) -> Result<LogRange, Error> {
    let opened = failed_to_open(path);
    // A store that is not there is not to be made.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(&opened)?;
    // It belongs to a server, or to the next one: its log is not ours to move.
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

/// Makes a store out of a backup, with a new epoch: cursors that callers have stay good up to the backup's end, and are
/// known as lost beyond it. What was in flight is unknown, and for as long as `replay_guard` requests that are not known may have
/// been made after the backup. Without it, things may be done twice, also what is still in replay_guard
/// since an earlier restore.
///
/// # Errors
///
/// When the backup is none or is damaged, when there is a store already or a server has it open, or when it cannot be
/// written.
pub fn restore(backup: &Path, to: &Path, replay_guard: Option<Duration>) -> Result<Restored, Error> {
    let _lock = lock(to)?;
    // What lies beside it the engine would take for a part of it.
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
        // A clock that says that the backup is still to be made is behind.
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

/// Makes a store of a backup: another journal from here on.
fn convert_to_store(
    db: &Connection,
    now: UnixMillis,
    replay_guard_until: Option<UnixMillis>,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO epochs (epoch, last_sequence) SELECT epoch, next_sequence - 1 FROM journal WHERE id = 1",
        [],
    )?;
    // How many generations were given after the backup nobody knows: fewer than one in each millisecond. And what was
    // received since some moment until now may be gone.
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

/// How the files are called that have no name of their own yet: this, something random, and that.
const TEMP_NAME: (&str, &str) = (".switchboard-unfinished-", ".tmp");

/// A database that is being made, under a name that nobody knows.
struct TempDatabase {
    file: NamedTempFile,
    /// What it will be.
    to: PathBuf,
    /// Keeps others from taking it for what somebody left.
    folder: File,
}

impl TempDatabase {
    /// Beside what it will be, so that it can be given its name at once.
    fn create(to: &Path) -> Result<Self, Error> {
        if to.exists() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let make = || {
            let folder = File::open(folder_of(to))?;
            // Where folders cannot be locked, what somebody left stays.
            if folder.try_lock().is_ok() {
                remove_leftovers(folder_of(to));
            }
            // Whoever sweeps is waited for: what is made from here on, nobody takes away.
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

    /// Changes it, when it is a backup of ours that is sound, or what becomes one. `of` is what it is a copy of. Says
    /// where its journal stands then.
    fn update<T>(
        &self,
        of: &Path,
        change: impl FnOnce(&Connection, JournalRow) -> Result<T, Error>,
    ) -> Result<(JournalRow, T), Error> {
        let opened = failed_to_open(of);
        // One that is not there any more is not to be made.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(self.path(), flags).map_err(&opened)?;
        schema::check_is_store(&db).map_err(|error| error.at(of))?;
        let found: String =
            db.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(&opened)?;
        if found != "ok" {
            return Err(Error::Damaged { path: of.to_owned() });
        }
        let failed = failed_to_write(&self.to);
        // One file, and no log beside it.
        db.pragma_update(None, "journal_mode", "DELETE").map_err(&failed)?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let changed = change(&transaction, schema::read(&transaction).map_err(Error::of_read)?)?;
        let journal = schema::read(&transaction).map_err(Error::of_read)?;
        transaction.commit().map_err(&failed)?;
        Ok((journal, changed))
    }

    /// Makes it durable, under its name.
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

/// Takes away what was left half made, in a folder where nobody makes anything now.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (name, is_file) = (entry.file_name(), entry.file_type().is_ok_and(|of| of.is_file()));
        let name = name.to_string_lossy();
        // The engine may have left one of its own beside it.
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
