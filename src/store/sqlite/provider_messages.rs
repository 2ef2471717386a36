//! The provider's ids of messages, and early reports: those that arrived before the message had a row.
//!
//! A row is *joined* once its message has a row. Then the message holds the state, and this row's `state` is NULL. An
//! *early* row holds the reported state. It has a `message_id` only if an event carried our own tag.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::column::{optional_json, optional_parsed};
use super::json_columns::Column as _;
use crate::domain::{AccountId, MessageId, UnixMillis};
use crate::store::rules::{ProviderIdRow, Report};

pub(super) const TABLE: &str = "
    CREATE TABLE provider_messages (
        account TEXT NOT NULL,
        provider_message_id TEXT NOT NULL,
        message_id TEXT,
        state TEXT,
        -- The provider's own name for the state.
        provider_state TEXT,
        -- Why it failed: JSON.
        fault TEXT,
        update_ms INTEGER NOT NULL,
        PRIMARY KEY (account, provider_message_id)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX provider_messages_message ON provider_messages (message_id) WHERE message_id IS NOT NULL;
    CREATE INDEX provider_messages_early ON provider_messages (update_ms) WHERE state IS NOT NULL;
";

pub(super) fn find(
    db: &Connection,
    account: &AccountId,
    id: &str,
) -> rusqlite::Result<Option<ProviderIdRow>> {
    db.prepare_cached(
        "SELECT message_id, state, provider_state, fault FROM provider_messages
         WHERE account = ?1 AND provider_message_id = ?2",
    )?
    .query_row(params![account.as_str(), id], |row| {
        Ok(ProviderIdRow { message_id: optional_parsed(row, 0)?, early: read_report(row)? })
    })
    .optional()
}

/// Reads a report from a row. Its second to fourth columns are `state`, `provider_state` and `fault`.
fn read_report(row: &Row<'_>) -> rusqlite::Result<Option<Report>> {
    let Some(state) = optional_parsed(row, 1)? else { return Ok(None) };
    Ok(Some(Report { state, provider_state: row.get(2)?, fault: optional_json(row, 3)? }))
}

/// Joins a provider's id to a message. The first message that has the id keeps it.
pub(super) fn join(
    db: &Connection,
    account: &AccountId,
    id: &str,
    message_id: MessageId,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO provider_messages (account, provider_message_id, message_id, update_ms)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account, provider_message_id)
             DO UPDATE SET message_id = excluded.message_id WHERE message_id IS NULL",
    )?
    .execute(params![account.as_str(), id, message_id.to_string(), now.0])?;
    Ok(())
}

/// Stores a report until the message has a row.
pub(super) fn put_early(
    db: &Connection,
    account: &AccountId,
    id: &str,
    message_id: Option<MessageId>,
    report: &Report,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO provider_messages (account, provider_message_id, message_id, state, provider_state, fault, update_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (account, provider_message_id) DO UPDATE SET message_id = excluded.message_id,
             state = excluded.state, provider_state = excluded.provider_state, fault = excluded.fault, update_ms = excluded.update_ms",
    )?
    .execute(params![
        account.as_str(),
        id,
        message_id.map(|id| id.to_string()),
        <&str>::from(report.state),
        report.provider_state,
        report.fault.as_ref().map(|fault| fault.to_text()),
        now.0,
    ])?;
    Ok(())
}

/// Takes the early reports of a message, with the provider's ids. From now on the message's row holds the state.
pub(super) fn take_early(
    db: &Connection,
    account: &AccountId,
    message_id: MessageId,
) -> rusqlite::Result<Vec<(String, Report)>> {
    let name = message_id.to_string();
    let early = db
        .prepare_cached(
            "SELECT provider_message_id, state, provider_state, fault FROM provider_messages
             WHERE message_id = ?1 AND account = ?2",
        )?
        .query_map(params![name, account.as_str()], |row| {
            let id: String = row.get(0)?;
            Ok(read_report(row)?.map(|report| (id, report)))
        })?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if !early.is_empty() {
        db.prepare_cached(
            "UPDATE provider_messages SET state = NULL, provider_state = NULL, fault = NULL
             WHERE message_id = ?1 AND account = ?2",
        )?
        .execute(params![name, account.as_str()])?;
    }
    Ok(early)
}

/// Deletes the provider's ids of a message.
pub(super) fn delete_for_message(db: &Connection, message_id: MessageId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM provider_messages WHERE message_id = ?1")?
        .execute([message_id.to_string()])?;
    Ok(())
}

/// Deletes at most `limit` early rows that were not updated since a time. Returns how many.
pub(super) fn expire(db: &Connection, before: UnixMillis, limit: u32) -> rusqlite::Result<u64> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM provider_messages WHERE (account, provider_message_id) IN (
                 SELECT account, provider_message_id FROM provider_messages
                 WHERE state IS NOT NULL AND update_ms < ?1 ORDER BY update_ms LIMIT ?2)",
        )?
        .execute(params![before.0, limit])?;
    Ok(deleted as u64)
}
