//! Where subscriptions stand, how far they are behind, and who hears of their changes.

use super::*;
use crate::domain::{Filter, Labels, SubscriptionId};
use crate::journal::{FollowedSubscription, Invalidated, Progress, SubscriptionError};

fn id() -> SubscriptionId {
    "billing".parse().expect("an id")
}

async fn make(journal: &Journal, start: Start) -> Progress {
    journal.create_subscription(id(), Filter::default(), Labels::default(), start).await.expect("made")
}

async fn progress(journal: &Journal) -> Progress {
    journal.subscription(&id()).await.expect("there")
}

async fn acknowledge(journal: &Journal, sequence: u64) -> Result<Cursor, SubscriptionError> {
    journal.acknowledge(id(), journal.cursor(sequence), None).await
}

#[tokio::test]
async fn the_lag_is_what_lies_behind_the_place_and_as_old_as_the_first_of_it() {
    let opened = open();
    let journal = &opened.journal;
    let made = make(journal, Start::Latest).await;
    assert_eq!((made.subscription.sequence, made.lag_events, made.lag_time), (0, 0, Default::default()));
    append(journal, 3, 10).await;
    // The oldest of them, and not the newest, says how long ago it was.
    let behind_first = journal.store.received_after(vec![0, 1, 2, 3]).await.expect("readable");
    assert!(behind_first.is_sorted_by_key(|at| at.map_or(i64::MAX, |at| at.0)) && behind_first[3].is_none());
    let before = UnixMillis::now();
    let after = progress(journal).await;
    assert_eq!(after.lag_events, 3);
    let least = before.0 - behind_first[0].expect("there").0;
    assert!(i64::try_from(after.lag_time.as_millis()).expect("short") >= least);
    acknowledge(journal, 2).await.expect("acknowledged");
    assert_eq!(progress(journal).await.lag_events, 1);
    acknowledge(journal, 3).await.expect("acknowledged");
    let there = progress(journal).await;
    assert_eq!((there.lag_events, there.lag_time, there.expired), (0, Default::default(), false));
    assert_eq!(journal.subscriptions(None, 10).await.expect("readable"), [there]);
}

#[tokio::test]
async fn who_has_lost_events_is_expired_until_it_stands_where_all_is_left() {
    let opened = open();
    let journal = &opened.journal;
    make(journal, Start::Latest).await;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    let lost = progress(journal).await;
    assert_eq!((lost.expired, lost.lag_events), (true, 5), "what is gone counts too");
    let told = journal.follow(&id(), OnExpired::Fail, false).await.map(|_| ());
    let Err(SubscriptionError::Journal(Error::CursorExpired { oldest })) = told else { panic!("{told:?}") };
    assert_eq!(oldest, journal.cursor(3));
    journal.follow(&id(), OnExpired::Skip, false).await.expect("skips");

    // A place that is gone may be acknowledged, which heals nothing.
    acknowledge(journal, 1).await.expect("acknowledged");
    assert!(progress(journal).await.expired);
    acknowledge(journal, 3).await.expect("acknowledged");
    let healed = progress(journal).await;
    assert_eq!((healed.expired, healed.lag_events), (false, 2));
    let mut following = journal.follow(&id(), OnExpired::Fail, false).await.expect("all is there");
    assert_eq!(run(&mut following.reader).await[0], 4);
}

#[tokio::test]
async fn a_place_is_one_that_can_be_read_from_or_is_refused() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 2).await;
    make(journal, Start::Earliest).await;
    assert_eq!(progress(journal).await.subscription.sequence, 2);
    for start in [Start::Since(UnixMillis(0)), after(journal, 1)] {
        let told = journal.seek_subscription(id(), start).await;
        let Err(SubscriptionError::Journal(Error::CursorExpired { oldest })) = told else {
            panic!("{told:?}")
        };
        assert_eq!(oldest, journal.cursor(2));
    }
    let told = journal.seek_subscription(id(), after(journal, 6)).await;
    assert!(matches!(told, Err(SubscriptionError::Journal(Error::CursorLost { .. }))), "{told:?}");
    let told = acknowledge(journal, 6).await;
    assert!(matches!(told, Err(SubscriptionError::Journal(Error::CursorLost { .. }))), "{told:?}");
    let elsewhere = Cursor { epoch: journal.cursor(0).epoch ^ 1, sequence: 4 };
    let told = journal.acknowledge(id(), elsewhere, None).await;
    assert!(matches!(told, Err(SubscriptionError::Journal(Error::ForeignCursor))), "{told:?}");
    let stands = progress(journal).await.subscription;
    assert_eq!((stands.sequence, stands.generation), (2, 1), "nothing of it was done");

    let soon = UnixMillis::now().plus(std::time::Duration::from_secs(3_600));
    for (start, sequence) in [(Start::Since(soon), 5), (Start::Earliest, 2), (Start::Latest, 5)] {
        let moved = journal.seek_subscription(id(), start).await.expect("moved").subscription;
        assert_eq!(moved.sequence, sequence, "{start:?}");
    }
}

/// As when events that it does not want have gone, and its place has moved on over them.
#[tokio::test]
async fn who_has_not_begun_to_read_begins_where_the_subscription_stands_by_then() {
    let opened = open();
    let journal = &opened.journal;
    make(journal, Start::Earliest).await;
    // More than the tail in memory holds.
    append(journal, 20, 1_000_000).await;
    let id = id();
    let follow = || journal.follow(&id, OnExpired::Fail, true);
    let mut following = follow().await.expect("all is there");
    let mut lost = follow().await.expect("all is there");
    acknowledge(journal, 2).await.expect("acknowledged");
    trim(journal, 2).await;
    assert_eq!(run(&mut following.reader).await[0], 3);
    trim(journal, 1).await;
    let told = lost.reader.next().await.map(|_| ());
    assert!(matches!(told, Err(Error::CursorExpired { .. })), "{told:?}");
}

#[tokio::test]
async fn who_follows_has_heard_of_a_change_when_it_is_answered_and_of_no_other() {
    let opened = open();
    let journal = &opened.journal;
    make(journal, Start::Latest).await;
    append(journal, 2, 10).await;
    let follow = || async { journal.follow(&id(), OnExpired::Fail, false).await.expect("there") };
    let FollowedSubscription { watching, .. } = follow().await;
    acknowledge(journal, 1).await.expect("acknowledged");
    assert_eq!(watching.over(), None);
    journal.seek_subscription(id(), Start::Earliest).await.expect("moved");
    assert_eq!(watching.over(), Some(Invalidated::Changed));
    let FollowedSubscription { watching, subscription, .. } = follow().await;
    assert_eq!((watching.over(), subscription.generation), (None, 2));
    journal.update_subscription(id(), Some(Filter::default()), None).await.expect("equal");
    let labels = Labels::from([("team".to_owned(), "crm".to_owned())]);
    journal.update_subscription(id(), None, Some(labels)).await.expect("changed");
    assert_eq!(watching.over(), None);
    journal.update_subscription(id(), Some(elsewhere()), None).await.expect("changed");
    assert_eq!(watching.over(), Some(Invalidated::Changed));
    let FollowedSubscription { watching, .. } = follow().await;
    journal.delete_subscription(id()).await.expect("deleted");
    assert_eq!(watching.over(), Some(Invalidated::Deleted));
    let told = journal.follow(&id(), OnExpired::Skip, false).await.map(|_| ());
    assert!(matches!(told, Err(SubscriptionError::Absent)), "{told:?}");
}

/// While others change it all the time, whoever follows reads what stands and hears of the next change.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_never_misses_a_change() {
    let opened = open();
    let journal = &opened.journal;
    make(journal, Start::Latest).await;
    const CHANGES: u64 = 200;
    let follow = || async {
        loop {
            let FollowedSubscription { subscription, watching, .. } =
                journal.follow(&id(), OnExpired::Fail, false).await.expect("there");
            if subscription.generation == 1 + CHANGES {
                break;
            }
            // If it was missed, this never ends.
            watching.told().await;
        }
    };
    let change = async {
        for n in 0..CHANGES {
            let filter = if n % 2 == 0 { elsewhere() } else { Filter::default() };
            journal.update_subscription(id(), Some(filter), None).await.expect("changed");
        }
    };
    let followed = futures_util::future::join_all((0..4).map(|_| follow()));
    let all = futures_util::future::join(followed, change);
    tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("a change was missed");
}

fn elsewhere() -> Filter {
    Filter { accounts: vec!["globex".parse().expect("an id")], types: Vec::new() }
}

#[tokio::test]
async fn that_a_subscription_exists_is_told_whatever_became_of_the_place() {
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
async fn a_reader_that_trimming_overtakes_is_told_of_no_loss_where_its_subscription_has_lost_nothing() {
    for gone in [OnExpired::Fail, OnExpired::Skip] {
        let opened = open();
        let journal = &opened.journal;
        journal
            .create_subscription(id(), elsewhere(), Labels::default(), Start::Earliest)
            .await
            .expect("made");
        // More than the tail in memory holds.
        append(journal, 30, 1_000_000).await;
        let mut following = journal.follow(&id(), gone, true).await.expect("all is there");
        let last = *run(&mut following.reader).await.last().expect("not empty");
        assert!(last < 8, "{last}");
        trim(journal, 10).await;
        assert_eq!(progress(journal).await.subscription.sequence, 10);
        assert_eq!(run(&mut following.reader).await[0], 11);
    }
}

/// Another reader of the subscription has dealt with them, and not this one.
#[tokio::test]
async fn a_reader_that_has_begun_is_told_of_what_went_because_another_acknowledged_it() {
    let opened = open();
    let journal = &opened.journal;
    make(journal, Start::Earliest).await;
    append(journal, 30, 1_000_000).await;
    let mut following = journal.follow(&id(), OnExpired::Fail, true).await.expect("all is there");
    run(&mut following.reader).await;
    acknowledge(journal, 12).await.expect("acknowledged");
    trim(journal, 10).await;
    let told = following.reader.next().await.map(|_| ());
    assert!(matches!(told, Err(Error::CursorExpired { .. })), "{told:?}");
}
