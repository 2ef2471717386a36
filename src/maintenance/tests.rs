//! Retention by age and size, and how expired subscriptions are reported.

use std::time::Duration;

use super::clock::JumpTolerantClock;
use super::retention::StepLimits;
use super::*;
use crate::domain::UnixMillis;
use crate::domain::{Filter, Labels};
use crate::journal::Journal;
use crate::journal::tests::{Opened, append, event, open};
use crate::store::{Change, Op, SeekPosition};
use crate::telemetry::metrics::subscriptions;

const DAY: Duration = Duration::from_secs(86_400);

const FOREVER: RetentionPolicy = RetentionPolicy {
    events: DAY,
    unacknowledged_events: DAY,
    event_bytes: None,
    requests: DAY,
    messages: DAY,
};

async fn subscribe(journal: &Journal, id: &str, position: SeekPosition) {
    let change = Change::Create { filter: Filter::default(), labels: Labels::default(), position };
    let op = Op::Subscription(id.parse().expect("an id"), Box::new(change));
    journal.store().commit(vec![op]).await.expect("written");
}

impl Opened {
    /// Runs retention until `until` is ready.
    async fn run_retention(&self, policy: RetentionPolicy, until: impl Future<Output = ()>) {
        tokio::select! {
            () = Retention::new(self.journal.store().clone(), policy).run() => panic!("it runs while the store is open"),
            () = until => {}
        }
    }

    async fn wait_for_oldest(&self, sequence: u64) {
        let mut log_ranges = self.journal.store().log_ranges();
        log_ranges.wait_for(|log_range| log_range.oldest == sequence).await.expect("open");
    }
}

/// Far less than the interval of retention by age.
const MAX_WAIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn size_limit_trims_on_append_without_waiting_for_the_tick() {
    let opened = open();
    let journal = &opened.journal;
    let max_bytes = 4 << 20;
    let append_all = async {
        let mut bytes = journal.store().bytes();
        for _ in 0..16 {
            append(journal, 1, 1 << 20).await;
            bytes.wait_for(|bytes| *bytes <= max_bytes + (1 << 20)).await.expect("open");
        }
    };
    let policy = RetentionPolicy { event_bytes: Some(max_bytes), ..FOREVER };
    tokio::time::timeout(MAX_WAIT, opened.run_retention(policy, append_all)).await.expect("soon");
    let left = 16 - journal.log_range().oldest + 1;
    assert!((3..=4).contains(&left), "{left} events of 1 MiB are stored");
}

#[tokio::test]
async fn old_events_are_trimmed_and_unacknowledged_ones_later() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 3, 10).await;
    subscribe(journal, "s", SeekPosition::After(2)).await;
    let old = RetentionPolicy { events: Duration::ZERO, ..FOREVER };
    // An event that was received in this millisecond is not older than zero.
    let received = journal.store().time_range().await.expect("readable").expect("some").newest;
    while UnixMillis::now() <= received {}
    opened.run_retention(old, opened.wait_for_oldest(3)).await;
    opened
        .run_retention(
            RetentionPolicy { unacknowledged_events: Duration::ZERO, ..old },
            opened.wait_for_oldest(4),
        )
        .await;
}

#[tokio::test]
async fn large_backlog_is_trimmed_in_consecutive_steps() {
    let opened = open();
    let journal = &opened.journal;
    for _ in 0..3 {
        journal.append((0..700).map(|_| event(10)).collect()).await.expect("written");
    }
    let policy = RetentionPolicy { event_bytes: Some(0), ..FOREVER };
    opened.run_retention(policy, opened.wait_for_oldest(2_101)).await;
}

/// Drives retention step by step, one append per step, so the result does not depend on the machine's speed.
#[tokio::test]
async fn journal_stays_bounded_under_sustained_appends() {
    const COMMITS: u32 = 40;
    let opened = open();
    let journal = &opened.journal;
    let store = journal.store();
    let append_many = || journal.append((0..500).map(|_| event(8_000)).collect());
    append_many().await.expect("written");
    let commit_bytes = *store.bytes().borrow();
    assert!(commit_bytes > 3 << 20, "a commit must be larger than the smallest step: {commit_bytes}");

    let retention = Retention::new(store.clone(), RetentionPolicy { event_bytes: Some(0), ..FOREVER });
    let mut clock = JumpTolerantClock::starting_at(UnixMillis::now());
    let mut limits = StepLimits::new(store);
    let mut max_bytes = 0;
    for _ in 0..COMMITS {
        let (more, appended) = tokio::join!(retention.step(&mut clock, &mut limits), append_many());
        appended.expect("written");
        max_bytes = max_bytes.max(*store.bytes().borrow());
        if !more {
            // `Retention::run` starts again with the smallest step.
            limits = StepLimits::new(store);
        }
    }
    assert!(max_bytes <= 4 * commit_bytes, "{max_bytes} bytes after {COMMITS} commits of {commit_bytes}");
}

#[tokio::test]
async fn expired_subscription_is_counted_once_under_its_id() {
    let page = subscriptions().handle();
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
    let counted_once = async |id| {
        while !counted(id, 1) {
            tokio::task::yield_now().await;
        }
    };
    opened.run_retention(policy, counted_once("slow")).await;
    assert!(!page.render().contains("done"), "{}", page.render());
    append(journal, 3, 10).await;
    opened.run_retention(policy, counted_once("done")).await;
    assert!(counted("slow", 1), "{}", page.render());
}
