//! Trimming: which of the oldest events are deleted, and how that affects subscriptions.
//!
//! **Invariants.** Trimming deletes the oldest events, so the rest stay contiguous. It advances the position of each
//! subscription that loses nothing. A subscription that is still positioned before the deleted events has therefore
//! lost a matching event. Its position alone shows that, and nothing else is recorded. `JournalRow::bytes` is the
//! size of the stored events.

use std::collections::HashMap;

use rusqlite::params;

use super::super::{OpResult, Trim, Trimmed};
use super::column::{customer, parsed};
use super::subscriptions;
use super::transaction::Transaction;
use crate::domain::{AccountId, CustomerHash, EventCustomer, EventType, Filter, SubscriptionId, UnixMillis};

/// The events to delete.
#[derive(Default)]
struct TrimPlan {
    trimmed: Trimmed,
    /// The latest receive time of these events.
    received: Option<UnixMillis>,
    holders: Option<Holders>,
}

impl Transaction<'_> {
    pub(super) fn trim(&mut self, trim: Trim) -> rusqlite::Result<OpResult> {
        let TrimPlan { mut trimmed, received, holders } = self.plan_trim(trim)?;
        if trimmed.events > 0 {
            let first = self.journal.oldest;
            self.journal.oldest += trimmed.events;
            self.journal.bytes = self.journal.bytes.saturating_sub(trimmed.bytes);
            self.journal.trimmed = self.journal.trimmed.max(received);
            let last = self.journal.oldest - 1;
            self.db
                .prepare_cached("DELETE FROM events WHERE sequence <= ?1")?
                .execute([last.cast_signed()])?;
            trimmed.expired = self.advance_subscriptions(holders, first - 1, last)?;
        }
        Ok(OpResult::Trimmed(trimmed))
    }

    /// Advances the subscriptions positioned among the deleted events: to after them, or to right before the first
    /// event that they lost. Returns those that lost an event.
    fn advance_subscriptions(
        &self,
        holders: Option<Holders>,
        from: u64,
        to: u64,
    ) -> rusqlite::Result<Vec<SubscriptionId>> {
        let holders = holders.map_or(Vec::new(), |holders| holders.all);
        if holders.iter().any(|holder| holder.sequence < to) {
            // One statement for all, because each step may advance many.
            self.db
                .prepare_cached(
                    "UPDATE subscriptions SET sequence = ?2 WHERE sequence >= ?1 AND sequence < ?2",
                )?
                .execute([from.cast_signed(), to.cast_signed()])?;
        }
        let mut expired = Vec::new();
        for holder in holders {
            let Some(lost) = holder.lost else { continue };
            self.db
                .prepare_cached("UPDATE subscriptions SET sequence = ?2 WHERE id = ?1")?
                .execute(params![holder.id.as_str(), (lost - 1).cast_signed()])?;
            expired.push(holder.id);
        }
        Ok(expired)
    }

    /// Selects the events to delete. It does not read bodies, and looks at one event beyond the selected ones at
    /// most.
    fn plan_trim(&self, trim: Trim) -> rusqlite::Result<TrimPlan> {
        let Trim { before, force_before, max_bytes, step_events, step_bytes } = trim;
        let mut plan = TrimPlan::default();
        let mut statement = self.db.prepare_cached(
            "SELECT sequence, receive_ms, length(event) + length(raw), account, type, customer, customer_alias_1,
                    customer_alias_2
             FROM events ORDER BY sequence",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sequence = row.get::<_, i64>(0)?.cast_unsigned();
            let received = UnixMillis(row.get(1)?);
            let bytes = row.get::<_, i64>(2)?.cast_unsigned();
            let over_size =
                max_bytes.is_some_and(|max| self.journal.bytes.saturating_sub(plan.trimmed.bytes) > max);
            let forced = over_size || received < force_before;
            if !forced && received >= before {
                break;
            }
            let holders = match &mut plan.holders {
                Some(holders) => holders,
                none => none.insert(self.holders(step_events)?),
            };
            let (account, event_type) = (row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?);
            let event = TrimmedEvent { sequence, account, event_type, customer: customer(row, 5)? };
            let held = holders.is_held(&event);
            if held && !forced {
                break;
            }
            let events = plan.trimmed.events;
            if events >= u64::from(step_events) || (events > 0 && plan.trimmed.bytes + bytes > step_bytes) {
                plan.trimmed.more = true;
                break;
            }
            if held {
                holders.mark_lost(&event);
            }
            plan.trimmed.events += 1;
            plan.trimmed.bytes += bytes;
            plan.received = Some(received);
        }
        Ok(plan)
    }

    /// Finds the subscriptions that may hold one of the next `step_events + 1` oldest events: those positioned there.
    fn holders(&self, step_events: u32) -> rusqlite::Result<Holders> {
        let oldest = self.journal.oldest;
        let mut statement = self.db.prepare_cached(
            "SELECT id, sequence, accounts, types, customers FROM subscriptions WHERE sequence >= ?1 AND sequence < ?2 ORDER BY id",
        )?;
        let from = (oldest - 1).cast_signed();
        let to = (oldest + u64::from(step_events)).cast_signed();
        let holders = statement.query_map([from, to], |row| {
            Ok(Holder {
                id: parsed(row, 0)?,
                sequence: row.get::<_, i64>(1)?.cast_unsigned(),
                // One that this version cannot read must not keep the store from writing: it holds everything.
                filter: subscriptions::filter(row, 2).ok().filter(Filter::is_recognized).unwrap_or_default(),
                lost: None,
            })
        })?;
        holders.collect::<rusqlite::Result<_>>().map(Holders::new)
    }
}

/// A subscription that is positioned among the oldest events.
struct Holder {
    id: SubscriptionId,
    sequence: u64,
    filter: Filter,
    /// The first event that it lost. Since then it holds nothing.
    lost: Option<u64>,
}

/// The columns of an event that decide who holds it.
struct TrimmedEvent<'row> {
    sequence: u64,
    account: &'row str,
    event_type: &'row str,
    customer: EventCustomer,
}

impl TrimmedEvent<'_> {
    /// The account and type. Absent if this version cannot read them.
    fn kind(&self) -> Option<(AccountId, EventType)> {
        self.account.parse().ok().zip(EventType::from_name(self.event_type))
    }
}

/// All such subscriptions, indexed so that an event is compared only with those that may hold it.
struct Holders {
    all: Vec<Holder>,
    /// The subscriptions whose filter names a customer, as indexes into `all`.
    by_customer: HashMap<CustomerHash, Vec<usize>>,
    kinds: Vec<Kind>,
}

/// An account and type. There are few kinds, with many events each.
struct Kind {
    account: String,
    event_type: String,
    /// The lowest position of a subscription that holds such events of every customer.
    min_sequence: Option<u64>,
}

impl Holders {
    fn new(all: Vec<Holder>) -> Self {
        let mut by_customer: HashMap<_, Vec<_>> = HashMap::new();
        for (index, holder) in all.iter().enumerate() {
            for customer in &holder.filter.customers {
                by_customer.entry(customer.hash()).or_default().push(index);
            }
        }
        Self { all, by_customer, kinds: Vec::new() }
    }

    /// Whether a subscription holds the event.
    fn is_held(&mut self, event: &TrimmedEvent<'_>) -> bool {
        self.is_held_for_its_kind(event) || self.is_held_for_its_customer(event)
    }

    fn is_held_for_its_kind(&mut self, event: &TrimmedEvent<'_>) -> bool {
        let of = |kind: &&Kind| kind.account == event.account && kind.event_type == event.event_type;
        let min_sequence = match self.kinds.iter().find(of) {
            Some(kind) => kind.min_sequence,
            None => {
                let kind = event.kind();
                let holds = |holder: &&Holder| {
                    holder.lost.is_none()
                        && kind.as_ref().is_none_or(|(account, event_type)| {
                            holder.filter.customers.is_empty()
                                && holder.filter.matches_kind(account, *event_type)
                        })
                };
                let min_sequence = self.all.iter().filter(holds).map(|holder| holder.sequence).min();
                self.kinds.push(Kind {
                    account: event.account.to_owned(),
                    event_type: event.event_type.to_owned(),
                    min_sequence,
                });
                min_sequence
            }
        };
        min_sequence.is_some_and(|min_sequence| min_sequence < event.sequence)
    }

    fn is_held_for_its_customer(&self, event: &TrimmedEvent<'_>) -> bool {
        if self.by_customer.is_empty() {
            return false;
        }
        event
            .customer
            .hashes()
            .filter_map(|customer| self.by_customer.get(&customer))
            .flatten()
            .any(|&index| self.all[index].holds(event))
    }

    /// Records that its holders lose the event.
    fn mark_lost(&mut self, event: &TrimmedEvent<'_>) {
        for holder in self.all.iter_mut().filter(|holder| holder.holds(event)) {
            holder.lost = Some(event.sequence);
        }
        // The cached positions are outdated, because these subscriptions hold nothing now.
        self.kinds.clear();
    }
}

impl Holder {
    /// Whether the subscription is positioned before the event and matches it. If this version cannot read the event's
    /// account or type, every subscription matches.
    fn holds(&self, event: &TrimmedEvent<'_>) -> bool {
        self.lost.is_none()
            && self.sequence < event.sequence
            && event.kind().is_none_or(|(account, event_type)| {
                self.filter.matches(&account, event_type, &event.customer)
            })
    }
}
