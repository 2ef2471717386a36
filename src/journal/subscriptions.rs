//! Subscriptions: named places that the store keeps, how far they are behind, and reading from them.
//!
//! **Invariants.** A place that is told is one that the journal was told to have come to: it is good as a cursor at once.
//! A subscription is called expired only if it is. Whoever reads from one hears when its filter or place is set.

use std::time::Duration;

use super::subscription_changes::SubscriptionWatch;
use super::{Error, Journal, OnExpired, Reader, Start};
use crate::domain::{Cursor, Filter, Labels, Subscription, SubscriptionId, UnixMillis};
use crate::store::{self, Change, Changed, LogRange, Op, OpResult, SeekPosition, TimeLocation};

/// A subscription, and how far it is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The subscription.
    pub subscription: Subscription,
    /// How many events lie behind its place, those that are gone included.
    pub lag_events: u64,
    /// How long ago the first event behind its place was received, of those that are left. Zero if there is none.
    pub lag_time: Duration,
    /// Whether it lost events that it had not acknowledged.
    pub expired: bool,
}

/// What reads from a subscription.
#[derive(Debug)]
pub struct FollowedSubscription {
    /// The subscription as it stood.
    pub subscription: Subscription,
    /// Reads from its place.
    pub reader: Reader,
    /// Hears when it is changed.
    pub watching: SubscriptionWatch,
}

/// Why nothing was done with a subscription.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// There is none of that id.
    #[error("there is no such subscription")]
    Absent,
    /// There is one of that id already.
    #[error("the subscription exists already")]
    Exists,
    /// There are as many as there may be.
    #[error("there are as many subscriptions as there may be")]
    TooMany,
    /// It was changed since.
    #[error("the subscription was changed since")]
    Stale {
        /// What its generation is now.
        generation: u64,
    },
    /// The change cannot be written.
    #[error("the change cannot be written")]
    NotWritten(#[source] store::Error),
    /// The place cannot be read from, or the store cannot be read.
    #[error(transparent)]
    Journal(#[from] Error),
}

impl Journal {
    /// Makes a subscription; it is on disk when this returns.
    ///
    /// # Errors
    ///
    /// When there is one of that id, which is told first, there are too many, or the place cannot be read from.
    pub async fn create_subscription(
        &self,
        id: SubscriptionId,
        filter: Filter,
        labels: Labels,
        start: Start,
    ) -> Result<Progress, SubscriptionError> {
        let place = match self.place(start).await {
            Ok(place) => place,
            // Whoever makes it at every start may name a place that was good only for the first time.
            Err(error) => {
                return Err(match self.store.subscription(&id).await.map_err(Error::from)? {
                    Some(_) => SubscriptionError::Exists,
                    None => error.into(),
                });
            }
        };
        self.change_and_look(id, Change::Create { filter, labels, position: place }).await
    }

    /// Replaces a subscription's filter, its labels or both. If the filter's items change, the subscription gets a new
    /// generation, and its open streams have been notified when this returns.
    ///
    /// # Errors
    ///
    /// When there is none of that id.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        filter: Option<Filter>,
        labels: Option<Labels>,
    ) -> Result<Progress, SubscriptionError> {
        self.change_and_look(id, Change::Update { filter, labels }).await
    }

    /// Moves a subscription. Whoever reads from it has heard of it when this returns.
    ///
    /// # Errors
    ///
    /// When there is none of that id, or the place cannot be read from.
    pub async fn seek_subscription(
        &self,
        id: SubscriptionId,
        start: Start,
    ) -> Result<Progress, SubscriptionError> {
        let place = self.place(start).await?;
        self.change_and_look(id, Change::Seek(place)).await
    }

    /// Removes a subscription. Whoever reads from it has heard of it when this returns.
    ///
    /// # Errors
    ///
    /// When there is none of that id.
    pub async fn delete_subscription(&self, id: SubscriptionId) -> Result<(), SubscriptionError> {
        self.change(id, Change::Delete).await.map(drop)
    }

    /// Moves a subscription forward to a cursor, unless it is there already, and says where it stands; that is on disk.
    ///
    /// # Errors
    ///
    /// When there is none of that id, its generation is not the one that was given, or the journal has not come to the
    /// cursor.
    pub async fn acknowledge(
        &self,
        id: SubscriptionId,
        cursor: Cursor,
        generation: Option<u64>,
    ) -> Result<Cursor, SubscriptionError> {
        let sequence = self.reached(cursor)?;
        let state = self.change(id, Change::Acknowledge { sequence, generation }).await?;
        Ok(self.cursor(state.sequence))
    }

    /// How a subscription stands.
    ///
    /// # Errors
    ///
    /// When there is none of that id.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Progress, SubscriptionError> {
        let LogRange { oldest, .. } = self.log_range();
        let subscription = self.find(id).await?;
        self.progress(subscription, oldest).await
    }

    /// How subscriptions stand, in the order of their ids: those behind one, at most so many.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn subscriptions(
        &self,
        after: Option<&SubscriptionId>,
        most: u32,
    ) -> Result<Vec<Progress>, Error> {
        let LogRange { oldest, .. } = self.log_range();
        let subscriptions = self.store.subscriptions(after, most).await?;
        self.progress_of(subscriptions, oldest).await
    }

    /// Starts reading from a subscription. With `with_raw`, events come with the webhook's body.
    ///
    /// # Errors
    ///
    /// When there is none of that id, or it has lost events and the reader does not skip them.
    pub async fn follow(
        &self,
        id: &SubscriptionId,
        on_expired: OnExpired,
        with_raw: bool,
    ) -> Result<FollowedSubscription, SubscriptionError> {
        loop {
            let mut watching = self.subscription_changes.watch(id);
            let LogRange { oldest, .. } = self.log_range();
            let subscription = self.find(id).await?;
            if watching.over().is_some() {
                // It may be what stands since that was found: then it must be watched from there.
                continue;
            }
            watching.found(subscription.generation);
            if on_expired == OnExpired::Fail && is_expired(&subscription, oldest) {
                return Err(Error::CursorExpired { oldest: self.cursor(oldest - 1) }.into());
            }
            let reader = Reader::new(self.clone(), subscription.sequence, on_expired, with_raw);
            return Ok(FollowedSubscription {
                reader: reader.from_subscription(id.clone()),
                subscription,
                watching,
            });
        }
    }

    /// Where a subscription is to start.
    async fn place(&self, start: Start) -> Result<SeekPosition, Error> {
        Ok(match start {
            Start::Latest => SeekPosition::Newest,
            Start::Earliest => SeekPosition::Oldest,
            Start::After(cursor) => SeekPosition::After(self.kept(cursor)?),
            Start::Since(moment) => match self.store.since(moment).await? {
                TimeLocation { after, trimmed: false } => SeekPosition::After(after),
                TimeLocation { after, trimmed: true } => {
                    return Err(Error::CursorExpired { oldest: self.cursor(after) });
                }
            },
        })
    }

    async fn change(&self, id: SubscriptionId, change: Change) -> Result<Subscription, SubscriptionError> {
        let op = Op::Subscription(id, Box::new(change));
        let mut done = self.store.commit(vec![op]).await.map_err(SubscriptionError::NotWritten)?;
        let Some(OpResult::Changed(changed)) = done.pop() else {
            unreachable!("what was asked for is answered")
        };
        match *changed {
            Changed::Applied(subscription) => Ok(subscription),
            Changed::Exists(_) => Err(SubscriptionError::Exists),
            Changed::NotFound => Err(SubscriptionError::Absent),
            Changed::Expired { oldest } => {
                Err(Error::CursorExpired { oldest: self.cursor(oldest - 1) }.into())
            }
            Changed::Stale(Subscription { generation, .. }) => Err(SubscriptionError::Stale { generation }),
            Changed::TooMany => Err(SubscriptionError::TooMany),
        }
    }

    async fn change_and_look(
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
        self.come_to(subscription.sequence).await?;
        Ok(subscription)
    }

    async fn progress(&self, subscription: Subscription, oldest: u64) -> Result<Progress, SubscriptionError> {
        let mut progress = self.progress_of(vec![subscription], oldest).await?;
        Ok(progress.pop().expect("as many as were given"))
    }

    /// How far subscriptions are behind that were read after `oldest` was the oldest event. In this order, for their
    /// places may have moved on over what has gone since.
    async fn progress_of(
        &self,
        subscriptions: Vec<Subscription>,
        oldest: u64,
    ) -> Result<Vec<Progress>, Error> {
        let sequences: Vec<u64> = subscriptions.iter().map(|subscription| subscription.sequence).collect();
        let newest = self.come_to(sequences.iter().copied().max().unwrap_or(0)).await?;
        let received = self.store.received_after(sequences).await?;
        let now = UnixMillis::now();
        let progress = subscriptions.into_iter().zip(received).map(|(subscription, received)| Progress {
            lag_events: newest.saturating_sub(subscription.sequence),
            lag_time: received.map_or(Duration::ZERO, |at| since(at, now)),
            expired: is_expired(&subscription, oldest),
            subscription,
        });
        Ok(progress.collect())
    }

    /// What is on disk may be found before it is told: waits until the journal is told to have come to a number, and
    /// says where it ends.
    async fn come_to(&self, sequence: u64) -> Result<u64, Error> {
        let mut extents = self.store.log_ranges();
        let log_range = extents.wait_for(|log_range| log_range.newest >= sequence).await;
        Ok(log_range.map_err(|_| store::Error::Closed)?.newest)
    }
}

fn is_expired(subscription: &Subscription, oldest: u64) -> bool {
    subscription.sequence + 1 < oldest
}

/// How long ago that was. The machine's clock may have gone back since.
fn since(at: UnixMillis, now: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0))
}
