//! What publishers and readers saw, in the order in which each of them saw it. The checker knows nothing else.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use prost::Message as _;
use switchboard::domain::Cursor;
use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::{ClosingReason, Event};

/// Microseconds since the run began, by one clock that never goes back.
pub(crate) type Moment = u64;

/// Tells bodies and events apart.
pub(crate) type Digest = u64;

/// The digest of bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// By what a webhook is found again among the events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The account and the provider's identity: one event, however often it is delivered.
    Identity(String, String),
    /// The account and the body, where there is no identity: every delivery that is answered 200 is an event.
    Body(String, Digest),
}

/// One webhook, delivered by one publisher until it is answered 200, and perhaps again later.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) key: Key,
    /// When the first delivery began.
    pub(crate) began: Moment,
    /// How many deliveries there were.
    pub(crate) tries: usize,
    /// When deliveries were answered 200.
    pub(crate) accepted: Vec<Moment>,
}

/// An event, as somebody was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its place.
    pub(crate) cursor: Cursor,
    pub(crate) id: String,
    /// Of all that it says, but for the raw body.
    pub(crate) content: Digest,
    pub(crate) account: String,
    pub(crate) event_type: String,
    pub(crate) receive_ms: i64,
    /// By what its webhook is found. Absent where only the raw body would say it, and the reader did not ask for that.
    pub(crate) key: Option<Key>,
    pub(crate) possible_duplicate_of: String,
}

impl Seen {
    /// Reads what was given. None when it has no cursor or no time that can be read.
    pub(crate) fn of(mut event: Event) -> Option<Self> {
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
            id: event.id,
            account: event.account,
            event_type: event.r#type,
            possible_duplicate_of: event.possible_duplicate_of,
        })
    }

    /// Its number in the journal.
    pub(crate) fn number(&self) -> u64 {
        self.cursor.number
    }
}

/// Which events somebody wants. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) accounts: Vec<String>,
    pub(crate) types: Vec<String>,
}

impl Wanted {
    /// Whether an event is wanted, by the contract's words.
    pub(crate) fn matches(&self, event: &Seen) -> bool {
        let of_type = |word: &String| match word.strip_suffix('*') {
            Some(first) => event.event_type.starts_with(first),
            None => event.event_type == *word,
        };
        (self.accounts.is_empty() || self.accounts.contains(&event.account))
            && (self.types.is_empty() || self.types.iter().any(of_type))
    }
}

/// From where a stream or a walk was to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Latest,
    Earliest,
    /// Behind a place, and what had given it.
    After(Cursor, Kept),
    /// Since a time, in milliseconds.
    Since(i64),
    /// At the place of the subscription with this id, which the server keeps.
    Subscription(&'static str),
}

/// What gave a cursor that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Started,
    Event,
    /// An event before the last: what came behind it was not dealt with, and must come again.
    EarlierEvent,
    Heartbeat,
    Gap,
    Closing,
    /// The failure that said that what was kept before is gone.
    Expired,
    /// An event from before the journal was restored.
    BeforeRestore,
    /// The failure that said that what was kept is not in the journal that was restored.
    Lost,
}

/// One stream of one reader.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Whose it is. The streams of a reader stand in their order.
    pub(crate) reader: String,
    pub(crate) wanted: Wanted,
    pub(crate) start: Start,
    /// Whether it asked for gaps in place of a failure.
    pub(crate) skips: bool,
    /// When it was asked for.
    pub(crate) opened: Moment,
    /// When `started` came, or if it never did, when the stream was over.
    pub(crate) began: Moment,
    pub(crate) given: Vec<Given>,
    pub(crate) end: End,
}

/// One thing that a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Started {
        cursor: Cursor,
        oldest: Cursor,
        newest: Cursor,
        /// The subscription's; 0 without one.
        generation: u64,
    },
    Event(Seen),
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
    /// Something that no reader can make sense of.
    Nonsense(String),
}

impl Given {
    /// The place that the stream had come to with it.
    pub(crate) fn place(&self) -> Option<(Cursor, Kept)> {
        match self {
            Self::Started { cursor, .. } => Some((*cursor, Kept::Started)),
            Self::Event(event) => Some((event.cursor, Kept::Event)),
            Self::Heartbeat(cursor) => Some((*cursor, Kept::Heartbeat)),
            Self::Gap { resume, .. } => Some((*resume, Kept::Gap)),
            Self::Closing { cursor, .. } => Some((*cursor, Kept::Closing)),
            Self::Nonsense(_) => None,
        }
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The reader broke it off.
    Left,
    /// The reader had read all that there was to read.
    Settled,
    /// It was silent for so long that the reader took it for dead.
    Silent,
    /// The server ended it with OK.
    Ok,
    /// The server said why, and where to go on if it knew.
    Refused { code: tonic::Code, reason: String, place: Option<Cursor> },
    /// Nobody said why: the connection broke, or was never there.
    Broken,
    /// Faults were long over, and the reader had still not come to the journal's end.
    Lagging,
}

impl Stream {
    /// The events that it gave.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Seen> {
        self.given.iter().filter_map(|given| match given {
            Given::Event(event) => Some(event),
            Given::Started { .. }
            | Given::Heartbeat(_)
            | Given::Gap { .. }
            | Given::Closing { .. }
            | Given::Nonsense(_) => None,
        })
    }

    /// The subscription that it reads.
    pub(crate) fn subscription(&self) -> Option<&'static str> {
        match self.start {
            Start::SubscriptionId(id) => Some(id),
            Start::Latest | Start::Earliest | Start::After(..) | Start::Since(_) => None,
        }
    }

    /// Where it said that it started, and what it said of the journal's oldest and newest place.
    pub(crate) fn started(&self) -> Option<(Cursor, Cursor, Cursor)> {
        match self.given.first() {
            Some(Given::Started { cursor, oldest, newest, .. }) => Some((*cursor, *oldest, *newest)),
            _ => None,
        }
    }
}

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// Pages of `ListEvents`, each asked for where the one before it ended.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) wanted: Wanted,
    pub(crate) direction: Direction,
    /// From where. A walk back starts at the newest place or before a cursor.
    pub(crate) start: Start,
    pub(crate) pages: Vec<Page>,
    /// Whether it went from one end to the other when faults were over.
    pub(crate) settled: bool,
    /// Why it ended before its time, if the server said.
    pub(crate) refused: Option<String>,
}

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// When it was asked for.
    pub(crate) asked: Moment,
    pub(crate) events: Vec<Seen>,
    pub(crate) previous: Cursor,
    pub(crate) next: Cursor,
    pub(crate) reached_oldest: bool,
    pub(crate) reached_newest: bool,
}

/// One call about a named subscription. Those that change it are made by one alone, each until it is answered, on a
/// good line: of one that is not answered, nothing comes later than the process that it was made to.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) subscription: &'static str,
    pub(crate) what: What,
    pub(crate) asked: Moment,
    /// When it was answered, or given up.
    pub(crate) ended: Moment,
    pub(crate) answer: Answer,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Create { wanted: Wanted, start: Start },
    Update(Wanted),
    Seek(Start),
    Delete,
    Get,
    Acknowledge { cursor: Cursor, generation: u64 },
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing, or that it cannot tell now: it may be done or not.
    Unknown,
    /// It stands there. What else it is, is said by all but `Acknowledge`.
    Stands { place: Cursor, generation: Option<u64>, expired: bool, wanted: Wanted },
    /// It is deleted.
    Gone,
    /// It was not done.
    Refused(String),
}

/// Where the records of a journal begin that was restored.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    /// The newest number in the backup.
    pub(crate) newest: u64,
    /// The whole journal as it was in the end, before it was lost.
    pub(crate) lost: Vec<Seen>,
}

/// All that was recorded of one journal: of one that was restored, its backup's past is a part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) posts: Vec<Post>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) walks: Vec<Walk>,
    /// In the order in which they ended, of each who made them.
    pub(crate) calls: Vec<Call>,
    /// The journal's epoch.
    pub(crate) epoch: u64,
    /// What came before, if it was restored.
    pub(crate) restored: Option<Restored>,
    /// Whether what a subscription has not acknowledged is kept for longer than the round lasts.
    pub(crate) holds: bool,
    /// The whole journal as it is at the end, with raw bodies. No fault fell on whoever read it.
    pub(crate) whole: Vec<Seen>,
    /// The place before the oldest event that was left at the end.
    pub(crate) trimmed: u64,
}

impl Records {
    /// These are of a journal that was restored from a backup: what was answered before that was begun counts here too.
    /// Of what was under way while it was made, nobody knows; and what came later is lost.
    pub(crate) fn behind(mut self, past: &Self, newest: u64, began: Moment, done: Moment) -> Self {
        let mut posts = past.posts.clone();
        for post in &mut posts {
            post.accepted.retain(|answered| *answered < began);
        }
        posts.append(&mut self.posts);
        let calls = past.calls.iter().filter(|call| call.asked < done);
        let mut calls: Vec<Call> = calls
            .map(|call| match call.what {
                // No changes are made while a backup is.
                _ if call.ended < began => call.clone(),
                What::Create { .. }
                | What::Update(_)
                | What::Seek(_)
                | What::Delete
                | What::Get
                | What::Acknowledge { .. } => Call { answer: Answer::Unknown, ..call.clone() },
            })
            .collect();
        calls.append(&mut self.calls);
        let restored = Some(Restored { newest, lost: past.whole.clone() });
        Self { posts, calls, restored, ..self }
    }
}
