//! What can be written, and what becomes of it.
//!
//! **Invariants.** Ops are repeatable: whoever does not learn what became of one may hand the same in again.

use std::fmt;

use bytes::Bytes;

use super::{BeginAttempt, BeginResult, FinishAttempt, FinishResult};
use crate::domain::event::{Identity, Proof};
use crate::domain::{Event, Filter, Subscription, SubscriptionId, UnixMillis};

/// One change, to be made durable.
#[derive(Debug)]
pub enum Op {
    /// Puts an event at the end of the journal, unless one with its identity is there. What it tells of a message of
    /// ours, or of a conversation, is kept in the same transaction.
    Append(Box<Append>),
    /// Writes down that an attempt at a repeatable write is about to begin, unless it must not.
    BeginAttempt(Box<BeginAttempt>),
    /// Writes down what came of an attempt, and appends `message.accepted` when it makes a message accepted.
    FinishAttempt(Box<FinishAttempt>),
    /// Forgets requests, messages and conversations that are too old, at max_rows so many of each; and, in a store that was
    /// restored, the doubt whether requests that it does not know were made.
    Expire {
        /// The moment, as far as it is certain: doubt that lasts until then is over.
        now: UnixMillis,
        /// Requests that ended before this moment.
        requests: UnixMillis,
        /// Messages that were made, and customers who last wrote, before this moment.
        messages: UnixMillis,
        /// The max_rows rows of each kind to expire in one go.
        max_rows: u32,
    },
    /// Forgets the oldest events: those that are too old or too many.
    Trim(Trim),
    /// Makes, changes or removes a subscription.
    Subscription(SubscriptionId, Box<Change>),
}

/// What became of an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// See there.
    Begun(Box<BeginResult>),
    /// See there.
    Finished(Box<FinishResult>),
    /// So many rows of the kind that had max_rows were forgotten.
    Expired(u64),
    /// The event has this number.
    Appended(u64),
    /// An event of that identity is in the journal already, and durable.
    Duplicate,
    /// See there.
    Trimmed(Trimmed),
    /// See there.
    Changed(Box<Changed>),
}

/// An event on its way into the journal.
pub struct Append {
    /// The event.
    pub event: Event,
    /// By what a repetition is recognised. NotFound: always appended, and marked when the same bytes came before.
    pub identity: Option<Identity>,
    /// The attempt of ours that it proves to have reached the provider.
    pub proof: Option<Proof>,
    /// The webhook's body.
    pub raw: Bytes,
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append").field("event", &self.event).finish_non_exhaustive()
    }
}

/// Which events are to be forgotten: from the oldest on, as long as one is too old or too much, and at max_rows so many.
///
/// A subscription holds the events behind its place that match its filter, until it has lost one of them: then it is
/// expired, and holds nothing until it stands at a place that is left. Events that match it nowhere cost it nothing: its
/// place moves on with them.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// Events received before this moment are too old, unless a subscription holds them.
    pub before: UnixMillis,
    /// Events received before this moment are too old, whoever holds them.
    pub force_before: UnixMillis,
    /// As long as the events take more bytes than this, the oldest is too much, whoever holds it.
    pub max_bytes: Option<u64>,
    /// The max_rows events to expire in one go, so that appends are never held up for long.
    pub step_events: u32,
    /// The max_rows bytes to expire in one go; a single event may have more.
    pub step_bytes: u64,
}

impl Trim {
    /// Those received before a moment, whoever holds them, and at max_rows so many.
    pub fn older_than(before: UnixMillis, step_events: u32) -> Self {
        Self { before, force_before: before, max_bytes: None, step_events, step_bytes: u64::MAX }
    }
}

/// What was forgotten by a [`Trim`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many events.
    pub events: u64,
    /// What they took.
    pub bytes: u64,
    /// Whether it ended for its size, so that another one would find more.
    pub more: bool,
    /// The subscriptions that lost an event that they had not acknowledged, and had lost none before.
    pub expired: Vec<SubscriptionId>,
}

/// A change to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes it.
    Create {
        /// Which events it is about.
        filter: Filter,
        /// Its first place.
        position: SeekPosition,
    },
    /// Gives it another filter.
    Update(Filter),
    /// Moves it, forward or back.
    Seek(SeekPosition),
    /// Moves it forward to behind the event of that number; one that it is behind already changes nothing.
    Acknowledge {
        /// The event.
        sequence: u64,
        /// What its generation must be. NotFound: whatever it is.
        generation: Option<u64>,
    },
    /// Removes it.
    Delete,
}

/// A place in the journal, as of the moment of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekPosition {
    /// Before the oldest event that is left.
    Oldest,
    /// Behind the newest event.
    Newest,
    /// Behind the event of that number, which the journal has come to.
    After(u64),
}

/// What became of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The subscription stands like this; where it was deleted, it stood like this.
    Applied(Subscription),
    /// It exists already, and nothing was changed.
    Exists(Subscription),
    /// There is none of that id.
    NotFound,
    /// Events behind the place are gone, and nothing was changed.
    Expired {
        /// The number of the oldest event that is left, or of the next one if none is.
        oldest: u64,
    },
    /// Its generation is another one by now, and nothing was changed.
    Stale(Subscription),
    /// There are [`MAX_SUBSCRIPTIONS`](super::MAX_SUBSCRIPTIONS), and none was made.
    TooMany,
}
