//! What goes by itself, and how it is told.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::domain::UnixMillis;
use crate::domain::{Filter, Labels};
use crate::journal::Journal;
use crate::journal::tests::{Opened, append, event, open};
use crate::store::{Change, Op, SeekPosition};

const DAY: Duration = Duration::from_secs(86_400);

const FOREVER: RetentionPolicy =
    RetentionPolicy { events: DAY, held_events: DAY, event_bytes: None, requests: DAY, messages: DAY };

async fn subscribe(journal: &Journal, id: &str, place: SeekPosition) {
    let change = Change::Create { filter: Filter::default(), labels: Labels::default(), position: place };
    let op = Op::Subscription(id.parse().expect("an id"), Box::new(change));
    journal.store().commit(vec![op]).await.expect("written");
}

impl Opened {
    /// Runs retention until something is so.
    async fn keeping(&self, policy: RetentionPolicy, until: impl Future<Output = ()>) {
        tokio::select! {
            () = Retention::new(self.journal.store().clone(), policy).run() => panic!("it runs as long as the store is open"),
            () = until => {}
        }
    }

    async fn oldest_is(&self, sequence: u64) {
        let mut extents = self.journal.store().log_ranges();
        extents.wait_for(|log_range| log_range.oldest == sequence).await.expect("open");
    }
}

/// Far less than the time between two looks at the clock.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn events_that_take_too_much_go_when_they_come_and_not_at_the_next_look() {
    let opened = open();
    let journal = &opened.journal;
    let most = 4 << 20;
    let pour_in = async {
        let mut bytes = journal.store().bytes();
        for _ in 0..16 {
            append(journal, 1, 1 << 20).await;
            bytes.wait_for(|bytes| *bytes <= most + (1 << 20)).await.expect("open");
        }
    };
    let policy = RetentionPolicy { event_bytes: Some(most), ..FOREVER };
    tokio::time::timeout(SOON, opened.keeping(policy, pour_in)).await.expect("soon");
    let left = 16 - journal.log_range().oldest + 1;
    assert!((3..=4).contains(&left), "{left} events of a MiB are left");
}

#[tokio::test]
async fn old_events_go_and_held_ones_stay_until_they_are_too_old_as_well() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 3, 10).await;
    subscribe(journal, "s", SeekPosition::After(2)).await;
    let old = RetentionPolicy { events: Duration::ZERO, ..FOREVER };
    // What was received in this very millisecond is not older than no time at all.
    let received = journal.store().time_range().await.expect("readable").expect("some").newest;
    while UnixMillis::now() <= received {}
    opened.keeping(old, opened.oldest_is(3)).await;
    opened.keeping(RetentionPolicy { held_events: Duration::ZERO, ..old }, opened.oldest_is(4)).await;
}

#[tokio::test]
async fn many_events_go_in_many_steps_at_once() {
    let opened = open();
    let journal = &opened.journal;
    for _ in 0..3 {
        journal.append((0..700).map(|_| event(10)).collect()).await.expect("written");
    }
    let policy = RetentionPolicy { event_bytes: Some(0), ..FOREVER };
    opened.keeping(policy, opened.oldest_is(2_101)).await;
}

#[tokio::test]
async fn the_journal_does_not_outgrow_its_bounds_because_much_comes() {
    const COMMITS: u64 = 40;
    let opened = open();
    let journal = &opened.journal;
    let pour_in = async {
        let mut most = 0;
        // Each is more than a step takes where little comes.
        for _ in 0..COMMITS {
            journal.append((0..500).map(|_| event(8_000)).collect()).await.expect("written");
            most = most.max(*journal.store().bytes().borrow());
        }
        let each = *journal.store().bytes().borrow()
            / (journal.log_range().newest - journal.log_range().oldest + 1)
            * 500;
        assert!(each > 3 << 20, "{each}");
        assert!(most < 8 * each, "{most} bytes, of {COMMITS} commits of {each}");
    };
    opened.keeping(RetentionPolicy { event_bytes: Some(0), ..FOREVER }, pour_in).await;
}

#[tokio::test]
async fn a_subscription_that_expires_is_counted_once_under_its_id() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let counted = |id: &str, times: u64| {
        let line = format!("switchboard_subscriptions_expired_total{{subscription=\"{id}\"}} {times}");
        page.render().lines().any(|found| found == line)
    };
    let opened = open();
    let journal = &opened.journal;
    append(journal, 3, 10).await;
    subscribe(journal, "slow", SeekPosition::Oldest).await;
    subscribe(journal, "done", SeekPosition::Newest).await;
    let policy = RetentionPolicy { event_bytes: Some(0), ..FOREVER };
    let once = async |id| {
        while !counted(id, 1) {
            tokio::task::yield_now().await;
        }
    };
    opened.keeping(policy, once("slow")).await;
    assert!(!page.render().contains("done"), "{}", page.render());
    append(journal, 3, 10).await;
    opened.keeping(policy, once("done")).await;
    assert!(counted("slow", 1), "{}", page.render());
}
