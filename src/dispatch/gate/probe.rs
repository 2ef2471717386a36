//! Probes a provider that does not respond, so no client's call has to test it.
//!
//! **Invariant:** a probe is a read, made only while a breaker is open. It takes no slot and no token from the calls of
//! clients.

use std::sync::Weak;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Gate;
use super::breaker::{BreakerStates, Signal};
use crate::provider::Error as ProviderError;

/// The delay of the first probe after a breaker opened.
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The longest delay between two probes.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Probes the provider whenever a breaker is open. Ends with the gate.
///
/// The delay grows while the same breakers keep reopening. A provider that answers reads but nothing else therefore
/// does not get a trial send twice a second. If a closed breaker opens, the delay starts again at [`FIRST_DELAY`].
pub(super) async fn run<F>(
    gate: Weak<Gate>,
    mut states: watch::Receiver<BreakerStates>,
    probe: impl Fn() -> F,
) where
    F: Future<Output = Result<(), ProviderError>>,
{
    while states.wait_for(BreakerStates::any_open).await.is_ok() {
        let delays = ExponentialBuilder::new()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(MAX_DELAY)
            .without_max_times()
            .build();
        let outages = states.borrow().outages();
        // The count of outages is needed because another class may stay half-open for long, if it gets no call.
        let same_outage = |states: &BreakerStates| !states.all_closed() && states.outages() == outages;
        for delay in delays {
            if !same_outage(&states.borrow()) {
                break;
            }
            let at = Instant::now() + delay;
            match gate.upgrade() {
                Some(gate) => gate.breakers.set_next_probe(at),
                None => return,
            }
            sleep_until(at).await;
            // A late reply may have closed the breaker meanwhile.
            let open = states.borrow().any_open();
            if open && Signal::of(&probe().await) == Signal::Alive {
                let Some(gate) = gate.upgrade() else { return };
                gate.breakers.half_open();
            }
            let decided = |states: &BreakerStates| states.any_open() || states.all_closed();
            if states.wait_for(decided).await.is_err() {
                return;
            }
        }
    }
}
