//! When customers last wrote.

use rusqlite::{Connection, params};

use crate::domain::event::Party;
use crate::domain::{AccountId, Address, PhoneNumber, UnixMillis};

pub(super) const TABLE: &str = "
    CREATE TABLE conversations (
        account TEXT NOT NULL,
        -- `+15550100001` or `bsuid:US.123`. A customer who has both has two rows.
        customer TEXT NOT NULL,
        -- The number of ours that the customer wrote to; empty when the provider did not say.
        own TEXT NOT NULL,
        last_ms INTEGER NOT NULL,
        PRIMARY KEY (account, customer, own)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX conversations_last ON conversations (last_ms);
";

/// Writes down that a customer wrote.
pub(super) fn received(
    db: &Connection,
    account: &AccountId,
    sender: &Party,
    recipient: &Party,
    at: UnixMillis,
) -> rusqlite::Result<()> {
    let phone = Some(sender.phone_number.clone()).filter(|number| !number.is_empty());
    let user = Some(&sender.user_id).filter(|id| !id.is_empty()).map(|id| format!("bsuid:{id}"));
    let mut statement = db.prepare_cached(
        "INSERT INTO conversations (account, customer, own, last_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account, customer, own) DO UPDATE SET last_ms = excluded.last_ms
             WHERE last_ms < excluded.last_ms",
    )?;
    for customer in [phone, user].into_iter().flatten() {
        statement.execute(params![account.as_str(), customer, recipient.phone_number, at.0])?;
    }
    Ok(())
}

/// When a customer last wrote to a number of ours, or to one that is not known; without a number, to any.
pub(super) fn last_received(
    db: &Connection,
    account: &AccountId,
    customer: &Address,
    own: Option<&PhoneNumber>,
) -> rusqlite::Result<Option<UnixMillis>> {
    db.prepare_cached(
        "SELECT max(last_ms) FROM conversations
         WHERE account = ?1 AND customer = ?2 AND (?3 IS NULL OR own IN (?3, ''))",
    )?
    .query_row(params![account.as_str(), customer.to_string(), own.map(PhoneNumber::as_str)], |row| {
        Ok(row.get::<_, Option<i64>>(0)?.map(UnixMillis))
    })
}

/// Takes away customers who last wrote before a moment, at limit so many. Says how many.
pub(super) fn expire(db: &Connection, before: UnixMillis, limit: u32) -> rusqlite::Result<u64> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM conversations WHERE (account, customer, own) IN (
                 SELECT account, customer, own FROM conversations
                 WHERE last_ms < ?1 ORDER BY last_ms LIMIT ?2)",
        )?
        .execute(params![before.0, limit])?;
    Ok(deleted as u64)
}
