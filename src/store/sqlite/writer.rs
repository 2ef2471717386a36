//! The one thread that writes: many callers' ops in one transaction, one fsync for all of them.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{Append, Changes, Committed, Done, Encode, Error, Extent, Health, Op, Stamp, Stored};
use super::checkpoint::{self, Checkpointer};
use super::schema::Journal;
use crate::domain::{AccountId, Cursor, EventId, UnixMillis};

/// The most ops in one transaction: enough to share an fsync well, few enough that nobody waits long.
const MOST_OPS: usize = 1_024;

/// The most bytes of webhooks in one transaction, so that what is held in memory does not grow with the crowd; a single
/// commit may have more.
const MOST_BYTES: usize = 4 << 20;

/// How long the last checkpoint waits for one that is under way.
const CLOSING: Duration = Duration::from_secs(5);

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Told {
    /// What one caller wants written.
    Commit(Commit),
    /// Write no more, and leave a tidy file behind.
    Close,
}

/// What one caller wants written.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) ops: Vec<Op>,
    pub(super) reply: oneshot::Sender<Result<Vec<Done>, Error>>,
}

impl Commit {
    fn bytes(&self) -> usize {
        let bytes = |op: &Op| match op {
            Op::Append(append) => append.raw.len(),
            Op::Begin(_) | Op::End(_) | Op::Trim { .. } | Op::Forget { .. } => 0,
        };
        self.ops.iter().map(bytes).sum()
    }
}

pub(super) struct Writer {
    db: Connection,
    journal: Journal,
    encode: Encode,
    committed: Committed,
    extent: watch::Sender<Extent>,
    health: Arc<watch::Sender<Health>>,
    checkpointer: Checkpointer,
    /// Held as long as anything may be written.
    _lock: File,
}

/// What a transaction did, to be believed only once it is committed.
struct Written {
    done: Vec<Vec<Done>>,
    appended: Vec<Stored>,
    journal: Journal,
}

impl Writer {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by `Store::open`, with all that the thread owns"
    )]
    pub(super) fn new(
        db: Connection,
        journal: Journal,
        encode: Encode,
        committed: Committed,
        extent: watch::Sender<Extent>,
        health: Arc<watch::Sender<Health>>,
        checkpointer: Checkpointer,
        lock: File,
    ) -> Self {
        Self { db, journal, encode, committed, extent, health, checkpointer, _lock: lock }
    }

    /// Writes until it is told to close, or the last handle is gone.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Told>) {
        // Nobody else writes; all that could make the writer wait is a checkpoint, which may as well wait for it.
        let _ = self.db.busy_timeout(Duration::ZERO);
        let mut batch = Vec::new();
        let mut open = true;
        while open && let Some(Told::Commit(first)) = waiting.blocking_recv() {
            let (mut ops, mut bytes) = (first.ops.len(), first.bytes());
            batch.push(first);
            while ops < MOST_OPS && bytes < MOST_BYTES {
                match waiting.try_recv() {
                    Ok(Told::Commit(next)) => {
                        ops += next.ops.len();
                        bytes += next.bytes();
                        batch.push(next);
                    }
                    Ok(Told::Close) => {
                        open = false;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.write(&mut batch);
        }
        let _ = self.db.busy_timeout(CLOSING);
        if self.dead() {
            // The log may hold what the disk does not: it must be read afresh, not moved into the file.
            let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            if self.db.set_db_config(config, true).is_err() {
                tracing::error!("the store cannot be kept from moving its log");
            }
        } else if let Err(error) = checkpoint::checkpoint(&self.db, "TRUNCATE") {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store's log could not be moved");
        }
    }

    fn dead(&self) -> bool {
        *self.health.borrow() == Health::Dead
    }

    fn write(&mut self, batch: &mut Vec<Commit>) {
        if self.dead() {
            for commit in batch.drain(..) {
                let _ = commit.reply.send(Err(Error::Closed));
            }
            return;
        }
        let mut callers = Vec::with_capacity(batch.len());
        let mut ops = Vec::with_capacity(batch.len());
        for commit in batch.drain(..) {
            callers.push(commit.reply);
            ops.push(commit.ops);
        }
        match transact(&mut self.db, self.journal, self.encode, ops) {
            Ok(written) => {
                self.journal = written.journal;
                // Others may be told only now; and of the extent first, for it says which cursors are good, and
                // whoever is given an event may come back with its cursor at once.
                self.extent.send_replace(Extent {
                    oldest: self.journal.oldest,
                    newest: self.journal.next_number - 1,
                });
                if !written.appended.is_empty() {
                    (self.committed)(Changes { events: written.appended.into(), messages: Vec::new() });
                }
                set_health(&self.health, Health::Writable);
                for (caller, done) in callers.into_iter().zip(written.done) {
                    let _ = caller.send(Ok(done));
                }
                if self.checkpointer.after_commit() {
                    checkpoint::note(checkpoint::checkpoint(&self.db, "RESTART"), &self.health);
                }
            }
            Err(source) => {
                let error = Error::of_write(source);
                let dead = matches!(error, Error::Broken(_));
                if *self.health.borrow() == Health::Writable {
                    tracing::error!(error = &error as &dyn std::error::Error, "the store cannot write");
                }
                set_health(&self.health, if dead { Health::Dead } else { Health::Failing });
                for caller in callers {
                    let _ = caller.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Tells how the store is, if that is news. A store that is dead stays dead.
pub(super) fn set_health(told: &watch::Sender<Health>, health: Health) {
    told.send_if_modified(|current| {
        let changed = *current != health && *current != Health::Dead;
        if changed {
            *current = health;
        }
        changed
    });
}

fn transact(
    db: &mut Connection,
    journal: Journal,
    encode: Encode,
    batch: Vec<Vec<Op>>,
) -> rusqlite::Result<Written> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut written = Written { done: Vec::with_capacity(batch.len()), appended: Vec::new(), journal };
    for ops in batch {
        let mut done = Vec::with_capacity(ops.len());
        for op in ops {
            done.push(match op {
                Op::Append(new) => append(&transaction, &mut written, encode, *new)?,
                Op::Trim { before, most } => trim(&transaction, &mut written.journal, before, most)?,
                Op::Begin(_) | Op::End(_) => todo!(),
                Op::Forget { .. } => Done::Forgotten(0),
            });
        }
        written.done.push(done);
    }
    transaction
        .prepare_cached("UPDATE journal SET next_number = ?1, last_receive_ms = ?2 WHERE id = 1")?
        .execute(params![written.journal.next_number.cast_signed(), written.journal.last_receive.0])?;
    transaction.commit()?;
    Ok(written)
}

fn append(
    db: &Transaction<'_>,
    written: &mut Written,
    encode: Encode,
    new: Append,
) -> rusqlite::Result<Done> {
    let Append { event, identity, proof: _, raw } = new;
    let number = written.journal.next_number;
    let receive_time = UnixMillis::now().max(written.journal.last_receive);
    let (raw_hash, possible_duplicate_of) = match identity {
        Some(_) => (None, None),
        None => {
            let hash = hash(&raw);
            let earlier = equal_bytes(db, &event.account, &hash, &raw)?;
            (Some(hash), earlier)
        }
    };
    let cursor = Cursor { epoch: written.journal.epoch, number };
    let bytes = encode(&event, &Stamp { cursor, receive_time, possible_duplicate_of, life: None });
    let event_type = event.event_type();
    let inserted = db
        .prepare_cached(
            "INSERT INTO events (number, id, account, type, receive_ms, identity, raw_hash, event, raw)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (account, identity) WHERE identity IS NOT NULL DO NOTHING",
        )?
        .execute(params![
            number.cast_signed(),
            event.id.as_str(),
            event.account.as_str(),
            event_type.as_str(),
            receive_time.0,
            identity.as_ref().map(|identity| identity.as_str()),
            raw_hash.as_ref().map(|hash| hash.as_slice()),
            bytes.as_ref(),
            raw.as_ref(),
        ])?;
    if inserted == 0 {
        return Ok(Done::Duplicate);
    }
    written.journal.next_number += 1;
    written.journal.last_receive = receive_time;
    written.appended.push(Stored {
        number,
        account: event.account,
        event_type,
        event: bytes,
        raw: Some(raw),
    });
    Ok(Done::Appended(number))
}

type RawHash = [u8; 16];

fn hash(raw: &Bytes) -> RawHash {
    let digest = Sha256::digest(raw);
    let mut start = RawHash::default();
    start.copy_from_slice(&digest[..16]);
    start
}

/// Finds the newest earlier event of the account with the same bytes. The hash finds it, the bytes decide.
fn equal_bytes(
    db: &Transaction<'_>,
    account: &AccountId,
    hash: &RawHash,
    raw: &Bytes,
) -> rusqlite::Result<Option<EventId>> {
    db.prepare_cached(
        "SELECT id FROM events WHERE account = ?1 AND raw_hash = ?2 AND raw = ?3 ORDER BY number DESC LIMIT 1",
    )?
    .query_row(params![account.as_str(), hash.as_slice(), raw.as_ref()], |row| row.get(0))
    .optional()
    .map(|id| id.map(EventId::from_stored))
}

fn trim(
    db: &Transaction<'_>,
    journal: &mut Journal,
    before: UnixMillis,
    most: u32,
) -> rusqlite::Result<Done> {
    // Receive times grow with numbers, so only the head of the table is looked at.
    let trimmed = db
        .prepare_cached(
            "DELETE FROM events WHERE number IN (
                 SELECT number FROM (SELECT number, receive_ms FROM events ORDER BY number LIMIT ?2)
                 WHERE receive_ms < ?1)",
        )?
        .execute(params![before.0, most])?;
    let trimmed = u64::try_from(trimmed).unwrap_or(u64::MAX);
    journal.oldest += trimmed;
    Ok(Done::Trimmed(trimmed))
}
