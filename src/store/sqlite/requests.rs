//! Requests that can be repeated, one row each: how their newest attempt stands.
//!
//! **Invariants.** A row in flight has no `end_ms`, and no other has none: such rows are never deleted. While an
//! attempt is in flight, `unknown_outcome` is that of the attempt before it, to which the row goes back if nothing was done; the
//! row of a first attempt has none and goes. The attempt's number only grows by a resend.

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
        -- The newest attempt, who made it, and when it has end_time for certain.
        attempt INTEGER NOT NULL,
        replica_id BLOB NOT NULL,
        not_after INTEGER NOT NULL,
        -- Why nobody can tell: JSON.
        unknown_outcome TEXT,
        -- The reply, where the write is no send.
        reply BLOB,
        -- The message, where it is one.
        message_id TEXT,
        end_ms INTEGER,
        PRIMARY KEY (account, request_id)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX requests_end ON requests (end_ms);
";

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(super) enum RowState {
    InFlight,
    Accepted,
    Unknown,
}

/// A request.
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
    /// What callers are told.
    pub(super) fn record(self, message: Option<Message>) -> RequestRecord {
        let state = match self.state {
            RowState::InFlight => {
                RequestState::InFlight { replica_id: self.replica_id, not_after: self.not_after }
            }
            RowState::Accepted => RequestState::Accepted { reply: self.reply },
            RowState::Unknown => RequestState::Unknown(
                self.unknown_outcome.expect("a row that reads as unknown has its outcome"),
            ),
        };
        RequestRecord { fingerprint: self.fingerprint, attempt: self.attempt, state, message }
    }
}

/// Reads a request and its message, as of one moment.
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

/// What whoever makes a request is told of it before; see [`BeginAttempt`].
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

/// What is told of a request whose record may have been presumed_lost: nobody can tell whether it was made.
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
        return Err(corrupt(5, "an unknown outcome lacks its cause"));
    }
    Ok(request)
}

/// Writes how a request stands now.
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

/// Takes a request away: its id is free again.
pub(super) fn delete(db: &Connection, account: &AccountId, id: &RequestId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM requests WHERE account = ?1 AND request_id = ?2")?
        .execute(params![account.as_str(), id.as_str()])?;
    Ok(())
}

/// Writes down that the message of a request was proven to be with the provider, whichever attempt it was.
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

/// Makes unknown what others had in flight when they end_time, and their messages.
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

/// Says of a message that nobody can tell, unless more is known.
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

/// Takes away requests that end_time before a moment, at limit so many. Says how many.
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
    /// Whether a request that is not known may have been made all the same, and its record presumed_lost: the store was restored
    /// from a backup, and requests that came after that are not in it.
    fn replay_guard_is_active(&self) -> bool {
        self.journal.replay_guard_until.is_some()
    }

    /// Begins an attempt, unless it must not be made: see [`BeginAttempt`].
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

/// The number of the attempt that may be made now, if the caller knows how the request stands.
fn next_attempt(row: &RequestRow, resend_after: Option<u32>) -> Option<u32> {
    match row.state {
        RowState::Unknown if resend_after == Some(row.attempt) => row.attempt.checked_add(1),
        RowState::Unknown | RowState::InFlight | RowState::Accepted => None,
    }
}
