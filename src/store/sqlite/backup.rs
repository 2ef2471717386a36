//! Backups of a store, live or not, and stores made out of them.
//!
//! **Invariants.** A backup is one moment of the store. It is no store: it cannot be opened as one, for its journal may
//! have gone on since, and the same cursors would name other events. Only restoring makes a store of it, with a new
//! epoch. A backup and a restored store appear under their names whole and durable, or not at all; what is there already
//! is never written over.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use tempfile::NamedTempFile;

use super::super::{Error, Extent, Owner};
use super::{lock, requests, schema};
use crate::domain::UnixMillis;

/// Writes a backup of the store in a file: of this moment, also while a server is serving from it. What that writes
/// meanwhile waits in its log.
///
/// # Errors
///
/// When the file is no store, or the backup exists already or cannot be written.
pub fn back_up(path: &Path, to: &Path) -> Result<Extent, Error> {
    let opened = failed_to_open(path);
    // A store that is not there is not to be made.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(&opened)?;
    // It belongs to a server, or to the next one: its log is not ours to move.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&opened)?;
    db.busy_timeout(super::super::LOCK_PATIENCE).map_err(&opened)?;
    schema::check(&db).map_err(|fault| fault.of(path))?;

    let made = Made::beside(to)?;
    db.execute("VACUUM INTO ?1", [made.path().to_string_lossy()]).map_err(Error::of_write)?;
    drop(db);
    let extent = made.change(|db| {
        let made = db.execute("UPDATE journal SET backup_ms = ?1", params![UnixMillis::now().0]);
        made.map(drop).map_err(Error::of_write)
    })?;
    made.keep(to)?;
    Ok(extent)
}

/// Makes a store out of a backup, with a new epoch: cursors that callers have stay good up to the backup's end, and are
/// known as lost beyond it. What was in flight is unknown, and until `doubt_until` requests that are not known may have
/// been made after the backup; without it, callers may be sent things twice.
///
/// # Errors
///
/// When the backup is none or is damaged, when there is a store already or a server has it open, or when it cannot be
/// written.
pub fn restore(backup: &Path, to: &Path, doubt_until: Option<UnixMillis>) -> Result<Extent, Error> {
    let _lock = lock(to)?;
    for there in [to.to_owned(), with_suffix(to, "-wal")] {
        if there.exists() {
            return Err(Error::Exists { path: there });
        }
    }
    let copied = |source| Error::Folder { path: backup.to_owned(), source: Arc::new(source) };
    let mut from = File::open(backup).map_err(copied)?;
    let mut made = Made::beside(to)?;
    std::io::copy(&mut from, made.0.as_file_mut()).map_err(copied)?;
    let extent = made.change(|db| {
        if schema::read(db).map_err(Error::of_read)?.backup.is_none() {
            return Err(Error::NoBackup { path: backup.to_owned() });
        }
        renew(db, doubt_until).map_err(Error::of_write)
    })?;
    made.keep(to)?;
    Ok(extent)
}

/// Makes a store of a backup: another journal from here on.
fn renew(db: &Connection, doubt_until: Option<UnixMillis>) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO epochs (epoch, last_number) SELECT epoch, next_number - 1 FROM journal WHERE id = 1",
        [],
    )?;
    let now = UnixMillis::now();
    // How many generations were given after the backup nobody knows: fewer than one in each millisecond.
    db.execute(
        "UPDATE journal
         SET epoch = ?1, backup_ms = NULL, doubt_until_ms = ?2, generations = max(generations, ?3)",
        params![schema::new_epoch(), doubt_until.map(|until| until.0), now.0],
    )?;
    requests::disown(db, Owner::generate(), now)
}

/// A database that is being made, under a name that nobody knows.
struct Made(NamedTempFile);

impl Made {
    /// Beside what it will be, so that it can be given its name at once.
    fn beside(to: &Path) -> Result<Self, Error> {
        if to.exists() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let folder = |source| Error::Folder { path: to.to_owned(), source: Arc::new(source) };
        tempfile::Builder::new().prefix(".switchboard-").tempfile_in(folder_of(to)).map(Self).map_err(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Changes it, when it is a backup of ours that is sound, or what becomes one. Says what its journal spans.
    fn change(&self, change: impl FnOnce(&Connection) -> Result<(), Error>) -> Result<Extent, Error> {
        let path = self.path();
        let opened = failed_to_open(path);
        let mut db = Connection::open(path).map_err(&opened)?;
        schema::check(&db).map_err(|fault| fault.of(path))?;
        let found: String =
            db.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(&opened)?;
        if found != "ok" {
            return Err(Error::Damaged { path: path.to_owned() });
        }
        // One file, and no log beside it.
        db.pragma_update(None, "journal_mode", "DELETE").map_err(Error::of_write)?;
        let transaction =
            db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Error::of_write)?;
        schema::bring_up_to_date(&transaction).map_err(Error::of_write)?;
        change(&transaction)?;
        let journal = schema::read(&transaction).map_err(Error::of_read)?;
        transaction.commit().map_err(Error::of_write)?;
        Ok(Extent { oldest: journal.oldest, newest: journal.next_number - 1 })
    }

    /// Makes it durable, under its name.
    fn keep(self, to: &Path) -> Result<(), Error> {
        let folder = |source| Error::Folder { path: to.to_owned(), source: Arc::new(source) };
        self.0.as_file().sync_all().map_err(folder)?;
        self.0.persist_noclobber(to).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists { path: to.to_owned() },
            _ => folder(error.error),
        })?;
        File::open(folder_of(to)).and_then(|folder| folder.sync_all()).map_err(folder)
    }
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
