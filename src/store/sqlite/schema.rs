//! The tables, and how a file gets them.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::super::Owner;
use super::{conversations, messages, provider_messages, requests};
use crate::domain::UnixMillis;

/// What marks a file as ours, in SQLite's `application_id`: "SWBJ".
const APPLICATION: i64 = 0x5357_424a;

/// The schema that this version writes, kept in SQLite's `user_version`.
const VERSION: i64 = 3;

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
    -- When the newest event that was trimmed was received; NULL as long as none was.
    ALTER TABLE journal ADD COLUMN trimmed_ms INTEGER;

    -- Of what was trimmed before, only the latest that it can have been is known.
    UPDATE journal
    SET trimmed_ms = coalesce((SELECT receive_ms FROM events ORDER BY number LIMIT 1), last_receive_ms)
    WHERE coalesce((SELECT number FROM events ORDER BY number LIMIT 1), next_number) > 1;
";

/// Where the journal stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journal {
    pub(super) epoch: u64,
    pub(super) next_number: u64,
    pub(super) oldest: u64,
    pub(super) last_receive: UnixMillis,
    /// When the newest event that was trimmed was received.
    pub(super) trimmed: Option<UnixMillis>,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// Another program's database.
    Foreign,
    TooNew {
        found: i64,
        known: i64,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

/// Sets the writer's connection up, brings the tables up to date, and lets go of what others had under way.
pub(super) fn prepare(db: &mut Connection, owner: Owner, max_pages: Option<u32>) -> Result<Journal, Fault> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let things: i64 = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || found != 0 || things != 0) {
        return Err(Fault::Foreign);
    }
    if found > VERSION {
        return Err(Fault::TooNew { found, known: VERSION });
    }
    if found == 0 {
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
    move_log(db)?;
    if let Some(pages) = max_pages {
        db.pragma_update(None, "max_page_count", pages)?;
    }

    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for tables in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)).copied().flatten() {
        transaction.execute_batch(tables)?;
    }
    if found == 0 {
        transaction.execute(
            "INSERT INTO journal (id, epoch, next_number, last_receive_ms) VALUES (1, ?1, 1, 0)",
            params![new_epoch()],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
    }
    if found < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    let (epoch, next_number, last_receive_ms, trimmed_ms) = transaction.query_row(
        "SELECT epoch, next_number, last_receive_ms, trimmed_ms FROM journal WHERE id = 1",
        [],
        |row| {
            let trimmed_ms: Option<i64> = row.get(3)?;
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, trimmed_ms))
        },
    )?;
    let oldest: Option<i64> = transaction
        .query_row("SELECT number FROM events ORDER BY number LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let last_receive = UnixMillis(last_receive_ms);
    requests::disown(&transaction, owner, UnixMillis::now().max(last_receive))?;
    transaction.commit()?;
    let next_number = next_number.cast_unsigned();
    Ok(Journal {
        epoch: epoch.cast_unsigned(),
        next_number,
        oldest: oldest.map_or(next_number, i64::cast_unsigned),
        last_receive,
        trimmed: trimmed_ms.map(UnixMillis),
    })
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

/// A random number: the random part of a ULID.
fn new_epoch() -> i64 {
    let random = ulid::Ulid::generate().random();
    i64::from_be_bytes(random.to_be_bytes()[8..].try_into().expect("a u128 has sixteen bytes"))
}
