//! Notifies readers of a subscription that it was changed or deleted.
//!
//! **Invariants.** A subscription has an entry exactly while a watch of its current state exists. A watch that began
//! before a change was durable is notified before the change returns to its caller. A notification never waits for a
//! watch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::domain::SubscriptionId;
use crate::store::SubscriptionChange;

/// Notifies the readers of subscriptions about changes and deletions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionChanges {
    entries: Arc<Mutex<HashMap<SubscriptionId, Watchers>>>,
}

#[derive(Debug)]
struct Watchers {
    invalidation: Arc<Invalidation>,
    count: usize,
}

/// The end of one state of a subscription.
#[derive(Debug, Default)]
struct Invalidation {
    /// The reason, and the subscription's generation at that time.
    reason: OnceLock<(Invalidated, u64)>,
    /// Is cancelled after the reason is set.
    token: CancellationToken,
}

/// Why a watched state of a subscription is no longer current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidated {
    /// The filter or the position was set.
    Changed,
    /// The subscription was deleted.
    Deleted,
}

/// A watch of one state of a subscription.
#[derive(Debug)]
pub struct SubscriptionWatch {
    id: SubscriptionId,
    /// The generation that the reader found in the store, once it is known.
    generation: Option<u64>,
    invalidation: Arc<Invalidation>,
    subscription_changes: SubscriptionChanges,
}

impl SubscriptionChanges {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notifies the watches of subscriptions whose filter or position was set, and of deleted subscriptions.
    pub fn notify(&self, changes: Vec<SubscriptionChange>) {
        if changes.is_empty() {
            return;
        }
        let mut invalidations = Vec::new();
        {
            let mut entries = self.entries();
            for change in changes {
                let (reason, subscription) = match change {
                    SubscriptionChange::Set(subscription) => (Invalidated::Changed, subscription),
                    SubscriptionChange::Deleted(subscription) => (Invalidated::Deleted, subscription),
                };
                // A later watch reads the store after this and finds the change there.
                if let Some(Watchers { invalidation, .. }) = entries.remove(&subscription.id) {
                    invalidations.push((invalidation, (reason, subscription.generation)));
                }
            }
        }
        // A notified watch may be dropped at once, which takes the lock. So the lock must not be held here.
        for (invalidation, reason) in invalidations {
            invalidation.reason.set(reason).expect("a removed entry is notified once");
            invalidation.token.cancel();
        }
    }

    /// Begins to watch a subscription. The caller must read the subscription's state after this call.
    pub(super) fn watch(&self, id: &SubscriptionId) -> SubscriptionWatch {
        let mut entries = self.entries();
        let watchers = entries
            .entry(id.clone())
            .or_insert_with(|| Watchers { invalidation: Arc::new(Invalidation::default()), count: 0 });
        watchers.count += 1;
        let invalidation = Arc::clone(&watchers.invalidation);
        drop(entries);
        SubscriptionWatch {
            id: id.clone(),
            generation: None,
            invalidation,
            subscription_changes: self.clone(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Watchers>> {
        // No code under the lock can panic halfway through a change, so a poisoned lock is safe to use.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SubscriptionWatch {
    /// Returns the subscription's id.
    pub fn id(&self) -> &SubscriptionId {
        &self.id
    }

    /// Sets the generation that the reader found in the store.
    pub(super) fn set_generation(&mut self, generation: u64) {
        self.generation = Some(generation);
    }

    /// Returns why the watched state is no longer current, or `None`. It is set before the change returns to its
    /// caller.
    pub fn invalidation(&self) -> Option<Invalidated> {
        self.invalidation.reason.get().map(|&(reason, generation)| match reason {
            // The deleted subscription was an earlier one with the same id. The one that the reader found exists.
            Invalidated::Deleted if self.generation.is_some_and(|found| generation < found) => {
                Invalidated::Changed
            }
            reason => reason,
        })
    }

    /// Waits until the watched state is no longer current.
    pub fn invalidated(&self) -> WaitForCancellationFutureOwned {
        self.invalidation.token.clone().cancelled_owned()
    }
}

impl Drop for SubscriptionWatch {
    fn drop(&mut self) {
        // The entry may belong to a later state of the subscription by now.
        if let Entry::Occupied(mut entry) = self.subscription_changes.entries().entry(self.id.clone())
            && Arc::ptr_eq(&entry.get().invalidation, &self.invalidation)
        {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::{Filter, Labels, Subscription, UnixMillis};

    fn id(text: &str) -> SubscriptionId {
        text.parse().expect("an id")
    }

    fn state(text: &str) -> Subscription {
        Subscription {
            id: id(text),
            filter: Filter::default(),
            labels: Labels::default(),
            sequence: 0,
            acknowledged: 0,
            generation: 2,
            create_time: UnixMillis(0),
            update_time: UnixMillis(0),
            acknowledge_time: None,
        }
    }

    fn changed(text: &str) -> Vec<SubscriptionChange> {
        vec![SubscriptionChange::Set(state(text))]
    }

    fn deleted(text: &str) -> Vec<SubscriptionChange> {
        vec![SubscriptionChange::Deleted(state(text))]
    }

    #[test]
    fn change_invalidates_all_watches_of_that_subscription_only() {
        let subscription_changes = SubscriptionChanges::new();
        subscription_changes.notify(changed("billing"));
        let (first, second, other) = (
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("crm")),
        );
        assert_eq!(first.invalidation(), None, "an earlier change is in the store");
        let invalidated = first.invalidated();
        subscription_changes.notify(changed("billing"));
        assert_eq!(
            (first.invalidation(), second.invalidation()),
            (Some(Invalidated::Changed), Some(Invalidated::Changed))
        );
        assert!(invalidated.now_or_never().is_some() && second.invalidated().now_or_never().is_some());
        assert_eq!(other.invalidation(), None);
        subscription_changes.notify(deleted("crm"));
        assert_eq!(
            (other.invalidation(), first.invalidation()),
            (Some(Invalidated::Deleted), Some(Invalidated::Changed))
        );
    }

    #[test]
    fn watch_after_a_change_tracks_the_new_state() {
        let subscription_changes = SubscriptionChanges::new();
        let before = subscription_changes.watch(&id("billing"));
        subscription_changes.notify(changed("billing"));
        let after = subscription_changes.watch(&id("billing"));
        drop(before);
        assert_eq!(after.invalidation(), None);
        subscription_changes.notify(deleted("billing"));
        assert_eq!(after.invalidation(), Some(Invalidated::Deleted));
    }

    #[test]
    fn dropping_the_last_watch_removes_the_entry() {
        let subscription_changes = SubscriptionChanges::new();
        let (first, second, other) = (
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("crm")),
        );
        assert_eq!(subscription_changes.entries().len(), 2);
        drop(first);
        assert_eq!(subscription_changes.entries().len(), 2, "another watch exists");
        drop(second);
        assert_eq!(subscription_changes.entries().len(), 1);
        subscription_changes.notify(changed("crm"));
        assert_eq!(subscription_changes.entries().len(), 0, "no watch of the current state exists");
        drop(other);
        assert_eq!(subscription_changes.entries().len(), 0);
    }

    /// A recreated subscription is durable before its deletion is published, so a reader can find it in between.
    #[test]
    fn watch_of_a_recreated_subscription_sees_no_deletion() {
        let subscription_changes = SubscriptionChanges::new();
        let (mut old, mut new) =
            (subscription_changes.watch(&id("billing")), subscription_changes.watch(&id("billing")));
        old.set_generation(2);
        new.set_generation(3);
        subscription_changes.notify(deleted("billing"));
        assert_eq!(
            (old.invalidation(), new.invalidation()),
            (Some(Invalidated::Deleted), Some(Invalidated::Changed))
        );
    }
}
