//! The journal: appending, reading from any place, the live tail, retention.
//!
//! A reader is a place and nothing else. It takes the next run of events from memory while it keeps up, and from the
//! store when it has fallen behind; either way it sees every event behind its place, once, in order. So a slow reader
//! costs nobody else anything, and memory is bounded by the tail's size, not by the number or speed of readers.
//!
//! **Invariants.** Readers see an event only after its commit. The tail is only ever a copy of the journal's end.

mod reader;
mod retention;
mod tail;

use std::sync::Arc;

use tokio::sync::watch;

pub use reader::{Reader, Run};
pub use retention::{Keep, Retention};
pub use tail::Tail;

use crate::domain::Cursor;
use crate::store::{self, Append, Done, Extent, Health, Op, Store};

/// A handle to the open journal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Store,
    tail: Arc<Tail>,
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
    /// The journal in a store, of whose events every commit is pushed to the tail.
    pub fn new(store: Store, tail: Arc<Tail>) -> Self {
        tail.start_at(store.extent().newest);
        Self { store, tail }
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
    pub fn read(&self, start: Start, with_raw: bool) -> Result<Reader, Error> {
        let Extent { oldest, newest } = self.store.extent();
        // What is the oldest may be trimmed before it is read. Whoever asked for the oldest takes the next.
        let from_earliest = start == Start::Earliest;
        let position = match start {
            Start::Latest => newest,
            Start::Earliest => oldest - 1,
            Start::After(cursor) if cursor.epoch != self.store.epoch() => return Err(Error::ForeignCursor),
            Start::After(cursor) if cursor.number > newest => {
                return Err(Error::CursorLost { newest: self.cursor(newest) });
            }
            Start::After(cursor) if cursor.number + 1 < oldest => {
                return Err(Error::CursorExpired { oldest: self.cursor(oldest - 1) });
            }
            Start::After(cursor) => cursor.number,
        };
        Ok(Reader::new(self.clone(), position, from_earliest, with_raw))
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
