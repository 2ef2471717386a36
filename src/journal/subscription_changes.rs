//! Who reads from a subscription, and must hear when it was changed or deleted.
//!
//! **Invariants.** A subscription has an entry exactly as long as somebody watches it as it stands. Whoever began to
//! watch before a change was durable hears of it: at once, before the change is answered. Telling waits for no watcher.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::domain::SubscriptionId;
use crate::store::SubscriptionChange;

/// Tells those who read from subscriptions that these were changed or deleted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionChanges {
    entries: Arc<Mutex<HashMap<SubscriptionId, Watchers>>>,
}

#[derive(Debug)]
struct Watchers {
    end: Arc<End>,
    count: usize,
}

/// The end of a subscription as it stands.
#[derive(Debug, Default)]
struct End {
    /// Why, and the generation that it had come to.
    over: OnceLock<(Invalidated, u64)>,
    /// Wakes, once it is known.
    told: CancellationToken,
}

/// Why a subscription is no longer what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidated {
    /// Its filter or place was set.
    Changed,
    /// It was deleted.
    Deleted,
}

/// A subscription as it stands, for one who reads from it.
#[derive(Debug)]
pub struct SubscriptionWatch {
    id: SubscriptionId,
    /// The generation that was found, once it is known.
    generation: Option<u64>,
    end: Arc<End>,
    subscription_changes: SubscriptionChanges,
}

impl SubscriptionChanges {
    /// Nobody watches anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells of subscriptions whose filter or place was set, and of those that were deleted.
    pub fn tell(&self, altered: Vec<SubscriptionChange>) {
        if altered.is_empty() {
            return;
        }
        let mut ends = Vec::new();
        {
            let mut entries = self.entries();
            for altered in altered {
                let (over, subscription) = match altered {
                    SubscriptionChange::Set(subscription) => (Invalidated::Changed, subscription),
                    SubscriptionChange::Deleted(subscription) => (Invalidated::Deleted, subscription),
                };
                // Whoever comes later reads the store later, and finds there what is told here.
                if let Some(Watchers { end, .. }) = entries.remove(&subscription.id) {
                    ends.push((end, (over, subscription.generation)));
                }
            }
        }
        // Whoever is woken may let go of what it watches at once, so not under the lock.
        for (end, over) in ends {
            end.over.set(over).expect("an entry that is taken out is told once");
            end.told.cancel();
        }
    }

    /// Begins to watch a subscription. How it stands is to be read after this, not before.
    pub(super) fn watch(&self, id: &SubscriptionId) -> SubscriptionWatch {
        let mut entries = self.entries();
        let watchers =
            entries.entry(id.clone()).or_insert_with(|| Watchers { end: Arc::new(End::default()), count: 0 });
        watchers.count += 1;
        let end = Arc::clone(&watchers.end);
        drop(entries);
        SubscriptionWatch { id: id.clone(), generation: None, end, subscription_changes: self.clone() }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Watchers>> {
        // Nothing is done under the lock that could leave half of it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SubscriptionWatch {
    /// Which subscription it is.
    pub fn id(&self) -> &SubscriptionId {
        &self.id
    }

    /// Says which generation was found.
    pub(super) fn found(&mut self, generation: u64) {
        self.generation = Some(generation);
    }

    /// Why it is no longer what it was, if that is so. It is from before the change is answered.
    pub fn over(&self) -> Option<Invalidated> {
        self.end.over.get().map(|&(over, generation)| match over {
            // What was deleted was an earlier one of its id: what was found stands.
            Invalidated::Deleted if self.generation.is_some_and(|found| generation < found) => {
                Invalidated::Changed
            }
            over => over,
        })
    }

    /// Waits until it is no longer what it was.
    pub fn told(&self) -> WaitForCancellationFutureOwned {
        self.end.told.clone().cancelled_owned()
    }
}

impl Drop for SubscriptionWatch {
    fn drop(&mut self) {
        // By now others may watch it as it stands later.
        if let Entry::Occupied(mut entry) = self.subscription_changes.entries().entry(self.id.clone())
            && Arc::ptr_eq(&entry.get().end, &self.end)
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
    fn all_who_watch_a_subscription_hear_of_its_change_and_others_do_not() {
        let subscription_changes = SubscriptionChanges::new();
        subscription_changes.tell(changed("billing"));
        let (first, second, other) = (
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("crm")),
        );
        assert_eq!(first.over(), None, "what was told before is in the store");
        let told = first.told();
        subscription_changes.tell(changed("billing"));
        assert_eq!((first.over(), second.over()), (Some(Invalidated::Changed), Some(Invalidated::Changed)));
        assert!(told.now_or_never().is_some() && second.told().now_or_never().is_some());
        assert_eq!(other.over(), None);
        subscription_changes.tell(deleted("crm"));
        assert_eq!((other.over(), first.over()), (Some(Invalidated::Deleted), Some(Invalidated::Changed)));
    }

    #[test]
    fn whoever_comes_after_a_change_watches_what_stands_since() {
        let subscription_changes = SubscriptionChanges::new();
        let before = subscription_changes.watch(&id("billing"));
        subscription_changes.tell(changed("billing"));
        let after = subscription_changes.watch(&id("billing"));
        drop(before);
        assert_eq!(after.over(), None);
        subscription_changes.tell(deleted("billing"));
        assert_eq!(after.over(), Some(Invalidated::Deleted));
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let subscription_changes = SubscriptionChanges::new();
        let (first, second, other) = (
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("billing")),
            subscription_changes.watch(&id("crm")),
        );
        assert_eq!(subscription_changes.entries().len(), 2);
        drop(first);
        assert_eq!(subscription_changes.entries().len(), 2, "somebody else watches it still");
        drop(second);
        assert_eq!(subscription_changes.entries().len(), 1);
        subscription_changes.tell(changed("crm"));
        assert_eq!(subscription_changes.entries().len(), 0, "nobody watches it as it stands now");
        drop(other);
        assert_eq!(subscription_changes.entries().len(), 0);
    }

    /// It is on disk before it is told, and may be found in between.
    #[test]
    fn whoever_has_found_what_was_made_anew_is_not_told_that_it_was_deleted() {
        let subscription_changes = SubscriptionChanges::new();
        let (mut old, mut new) =
            (subscription_changes.watch(&id("billing")), subscription_changes.watch(&id("billing")));
        old.found(2);
        new.found(3);
        subscription_changes.tell(deleted("billing"));
        assert_eq!((old.over(), new.over()), (Some(Invalidated::Deleted), Some(Invalidated::Changed)));
    }
}
