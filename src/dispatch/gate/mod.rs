//! One gate per account: what every call to a provider passes through.
//!
//! A call is let through when the provider answers calls of its class, there is a place for it among those under way,
//! and the account's rate has room for it. Until then it waits, in the order in which calls came, and no longer than it
//! may: what can be foreseen to take longer is turned away at once.
//!
//! **Invariant:** accounts share nothing here. Reads have places of their own, so that slow ones never hold up sends.

mod breaker;
mod probe;
mod rate_limiter;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use breaker::{Breakers, Signal};
use rate_limiter::{Counted, TokenBucket};

use crate::domain::{AccountId, RateLimits};
use crate::provider::{Account, Accounts, Error as ProviderError};
use crate::telemetry::metrics::{REJECTED_CALLS, rejection};

/// The share of the calls in flight that reads have beside the writes: one place for so many.
const WRITES_PER_READ: u32 = 8;

/// When there is likely to be a place, where nothing can be foreseen.
const PLACE_DELAY: Duration = Duration::from_secs(1);

/// How long a provider is left alone that throttles and does not say for how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// The longest that a provider is left alone, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What kind of call it is. Trouble with one kind does not hold up another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Sending a message.
    Send,
    /// Any other write.
    Write,
    /// Reading.
    Read,
}

impl Class {
    /// All of them.
    const ALL: [Self; 3] = [Self::Send, Self::Write, Self::Read];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// Why a call was not let through. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The account's rate, or the calls in flight, leave no room before the deadline.
    #[error("the account has no room for the call before the deadline")]
    RateLimited {
        /// When there is likely to be room.
        retry_after: Duration,
    },
    /// The provider has not answered lately; it is being tried.
    #[error("the provider has not answered lately")]
    CircuitOpen {
        /// When it will have been tried again.
        retry_after: Duration,
    },
}

/// One account's gate.
#[derive(Debug)]
pub(super) struct Gate {
    account: AccountId,
    max_queue_wait: Duration,
    breakers: Breakers,
    writes: ConcurrencyLimit,
    reads: ConcurrencyLimit,
    line: TokenBucket,
}

/// Places for calls under way.
#[derive(Debug)]
struct ConcurrencyLimit {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to make one call, now.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit {
    gate: Arc<Gate>,
    class: Class,
    /// What the breaker let it through as.
    admitted: u64,
    _place: OwnedSemaphorePermit,
}

impl ConcurrencyLimit {
    fn new(places: u32) -> Self {
        Self { places: Arc::new(Semaphore::new(places as usize)), waiting: AtomicUsize::new(0) }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        let _counted = Counted::new(&self.waiting);
        Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it")
    }
}

impl Gate {
    fn new(account: AccountId, rate_limits: RateLimits) -> Self {
        Self {
            breakers: Breakers::new(account.clone(), rate_limits.breaker_failures),
            account,
            max_queue_wait: rate_limits.max_queue_wait,
            writes: ConcurrencyLimit::new(rate_limits.calls_in_flight.max(1)),
            reads: ConcurrencyLimit::new((rate_limits.calls_in_flight / WRITES_PER_READ).max(1)),
            line: TokenBucket::new(rate_limits.calls_per_second),
        }
    }

    /// Until when a call may wait here and be tried again: its caller's deadline, or as long as the account's patience
    /// lasts.
    pub(super) fn until(&self, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or_else(|| Instant::now() + self.max_queue_wait)
    }

    /// Lets a call through that need not wait. None when it must, or when it would be turned away.
    pub(super) fn try_enter(self: &Arc<Self>, class: Class) -> Option<Permit> {
        let admitted = self.breakers.closed(class)?;
        let room = self.room(class);
        if room.waiting() > 0 {
            return None;
        }
        let place = Arc::clone(&room.places).try_acquire_owned().ok()?;
        self.line.try_token().then(|| Permit { gate: Arc::clone(self), class, admitted, _place: place })
    }

    fn room(&self, class: Class) -> &ConcurrencyLimit {
        match class {
            Class::Send | Class::Write => &self.writes,
            Class::Read => &self.reads,
        }
    }

    /// Waits until a call may be made, at most until the deadline.
    ///
    /// # Errors
    ///
    /// As soon as it is known that it may not be made before the deadline.
    pub(super) async fn enter(self: &Arc<Self>, class: Class, until: Instant) -> Result<Permit, Rejected> {
        if let Some(pass) = self.try_enter(class) {
            return Ok(pass);
        }
        let entered = self.wait(class, until).await;
        if let Err(held) = &entered {
            let reason = match held {
                Rejected::RateLimited { .. } => rejection::RATE_LIMITED,
                Rejected::CircuitOpen { .. } => rejection::CIRCUIT_OPEN,
            };
            counter!(REJECTED_CALLS, "account" => self.account.to_string(), "reason" => reason).increment(1);
        }
        entered
    }

    async fn wait(self: &Arc<Self>, class: Class, until: Instant) -> Result<Permit, Rejected> {
        self.breakers.check(class)?;
        let room = self.room(class);
        let foreseen = self.line.foreseen(room.waiting());
        if foreseen > until {
            return Err(Rejected::RateLimited {
                retry_after: foreseen.saturating_duration_since(Instant::now()),
            });
        }
        let turn = async {
            // The place first: a token that waits for a place is a token that somebody else could have used.
            let place = room.place().await;
            self.line.token(until).await.map(|()| place)
        };
        let place = tokio::select! {
            biased;
            held = self.breakers.opened(class) => return Err(held),
            retry_after = self.line.paused_beyond(until) => return Err(Rejected::RateLimited { retry_after }),
            turn = timeout_at(until, turn) => match turn {
                Ok(Ok(place)) => place,
                Ok(Err(retry_after)) => return Err(Rejected::RateLimited { retry_after }),
                Err(_) => return Err(Rejected::RateLimited { retry_after: PLACE_DELAY }),
            },
        };
        let admitted = self.breakers.admit(class, until).await?;
        Ok(Permit { gate: Arc::clone(self), class, admitted, _place: place })
    }
}

impl Permit {
    /// Gives the right back: no call is made with it.
    pub(super) fn unused(self) {
        self.gate.line.give_back();
    }

    /// Says how the call ended. A pass that is dropped instead says nothing.
    pub(super) fn ended<T>(self, result: &Result<T, ProviderError>) {
        if let Some(fault) = result.as_ref().err().and_then(ProviderError::throttled) {
            let pause = fault.retry_after.unwrap_or(THROTTLED_PAUSE).min(LONGEST_PAUSE);
            self.gate.line.pause(Instant::now() + pause);
        }
        self.gate.breakers.saw(self.class, self.admitted, Signal::of(result));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.breakers.gone(self.class, self.admitted);
    }
}

/// The gates of all accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Gates {
    by_account: Arc<HashMap<AccountId, Arc<Gate>>>,
}

impl Gates {
    /// A gate for each account. What it does in the background ends with `stopping`. Must be called inside a tokio
    /// runtime.
    pub(super) fn new(accounts: &Accounts, stopping: &CancellationToken) -> Self {
        let gate = |account: &Arc<Account>| {
            let gate = Arc::new(Gate::new(account.id().clone(), account.rate_limits()));
            let (weak, board) = (Arc::downgrade(&gate), gate.breakers.watch());
            let (account, stopping) = (Arc::clone(account), stopping.clone());
            let id = account.id().clone();
            #[expect(clippy::disallowed_methods, reason = "it ends with `stopping`, and with its gate")]
            tokio::spawn(async move {
                stopping.run_until_cancelled(probe::keep(weak, board, || account.probe())).await;
            });
            (id, gate)
        };
        Self { by_account: Arc::new(accounts.iter().map(gate).collect()) }
    }

    /// The gate of an account.
    pub(super) fn of(&self, account: &Account) -> &Arc<Gate> {
        self.by_account.get(account.id()).expect("each account has its gate")
    }
}
