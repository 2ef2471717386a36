//! Attempts at provider writes: how an attempt begins, how it ends, and what the store records about it.

use bytes::Bytes;

use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{AccountId, Message, MessageId, RequestId, UnixMillis};

/// Identifies one run of one Switchboard process. It owns the attempts that this run has in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaId(pub ulid::Ulid);

impl ReplicaId {
    /// Generates a new id.
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate())
    }
}

/// An attempt that is about to begin.
///
/// | record | `resend_after` | result |
/// |---|---|---|
/// | none | absent | attempt 1 begins; while a restored store's replay guard is active, [`BeginResult::Known`] with attempt 1 unknown |
/// | none | N | attempt N + 1 begins |
/// | unknown N | N | attempt N + 1 begins |
/// | has another fingerprint | any | [`BeginResult::Reused`] |
/// | anything else | any | [`BeginResult::Known`] |
#[derive(Clone, Debug)]
pub struct BeginAttempt {
    /// The account of the request.
    pub account: AccountId,
    /// The request.
    pub request: Request,
    /// The process run that makes the attempt.
    pub replica_id: ReplicaId,
    /// The time by which the attempt has certainly ended, even if its process dies.
    pub not_after: UnixMillis,
    /// The pending message, if the write is a send. If the request has a record, the record's message is used
    /// instead.
    pub message: Option<Message>,
}

/// The result of a [`BeginAttempt`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is boxed in `OpResult::Begun`")]
pub enum BeginResult {
    /// The attempt may be made. This is durable.
    Attempt {
        /// The attempt's number, counted from 1.
        number: u32,
        /// The message, if the write is a send.
        message_id: Option<MessageId>,
    },
    /// The attempt must not be made. This is the request's record.
    Known(RequestRecord),
    /// An earlier request with the same id has another fingerprint.
    Reused,
}

/// What the store records about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// The fingerprint of the request's content.
    pub fingerprint: Fingerprint,
    /// The number of the newest attempt.
    pub attempt: u32,
    /// The request's state.
    pub state: RequestState,
    /// The message, if the write is a send.
    pub message: Option<Message>,
}

/// The state of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// An attempt is in flight.
    InFlight {
        /// The process run that makes the attempt.
        replica_id: ReplicaId,
        /// The time by which the attempt has certainly ended.
        not_after: UnixMillis,
    },
    /// The provider accepted the write.
    Accepted {
        /// The stored reply, if the write is not a send.
        reply: Option<Bytes>,
    },
    /// The outcome of the newest attempt is unknown.
    Unknown(UnknownOutcome),
}

impl RequestState {
    /// Whether an attempt of this process run is in flight.
    pub fn is_owned_by(&self, id: ReplicaId) -> bool {
        matches!(self, Self::InFlight { replica_id, .. } if *replica_id == id)
    }
}

/// A finished attempt, or a finished send without a `request_id`.
#[derive(Clone, Debug)]
pub struct FinishAttempt {
    /// The account of the request.
    pub account: AccountId,
    /// The request, if it has an id. Then the op only finishes the attempt with this number, process run and message.
    pub request: Option<RequestId>,
    /// The attempt's number.
    pub attempt: u32,
    /// The process run that made the attempt.
    pub replica_id: ReplicaId,
    /// The message as the sender knows it, if the write is a send.
    pub message: Option<Message>,
    /// The attempt's outcome.
    pub outcome: AttemptOutcome,
    /// When the outcome became known.
    pub end_time: UnixMillis,
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The provider accepted the write.
    Accepted {
        /// The reply to store, if the write is not a send.
        reply: Option<Bytes>,
        /// The provider's ids of the message.
        provider_ids: Vec<String>,
        /// The provider's own name for the message's state.
        provider_state: Option<String>,
        /// The recipient's WhatsApp id.
        recipient_wa_id: Option<String>,
    },
    /// The provider refused the write, or the write was never sent. Nothing was executed.
    NotDone,
    /// The outcome is unknown.
    Unknown(UnknownOutcome),
}

/// The state after a [`FinishAttempt`]. An event may have proven more than the provider's reply did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishResult {
    /// The request's record. Absent if there is none, or if it was deleted.
    pub record: Option<RequestRecord>,
    /// The message. Absent if there is none, or if it was deleted.
    pub message: Option<Message>,
}
