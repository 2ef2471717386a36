//! Gauges for the journal's range and for the lag of subscriptions.

use std::time::Duration;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use tokio::time;

use crate::domain::{SubscriptionId, UnixMillis};
use crate::store::{self, LogRange, Store, SubscriptionPosition, TimeRange};
use crate::telemetry::metrics::{
    JOURNAL_BYTES, JOURNAL_NEWEST, JOURNAL_NEWEST_RECEIVE, JOURNAL_OLDEST, JOURNAL_OLDEST_RECEIVE,
    SUBSCRIPTION_LAG_EVENTS, SUBSCRIPTION_LAG_SECONDS, SUBSCRIPTIONS_EXPIRED, subscriptions,
};

/// The minimum time between two updates. Scrapes are not more frequent.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum time between two updates. Without new events, subscriptions still move and lags in seconds still grow.
const MAX_INTERVAL: Duration = Duration::from_secs(5);

/// How far the newest event's receive time may be ahead of the clock before this is logged.
const MAX_AHEAD: Duration = Duration::from_secs(60);

/// Updates the journal's gauges.
#[derive(Debug)]
pub struct Gauges {
    store: Store,
    /// Removes the series of subscriptions that are no longer updated.
    subscriptions: &'static PrometheusRecorder,
    /// Whether it was logged that the newest event is ahead of the clock.
    logged_ahead: bool,
}

impl Gauges {
    /// Makes the task. The gauges are updated while [`run`](Self::run) runs.
    pub fn new(store: Store) -> Self {
        Self { store, subscriptions: subscriptions(), logged_ahead: false }
    }

    /// Runs until it is dropped or the store has closed.
    pub async fn run(mut self) {
        let mut log_ranges = self.store.log_ranges();
        let bytes = self.store.bytes();
        loop {
            let LogRange { oldest, newest } = *log_ranges.borrow_and_update();
            gauge!(JOURNAL_OLDEST).set(oldest as f64);
            gauge!(JOURNAL_NEWEST).set(newest as f64);
            gauge!(JOURNAL_BYTES).set(*bytes.borrow() as f64);
            // If the store cannot be read, the gauges keep their last values. Other metrics and the log report the
            // failure.
            let _ = self.update_lag(newest).await;
            if let Ok(time_range) = self.store.time_range().await {
                gauge!(JOURNAL_OLDEST_RECEIVE)
                    .set(seconds(time_range.map(|TimeRange { oldest, .. }| oldest)));
                gauge!(JOURNAL_NEWEST_RECEIVE)
                    .set(seconds(time_range.map(|TimeRange { newest, .. }| newest)));
                self.log_ahead(
                    time_range
                        .is_some_and(|TimeRange { newest, .. }| newest > UnixMillis::now().plus(MAX_AHEAD)),
                );
            }
            time::sleep(MIN_INTERVAL).await;
            // A timeout means that the range has not changed. Only a closed channel ends the task.
            if let Ok(Err(_)) = time::timeout(MAX_INTERVAL - MIN_INTERVAL, log_ranges.changed()).await {
                return;
            }
        }
    }

    /// Receive times never decrease. If the clock was ahead for a while, the newest event's receive time remains ahead.
    fn log_ahead(&mut self, ahead: bool) {
        if ahead && !self.logged_ahead {
            tracing::error!(
                "the newest event's receive time is ahead of the system clock: until the clock reaches it, new events get the \
                 same receive time, later events do not expire by age, and lags in seconds are too low"
            );
        }
        self.logged_ahead = ahead;
    }

    async fn update_lag(&self, newest: u64) -> Result<(), store::Error> {
        let subscription_positions = self.store.subscription_positions().await?;
        let now = UnixMillis::now();
        for SubscriptionPosition { id, sequence, received } in subscription_positions {
            let lag_milliseconds = received.map_or(0, |at| now.0.saturating_sub(at.0).max(0));
            metrics::with_local_recorder(self.subscriptions, || {
                set_lag(&id, newest.saturating_sub(sequence), lag_milliseconds as f64 / 1_000.0);
                // An update, so the counter exists from the start and does not disappear.
                counter!(SUBSCRIPTIONS_EXPIRED, "subscription" => id.to_string()).increment(0);
            });
        }
        Ok(())
    }
}

fn set_lag(id: &SubscriptionId, lag_events: u64, lag_seconds: f64) {
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
    use crate::telemetry::metrics::subscription_recorder;

    #[tokio::test]
    async fn gauges_follow_the_journal() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let _here = metrics::set_default_local_recorder(&recorder);
        let value = |name: &str| -> Option<f64> {
            page.render().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let opened = open();
        let journal = &opened.journal;
        let wait_for_range = async |oldest: f64, newest: f64| {
            while (value(JOURNAL_OLDEST), value(JOURNAL_NEWEST_RECEIVE).is_some(), value(JOURNAL_NEWEST))
                != (Some(oldest), true, Some(newest))
            {
                tokio::task::yield_now().await;
            }
        };
        let observe = async {
            wait_for_range(1.0, 0.0).await;
            assert!(value(JOURNAL_OLDEST_RECEIVE).is_some_and(f64::is_nan), "no event is stored");
            let before = UnixMillis::now();
            append(journal, 3, 10).await;
            wait_for_range(1.0, 3.0).await;
            while value(JOURNAL_NEWEST_RECEIVE).is_none_or(|at| at.is_nan() || at < before.0 as f64 / 1e3) {
                tokio::task::yield_now().await;
            }
            let bytes = || value(JOURNAL_BYTES);
            let all = bytes().expect("shown");
            assert!(all >= 30.0, "{all}");
            trim(journal, 2).await;
            wait_for_range(3.0, 3.0).await;
            while bytes().is_none_or(|left| left >= all) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = Gauges::new(journal.store().clone()).run() => panic!("it runs while the store is open"),
            () = observe => {}
        }
    }

    #[tokio::test]
    async fn lag_gauges_follow_subscriptions_and_end_with_them() {
        // Without an idle time, each page removes the series that were not updated since the last page.
        let recorder: &'static _ = Box::leak(Box::new(subscription_recorder(Duration::ZERO)));
        let page = recorder.handle();
        let value = |page: &str, name: &str, id: &str| -> Option<f64> {
            let series = format!("{name}{{subscription=\"{id}\"}} ");
            page.lines().find_map(|line| line.strip_prefix(&series)?.trim().parse().ok())
        };
        let opened = open();
        let journal = &opened.journal;
        append(journal, 5, 10).await;
        let change = async |id: &str, change: Change| {
            let op = Op::Subscription(id.parse().expect("an id"), Box::new(change));
            journal.store().commit(vec![op]).await.expect("written");
        };
        let create =
            |position| Change::Create { filter: Filter::default(), labels: Labels::default(), position };
        change("behind", create(SeekPosition::Oldest)).await;
        change("up", create(SeekPosition::Newest)).await;
        let gauges = Gauges { subscriptions: recorder, ..Gauges::new(journal.store().clone()) };
        let observe = async || {
            gauges.update_lag(5).await.expect("readable");
            page.render()
        };
        let lag = |page: &str, id| {
            (value(page, SUBSCRIPTION_LAG_EVENTS, id), value(page, SUBSCRIPTION_LAG_SECONDS, id))
        };

        let seen = observe().await;
        assert_eq!(lag(&seen, "up"), (Some(0.0), Some(0.0)));
        assert_eq!(lag(&seen, "behind").0, Some(5.0));
        for id in ["up", "behind"] {
            assert_eq!(value(&seen, SUBSCRIPTIONS_EXPIRED, id), Some(0.0), "{id}");
        }
        // The clock may still show the millisecond in which the event was received.
        while lag(&observe().await, "behind").1.is_none_or(|seconds| seconds <= 0.0 || seconds > 60.0) {}
        change("behind", Change::Acknowledge { sequence: 5, generation: None }).await;
        assert_eq!(lag(&observe().await, "behind"), (Some(0.0), Some(0.0)));

        change("behind", Change::Seek(SeekPosition::Oldest)).await;
        assert_eq!(lag(&observe().await, "behind").0, Some(5.0));
        trim(journal, 5).await;
        let trimmed = lag(&observe().await, "behind");
        assert_eq!(trimmed, (Some(5.0), Some(0.0)), "trimmed events count, and none is stored");
        change("behind", Change::Delete).await;
        while observe().await.contains("behind") {}
        assert_eq!(lag(&observe().await, "up"), (Some(0.0), Some(0.0)));
    }
}
