//! Shows the operator what the journal spans, and how far subscriptions are behind.

use std::collections::HashSet;
use std::time::Duration;

use metrics::gauge;
use tokio::time;

use crate::domain::{SubscriptionId, UnixMillis};
use crate::store::{self, LogRange, Store, SubscriptionPosition, TimeRange};
use crate::telemetry::metrics::{
    JOURNAL_BYTES, JOURNAL_NEWEST, JOURNAL_NEWEST_RECEIVE, JOURNAL_OLDEST, JOURNAL_OLDEST_RECEIVE,
    SUBSCRIPTION_LAG_EVENTS, SUBSCRIPTION_LAG_SECONDS,
};

/// The least time between two looks: nobody reads gauges more often.
const REST: Duration = Duration::from_secs(1);

/// The most time between two looks: subscriptions move, and time passes, while nothing comes.
const EVERY: Duration = Duration::from_secs(5);

/// How far the newest event may be ahead of the clock before that is told.
const AHEAD: Duration = Duration::from_secs(60);

/// Keeps the journal's gauges true.
#[derive(Debug)]
pub struct Gauges {
    store: Store,
    /// The subscriptions that are shown.
    shown: HashSet<SubscriptionId>,
    /// Whether it was told that the newest event is ahead of the clock.
    told_ahead: bool,
}

impl Gauges {
    /// What must be run for the gauges to be true.
    pub fn new(store: Store) -> Self {
        Self { store, shown: HashSet::new(), told_ahead: false }
    }

    /// Runs until it is dropped, or the store has closed.
    pub async fn run(mut self) {
        let mut extents = self.store.log_ranges();
        let bytes = self.store.bytes();
        loop {
            let LogRange { oldest, newest } = *extents.borrow_and_update();
            gauge!(JOURNAL_OLDEST).set(oldest as f64);
            gauge!(JOURNAL_NEWEST).set(newest as f64);
            gauge!(JOURNAL_BYTES).set(*bytes.borrow() as f64);
            // A store that cannot be read now leaves the last values standing, and is known by other signs.
            let _ = self.show_subscriptions(newest).await;
            if let Ok(ends) = self.store.time_range().await {
                gauge!(JOURNAL_OLDEST_RECEIVE).set(seconds(ends.map(|TimeRange { oldest, .. }| oldest)));
                gauge!(JOURNAL_NEWEST_RECEIVE).set(seconds(ends.map(|TimeRange { newest, .. }| newest)));
                self.tell_ahead(
                    ends.is_some_and(|TimeRange { newest, .. }| newest > UnixMillis::now().plus(AHEAD)),
                );
            }
            time::sleep(REST).await;
            // An error that has not come in time is no error.
            if let Ok(Err(_)) = time::timeout(EVERY - REST, extents.changed()).await {
                return;
            }
        }
    }

    /// Receive times never go back: a clock that was ahead for a while has left its mark.
    fn tell_ahead(&mut self, ahead: bool) {
        if ahead && !self.told_ahead {
            tracing::error!(
                "the newest event was received later than the clock says: until the clock has come to that, events get the \
                 same time, nothing younger is let go by age, and lags in seconds read too low"
            );
        }
        self.told_ahead = ahead;
    }

    async fn show_subscriptions(&mut self, newest: u64) -> Result<(), store::Error> {
        let subscription_positions = self.store.subscription_positions().await?;
        let now = UnixMillis::now();
        // A series cannot be taken back. One of a subscription that is gone shows no lag.
        let mut gone = std::mem::take(&mut self.shown);
        for SubscriptionPosition { id, sequence, received } in subscription_positions {
            let lag_milliseconds = received.map_or(0, |at| now.0.saturating_sub(at.0).max(0));
            show(&id, newest.saturating_sub(sequence), lag_milliseconds as f64 / 1_000.0);
            gone.remove(&id);
            self.shown.insert(id);
        }
        for id in gone {
            show(&id, 0, 0.0);
        }
        Ok(())
    }
}

fn show(id: &SubscriptionId, lag_events: u64, lag_seconds: f64) {
    gauge!(SUBSCRIPTION_LAG_EVENTS, "subscription" => id.to_string()).set(lag_events as f64);
    gauge!(SUBSCRIPTION_LAG_SECONDS, "subscription" => id.to_string()).set(lag_seconds);
}

fn seconds(moment: Option<UnixMillis>) -> f64 {
    moment.map_or(f64::NAN, |moment| moment.0 as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::domain::{Filter, Labels};
    use crate::journal::tests::{append, open, trim};
    use crate::store::{Change, Op, SeekPosition};

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
            let bytes = || value(JOURNAL_BYTES);
            let all = bytes().expect("shown");
            assert!(all >= 30.0, "{all}");
            trim(journal, 2).await;
            shown(3.0, 3.0).await;
            while bytes().is_none_or(|left| left >= all) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = Gauges::new(journal.store().clone()).run() => panic!("it runs as long as the store is open"),
            () = look_on => {}
        }
    }

    #[tokio::test]
    async fn the_lag_of_each_subscription_is_shown_and_none_of_one_that_is_gone() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let _here = metrics::set_default_local_recorder(&recorder);
        let value = |name: &str, id: &str| -> Option<f64> {
            let series = format!("{name}{{subscription=\"{id}\"}} ");
            page.render().lines().find_map(|line| line.strip_prefix(&series)?.trim().parse().ok())
        };
        let opened = open();
        let journal = &opened.journal;
        append(journal, 5, 10).await;
        let change = async |id: &str, change: Change| {
            let op = Op::Subscription(id.parse().expect("an id"), Box::new(change));
            journal.store().commit(vec![op]).await.expect("written");
        };
        let create =
            |place| Change::Create { filter: Filter::default(), labels: Labels::default(), position: place };
        change("behind", create(SeekPosition::Oldest)).await;
        change("up", create(SeekPosition::Newest)).await;
        let mut gauges = Gauges::new(journal.store().clone());
        let lag = |id| (value(SUBSCRIPTION_LAG_EVENTS, id), value(SUBSCRIPTION_LAG_SECONDS, id));

        gauges.show_subscriptions(5).await.expect("readable");
        assert_eq!(lag("up"), (Some(0.0), Some(0.0)));
        assert_eq!(lag("behind").0, Some(5.0));
        // The clock need not have moved on yet.
        while lag("behind").1.is_none_or(|seconds| seconds <= 0.0 || seconds > 60.0) {
            gauges.show_subscriptions(5).await.expect("readable");
        }
        change("behind", Change::Acknowledge { sequence: 5, generation: None }).await;
        gauges.show_subscriptions(5).await.expect("readable");
        assert_eq!(lag("behind"), (Some(0.0), Some(0.0)));

        change("behind", Change::Seek(SeekPosition::Oldest)).await;
        gauges.show_subscriptions(5).await.expect("readable");
        assert_eq!(lag("behind").0, Some(5.0));
        trim(journal, 5).await;
        gauges.show_subscriptions(5).await.expect("readable");
        assert_eq!(lag("behind"), (Some(5.0), Some(0.0)), "what is gone counts, and nothing waits");
        change("behind", Change::Delete).await;
        gauges.show_subscriptions(5).await.expect("readable");
        assert_eq!(lag("behind"), (Some(0.0), Some(0.0)));
    }
}
