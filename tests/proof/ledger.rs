//! Where publishers and readers write down what they see, while faults fall on them.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use switchboard::domain::Cursor;
use tokio::sync::{RwLock, watch};
use tokio_util::sync::CancellationToken;

use crate::record::{Call, Moment, Post, Stream, Walk};
use crate::summary::Counts;

/// One round's, shared by all who take part.
#[derive(Debug)]
pub(crate) struct Ledger {
    began: Instant,
    pub(crate) posts: Mutex<Vec<Post>>,
    pub(crate) streams: Mutex<Vec<Stream>>,
    pub(crate) walks: Mutex<Vec<Walk>>,
    pub(crate) calls: Mutex<Vec<Call>>,
    /// The first backup that was made.
    pub(crate) backup: Mutex<Option<Backup>>,
    /// Held to read by whoever changes a subscription, and to write while a backup is made.
    pub(crate) changes: RwLock<()>,
    counts: Mutex<Counts>,
    /// Events that somebody was given, some of them: places that can be named.
    known: Mutex<Vec<(Cursor, i64)>>,
    /// About how many bytes of events were published: as the tail in the server's memory counts them.
    pub(crate) published: watch::Sender<usize>,
    /// How many readers do not read now, and wait for more to be published than the server has in memory.
    pub(crate) stalled: watch::Sender<usize>,
    /// How many webhooks were answered 503.
    pub(crate) unstored: watch::Sender<u64>,
    /// No new webhooks.
    pub(crate) enough: CancellationToken,
    /// Faults are over, and the journal ends here: whoever has come to it is done.
    pub(crate) goal: watch::Sender<Option<u64>>,
    /// Whoever is not done by now never will be.
    pub(crate) give_up: CancellationToken,
}

/// A backup that was made while all went on.
#[derive(Clone, Debug)]
pub(crate) struct Backup {
    pub(crate) file: PathBuf,
    /// The newest number in it.
    pub(crate) newest: u64,
    pub(crate) began: Moment,
    pub(crate) done: Moment,
}

/// How many known events are kept.
const KNOWN: usize = 500;

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::since(Instant::now())
    }

    /// One that goes on where another ends, by the same clock.
    pub(crate) fn behind(&self) -> Self {
        Self::since(self.began)
    }

    fn since(began: Instant) -> Self {
        Self {
            began,
            posts: Mutex::default(),
            streams: Mutex::default(),
            walks: Mutex::default(),
            calls: Mutex::default(),
            backup: Mutex::default(),
            changes: RwLock::default(),
            counts: Mutex::default(),
            known: Mutex::default(),
            published: watch::Sender::new(0),
            stalled: watch::Sender::new(0),
            unstored: watch::Sender::new(0),
            enough: CancellationToken::new(),
            goal: watch::Sender::new(None),
            give_up: CancellationToken::new(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_micros()).expect("a round does not last that long")
    }

    /// Counts something that was done, or that happened.
    pub(crate) fn count(&self, what: &str) {
        *held(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    /// Whether that was counted.
    pub(crate) fn has(&self, what: &str) -> bool {
        held(&self.counts).contains_key(what)
    }

    pub(crate) fn counts(&self) -> Counts {
        held(&self.counts).clone()
    }

    /// Keeps a place, for those who want to start somewhere.
    pub(crate) fn knows(&self, cursor: Cursor, receive_ms: i64) {
        let mut known = held(&self.known);
        if known.len() < KNOWN {
            known.push((cursor, receive_ms));
        } else {
            known[usize::try_from(cursor.number).expect("fits") % KNOWN] = (cursor, receive_ms);
        }
    }

    /// A place that somebody was given, and when its event was received.
    pub(crate) fn some_place(&self, random: &mut fastrand::Rng) -> Option<(Cursor, i64)> {
        random.choice(held(&self.known).iter()).copied()
    }
}

/// What a lock guards. Whoever panicked while holding it fails the round by that alone.
pub(crate) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().expect("nobody panics while holding it")
}
