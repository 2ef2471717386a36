//! The journal: appending, reading and listing from any place, subscriptions, the live tail, retention.
//!
//! A reader is a place and nothing else. It takes the next run of events from memory while it keeps up, and from the
//! store when it has fallen behind; either way it sees every event behind its place, once, in order. So a slow reader
//! costs nobody else anything, and memory is bounded by the tail's size, not by the number or speed of readers.
//!
//! **Invariants.** Readers see an event only after its commit. The tail is only ever a copy of the journal's end.

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
    /// Behind the newest event.
    Latest,
    /// Before the oldest event that is left.
    Earliest,
    /// Behind the event that a cursor names.
    After(Cursor),
    /// Before the first event that was received at a moment or later; behind the newest if there is none.
    Since(UnixMillis),
}

/// What a reader does when the events that it should come to next are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpired {
    /// It fails.
    Fail,
    /// It tells of the gap and goes on behind it.
    Skip,
}

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The cursor belongs to another journal.
    #[error("the cursor belongs to another journal")]
    ForeignCursor,
    /// The cursor names a place that this journal has not come to.
    #[error("the cursor is ahead of the journal")]
    CursorLost {
        /// The newest place there is.
        newest: Cursor,
    },
    /// Events behind the cursor are gone.
    #[error("events behind the cursor are no longer kept")]
    CursorExpired {
        /// The earliest place that can still be named.
        oldest: Cursor,
    },
    /// The store cannot do it.
    #[error("the store cannot do it")]
    Store(#[from] store::Error),
}

impl Journal {
    /// The journal in a store, of whose commits the tail is given every event and the watched ones every change of a
    /// subscription.
    pub fn new(store: Store, tail: Arc<Tail>, subscription_changes: SubscriptionChanges) -> Self {
        tail.start_at(store.log_range().newest);
        Self { store, tail, subscription_changes }
    }

    /// Puts events at the end, all of them or none, and returns when they are on disk.
    ///
    /// Dropping the future does not take them back.
    ///
    /// # Errors
    ///
    /// When nothing of it was written.
    pub async fn append(&self, events: Vec<Append>) -> Result<Vec<OpResult>, Error> {
        Ok(self.store.commit(events.into_iter().map(|event| Op::Append(Box::new(event))).collect()).await?)
    }

    /// Starts reading. With `with_raw`, events come with the webhook's body.
    ///
    /// # Errors
    ///
    /// When the start is a place that cannot be read from.
    pub async fn read(&self, start: Start, on_expired: OnExpired, with_raw: bool) -> Result<Reader, Error> {
        let reader = |position| Reader::new(self.clone(), position, on_expired, with_raw);
        let LogRange { oldest, newest } = self.store.log_range();
        match start {
            Start::Latest => Ok(reader(newest)),
            // What is the oldest may be trimmed before it is read. Whoever asked for the oldest takes the next.
            Start::Earliest => Ok(reader(oldest - 1).from_oldest()),
            // A reader that skips finds trimmed events by itself, and reports them as a gap.
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

    /// Returns the sequence number of a cursor's event. If later events were trimmed, fails unless `on_expired` is
    /// [`OnExpired::Skip`].
    fn sequence_of(&self, cursor: Cursor, on_expired: OnExpired) -> Result<u64, Error> {
        let LogRange { oldest, newest } = self.store.log_range();
        match (self.store.locate(cursor), on_expired) {
            (CursorLocation::Foreign, _) => Err(Error::ForeignCursor),
            // Every event after `last` differs from those that the cursor's owner has seen.
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
    /// fails.
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

    /// The place behind the event of that number.
    pub fn cursor(&self, sequence: u64) -> Cursor {
        Cursor { epoch: self.store.epoch(), sequence }
    }

    /// What the journal spans now.
    pub fn log_range(&self) -> LogRange {
        self.store.log_range()
    }

    /// Whether the journal can be written, and every change of that. Closes when the store has closed.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.store.health()
    }
}

#[cfg(test)]
pub(crate) mod tests;
