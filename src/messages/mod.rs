//! Reads messages and conversations, and watches messages as their state moves forward.
//!
//! **Invariant.** A watcher gets the states of its message in the order in which the message moves forward, and the
//! newest state when the message no longer moves.

mod stream;
mod watch;

use std::time::Duration;

pub use stream::{MessageStream, Update, WatchEnd};
pub use watch::{MessageWatch, MessageWatchers};

use crate::domain::{AccountId, Address, Message, PhoneNumber, UnixMillis};
use crate::provider::Accounts;
use crate::store::{self, MessageKey, MessagePage, MessageQuery, Store};

/// Reads messages and conversations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Messages {
    accounts: Accounts,
    store: Store,
    watchers: MessageWatchers,
    /// How long the store knows a message after it was created.
    retention: Duration,
}

/// The store cannot be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read")]
pub struct StoreUnreadable;

impl Messages {
    /// Reads from `store`. `watchers` must be notified of each of its commits.
    pub fn new(accounts: Accounts, store: Store, watchers: MessageWatchers, retention: Duration) -> Self {
        Self { accounts, store, watchers, retention }
    }

    /// Finds a message in its present state.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn find(
        &self,
        account: &AccountId,
        key: &MessageKey,
    ) -> Result<Option<Message>, StoreUnreadable> {
        // A result that a client already has may still be on its way to the disk.
        self.store.read_barrier().await.map_err(unreadable)?;
        self.store.message(account, key).await.map_err(unreadable)
    }

    /// Finds when a customer last wrote to one of the account's numbers, or to any.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn last_received(
        &self,
        account: &AccountId,
        customer: &Address,
        own: Option<&PhoneNumber>,
    ) -> Result<Option<UnixMillis>, StoreUnreadable> {
        self.store.last_received(account, customer, own).await.map_err(unreadable)
    }

    /// Lists messages, newest first: at most `limit`. Messages whose retention has ended are left out.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn list(&self, query: MessageQuery, limit: usize) -> Result<MessagePage, StoreUnreadable> {
        self.store.read_barrier().await.map_err(unreadable)?;
        let start = query.start.max(UnixMillis::now().minus(self.retention));
        self.store.messages(MessageQuery { start, ..query }, limit).await.map_err(unreadable)
    }

    /// Watches a message, if it exists.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn watch(
        &self,
        account: &AccountId,
        key: &MessageKey,
    ) -> Result<Option<MessageStream>, StoreUnreadable> {
        let Some(found) = self.find(account, key).await? else { return Ok(None) };
        let watch = self.watchers.watch(found.id);
        // Read again: the message may have changed before it had a watcher.
        let Some(message) = self.find(account, &MessageKey::Id(found.id)).await? else { return Ok(None) };
        let tracked =
            self.accounts.get(account).is_some_and(|account| account.capabilities().reports_statuses);
        Ok(Some(MessageStream::new(self.clone(), watch, tracked, message)))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: store::Error) -> StoreUnreadable {
    tracing::error!(error = &error as &dyn std::error::Error, "store read failed");
    StoreUnreadable
}
