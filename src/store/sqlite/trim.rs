//! Trimming: which of the oldest events are deleted, and how that affects subscriptions.
//!
//! **Invariants.** Trimming deletes the oldest events, so the rest stay contiguous. It advances the position of each
//! subscription that loses nothing. A subscription that is still positioned before the deleted events has therefore
//! lost a matching event. Its position alone shows that, and nothing else is recorded. `JournalRow::bytes` is the
//! size of the stored events.

use rusqlite::params;

use super::super::{OpResult, Trim, Trimmed};
use super::column::parsed;
use super::subscriptions;
use super::transaction::Transaction;
use crate::domain::{AccountId, EventType, Filter, SubscriptionId, UnixMillis};

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
            "SELECT sequence, receive_ms, length(event) + length(raw), account, type FROM events ORDER BY sequence",
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
            let held = holders.is_held(sequence, account, event_type);
            if held && !forced {
                break;
            }
            let events = plan.trimmed.events;
            if events >= u64::from(step_events) || (events > 0 && plan.trimmed.bytes + bytes > step_bytes) {
                plan.trimmed.more = true;
                break;
            }
            if held {
                holders.mark_lost(sequence, account, event_type);
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
            "SELECT id, sequence, accounts, types FROM subscriptions WHERE sequence >= ?1 AND sequence < ?2 ORDER BY id",
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
        Ok(Holders { all: holders.collect::<rusqlite::Result<_>>()?, kinds: Vec::new() })
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

/// All such subscriptions, with a cache for each kind of event seen so far.
struct Holders {
    all: Vec<Holder>,
    kinds: Vec<Kind>,
}

/// An account and type. There are few kinds, with many events each.
struct Kind {
    account: String,
    event_type: String,
    /// The lowest position of a subscription that holds such events.
    min_sequence: Option<u64>,
}

impl Holders {
    /// Whether a subscription holds the event.
    fn is_held(&mut self, sequence: u64, account: &str, event_type: &str) -> bool {
        let of = |kind: &&Kind| kind.account == account && kind.event_type == event_type;
        let min_sequence = match self.kinds.iter().find(of) {
            Some(kind) => kind.min_sequence,
            None => {
                let matches = matcher(account, event_type);
                let min_sequence =
                    self.all.iter().filter(|holder| matches(holder)).map(|holder| holder.sequence).min();
                let (account, event_type) = (account.to_owned(), event_type.to_owned());
                self.kinds.push(Kind { account, event_type, min_sequence });
                min_sequence
            }
        };
        min_sequence.is_some_and(|min_sequence| min_sequence < sequence)
    }

    /// Records that its holders lose the event.
    fn mark_lost(&mut self, sequence: u64, account: &str, event_type: &str) {
        let matches = matcher(account, event_type);
        for holder in self.all.iter_mut().filter(|holder| holder.sequence < sequence && matches(holder)) {
            holder.lost = Some(sequence);
        }
        // The cached positions are outdated, because these subscriptions hold nothing now.
        self.kinds.clear();
    }
}

/// Returns whether a subscription that has lost nothing matches this kind of event. If this version cannot read the
/// kind, every subscription matches.
fn matcher(account: &str, event_type: &str) -> impl Fn(&Holder) -> bool + use<> {
    let kind = account.parse::<AccountId>().ok().zip(EventType::from_name(event_type));
    move |holder| {
        holder.lost.is_none()
            && kind.as_ref().is_none_or(|(account, event_type)| holder.filter.matches(account, *event_type))
    }
}
