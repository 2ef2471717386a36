//! The one durable home of the journal, of requests that can be repeated, and of messages and how they stand.
//!
//! The seam is semantic: callers hand in [`Op`]s and get [`OpResult`]s back once they are on disk, and read short pages.
//! Ops of many callers share one transaction and one fsync. Ops are repeatable: whoever does not learn the result may
//! hand the same op in again.
//!
//! **Invariants.** One process writes, and one thread in it. Numbers are contiguous, grow, and are never used twice,
//! also not after everything was trimmed. What [`Options::committed`] is told and what a page holds is on disk.
//! Nothing above this module knows SQL; nothing of SQLite shapes a promise.

mod attempt;
mod error;
mod op;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{
    AccountId, Cursor, Event, EventId, EventType, Message, MessageId, MessageState, RequestId, Subscription,
    SubscriptionId, UnixMillis,
};

pub use attempt::{
    AttemptOutcome, BeginAttempt, BeginResult, FinishAttempt, FinishResult, ReplicaId, RequestRecord,
    RequestState,
};
pub use error::Error;
pub use op::{Append, Change, Changed, Op, OpResult, SeekPosition, Trim, Trimmed};
pub use sqlite::{PendingCommit, Store, back_up, restore};

/// What names a message within an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageKey {
    /// Our id.
    Id(MessageId),
    /// One of the provider's.
    Provider(String),
    /// The id of the request that it was sent with; the newest, if there are several.
    Request(RequestId),
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
    /// What a status means for its message.
    pub status_effect: Option<StatusEffect>,
}

/// What a status means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusEffect {
    /// The message, if it is one of ours.
    pub message_id: Option<MessageId>,
    /// How far it has come with the status. Absent as long as only unknown words were reported.
    pub state_after: Option<MessageState>,
    /// Whether the status told of a state that the message was in already or had left behind.
    pub stale: bool,
}

/// Makes an event's bytes for the wire, once, inside the transaction that gives it its place.
pub type Encode = fn(&Event, &Stamp) -> Bytes;

/// Is told, on the writer's thread and in order, what has just become durable.
pub type Committed = Box<dyn FnMut(Changes) + Send>;

/// What has become durable at once.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The new events, in order.
    pub events: Arc<[StoredEvent]>,
    /// Messages that are new or stand differently now, as they stand.
    pub messages: Vec<Message>,
    /// What was done to subscriptions, in order.
    pub subscriptions: Vec<SubscriptionChange>,
}

/// What was done to a subscription that whoever reads from it must hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// Its filter or place was set. It stands like this.
    Set(Subscription),
    /// It was deleted. It stood like this.
    Deleted(Subscription),
}

/// An event in the journal.
#[derive(Clone)]
pub struct StoredEvent {
    /// Its number.
    pub sequence: u64,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its type.
    pub event_type: EventType,
    /// The event as [`Encode`] made it.
    pub event: Bytes,
    /// The webhook's body; absent where a page was read without.
    pub raw: Option<Bytes>,
}

impl fmt::Debug for StoredEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, account, event_type, .. } = self;
        f.debug_struct("StoredEvent")
            .field("sequence", sequence)
            .field("account", account)
            .field("event_type", event_type)
            .finish_non_exhaustive()
    }
}

/// A piece of the journal.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events, in order, with contiguous numbers. If the first is not the one behind the number asked for, those
    /// between were trimmed. Empty at the journal's end. Read backwards, the last is the one asked for, or none is left.
    pub events: Arc<[StoredEvent]>,
}

/// Where a moment lies among the journal's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLocation {
    /// The place before the first event that is left and was received at that moment or later: the number of the event
    /// before it. The journal's end if there is none.
    pub after: u64,
    /// Whether events that were received at that moment or later are gone, or may be since a restore from a backup.
    pub trimmed: bool,
}

/// Where a cursor stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorLocation {
    /// Behind the event of that number, which may be trimmed or still to come.
    At(u64),
    /// At what was lost when the journal was restored. What it has in common with the cursor's ends with that number.
    Lost(u64),
    /// In another journal.
    Foreign,
}

/// When the oldest and the newest event that are left were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The oldest.
    pub oldest: UnixMillis,
    /// The newest.
    pub newest: UnixMillis,
}

/// Where a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPosition {
    /// Which one.
    pub id: SubscriptionId,
    /// The number of the event that it stands behind.
    pub sequence: u64,
    /// When the first event behind it was received, of those that are left, if there is one.
    pub received: Option<UnixMillis>,
}

/// What the journal spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The number of the oldest event that is left, or of the next one if none is.
    pub oldest: u64,
    /// The number of the newest event; 0 before the first.
    pub newest: u64,
}

/// A store that was made of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What its journal spans.
    pub log_range: LogRange,
    /// When the backup was made: what came after that is not there.
    pub backup_time: UnixMillis,
    /// Until when requests that are not known may have been made after the backup; absent where that risk was taken.
    pub replay_guard_until: Option<UnixMillis>,
}

/// Whether the store can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last write succeeded.
    Writable,
    /// The last write failed; reads may still work.
    Failing,
    /// The disk did not keep what it was told to keep, or the writer is gone. Only opening the store again helps.
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
    /// Who opens it. Attempts of others that are in flight have ended without a word: nobody can tell what became of
    /// them.
    pub replica_id: ReplicaId,
    /// The most pages (of 4 KiB) that the file may grow to. Absent: what the disk holds.
    pub max_pages: Option<u32>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The most subscriptions that there may be: each is looked at when events are trimmed.
pub const MAX_SUBSCRIPTIONS: u32 = 1_000;

/// How long a page may be, by default: short enough that no reader holds up the log's reuse.
pub const PAGE_EVENTS: u32 = 512;

/// How many bytes of events a page may hold before it ends early.
pub const PAGE_BYTES: usize = 1 << 20;

/// How long opening waits for another process to let go of the file.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
