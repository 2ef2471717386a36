//! Subscriptions: named positions in the store, their lag, and reading from them.
//!
//! **Invariants.** Every returned position is one that the journal has published, so it is valid as a cursor at once. A
//! subscription is reported as expired only if it is. A reader of a subscription is notified when its filter or
//! position is set.

use std::time::Duration;

use super::subscription_changes::SubscriptionWatch;
use super::{Error, Journal, OnExpired, Reader, Start};
use crate::domain::{Cursor, Filter, Labels, Subscription, SubscriptionId, UnixMillis};
use crate::store::{self, Change, Changed, LogRange, Op, OpResult, SeekPosition};

/// A subscription and its lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The subscription.
    pub subscription: Subscription,
    /// The number of events after its position, including trimmed ones.
    pub lag_events: u64,
    /// The time since the first stored event after its position was received. Zero if there is none.
    pub lag_time: Duration,
    /// Whether it has lost events that it had not acknowledged.
    pub expired: bool,
}

/// A reader of a subscription.
#[derive(Debug)]
pub struct FollowedSubscription {
    /// The subscription at the time of the call.
    pub subscription: Subscription,
    /// Reads from the subscription's position.
    pub reader: Reader,
    /// Is notified when the subscription changes.
    pub watch: SubscriptionWatch,
}

/// Why an operation on a subscription failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// No subscription has this id.
    #[error("the subscription does not exist")]
    Absent,
    /// A subscription with this id already exists.
    #[error("the subscription already exists")]
    Exists,
    /// The maximum number of subscriptions exists.
    #[error("the maximum number of subscriptions exists")]
    TooMany,
    /// The subscription has another generation.
    #[error("the subscription has another generation")]
    Stale {
        /// Its current generation.
        generation: u64,
    },
    /// The store could not write the change.
    #[error("the store cannot write the change")]
    NotWritten(#[source] store::Error),
    /// The position cannot be read from, or the store cannot be read.
    #[error(transparent)]
    Journal(#[from] Error),
}

impl Journal {
    /// Creates a subscription, and returns after it is durable.
    ///
    /// # Errors
    ///
    /// If the id exists, which is checked first, there are too many subscriptions, or the position cannot be read from.
    pub async fn create_subscription(
        &self,
        id: SubscriptionId,
        filter: Filter,
        labels: Labels,
        start: Start,
    ) -> Result<Progress, SubscriptionError> {
        let position = match self.seek_position(start).await {
            Ok(position) => position,
            // A client that creates its subscription at every start may name a position that was valid only the first
            // time.
            Err(error) => {
                return Err(match self.store.subscription(&id).await.map_err(Error::from)? {
                    Some(_) => SubscriptionError::Exists,
                    None => error.into(),
                });
            }
        };
        self.change_and_measure(id, Change::Create { filter, labels, position }).await
    }

    /// Replaces a subscription's filter, its labels or both. If the filter's items change, the subscription gets a new
    /// generation, and its open streams have been notified when this returns.
    ///
    /// # Errors
    ///
    /// If no subscription has this id.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        filter: Option<Filter>,
        labels: Option<Labels>,
    ) -> Result<Progress, SubscriptionError> {
        self.change_and_measure(id, Change::Update { filter, labels }).await
    }

    /// Moves a subscription. Its readers are notified before this returns.
    ///
    /// # Errors
    ///
    /// If no subscription has this id, or the position cannot be read from.
    pub async fn seek_subscription(
        &self,
        id: SubscriptionId,
        start: Start,
    ) -> Result<Progress, SubscriptionError> {
        let position = self.seek_position(start).await?;
        self.change_and_measure(id, Change::Seek(position)).await
    }

    /// Deletes a subscription. Its readers are notified before this returns.
    ///
    /// # Errors
    ///
    /// If no subscription has this id.
    pub async fn delete_subscription(&self, id: SubscriptionId) -> Result<(), SubscriptionError> {
        self.change(id, Change::Delete).await.map(drop)
    }

    /// Moves a subscription forward to a cursor, unless it is already there or further. Returns its durable position.
    ///
    /// # Errors
    ///
    /// If no subscription has this id, its generation is not `generation`, or the cursor is ahead of the journal.
    pub async fn acknowledge(
        &self,
        id: SubscriptionId,
        cursor: Cursor,
        generation: Option<u64>,
    ) -> Result<Cursor, SubscriptionError> {
        let sequence = self.sequence_of(cursor, OnExpired::Skip)?;
        let state = self.change(id, Change::Acknowledge { sequence, generation }).await?;
        Ok(self.cursor(state.sequence))
    }

    /// Returns a subscription and its lag.
    ///
    /// # Errors
    ///
    /// If no subscription has this id.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Progress, SubscriptionError> {
        let LogRange { oldest, .. } = self.log_range();
        let subscription = self.find(id).await?;
        self.progress(subscription, oldest).await
    }

    /// Returns at most `limit` subscriptions and their lags, in the order of their ids, starting after `after`.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn subscriptions(
        &self,
        after: Option<&SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<Progress>, Error> {
        let LogRange { oldest, .. } = self.log_range();
        let subscriptions = self.store.subscriptions(after, limit).await?;
        self.progress_of(subscriptions, oldest).await
    }

    /// Starts reading from a subscription. With `with_raw`, events include the webhook's body.
    ///
    /// # Errors
    ///
    /// If no subscription has this id, or it has lost events and the reader does not skip them.
    pub async fn follow(
        &self,
        id: &SubscriptionId,
        on_expired: OnExpired,
        with_raw: bool,
    ) -> Result<FollowedSubscription, SubscriptionError> {
        loop {
            let mut watch = self.subscription_changes.watch(id);
            let LogRange { oldest, .. } = self.log_range();
            let subscription = self.find(id).await?;
            if watch.invalidation().is_some() {
                // The state that was found may be the one after the change. Then the watch must begin at that state.
                continue;
            }
            watch.set_generation(subscription.generation);
            if on_expired == OnExpired::Fail && is_expired(&subscription, oldest) {
                return Err(self.cursor_expired(oldest - 1).into());
            }
            let reader = Reader::new(self.clone(), subscription.sequence, on_expired, with_raw);
            return Ok(FollowedSubscription {
                reader: reader.starting_at_subscription(id.clone()),
                subscription,
                watch,
            });
        }
    }

    /// Resolves where a subscription starts.
    async fn seek_position(&self, start: Start) -> Result<SeekPosition, Error> {
        Ok(match start {
            Start::Latest => SeekPosition::Newest,
            Start::Earliest => SeekPosition::Oldest,
            Start::After(cursor) => SeekPosition::After(self.sequence_of(cursor, OnExpired::Fail)?),
            Start::Since(moment) => SeekPosition::After(self.sequence_at(moment).await?),
        })
    }

    async fn change(&self, id: SubscriptionId, change: Change) -> Result<Subscription, SubscriptionError> {
        let op = Op::Subscription(id, Box::new(change));
        let mut results = self.store.commit(vec![op]).await.map_err(SubscriptionError::NotWritten)?;
        let Some(OpResult::Changed(changed)) = results.pop() else {
            unreachable!("one op has one result of its kind")
        };
        match *changed {
            Changed::Applied(subscription) => Ok(subscription),
            Changed::Exists(_) => Err(SubscriptionError::Exists),
            Changed::NotFound => Err(SubscriptionError::Absent),
            Changed::Expired { oldest } => Err(self.cursor_expired(oldest - 1).into()),
            Changed::Stale(Subscription { generation, .. }) => Err(SubscriptionError::Stale { generation }),
            Changed::TooMany => Err(SubscriptionError::TooMany),
        }
    }

    async fn change_and_measure(
        &self,
        id: SubscriptionId,
        change: Change,
    ) -> Result<Progress, SubscriptionError> {
        let LogRange { oldest, .. } = self.log_range();
        let subscription = self.change(id, change).await?;
        self.progress(subscription, oldest).await
    }

    async fn find(&self, id: &SubscriptionId) -> Result<Subscription, SubscriptionError> {
        let subscription = self.store.subscription(id).await.map_err(Error::from)?;
        let subscription = subscription.ok_or(SubscriptionError::Absent)?;
        self.wait_for_sequence(subscription.sequence).await?;
        Ok(subscription)
    }

    async fn progress(&self, subscription: Subscription, oldest: u64) -> Result<Progress, SubscriptionError> {
        let mut progress = self.progress_of(vec![subscription], oldest).await?;
        Ok(progress.pop().expect("one subscription has one lag"))
    }

    /// Computes the lag of subscriptions. `oldest` must be read before `subscriptions`, because a later trim may move
    /// their positions.
    async fn progress_of(
        &self,
        subscriptions: Vec<Subscription>,
        oldest: u64,
    ) -> Result<Vec<Progress>, Error> {
        let sequences: Vec<u64> = subscriptions.iter().map(|subscription| subscription.sequence).collect();
        let newest = self.wait_for_sequence(sequences.iter().copied().max().unwrap_or(0)).await?;
        let received = self.store.received_after(sequences).await?;
        let now = UnixMillis::now();
        let progress = subscriptions.into_iter().zip(received).map(|(subscription, received)| Progress {
            lag_events: newest.saturating_sub(subscription.sequence),
            lag_time: received.map_or(Duration::ZERO, |at| elapsed(at, now)),
            expired: is_expired(&subscription, oldest),
            subscription,
        });
        Ok(progress.collect())
    }

    /// Waits until the journal has published a sequence number, and returns the newest one. A read can find an event
    /// before its commit is published.
    async fn wait_for_sequence(&self, sequence: u64) -> Result<u64, Error> {
        let mut log_ranges = self.store.log_ranges();
        let log_range = log_ranges.wait_for(|log_range| log_range.newest >= sequence).await;
        Ok(log_range.map_err(|_| store::Error::Closed)?.newest)
    }
}

fn is_expired(subscription: &Subscription, oldest: u64) -> bool {
    subscription.sequence + 1 < oldest
}

/// Returns the time since `at`. The system clock may have been set back since.
fn elapsed(at: UnixMillis, now: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0))
}
