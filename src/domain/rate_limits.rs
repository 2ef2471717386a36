//! Limits on how fast one account may call its provider.

use std::time::Duration;

/// The limits that an account's gate enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// The maximum number of calls per second, on average; at least 1.
    pub calls_per_second: u32,
    /// The maximum number of concurrent writes; at least 1. Reads have a separate limit of an eighth of this.
    pub calls_in_flight: u32,
    /// How long a call without a client deadline may wait and be retried.
    pub max_queue_wait: Duration,
    /// How many consecutive failures open the circuit breaker. 0 disables it.
    pub breaker_failures: u32,
}
