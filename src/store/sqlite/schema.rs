//! The tables, and how they are created in a file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::super::{Error, LOCK_TIMEOUT, ReplicaId};
use super::{conversations, messages, provider_messages, requests, subscriptions};
use crate::domain::UnixMillis;
pub(super) use crate::store::rules::JournalRow;

/// Marks a file as a Switchboard store, in SQLite's `application_id`: "SWBJ".
const APPLICATION_ID: i64 = 0x5357_424a;

/// The format that this version reads and writes, stored in SQLite's `user_version`. There is no migration before
/// 1.0: an older store is refused.
const FORMAT: i64 = 5;

/// Higher than the number of distinct statements.
const STATEMENT_CACHE_CAPACITY: usize = 64;

/// Lets each connection prepare every statement only once. There are more statements than SQLite caches by default.
/// Without QPSG it would plan some of them again for each bound value.
pub(super) fn configure_statements(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Disables the checkpoint when the last connection closes. Only the writer may move the log, and only while the disk
/// syncs reliably.
pub(super) fn disable_checkpoint_on_close(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// All tables, in the order in which they are created.
const TABLES: [&str; 6] = [
    JOURNAL,
    requests::TABLE,
    messages::TABLE,
    provider_messages::TABLE,
    conversations::TABLE,
    subscriptions::TABLE,
];

const JOURNAL: &str = "
    -- One row: the state that must outlive the events.
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL,
        -- SQLite would reuse sequence numbers once all rows are deleted, and cursors would become wrong.
        next_sequence INTEGER NOT NULL,
        -- Receive times never go backwards, also not across a restart.
        last_receive_ms INTEGER NOT NULL,
        -- The latest receive time of any event that was trimmed, or lost by a restore; NULL if there was none.
        trimmed_ms INTEGER,
        -- The size of the stored events: `event` and `raw` of each.
        bytes INTEGER NOT NULL DEFAULT 0,
        -- The newest generation assigned to any subscription.
        generations INTEGER NOT NULL DEFAULT 0,
        -- When this file was made as a backup; NULL in a store that can be served from.
        backup_ms INTEGER,
        -- Until when an unknown request may have been made after the backup that this store was restored from. NULL
        -- if the store was never restored, if the operator accepted repeats, or when the time is over.
        replay_guard_until_ms INTEGER
    ) STRICT;

    -- Earlier epochs of this journal, and the last sequence number that each has in common with it.
    CREATE TABLE epochs (
        epoch INTEGER PRIMARY KEY,
        last_sequence INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE events (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        account TEXT NOT NULL,
        type TEXT NOT NULL,
        receive_ms INTEGER NOT NULL,
        -- The provider's identity, by which a repeated webhook is recognised; NULL where the provider gives none.
        identity TEXT,
        -- The first bytes of SHA-256 over `raw`, where there is no identity.
        raw_hash BLOB,
        -- The customer that the event is about, by the first of phone number, user id and parent user id that the event
        -- contains: the first bytes of SHA-256 over the customer's key. NULL if the event is about no customer.
        customer BLOB,
        -- The same customer by the others, where the event contains them.
        customer_alias_1 BLOB,
        customer_alias_2 BLOB,
        event BLOB NOT NULL,
        raw BLOB NOT NULL
    ) STRICT;

    CREATE UNIQUE INDEX events_identity ON events (account, identity) WHERE identity IS NOT NULL;
    CREATE INDEX events_raw_hash ON events (account, raw_hash) WHERE raw_hash IS NOT NULL;
";

/// Why a file cannot be used as a store.
#[derive(Debug)]
pub(super) enum SchemaError {
    Sqlite(rusqlite::Error),
    Io(std::io::Error),
    /// Another program's database.
    Foreign,
    TooNew {
        found: i64,
        known: i64,
    },
    TooOld {
        found: i64,
        required: i64,
    },
    /// A backup, not a store.
    Backup,
}

impl SchemaError {
    /// Adds the file's path.
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Sqlite(source) => Error::Open { path, source: Arc::new(source) },
            Self::Io(source) => Error::Folder { path, source: Arc::new(source) },
            Self::Foreign => Error::Foreign { path },
            Self::TooNew { found, known } => Error::TooNew { found, known },
            Self::TooOld { found, required } => Error::TooOld { path, found, required },
            Self::Backup => Error::IsBackup { path },
        }
    }
}

impl From<rusqlite::Error> for SchemaError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

/// Checks that this version can use the file. An empty file is valid.
fn check(db: &Connection) -> Result<(), SchemaError> {
    let found = version(db)?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let objects: i64 = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || objects != 0) {
        return Err(SchemaError::Foreign);
    }
    match found {
        0 | FORMAT => Ok(()),
        newer if newer > FORMAT => Err(SchemaError::TooNew { found, known: FORMAT }),
        _ => Err(SchemaError::TooOld { found, required: FORMAT }),
    }
}

/// Like [`check`], but also refuses an empty file.
pub(super) fn check_is_store(db: &Connection) -> Result<(), SchemaError> {
    check(db)?;
    if version(db)? == 0 {
        return Err(SchemaError::Foreign);
    }
    Ok(())
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Configures the writer's connection, creates missing tables, and marks the interrupted attempts of other process
/// runs as unknown.
pub(super) fn prepare(
    db: &mut Connection,
    replica_id: ReplicaId,
    max_pages: Option<u32>,
) -> Result<JournalRow, SchemaError> {
    db.busy_timeout(LOCK_TIMEOUT)?;
    check(db)?;
    // A backup must stay byte for byte unchanged.
    if version(db)? == FORMAT && read(db)?.backup.is_some() {
        return Err(SchemaError::Backup);
    }
    if version(db)? == 0 {
        // This works only before the first table is created. Later it would need a full VACUUM.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // The checkpointer runs on its own thread: see `checkpoint`.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "cache_size", -16_000)?;
    configure_statements(db)?;
    // A killed process may have left a log in the system's cache that is not on disk. It must be on disk before any
    // of it is published. If that fails, the store cannot be served.
    match move_log(db) {
        // A backup is reading the file, which may take long. Sync the log instead. It is moved later.
        Err(error) if in_use(&error) => sync_log(db)?,
        moved => moved?,
    }
    if let Some(pages) = max_pages {
        db.pragma_update(None, "max_page_count", pages)?;
    }

    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    create_tables(&transaction)?;
    let journal = read(&transaction)?;
    requests::mark_interrupted_unknown(
        &transaction,
        replica_id,
        UnixMillis::now().max(journal.last_receive),
    )?;
    transaction.commit()?;
    Ok(journal)
}

/// Creates the tables in an empty file.
pub(super) fn create_tables(db: &Connection) -> rusqlite::Result<()> {
    if version(db)? == FORMAT {
        return Ok(());
    }
    for table in TABLES {
        db.execute_batch(table)?;
    }
    db.execute(
        "INSERT INTO journal (id, epoch, next_sequence, last_receive_ms) VALUES (1, ?1, 1, 0)",
        params![new_epoch()],
    )?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", FORMAT)
}

/// Reads the journal's row.
pub(super) fn read(db: &Connection) -> rusqlite::Result<JournalRow> {
    let moment = |row: &Row<'_>, column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis));
    db.query_row(
        "SELECT epoch, next_sequence, last_receive_ms, trimmed_ms, bytes, generations, backup_ms, replay_guard_until_ms,
                (SELECT sequence FROM events ORDER BY sequence LIMIT 1)
         FROM journal WHERE id = 1",
        [],
        |row| {
            let next_sequence = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(JournalRow {
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

/// Earlier epochs of the journal, and the last sequence number that each has in common with it.
pub(super) fn earlier_epochs(db: &Connection) -> rusqlite::Result<Vec<(u64, u64)>> {
    db.prepare("SELECT epoch, last_sequence FROM epochs")?
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

/// Writes the whole log into the file, syncs the file, and truncates the log. If that is not possible, it fails.
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

/// Whether the error means that another connection has the file open.
pub(super) fn in_use(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// Syncs the log file itself.
fn sync_log(db: &Connection) -> Result<(), SchemaError> {
    let Some(path) = db.path() else { return Ok(()) };
    // SQLite holds no lock on the log file, so closing it releases none.
    match File::open(format!("{path}-wal")).and_then(|log| log.sync_all()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SchemaError::Io(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Always writes a page. Updating a row with its current values would write nothing.
pub(super) fn force_write(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "user_version", FORMAT)
}

/// A random epoch: the random part of a ULID.
pub(super) fn new_epoch() -> i64 {
    let random = ulid::Ulid::generate().random();
    i64::from_be_bytes(random.to_be_bytes()[8..].try_into().expect("a u128 has 16 bytes"))
}
