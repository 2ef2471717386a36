//! When a call that was not done is made again, and when not.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::gate::Class;
use crate::domain::{RefusalReason, UnknownReason};
use crate::provider::{Error as ProviderError, PreconditionFailed};

/// The least time before the first repetition. Each later one waits twice as long as the one before.
const FIRST: Duration = Duration::from_millis(100);

/// Half of the longest time before a repetition: chance adds up to as much again.
const HALF_OF_LONGEST: Duration = Duration::from_millis(2_500);

/// The tries at one call.
#[derive(Debug)]
pub(super) struct Tries {
    class: Class,
    delays: ExponentialBackoff,
}

impl Tries {
    /// None was made yet, and none is begun after the deadline.
    pub(super) fn new(class: Class) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(HALF_OF_LONGEST)
            .with_jitter()
            .without_max_times()
            .build();
        Self { class, delays }
    }

    /// How long to wait before the call is made again after it ended like this. None when it must not be, or when the
    /// deadline would pass.
    pub(super) fn after(&mut self, error: &ProviderError, until: Instant) -> Option<Duration> {
        if !may_follow(self.class, error) {
            return None;
        }
        let fault = match error {
            ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_) => None,
            ProviderError::Refused(fault) => Some(fault),
            ProviderError::Unknown { fault, .. } => fault.as_ref(),
        };
        let asked = fault.and_then(|fault| fault.retry_after).unwrap_or_default();
        let delay = self.delays.next()?.max(asked);
        (delay < until.saturating_duration_since(Instant::now())).then_some(delay)
    }
}

/// Whether another try may follow one that ended like this.
fn may_follow(class: Class, error: &ProviderError) -> bool {
    match error {
        ProviderError::NotSent(_) => true,
        // What failed was a look before the write.
        ProviderError::PreconditionFailed(PreconditionFailed::NotRead(error)) => {
            may_follow(Class::Read, error)
        }
        ProviderError::PreconditionFailed(PreconditionFailed::Registered { .. }) => false,
        ProviderError::Refused(fault) => fault.refusal == RefusalReason::Throttled,
        ProviderError::Unknown { cause, .. } => match class {
            // It may have been done.
            Class::Send | Class::Write => false,
            Class::Read => match cause {
                UnknownReason::TimedOut
                | UnknownReason::ConnectionLost
                | UnknownReason::ReplyCutOff
                | UnknownReason::ProviderFailed
                | UnknownReason::ServerFailed
                | UnknownReason::Restored => true,
                // It would read the same again.
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
    use crate::domain::{Provider, ProviderFault};

    const CLASSES: [Class; 3] = [Class::Send, Class::Write, Class::Read];

    fn refused(refusal: RefusalReason, retry_after: Option<u64>) -> ProviderError {
        ProviderError::Refused(ProviderFault {
            provider: Provider::Connectly,
            refusal,
            http_status: Some(429),
            code: None,
            kind: None,
            trace_id: None,
            retry_after: retry_after.map(Duration::from_secs),
            route: None,
        })
    }

    fn unknown(cause: UnknownReason) -> ProviderError {
        ProviderError::Unknown { cause, fault: None }
    }

    fn first(class: Class, error: &ProviderError, max_queue_wait: Duration) -> Option<Duration> {
        Tries::new(class).after(error, Instant::now() + max_queue_wait)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_provably_not_done_is_tried_again() {
        for class in CLASSES {
            for error in [ProviderError::NotSent(None), refused(RefusalReason::Throttled, None)] {
                assert!(first(class, &error, Duration::from_secs(1)).is_some(), "{class:?} {error:?}");
            }
            for refusal in [
                RefusalReason::CredentialsRejected,
                RefusalReason::Capped,
                RefusalReason::Conflict,
                RefusalReason::Other,
            ] {
                assert_eq!(
                    first(class, &refused(refusal, None), Duration::from_secs(1)),
                    None,
                    "{refusal:?}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_done_is_tried_again_only_where_it_changes_nothing() {
        for (cause, of_reads) in [
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
                let again = first(class, &unknown(cause), Duration::from_secs(1)).is_some();
                assert_eq!(again, of_reads && class == Class::Read, "{class:?} {cause}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_try_waits_longer_than_the_one_before_up_to_a_bound() {
        let mut tries = Tries::new(Class::Send);
        let until = Instant::now() + Duration::from_secs(3_600);
        let mut least = FIRST;
        for _ in 0..20 {
            let delay = tries.after(&ProviderError::NotSent(None), until).expect("time enough");
            assert!(delay >= least && delay <= 2 * least, "{delay:?} should be {least:?} and chance");
            least = (2 * least).min(HALF_OF_LONGEST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_provider_asks_for_is_waited_and_nothing_goes_out_after_the_deadline() {
        let asked = refused(RefusalReason::Throttled, Some(7));
        assert_eq!(first(Class::Send, &asked, Duration::from_secs(8)), Some(Duration::from_secs(7)));
        assert_eq!(first(Class::Send, &asked, Duration::from_secs(7)), None);
        assert_eq!(first(Class::Read, &unknown(UnknownReason::TimedOut), FIRST), None);
    }
}
