//! The journal: appending, reading and listing from any place, subscriptions, the live tail, retention.
//!
//! A reader is a place and nothing else. It takes the next run of events from memory while it keeps up, and from the
//! store when it has fallen behind; either way it sees every event behind its place, once, in order. So a slow reader
//! costs nobody else anything, and memory is bounded by the tail's size, not by the number or speed of readers.
//!
//! **Invariants.** Readers see an event only after its commit. The tail is only ever a copy of the journal's end.

mod clock;
mod gauges;
mod list;
mod reader;
mod retention;
mod subscription_changes;
mod subscriptions;
mod tail;

use std::sync::Arc;

use tokio::sync::watch;

pub use gauges::Gauges;
pub use list::{Bounds, Piece, Place};
pub use reader::{Gap, Next, Reader, Run};
pub use retention::{Keep, Retention};
pub use subscription_changes::{Over, Watched, Watching};
pub use subscriptions::{Following, Progress, SubscriptionError};
pub use tail::Tail;

use crate::domain::{Cursor, UnixMillis};
use crate::store::{self, Append, Done, Extent, Health, Located, Op, Since, Store};

/// A handle to the open journal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Store,
    tail: Arc<Tail>,
    watched: Watched,
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
pub enum Gone {
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
    pub fn new(store: Store, tail: Arc<Tail>, watched: Watched) -> Self {
        tail.start_at(store.extent().newest);
        Self { store, tail, watched }
    }

    /// Puts events at the end, all of them or none, and returns when they are on disk.
    ///
    /// Dropping the future does not take them back.
    ///
    /// # Errors
    ///
    /// When nothing of it was written.
    pub async fn append(&self, events: Vec<Append>) -> Result<Vec<Done>, Error> {
        Ok(self.store.commit(events.into_iter().map(|event| Op::Append(Box::new(event))).collect()).await?)
    }

    /// Starts reading. With `with_raw`, events come with the webhook's body.
    ///
    /// # Errors
    ///
    /// When the start is a place that cannot be read from.
    pub async fn read(&self, start: Start, gone: Gone, with_raw: bool) -> Result<Reader, Error> {
        let reader = |position| Reader::new(self.clone(), position, gone, with_raw);
        let Extent { oldest, newest } = self.store.extent();
        match start {
            Start::Latest => Ok(reader(newest)),
            // What is the oldest may be trimmed before it is read. Whoever asked for the oldest takes the next.
            Start::Earliest => Ok(reader(oldest - 1).taking_the_oldest()),
            // A reader that skips comes to what is gone by itself, and tells.
            Start::After(cursor) => match (self.kept(cursor), gone) {
                (Ok(number), _) => Ok(reader(number)),
                (Err(Error::CursorExpired { .. }), Gone::Skip) => Ok(reader(cursor.number)),
                (Err(error), _) => Err(error),
            },
            Start::Since(moment) => match (self.store.since(moment).await?, gone) {
                (Since { behind, trimmed: false }, _) => Ok(reader(behind)),
                (Since { behind, trimmed: true }, Gone::Skip) => Ok(reader(behind).behind_missing()),
                (Since { behind, trimmed: true }, Gone::Fail) => {
                    Err(Error::CursorExpired { oldest: self.cursor(behind) })
                }
            },
        }
    }

    /// The number of a cursor's event, if the cursor is of this journal and not before or ahead of what is left.
    fn kept(&self, cursor: Cursor) -> Result<u64, Error> {
        let number = self.reached(cursor)?;
        let Extent { oldest, .. } = self.store.extent();
        if number + 1 < oldest {
            Err(Error::CursorExpired { oldest: self.cursor(oldest - 1) })
        } else {
            Ok(number)
        }
    }

    /// The number of a cursor's event, if the cursor is of this journal and not ahead of it.
    fn reached(&self, cursor: Cursor) -> Result<u64, Error> {
        let Extent { newest, .. } = self.store.extent();
        match self.store.locate(cursor) {
            Located::Foreign => Err(Error::ForeignCursor),
            // From there on, all is new.
            Located::Lost(last) => Err(Error::CursorLost { newest: self.cursor(last) }),
            Located::At(number) if number > newest => Err(Error::CursorLost { newest: self.cursor(newest) }),
            Located::At(number) => Ok(number),
        }
    }

    /// Writes what is waiting, then no more. [`health`](Self::health) closes when the store has closed.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The place behind the event of that number.
    pub fn cursor(&self, number: u64) -> Cursor {
        Cursor { epoch: self.store.epoch(), number }
    }

    /// What the journal spans now.
    pub fn extent(&self) -> Extent {
        self.store.extent()
    }

    /// Whether the journal can be written, and every change of that. Closes when the store has closed.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.store.health()
    }
}

#[cfg(test)]
mod tests;
