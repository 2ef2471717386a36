//! The one durable home of the journal, of requests that can be repeated, and of messages and how they stand.
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

use crate::domain::event::{Identity, Proof};
use crate::domain::outcome::Doubt;
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{
    AccountId, Cursor, Event, EventId, EventType, Filter, Message, MessageId, MessageState, RequestId,
    Subscription, SubscriptionId, UnixMillis,
};

pub use sqlite::{HandedOver, Store, back_up, restore};

/// One change, to be made durable.
#[derive(Debug)]
pub enum Op {
    /// Puts an event at the end of the journal, unless one with its identity is there. What it tells of a message of
    /// ours, or of a conversation, is kept in the same transaction.
    Append(Box<Append>),
    /// Writes down that an attempt at a repeatable write is about to begin, unless it must not.
    Begin(Box<Begin>),
    /// Writes down what came of an attempt, and appends `message.accepted` when it makes a message accepted.
    End(Box<End>),
    /// Forgets requests, messages and conversations that are too old, at most so many of each; and, in a store that was
    /// restored, the doubt whether requests that it does not know were made.
    Forget {
        /// The moment, as far as it is certain: doubt that lasts until then is over.
        now: UnixMillis,
        /// Requests that ended before this moment.
        requests: UnixMillis,
        /// Messages that were made, and customers who last wrote, before this moment.
        messages: UnixMillis,
        /// The most rows of each kind to forget in one go.
        most: u32,
    },
    /// Forgets the oldest events: those that are too old or too many.
    Trim(Trim),
    /// Makes, changes or removes a subscription.
    Subscription(SubscriptionId, Box<Change>),
}

/// Which events are to be forgotten: from the oldest on, as long as one is too old or too much, and at most so many.
///
/// A subscription holds the events behind its place that match its filter, until it has lost one of them: then it is
/// expired, and holds nothing until it stands at a place that is left. Events that match it nowhere cost it nothing: its
/// place moves on with them.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// Events received before this moment are too old, unless a subscription holds them.
    pub before: UnixMillis,
    /// Events received before this moment are too old, whoever holds them.
    pub held_before: UnixMillis,
    /// As long as the events take more bytes than this, the oldest is too much, whoever holds it.
    pub most_bytes: Option<u64>,
    /// The most events to forget in one go, so that appends are never held up for long.
    pub step_events: u32,
    /// The most bytes to forget in one go; a single event may have more.
    pub step_bytes: u64,
}

impl Trim {
    /// Those received before a moment, whoever holds them, and at most so many.
    pub fn older_than(before: UnixMillis, step_events: u32) -> Self {
        Self { before, held_before: before, most_bytes: None, step_events, step_bytes: u64::MAX }
    }
}

/// A change to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes it.
    Create {
        /// Which events it is about.
        filter: Filter,
        /// Its first place.
        place: Place,
    },
    /// Gives it another filter.
    Update(Filter),
    /// Moves it, forward or back.
    Seek(Place),
    /// Moves it forward to behind the event of that number; one that it is behind already changes nothing.
    Acknowledge {
        /// The event.
        number: u64,
        /// What its generation must be. Absent: whatever it is.
        generation: Option<u64>,
    },
    /// Removes it.
    Delete,
}

/// A place in the journal, as of the moment of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the oldest event that is left.
    Oldest,
    /// Behind the newest event.
    Newest,
    /// Behind the event of that number, which the journal has come to.
    Behind(u64),
}

/// What became of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The subscription stands like this; where it was deleted, it stood like this.
    Stands(Subscription),
    /// It exists already, and nothing was changed.
    Exists(Subscription),
    /// There is none of that id.
    Absent,
    /// Its generation is another one by now, and nothing was changed.
    Stale(Subscription),
    /// There are [`MOST_SUBSCRIPTIONS`], and none was made.
    TooMany,
}

/// An event on its way into the journal.
#[derive(Debug)]
pub struct Append {
    /// The event.
    pub event: Event,
    /// By what a repetition is recognised. Absent: always appended, and marked when the same bytes came before.
    pub identity: Option<Identity>,
    /// The attempt of ours that it proves to have reached the provider.
    pub proof: Option<Proof>,
    /// The webhook's body.
    pub raw: Bytes,
}

/// Whoever holds what is under way: one run of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub ulid::Ulid);

impl Owner {
    /// A new one.
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate())
    }
}

/// An attempt that is about to begin.
///
/// | record | `resend_after` | what happens |
/// |---|---|---|
/// | none | absent | attempt 1 begins; in a store that was restored, for as long as it is in doubt, [`Begun::Known`], unknown 1 |
/// | none | N | attempt N + 1 begins |
/// | unknown N | N | attempt N + 1 begins |
/// | of another fingerprint | any | [`Begun::Reused`] |
/// | anything else | any | [`Begun::Known`] |
#[derive(Clone, Debug)]
pub struct Begin {
    /// Whose request it is.
    pub account: AccountId,
    /// The request.
    pub request: Request,
    /// Who makes the attempt.
    pub owner: Owner,
    /// When the attempt has ended for certain, whatever becomes of its owner.
    pub not_after: UnixMillis,
    /// The message, pending, where the write is a send. Of a request with a record, the message of the record counts.
    pub message: Option<Message>,
}

/// What became of a [`Begin`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it travels in a box, `Done::Begun`")]
pub enum Begun {
    /// The attempt may be made; that is durable.
    Attempt {
        /// Which one.
        number: u32,
        /// The message, where the write is a send.
        message_id: Option<MessageId>,
    },
    /// It must not be made: this is what is known.
    Known(Record),
    /// The request asks for something else than an earlier one of its id did.
    Reused,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it asks for.
    pub fingerprint: Fingerprint,
    /// The newest attempt.
    pub attempt: u32,
    /// How it stands.
    pub standing: Standing,
    /// The message, where the write is a send.
    pub message: Option<Message>,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its attempt is under way.
    InFlight {
        /// Who makes it.
        owner: Owner,
        /// When it has ended for certain.
        not_after: UnixMillis,
    },
    /// It was done.
    Accepted {
        /// The reply, where the write is no send.
        reply: Option<Bytes>,
    },
    /// Nobody can tell whether its newest attempt was done.
    Unknown(Doubt),
}

impl Standing {
    /// Whether an attempt of this owner is under way.
    pub fn is_of(&self, of: Owner) -> bool {
        matches!(self, Self::InFlight { owner, .. } if *owner == of)
    }
}

/// An attempt that has ended, or a send without a request's id.
#[derive(Clone, Debug)]
pub struct End {
    /// Whose it is.
    pub account: AccountId,
    /// The request, if it has an id: then only its attempt of this number, owner and message is ended.
    pub request: Option<RequestId>,
    /// Which attempt.
    pub attempt: u32,
    /// Who made it.
    pub owner: Owner,
    /// The message as the sender knows it, where the write is a send.
    pub message: Option<Message>,
    /// What came of it.
    pub outcome: Outcome,
    /// When that was known.
    pub end_time: UnixMillis,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Accepted {
        /// The reply to keep, where the write is no send.
        reply: Option<Bytes>,
        /// The provider's ids of the message.
        provider_ids: Vec<String>,
        /// The provider's own word for its state.
        provider_state: Option<String>,
    },
    /// It was refused, or not sent: nothing was done.
    NotDone,
    /// Nobody can tell.
    Unknown(Doubt),
}

/// How things stand after an [`End`], by all that is known: an event may have proven more than the reply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The request's record. Absent when there is none (any more).
    pub record: Option<Record>,
    /// The message. Absent when there is none (any more).
    pub message: Option<Message>,
}

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

/// What became of an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// See there.
    Begun(Box<Begun>),
    /// See there.
    Ended(Box<Ended>),
    /// So many rows of the kind that had most were forgotten.
    Forgotten(u64),
    /// The event has this number.
    Appended(u64),
    /// An event of that identity is in the journal already, and durable.
    Duplicate,
    /// See there.
    Trimmed(Trimmed),
    /// See there.
    Changed(Box<Changed>),
}

/// What was forgotten by a [`Trim`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many events.
    pub events: u64,
    /// Whether it ended for its size, so that another one would find more.
    pub more: bool,
    /// The subscriptions that lost an event that they had not acknowledged, and had lost none before.
    pub expired: Vec<SubscriptionId>,
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
    pub life: Option<Life>,
}

/// What a status means for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
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
    pub events: Arc<[Stored]>,
    /// Messages that are new or stand differently now, as they stand.
    pub messages: Vec<Message>,
    /// Subscriptions whose filter or place was set, as they stand, and those that were deleted.
    pub subscriptions: Vec<(SubscriptionId, Option<Subscription>)>,
}

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
    /// between were trimmed. Empty at the journal's end. Read backwards, the last is the one asked for, or none is left.
    pub events: Arc<[Stored]>,
}

/// Where a moment lies among the journal's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The place before the first event that is left and was received at that moment or later: the number of the event
    /// before it. The journal's end if there is none.
    pub behind: u64,
    /// Whether events that were received at that moment or later are gone.
    pub trimmed: bool,
}

/// Where a cursor stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Behind the event of that number, which may be trimmed or still to come.
    At(u64),
    /// At what was lost when the journal was restored. What it has in common with the cursor's ends with that number.
    Lost(u64),
    /// In another journal.
    Foreign,
}

/// When the oldest and the newest event that are left were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The oldest.
    pub oldest: UnixMillis,
    /// The newest.
    pub newest: UnixMillis,
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
    pub owner: Owner,
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
    /// The file is a backup.
    #[error("{path} is a backup, and no store: make a store of it with `switchboard restore`")]
    Backup {
        /// The file.
        path: PathBuf,
    },
    /// The file is no backup.
    #[error("{path} is no backup: make one with `switchboard backup`")]
    NoBackup {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already, and it is not written over.
    #[error("{path} exists already: move it away first")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
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
    /// The file does not hold what it should.
    #[error("the store does not hold what it should: {0}")]
    Unsound(String),
    /// A backup, or a store made of one, cannot be written.
    #[error("cannot write {path}")]
    NotMade {
        /// The file that was to be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// A row cannot be what this version wrote.
    #[error("the store holds a row that cannot be read: {0}")]
    Corrupt(String),
}

/// The most subscriptions that there may be: each is looked at when events are trimmed.
pub const MOST_SUBSCRIPTIONS: u32 = 1_000;

/// How long a page may be, by default: short enough that no reader holds up the log's reuse.
pub const PAGE_EVENTS: u32 = 512;

/// How many bytes of events a page may hold before it ends early.
pub const PAGE_BYTES: usize = 1 << 20;

/// How long opening waits for another process to let go of the file.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
