//! Positions and lags of subscriptions, and notifications about their changes.

use super::*;
use crate::domain::{Filter, Labels, SubscriptionId};
use crate::journal::{FollowedSubscription, Invalidated, Progress, SubscriptionError};

fn id() -> SubscriptionId {
    "billing".parse().expect("an id")
}

async fn create(journal: &Journal, start: Start) -> Progress {
    journal.create_subscription(id(), Filter::default(), Labels::default(), start).await.expect("made")
}

async fn progress(journal: &Journal) -> Progress {
    journal.subscription(&id()).await.expect("exists")
}

async fn acknowledge(journal: &Journal, sequence: u64) -> Result<Cursor, SubscriptionError> {
    journal.acknowledge(id(), journal.cursor(sequence), None).await
}

#[tokio::test]
async fn lag_counts_events_after_the_position() {
    let opened = open();
    let journal = &opened.journal;
    let created = create(journal, Start::Latest).await;
    assert_eq!(
        (created.subscription.sequence, created.lag_events, created.lag_time),
        (0, 0, Default::default())
    );
    append(journal, 3, 10).await;
    // The lag is measured from the oldest event after the position, not from the newest.
    let received_after = journal.store.received_after(vec![0, 1, 2, 3]).await.expect("readable");
    assert!(
        received_after.is_sorted_by_key(|at| at.map_or(i64::MAX, |at| at.0)) && received_after[3].is_none()
    );
    let before = UnixMillis::now();
    let after = progress(journal).await;
    assert_eq!(after.lag_events, 3);
    let min_lag = before.0 - received_after[0].expect("exists").0;
    assert!(i64::try_from(after.lag_time.as_millis()).expect("short") >= min_lag);
    acknowledge(journal, 2).await.expect("acknowledged");
    assert_eq!(progress(journal).await.lag_events, 1);
    acknowledge(journal, 3).await.expect("acknowledged");
    let current = progress(journal).await;
    assert_eq!((current.lag_events, current.lag_time, current.expired), (0, Default::default(), false));
    assert_eq!(journal.subscriptions(None, 10).await.expect("readable"), [current]);
}

#[tokio::test]
async fn subscription_is_expired_until_moved_past_the_loss() {
    let opened = open();
    let journal = &opened.journal;
    create(journal, Start::Latest).await;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    let lost = progress(journal).await;
    assert_eq!((lost.expired, lost.lag_events), (true, 5), "trimmed events count too");
    let result = journal.follow(&id(), OnExpired::Fail, false).await.map(|_| ());
    let Err(SubscriptionError::Journal(Error::CursorExpired { oldest })) = result else {
        panic!("{result:?}")
    };
    assert_eq!(oldest, journal.cursor(3));
    journal.follow(&id(), OnExpired::Skip, false).await.expect("skips");

    // A trimmed position may be acknowledged. The subscription remains expired.
    acknowledge(journal, 1).await.expect("acknowledged");
    assert!(progress(journal).await.expired);
    acknowledge(journal, 3).await.expect("acknowledged");
    let recovered = progress(journal).await;
    assert_eq!((recovered.expired, recovered.lag_events), (false, 2));
    let mut following = journal.follow(&id(), OnExpired::Fail, false).await.expect("all events are stored");
    assert_eq!(next_batch(&mut following.reader).await[0], 4);
}

#[tokio::test]
async fn unreadable_positions_are_rejected() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 2).await;
    create(journal, Start::Earliest).await;
    assert_eq!(progress(journal).await.subscription.sequence, 2);
    for start in [Start::Since(UnixMillis(0)), after(journal, 1)] {
        let result = journal.seek_subscription(id(), start).await;
        let Err(SubscriptionError::Journal(Error::CursorExpired { oldest })) = result else {
            panic!("{result:?}")
        };
        assert_eq!(oldest, journal.cursor(2));
    }
    let result = journal.seek_subscription(id(), after(journal, 6)).await;
    assert!(matches!(result, Err(SubscriptionError::Journal(Error::CursorLost { .. }))), "{result:?}");
    let result = acknowledge(journal, 6).await;
    assert!(matches!(result, Err(SubscriptionError::Journal(Error::CursorLost { .. }))), "{result:?}");
    let foreign = Cursor { epoch: journal.cursor(0).epoch ^ 1, sequence: 4 };
    let result = journal.acknowledge(id(), foreign, None).await;
    assert!(matches!(result, Err(SubscriptionError::Journal(Error::ForeignCursor))), "{result:?}");
    let current = progress(journal).await.subscription;
    assert_eq!((current.sequence, current.generation), (2, 1), "nothing was changed");

    let soon = UnixMillis::now().plus(std::time::Duration::from_secs(3_600));
    for (start, sequence) in [(Start::Since(soon), 5), (Start::Earliest, 2), (Start::Latest, 5)] {
        let moved = journal.seek_subscription(id(), start).await.expect("moved").subscription;
        assert_eq!(moved.sequence, sequence, "{start:?}");
    }
}

/// The subscription may move after events that it does not match were trimmed.
#[tokio::test]
async fn unread_reader_starts_at_the_current_position() {
    let opened = open();
    let journal = &opened.journal;
    create(journal, Start::Earliest).await;
    // More than the tail in memory holds.
    append(journal, 20, 1_000_000).await;
    let id = id();
    let follow = || journal.follow(&id, OnExpired::Fail, true);
    let mut following = follow().await.expect("all events are stored");
    let mut lost = follow().await.expect("all events are stored");
    acknowledge(journal, 2).await.expect("acknowledged");
    trim(journal, 2).await;
    assert_eq!(next_batch(&mut following.reader).await[0], 3);
    trim(journal, 1).await;
    let result = lost.reader.next().await.map(|_| ());
    assert!(matches!(result, Err(Error::CursorExpired { .. })), "{result:?}");
}

#[tokio::test]
async fn change_invalidates_followers_before_it_returns() {
    let opened = open();
    let journal = &opened.journal;
    create(journal, Start::Latest).await;
    append(journal, 2, 10).await;
    let follow = || async { journal.follow(&id(), OnExpired::Fail, false).await.expect("exists") };
    let FollowedSubscription { watch, .. } = follow().await;
    acknowledge(journal, 1).await.expect("acknowledged");
    assert_eq!(watch.invalidation(), None);
    journal.seek_subscription(id(), Start::Earliest).await.expect("moved");
    assert_eq!(watch.invalidation(), Some(Invalidated::Changed));
    let FollowedSubscription { watch, subscription, .. } = follow().await;
    assert_eq!((watch.invalidation(), subscription.generation), (None, 2));
    journal.update_subscription(id(), Some(Filter::default()), None).await.expect("equal");
    let labels = Labels::from([("team".to_owned(), "crm".to_owned())]);
    journal.update_subscription(id(), None, Some(labels)).await.expect("changed");
    assert_eq!(watch.invalidation(), None);
    journal.update_subscription(id(), Some(other_account()), None).await.expect("changed");
    assert_eq!(watch.invalidation(), Some(Invalidated::Changed));
    let FollowedSubscription { watch, .. } = follow().await;
    journal.delete_subscription(id()).await.expect("deleted");
    assert_eq!(watch.invalidation(), Some(Invalidated::Deleted));
    let result = journal.follow(&id(), OnExpired::Skip, false).await.map(|_| ());
    assert!(matches!(result, Err(SubscriptionError::Absent)), "{result:?}");
}

/// While other tasks change the subscription all the time, a reader finds its current state and is notified of the next
/// change.
#[tokio::test(flavor = "multi_thread")]
async fn follower_never_misses_a_change() {
    let opened = open();
    let journal = &opened.journal;
    create(journal, Start::Latest).await;
    const CHANGES: u64 = 200;
    let follow = || async {
        loop {
            let FollowedSubscription { subscription, watch, .. } =
                journal.follow(&id(), OnExpired::Fail, false).await.expect("exists");
            if subscription.generation == 1 + CHANGES {
                break;
            }
            // If a change was missed, this never ends.
            watch.invalidated().await;
        }
    };
    let change = async {
        for n in 0..CHANGES {
            let filter = if n % 2 == 0 { other_account() } else { Filter::default() };
            journal.update_subscription(id(), Some(filter), None).await.expect("changed");
        }
    };
    let followed = futures_util::future::join_all((0..4).map(|_| follow()));
    let all = futures_util::future::join(followed, change);
    tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("a change was missed");
}

fn other_account() -> Filter {
    Filter { accounts: vec!["globex".parse().expect("an id")], ..Filter::default() }
}

#[tokio::test]
async fn create_of_existing_subscription_reports_exists_first() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    for start in [after(journal, 1), Start::Since(UnixMillis(0)), Start::Earliest] {
        let _ = journal.create_subscription(id(), Filter::default(), Labels::default(), start).await;
    }
    trim(journal, 3).await;
    for start in [after(journal, 1), Start::Since(UnixMillis(0)), after(journal, 99)] {
        let told = journal.create_subscription(id(), Filter::default(), Labels::default(), start).await;
        assert!(matches!(told, Err(SubscriptionError::Exists)), "a service that starts again: {told:?}");
    }
}

#[tokio::test]
async fn trimming_unmatched_events_reports_no_loss() {
    for on_expired in [OnExpired::Fail, OnExpired::Skip] {
        let opened = open();
        let journal = &opened.journal;
        journal
            .create_subscription(id(), other_account(), Labels::default(), Start::Earliest)
            .await
            .expect("made");
        // More than the tail in memory holds.
        append(journal, 30, 1_000_000).await;
        let mut following = journal.follow(&id(), on_expired, true).await.expect("all events are stored");
        let last = *next_batch(&mut following.reader).await.last().expect("not empty");
        assert!(last < 8, "{last}");
        trim(journal, 10).await;
        assert_eq!(progress(journal).await.subscription.sequence, 10);
        assert_eq!(next_batch(&mut following.reader).await[0], 11);
    }
}

/// Another reader of the subscription has acknowledged the events. This one has not read them.
#[tokio::test]
async fn trimming_events_acked_by_another_reader_reports_loss() {
    let opened = open();
    let journal = &opened.journal;
    create(journal, Start::Earliest).await;
    append(journal, 30, 1_000_000).await;
    let mut following = journal.follow(&id(), OnExpired::Fail, true).await.expect("all events are stored");
    next_batch(&mut following.reader).await;
    acknowledge(journal, 12).await.expect("acknowledged");
    trim(journal, 10).await;
    let result = following.reader.next().await.map(|_| ());
    assert!(matches!(result, Err(Error::CursorExpired { .. })), "{result:?}");
}
