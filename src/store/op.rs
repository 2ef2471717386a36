//! The operations that the store executes, and their results.
//!
//! **Invariants.** Ops are repeatable: a caller that did not receive the result may commit the same op again.

use std::fmt;

use bytes::Bytes;

use super::{BeginAttempt, BeginResult, FinishAttempt, FinishResult};
use crate::domain::event::{Identity, Proof};
use crate::domain::{Event, Filter, Labels, Subscription, SubscriptionId, UnixMillis};

/// One change to make durable.
#[derive(Debug)]
pub enum Op {
    /// Appends an event to the journal, unless an event with its identity is already stored. The same transaction
    /// applies what the event reports about a message of ours or a conversation.
    Append(Box<Append>),
    /// Records that an attempt at a write with an idempotency key is about to begin, unless it must not begin.
    BeginAttempt(Box<BeginAttempt>),
    /// Records the outcome of an attempt. Appends `message.accepted` if the outcome makes a message accepted.
    FinishAttempt(Box<FinishAttempt>),
    /// Deletes old requests, messages and conversations, at most `max_rows` of each. In a restored store it also ends
    /// the replay guard once its time is over.
    Expire {
        /// The current time, as a lower bound that is certain. A replay guard that lasts until then or less is over.
        now: UnixMillis,
        /// Requests that ended before this time are deleted.
        requests: UnixMillis,
        /// Messages created before this time, and conversations whose customer last wrote before it, are deleted.
        messages: UnixMillis,
        /// The maximum number of rows of each kind to delete at once.
        max_rows: u32,
    },
    /// Deletes the oldest events, if they are too old or the journal is too large.
    Trim(Trim),
    /// Creates, changes or deletes a subscription.
    Subscription(SubscriptionId, Box<Change>),
}

/// The result of an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The result of [`Op::BeginAttempt`].
    Begun(Box<BeginResult>),
    /// The result of [`Op::FinishAttempt`].
    Finished(Box<FinishResult>),
    /// The number of deleted rows, of the kind with the most deletions.
    Expired(u64),
    /// The sequence number of the appended event.
    Appended(u64),
    /// An event with that identity is already in the journal, and durable.
    Duplicate,
    /// The result of [`Op::Trim`].
    Trimmed(Trimmed),
    /// The result of [`Op::Subscription`].
    Changed(Box<Changed>),
}

/// An event to append to the journal.
pub struct Append {
    /// The event.
    pub event: Event,
    /// The identity by which duplicates are recognised. Absent: the event is always appended, and marked if an
    /// earlier event has the same bytes.
    pub identity: Option<Identity>,
    /// The attempt of ours that the event proves to have reached the provider.
    pub proof: Option<Proof>,
    /// The webhook's body.
    pub raw: Bytes,
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Which events to trim: from the oldest on, while one is too old or the journal is too large, within a step's
/// limits.
///
/// A subscription holds the events after its position that match its filter. Once it has lost one of them it is
/// expired, and holds nothing until it is moved to a position whose events are still stored. Trimming advances the
/// position of a subscription over events that do not match its filter.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// Events received before this time are too old, unless a subscription holds them.
    pub before: UnixMillis,
    /// Events received before this time are too old, even if a subscription holds them.
    pub force_before: UnixMillis,
    /// While the events take more bytes than this, the oldest is trimmed, even if a subscription holds it.
    pub max_bytes: Option<u64>,
    /// The maximum number of events to delete at once, so trimming never delays appends for long.
    pub step_events: u32,
    /// The maximum number of bytes to delete at once. A single event may have more.
    pub step_bytes: u64,
}

impl Trim {
    /// Trims at most `step_events` events received before a time, even if a subscription holds them.
    pub fn older_than(before: UnixMillis, step_events: u32) -> Self {
        Self { before, force_before: before, max_bytes: None, step_events, step_bytes: u64::MAX }
    }
}

/// The result of a [`Trim`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The number of deleted events.
    pub events: u64,
    /// The size of the deleted events.
    pub bytes: u64,
    /// Whether the step ended at one of its limits, so another step would find more.
    pub more: bool,
    /// The subscriptions that newly expired: they lost an event that they had not acknowledged, and had lost none
    /// before.
    pub expired: Vec<SubscriptionId>,
}

/// A change to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Creates it.
    Create {
        /// The events that match it.
        filter: Filter,
        /// The client's labels.
        labels: Labels,
        /// Its first position.
        position: SeekPosition,
    },
    /// Replaces its filter, its labels or both. Only a filter with other items assigns a new generation. If nothing
    /// differs from what is stored, nothing is written.
    Update {
        /// The new filter. Absent: unchanged.
        filter: Option<Filter>,
        /// The new labels. Absent: unchanged.
        labels: Option<Labels>,
    },
    /// Moves it, forward or back.
    Seek(SeekPosition),
    /// Moves it forward to after that event. If it is already at or after that position, nothing changes.
    Acknowledge {
        /// The event's sequence number.
        sequence: u64,
        /// The generation that the subscription must have. Absent: any generation.
        generation: Option<u64>,
    },
    /// Deletes it.
    Delete,
}

/// A position in the journal, resolved in the op's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekPosition {
    /// Before the oldest stored event.
    Oldest,
    /// After the newest event.
    Newest,
    /// After the event with this sequence number, which the journal has reached.
    After(u64),
}

/// The result of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The subscription's current state. After a deletion, its last state.
    Applied(Subscription),
    /// The subscription already exists. Nothing was changed.
    Exists(Subscription),
    /// No subscription has that id.
    NotFound,
    /// Events after the requested position were trimmed. Nothing was changed.
    Expired {
        /// The sequence number of the oldest stored event, or the next sequence number if no event is stored.
        oldest: u64,
    },
    /// The subscription has another generation. Nothing was changed.
    Stale(Subscription),
    /// There are already [`MAX_SUBSCRIPTIONS`](super::MAX_SUBSCRIPTIONS). None was created.
    TooMany,
}
