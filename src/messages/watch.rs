//! The registry of message watchers.
//!
//! **Invariants.** A message has an entry exactly while it has a watcher. A watcher that registered before a change was
//! durable is notified of that change or of a later one. While there is no watcher, a notification costs one atomic
//! load. A notification never waits for a watcher.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::dispatch::Failure;
use crate::domain::{Message, MessageId};

/// Notifies the watchers of messages. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct MessageWatchers {
    registry: Arc<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    /// The number of entries.
    count: AtomicUsize,
    entries: Mutex<HashMap<MessageId, Watchers>>,
}

#[derive(Debug)]
struct Watchers {
    sender: watch::Sender<Option<Notification>>,
    /// The number of watchers. The channel's receiver count is no substitute: a watch that is being dropped still has
    /// its receiver.
    count: usize,
}

/// A notification about one message.
#[derive(Clone, Debug)]
pub(super) enum Notification {
    /// The message has changed.
    Changed(Arc<Message>),
    /// An attempt at it was refused or not sent.
    NotDone(Arc<Failure>),
}

/// One watcher of one message. A newer notification replaces an older one.
#[derive(Debug)]
pub struct MessageWatch {
    message_id: MessageId,
    receiver: watch::Receiver<Option<Notification>>,
    registry: Arc<Registry>,
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, HashMap<MessageId, Watchers>> {
        // No code under the lock can panic halfway through a change, so a poisoned lock is safe to use.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageWatchers {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notifies the watchers of messages that have changed. To be called after the change is durable.
    pub fn notify_changed(&self, messages: Vec<Message>) {
        // A watcher that is not counted yet reads the store after this load, and finds the change there.
        if messages.is_empty() || self.registry.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let entries = self.registry.entries();
        for message in messages {
            if let Some(Watchers { sender, .. }) = entries.get(&message.id) {
                sender.send_replace(Some(Notification::Changed(Arc::new(message))));
            }
        }
    }

    /// Notifies the watchers of a message that an attempt was refused or not sent. To be called after the store has
    /// recorded it. The store keeps the message of an earlier attempt, and has none after a first attempt.
    pub fn notify_not_done(&self, message_id: MessageId, failure: &Failure) {
        if self.registry.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(Watchers { sender, .. }) = self.registry.entries().get(&message_id) {
            sender.send_replace(Some(Notification::NotDone(Arc::new(failure.clone()))));
        }
    }

    /// Registers a watcher of a message. The caller must read the message's present state after this, not before.
    pub fn watch(&self, message_id: MessageId) -> MessageWatch {
        let mut entries = self.registry.entries();
        let watchers = entries
            .entry(message_id)
            .or_insert_with(|| Watchers { sender: watch::Sender::new(None), count: 0 });
        watchers.count += 1;
        let receiver = watchers.sender.subscribe();
        self.registry.count.store(entries.len(), Ordering::SeqCst);
        drop(entries);
        MessageWatch { message_id, receiver, registry: Arc::clone(&self.registry) }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let entries = self.registry.entries().len();
        assert_eq!(entries, self.registry.count.load(Ordering::SeqCst));
        entries
    }
}

impl MessageWatch {
    /// Waits for the next notification. This method is cancel safe.
    pub(super) async fn next(&mut self) -> Notification {
        loop {
            self.receiver.changed().await.expect("the entry exists while it has a watcher");
            if let Some(notification) = self.receiver.borrow_and_update().clone() {
                return notification;
            }
        }
    }
}

impl Drop for MessageWatch {
    fn drop(&mut self) {
        let mut entries = self.registry.entries();
        if let Entry::Occupied(mut entry) = entries.entry(self.message_id) {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
            }
        }
        self.registry.count.store(entries.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::stream::tests::message;
    use super::*;
    use crate::dispatch::Cause;
    use crate::domain::MessageState;

    fn pending(watch: &mut MessageWatch) -> Option<Notification> {
        watch.next().now_or_never()
    }

    fn state(notification: Option<Notification>) -> Option<MessageState> {
        match notification? {
            Notification::Changed(message) => Some(message.state),
            Notification::NotDone(_) => None,
        }
    }

    #[test]
    fn watcher_gets_only_the_newest_change_of_its_message() {
        let watchers = MessageWatchers::new();
        let (mine, other) = (message(MessageState::Pending), message(MessageState::Read));
        watchers.notify_changed(vec![mine.clone()]);
        let mut watch = watchers.watch(mine.id);
        assert!(pending(&mut watch).is_none(), "earlier changes are in the store");
        watchers.notify_changed(vec![other]);
        assert!(pending(&mut watch).is_none());
        for state in [MessageState::Accepted, MessageState::Sent] {
            watchers.notify_changed(vec![Message { state, ..mine.clone() }]);
        }
        assert_eq!(state(pending(&mut watch)), Some(MessageState::Sent));
        assert!(pending(&mut watch).is_none());
    }

    #[test]
    fn watcher_gets_the_failure_of_an_attempt() {
        let watchers = MessageWatchers::new();
        let id = MessageId::generate();
        let failure = Failure { message_id: Some(id), attempt: Some(1), source: Arc::new(Cause::Stopping) };
        watchers.notify_not_done(id, &failure);
        let mut watch = watchers.watch(id);
        assert!(pending(&mut watch).is_none());
        watchers.notify_not_done(id, &failure);
        assert!(
            matches!(pending(&mut watch), Some(Notification::NotDone(failure)) if failure.attempt == Some(1))
        );
    }

    #[test]
    fn last_watcher_removes_the_entry() {
        let watchers = MessageWatchers::new();
        let (one, two) = (MessageId::generate(), MessageId::generate());
        let (first, second, third) = (watchers.watch(one), watchers.watch(one), watchers.watch(two));
        assert_eq!(watchers.entries(), 2);
        drop(first);
        assert_eq!(watchers.entries(), 2, "it has another watcher");
        drop(second);
        assert_eq!(watchers.entries(), 1);
        drop(third);
        assert_eq!(watchers.entries(), 0);
    }

    #[test]
    fn concurrent_drops_remove_the_entry() {
        let watchers = MessageWatchers::new();
        let barrier = std::sync::Barrier::new(2);
        let id = MessageId::generate();
        for _ in 0..5_000 {
            let (first, second) = (watchers.watch(id), watchers.watch(id));
            std::thread::scope(|scope| {
                for watch in [first, second] {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        drop(watch);
                    });
                }
            });
            assert_eq!(watchers.entries(), 0);
        }
    }
}
