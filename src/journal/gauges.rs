//! Shows the operator what the journal spans.

use std::time::Duration;

use metrics::gauge;
use tokio::time;

use crate::domain::UnixMillis;
use crate::store::{Ends, Extent, Store};
use crate::telemetry::metrics::{
    JOURNAL_NEWEST, JOURNAL_NEWEST_RECEIVE, JOURNAL_OLDEST, JOURNAL_OLDEST_RECEIVE,
};

/// The least time between two looks: nobody reads gauges more often.
const REST: Duration = Duration::from_secs(1);

/// Keeps the journal's gauges true.
#[derive(Debug)]
pub struct Gauges {
    store: Store,
}

impl Gauges {
    /// What must be run for the gauges to be true.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Runs until it is dropped, or the store has closed.
    pub async fn run(self) {
        let mut extents = self.store.extents();
        loop {
            let Extent { oldest, newest } = *extents.borrow_and_update();
            gauge!(JOURNAL_OLDEST).set(oldest as f64);
            gauge!(JOURNAL_NEWEST).set(newest as f64);
            // A store that cannot be read now leaves the last times standing, and is known by other signs.
            if let Ok(ends) = self.store.ends().await {
                gauge!(JOURNAL_OLDEST_RECEIVE).set(seconds(ends.map(|Ends { oldest, .. }| oldest)));
                gauge!(JOURNAL_NEWEST_RECEIVE).set(seconds(ends.map(|Ends { newest, .. }| newest)));
            }
            time::sleep(REST).await;
            if extents.changed().await.is_err() {
                return;
            }
        }
    }
}

fn seconds(moment: Option<UnixMillis>) -> f64 {
    moment.map_or(f64::NAN, |moment| moment.0 as f64 / 1_000.0)
}
