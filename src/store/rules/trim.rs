//! Trimming: which of the oldest events are deleted, and how that affects subscriptions.
//!
//! **Invariants.** Trimming deletes the oldest events, so the rest stay contiguous. It advances the position of each
//! subscription that loses nothing. A subscription that is still positioned before the deleted events has therefore
//! lost a matching event. Its position alone shows that, and nothing else is recorded. `JournalRow::bytes` is the
//! size of the stored events.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::{OpResult, Trim, Trimmed};
use super::{OldestEvent, PositionedFilter, RowError, Rows, Transaction};
use crate::domain::{AccountId, CustomerHash, EventType, Filter, SubscriptionId, UnixMillis};

/// The events to delete.
#[derive(Default)]
struct TrimPlan {
    trimmed: Trimmed,
    /// The latest receive time of these events.
    received: Option<UnixMillis>,
    holders: Option<Holders>,
}

impl<R: Rows> Transaction<R> {
    pub(super) fn trim(&mut self, trim: Trim) -> Result<OpResult, RowError> {
        let TrimPlan { mut trimmed, received, holders } = self.plan_trim(trim)?;
        if trimmed.events > 0 {
            let first = self.journal.oldest;
            self.journal.oldest += trimmed.events;
            self.journal.bytes = self.journal.bytes.saturating_sub(trimmed.bytes);
            self.journal.trimmed = self.journal.trimmed.max(received);
            let last = self.journal.oldest - 1;
            self.rows.delete_events(last)?;
            trimmed.expired = self.advance_subscriptions(holders, first - 1, last)?;
        }
        Ok(OpResult::Trimmed(trimmed))
    }

    /// Advances the subscriptions positioned among the deleted events: to after them, or to right before the first
    /// event that they lost. Returns those that lost an event.
    fn advance_subscriptions(
        &mut self,
        holders: Option<Holders>,
        from: u64,
        to: u64,
    ) -> Result<Vec<SubscriptionId>, RowError> {
        let holders = holders.map_or(Vec::new(), |holders| holders.all);
        if holders.iter().any(|holder| holder.sequence < to) {
            // One call for all, because each step may advance many.
            self.rows.advance_subscriptions(from, to)?;
        }
        let mut expired = Vec::new();
        for holder in holders {
            let Some(lost) = holder.lost else { continue };
            self.rows.set_subscription_sequence(&holder.id, lost - 1)?;
            expired.push(holder.id);
        }
        Ok(expired)
    }

    /// Selects the events to delete. It does not read bodies, and looks at one event beyond the selected ones at
    /// most.
    fn plan_trim(&self, trim: Trim) -> Result<TrimPlan, RowError> {
        let Trim { before, force_before, max_bytes, step_events, step_bytes } = trim;
        let mut plan = TrimPlan::default();
        self.rows.oldest_events(|event| {
            let over_size =
                max_bytes.is_some_and(|max| self.journal.bytes.saturating_sub(plan.trimmed.bytes) > max);
            let forced = over_size || event.receive_time < force_before;
            if !forced && event.receive_time >= before {
                return Ok(ControlFlow::Break(()));
            }
            let holders = match &mut plan.holders {
                Some(holders) => holders,
                none => none.insert(self.holders(step_events)?),
            };
            let held = holders.is_held(event);
            if held && !forced {
                return Ok(ControlFlow::Break(()));
            }
            let events = plan.trimmed.events;
            if events >= u64::from(step_events)
                || (events > 0 && plan.trimmed.bytes + event.bytes > step_bytes)
            {
                plan.trimmed.more = true;
                return Ok(ControlFlow::Break(()));
            }
            if held {
                holders.mark_lost(event);
            }
            plan.trimmed.events += 1;
            plan.trimmed.bytes += event.bytes;
            plan.received = Some(event.receive_time);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(plan)
    }

    /// Finds the subscriptions that may hold one of the next `step_events + 1` oldest events: those positioned there.
    fn holders(&self, step_events: u32) -> Result<Holders, RowError> {
        let oldest = self.journal.oldest;
        let positioned = self.rows.subscriptions_between(oldest - 1, oldest + u64::from(step_events))?;
        let holders = positioned.into_iter().map(|PositionedFilter { id, sequence, filter }| Holder {
            id,
            sequence,
            // One that this version cannot read must not keep the store from writing: it holds everything.
            filter: filter.filter(Filter::is_recognized).unwrap_or_default(),
            lost: None,
        });
        Ok(Holders::new(holders.collect()))
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

impl OldestEvent<'_> {
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
    fn is_held(&mut self, event: &OldestEvent<'_>) -> bool {
        self.is_held_for_its_kind(event) || self.is_held_for_its_customer(event)
    }

    fn is_held_for_its_kind(&mut self, event: &OldestEvent<'_>) -> bool {
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

    fn is_held_for_its_customer(&self, event: &OldestEvent<'_>) -> bool {
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
    fn mark_lost(&mut self, event: &OldestEvent<'_>) {
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
    fn holds(&self, event: &OldestEvent<'_>) -> bool {
        self.lost.is_none()
            && self.sequence < event.sequence
            && event.kind().is_none_or(|(account, event_type)| {
                self.filter.matches(&account, event_type, &event.customer)
            })
    }
}
