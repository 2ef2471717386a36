//! One gate per account: what every call to a provider passes through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::AccountId;
use crate::provider::{Account, Accounts, Error as ProviderError};

/// What kind of call it is. Trouble with one kind does not hold up another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Sending a message.
    Send,
    /// Any other write.
    Write,
    /// Reading.
    Read,
}

/// Why a call was not let through. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// The account's rate, or the calls in flight, leave no room before the deadline.
    #[error("the account has no room for the call before the deadline")]
    Busy {
        /// When there is likely to be room.
        retry_after: Duration,
    },
    /// The provider has not answered lately; it is being tried.
    #[error("the provider has not answered lately")]
    Down {
        /// When it will have been tried again.
        retry_after: Duration,
    },
}

/// One account's gate.
#[derive(Debug)]
pub struct Gate {}

/// The right to make one call, now.
#[derive(Debug)]
#[must_use]
pub struct Pass {}

impl Gate {
    /// Waits until a call may be made, at most until the deadline.
    ///
    /// # Errors
    ///
    /// As soon as it is known that it may not be made before the deadline.
    pub async fn enter(&self, _class: Class, _until: Instant) -> Result<Pass, Held> {
        Ok(Pass {})
    }
}

impl Pass {
    /// Says how the call ended. A pass that is dropped instead says nothing.
    pub fn ended<T>(self, _result: &Result<T, ProviderError>) {}
}

/// The gates of all accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gates {
    by_account: Arc<HashMap<AccountId, Arc<Gate>>>,
}

impl Gates {
    /// A gate for each account. What it does in the background ends with `stopping`.
    pub fn new(accounts: &Accounts, _stopping: &CancellationToken) -> Self {
        let gate = |account: &Arc<Account>| (account.id().clone(), Arc::new(Gate {}));
        Self { by_account: Arc::new(accounts.iter().map(gate).collect()) }
    }

    /// The gate of an account.
    pub fn of(&self, account: &Account) -> &Arc<Gate> {
        self.by_account.get(account.id()).expect("each account has its gate")
    }
}
