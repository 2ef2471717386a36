//! Tries a provider that does not answer, so that no caller has to.
//!
//! **Invariant:** a probe is a read of ours, made only while a breaker is open. It takes nobody's place.

use std::sync::Weak;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Gate;
use super::breaker::BreakerStates;
use crate::domain::UnknownReason;
use crate::provider::Error as ProviderError;

/// How long after a breaker opened the provider is tried.
pub(super) const FIRST: Duration = Duration::from_millis(500);

/// The longest time between two tries.
const LONGEST: Duration = Duration::from_secs(30);

/// Tries the provider whenever a breaker is open. Ends with the gate.
///
/// The time between tries grows as long as the same breakers open time and again: a provider that answers reads and
/// nothing else is not burdened with sends twice a second. When one opens that was closed, it begins anew.
pub(super) async fn keep<F>(
    gate: Weak<Gate>,
    mut board: watch::Receiver<BreakerStates>,
    probe: impl Fn() -> F,
) where
    F: Future<Output = Result<(), ProviderError>>,
{
    while board.wait_for(BreakerStates::any_open).await.is_ok() {
        let delays = ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .build();
        let outages = board.borrow().outages();
        // Another class may stay on probation for long, because nobody calls.
        let goes_on = |board: &BreakerStates| !board.all_closed() && board.outages() == outages;
        for delay in delays {
            if !goes_on(&board.borrow()) {
                break;
            }
            let at = Instant::now() + delay;
            match gate.upgrade() {
                Some(gate) => gate.breakers.will_probe(at),
                None => return,
            }
            sleep_until(at).await;
            // A late reply may have closed what was open.
            let open = board.borrow().any_open();
            if open && answered(&probe().await) {
                let Some(gate) = gate.upgrade() else { return };
                gate.breakers.release();
            }
            let decided = |board: &BreakerStates| board.any_open() || board.all_closed();
            if board.wait_for(decided).await.is_err() {
                return;
            }
        }
    }
}

/// Whether there was any reply but one that says that the provider has trouble.
fn answered(result: &Result<(), ProviderError>) -> bool {
    match result {
        Ok(()) => true,
        Err(ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_)) => false,
        Err(ProviderError::Refused(fault)) => fault.http_status.is_some_and(|status| status < 500),
        Err(ProviderError::Unknown { cause, fault }) => match cause {
            UnknownReason::TimedOut
            | UnknownReason::ConnectionLost
            | UnknownReason::ReplyCutOff
            | UnknownReason::ServerFailed
            | UnknownReason::Restored => false,
            UnknownReason::ReplyTooLarge
            | UnknownReason::ReplyUnreadable
            | UnknownReason::ProviderFailed
            | UnknownReason::Redirected => {
                fault.as_ref().and_then(|fault| fault.http_status).is_some_and(|status| status < 500)
            }
        },
    }
}
