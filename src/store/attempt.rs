//! Attempts at writes at a provider: how they begin, how they end, and what is known of them.

use bytes::Bytes;

use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{AccountId, Message, MessageId, RequestId, UnixMillis};

/// Whoever holds what is under way: one run of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaId(pub ulid::Ulid);

impl ReplicaId {
    /// A new one.
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate())
    }
}

/// An attempt that is about to begin.
///
/// | record | `resend_after` | what happens |
/// |---|---|---|
/// | none | absent | attempt 1 begins; in a store that was restored, for as long as it is in doubt, [`BeginResult::Known`], unknown 1 |
/// | none | N | attempt N + 1 begins |
/// | unknown N | N | attempt N + 1 begins |
/// | of another fingerprint | any | [`BeginResult::Reused`] |
/// | anything else | any | [`BeginResult::Known`] |
#[derive(Clone, Debug)]
pub struct BeginAttempt {
    /// Whose request it is.
    pub account: AccountId,
    /// The request.
    pub request: Request,
    /// Who makes the attempt.
    pub replica_id: ReplicaId,
    /// When the attempt has ended for certain, whatever becomes of its replica_id.
    pub not_after: UnixMillis,
    /// The message, pending, where the write is a send. Of a request with a record, the message of the record counts.
    pub message: Option<Message>,
}

/// What became of a [`BeginAttempt`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it travels in a box, `Done::Begun`")]
pub enum BeginResult {
    /// The attempt may be made; that is durable.
    Attempt {
        /// Which one.
        number: u32,
        /// The message, where the write is a send.
        message_id: Option<MessageId>,
    },
    /// It must not be made: this is what is known.
    Known(RequestRecord),
    /// The request asks for something else than an earlier one of its id did.
    Reused,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// What it asks for.
    pub fingerprint: Fingerprint,
    /// The newest attempt.
    pub attempt: u32,
    /// How it stands.
    pub state: RequestState,
    /// The message, where the write is a send.
    pub message: Option<Message>,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Its attempt is under way.
    InFlight {
        /// Who makes it.
        replica_id: ReplicaId,
        /// When it has ended for certain.
        not_after: UnixMillis,
    },
    /// It was done.
    Accepted {
        /// The reply, where the write is no send.
        reply: Option<Bytes>,
    },
    /// Nobody can tell whether its newest attempt was done.
    Unknown(UnknownOutcome),
}

impl RequestState {
    /// Whether an attempt of this replica_id is under way.
    pub fn is_owned_by(&self, id: ReplicaId) -> bool {
        matches!(self, Self::InFlight { replica_id, .. } if *replica_id == id)
    }
}

/// An attempt that has ended, or a send without a request's id.
#[derive(Clone, Debug)]
pub struct FinishAttempt {
    /// Whose it is.
    pub account: AccountId,
    /// The request, if it has an id: then only its attempt of this number, replica_id and message is ended.
    pub request: Option<RequestId>,
    /// Which attempt.
    pub attempt: u32,
    /// Who made it.
    pub replica_id: ReplicaId,
    /// The message as the sender knows it, where the write is a send.
    pub message: Option<Message>,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// When that was known.
    pub end_time: UnixMillis,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
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
    Unknown(UnknownOutcome),
}

/// How things stand after an [`FinishAttempt`], by all that is known: an event may have proven more than the reply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishResult {
    /// The request's record. Absent when there is none (any more).
    pub record: Option<RequestRecord>,
    /// The message. Absent when there is none (any more).
    pub message: Option<Message>,
}
