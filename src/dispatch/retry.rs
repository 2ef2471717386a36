//! Decides whether and when a failed call is retried.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::gate::Class;
use crate::domain::{RefusalReason, UnknownReason};
use crate::provider::{Error as ProviderError, PreconditionFailed};

/// The shortest delay before the first retry. It doubles with each retry.
const MIN_DELAY: Duration = Duration::from_millis(100);

/// The longest delay before a retry, without jitter. Jitter adds up to the same time again.
const MAX_DELAY_WITHOUT_JITTER: Duration = Duration::from_millis(2_500);

/// The retries of one call.
#[derive(Debug)]
pub(super) struct Retry {
    class: Class,
    delays: ExponentialBackoff,
}

impl Retry {
    /// Before the first try.
    pub(super) fn new(class: Class) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY_WITHOUT_JITTER)
            .with_jitter()
            .without_max_times()
            .build();
        Self { class, delays }
    }

    /// How long to wait before the call is retried after this error. Returns none if it must not be retried, or if the
    /// deadline would pass before the retry.
    pub(super) fn next_delay(&mut self, error: &ProviderError, until: Instant) -> Option<Duration> {
        if !is_retryable(self.class, error) {
            return None;
        }
        let fault = match error {
            ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_) => None,
            ProviderError::Refused(fault) => Some(fault),
            ProviderError::Unknown { fault, .. } => fault.as_ref(),
        };
        let retry_after = fault.and_then(|fault| fault.retry_after).unwrap_or_default();
        let delay = self.delays.next()?.max(retry_after);
        (delay < until.saturating_duration_since(Instant::now())).then_some(delay)
    }
}

/// Whether a call that failed with this error may be retried.
fn is_retryable(class: Class, error: &ProviderError) -> bool {
    match error {
        ProviderError::NotSent(_) => true,
        // A read before the write failed.
        ProviderError::PreconditionFailed(PreconditionFailed::NotRead(error)) => {
            is_retryable(Class::Read, error)
        }
        ProviderError::PreconditionFailed(PreconditionFailed::Registered { .. }) => false,
        ProviderError::Refused(fault) => fault.refusal == RefusalReason::Throttled,
        ProviderError::Unknown { cause, .. } => match class {
            // The provider may have acted on it.
            Class::Send | Class::Write => false,
            Class::Read => match cause {
                UnknownReason::TimedOut
                | UnknownReason::ConnectionLost
                | UnknownReason::ReplyCutOff
                | UnknownReason::ProviderFailed
                | UnknownReason::ServerFailed
                | UnknownReason::Restored => true,
                // A retry would get the same reply.
                UnknownReason::ReplyTooLarge | UnknownReason::ReplyUnreadable | UnknownReason::Redirected => {
                    false
                }
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Provider, ProviderFault, ThrottleScope};

    const CLASSES: [Class; 3] = [Class::Send, Class::Write, Class::Read];

    fn refused(refusal: RefusalReason, retry_after: Option<u64>) -> ProviderError {
        ProviderError::Refused(ProviderFault {
            provider: Provider::CONNECTLY,
            refusal,
            http_status: Some(429),
            code: None,
            kind: None,
            trace_id: None,
            throttle_scope: ThrottleScope::Account,
            retry_after: retry_after.map(Duration::from_secs),
            route: None,
            text: None,
        })
    }

    fn unknown(cause: UnknownReason) -> ProviderError {
        ProviderError::Unknown { cause, fault: None }
    }

    fn first_delay(class: Class, error: &ProviderError, max_queue_wait: Duration) -> Option<Duration> {
        Retry::new(class).next_delay(error, Instant::now() + max_queue_wait)
    }

    #[tokio::test(start_paused = true)]
    async fn not_sent_or_throttled_call_is_retried() {
        for class in CLASSES {
            for error in [ProviderError::NotSent(None), refused(RefusalReason::Throttled, None)] {
                assert!(first_delay(class, &error, Duration::from_secs(1)).is_some(), "{class:?} {error:?}");
            }
            for refusal in [
                RefusalReason::CredentialsRejected,
                RefusalReason::Capped,
                RefusalReason::Conflict,
                RefusalReason::Other,
            ] {
                assert_eq!(
                    first_delay(class, &refused(refusal, None), Duration::from_secs(1)),
                    None,
                    "{refusal:?}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn call_of_unknown_outcome_is_retried_only_if_it_reads() {
        for (cause, retry_reads) in [
            (UnknownReason::TimedOut, true),
            (UnknownReason::ConnectionLost, true),
            (UnknownReason::ReplyCutOff, true),
            (UnknownReason::ProviderFailed, true),
            (UnknownReason::ServerFailed, true),
            (UnknownReason::ReplyTooLarge, false),
            (UnknownReason::ReplyUnreadable, false),
            (UnknownReason::Redirected, false),
        ] {
            for class in CLASSES {
                let retried = first_delay(class, &unknown(cause), Duration::from_secs(1)).is_some();
                assert_eq!(retried, retry_reads && class == Class::Read, "{class:?} {cause}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delay_doubles_with_each_retry_up_to_a_limit() {
        let mut retry = Retry::new(Class::Send);
        let until = Instant::now() + Duration::from_secs(3_600);
        let mut least = MIN_DELAY;
        for _ in 0..20 {
            let delay = retry.next_delay(&ProviderError::NotSent(None), until).expect("before the deadline");
            assert!(delay >= least && delay <= 2 * least, "{delay:?} should be {least:?} with jitter");
            least = (2 * least).min(MAX_DELAY_WITHOUT_JITTER);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retry_waits_for_retry_after_within_the_deadline() {
        let throttled = refused(RefusalReason::Throttled, Some(7));
        assert_eq!(
            first_delay(Class::Send, &throttled, Duration::from_secs(8)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(first_delay(Class::Send, &throttled, Duration::from_secs(7)), None);
        assert_eq!(first_delay(Class::Read, &unknown(UnknownReason::TimedOut), MIN_DELAY), None);
    }
}
