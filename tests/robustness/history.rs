//! The history: what each participant did and observed, in the order in which it did so. It is the checker's only
//! input.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use prost::Message as _;
use switchboard::domain::Cursor;
use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::{ClosingReason, Event};

/// Microseconds since the round began, on a monotonic clock.
pub(crate) type Micros = u64;

/// Identifies a body or an event's content.
pub(crate) type Digest = u64;

/// The digest of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Matches a webhook to its events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Account and provider identity: all deliveries together become one event.
    Identity(String, String),
    /// Account and digest of a body without an identity: every delivery with a 200 response becomes an event.
    Body(String, Digest),
}

/// One webhook. Its publisher delivers it until the server responds with 200, and may deliver it again later.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) key: Key,
    /// When the first delivery began.
    pub(crate) invoked: Micros,
    /// Number of deliveries.
    pub(crate) attempts: usize,
    /// When 200 responses arrived.
    pub(crate) accepted_at: Vec<Micros>,
}

/// An event as one participant received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObservedEvent {
    pub(crate) cursor: Cursor,
    pub(crate) id: String,
    /// Digest of all fields except the raw body.
    pub(crate) content: Digest,
    pub(crate) account: String,
    pub(crate) event_type: String,
    pub(crate) receive_ms: i64,
    /// Matches the event to its webhook. Absent if that needs the raw body and the participant did not request it.
    pub(crate) key: Option<Key>,
    pub(crate) possible_duplicate_of: String,
}

impl ObservedEvent {
    /// Converts a received event. Returns `None` if the payload, the cursor or the receive time is missing or invalid.
    pub(crate) fn from_proto(mut event: Event) -> Option<Self> {
        let raw = std::mem::take(&mut event.raw_body);
        let identity = match event.payload.as_ref()? {
            Payload::MessageReceived(message) => Some(&message.provider_message_id)
                .filter(|id| !id.is_empty())
                .map(|id| format!("message {id}")),
            Payload::MessageStatus(status) => {
                Some(format!("status {} {}", status.provider_message_id, status.provider_status))
            }
            Payload::MessageEcho(echo) => Some(format!("echo {}", echo.provider_message_id)),
            Payload::ReportRun(_) | Payload::MessageAccepted(_) | Payload::Unknown(_) => None,
        };
        let key = match identity {
            Some(identity) => Some(Key::Identity(event.account.clone(), identity)),
            None if raw.is_empty() => None,
            None => Some(Key::Body(event.account.clone(), digest(&raw))),
        };
        let received = event.receive_time?;
        Some(Self {
            cursor: event.cursor.parse().ok()?,
            content: digest(&event.encode_to_vec()),
            receive_ms: received.seconds * 1_000 + i64::from(received.nanos) / 1_000_000,
            key,
            id: event.event_id,
            account: event.account,
            event_type: event.r#type,
            possible_duplicate_of: event.possible_duplicate_of,
        })
    }

    /// Its sequence number in the journal.
    pub(crate) fn sequence(&self) -> u64 {
        self.cursor.sequence
    }
}

/// Selects events. An empty list selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) accounts: Vec<String>,
    pub(crate) types: Vec<String>,
}

impl Filter {
    /// Whether the filter selects an event, as the contract defines it.
    pub(crate) fn matches(&self, event: &ObservedEvent) -> bool {
        let of_type = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => event.event_type.starts_with(prefix),
            None => event.event_type == *pattern,
        };
        (self.accounts.is_empty() || self.accounts.contains(&event.account))
            && (self.types.is_empty() || self.types.iter().any(of_type))
    }
}

/// The requested start of a stream or a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Latest,
    Earliest,
    /// After a cursor of this origin.
    After(Cursor, CursorOrigin),
    /// Since a time in milliseconds.
    Since(i64),
    /// At the position that the server stores for the subscription with this id.
    Subscription(&'static str),
}

/// The item that a saved cursor came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorOrigin {
    Started,
    Event,
    /// An event before the last one. The subscriber has not processed the later events, so it must receive them again.
    EarlierEvent,
    Heartbeat,
    Gap,
    Closing,
    /// The failure that reported the previous cursor as expired.
    Expired,
    /// An event that the subscriber received before the restore.
    BeforeRestore,
    /// The failure that reported the previous cursor as not contained in the restored journal.
    Lost,
}

/// One stream of one subscriber.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The subscriber's name. The streams of one subscriber are in order.
    pub(crate) subscriber: String,
    pub(crate) filter: Filter,
    pub(crate) start: Start,
    /// Whether the subscriber requested gaps in place of a failure.
    pub(crate) wants_gaps: bool,
    /// When the subscriber opened the stream.
    pub(crate) invoked: Micros,
    /// When the first item arrived. Without items: when the stream ended.
    pub(crate) started_at: Micros,
    pub(crate) items: Vec<StreamItem>,
    pub(crate) end: StreamEnd,
}

/// One item that a subscriber received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamItem {
    Started {
        cursor: Cursor,
        oldest: Cursor,
        newest: Cursor,
        /// The subscription's generation; 0 without a subscription.
        generation: u64,
    },
    Event(ObservedEvent),
    Heartbeat(Cursor),
    Gap {
        after: Option<Cursor>,
        resume: Cursor,
        missed: Option<u64>,
    },
    Closing {
        cursor: Cursor,
        reason: ClosingReason,
    },
    /// An item that a subscriber cannot parse.
    Malformed(String),
}

impl StreamItem {
    /// The stream's position after this item.
    pub(crate) fn position(&self) -> Option<(Cursor, CursorOrigin)> {
        match self {
            Self::Started { cursor, .. } => Some((*cursor, CursorOrigin::Started)),
            Self::Event(event) => Some((event.cursor, CursorOrigin::Event)),
            Self::Heartbeat(cursor) => Some((*cursor, CursorOrigin::Heartbeat)),
            Self::Gap { resume, .. } => Some((*resume, CursorOrigin::Gap)),
            Self::Closing { cursor, .. } => Some((*cursor, CursorOrigin::Closing)),
            Self::Malformed(_) => None,
        }
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The subscriber closed it.
    Disconnected,
    /// The subscriber had read up to the target.
    CaughtUp,
    /// No item arrived within the subscriber's idle timeout.
    IdleTimeout,
    /// The server ended it with OK.
    Ok,
    /// The server returned an error with a reason, and a cursor to resume from if the reason has one.
    Failed { code: tonic::Code, reason: String, position: Option<Cursor> },
    /// The connection broke or could not be opened. No reason arrived.
    ConnectionLost,
    /// The subscriber had not reached the journal's end at the deadline after the faults.
    NotCaughtUp,
}

impl Stream {
    /// The events among its items.
    pub(crate) fn events(&self) -> impl Iterator<Item = &ObservedEvent> {
        self.items.iter().filter_map(|item| match item {
            StreamItem::Event(event) => Some(event),
            StreamItem::Started { .. }
            | StreamItem::Heartbeat(_)
            | StreamItem::Gap { .. }
            | StreamItem::Closing { .. }
            | StreamItem::Malformed(_) => None,
        })
    }

    /// The id of the subscription that it reads.
    pub(crate) fn subscription(&self) -> Option<&'static str> {
        match self.start {
            Start::Subscription(id) => Some(id),
            Start::Latest | Start::Earliest | Start::After(..) | Start::Since(_) => None,
        }
    }

    /// The start cursor and the journal's oldest and newest cursor, as `started` reported them.
    pub(crate) fn started(&self) -> Option<(Cursor, Cursor, Cursor)> {
        match self.items.first() {
            Some(StreamItem::Started { cursor, oldest, newest, .. }) => Some((*cursor, *oldest, *newest)),
            _ => None,
        }
    }
}

/// The direction of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// A sequence of `ListEvents` pages. Each page was requested where the one before it ended.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) direction: Direction,
    /// A backward listing starts at the newest position or before a cursor.
    pub(crate) start: Start,
    pub(crate) pages: Vec<Page>,
    /// Whether it covered the whole journal after the faults.
    pub(crate) full_scan: bool,
    /// The server's reason for a failure that ended it early.
    pub(crate) failure: Option<String>,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// When the lister requested it.
    pub(crate) invoked: Micros,
    pub(crate) events: Vec<ObservedEvent>,
    pub(crate) previous: Cursor,
    pub(crate) next: Cursor,
    pub(crate) reached_oldest: bool,
    pub(crate) reached_newest: bool,
}

/// One operation on a named subscription.
///
/// Only the subscription's manager changes it, and retries each change until it gets a response. The manager's
/// connection has no network faults, so a change without a response cannot take effect after the server process that
/// received it has ended.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) subscription: &'static str,
    pub(crate) kind: OperationKind,
    pub(crate) invoked: Micros,
    /// When the response arrived or the client gave up.
    pub(crate) completed: Micros,
    pub(crate) completion: Completion,
}

/// The kinds of operations on a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OperationKind {
    Create { filter: Filter, start: Start },
    Update(Filter),
    Seek(Start),
    Delete,
    Get,
    Acknowledge { cursor: Cursor, generation: u64 },
}

/// How an operation completed. `Ok`, `Fail` and `Info` have the meanings that they have in a Jepsen history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// No response arrived, or the server was unavailable: the operation may have taken effect.
    Info,
    /// The operation took effect. `Acknowledge` returns the position alone; the other fields then have default values.
    Ok { position: Cursor, generation: Option<u64>, expired: bool, filter: Filter },
    /// The subscription was deleted.
    Deleted,
    /// The operation did not take effect, for this reason.
    Fail(String),
}

/// The restore that a journal began with.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    /// The last sequence number in the backup.
    pub(crate) newest: u64,
    /// The whole journal as it was when it was deleted.
    pub(crate) journal_before: Vec<ObservedEvent>,
}

/// Everything recorded about one journal. For a restored journal it includes the time before the backup.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) listings: Vec<Listing>,
    /// The operations of each client, in the order in which they completed.
    pub(crate) operations: Vec<Operation>,
    /// The journal's epoch.
    pub(crate) epoch: u64,
    /// The restore that the journal began with, if any.
    pub(crate) restored: Option<Restored>,
    /// Whether events that a subscription has not acknowledged are retained for longer than the round lasts.
    pub(crate) retains_unacknowledged: bool,
    /// The whole journal at the end, with raw bodies, read without any fault.
    pub(crate) final_journal: Vec<ObservedEvent>,
    /// The sequence number before the oldest event that remained at the end.
    pub(crate) trimmed: u64,
}

impl History {
    /// Completes the history of a journal that was restored from a backup with what precedes the backup.
    ///
    /// Responses from before `backup_began` count. Operations that overlap the backup may be in it or not, and
    /// everything later is lost.
    pub(crate) fn after_restore(
        mut self,
        past: &Self,
        newest: u64,
        backup_began: Micros,
        backup_completed: Micros,
    ) -> Self {
        let mut webhooks = past.webhooks.clone();
        for webhook in &mut webhooks {
            webhook.accepted_at.retain(|accepted| *accepted < backup_began);
        }
        webhooks.append(&mut self.webhooks);
        let operations = past.operations.iter().filter(|op| op.invoked < backup_completed);
        let mut operations: Vec<Operation> = operations
            .map(|op| match op.kind {
                // Managers do not change subscriptions during a backup.
                _ if op.completed < backup_began => op.clone(),
                OperationKind::Create { .. }
                | OperationKind::Update(_)
                | OperationKind::Seek(_)
                | OperationKind::Delete
                | OperationKind::Get
                | OperationKind::Acknowledge { .. } => {
                    Operation { completion: Completion::Info, ..op.clone() }
                }
            })
            .collect();
        operations.append(&mut self.operations);
        let restored = Some(Restored { newest, journal_before: past.final_journal.clone() });
        Self { webhooks, operations, restored, ..self }
    }
}
