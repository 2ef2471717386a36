//! The time when each customer last wrote.

use rusqlite::{Connection, params};

use crate::domain::event::Party;
use crate::domain::{AccountId, Address, CustomerKey, PhoneNumber, UnixMillis};

pub(super) const TABLE: &str = "
    CREATE TABLE conversations (
        account TEXT NOT NULL,
        -- The customer's key, independent of the spelling of a phone number. A customer with a number and a user id has
        -- two rows.
        customer TEXT NOT NULL,
        -- Our number that the customer wrote to. Empty if the provider did not report it.
        own TEXT NOT NULL,
        last_ms INTEGER NOT NULL,
        PRIMARY KEY (account, customer, own)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX conversations_last ON conversations (last_ms);
";

/// Records that a customer wrote.
pub(super) fn received(
    db: &Connection,
    account: &AccountId,
    sender: &Party,
    recipient: &Party,
    at: UnixMillis,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO conversations (account, customer, own, last_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account, customer, own) DO UPDATE SET last_ms = excluded.last_ms
             WHERE last_ms < excluded.last_ms",
    )?;
    for customer in sender.customer_keys() {
        statement.execute(params![account.as_str(), customer.as_str(), recipient.phone_number, at.0])?;
    }
    Ok(())
}

/// When a customer last wrote to one of our numbers, or to an unreported number. Without a number: to any of them.
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
    .query_row(
        params![account.as_str(), CustomerKey::of(customer).as_str(), own.map(PhoneNumber::as_str)],
        |row| Ok(row.get::<_, Option<i64>>(0)?.map(UnixMillis)),
    )
}

/// Deletes at most `limit` customers who last wrote before a time. Returns how many.
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
