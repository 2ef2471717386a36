//! Subscriptions, one row each: the filter, and the position up to which all events are acknowledged.
//!
//! **Invariants.** The journal has reached every position. When a position is set, all events after it are still
//! stored. An acknowledgement only moves it forward. Any other change of the filter or the position assigns a new
//! generation. A change of labels, or a filter with the stored items in another order, assigns none. No generation is assigned twice, even after its subscription was deleted, or in a store restored from
//! a backup.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::{
    Change, Changed, MAX_SUBSCRIPTIONS, OpResult, SeekPosition, SubscriptionChange, SubscriptionPosition,
};
use super::column::{corrupt, parsed};
use super::transaction::Transaction;
use crate::domain::{
    AccountId, Address, CustomerFilter, Filter, Labels, Subscription, SubscriptionId, TypePattern, UnixMillis,
};

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
pub(super) fn filter(row: &Row<'_>, column: usize) -> rusqlite::Result<Filter> {
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

/// Events after a requested position were trimmed.
struct PositionExpired {
    /// As in [`Changed::Expired`].
    oldest: u64,
}

impl Transaction<'_> {
    pub(super) fn change_subscription(
        &mut self,
        id: SubscriptionId,
        change: Change,
    ) -> rusqlite::Result<OpResult> {
        let changed = self.apply_change(id, change)?;
        Ok(OpResult::Changed(Box::new(changed)))
    }

    fn apply_change(&mut self, id: SubscriptionId, change: Change) -> rusqlite::Result<Changed> {
        let now = self.now();
        let found = find(&self.db, &id)?;
        match (change, found) {
            (Change::Create { .. }, Some(state)) => Ok(Changed::Exists(state)),
            (Change::Create { filter, labels, position }, None) => {
                let count: u32 =
                    self.db.query_row("SELECT count(*) FROM subscriptions", [], |row| row.get(0))?;
                if count >= MAX_SUBSCRIPTIONS {
                    return Ok(Changed::TooMany);
                }
                let sequence = match self.resolve_position(position) {
                    Ok(sequence) => sequence,
                    Err(PositionExpired { oldest }) => return Ok(Changed::Expired { oldest }),
                };
                let created = Subscription {
                    id,
                    filter,
                    labels,
                    sequence,
                    acknowledged: sequence,
                    generation: self.next_generation(),
                    create_time: now,
                    update_time: now,
                    acknowledge_time: None,
                };
                self.put_subscription(&created)?;
                Ok(Changed::Applied(created))
            }
            (_, None) => Ok(Changed::NotFound),
            (Change::Update { filter, labels }, Some(mut state)) => {
                let filter = filter.filter(|filter| !filter.has_same_items(&state.filter));
                let labels = labels.filter(|labels| *labels != state.labels);
                let relabeled = labels.is_some();
                if let Some(labels) = labels {
                    state.labels = labels;
                }
                if let Some(filter) = filter {
                    state.filter = filter;
                    return self.replace_subscription(state, now);
                }
                if relabeled {
                    state.update_time = now;
                    self.put_subscription(&state)?;
                }
                Ok(Changed::Applied(state))
            }
            (Change::Seek(position), Some(mut state)) => match self.resolve_position(position) {
                Ok(sequence) => {
                    state.sequence = sequence;
                    state.acknowledged = sequence;
                    self.replace_subscription(state, now)
                }
                Err(PositionExpired { oldest }) => Ok(Changed::Expired { oldest }),
            },
            (Change::Acknowledge { generation: Some(generation), .. }, Some(state))
                if generation != state.generation =>
            {
                Ok(Changed::Stale(state))
            }
            (Change::Acknowledge { sequence, .. }, Some(mut state)) => {
                if sequence > state.sequence {
                    state.sequence = sequence;
                    state.acknowledged = sequence;
                    state.acknowledge_time = Some(now);
                    self.put_subscription(&state)?;
                }
                Ok(Changed::Applied(state))
            }
            (Change::Delete, Some(state)) => {
                self.db
                    .prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?
                    .execute([state.id.as_str()])?;
                self.subscriptions.push(SubscriptionChange::Deleted(state.clone()));
                Ok(Changed::Applied(state))
            }
        }
    }

    /// Writes a subscription whose filter or position was set.
    fn replace_subscription(
        &mut self,
        mut state: Subscription,
        now: UnixMillis,
    ) -> rusqlite::Result<Changed> {
        state.generation = self.next_generation();
        state.update_time = now;
        self.put_subscription(&state)?;
        self.subscriptions.push(SubscriptionChange::Set(state.clone()));
        Ok(Changed::Applied(state))
    }

    fn next_generation(&mut self) -> u64 {
        self.journal.generations += 1;
        self.journal.generations
    }

    /// Resolves a position, and checks that all events after it are still stored.
    fn resolve_position(&self, position: SeekPosition) -> Result<u64, PositionExpired> {
        let oldest = self.journal.oldest;
        match position {
            SeekPosition::Oldest => Ok(oldest - 1),
            SeekPosition::Newest => Ok(self.journal.next_sequence - 1),
            // The event was stored when the caller looked for it, and may have been trimmed since.
            SeekPosition::After(sequence) if sequence + 1 < oldest => Err(PositionExpired { oldest }),
            SeekPosition::After(sequence) => Ok(sequence),
        }
    }

    pub(super) fn put_subscription(&self, subscription: &Subscription) -> rusqlite::Result<()> {
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
        let customers: Vec<_> =
            filter.customers.iter().map(|customer| customer.address().to_string()).collect();
        self.db
            .prepare_cached(concat!(
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
}
