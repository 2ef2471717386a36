//! Requests with an idempotency key, one row each, with the state of the newest attempt.
//!
//! **Invariants.** A row has no `end_ms` exactly while its attempt is in flight. Such a row is never deleted by
//! retention. While an attempt is in flight, `unknown_outcome` is that of the previous attempt. If nothing was
//! executed, the row returns to that attempt. The row of a first attempt has none and is deleted. Only a resend
//! increases the attempt's number.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use ulid::Ulid;

use super::super::{BeginAttempt, BeginResult, OpResult, ReplicaId, RequestRecord, RequestState};
use super::column::{corrupt, optional_json, optional_parsed, parsed};
use super::json_columns::Column as _;
use super::messages;
use super::transaction::Transaction;
use crate::domain::message::{Message, MessageId, MessageProblem, MessageState};
use crate::domain::outcome::{UnknownOutcome, UnknownReason};
use crate::domain::request::{Fingerprint, Request, RequestId};
use crate::domain::{AccountId, UnixMillis};

pub(super) const TABLE: &str = "
    CREATE TABLE requests (
        account TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        state TEXT NOT NULL,
        -- The newest attempt: its number, the process run that made it, and when it has certainly ended.
        attempt INTEGER NOT NULL,
        replica_id BLOB NOT NULL,
        not_after INTEGER NOT NULL,
        -- Why the outcome is unknown: JSON.
        unknown_outcome TEXT,
        -- The reply, if the write is not a send.
        reply BLOB,
        -- The message, if the write is a send.
        message_id TEXT,
        end_ms INTEGER,
        PRIMARY KEY (account, request_id)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX requests_end ON requests (end_ms);
";

/// The state of the newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(super) enum RowState {
    InFlight,
    Accepted,
    Unknown,
}

/// A row of `requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestRow {
    pub(super) fingerprint: Fingerprint,
    pub(super) state: RowState,
    pub(super) attempt: u32,
    pub(super) replica_id: ReplicaId,
    pub(super) not_after: UnixMillis,
    pub(super) unknown_outcome: Option<UnknownOutcome>,
    pub(super) reply: Option<Bytes>,
    pub(super) message_id: Option<MessageId>,
    pub(super) end_time: Option<UnixMillis>,
}

impl RequestRow {
    /// The record that callers receive.
    pub(super) fn record(self, message: Option<Message>) -> RequestRecord {
        let state = match self.state {
            RowState::InFlight => {
                RequestState::InFlight { replica_id: self.replica_id, not_after: self.not_after }
            }
            RowState::Accepted => RequestState::Accepted { reply: self.reply },
            RowState::Unknown => RequestState::Unknown(
                self.unknown_outcome.expect("`read` refuses an unknown row without an outcome"),
            ),
        };
        RequestRecord { fingerprint: self.fingerprint, attempt: self.attempt, state, message }
    }
}

/// Reads a request and its message in one snapshot.
pub(super) fn find(
    db: &Connection,
    account: &AccountId,
    id: &RequestId,
) -> rusqlite::Result<Option<(RequestRow, Option<Message>)>> {
    db.prepare_cached(concat!(
        "SELECT r.fingerprint, r.state, r.attempt, r.replica_id, r.not_after, r.unknown_outcome, r.reply, r.message_id, r.end_ms, ",
        messages::columns!(),
        " FROM requests r LEFT JOIN messages m ON m.message_id = r.message_id
         WHERE r.account = ?1 AND r.request_id = ?2"
    ))?
    .query_row(params![account.as_str(), id.as_str()], |row| {
        let message = match row.get_ref(9)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(messages::read(row, 9)?),
        };
        Ok((read(row)?, message))
    })
    .optional()
}

/// Finds the record that a [`BeginAttempt`] of this request would return.
pub(super) fn find_with_replay_guard(
    db: &Connection,
    account: &AccountId,
    request: &Request,
) -> rusqlite::Result<Option<RequestRecord>> {
    if let Some((request, message)) = find(db, account, &request.id)? {
        return Ok(Some(request.record(message)));
    }
    let guarded = request.resend_after.is_none()
        && db
            .prepare_cached("SELECT replay_guard_until_ms IS NOT NULL FROM journal WHERE id = 1")?
            .query_row([], |row| row.get(0))?;
    Ok(guarded.then(|| presumed_lost(request)))
}

/// The record of a request that may have been lost in a restore. Whether it was executed is unknown.
fn presumed_lost(request: &Request) -> RequestRecord {
    RequestRecord {
        fingerprint: request.fingerprint,
        attempt: 1,
        state: RequestState::Unknown(UnknownOutcome { cause: UnknownReason::Restored, fault: None }),
        message: None,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<RequestRow> {
    let request = RequestRow {
        fingerprint: Fingerprint(row.get(0)?),
        state: parsed(row, 1)?,
        attempt: row.get(2)?,
        replica_id: ReplicaId(Ulid::from_bytes(row.get(3)?)),
        not_after: UnixMillis(row.get(4)?),
        unknown_outcome: optional_json(row, 5)?,
        reply: row.get::<_, Option<Vec<u8>>>(6)?.map(Bytes::from),
        message_id: optional_parsed(row, 7)?,
        end_time: row.get::<_, Option<i64>>(8)?.map(UnixMillis),
    };
    if request.state == RowState::Unknown && request.unknown_outcome.is_none() {
        return Err(corrupt(5, "unknown outcome missing"));
    }
    Ok(request)
}

/// Inserts or updates a request.
pub(super) fn put(
    db: &Connection,
    account: &AccountId,
    id: &RequestId,
    request: &RequestRow,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO requests (account, request_id, fingerprint, state, attempt, replica_id, not_after, unknown_outcome, reply,
             message_id, end_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (account, request_id) DO UPDATE SET state = excluded.state, attempt = excluded.attempt,
             replica_id = excluded.replica_id, not_after = excluded.not_after, unknown_outcome = excluded.unknown_outcome,
             reply = excluded.reply, end_ms = excluded.end_ms",
    )?
    .execute(params![
        account.as_str(),
        id.as_str(),
        request.fingerprint.0,
        request.state.into_str(),
        request.attempt,
        request.replica_id.0.to_bytes(),
        request.not_after.0,
        request.unknown_outcome.as_ref().map(|unknown_outcome| unknown_outcome.to_text()),
        request.reply.as_deref(),
        request.message_id.map(|id| id.to_string()),
        request.end_time.map(|moment| moment.0),
    ])?;
    Ok(())
}

/// Deletes a request, so its id can be reused.
pub(super) fn delete(db: &Connection, account: &AccountId, id: &RequestId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM requests WHERE account = ?1 AND request_id = ?2")?
        .execute(params![account.as_str(), id.as_str()])?;
    Ok(())
}

/// Marks a request accepted, because its message was proven to have reached the provider in any of its attempts.
pub(super) fn accept(
    db: &Connection,
    account: &AccountId,
    id: &RequestId,
    message_id: MessageId,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE requests SET state = ?4, unknown_outcome = NULL, end_ms = coalesce(end_ms, ?5)
         WHERE account = ?1 AND request_id = ?2 AND message_id = ?3",
    )?
    .execute(params![
        account.as_str(),
        id.as_str(),
        message_id.to_string(),
        RowState::Accepted.into_str(),
        now.0
    ])?;
    Ok(())
}

/// Marks as unknown the attempts that other process runs left in flight, and their messages.
pub(super) fn mark_interrupted_unknown(
    db: &Connection,
    replica_id: ReplicaId,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let unknown_outcome = UnknownOutcome { cause: UnknownReason::ServerFailed, fault: None };
    let messages = db
        .prepare(
            "UPDATE requests SET state = ?2, unknown_outcome = ?3, end_ms = ?4 WHERE end_ms IS NULL AND replica_id <> ?1
             RETURNING message_id",
        )?
        .query_map(params![replica_id.0.to_bytes(), RowState::Unknown.into_str(), unknown_outcome.to_text(), now.0], |row| {
            optional_parsed::<MessageId>(row, 0)
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for id in messages.into_iter().flatten() {
        if let Some(mut message) = messages::find(db, id)? {
            mark_unknown(&mut message, &unknown_outcome, now);
            messages::update(db, &message)?;
        }
    }
    Ok(())
}

/// Marks a message's outcome unknown, unless its state is already further.
pub(super) fn mark_unknown(message: &mut Message, unknown_outcome: &UnknownOutcome, now: UnixMillis) {
    if message.state > MessageState::Unknown {
        return;
    }
    if message.state < MessageState::Unknown {
        message.state = MessageState::Unknown;
        message.update_time = now;
    }
    message.problem = Some(MessageProblem::OutcomeUnknown(unknown_outcome.clone()));
}

/// Deletes at most `limit` requests that ended before a time. Returns how many.
pub(super) fn expire(db: &Connection, before: UnixMillis, limit: u32) -> rusqlite::Result<u64> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM requests WHERE (account, request_id) IN (
                 SELECT account, request_id FROM requests WHERE end_ms < ?1 ORDER BY end_ms LIMIT ?2)",
        )?
        .execute(params![before.0, limit])?;
    Ok(deleted as u64)
}

impl Transaction<'_> {
    /// Whether an unknown request may have been executed and its record lost. The store was restored, and its backup
    /// lacks later requests.
    fn replay_guard_is_active(&self) -> bool {
        self.journal.replay_guard_until.is_some()
    }

    /// Begins an attempt, unless it must not begin: see [`BeginAttempt`].
    pub(super) fn begin_attempt(&mut self, begin: BeginAttempt) -> rusqlite::Result<OpResult> {
        let BeginAttempt { account, request, replica_id, not_after, message: draft } = begin;
        let begun = match find(&self.db, &account, &request.id)? {
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
                put(&self.db, &account, &request.id, &row)?;
                if let Some(draft) = draft {
                    let message = Message {
                        state: MessageState::Pending,
                        request_id: Some(request.id),
                        attempt: number,
                        ..draft
                    };
                    messages::insert(&self.db, &message)?;
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
                    put(&self.db, &account, &request.id, &row)?;
                    if let Some(mut message) = message {
                        message.attempt = number;
                        messages::update(&self.db, &message)?;
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
