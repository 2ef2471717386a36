//! The table of subscriptions.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::SubscriptionPosition;
use super::column::{corrupt, parsed};
use crate::domain::{
    AccountId, Address, CustomerFilter, Filter, Labels, Subscription, SubscriptionId, TypePattern, UnixMillis,
};
use crate::store::rules::PositionedFilter;

pub(super) const TABLE: &str = "
    CREATE TABLE subscriptions (
        id TEXT NOT NULL PRIMARY KEY,
        -- The sequence number up to which all events are acknowledged, or were trimmed without matching the filter.
        -- Trimming reads this column of every row, so it precedes the long columns.
        sequence INTEGER NOT NULL,
        -- The sequence number of the last acknowledgement or seek.
        acknowledged INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        create_ms INTEGER NOT NULL,
        update_ms INTEGER NOT NULL,
        acknowledge_ms INTEGER,
        -- The filter: lists of the given words, separated by blanks. An empty list matches everything.
        accounts TEXT NOT NULL,
        types TEXT NOT NULL,
        customers TEXT NOT NULL,
        -- The client's labels: a JSON object with sorted keys.
        labels TEXT NOT NULL DEFAULT '{}'
    ) STRICT, WITHOUT ROWID;
";

macro_rules! columns {
    () => {
        "id, accounts, types, customers, sequence, acknowledged, generation, create_ms, update_ms, acknowledge_ms, labels"
    };
}

/// Finds a subscription.
pub(super) fn find(db: &Connection, id: &SubscriptionId) -> rusqlite::Result<Option<Subscription>> {
    db.prepare_cached(concat!("SELECT ", columns!(), " FROM subscriptions WHERE id = ?1"))?
        .query_row([id.as_str()], read)
        .optional()
}

/// Lists subscriptions in the order of their ids, after the given id.
pub(super) fn list(
    db: &Connection,
    after: Option<&SubscriptionId>,
    limit: u32,
) -> rusqlite::Result<Vec<Subscription>> {
    db.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM subscriptions WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))?
    .query_map(params![after.map_or("", SubscriptionId::as_str), limit], read)?
    .collect()
}

/// The position of each subscription. The query does not read the filters, which may be long.
pub(super) fn subscription_positions(db: &Connection) -> rusqlite::Result<Vec<SubscriptionPosition>> {
    db.prepare_cached(
        "SELECT id, sequence,
                (SELECT receive_ms FROM events WHERE sequence > subscriptions.sequence ORDER BY sequence LIMIT 1)
         FROM subscriptions ORDER BY id",
    )?
    .query_map([], |row| {
        Ok(SubscriptionPosition {
            id: parsed(row, 0)?,
            sequence: row.get::<_, i64>(1)?.cast_unsigned(),
            received: row.get::<_, Option<i64>>(2)?.map(UnixMillis),
        })
    })?
    .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        id: parsed(row, 0)?,
        filter: filter(row, 1)?,
        labels: labels(row, 10)?,
        sequence: row.get::<_, i64>(4)?.cast_unsigned(),
        acknowledged: row.get::<_, i64>(5)?.cast_unsigned(),
        generation: row.get::<_, i64>(6)?.cast_unsigned(),
        create_time: UnixMillis(row.get(7)?),
        update_time: UnixMillis(row.get(8)?),
        acknowledge_time: row.get::<_, Option<i64>>(9)?.map(UnixMillis),
    })
}

fn labels(row: &Row<'_>, column: usize) -> rusqlite::Result<Labels> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|_| corrupt(column, "not labels"))
}

/// Reads a filter from three columns: the accounts, the types and the customers.
fn filter(row: &Row<'_>, column: usize) -> rusqlite::Result<Filter> {
    let words = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?.split_ascii_whitespace());
    let account = |word: &str| word.parse::<AccountId>().map_err(|_| corrupt(column, "not an account"));
    let customer = |word: &str| {
        let address = word.parse::<Address>().map_err(|_| corrupt(column + 2, "not an address"))?;
        Ok::<_, rusqlite::Error>(CustomerFilter::from(address))
    };
    Ok(Filter {
        accounts: words(column)?.map(account).collect::<rusqlite::Result<_>>()?,
        types: words(column + 1)?.map(TypePattern::parse).collect(),
        customers: words(column + 2)?.map(customer).collect::<rusqlite::Result<_>>()?,
    })
}

/// Inserts or replaces a subscription.
pub(super) fn put(db: &Connection, subscription: &Subscription) -> rusqlite::Result<()> {
    let Subscription {
        id,
        filter,
        labels,
        sequence,
        acknowledged,
        generation,
        create_time,
        update_time,
        acknowledge_time,
    } = subscription;
    let accounts: Vec<_> = filter.accounts.iter().map(AccountId::as_str).collect();
    let types: Vec<_> = filter.types.iter().map(TypePattern::to_string).collect();
    let customers: Vec<_> = filter.customers.iter().map(|customer| customer.address().to_string()).collect();
    db.prepare_cached(concat!(
        "INSERT OR REPLACE INTO subscriptions (",
        columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    ))?
    .execute(params![
        id.as_str(),
        accounts.join(" "),
        types.join(" "),
        customers.join(" "),
        sequence.cast_signed(),
        acknowledged.cast_signed(),
        generation.cast_signed(),
        create_time.0,
        update_time.0,
        acknowledge_time.map(|at| at.0),
        serde_json::to_string(labels).expect("a map of strings is JSON"),
    ])?;
    Ok(())
}

/// Deletes a subscription.
pub(super) fn delete(db: &Connection, id: &SubscriptionId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// The number of subscriptions.
pub(super) fn count(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("SELECT count(*) FROM subscriptions", [], |row| row.get(0))
}

/// Finds the subscriptions whose position is at least `from` and less than `to`, in the order of their ids.
pub(super) fn between(db: &Connection, from: u64, to: u64) -> rusqlite::Result<Vec<PositionedFilter>> {
    db.prepare_cached(
        "SELECT id, sequence, accounts, types, customers FROM subscriptions WHERE sequence >= ?1 AND sequence < ?2 ORDER BY id",
    )?
    .query_map([from.cast_signed(), to.cast_signed()], |row| {
        Ok(PositionedFilter {
            id: parsed(row, 0)?,
            sequence: row.get::<_, i64>(1)?.cast_unsigned(),
            filter: filter(row, 2).ok(),
        })
    })?
    .collect()
}

/// Moves the subscriptions whose position is at least `from` and less than `to` to `to`.
pub(super) fn advance(db: &Connection, from: u64, to: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE subscriptions SET sequence = ?2 WHERE sequence >= ?1 AND sequence < ?2")?
        .execute([from.cast_signed(), to.cast_signed()])?;
    Ok(())
}

/// Sets the position of a subscription.
pub(super) fn set_sequence(db: &Connection, id: &SubscriptionId, sequence: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE subscriptions SET sequence = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), sequence.cast_signed()])?;
    Ok(())
}
