//! The one thread that writes: many callers' ops in one transaction, one fsync for all of them.

use std::fs::File;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{Append, Committed, Done, Encode, Error, Extent, Health, Op, Stamp, Stored};
use super::checkpoint::{self, Checkpointer};
use super::schema::Journal;
use crate::domain::{AccountId, Cursor, EventId, UnixMillis};

/// The most ops in one transaction: enough to share an fsync well, few enough that nobody waits long.
const MOST_OPS: usize = 1_024;

/// What one caller wants written.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) ops: Vec<Op>,
    pub(super) reply: oneshot::Sender<Result<Vec<Done>, Error>>,
}

pub(super) struct Writer {
    db: Connection,
    journal: Journal,
    encode: Encode,
    committed: Committed,
    extent: watch::Sender<Extent>,
    health: watch::Sender<Health>,
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
        health: watch::Sender<Health>,
        checkpointer: Checkpointer,
        lock: File,
    ) -> Self {
        Self { db, journal, encode, committed, extent, health, checkpointer, _lock: lock }
    }

    /// Writes until the last handle is gone.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Commit>) {
        let mut batch = Vec::new();
        while let Some(first) = waiting.blocking_recv() {
            let mut ops = first.ops.len();
            batch.push(first);
            while ops < MOST_OPS {
                let Ok(next) = waiting.try_recv() else { break };
                ops += next.ops.len();
                batch.push(next);
            }
            self.write(&mut batch);
        }
        // Leaves one tidy file behind. If it cannot be done, the log is read at the next start.
        let _ = checkpoint::checkpoint(&self.db, "TRUNCATE");
    }

    fn write(&mut self, batch: &mut Vec<Commit>) {
        if *self.health.borrow() == Health::Dead {
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
                // Readers may be told only now; and the extent last, so that whoever sees it finds the events.
                if !written.appended.is_empty() {
                    (self.committed)(written.appended.into());
                }
                self.extent.send_replace(Extent {
                    oldest: self.journal.oldest,
                    newest: self.journal.next_number - 1,
                });
                self.set_health(Health::Writable);
                for (caller, done) in callers.into_iter().zip(written.done) {
                    let _ = caller.send(Ok(done));
                }
                if self.checkpointer.after_commit()
                    && let Err(error) = checkpoint::checkpoint(&self.db, "RESTART")
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the store's log could not be restarted"
                    );
                }
            }
            Err(source) => {
                let error = Error::of_write(source);
                let dead = matches!(error, Error::Broken(_));
                if *self.health.borrow() == Health::Writable {
                    tracing::error!(error = &error as &dyn std::error::Error, "the store cannot write");
                }
                self.set_health(if dead { Health::Dead } else { Health::Failing });
                for caller in callers {
                    let _ = caller.send(Err(error.clone()));
                }
            }
        }
    }

    fn set_health(&self, health: Health) {
        self.health.send_if_modified(|current| {
            let changed = *current != health;
            *current = health;
            changed
        });
    }
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
    let Append { event, identity, raw } = new;
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
    let bytes = encode(&event, &Stamp { cursor, receive_time, possible_duplicate_of });
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
