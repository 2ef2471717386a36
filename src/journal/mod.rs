//! The journal: append, read and list from any position, subscriptions, and the in-memory tail.
//!
//! A reader is a position. It reads the next batch of events from memory while it keeps up, and from the store when it
//! lags. In both cases it sees every event after its position once, in order. So a slow reader slows no other reader,
//! and memory is bounded by the size of the tail, not by the number or speed of readers.
//!
//! **Invariants.** A reader sees an event only after its commit. The tail is a copy of the end of the journal and
//! nothing else.

mod list;
mod reader;
mod subscription_changes;
mod subscriptions;
mod tail;

use std::sync::Arc;

use tokio::sync::watch;

pub use list::{EventPage, ListStart, PageLimits};
pub use reader::{EventBatch, Gap, Next, Reader};
pub use subscription_changes::{Invalidated, SubscriptionChanges, SubscriptionWatch};
pub use subscriptions::{FollowedSubscription, Progress, SubscriptionError};
pub use tail::Tail;

use crate::domain::{Cursor, UnixMillis};
use crate::store::{self, Append, CursorLocation, Health, LogRange, Op, OpResult, Store, TimeLocation};

/// A handle to the open journal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Store,
    tail: Arc<Tail>,
    subscription_changes: SubscriptionChanges,
}

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After the newest event.
    Latest,
    /// Before the oldest stored event.
    Earliest,
    /// After the event that a cursor identifies.
    After(Cursor),
    /// Before the first event that was received at this time or later. If there is none, after the newest event.
    Since(UnixMillis),
}

/// What a reader does if its next events were trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpired {
    /// The read fails.
    Fail,
    /// The reader reports a gap and continues after it.
    Skip,
}

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The cursor belongs to another journal.
    #[error("the cursor belongs to another journal")]
    ForeignCursor,
    /// The cursor is ahead of this journal.
    #[error("the cursor is ahead of the journal")]
    CursorLost {
        /// The newest position.
        newest: Cursor,
    },
    /// Events after the cursor were trimmed.
    #[error("events after the cursor have expired")]
    CursorExpired {
        /// The oldest valid position.
        oldest: Cursor,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
}

impl Journal {
    /// Wraps a store. The store's commit callback must pass every event to `tail` and every subscription change to
    /// `subscription_changes`.
    pub fn new(store: Store, tail: Arc<Tail>, subscription_changes: SubscriptionChanges) -> Self {
        tail.start_at(store.log_range().newest);
        Self { store, tail, subscription_changes }
    }

    /// Appends all events or none, and returns after they are durable.
    ///
    /// Dropping the future does not undo the append.
    ///
    /// # Errors
    ///
    /// If nothing was written.
    pub async fn append(&self, events: Vec<Append>) -> Result<Vec<OpResult>, Error> {
        Ok(self.store.commit(events.into_iter().map(|event| Op::Append(Box::new(event))).collect()).await?)
    }

    /// Makes a reader. With `with_raw`, events include the webhook's body.
    ///
    /// # Errors
    ///
    /// If the start cannot be read from.
    pub async fn read(&self, start: Start, on_expired: OnExpired, with_raw: bool) -> Result<Reader, Error> {
        let reader = |position| Reader::new(self.clone(), position, on_expired, with_raw);
        let LogRange { oldest, newest } = self.store.log_range();
        match start {
            Start::Latest => Ok(reader(newest)),
            // The oldest event may be trimmed before the first read. The reader then starts at the next one.
            Start::Earliest => Ok(reader(oldest - 1).starting_at_oldest()),
            // A reader that skips trimmed events finds them at its first read and reports a gap.
            Start::After(cursor) => Ok(reader(self.sequence_of(cursor, on_expired)?)),
            Start::Since(moment) => match (self.store.since(moment).await?, on_expired) {
                (TimeLocation { after, trimmed: false }, _) => Ok(reader(after)),
                (TimeLocation { after, trimmed: true }, OnExpired::Skip) => {
                    Ok(reader(after).with_initial_gap())
                }
                (TimeLocation { after, trimmed: true }, OnExpired::Fail) => Err(self.cursor_expired(after)),
            },
        }
    }

    /// Returns the sequence number of a cursor's event. If later events were trimmed, the call fails unless
    /// `on_expired` is [`OnExpired::Skip`].
    fn sequence_of(&self, cursor: Cursor, on_expired: OnExpired) -> Result<u64, Error> {
        let LogRange { oldest, newest } = self.store.log_range();
        match (self.store.locate(cursor), on_expired) {
            (CursorLocation::Foreign, _) => Err(Error::ForeignCursor),
            // After `last`, this journal and the cursor's journal have different events.
            (CursorLocation::Lost(last), _) => Err(Error::CursorLost { newest: self.cursor(last) }),
            (CursorLocation::At(sequence), _) if sequence > newest => {
                Err(Error::CursorLost { newest: self.cursor(newest) })
            }
            (CursorLocation::At(sequence), OnExpired::Fail) if sequence + 1 < oldest => {
                Err(self.cursor_expired(oldest - 1))
            }
            (CursorLocation::At(sequence), _) => Ok(sequence),
        }
    }

    /// Returns the position before the first event that was received at `time` or later. If such events were trimmed,
    /// the call fails.
    async fn sequence_at(&self, time: UnixMillis) -> Result<u64, Error> {
        match self.store.since(time).await? {
            TimeLocation { after, trimmed: false } => Ok(after),
            TimeLocation { after, trimmed: true } => Err(self.cursor_expired(after)),
        }
    }

    fn cursor_expired(&self, oldest: u64) -> Error {
        Error::CursorExpired { oldest: self.cursor(oldest) }
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the cursor after the event with this sequence number.
    pub fn cursor(&self, sequence: u64) -> Cursor {
        Cursor { epoch: self.store.epoch(), sequence }
    }

    /// Returns the current range of sequence numbers.
    pub fn log_range(&self) -> LogRange {
        self.store.log_range()
    }

    /// Watches whether the journal can be written. The channel closes when the store has closed.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.store.health()
    }
}

#[cfg(test)]
pub(crate) mod tests;
