//! The tables, and how a file gets them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::super::{Error, LOCK_PATIENCE, ReplicaId};
use super::{conversations, messages, provider_messages, requests, subscriptions};
use crate::domain::UnixMillis;

/// What marks a file as ours, in SQLite's `application_id`: "SWBJ".
const APPLICATION: i64 = 0x5357_424a;

/// The schema that this version writes, kept in SQLite's `user_version`.
const VERSION: i64 = 4;

/// The schema since which there are backups.
const BACKUPS_SINCE: i64 = 4;

/// More statements than we have.
const STATEMENTS: usize = 64;

/// Sees to it that every statement of ours is prepared once for each connection. There are more than the engine keeps
/// by itself, and without the guarantee it would plan some of them anew for every value that they are given.
pub(super) fn keep_statements(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Sees to it that a connection does not move the log into the file when it is the last to close: only the writer may,
/// and only while the disk keeps what it is told to keep.
pub(super) fn keep_log(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// What each version added to the one before it. A file is brought up to date by the steps that it has not taken.
const STEPS: [&[&str]; VERSION as usize] = [
    &[EVENTS],
    &[requests::TABLE, messages::TABLE, provider_messages::TABLE, conversations::TABLE],
    &[TRIMMED],
    &[subscriptions::TABLE, BYTES, BACKUP],
];

const EVENTS: &str = "
    -- One row: what must outlive the events themselves.
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL,
        -- SQLite would hand old numbers out again once all rows are gone, and cursors would lie.
        next_number INTEGER NOT NULL,
        -- Receive times never go backwards, also not over a restart.
        last_receive_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        account TEXT NOT NULL,
        type TEXT NOT NULL,
        receive_ms INTEGER NOT NULL,
        -- By what a repetition is recognised; NULL where the provider gives nothing.
        identity TEXT,
        -- The start of SHA-256 over `raw`, where there is no identity.
        raw_hash BLOB,
        event BLOB NOT NULL,
        raw BLOB NOT NULL
    ) STRICT;

    CREATE UNIQUE INDEX events_identity ON events (account, identity) WHERE identity IS NOT NULL;
    CREATE INDEX events_raw_hash ON events (account, raw_hash) WHERE raw_hash IS NOT NULL;
";

/// What a place that is given as a time needs to know: whether events from then on are gone.
const TRIMMED: &str = "
    -- When the newest event that was trimmed, or lost by a restore, was received at the latest; NULL if none was.
    ALTER TABLE journal ADD COLUMN trimmed_ms INTEGER;

    -- Of what was trimmed before, only the latest that it can have been is known.
    UPDATE journal
    SET trimmed_ms = coalesce((SELECT receive_ms FROM events ORDER BY number LIMIT 1), last_receive_ms)
    WHERE coalesce((SELECT number FROM events ORDER BY number LIMIT 1), next_number) > 1;
";

/// What retention by size needs to know.
const BYTES: &str = "
    -- What the events that are left take: `event` and `raw` of each.
    ALTER TABLE journal ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

    UPDATE journal SET bytes = (SELECT coalesce(sum(length(event) + length(raw)), 0) FROM events);
";

/// What a backup and a restored store need to know.
const BACKUP: &str = "
    -- When this file was made as a backup; NULL in a store that can be served from.
    ALTER TABLE journal ADD COLUMN backup_ms INTEGER;

    -- Until when requests that are not known here may have been made all the same, for they came after the backup that
    -- this store was restored from; NULL if it never was, if that was accepted, or when it is over.
    ALTER TABLE journal ADD COLUMN doubt_until_ms INTEGER;

    -- Earlier epochs of this journal, and the last number that each has in common with it.
    CREATE TABLE epochs (
        epoch INTEGER PRIMARY KEY,
        last_number INTEGER NOT NULL
    ) STRICT;
";

/// Where the journal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) epoch: u64,
    pub(super) next_sequence: u64,
    pub(super) oldest: u64,
    pub(super) last_receive: UnixMillis,
    /// When the newest event that was trimmed, or lost by a restore, was received at the latest.
    pub(super) trimmed: Option<UnixMillis>,
    /// What the events that are left take.
    pub(super) bytes: u64,
    /// The newest generation that was given to any subscription.
    pub(super) generations: u64,
    /// When it was made as a backup.
    pub(super) backup: Option<UnixMillis>,
    /// Until when requests that are not known may have been made all the same; none when that is over.
    pub(super) replay_guard_until: Option<UnixMillis>,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Io(std::io::Error),
    /// Another program's database.
    Foreign,
    TooNew {
        found: i64,
        known: i64,
    },
    /// A backup, which is no store.
    Backup,
}

impl Fault {
    /// The fault of that file.
    pub(super) fn of(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Sqlite(source) => Error::Open { path, source: Arc::new(source) },
            Self::Io(source) => Error::Folder { path, source: Arc::new(source) },
            Self::Foreign => Error::Foreign { path },
            Self::TooNew { found, known } => Error::TooNew { found, known },
            Self::Backup => Error::Backup { path },
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

/// Sees whether the file is a store that this version can use. A file without anything in it is one.
fn check(db: &Connection) -> Result<(), Fault> {
    let found = version(db)?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let things: i64 = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || found != 0 || things != 0) {
        return Err(Fault::Foreign);
    }
    if found > VERSION {
        return Err(Fault::TooNew { found, known: VERSION });
    }
    Ok(())
}

/// Refuses what [`check`] does, and a file in which nothing is.
pub(super) fn check_is_one(db: &Connection) -> Result<(), Fault> {
    check(db)?;
    if version(db)? == 0 {
        return Err(Fault::Foreign);
    }
    Ok(())
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Sets the writer's connection up, brings the tables up to date, and lets go of what others had under way.
pub(super) fn prepare(
    db: &mut Connection,
    owner: ReplicaId,
    max_pages: Option<u32>,
) -> Result<Journal, Fault> {
    db.busy_timeout(LOCK_PATIENCE)?;
    check(db)?;
    // Nothing of a backup is changed, not even its form.
    if version(db)? >= BACKUPS_SINCE && read(db)?.backup.is_some() {
        return Err(Fault::Backup);
    }
    if version(db)? == 0 {
        // Only before the first table: afterwards it would take a full VACUUM.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // The checkpointer has a thread of its own; see `checkpoint`.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "cache_size", -16_000)?;
    keep_statements(db)?;
    // A process that was killed may have left a log that the system has and the disk has not. It must be on disk before
    // anything in it is told to anybody; if the disk fails at that, there is no store to serve from.
    match move_log(db) {
        // A backup may take long. The log stays, and is moved later.
        Err(error) if in_use(&error) => sync_log(db)?,
        moved => moved?,
    }
    if let Some(pages) = max_pages {
        db.pragma_update(None, "max_page_count", pages)?;
    }

    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    bring_up_to_date(&transaction)?;
    let journal = read(&transaction)?;
    requests::mark_interrupted_unknown(&transaction, owner, UnixMillis::now().max(journal.last_receive))?;
    transaction.commit()?;
    Ok(journal)
}

/// Takes the steps that the file has not taken.
pub(super) fn bring_up_to_date(db: &Connection) -> rusqlite::Result<()> {
    let found = version(db)?;
    for tables in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)).copied().flatten() {
        db.execute_batch(tables)?;
    }
    if found == 0 {
        db.execute(
            "INSERT INTO journal (id, epoch, next_number, last_receive_ms) VALUES (1, ?1, 1, 0)",
            params![new_epoch()],
        )?;
        db.pragma_update(None, "application_id", APPLICATION)?;
    }
    if found < VERSION {
        db.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(())
}

/// Reads where the journal stands.
pub(super) fn read(db: &Connection) -> rusqlite::Result<Journal> {
    let moment = |row: &Row<'_>, column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis));
    db.query_row(
        "SELECT epoch, next_number, last_receive_ms, trimmed_ms, bytes, generations, backup_ms, doubt_until_ms,
                (SELECT number FROM events ORDER BY number LIMIT 1)
         FROM journal WHERE id = 1",
        [],
        |row| {
            let next_sequence = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(Journal {
                epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                next_sequence,
                last_receive: UnixMillis(row.get(2)?),
                trimmed: moment(row, 3)?,
                bytes: row.get::<_, i64>(4)?.cast_unsigned(),
                generations: row.get::<_, i64>(5)?.cast_unsigned(),
                backup: moment(row, 6)?,
                replay_guard_until: moment(row, 7)?,
                oldest: row.get::<_, Option<i64>>(8)?.map_or(next_sequence, i64::cast_unsigned),
            })
        },
    )
}

/// Earlier epochs of the journal, and the last number that each has in common with it.
pub(super) fn earlier_epochs(db: &Connection) -> rusqlite::Result<Vec<(u64, u64)>> {
    db.prepare("SELECT epoch, last_number FROM epochs")?
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

/// Writes the log into the file, syncs that, and leaves an empty log: all of it or nothing.
pub(super) fn move_log(db: &Connection) -> rusqlite::Result<()> {
    let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("the log is in use".to_owned()),
        ));
    }
    Ok(())
}

/// Whether something else has the file open that is in the way.
pub(super) fn in_use(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// Brings the log to the disk, where it is.
fn sync_log(db: &Connection) -> Result<(), Fault> {
    let Some(path) = db.path() else { return Ok(()) };
    // The engine takes no lock on this file that would go when it is closed.
    match File::open(format!("{path}-wal")).and_then(|log| log.sync_all()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Fault::Io(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes something, always: a row that is given the values that it has would not be written at all.
pub(super) fn write_something(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "user_version", VERSION)
}

/// A random number: the random part of a ULID.
pub(super) fn new_epoch() -> i64 {
    let random = ulid::Ulid::generate().random();
    i64::from_be_bytes(random.to_be_bytes()[8..].try_into().expect("a u128 has sixteen bytes"))
}
