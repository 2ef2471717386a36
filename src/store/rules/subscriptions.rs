//! Subscriptions, one row each: the filter, and the position up to which all events are acknowledged.
//!
//! **Invariants.** The journal has reached every position. When a position is set, all events after it are still
//! stored. An acknowledgement only moves it forward. Any other change of the filter or the position assigns a new
//! generation. A change of labels, or a filter with the stored items in another order, assigns none. No generation is assigned twice, even after its subscription was deleted, or in a store restored from
//! a backup.

use super::super::{Change, Changed, MAX_SUBSCRIPTIONS, OpResult, SeekPosition, SubscriptionChange};
use super::{RowError, Rows, Transaction};
use crate::domain::{Subscription, SubscriptionId, UnixMillis};

/// Events after a requested position were trimmed.
struct PositionExpired {
    /// As in [`Changed::Expired`].
    oldest: u64,
}

impl<R: Rows> Transaction<R> {
    pub(super) fn change_subscription(
        &mut self,
        id: SubscriptionId,
        change: Change,
    ) -> Result<OpResult, RowError> {
        let changed = self.apply_change(id, change)?;
        Ok(OpResult::Changed(Box::new(changed)))
    }

    fn apply_change(&mut self, id: SubscriptionId, change: Change) -> Result<Changed, RowError> {
        let now = self.now();
        let found = self.rows.subscription(&id)?;
        match (change, found) {
            (Change::Create { .. }, Some(state)) => Ok(Changed::Exists(state)),
            (Change::Create { filter, labels, position }, None) => {
                let count = self.rows.count_subscriptions()?;
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
                self.rows.put_subscription(&created)?;
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
                    self.rows.put_subscription(&state)?;
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
                    self.rows.put_subscription(&state)?;
                }
                Ok(Changed::Applied(state))
            }
            (Change::Delete, Some(state)) => {
                self.rows.delete_subscription(&state.id)?;
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
    ) -> Result<Changed, RowError> {
        state.generation = self.next_generation();
        state.update_time = now;
        self.rows.put_subscription(&state)?;
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
}
