//! The table of requests with an idempotency key.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use ulid::Ulid;

use super::super::{ReplicaId, RequestRecord};
use super::column::{corrupt, optional_json, optional_parsed, parsed};
use super::json_columns::Column as _;
use super::messages;
use crate::domain::message::{Message, MessageId};
use crate::domain::outcome::{UnknownOutcome, UnknownReason};
use crate::domain::request::{Fingerprint, Request, RequestId};
use crate::domain::{AccountId, UnixMillis};
use crate::store::rules::{RequestRow, RowState, mark_unknown, presumed_lost};

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

/// Finds the record that a [`BeginAttempt`](super::super::BeginAttempt) of this request would return.
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
