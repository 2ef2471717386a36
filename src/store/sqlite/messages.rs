//! Messages that Switchboard sent, one row each, with their state.
//!
//! **Invariant.** A message is stored at least as long as its request.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::MessageKey;
use super::column::{corrupt, optional_json, optional_parsed, parsed};
use super::json_columns::Column as _;
use super::provider_messages;
use crate::domain::message::{Message, MessageId};
use crate::domain::{AccountId, UnixMillis};

pub(super) const TABLE: &str = "
    CREATE TABLE messages (
        message_id TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        provider TEXT NOT NULL,
        -- A JSON array, in the provider's order.
        provider_ids TEXT NOT NULL,
        recipient TEXT NOT NULL,
        channel TEXT NOT NULL,
        state TEXT NOT NULL,
        provider_state TEXT,
        -- Why the message failed, or why its outcome is unknown: JSON.
        problem TEXT,
        request_id TEXT,
        attempt INTEGER NOT NULL,
        callback_data TEXT,
        create_ms INTEGER NOT NULL,
        update_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX messages_create ON messages (create_ms);
    -- Several messages may have the same `request_id`, because it can be reused once the request is deleted.
    CREATE INDEX messages_request ON messages (account, request_id, create_ms) WHERE request_id IS NOT NULL;
";

/// The columns that [`read`] expects, from `messages` with the alias `m`.
macro_rules! columns {
    () => {
        "m.message_id, m.account, m.provider, m.provider_ids, m.recipient, m.channel, m.state, m.provider_state, \
         m.problem, m.request_id, m.attempt, m.callback_data, m.create_ms, m.update_ms"
    };
}
pub(super) use columns;

/// Reads a message from a row. Its first column, of [`columns`], is the one with that index.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Message> {
    let at = |column: usize| first + column;
    let provider_ids: String = row.get(at(3))?;
    Ok(Message {
        id: parsed(row, at(0))?,
        account: parsed(row, at(1))?,
        provider: parsed(row, at(2))?,
        provider_ids: serde_json::from_str(&provider_ids)
            .map_err(|_| corrupt(at(3), "not a JSON array of ids"))?,
        to: parsed(row, at(4))?,
        channel: parsed(row, at(5))?,
        state: parsed(row, at(6))?,
        provider_state: row.get(at(7))?,
        problem: optional_json(row, at(8))?,
        request_id: optional_parsed(row, at(9))?,
        attempt: row.get(at(10))?,
        callback_data: optional_parsed(row, at(11))?,
        create_time: UnixMillis(row.get(at(12))?),
        update_time: UnixMillis(row.get(at(13))?),
    })
}

pub(super) fn find(db: &Connection, id: MessageId) -> rusqlite::Result<Option<Message>> {
    db.prepare_cached(concat!("SELECT ", columns!(), " FROM messages m WHERE m.message_id = ?1"))?
        .query_row(params![id.to_string()], |row| read(row, 0))
        .optional()
}

/// Finds a message of an account by any of its keys.
pub(super) fn find_by_key(
    db: &Connection,
    account: &AccountId,
    key: &MessageKey,
) -> rusqlite::Result<Option<Message>> {
    let (sql, name) = match key {
        MessageKey::Id(id) => (
            concat!("SELECT ", columns!(), " FROM messages m WHERE m.account = ?1 AND m.message_id = ?2"),
            id.to_string(),
        ),
        MessageKey::Provider(id) => (
            concat!(
                "SELECT ",
                columns!(),
                " FROM provider_messages p JOIN messages m ON m.message_id = p.message_id
                 WHERE p.account = ?1 AND p.provider_message_id = ?2 AND m.account = ?1"
            ),
            id.clone(),
        ),
        MessageKey::Request(id) => (
            concat!(
                "SELECT ",
                columns!(),
                " FROM messages m WHERE m.account = ?1 AND m.request_id = ?2
                 ORDER BY m.create_ms DESC, m.message_id DESC LIMIT 1"
            ),
            id.as_str().to_owned(),
        ),
    };
    db.prepare_cached(sql)?.query_row(params![account.as_str(), name], |row| read(row, 0)).optional()
}

/// Inserts a new message.
pub(super) fn insert(db: &Connection, message: &Message) -> rusqlite::Result<()> {
    // If the message already exists, the existing row wins, because one conflicting op must not fail the other ops of
    // its transaction.
    db.prepare_cached(
        "INSERT INTO messages (message_id, account, provider, provider_ids, recipient, channel, state,
             provider_state, problem, request_id, attempt, callback_data, create_ms, update_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (message_id) DO NOTHING",
    )?
    .execute(params![
        message.id.to_string(),
        message.account.as_str(),
        message.provider.as_str(),
        provider_ids(message),
        message.to.to_string(),
        <&str>::from(message.channel),
        <&str>::from(message.state),
        message.provider_state,
        message.problem.as_ref().map(|problem| problem.to_text()),
        message.request_id.as_ref().map(|id| id.as_str()),
        message.attempt,
        message.callback_data.as_ref().map(|data| data.as_str()),
        message.create_time.0,
        message.update_time.0,
    ])?;
    Ok(())
}

/// Updates a message's state.
pub(super) fn update(db: &Connection, message: &Message) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE messages SET provider_ids = ?2, state = ?3, provider_state = ?4, problem = ?5, attempt = ?6,
             update_ms = ?7
         WHERE message_id = ?1",
    )?
    .execute(params![
        message.id.to_string(),
        provider_ids(message),
        <&str>::from(message.state),
        message.provider_state,
        message.problem.as_ref().map(|problem| problem.to_text()),
        message.attempt,
        message.update_time.0,
    ])?;
    Ok(())
}

/// Deletes a message and the provider's ids of it.
pub(super) fn delete(db: &Connection, id: MessageId) -> rusqlite::Result<()> {
    provider_messages::delete_for_message(db, id)?;
    db.prepare_cached("DELETE FROM messages WHERE message_id = ?1")?.execute([id.to_string()])?;
    Ok(())
}

/// Deletes at most `limit` messages created before a time. Returns how many.
pub(super) fn expire(db: &Connection, before: UnixMillis, limit: u32) -> rusqlite::Result<u64> {
    let expired = db
        .prepare_cached(
            "SELECT m.message_id FROM messages m
             WHERE m.create_ms < ?1 AND NOT EXISTS (
                 SELECT 1 FROM requests r
                 WHERE r.account = m.account AND r.request_id = m.request_id AND r.message_id = m.message_id)
             ORDER BY m.create_ms LIMIT ?2",
        )?
        .query_map(params![before.0, limit], |row| parsed(row, 0))?
        .collect::<rusqlite::Result<Vec<MessageId>>>()?;
    for &id in &expired {
        delete(db, id)?;
    }
    Ok(expired.len() as u64)
}

fn provider_ids(message: &Message) -> String {
    serde_json::to_string(&message.provider_ids).expect("strings always serialize")
}
