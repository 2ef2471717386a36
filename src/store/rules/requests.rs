//! Requests with an idempotency key, one row each, with the state of the newest attempt.
//!
//! **Invariants.** A row has no end time exactly while its attempt is in flight. Such a row is never deleted by
//! retention. While an attempt is in flight, `unknown_outcome` is that of the previous attempt. If nothing was
//! executed, the row returns to that attempt. The row of a first attempt has none and is deleted. Only a resend
//! increases the attempt's number.

use bytes::Bytes;

use super::super::{BeginAttempt, BeginResult, OpResult, ReplicaId, RequestRecord, RequestState};
use super::{RowError, Rows, Transaction};
use crate::domain::UnixMillis;
use crate::domain::message::{Message, MessageId, MessageProblem, MessageState};
use crate::domain::outcome::{UnknownOutcome, UnknownReason};
use crate::domain::request::{Fingerprint, Request};

/// The state of the newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(in crate::store) enum RowState {
    InFlight,
    Accepted,
    Unknown,
}

/// A row of `requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct RequestRow {
    pub(in crate::store) fingerprint: Fingerprint,
    pub(in crate::store) state: RowState,
    pub(in crate::store) attempt: u32,
    pub(in crate::store) replica_id: ReplicaId,
    pub(in crate::store) not_after: UnixMillis,
    pub(in crate::store) unknown_outcome: Option<UnknownOutcome>,
    pub(in crate::store) reply: Option<Bytes>,
    pub(in crate::store) message_id: Option<MessageId>,
    pub(in crate::store) end_time: Option<UnixMillis>,
}

impl RequestRow {
    /// The record that callers receive.
    pub(in crate::store) fn record(self, message: Option<Message>) -> RequestRecord {
        let state = match self.state {
            RowState::InFlight => {
                RequestState::InFlight { replica_id: self.replica_id, not_after: self.not_after }
            }
            RowState::Accepted => RequestState::Accepted { reply: self.reply },
            RowState::Unknown => RequestState::Unknown(
                self.unknown_outcome.expect("every engine refuses an unknown row without an outcome"),
            ),
        };
        RequestRecord { fingerprint: self.fingerprint, attempt: self.attempt, state, message }
    }
}

/// The record of a request that may have been lost in a restore. Whether it was executed is unknown.
pub(in crate::store) fn presumed_lost(request: &Request) -> RequestRecord {
    RequestRecord {
        fingerprint: request.fingerprint,
        attempt: 1,
        state: RequestState::Unknown(UnknownOutcome { cause: UnknownReason::Restored, fault: None }),
        message: None,
    }
}

/// Marks a message's outcome unknown, unless its state is already further.
pub(in crate::store) fn mark_unknown(
    message: &mut Message,
    unknown_outcome: &UnknownOutcome,
    now: UnixMillis,
) {
    if message.state > MessageState::Unknown {
        return;
    }
    if message.state < MessageState::Unknown {
        message.state = MessageState::Unknown;
        message.update_time = now;
    }
    message.problem = Some(MessageProblem::OutcomeUnknown(unknown_outcome.clone()));
}

impl<R: Rows> Transaction<R> {
    /// Whether an unknown request may have been executed and its record lost. The store was restored, and its backup
    /// lacks later requests.
    fn replay_guard_is_active(&self) -> bool {
        self.journal.replay_guard_until.is_some()
    }

    /// Begins an attempt, unless it must not begin: see [`BeginAttempt`].
    pub(in crate::store) fn begin_attempt(&mut self, begin: BeginAttempt) -> Result<OpResult, RowError> {
        let BeginAttempt { account, request, replica_id, not_after, message: draft } = begin;
        let begun = match self.rows.request(&account, &request.id)? {
            None if request.resend_after.is_none() && self.replay_guard_is_active() => {
                BeginResult::Known(presumed_lost(&request))
            }
            None => {
                let number = request.resend_after.map_or(1, |after| after.saturating_add(1));
                let message_id = draft.as_ref().map(|message| message.id);
                let row = RequestRow {
                    fingerprint: request.fingerprint,
                    state: RowState::InFlight,
                    attempt: number,
                    replica_id,
                    not_after,
                    unknown_outcome: None,
                    reply: None,
                    message_id,
                    end_time: None,
                };
                self.rows.put_request(&account, &request.id, &row)?;
                if let Some(draft) = draft {
                    let message = Message {
                        state: MessageState::Pending,
                        request_id: Some(request.id),
                        attempt: number,
                        ..draft
                    };
                    self.rows.insert_message(&message)?;
                    self.mark_changed(message);
                }
                BeginResult::Attempt { number, message_id }
            }
            Some((row, _)) if row.fingerprint != request.fingerprint => BeginResult::Reused,
            Some((row, message)) => match next_attempt(&row, request.resend_after) {
                Some(number) => {
                    let message_id = row.message_id;
                    let row = RequestRow {
                        state: RowState::InFlight,
                        attempt: number,
                        replica_id,
                        not_after,
                        end_time: None,
                        ..row
                    };
                    self.rows.put_request(&account, &request.id, &row)?;
                    if let Some(mut message) = message {
                        message.attempt = number;
                        self.rows.update_message(&message)?;
                        self.mark_changed(message);
                    }
                    BeginResult::Attempt { number, message_id }
                }
                None => BeginResult::Known(row.record(message)),
            },
        };
        Ok(OpResult::Begun(Box::new(begun)))
    }
}

/// The number of the next attempt, if `resend_after` names the newest attempt and its outcome is unknown.
fn next_attempt(row: &RequestRow, resend_after: Option<u32>) -> Option<u32> {
    match row.state {
        RowState::Unknown if resend_after == Some(row.attempt) => row.attempt.checked_add(1),
        RowState::Unknown | RowState::InFlight | RowState::Accepted => None,
    }
}
