//! Who waits for news of a message.
//!
//! **Invariants.** There is an entry for a message exactly as long as somebody watches it. Whoever began to watch before
//! a change was durable hears of that change, or of a later one. Telling costs one look at a number as long as nobody
//! watches anything, and never waits for a watcher.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::dispatch::Failure;
use crate::domain::{Message, MessageId};

/// Tells those who watch messages how they stand. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct MessageWatchers {
    watched: Arc<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    /// How many entries there are.
    count: AtomicUsize,
    entries: Mutex<HashMap<MessageId, Watchers>>,
}

#[derive(Debug)]
struct Watchers {
    news: watch::Sender<Option<Notification>>,
    /// How many they are. The receivers there are do not tell: whoever leaves still has one.
    count: usize,
}

/// The newest that was told of a message.
#[derive(Clone, Debug)]
pub(super) enum Notification {
    /// It stands differently now.
    Changed(Arc<Message>),
    /// An attempt at it ended, and nothing was done.
    NotDone(Arc<Failure>),
}

/// News of one message, for one watcher. Older news is lost when newer comes.
#[derive(Debug)]
pub struct MessageWatch {
    message_id: MessageId,
    news: watch::Receiver<Option<Notification>>,
    watched: Arc<Registry>,
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, HashMap<MessageId, Watchers>> {
        // Nothing is done under the lock that could leave half of it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageWatchers {
    /// Nobody watches anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells of messages that stand differently now.
    pub fn tell(&self, messages: Vec<Message>) {
        // Whoever is not counted yet reads the store later than this, and finds there what is told here.
        if messages.is_empty() || self.watched.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let entries = self.watched.entries();
        for message in messages {
            if let Some(Watchers { news, .. }) = entries.get(&message.id) {
                news.send_replace(Some(Notification::Changed(Arc::new(message))));
            }
        }
    }

    /// Tells that an attempt at a message ended, and that nothing was done: refused, or not sent. To be called when the
    /// store knows. What is left of the message is in the store: nothing, after a first attempt.
    pub fn ended(&self, message_id: MessageId, failure: &Failure) {
        if self.watched.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(Watchers { news, .. }) = self.watched.entries().get(&message_id) {
            news.send_replace(Some(Notification::NotDone(Arc::new(failure.clone()))));
        }
    }

    /// Begins to watch a message. What it stands at is to be read after this, not before.
    pub fn watch(&self, message_id: MessageId) -> MessageWatch {
        let mut entries = self.watched.entries();
        let watchers = entries
            .entry(message_id)
            .or_insert_with(|| Watchers { news: watch::Sender::new(None), count: 0 });
        watchers.count += 1;
        let news = watchers.news.subscribe();
        self.watched.count.store(entries.len(), Ordering::SeqCst);
        drop(entries);
        MessageWatch { message_id, news, watched: Arc::clone(&self.watched) }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let entries = self.watched.entries().len();
        assert_eq!(entries, self.watched.count.load(Ordering::SeqCst));
        entries
    }
}

impl MessageWatch {
    /// Waits for the next news. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Notification {
        loop {
            self.news.changed().await.expect("the entry stays as long as somebody watches");
            if let Some(word) = self.news.borrow_and_update().clone() {
                return word;
            }
        }
    }
}

impl Drop for MessageWatch {
    fn drop(&mut self) {
        let mut entries = self.watched.entries();
        if let Entry::Occupied(mut entry) = entries.entry(self.message_id) {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
            }
        }
        self.watched.count.store(entries.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::stream::tests::message;
    use super::*;
    use crate::dispatch::Cause;
    use crate::domain::MessageState;

    fn told(watching: &mut MessageWatch) -> Option<Notification> {
        watching.next().now_or_never()
    }

    fn state(word: Option<Notification>) -> Option<MessageState> {
        match word? {
            Notification::Changed(message) => Some(message.state),
            Notification::NotDone(_) => None,
        }
    }

    #[test]
    fn a_watcher_hears_of_its_message_alone_and_of_the_newest() {
        let message_watchers = MessageWatchers::new();
        let (mine, other) = (message(MessageState::Pending), message(MessageState::Read));
        message_watchers.tell(vec![mine.clone()]);
        let mut watching = message_watchers.watch(mine.id);
        assert!(told(&mut watching).is_none(), "what was told before is in the store");
        message_watchers.tell(vec![other]);
        assert!(told(&mut watching).is_none());
        for state in [MessageState::Accepted, MessageState::Sent] {
            message_watchers.tell(vec![Message { state, ..mine.clone() }]);
        }
        assert_eq!(state(told(&mut watching)), Some(MessageState::Sent));
        assert!(told(&mut watching).is_none());
    }

    #[test]
    fn a_watcher_hears_why_an_attempt_was_not_done() {
        let message_watchers = MessageWatchers::new();
        let id = MessageId::generate();
        let failure = Failure { message_id: Some(id), attempt: Some(1), source: Arc::new(Cause::Stopping) };
        message_watchers.ended(id, &failure);
        let mut watching = message_watchers.watch(id);
        assert!(told(&mut watching).is_none());
        message_watchers.ended(id, &failure);
        assert!(matches!(told(&mut watching), Some(Notification::NotDone(told)) if told.attempt == Some(1)));
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let message_watchers = MessageWatchers::new();
        let (one, two) = (MessageId::generate(), MessageId::generate());
        let (first, second, third) =
            (message_watchers.watch(one), message_watchers.watch(one), message_watchers.watch(two));
        assert_eq!(message_watchers.entries(), 2);
        drop(first);
        assert_eq!(message_watchers.entries(), 2, "somebody else watches it still");
        drop(second);
        assert_eq!(message_watchers.entries(), 1);
        drop(third);
        assert_eq!(message_watchers.entries(), 0);
    }

    #[test]
    fn whoever_leaves_at_the_same_moment_as_another_leaves_nothing_behind() {
        let message_watchers = MessageWatchers::new();
        let both = std::sync::Barrier::new(2);
        let id = MessageId::generate();
        for _ in 0..5_000 {
            let (first, second) = (message_watchers.watch(id), message_watchers.watch(id));
            std::thread::scope(|scope| {
                for watching in [first, second] {
                    let both = &both;
                    scope.spawn(move || {
                        both.wait();
                        drop(watching);
                    });
                }
            });
            assert_eq!(message_watchers.entries(), 0);
        }
    }
}
