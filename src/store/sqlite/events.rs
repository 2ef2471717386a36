//! The table of events.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::column::customer;
use crate::domain::event::Identity;
use crate::domain::{AccountId, CustomerHash, EventId, UnixMillis};
use crate::store::rules::{NewEvent, OldestEvent, RawHash, RowError};

/// Whether an event with that identity is stored.
pub(super) fn exists(db: &Connection, account: &AccountId, identity: &Identity) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM events WHERE account = ?1 AND identity = ?2")?
        .exists(params![account.as_str(), identity.as_str()])
}

/// Finds the newest event of the account with the same bytes.
pub(super) fn find_equal_bytes(
    db: &Connection,
    account: &AccountId,
    hash: &RawHash,
    raw: &[u8],
) -> rusqlite::Result<Option<EventId>> {
    db.prepare_cached(
        "SELECT id FROM events WHERE account = ?1 AND raw_hash = ?2 AND raw = ?3
         ORDER BY sequence DESC LIMIT 1",
    )?
    .query_row(params![account.as_str(), hash.as_slice(), raw], |row| row.get(0))
    .optional()
    .map(|id| id.map(EventId::from_stored))
}

/// Inserts an event, unless its account has an event with its identity. Returns whether it was inserted.
pub(super) fn insert(db: &Connection, new: &NewEvent<'_>) -> rusqlite::Result<bool> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO events
                 (sequence, id, account, type, receive_ms, identity, raw_hash, customer, customer_alias_1,
                  customer_alias_2, event, raw)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (account, identity) WHERE identity IS NOT NULL DO NOTHING",
        )?
        .execute(params![
            new.sequence.cast_signed(),
            new.id.as_str(),
            new.account.as_str(),
            new.event_type.as_str(),
            new.receive_time.0,
            new.identity.map(Identity::as_str),
            new.raw_hash.map(RawHash::as_slice),
            new.customer.customer.as_ref().map(CustomerHash::as_bytes),
            new.customer.aliases[0].as_ref().map(CustomerHash::as_bytes),
            new.customer.aliases[1].as_ref().map(CustomerHash::as_bytes),
            new.event,
            new.raw,
        ])?;
    Ok(inserted > 0)
}

/// Visits the events from the oldest on, without their bodies, until `visit` breaks or fails.
pub(super) fn visit_oldest(
    db: &Connection,
    mut visit: impl FnMut(&OldestEvent<'_>) -> Result<ControlFlow<()>, RowError>,
) -> Result<(), RowError> {
    let mut statement = db.prepare_cached(
        "SELECT sequence, receive_ms, length(event) + length(raw), account, type, customer, customer_alias_1,
                customer_alias_2
         FROM events ORDER BY sequence",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        let event = OldestEvent {
            sequence: row.get::<_, i64>(0)?.cast_unsigned(),
            receive_time: UnixMillis(row.get(1)?),
            bytes: row.get::<_, i64>(2)?.cast_unsigned(),
            account: text(3)?,
            event_type: text(4)?,
            customer: customer(row, 5)?,
        };
        if visit(&event)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Deletes the events up to and including a sequence number.
pub(super) fn delete(db: &Connection, up_to: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM events WHERE sequence <= ?1")?.execute([up_to.cast_signed()])?;
    Ok(())
}
