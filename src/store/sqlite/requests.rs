//! Requests that can be repeated, one row each: how their newest attempt stands.
//!
//! **Invariants.** A row in flight has no `end_ms`, and no other has none: such rows are never forgotten. While an
//! attempt is in flight, `doubt` is that of the attempt before it, to which the row goes back if nothing was done; the
//! row of a first attempt has none and goes. The attempt's number only grows by a resend.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use ulid::Ulid;

use super::super::{BeginAttempt, BeginResult, OpResult, ReplicaId, RequestRecord, RequestState};
use super::column::{corrupt, optional_json, optional_parsed};
use super::json_columns::Column as _;
use super::messages;
use super::transaction::Transaction;
use crate::domain::message::{Message, MessageId, MessageProblem, MessageState};
use crate::domain::outcome::{UnknownOutcome, UnknownReason};
use crate::domain::request::{Fingerprint, Request as Asked, RequestId};
use crate::domain::{AccountId, UnixMillis};

pub(super) const TABLE: &str = "
    CREATE TABLE requests (
        account TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        state TEXT NOT NULL,
        -- The newest attempt, who made it, and when it has ended for certain.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InFlight,
    Accepted,
    Unknown,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) fingerprint: Fingerprint,
    pub(super) state: State,
    pub(super) attempt: u32,
    pub(super) owner: ReplicaId,
    pub(super) not_after: UnixMillis,
    pub(super) doubt: Option<UnknownOutcome>,
    pub(super) reply: Option<Bytes>,
    pub(super) message_id: Option<MessageId>,
    pub(super) ended: Option<UnixMillis>,
}

impl Request {
    /// What callers are told.
    pub(super) fn record(self, message: Option<Message>) -> RequestRecord {
        let state = match self.state {
            State::InFlight => RequestState::InFlight { owner: self.owner, not_after: self.not_after },
            State::Accepted => RequestState::Accepted { reply: self.reply },
            State::Unknown => {
                RequestState::Unknown(self.doubt.expect("a row that reads as unknown has its outcome"))
            }
        };
        RequestRecord { fingerprint: self.fingerprint, attempt: self.attempt, state, message }
    }
}

/// Reads a request and its message, as of one moment.
pub(super) fn find(
    db: &Connection,
    account: &AccountId,
    id: &RequestId,
) -> rusqlite::Result<Option<(Request, Option<Message>)>> {
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
pub(super) fn known(
    db: &Connection,
    account: &AccountId,
    asked: &Asked,
) -> rusqlite::Result<Option<RequestRecord>> {
    if let Some((request, message)) = find(db, account, &asked.id)? {
        return Ok(Some(request.record(message)));
    }
    let in_doubt = asked.resend_after.is_none()
        && db
            .prepare_cached("SELECT replay_guard_until_ms IS NOT NULL FROM journal WHERE id = 1")?
            .query_row([], |row| row.get(0))?;
    Ok(in_doubt.then(|| lost(asked)))
}

/// What is told of a request whose record may have been lost: nobody can tell whether it was made.
fn lost(asked: &Asked) -> RequestRecord {
    RequestRecord {
        fingerprint: asked.fingerprint,
        attempt: 1,
        state: RequestState::Unknown(UnknownOutcome { cause: UnknownReason::Restored, fault: None }),
        message: None,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Request> {
    let request = Request {
        fingerprint: Fingerprint(row.get(0)?),
        state: match row.get::<_, String>(1)?.as_str() {
            "in_flight" => State::InFlight,
            "accepted" => State::Accepted,
            "unknown" => State::Unknown,
            _ => return Err(corrupt(1, "not a request's state")),
        },
        attempt: row.get(2)?,
        owner: ReplicaId(Ulid::from_bytes(row.get(3)?)),
        not_after: UnixMillis(row.get(4)?),
        doubt: optional_json(row, 5)?,
        reply: row.get::<_, Option<Vec<u8>>>(6)?.map(Bytes::from),
        message_id: optional_parsed(row, 7)?,
        ended: row.get::<_, Option<i64>>(8)?.map(UnixMillis),
    };
    if request.state == State::Unknown && request.doubt.is_none() {
        return Err(corrupt(5, "an unknown outcome lacks its cause"));
    }
    Ok(request)
}

/// Writes how a request stands now.
pub(super) fn put(
    db: &Connection,
    account: &AccountId,
    id: &RequestId,
    request: &Request,
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
        request.state.word(),
        request.attempt,
        request.owner.0.to_bytes(),
        request.not_after.0,
        request.doubt.as_ref().map(|doubt| doubt.to_text()),
        request.reply.as_deref(),
        request.message_id.map(|id| id.to_string()),
        request.ended.map(|moment| moment.0),
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
        State::Accepted.word(),
        now.0
    ])?;
    Ok(())
}

/// Makes unknown what others had in flight when they ended, and their messages.
pub(super) fn mark_interrupted_unknown(
    db: &Connection,
    owner: ReplicaId,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let doubt = UnknownOutcome { cause: UnknownReason::ServerFailed, fault: None };
    let messages = db
        .prepare(
            "UPDATE requests SET state = ?2, unknown_outcome = ?3, end_ms = ?4 WHERE end_ms IS NULL AND replica_id <> ?1
             RETURNING message_id",
        )?
        .query_map(params![owner.0.to_bytes(), State::Unknown.word(), doubt.to_text(), now.0], |row| {
            optional_parsed::<MessageId>(row, 0)
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for id in messages.into_iter().flatten() {
        if let Some(mut message) = messages::find(db, id)? {
            doubted(&mut message, &doubt, now);
            messages::update(db, &message)?;
        }
    }
    Ok(())
}

/// Says of a message that nobody can tell, unless more is known.
pub(super) fn doubted(message: &mut Message, doubt: &UnknownOutcome, now: UnixMillis) {
    if message.state > MessageState::Unknown {
        return;
    }
    if message.state < MessageState::Unknown {
        message.state = MessageState::Unknown;
        message.update_time = now;
    }
    message.problem = Some(MessageProblem::OutcomeUnknown(doubt.clone()));
}

/// Takes away requests that ended before a moment, at most so many. Says how many.
pub(super) fn forget(db: &Connection, before: UnixMillis, most: u32) -> rusqlite::Result<u64> {
    let forgotten = db
        .prepare_cached(
            "DELETE FROM requests WHERE (account, request_id) IN (
                 SELECT account, request_id FROM requests WHERE end_ms < ?1 ORDER BY end_ms LIMIT ?2)",
        )?
        .execute(params![before.0, most])?;
    Ok(forgotten as u64)
}

impl Transaction<'_> {
    /// Whether a request that is not known may have been made all the same, and its record lost: the store was restored
    /// from a backup, and requests that came after that are not in it.
    fn may_have_been_lost(&self) -> bool {
        self.journal.replay_guard_until.is_some()
    }

    /// Begins an attempt, unless it must not be made: see [`BeginAttempt`].
    pub(super) fn begin(&mut self, begin: BeginAttempt) -> rusqlite::Result<OpResult> {
        let BeginAttempt { account, request: asked, owner, not_after, message: draft } = begin;
        let begun = match find(&self.db, &account, &asked.id)? {
            None if asked.resend_after.is_none() && self.may_have_been_lost() => {
                BeginResult::Known(lost(&asked))
            }
            None => {
                let number = asked.resend_after.map_or(1, |after| after.saturating_add(1));
                let message_id = draft.as_ref().map(|message| message.id);
                let request = Request {
                    fingerprint: asked.fingerprint,
                    state: State::InFlight,
                    attempt: number,
                    owner,
                    not_after,
                    doubt: None,
                    reply: None,
                    message_id,
                    ended: None,
                };
                put(&self.db, &account, &asked.id, &request)?;
                if let Some(draft) = draft {
                    let message = Message {
                        state: MessageState::Pending,
                        request_id: Some(asked.id),
                        attempt: number,
                        ..draft
                    };
                    messages::insert(&self.db, &message)?;
                    self.mark_changed(message);
                }
                BeginResult::Attempt { number, message_id }
            }
            Some((kept, _)) if kept.fingerprint != asked.fingerprint => BeginResult::Reused,
            Some((kept, message)) => match next(&kept, asked.resend_after) {
                Some(number) => {
                    let message_id = kept.message_id;
                    let request = Request {
                        state: State::InFlight,
                        attempt: number,
                        owner,
                        not_after,
                        ended: None,
                        ..kept
                    };
                    put(&self.db, &account, &asked.id, &request)?;
                    if let Some(mut message) = message {
                        message.attempt = number;
                        messages::update(&self.db, &message)?;
                        self.mark_changed(message);
                    }
                    BeginResult::Attempt { number, message_id }
                }
                None => BeginResult::Known(kept.record(message)),
            },
        };
        Ok(OpResult::Begun(Box::new(begun)))
    }
}

/// The number of the attempt that may be made now, if the caller knows how the request stands.
fn next(kept: &Request, resend_after: Option<u32>) -> Option<u32> {
    match kept.state {
        State::Unknown if resend_after == Some(kept.attempt) => kept.attempt.checked_add(1),
        State::Unknown | State::InFlight | State::Accepted => None,
    }
}
