//! Durable storage for the journal, requests with an idempotency key, and messages with their states.
//!
//! The interface is semantic: callers commit [`Op`]s, receive [`OpResult`]s once the ops are durable, and read short
//! pages. The ops of many callers share one transaction and one fsync. Ops are repeatable: a caller that did not
//! receive the result may commit the same op again.
//!
//! **Invariants.** One process writes, on one thread. Sequence numbers are contiguous, grow, and are never reused,
//! even after every event was trimmed. Everything that [`Options::committed`] receives and that a page holds is
//! durable. No module above this one knows SQL, and no guarantee depends on SQLite.

mod attempt;
mod error;
mod op;
mod rules;
mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{
    AccountId, Cursor, CustomerKey, Event, EventCustomer, EventId, EventType, Message, MessageId,
    MessageState, RequestId, Subscription, SubscriptionId, UnixMillis,
};

pub use attempt::{
    AttemptOutcome, BeginAttempt, BeginResult, FinishAttempt, FinishResult, ReplicaId, RequestRecord,
    RequestState,
};
pub use error::{EngineError, Error};
pub use op::{Append, Change, Changed, Op, OpResult, SeekPosition, Trim, Trimmed};
pub use sqlite::{PendingCommit, Store, back_up, restore};

/// Which messages of an account to list, newest first.
#[derive(Clone, Debug)]
pub struct MessageQuery {
    /// The account that sent them.
    pub account: AccountId,
    /// The recipient. Absent: all.
    pub customer: Option<CustomerKey>,
    /// The present state. Absent: all.
    pub state: Option<MessageState>,
    /// The template's name. Absent: all.
    pub template_name: Option<String>,
    /// The campaign's name. Absent: all.
    pub campaign_name: Option<String>,
    /// The earliest time of creation, inclusive.
    pub start: UnixMillis,
    /// The latest time of creation, exclusive. Absent: no limit.
    pub end: Option<UnixMillis>,
    /// The list continues after this position. Absent: it starts with the newest message.
    pub after: Option<MessagePosition>,
}

/// A position in the list of an account's messages: that of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePosition {
    /// When the message was created.
    pub create_time: UnixMillis,
    /// The message.
    pub id: MessageId,
}

/// A page of messages.
#[derive(Clone, Debug)]
pub struct MessagePage {
    /// The messages, newest first.
    pub messages: Vec<Message>,
    /// Where the list continues. Absent at its end.
    pub next: Option<MessagePosition>,
}

/// A key that finds a message within an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageKey {
    /// Switchboard's message id.
    Id(MessageId),
    /// One of the provider's message ids.
    Provider(String),
    /// The `request_id` of the send. If several messages have it, the newest is meant.
    Request(RequestId),
}

/// The properties that an event gets from its position in the journal, not from its content.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The cursor after the event.
    pub cursor: Cursor,
    /// When the event was received. It is never earlier than the receive time of an earlier event.
    pub receive_time: UnixMillis,
    /// The newest earlier event with the same bytes, if the event has no identity for deduplication.
    pub possible_duplicate_of: Option<EventId>,
    /// What a status event means for its message.
    pub status_effect: Option<StatusEffect>,
}

/// What a status event means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusEffect {
    /// The message, if Switchboard sent it.
    pub message_id: Option<MessageId>,
    /// The message's state after the event. Absent while only unknown states were reported.
    pub state_after: Option<MessageState>,
    /// Whether the message already had the reported state or a later one.
    pub stale: bool,
}

/// Encodes an event for the wire: once, in the transaction that assigns its sequence number.
pub type Encode = fn(&Event, &Stamp) -> Bytes;

/// Called with each set of changes after it became durable: on the writer's thread, in commit order.
pub type Committed = Box<dyn FnMut(Changes) + Send>;

/// Changes that became durable in one transaction.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The new events, in order.
    pub events: Arc<[StoredEvent]>,
    /// The new and changed messages, each once, with its final state.
    pub messages: Vec<Message>,
    /// The changes to subscriptions, in order.
    pub subscriptions: Vec<SubscriptionChange>,
}

/// A change to a subscription that its open streams must react to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// The filter or the position was set. This is the new state.
    Set(Subscription),
    /// The subscription was deleted. This was its last state.
    Deleted(Subscription),
}

/// An event in the journal.
#[derive(Clone)]
pub struct StoredEvent {
    /// The sequence number.
    pub sequence: u64,
    /// The account that the event belongs to.
    pub account: AccountId,
    /// The event's type.
    pub event_type: EventType,
    /// The customer that the event is about.
    pub customer: EventCustomer,
    /// The bytes that [`Encode`] returned.
    pub event: Bytes,
    /// The webhook's body. Absent if the page was read without bodies.
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

/// A contiguous part of the journal.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events, in order, with contiguous sequence numbers. If the first one does not directly follow the
    /// requested sequence number, the events between were trimmed. Empty at the end of the journal. When a page is
    /// read backwards, the last event is the requested one, or the page is empty.
    pub events: Arc<[StoredEvent]>,
}

/// The position of a point in time in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLocation {
    /// The position before the first stored event that was received at that time or later, as the sequence number of
    /// the preceding event. If there is no such event, the end of the journal.
    pub after: u64,
    /// Whether events received at that time or later were trimmed, or may have been lost in a restore from a backup.
    pub trimmed: bool,
}

/// The position of a cursor relative to this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorLocation {
    /// After the event with this sequence number. The event may be trimmed, or may not exist yet.
    At(u64),
    /// In a part that was lost when the journal was restored. The shared history ends with this sequence number.
    Lost(u64),
    /// In another journal.
    Foreign,
}

/// The receive times of the oldest and the newest stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The receive time of the oldest event.
    pub oldest: UnixMillis,
    /// The receive time of the newest event.
    pub newest: UnixMillis,
}

/// The position of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPosition {
    /// The subscription.
    pub id: SubscriptionId,
    /// The sequence number that the subscription is positioned after.
    pub sequence: u64,
    /// When the first stored event after the position was received. Absent if there is no such event.
    pub received: Option<UnixMillis>,
}

/// The range of sequence numbers in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The sequence number of the oldest stored event, or the next sequence number if no event is stored.
    pub oldest: u64,
    /// The sequence number of the newest event. 0 before the first event.
    pub newest: u64,
}

/// A store that was restored from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The range of its journal.
    pub log_range: LogRange,
    /// When the backup was made. Later changes are not in the store.
    pub backup_time: UnixMillis,
    /// Until when an unknown request may have been executed after the backup. Absent if the operator accepted that
    /// risk.
    pub replay_guard_until: Option<UnixMillis>,
}

/// Whether the store can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last write succeeded.
    Writable,
    /// The last write failed. Reads may still work.
    Failing,
    /// An fsync failed, the file is corrupt, or the writer has stopped. The store must be reopened.
    Dead,
}

/// Options for opening a store.
pub struct Options {
    /// The file. Its folder must exist. The store creates the file if it does not exist.
    pub path: PathBuf,
    /// Encodes events.
    pub encode: Encode,
    /// Called after each commit.
    pub committed: Committed,
    /// The process run that opens the store. Attempts of other runs that are still in flight were interrupted, so
    /// their outcome becomes unknown.
    pub replica_id: ReplicaId,
    /// The maximum size of the file, in pages of 4 KiB. Absent: limited only by the disk.
    pub max_pages: Option<u32>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The maximum number of subscriptions. Trimming reads each of them.
pub const MAX_SUBSCRIPTIONS: u32 = 1_000;

/// The maximum number of events in a page. It is small enough that no read delays the reuse of the write-ahead log.
pub const PAGE_EVENTS: u32 = 512;

/// A page ends early once its events reach this many bytes.
pub const PAGE_BYTES: usize = 1 << 20;

/// How long opening waits for another process to release the file.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A page of messages ends early once its rows reach this many bytes.
pub const MESSAGE_PAGE_BYTES: usize = 4 << 20;

/// The maximum number of messages that one listing examines.
pub const MAX_EXAMINED: usize = 10_000;
