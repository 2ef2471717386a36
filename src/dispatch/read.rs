//! Reads at a provider. The client waits, and failed reads may be retried.

use std::time::Duration;

use metrics::counter;
use tokio::time::{Instant, sleep, timeout_at};

use super::gate::Class;
use super::retry::Retry;
use super::{Cause, Dispatch, Rejected};
use crate::domain::UnknownReason;
use crate::provider::{Account, Error as ProviderError};
use crate::telemetry::metrics::{READS, read};

/// A read that ends at its client's deadline counts as a failure of the provider only if it lasted at least this long.
const MIN_SILENCE: Duration = Duration::from_secs(3);

impl Dispatch {
    /// Reads something at a provider, and retries errors that allow it. The read ends at the deadline. Without a
    /// deadline, the account's `max_queue_wait` limits the time for waiting and retries, but not a call in flight.
    ///
    /// # Errors
    ///
    /// If the last try failed, or none could be made.
    pub async fn read<T, F>(
        &self,
        account: &Account,
        operation: &'static str,
        deadline: Option<Instant>,
        read: impl Fn() -> F + Send,
    ) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let result = self.read_until(account, deadline, read).await;
        let outcome = outcome_label(&result);
        counter!(READS, "account" => account.id().to_string(), "operation" => operation, "outcome" => outcome)
            .increment(1);
        if let Err(Cause::Provider(error)) = &result {
            let error = error as &dyn std::error::Error;
            tracing::warn!(account = %account.id(), operation, outcome, error, "provider read failed");
        }
        result
    }

    async fn read_until<T, F>(
        &self,
        account: &Account,
        deadline: Option<Instant>,
        read: impl Fn() -> F + Send,
    ) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let gate = self.gates.of(account);
        let until = gate.wait_limit(deadline);
        let mut retry = Retry::new(Class::Read);
        // If the gate rejects a retry, the error of the last try is more useful than the rejection.
        let mut last_error = None;
        loop {
            let permit = match self.stopping.run_until_cancelled(gate.acquire(Class::Read, until)).await {
                None => return Err(Cause::Stopping),
                Some(Err(rejected)) => {
                    return Err(last_error.map_or(Cause::Rejected(rejected), Cause::Provider));
                }
                Some(Ok(permit)) => permit,
            };
            let started = Instant::now();
            let error = match bounded(deadline, read()).await {
                Some(result) => {
                    permit.record(&result);
                    match result {
                        Ok(value) => return Ok(value),
                        Err(error) => error,
                    }
                }
                None => {
                    let timed_out = ProviderError::Unknown { cause: UnknownReason::TimedOut, fault: None };
                    let result: Result<T, _> = Err(timed_out);
                    if started.elapsed() >= MIN_SILENCE {
                        permit.record(&result);
                    }
                    return result.map_err(Cause::Provider);
                }
            };
            let Some(delay) = retry.next_delay(&error, until) else { return Err(Cause::Provider(error)) };
            last_error = Some(error);
            if self.stopping.run_until_cancelled(sleep(delay)).await.is_none() {
                return Err(Cause::Stopping);
            }
        }
    }
}

/// Returns none if the deadline passes first.
async fn bounded<F: Future>(deadline: Option<Instant>, call: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, call).await.ok(),
        None => Some(call.await),
    }
}

const fn outcome_label<T>(result: &Result<T, Cause>) -> &'static str {
    match result {
        Ok(_) => read::ANSWERED,
        Err(Cause::Provider(ProviderError::Refused(_))) => read::REFUSED,
        Err(Cause::Provider(ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_))) => {
            read::NOT_SENT
        }
        Err(Cause::Provider(ProviderError::Unknown { .. })) => read::FAILED,
        Err(Cause::Rejected(Rejected::RateLimited { .. } | Rejected::CircuitOpen { .. })) => read::REJECTED,
        Err(
            Cause::Stopping
            | Cause::NotPrepared(_)
            | Cause::TemplateMismatch(_)
            | Cause::WindowClosed { .. }
            | Cause::Reused
            | Cause::OutcomeUnknown(_)
            | Cause::StoreUnavailable
            | Cause::StoreUnreadable
            | Cause::TaskFailed,
        ) => read::STOPPED,
    }
}
