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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::super::tests::{append, open, trim};
    use super::*;

    #[tokio::test]
    async fn the_gauges_follow_the_journal() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let _here = metrics::set_default_local_recorder(&recorder);
        let value = |name: &str| -> Option<f64> {
            page.render().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let opened = open();
        let journal = &opened.journal;
        let shown = async |oldest: f64, newest: f64| {
            while (value(JOURNAL_OLDEST), value(JOURNAL_NEWEST_RECEIVE).is_some(), value(JOURNAL_NEWEST))
                != (Some(oldest), true, Some(newest))
            {
                tokio::task::yield_now().await;
            }
        };
        let look_on = async {
            shown(1.0, 0.0).await;
            assert!(value(JOURNAL_OLDEST_RECEIVE).is_some_and(f64::is_nan), "there is none");
            let before = UnixMillis::now();
            append(journal, 3, 10).await;
            shown(1.0, 3.0).await;
            while value(JOURNAL_NEWEST_RECEIVE).is_none_or(|at| at.is_nan() || at < before.0 as f64 / 1e3) {
                tokio::task::yield_now().await;
            }
            trim(journal, 2).await;
            shown(3.0, 3.0).await;
        };
        tokio::select! {
            () = Gauges::new(journal.store.clone()).run() => panic!("it runs as long as the store is open"),
            () = look_on => {}
        }
    }
}
