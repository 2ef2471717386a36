//! Lets old events go.

use std::time::Duration;

use tokio::time::{self, MissedTickBehavior};

use crate::domain::UnixMillis;
use crate::store::{Done, Health, Op, Store};

/// How often old events are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// How often a store that cannot write is tried, so that its health does not wait for the next webhook.
const PROBE: Duration = Duration::from_secs(1);

/// The most events in one step: small, for the writer does nothing else meanwhile.
const STEP: u32 = 200;

/// Trims the journal by age.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    keep: Duration,
}

impl Retention {
    pub(super) fn new(store: Store, keep: Duration) -> Self {
        Self { store, keep }
    }

    /// Runs until it is dropped, or the store has closed.
    pub async fn run(self) {
        let mut health = self.store.health();
        let mut due = time::interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let failing = *health.borrow_and_update() == Health::Failing;
            tokio::select! {
                _ = due.tick() => {}
                () = time::sleep(PROBE), if failing => {}
                changed = health.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
            // A failure is known to the store's health, and told there.
            while let Ok([Done::Trimmed(trimmed)]) = self
                .store
                .commit(vec![Op::Trim { before: UnixMillis::now().minus(self.keep), most: STEP }])
                .await
                .as_deref()
            {
                if *trimmed < u64::from(STEP) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
