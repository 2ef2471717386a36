//! The recorder: publishers, subscribers and listers append their operations to it during a run on one journal. It also
//! holds the signals that coordinate them.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use switchboard::domain::Cursor;
use tokio::sync::{RwLock, watch};
use tokio_util::sync::CancellationToken;

use crate::coverage::Counts;
use crate::history::{Listing, Micros, Operation, Stream, Webhook};

/// The recorder of one run, shared by all participants.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    pub(crate) webhooks: Mutex<Vec<Webhook>>,
    pub(crate) streams: Mutex<Vec<Stream>>,
    pub(crate) listings: Mutex<Vec<Listing>>,
    pub(crate) operations: Mutex<Vec<Operation>>,
    /// The first backup that was made.
    pub(crate) backup: Mutex<Option<Backup>>,
    /// A subscription manager takes the read lock for a change. The nemesis takes the write lock for a backup.
    pub(crate) subscription_changes: RwLock<()>,
    counts: Mutex<Counts>,
    /// A sample of received events: cursor and receive time. Participants start streams and listings there.
    cursors: Mutex<Vec<(Cursor, i64)>>,
    /// Approximate bytes of published events, as the server's in-memory tail counts them.
    pub(crate) published_bytes: watch::Sender<usize>,
    /// Number of subscribers that have paused reading and wait until more is published than the tail holds.
    pub(crate) stalled_subscribers: watch::Sender<usize>,
    /// Number of webhooks that the server answered with 503.
    pub(crate) webhooks_503: watch::Sender<u64>,
    /// Cancelled when publishers must not start new webhooks.
    pub(crate) stop_publishing: CancellationToken,
    /// The journal's last sequence number, set after the faults. A participant that reaches it is done.
    pub(crate) target: watch::Sender<Option<u64>>,
    /// Cancelled at the deadline: participants that have not reached the target stop.
    pub(crate) abort: CancellationToken,
}

/// A backup that was made while publishers and subscribers were active.
#[derive(Clone, Debug)]
pub(crate) struct Backup {
    pub(crate) file: PathBuf,
    /// The last sequence number in the backup.
    pub(crate) newest: u64,
    pub(crate) began: Micros,
    pub(crate) completed: Micros,
}

/// Size of the sample of received events.
const REMEMBERED_CURSORS: usize = 500;

impl Recorder {
    pub(crate) fn new() -> Self {
        Self::since(Instant::now())
    }

    /// An empty recorder that uses the same clock as this one.
    pub(crate) fn continued(&self) -> Self {
        Self::since(self.began)
    }

    fn since(began: Instant) -> Self {
        Self {
            began,
            webhooks: Mutex::default(),
            streams: Mutex::default(),
            listings: Mutex::default(),
            operations: Mutex::default(),
            backup: Mutex::default(),
            subscription_changes: RwLock::default(),
            counts: Mutex::default(),
            cursors: Mutex::default(),
            published_bytes: watch::Sender::new(0),
            stalled_subscribers: watch::Sender::new(0),
            webhooks_503: watch::Sender::new(0),
            stop_publishing: CancellationToken::new(),
            target: watch::Sender::new(None),
            abort: CancellationToken::new(),
        }
    }

    pub(crate) fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).expect("a run is shorter than 2^64 microseconds")
    }

    /// Increments a counter.
    pub(crate) fn count(&self, counter: &str) {
        *lock(&self.counts).entry(counter.to_owned()).or_default() += 1;
    }

    /// Whether a counter was incremented.
    pub(crate) fn has_counted(&self, counter: &str) -> bool {
        lock(&self.counts).contains_key(counter)
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// Adds a received event to the sample.
    pub(crate) fn remember_cursor(&self, cursor: Cursor, receive_ms: i64) {
        let mut cursors = lock(&self.cursors);
        if cursors.len() < REMEMBERED_CURSORS {
            cursors.push((cursor, receive_ms));
        } else {
            cursors[usize::try_from(cursor.sequence).expect("fits in usize") % REMEMBERED_CURSORS] =
                (cursor, receive_ms);
        }
    }

    /// Picks the cursor and the receive time of a received event.
    pub(crate) fn random_cursor(&self, random: &mut fastrand::Rng) -> Option<(Cursor, i64)> {
        random.choice(lock(&self.cursors).iter()).copied()
    }
}

/// Locks a mutex. A poisoned mutex fails the run.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no participant panicked while it held the lock")
}
