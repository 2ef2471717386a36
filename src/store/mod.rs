//! The one durable home of the journal.
//!
//! The seam is semantic: callers hand in [`Op`]s and get [`Done`]s back once they are on disk, and read short pages.
//! Ops of many callers share one transaction and one fsync. Ops are repeatable: whoever does not learn the result may
//! hand the same op in again.
//!
//! **Invariants.** One process writes, and one thread in it. Numbers are contiguous, grow, and are never used twice,
//! also not after everything was trimmed. What [`Options::committed`] is told and what a page holds is on disk.
//! Nothing above this module knows SQL; nothing of SQLite shapes a promise.

mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::event::Identity;
use crate::domain::{AccountId, Cursor, Event, EventId, EventType, UnixMillis};

pub use sqlite::Store;

/// One change, to be made durable.
#[derive(Debug)]
pub enum Op {
    /// Puts an event at the end of the journal, unless one with its identity is there.
    Append(Box<Append>),
    /// Forgets the oldest events: those received before a moment, at most so many.
    Trim {
        /// Events received at or after this moment stay.
        before: UnixMillis,
        /// The most events to forget in one go, so that appends are never held up for long.
        most: u32,
    },
}

/// An event on its way into the journal.
#[derive(Debug)]
pub struct Append {
    /// The event.
    pub event: Event,
    /// By what a repetition is recognised. Absent: always appended, and marked when the same bytes came before.
    pub identity: Option<Identity>,
    /// The webhook's body.
    pub raw: Bytes,
}

/// What became of an [`Op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The event has this number.
    Appended(u64),
    /// An event of that identity is in the journal already, and durable.
    Duplicate,
    /// So many events were forgotten.
    Trimmed(u64),
}

/// What an event gets from its place, and not from its content.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The place behind the event.
    pub cursor: Cursor,
    /// When it was received; never before an earlier event's.
    pub receive_time: UnixMillis,
    /// The newest earlier event with the same bytes, where there is no identity to go by.
    pub possible_duplicate_of: Option<EventId>,
}

/// Makes an event's bytes for the wire, once, inside the transaction that gives it its place.
pub type Encode = fn(&Event, &Stamp) -> Bytes;

/// Is told, on the writer's thread and in order, what has just become durable.
pub type Committed = Box<dyn FnMut(Arc<[Stored]>) + Send>;

/// An event in the journal.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its type.
    pub event_type: EventType,
    /// The event as [`Encode`] made it.
    pub event: Bytes,
    /// The webhook's body; absent where a page was read without.
    pub raw: Option<Bytes>,
}

/// A piece of the journal.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events, in order, with contiguous numbers. If the first is not the one behind the number asked for, those
    /// between were trimmed. Empty at the journal's end.
    pub events: Arc<[Stored]>,
}

/// What the journal spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The number of the oldest event that is left, or of the next one if none is.
    pub oldest: u64,
    /// The number of the newest event; 0 before the first.
    pub newest: u64,
}

/// Whether the store can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last write succeeded.
    Writable,
    /// The last write failed; reads may still work.
    Failing,
    /// The disk did not keep what it was told to keep, or the writer is gone. Only a restart helps.
    Dead,
}

/// How a store is opened.
pub struct Options {
    /// The file. Its folder must exist; the file is made when it does not.
    pub path: PathBuf,
    /// Makes events' bytes.
    pub encode: Encode,
    /// Is told of every commit.
    pub committed: Committed,
    /// The most pages (of 4 KiB) that the file may grow to. Absent: what the disk holds.
    pub max_pages: Option<u32>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a store does not open, write or read.
///
/// Cheap to clone: one failed commit is told to every caller whose op was in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or is no store.
    #[error("cannot open the store {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The folder cannot be used.
    #[error("cannot use the store's folder for {path}")]
    Folder {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Another process has the store open.
    #[error("the store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is somebody else's database.
    #[error("{path} is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("the store has schema {found}, and this version reads up to {known}: run the newer version")]
    TooNew {
        /// The file's schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// There is no room to write.
    #[error("the store's disk is full")]
    Full(#[source] Arc<rusqlite::Error>),
    /// The disk did not keep what it was told to keep.
    #[error("the store's disk failed")]
    Broken(#[source] Arc<rusqlite::Error>),
    /// Anything else that the engine said.
    #[error("the store failed")]
    Failed(#[source] Arc<rusqlite::Error>),
    /// The writer is gone.
    #[error("the store is closed")]
    Closed,
    /// A row cannot be what this version wrote.
    #[error("the store holds a row that cannot be read: {0}")]
    Corrupt(String),
}

/// How long a page may be, by default: short enough that no reader holds up the log's reuse.
pub const PAGE_EVENTS: u32 = 512;

/// How many bytes of events a page may hold before it ends early.
pub const PAGE_BYTES: usize = 1 << 20;

/// How long opening waits for another process to let go of the file.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
