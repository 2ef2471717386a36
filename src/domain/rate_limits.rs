//! How fast, and for how long, a provider may be asked with one account.

use std::time::Duration;

/// What an account's gate holds calls to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// The most calls in a second, on average; 1 at least.
    pub calls_per_second: u32,
    /// The most writes under way at once; 1 at least. Reads have an eighth of that for themselves.
    pub calls_in_flight: u32,
    /// How long a call may wait, and be tried again, whose caller set no deadline.
    pub max_queue_wait: Duration,
    /// After how many failures in a row the provider counts as down. 0: never.
    pub breaker_failures: u32,
}
