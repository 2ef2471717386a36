//! `[accounts.gate]`: limits for the calls to the provider.

use std::time::Duration;

use super::provider::ProviderSection;
use super::table::Table;
use super::value;
use crate::domain::RateLimits;

const CALLS_IN_FLIGHT: u32 = 256;
const MAX_QUEUE_WAIT: Duration = Duration::from_secs(30);
const BREAKER_FAILURES: u32 = 5;

/// Reads an account's gate.
pub(super) fn read(account: &mut Table<'_>, section: Option<&ProviderSection>) -> RateLimits {
    let mut table = account.table("gate");
    let mut number = |key, range| {
        let number = table.optional(key, value::integer(range));
        number.and_then(|number| u32::try_from(number).ok())
    };
    let calls_per_second = number("calls_per_second", 1..=100_000);
    let calls_in_flight = number("calls_in_flight", 1..=4_096);
    let breaker_failures = number("breaker_failures", 0..=1_000);
    let max_queue_wait = table
        .optional("max_queue_wait", value::duration(Duration::from_millis(100)..=Duration::from_secs(600)));
    table.finish();
    RateLimits {
        calls_per_second: calls_per_second.unwrap_or(section.map_or(1, |section| section.calls_per_second)),
        calls_in_flight: calls_in_flight.unwrap_or(CALLS_IN_FLIGHT),
        max_queue_wait: max_queue_wait.unwrap_or(MAX_QUEUE_WAIT),
        breaker_failures: breaker_failures.unwrap_or(BREAKER_FAILURES),
    }
}
