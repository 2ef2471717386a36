//! Reads at a provider: whoever asks waits, and what failed may be tried again.

use std::time::Duration;

use metrics::counter;
use tokio::time::{Instant, sleep, timeout_at};

use super::gate::Class;
use super::retry::Tries;
use super::{Cause, Dispatch, Rejected};
use crate::domain::UnknownReason;
use crate::provider::{Account, Error as ProviderError};
use crate::telemetry::metrics::{READS, read};

/// How long a provider must have been silent for a read that its caller cut off to speak against it.
const SILENCE: Duration = Duration::from_secs(3);

impl Dispatch {
    /// Reads something at a provider, trying again what may be tried again. A deadline cuts the read off; without one,
    /// the account's patience says for how long it may wait and be tried again.
    ///
    /// # Errors
    ///
    /// When the last try brought nothing, or none could be made.
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
        let outcome = outcome_of(&result);
        counter!(READS, "account" => account.id().to_string(), "operation" => operation, "outcome" => outcome)
            .increment(1);
        if let Err(Cause::Provider(error)) = &result {
            let error = error as &dyn std::error::Error;
            tracing::warn!(account = %account.id(), operation, outcome, error, "a read brought nothing");
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
        let until = gate.until(deadline);
        let mut tries = Tries::new(Class::Read);
        // What the last try brought; a gate that lets no other through has less to say.
        let mut last = None;
        loop {
            let pass = match self.stopping.run_until_cancelled(gate.enter(Class::Read, until)).await {
                None => return Err(Cause::Stopping),
                Some(Err(held)) => return Err(last.map_or(Cause::Rejected(held), Cause::Provider)),
                Some(Ok(pass)) => pass,
            };
            let begun = Instant::now();
            let error = match bounded(deadline, read()).await {
                Some(result) => {
                    pass.ended(&result);
                    match result {
                        Ok(value) => return Ok(value),
                        Err(error) => error,
                    }
                }
                None => {
                    let cut = ProviderError::Unknown { cause: UnknownReason::TimedOut, fault: None };
                    let result: Result<T, _> = Err(cut);
                    if begun.elapsed() >= SILENCE {
                        pass.ended(&result);
                    }
                    return result.map_err(Cause::Provider);
                }
            };
            let Some(delay) = tries.after(&error, until) else { return Err(Cause::Provider(error)) };
            last = Some(error);
            if self.stopping.run_until_cancelled(sleep(delay)).await.is_none() {
                return Err(Cause::Stopping);
            }
        }
    }
}

/// None when the deadline came first.
async fn bounded<F: Future>(deadline: Option<Instant>, call: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, call).await.ok(),
        None => Some(call.await),
    }
}

const fn outcome_of<T>(result: &Result<T, Cause>) -> &'static str {
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
            | Cause::Unrecorded
            | Cause::BrokeOff,
        ) => read::STOPPED,
    }
}
