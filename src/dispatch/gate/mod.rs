//! One gate per account. Every call to a provider passes it.
//!
//! The gate admits a call if its class's circuit breaker is closed, a slot among the calls in flight is free, and the
//! token bucket has a token. Otherwise the call waits in a first-in, first-out queue. If the gate can foresee that the
//! wait would exceed the call's limit, it rejects the call at once.
//!
//! **Invariant:** accounts share nothing here. Reads have their own slots, and a throttled call pauses only its class. So
//! slow or throttled reads never delay sends.

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
use rate_limiter::{CountGuard, TokenBucket};

use crate::domain::{AccountId, RateLimits};
use crate::provider::{Account, Accounts, Error as ProviderError};
use crate::telemetry::metrics::{REJECTED_CALLS, rejection};

/// Reads get one slot, in addition to the slots for writes, for each this many writes in flight.
const WRITES_PER_READ: u32 = 8;

/// The `retry_after` of a call that waited for a slot in vain. No estimate is possible in this case.
const SLOT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long the gate pauses if a provider throttles without a `Retry-After`.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. A longer `Retry-After` of the provider is cut to this.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The kind of a call. Each class has its own circuit breaker.
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
    const ALL: [Self; 3] = [Self::Send, Self::Write, Self::Read];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// Why the gate rejected a call. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The account's rate limit or its limit of calls in flight leaves no room before the deadline.
    #[error("the account's rate limit leaves no room for the call before its deadline")]
    RateLimited {
        /// When there is likely to be room.
        retry_after: Duration,
    },
    /// The circuit breaker is open because the provider does not respond. The gate probes the provider.
    #[error("the circuit breaker is open: the provider does not respond")]
    CircuitOpen {
        /// When the next probe is due.
        retry_after: Duration,
    },
}

/// The rate limiter, concurrency limits and circuit breakers of one account.
#[derive(Debug)]
pub(super) struct Gate {
    account: AccountId,
    max_queue_wait: Duration,
    breakers: Breakers,
    writes: ConcurrencyLimit,
    reads: ConcurrencyLimit,
    bucket: TokenBucket,
}

/// A limit of calls in flight.
#[derive(Debug)]
struct ConcurrencyLimit {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to make one call now.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit {
    gate: Arc<Gate>,
    class: Class,
    /// The breaker's open count when it admitted the call.
    open_count: u64,
    _slot: OwnedSemaphorePermit,
}

impl ConcurrencyLimit {
    fn new(slots: u32) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots as usize)), waiting: AtomicUsize::new(0) }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn acquire(&self) -> OwnedSemaphorePermit {
        let _counted = CountGuard::new(&self.waiting);
        Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed")
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
            bucket: TokenBucket::new(rate_limits.calls_per_second),
        }
    }

    /// Until when a call may wait here and be retried: the client's deadline, or else the account's `max_queue_wait`
    /// from now.
    pub(super) fn wait_limit(&self, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or_else(|| Instant::now() + self.max_queue_wait)
    }

    /// Admits a call that need not wait. Returns none if it must wait or would be rejected.
    pub(super) fn try_acquire(self: &Arc<Self>, class: Class) -> Option<Permit> {
        let open_count = self.breakers.admit_if_closed(class)?;
        let limit = self.concurrency_limit(class);
        if limit.waiting() > 0 {
            return None;
        }
        let slot = Arc::clone(&limit.slots).try_acquire_owned().ok()?;
        self.bucket.try_acquire(class).then(|| Permit {
            gate: Arc::clone(self),
            class,
            open_count,
            _slot: slot,
        })
    }

    fn concurrency_limit(&self, class: Class) -> &ConcurrencyLimit {
        match class {
            Class::Send | Class::Write => &self.writes,
            Class::Read => &self.reads,
        }
    }

    /// Waits until a call may be made, at most until the deadline.
    ///
    /// # Errors
    ///
    /// As soon as it is certain that the call may not be made before the deadline.
    pub(super) async fn acquire(self: &Arc<Self>, class: Class, until: Instant) -> Result<Permit, Rejected> {
        if let Some(permit) = self.try_acquire(class) {
            return Ok(permit);
        }
        let acquired = self.queue(class, until).await;
        if let Err(rejected) = &acquired {
            let reason = match rejected {
                Rejected::RateLimited { .. } => rejection::RATE_LIMITED,
                Rejected::CircuitOpen { .. } => rejection::CIRCUIT_OPEN,
            };
            counter!(REJECTED_CALLS, "account" => self.account.to_string(), "reason" => reason).increment(1);
        }
        acquired
    }

    async fn queue(self: &Arc<Self>, class: Class, until: Instant) -> Result<Permit, Rejected> {
        self.breakers.check(class)?;
        let limit = self.concurrency_limit(class);
        let estimated = self.bucket.estimate(class, limit.waiting());
        if estimated > until {
            return Err(Rejected::RateLimited {
                retry_after: estimated.saturating_duration_since(Instant::now()),
            });
        }
        let acquired = async {
            loop {
                // A call of a paused class holds nothing that a call of another class needs.
                self.bucket.wait_for_pause(class).await;
                // The slot comes first. A token held during a wait for a slot could serve another call.
                let slot = limit.acquire().await;
                if self.bucket.acquire(class, until).await? {
                    return Ok(slot);
                }
            }
        };
        let slot = tokio::select! {
            biased;
            rejected = self.breakers.wait_until_open(class) => return Err(rejected),
            retry_after = self.bucket.paused_beyond(class, until) => return Err(Rejected::RateLimited { retry_after }),
            acquired = timeout_at(until, acquired) => match acquired {
                Ok(Ok(slot)) => slot,
                Ok(Err(retry_after)) => return Err(Rejected::RateLimited { retry_after }),
                Err(_) => return Err(Rejected::RateLimited { retry_after: SLOT_RETRY_AFTER }),
            },
        };
        let admitted = self.breakers.admit(class, until).await;
        let open_count = admitted.inspect_err(|_| self.bucket.return_token())?;
        Ok(Permit { gate: Arc::clone(self), class, open_count, _slot: slot })
    }
}

impl Permit {
    /// Returns the permit's token: no call was made with it.
    pub(super) fn release_unused(self) {
        self.gate.bucket.return_token();
    }

    /// Records the call's result with the rate limiter and the breaker. A permit that is dropped instead records
    /// nothing.
    pub(super) fn record<T>(self, result: &Result<T, ProviderError>) {
        if let Some(fault) = result.as_ref().err().and_then(ProviderError::throttled) {
            let pause = fault.retry_after.unwrap_or(DEFAULT_PAUSE).min(MAX_PAUSE);
            self.gate.bucket.pause(self.class, Instant::now() + pause);
        }
        self.gate.breakers.record(self.class, self.open_count, Signal::of(result));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.breakers.release_trial(self.class, self.open_count);
    }
}

/// The gates of all accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Gates {
    by_account: Arc<HashMap<AccountId, Arc<Gate>>>,
}

impl Gates {
    /// Makes a gate for each account. Its probe task ends with `stopping`. Must be called inside a tokio runtime.
    pub(super) fn new(accounts: &Accounts, stopping: &CancellationToken) -> Self {
        let gate = |account: &Arc<Account>| {
            let gate = Arc::new(Gate::new(account.id().clone(), account.rate_limits()));
            let (weak, states) = (Arc::downgrade(&gate), gate.breakers.subscribe());
            let (account, stopping) = (Arc::clone(account), stopping.clone());
            let id = account.id().clone();
            #[expect(clippy::disallowed_methods, reason = "it ends with `stopping`, and with its gate")]
            tokio::spawn(async move {
                stopping.run_until_cancelled(probe::run(weak, states, || account.probe())).await;
            });
            (id, gate)
        };
        Self { by_account: Arc::new(accounts.iter().map(gate).collect()) }
    }

    /// The gate of an account.
    pub(super) fn of(&self, account: &Account) -> &Arc<Gate> {
        self.by_account.get(account.id()).expect("each account has a gate")
    }
}
