//! The connections that wait for their peers, longest wait first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::sync::CancellationToken;

/// The key of an entry. Later entries have larger keys.
pub(super) type Ticket = u64;

/// The waiting connections and the tokens that evict them.
#[derive(Debug, Default)]
pub(super) struct IdleQueue {
    entries: Mutex<Entries>,
    inserted: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    next: Ticket,
    tokens: BTreeMap<Ticket, CancellationToken>,
}

impl IdleQueue {
    /// Adds an entry at the end.
    pub(super) fn insert(&self, eviction: CancellationToken) -> Ticket {
        let mut entries = self.entries();
        let ticket = entries.next;
        entries.next += 1;
        entries.tokens.insert(ticket, eviction);
        drop(entries);
        self.inserted.notify_one();
        ticket
    }

    /// Removes an entry. Does nothing if it was evicted.
    pub(super) fn remove(&self, ticket: Ticket) {
        self.entries().tokens.remove(&ticket);
    }

    /// Evicts the connection that has waited the longest. Returns false if none waits.
    pub(super) fn evict_oldest(&self) -> bool {
        let first = self.entries().tokens.pop_first();
        first.is_some_and(|(_, eviction)| {
            eviction.cancel();
            true
        })
    }

    /// Waits until an entry is inserted. Only one task may wait.
    pub(super) fn inserted(&self) -> Notified<'_> {
        self.inserted.notified()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_idle_connection_is_evicted_first() {
        let queue = IdleQueue::default();
        let evictions: Vec<CancellationToken> = (0..4).map(|_| CancellationToken::new()).collect();
        let tickets: Vec<Ticket> = evictions.iter().map(|eviction| queue.insert(eviction.clone())).collect();
        queue.remove(tickets[0]);
        // The second connection starts a new wait.
        queue.remove(tickets[1]);
        queue.insert(evictions[1].clone());
        let evicted = || evictions.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        assert!(queue.evict_oldest());
        assert_eq!(evicted(), [false, false, true, false]);
        assert!(queue.evict_oldest() && queue.evict_oldest());
        assert_eq!(evicted(), [false, true, true, true]);
        assert!(!queue.evict_oldest());
    }
}
