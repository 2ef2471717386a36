//! The writer: one thread that commits the ops of many callers in one transaction with one fsync.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{AttemptOutcome, Changes, Committed, Encode, Error, Health, LogRange, Op, OpResult};
use super::checkpoint::Checkpointer;
use super::rows::SqliteRows;
use super::schema::{self, JournalRow};
use crate::store::rules::{Batch, RowError, Transaction};

/// The maximum number of ops in a transaction: enough to share an fsync well, and few enough that no caller waits
/// long.
const MAX_BATCH_OPS: usize = 1_024;

/// The maximum size of the webhooks in a transaction, so memory use does not grow with the load. A single commit may
/// be larger.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// The approximate size of a request or a message.
const ROW_BYTES: usize = 512;

/// How long a commit that no caller waits for may wait for others. Each commit costs a sync, and whole pages of the
/// log.
const GROUP_COMMIT_WINDOW: Duration = Duration::from_millis(2);

/// How long the final checkpoint waits for a running one.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A command to the writer.
#[derive(Debug)]
pub(super) enum Command {
    /// Writes the ops of one caller.
    Commit(Commit),
    /// Stops writing, and runs the final checkpoint.
    Close,
}

/// The ops of one caller.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) ops: Vec<Op>,
    /// Whether a caller waits for the result. Such a caller unparks the writer.
    pub(super) urgent: bool,
    pub(super) reply: oneshot::Sender<Result<Vec<OpResult>, Error>>,
}

/// Commits that share a transaction.
#[derive(Debug, Default)]
struct WriteBatch {
    commits: Vec<Commit>,
    ops: usize,
    bytes: usize,
    urgent: bool,
    /// Whether this is the last batch.
    last: bool,
}

impl WriteBatch {
    fn push(&mut self, commit: Commit) {
        self.ops += commit.ops.len();
        self.bytes += commit.bytes();
        self.urgent |= commit.urgent;
        self.commits.push(commit);
    }

    fn is_full(&self) -> bool {
        self.ops >= MAX_BATCH_OPS || self.bytes >= MAX_BATCH_BYTES
    }

    /// Adds queued commits until the batch is full or the queue is empty.
    fn fill(&mut self, queue: &mut mpsc::Receiver<Command>) {
        while !self.is_full() && !self.last {
            match queue.try_recv() {
                Ok(Command::Commit(next)) => self.push(next),
                Ok(Command::Close) => self.last = true,
                Err(_) => return,
            }
        }
    }
}

impl Commit {
    fn bytes(&self) -> usize {
        let bytes = |op: &Op| match op {
            Op::Append(append) => append.raw.len(),
            Op::BeginAttempt(_) => ROW_BYTES,
            Op::FinishAttempt(finish) => match &finish.outcome {
                AttemptOutcome::Accepted { reply, .. } => ROW_BYTES + reply.as_ref().map_or(0, Bytes::len),
                AttemptOutcome::NotDone | AttemptOutcome::Unknown(_) => ROW_BYTES,
            },
            Op::Subscription(..) => ROW_BYTES,
            Op::Trim(_) | Op::Expire { .. } => 0,
        };
        self.ops.iter().map(bytes).sum()
    }
}

/// The state of the writer's thread.
pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) journal: JournalRow,
    pub(super) encode: Encode,
    pub(super) committed: Committed,
    pub(super) log_range: watch::Sender<LogRange>,
    pub(super) bytes: watch::Sender<u64>,
    pub(super) checkpointer: Checkpointer,
    /// The lock file, locked for as long as the writer may write.
    pub(super) _lock: File,
    /// Declared last, so it is dropped last: the store may be opened again as soon as this channel is closed.
    pub(super) health: Arc<watch::Sender<Health>>,
}

impl Writer {
    /// Writes until it receives `Close`, or the last handle is dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        // Only a checkpoint could make the writer wait, and the checkpoint can run later instead.
        let _ = self.db.busy_timeout(Duration::ZERO);
        let mut open = true;
        while open && let Some(Command::Commit(first)) = queue.blocking_recv() {
            let mut batch = WriteBatch::default();
            batch.push(first);
            batch.fill(&mut queue);
            let until = Instant::now() + GROUP_COMMIT_WINDOW;
            while !batch.urgent && !batch.is_full() && !batch.last {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::park_timeout(left);
                batch.fill(&mut queue);
            }
            open = !batch.last;
            self.write(batch.commits);
        }
        let _ = self.db.busy_timeout(CLOSE_TIMEOUT);
        if !self.checkpointer.on_close(&self.db, &self.health)
            && schema::disable_checkpoint_on_close(&self.db).is_err()
        {
            tracing::error!("failed to disable the checkpoint on close");
        }
    }

    /// Whether nothing may be published any more.
    fn is_dead(&self) -> bool {
        *self.health.borrow() == Health::Dead
    }

    fn write(&mut self, batch: Vec<Commit>) {
        if self.is_dead() {
            for commit in batch {
                let _ = commit.reply.send(Err(Error::Closed));
            }
            return;
        }
        let mut replies = Vec::with_capacity(batch.len());
        let mut ops = Vec::with_capacity(batch.len());
        for commit in batch {
            replies.push(commit.reply);
            ops.push(commit.ops);
        }
        if ops.iter().all(Vec::is_empty) {
            // This caller waits only for earlier commits.
            for reply in replies {
                let _ = reply.send(Ok(Vec::new()));
            }
            return;
        }
        let force_write = *self.health.borrow() == Health::Failing;
        match transact(&mut self.db, self.journal, self.encode, ops, force_write) {
            Ok((results, committed)) => {
                self.journal = committed.journal;
                // The commit is durable, so publish it now. Publish the range first, because it decides which cursors
                // are valid, and a subscriber that receives an event may use its cursor at once.
                self.log_range.send_replace(LogRange {
                    oldest: self.journal.oldest,
                    newest: self.journal.next_sequence - 1,
                });
                self.bytes.send_if_modified(|bytes| {
                    std::mem::replace(bytes, self.journal.bytes) != self.journal.bytes
                });
                let Batch { appended, messages, subscriptions, .. } = committed;
                if !(appended.is_empty() && messages.is_empty() && subscriptions.is_empty()) {
                    (self.committed)(Changes { events: appended.into(), messages, subscriptions });
                }
                set_health(&self.health, Health::Writable);
                for (reply, results) in replies.into_iter().zip(results) {
                    let _ = reply.send(Ok(results));
                }
                self.checkpointer.after_commit(&self.db, &self.health);
            }
            Err(RowError::Engine(error)) => {
                let dead = matches!(error, Error::DiskFailed(_));
                if *self.health.borrow() == Health::Writable {
                    tracing::error!(error = &error as &dyn std::error::Error, "store write failed");
                }
                set_health(&self.health, if dead { Health::Dead } else { Health::Failing });
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Other holders keep the health channel open, so closing it would not report that the writer has stopped.
        if std::thread::panicking() {
            set_health(&self.health, Health::Dead);
        }
    }
}

/// Publishes a health that has changed. A dead store stays dead.
pub(super) fn set_health(sender: &watch::Sender<Health>, health: Health) {
    sender.send_if_modified(|current| {
        let changed = *current != health && *current != Health::Dead;
        if changed {
            *current = health;
        }
        changed
    });
}

/// If `force_write` is set, the transaction writes a page even if its ops change nothing. Only then does its success
/// show that the disk accepts writes.
fn transact(
    db: &mut Connection,
    journal: JournalRow,
    encode: Encode,
    batch: Vec<Vec<Op>>,
    force_write: bool,
) -> Result<(Vec<Vec<OpResult>>, Batch), RowError> {
    let rows = SqliteRows::begin(db)?;
    if force_write {
        schema::force_write(&rows.db)?;
    }
    let mut transaction = Transaction::start(rows, journal, encode);
    let mut results = Vec::with_capacity(batch.len());
    for ops in batch {
        results.push(ops.into_iter().map(|op| transaction.apply(op)).collect::<Result<Vec<_>, _>>()?);
    }
    let (rows, batch) = transaction.finish();
    rows.commit(journal, batch.journal)?;
    Ok((results, batch))
}
