//! Messages that Switchboard sent, one row each, with their state.
//!
//! **Invariant.** A message is stored at least as long as its request.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::{
    MAX_EXAMINED, MESSAGE_PAGE_BYTES, MessageKey, MessagePage, MessagePosition, MessageQuery,
};
use super::column::{corrupt, optional_json, optional_parsed, parsed};
use super::json_columns::Column as _;
use super::provider_messages;
use crate::domain::message::{Message, MessageId};
use crate::domain::{AccountId, CustomerKey, PhoneNumber, UnixMillis};

pub(super) const TABLE: &str = "
    CREATE TABLE messages (
        message_id TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        provider TEXT NOT NULL,
        -- A JSON array, in the provider's order.
        provider_ids TEXT NOT NULL,
        recipient TEXT NOT NULL,
        -- The recipient's key, independent of the spelling of a phone number.
        customer TEXT NOT NULL,
        sender TEXT,
        recipient_wa_id TEXT,
        channel TEXT NOT NULL,
        content_kind TEXT NOT NULL,
        template_name TEXT,
        campaign_name TEXT,
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
    -- Lists of an account, newest first.
    CREATE INDEX messages_list ON messages (account, create_ms DESC, message_id DESC);
    -- Several messages may have the same `request_id`, because it can be reused once the request is deleted.
    CREATE INDEX messages_request ON messages (account, request_id, create_ms) WHERE request_id IS NOT NULL;
";

/// The columns that [`read`] expects, from `messages` with the alias `m`.
macro_rules! columns {
    () => {
        "m.message_id, m.account, m.provider, m.provider_ids, m.recipient, m.channel, m.state, m.provider_state, \
         m.problem, m.request_id, m.attempt, m.callback_data, m.create_ms, m.update_ms, m.sender, \
         m.recipient_wa_id, m.content_kind, m.template_name, m.campaign_name"
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
        sender: optional_parsed(row, at(14))?,
        recipient_wa_id: row.get(at(15))?,
        content_kind: parsed(row, at(16))?,
        template_name: row.get(at(17))?,
        campaign_name: row.get(at(18))?,
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

/// Lists messages of an account, newest first. Examines at most [`MAX_EXAMINED`] rows, and returns at most about
/// [`MESSAGE_PAGE_BYTES`].
pub(super) fn list(db: &Connection, query: &MessageQuery, limit: usize) -> rusqlite::Result<MessagePage> {
    let MessageQuery { account, customer, state, template_name, campaign_name, start, end, after } = query;
    let (before, before_id) =
        after.map_or((i64::MAX, String::new()), |at| (at.create_time.0, at.id.to_string()));
    let mut statement = db.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        ", m.customer FROM messages m
         WHERE m.account = ?1 AND (m.create_ms, m.message_id) < (?2, ?3) AND m.create_ms >= ?4 AND m.create_ms < ?5
         ORDER BY m.create_ms DESC, m.message_id DESC LIMIT ?6"
    ))?;
    let end = end.map_or(i64::MAX, |end| end.0);
    let mut rows = statement.query(params![
        account.as_str(),
        before,
        before_id,
        start.0,
        end,
        MAX_EXAMINED as i64 + 1
    ])?;
    let mut page = MessagePage { messages: Vec::new(), next: None };
    let (mut examined, mut bytes, mut last) = (0, 0, None);
    while let Some(row) = rows.next()? {
        if examined == MAX_EXAMINED || page.messages.len() == limit || bytes >= MESSAGE_PAGE_BYTES {
            page.next = last;
            return Ok(page);
        }
        let message = read(row, 0)?;
        examined += 1;
        last = Some(MessagePosition { create_time: message.create_time, id: message.id });
        let is_wanted = customer.as_ref().is_none_or(|key| {
            row.get_ref(19).and_then(|text| Ok(text.as_str()? == key.as_str())).unwrap_or(false)
        }) && state.is_none_or(|state| message.state == state)
            && template_name.as_ref().is_none_or(|name| message.template_name.as_ref() == Some(name))
            && campaign_name.as_ref().is_none_or(|name| message.campaign_name.as_ref() == Some(name));
        if is_wanted {
            bytes += size(row)?;
            page.messages.push(message);
        }
    }
    Ok(page)
}

/// The bytes of a row's texts.
fn size(row: &Row<'_>) -> rusqlite::Result<usize> {
    let columns = row.as_ref().column_count();
    (0..columns)
        .map(|column| Ok(row.get_ref(column)?.as_str_or_null().ok().flatten().map_or(0, str::len)))
        .sum()
}

/// Inserts a new message.
pub(super) fn insert(db: &Connection, message: &Message) -> rusqlite::Result<()> {
    // If the message already exists, the existing row wins, because one conflicting op must not fail the other ops of
    // its transaction.
    db.prepare_cached(
        "INSERT INTO messages (message_id, account, provider, provider_ids, recipient, channel, state,
             provider_state, problem, request_id, attempt, callback_data, create_ms, update_ms, customer, sender,
             recipient_wa_id, content_kind, template_name, campaign_name)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
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
        CustomerKey::of(&message.to).as_str(),
        message.sender.as_ref().map(PhoneNumber::as_str),
        message.recipient_wa_id,
        <&str>::from(message.content_kind),
        message.template_name,
        message.campaign_name,
    ])?;
    Ok(())
}

/// Updates a message's state.
pub(super) fn update(db: &Connection, message: &Message) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE messages SET provider_ids = ?2, state = ?3, provider_state = ?4, problem = ?5, attempt = ?6,
             update_ms = ?7, recipient_wa_id = ?8
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
        message.recipient_wa_id,
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
