//! The store in one SQLite file: WAL, `synchronous = FULL`, one writer, short reads.

mod backup;
mod checkpoint;
mod column;
mod conversations;
mod events;
mod json_columns;
mod messages;
mod provider_messages;
mod reader;
mod requests;
mod rows;
mod schema;
mod subscriptions;
mod verify;
mod writer;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Thread;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

pub use backup::{back_up, restore};

use super::{
    CursorLocation, Error, Health, LOCK_TIMEOUT, LogRange, MessageKey, MessagePage, MessageQuery, Op,
    OpResult, Options, Page, RequestRecord, SubscriptionPosition, TimeLocation, TimeRange,
};
use crate::domain::{
    AccountId, Address, Cursor, Message, PhoneNumber, RequestId, Subscription, SubscriptionId, UnixMillis,
    request::Request,
};

/// A handle to an open store. Cheap to clone. The store closes when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    writer: mpsc::Sender<writer::Command>,
    /// The writer's thread. An urgent commit unparks it to end a group-commit wait.
    thread: Thread,
    readers: reader::Readers,
    log_range: watch::Receiver<LogRange>,
    bytes: watch::Receiver<u64>,
    health: watch::Receiver<Health>,
    epoch: u64,
    /// Earlier epochs, and the last sequence number that each has in common with this one.
    earlier: Arc<[(u64, u64)]>,
}

/// Submitted ops that are not yet durable. Dropping this does not cancel them.
#[derive(Debug)]
pub struct PendingCommit {
    result: oneshot::Receiver<Result<Vec<OpResult>, Error>>,
}

impl PendingCommit {
    /// Waits until the ops are durable, all or none, and returns their results in order.
    ///
    /// # Errors
    ///
    /// If none of the ops was written.
    pub async fn durable(self) -> Result<Vec<OpResult>, Error> {
        self.result.await.map_err(|_| Error::Closed)?
    }
}

/// The mode of the store's files. They hold messages and personal data.
const PRIVATE: u32 = 0o600;

/// How many commits may be queued for the writer before callers wait.
const MAX_QUEUED_COMMITS: usize = 4_096;

impl Store {
    /// Opens the file, or creates it, and starts its writer.
    ///
    /// # Errors
    ///
    /// If the file cannot be used, another process has it open, or another version wrote it.
    pub fn open(options: Options) -> Result<Self, Error> {
        let lock = lock(&options.path)?;
        Self::open_locked(options, lock)
    }

    /// Opens the file again after a disk failure. No handle to it may be open. Writes everything to the disk once
    /// more and verifies it: see `verify`. `newest` is the newest cursor that the failed store published.
    ///
    /// It takes as long as reading the whole file and sorting its rows.
    ///
    /// # Errors
    ///
    /// If the file cannot be used, or does not pass verification.
    pub fn reopen(options: Options, newest: Cursor) -> Result<Self, Error> {
        let lock = lock(&options.path)?;
        verify::verify(&options.path, newest)?;
        Self::open_locked(options, lock)
    }

    fn open_locked(options: Options, lock: File) -> Result<Self, Error> {
        let path = options.path.clone();
        let opened = |source| Error::Open { path: path.clone(), source: Arc::new(source) };
        create_private(&path)?;
        let mut db = Connection::open(&path).map_err(opened)?;
        let journal = schema::prepare(&mut db, options.replica_id, options.max_pages)
            .map_err(|error| error.at(&path))?;
        let earlier = schema::earlier_epochs(&db).map_err(opened)?;
        let log_range = LogRange { oldest: journal.oldest, newest: journal.next_sequence - 1 };

        let (health_sender, health) = watch::channel(Health::Writable);
        let health_sender = Arc::new(health_sender);
        let readers = reader::Readers::open(&path, &health_sender).map_err(opened)?;
        let checkpointer = checkpoint::Checkpointer::start(&path, &mut db, Arc::clone(&health_sender));
        let checkpointer = checkpointer.map_err(opened)?;
        let (commands, queue) = mpsc::channel(MAX_QUEUED_COMMITS);
        let (log_range_sender, log_range) = watch::channel(log_range);
        let (bytes_sender, bytes) = watch::channel(journal.bytes);
        let epoch = journal.epoch;
        let writer = writer::Writer {
            db,
            journal,
            encode: options.encode,
            committed: options.committed,
            log_range: log_range_sender,
            bytes: bytes_sender,
            checkpointer,
            _lock: lock,
            health: health_sender,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|source| Error::Folder { path, source: Arc::new(source) })?
            .thread()
            .clone();
        let earlier = earlier.into();
        Ok(Self { writer: commands, thread, readers, log_range, bytes, health, epoch, earlier })
    }

    /// Makes ops durable, all or none, and returns their results in order.
    ///
    /// Once the ops are queued, dropping the future does not cancel them.
    ///
    /// # Errors
    ///
    /// If none of the ops was written.
    pub async fn commit(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, Error> {
        let pending = self.enqueue(ops, true).await?;
        self.thread.unpark();
        pending.durable().await
    }

    /// Submits ops without waiting until they are durable. That takes a few milliseconds if no other caller commits.
    /// Ops that are submitted or committed later are applied later.
    ///
    /// # Errors
    ///
    /// If none of the ops will be written.
    pub async fn submit(&self, ops: Vec<Op>) -> Result<PendingCommit, Error> {
        self.enqueue(ops, false).await
    }

    async fn enqueue(&self, ops: Vec<Op>, urgent: bool) -> Result<PendingCommit, Error> {
        let (reply, result) = oneshot::channel();
        let commit = writer::Command::Commit(writer::Commit { ops, urgent, reply });
        self.writer.send(commit).await.map_err(|_| Error::Closed)?;
        Ok(PendingCommit { result })
    }

    /// Waits until every op submitted earlier is durable or has failed.
    ///
    /// # Errors
    ///
    /// If the store is closed, or its disk has failed.
    pub async fn read_barrier(&self) -> Result<(), Error> {
        match self.commit(Vec::new()).await {
            Err(error @ (Error::Closed | Error::DiskFailed(_))) => Err(error),
            // The ops that shared this transaction failed, so they are finished too.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Writes the queued ops, then stops reading and writing. [`health`](Self::health) closes once the final
    /// checkpoint is done and this process has closed the file.
    pub async fn close(&self) {
        // The store may already be closed.
        let _ = self.writer.send(writer::Command::Close).await;
        self.thread.unpark();
        self.readers.close();
    }

    /// Reads the events after a sequence number: at most [`PAGE_EVENTS`](super::PAGE_EVENTS), fewer if they are
    /// large.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn read(&self, after: u64, with_raw: bool) -> Result<Page, Error> {
        self.readers.page(reader::PageRange::After(after), with_raw).await
    }

    /// Reads the nearest events up to and including a sequence number, in order. The limits are those of
    /// [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn read_before(&self, sequence: u64, with_raw: bool) -> Result<Page, Error> {
        self.readers.page(reader::PageRange::UpTo(sequence), with_raw).await
    }

    /// Finds the position of a point in time. Events that are appended later are always after it, for any receive
    /// time.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn since(&self, moment: UnixMillis) -> Result<TimeLocation, Error> {
        let read = move |db: &Connection| reader::locate_time(db, moment).map_err(Error::of_read);
        let location = self.readers.run(read).await?;
        // A read may see a commit before it is published. A position is valid only after that, so wait for it.
        let mut log_range = self.log_range.clone();
        log_range
            .wait_for(|log_range| log_range.newest >= location.after)
            .await
            .map_err(|_| Error::Closed)?;
        Ok(location)
    }

    /// For each sequence number, when the first stored event after it was received, if there is one.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn received_after(&self, sequences: Vec<u64>) -> Result<Vec<Option<UnixMillis>>, Error> {
        self.readers.run(move |db| reader::received_after(db, &sequences).map_err(Error::of_read)).await
    }

    /// The receive times of the oldest and the newest event, if an event is stored.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn time_range(&self) -> Result<Option<TimeRange>, Error> {
        self.readers.run(|db| reader::time_range(db).map_err(Error::of_read)).await
    }

    /// Finds a request's record.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn request(&self, account: &AccountId, id: &RequestId) -> Result<Option<RequestRecord>, Error> {
        let (account, id) = (account.clone(), id.clone());
        let read = move |db: &Connection| requests::find(db, &account, &id).map_err(Error::of_read);
        let found = self.readers.run(read).await?;
        Ok(found.map(|(request, message)| request.record(message)))
    }

    /// Finds the record that a [`BeginAttempt`](super::BeginAttempt) of this request would return. While a restored
    /// store's replay guard is active, an unknown request has one too.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn request_with_replay_guard(
        &self,
        account: &AccountId,
        request: &Request,
    ) -> Result<Option<RequestRecord>, Error> {
        let (account, request) = (account.clone(), request.clone());
        self.readers
            .run(move |db| requests::find_with_replay_guard(db, &account, &request).map_err(Error::of_read))
            .await
    }

    /// Finds a message.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn message(&self, account: &AccountId, key: &MessageKey) -> Result<Option<Message>, Error> {
        let (account, key) = (account.clone(), key.clone());
        self.readers.run(move |db| messages::find_by_key(db, &account, &key).map_err(Error::of_read)).await
    }

    /// Lists messages, newest first: at most `limit`. A page may be short before the end of the list.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn messages(&self, query: MessageQuery, limit: usize) -> Result<MessagePage, Error> {
        self.readers.run(move |db| messages::list(db, &query, limit).map_err(Error::of_read)).await
    }

    /// When a customer last wrote to the given number of ours, or to any number.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn last_received(
        &self,
        account: &AccountId,
        customer: &Address,
        own: Option<&PhoneNumber>,
    ) -> Result<Option<UnixMillis>, Error> {
        let (account, customer, own) = (account.clone(), customer.clone(), own.cloned());
        let read = move |db: &Connection| {
            conversations::last_received(db, &account, &customer, own.as_ref()).map_err(Error::of_read)
        };
        self.readers.run(read).await
    }

    /// Finds a subscription.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, Error> {
        let id = id.clone();
        self.readers.run(move |db| subscriptions::find(db, &id).map_err(Error::of_read)).await
    }

    /// Lists subscriptions in the order of their ids: at most `limit`, after the given id.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn subscriptions(
        &self,
        after: Option<&SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<Subscription>, Error> {
        let after = after.cloned();
        let read =
            move |db: &Connection| subscriptions::list(db, after.as_ref(), limit).map_err(Error::of_read);
        self.readers.run(read).await
    }

    /// The position of each subscription, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If SQLite cannot read.
    pub async fn subscription_positions(&self) -> Result<Vec<SubscriptionPosition>, Error> {
        self.readers.run(|db| subscriptions::subscription_positions(db).map_err(Error::of_read)).await
    }

    /// The current range of the journal.
    pub fn log_range(&self) -> LogRange {
        *self.log_range.borrow()
    }

    /// The range of the journal, as a channel that reports every change.
    pub fn log_ranges(&self) -> watch::Receiver<LogRange> {
        self.log_range.clone()
    }

    /// The newest published cursor.
    pub fn newest(&self) -> Cursor {
        Cursor { epoch: self.epoch, sequence: self.log_range().newest }
    }

    /// The size of the journal's events, as a channel that reports every change.
    pub fn bytes(&self) -> watch::Receiver<u64> {
        self.bytes.clone()
    }

    /// Whether the store can write, as a channel that reports every change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Identifies this journal. It is part of every cursor.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Locates a cursor in this journal, or in the journal that it was restored from.
    pub fn locate(&self, cursor: Cursor) -> CursorLocation {
        let Cursor { epoch, sequence } = cursor;
        if epoch == self.epoch {
            return CursorLocation::At(sequence);
        }
        match self.earlier.iter().find(|(earlier, _)| *earlier == epoch) {
            Some(&(_, last)) if sequence > last => CursorLocation::Lost(last),
            Some(_) => CursorLocation::At(sequence),
            None => CursorLocation::Foreign,
        }
    }
}

/// Creates the file, so that only its owner can read it, unless it exists. SQLite would create it for all users. The files
/// beside it get its mode from SQLite.
fn create_private(path: &Path) -> Result<(), Error> {
    match File::options().create_new(true).write(true).mode(PRIVATE).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::Folder { path: path.to_owned(), source: Arc::new(source) }),
    }
}

/// Locks a file beside the store for this process. The system releases the lock when the process ends.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let folder = |source| Error::Folder { path: name.clone(), source: Arc::new(source) };
    let file =
        File::options().create(true).truncate(false).write(true).mode(PRIVATE).open(&name).map_err(folder)?;
    // A process that was just killed may take a moment to exit.
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(folder(source)),
        }
    }
}

impl Error {
    /// Classifies an SQLite error of a write by how Switchboard can recover.
    fn of_write(source: rusqlite::Error) -> Self {
        use rusqlite::ffi;
        let extended = match &source {
            rusqlite::Error::SqliteFailure(failure, _) => failure.extended_code,
            _ => 0,
        };
        let source = Arc::new(source);
        match (extended & 0xff, extended) {
            (ffi::SQLITE_FULL, _) => Self::Full(source),
            // After a failed fsync the content of the disk is unknown, and a second fsync may report success without
            // writing it.
            (_, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
            // The written data cannot be read, or differs from what was written.
            | (_, ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA)
            | (ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB, _) => Self::DiskFailed(source),
            // Includes a failed write or truncation. Neither counts before the sync that follows it, and both are
            // repeated.
            _ => Self::Failed(source),
        }
    }
}

#[cfg(test)]
mod tests;
