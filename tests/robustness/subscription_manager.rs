//! Managers of named subscriptions: each creates, reads and changes one subscription. Subscribers read its events and
//! acknowledge them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::domain::Cursor;
use switchboard::pb::v1;
use switchboard::pb::v1::subscription_service_client::SubscriptionServiceClient;
use switchboard::pb::v1::{
    EventFilter, StartPosition, create_subscription_request, seek_subscription_request,
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::binary::DEADLINE;
use crate::history::{Completion, CursorOrigin, Filter, Operation, OperationKind, Start};
use crate::recorder::{Recorder, lock};
use crate::subscriber::{connect, event_filter, timestamp};

/// Pause between two operations of a manager, in milliseconds.
const OPERATION_INTERVAL_MILLIS: std::ops::Range<u64> = 100..900;

/// Delay before a retry.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// How a manager changes its subscription, in addition to reading it.
#[derive(Clone, Debug)]
pub(crate) enum ManagerBehavior {
    /// It makes no changes.
    Observing,
    /// It seeks, in most cases backward.
    Seeking,
    /// It sets one of these filters.
    Updating(Vec<Filter>),
    /// It deletes and recreates the subscription.
    Recreating,
}

/// A subscription's id and filters, shared by its manager and its subscribers.
#[derive(Debug)]
pub(crate) struct ManagedSubscription {
    pub(crate) id: &'static str,
    /// The filter of each known generation, and the filter that is in force or that a pending update sets.
    filters: Mutex<(BTreeMap<u64, Filter>, Filter)>,
}

impl ManagedSubscription {
    pub(crate) fn new(id: &'static str, filter: Filter) -> Self {
        Self { id, filters: Mutex::new((BTreeMap::new(), filter)) }
    }

    /// The filter of a generation's streams.
    pub(crate) fn filter_at(&self, generation: u64) -> Filter {
        let (known, latest) = &*lock(&self.filters);
        // A subscriber can receive a new generation before the manager does: that generation is the pending update's.
        known.get(&generation).unwrap_or(latest).clone()
    }

    fn set_pending(&self, filter: Filter) {
        lock(&self.filters).1 = filter;
    }

    fn set_generation(&self, generation: u64, filter: Filter) {
        lock(&self.filters).0.insert(generation, filter);
    }
}

/// The manager of one subscription. Its connection has no network faults.
pub(crate) struct SubscriptionManager {
    pub(crate) subscription: Arc<ManagedSubscription>,
    pub(crate) behavior: ManagerBehavior,
    pub(crate) server: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) recorder: Arc<Recorder>,
}

impl SubscriptionManager {
    /// Creates the subscription, or reads it if it exists. Subscribers can start after that.
    pub(crate) async fn set_up(&mut self) {
        let mut channel = None;
        let start = if self.random.bool() { Start::Earliest } else { Start::Latest };
        self.create(&mut channel, start).await;
        if let Completion::Ok { generation: Some(generation), filter, .. } =
            self.retry(&mut channel, OperationKind::Get).await
        {
            self.subscription.set_pending(filter.clone());
            self.subscription.set_generation(generation, filter);
        }
    }

    /// Reads and changes the subscription until publishing stops, then polls it until its position reaches the target.
    pub(crate) async fn run(mut self) {
        let mut channel = None;
        let stop = self.recorder.stop_publishing.clone();
        let mut pause = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = Duration::from_millis(self.random.u64(OPERATION_INTERVAL_MILLIS));
            let recorder = Arc::clone(&self.recorder);
            // Not during a backup: the checker could not decide whether the backup contains the change.
            let _no_backup = recorder.subscription_changes.read().await;
            if self.random.u8(0..3) == 0 {
                self.change(&mut channel).await;
            } else {
                self.try_once(&mut channel, OperationKind::Get).await;
            }
        }
        let mut target = self.recorder.target.subscribe();
        let target = match self.recorder.abort.run_until_cancelled(target.wait_for(Option::is_some)).await {
            Some(Ok(target)) => target.expect("wait_for returned a set target"),
            Some(Err(_)) | None => return,
        };
        while !self.recorder.abort.is_cancelled() {
            match self.try_once(&mut channel, OperationKind::Get).await {
                Completion::Ok { position, .. } if position.sequence >= target => return,
                Completion::Ok { .. } | Completion::Info | Completion::Deleted | Completion::Fail(_) => {}
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn create(&mut self, channel: &mut Option<Channel>, start: Start) {
        let filter = self.subscription.filter_at(0);
        match self.retry(channel, OperationKind::Create { filter: filter.clone(), start }).await {
            Completion::Ok { generation, .. } => {
                self.subscription.set_generation(generation.unwrap_or(1), filter)
            }
            Completion::Fail(_) | Completion::Info | Completion::Deleted => {}
        }
    }

    async fn change(&mut self, channel: &mut Option<Channel>) {
        match self.behavior.clone() {
            ManagerBehavior::Observing => {}
            ManagerBehavior::Seeking => {
                // The newest of four cursors: the events after the subscription's position are retained, and must
                // stay few.
                let positions = (0..4).filter_map(|_| self.recorder.random_cursor(&mut self.random));
                let newest = positions.max_by_key(|(cursor, _)| cursor.sequence);
                let start = match (newest, self.random.u8(0..6)) {
                    (Some((cursor, _)), 1..) => Start::After(cursor, CursorOrigin::EarlierEvent),
                    (Some((_, received)), 0) => Start::Since(received),
                    (None, _) => Start::Earliest,
                };
                self.recorder.count("subscriptions sought");
                self.retry(channel, OperationKind::Seek(start)).await;
            }
            ManagerBehavior::Updating(filters) => {
                let filter = self.random.choice(&filters).expect("the list of filters is not empty").clone();
                self.subscription.set_pending(filter.clone());
                self.recorder.count("subscriptions updated");
                if let Completion::Ok { generation: Some(generation), .. } =
                    self.retry(channel, OperationKind::Update(filter.clone())).await
                {
                    self.subscription.set_generation(generation, filter);
                }
            }
            ManagerBehavior::Recreating => {
                self.recorder.count("subscriptions recreated");
                self.retry(channel, OperationKind::Delete).await;
                let start = match (self.recorder.random_cursor(&mut self.random), self.random.u8(0..3)) {
                    (Some((cursor, _)), 0) => Start::After(cursor, CursorOrigin::EarlierEvent),
                    (_, 1) => Start::Earliest,
                    (Some(_) | None, _) => Start::Latest,
                };
                // The start position may have expired.
                if let Completion::Fail(_) = self
                    .retry(channel, OperationKind::Create { filter: self.subscription.filter_at(0), start })
                    .await
                {
                    self.create(channel, Start::Earliest).await;
                }
            }
        }
    }

    /// Retries an operation until a response arrives.
    async fn retry(&mut self, channel: &mut Option<Channel>, kind: OperationKind) -> Completion {
        loop {
            let completion = self.try_once(channel, kind.clone()).await;
            if completion != Completion::Info || self.recorder.abort.is_cancelled() {
                return completion;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn try_once(&self, channel: &mut Option<Channel>, kind: OperationKind) -> Completion {
        if channel.is_none() {
            *channel = connect(self.server).await;
        }
        let Some(channel_now) = channel.clone() else { return Completion::Info };
        let completion = invoke(&self.recorder, channel_now, self.subscription.id, kind, DEADLINE).await;
        if completion == Completion::Info {
            *channel = None;
        }
        completion
    }
}

/// Invokes an operation once and records it.
pub(crate) async fn invoke(
    recorder: &Recorder,
    channel: Channel,
    id: &'static str,
    kind: OperationKind,
    timeout_limit: Duration,
) -> Completion {
    let invoked = recorder.now();
    let completion = match timeout(timeout_limit, request(channel, id.to_owned(), &kind)).await {
        Ok(Ok(completion)) => completion
            .unwrap_or_else(|| Completion::Fail("the response contains an invalid cursor".to_owned())),
        Ok(Err(status)) => failed(&status),
        Err(_) => Completion::Info,
    };
    recorder.count(match (&kind, &completion) {
        (OperationKind::Acknowledge { .. }, Completion::Ok { .. }) => "acknowledgements completed",
        (OperationKind::Acknowledge { .. }, Completion::Info) => "acknowledgements without response",
        (OperationKind::Acknowledge { .. }, Completion::Fail(_) | Completion::Deleted) => {
            "acknowledgements failed"
        }
        (_, Completion::Ok { expired: true, .. }) => "subscriptions reported expired",
        (_, Completion::Ok { .. } | Completion::Deleted) => "other subscription operations completed",
        (_, Completion::Info) => "other subscription operations without response",
        (_, Completion::Fail(_)) => "other subscription operations failed",
    });
    let op = Operation {
        subscription: id,
        kind,
        invoked,
        completed: recorder.now(),
        completion: completion.clone(),
    };
    lock(&recorder.operations).push(op);
    completion
}

/// Sends the request of an operation. Returns `None` if the response is invalid.
async fn request(
    channel: Channel,
    subscription_id: String,
    kind: &OperationKind,
) -> Result<Option<Completion>, Status> {
    let mut client = SubscriptionServiceClient::new(channel);
    let completed = |found: Option<v1::Subscription>| {
        let found = found?;
        let (position, generation) = (found.cursor.parse().ok()?, Some(found.generation));
        let EventFilter { accounts, types, .. } = found.filter.unwrap_or_default();
        Some(Completion::Ok {
            position,
            generation,
            expired: found.expired,
            filter: Filter { accounts, types },
        })
    };
    Ok(match kind {
        OperationKind::Create { filter, start } => {
            use create_subscription_request::Start as First;
            let start = Some(match start {
                Start::Latest | Start::Subscription(_) => First::Position(StartPosition::Latest.into()),
                Start::Earliest => First::Position(StartPosition::Earliest.into()),
                Start::After(cursor, _) => First::AfterCursor(cursor.to_string()),
                Start::Since(time) => First::Since(timestamp(*time)),
            });
            let subscription = v1::Subscription { filter: event_filter(filter), ..Default::default() };
            let request =
                v1::CreateSubscriptionRequest { subscription_id, subscription: Some(subscription), start };
            completed(client.create_subscription(request).await?.into_inner().subscription)
        }
        OperationKind::Update(filter) => {
            let filter = Some(event_filter(filter).unwrap_or_default());
            let subscription = v1::Subscription { subscription_id, filter, ..Default::default() };
            let update_mask = Some(prost_types::FieldMask { paths: vec!["filter".to_owned()] });
            let request = v1::UpdateSubscriptionRequest { subscription: Some(subscription), update_mask };
            completed(client.update_subscription(request).await?.into_inner().subscription)
        }
        OperationKind::Seek(start) => {
            use seek_subscription_request::Target;
            let target = Some(match start {
                Start::Latest | Start::Subscription(_) => Target::Position(StartPosition::Latest.into()),
                Start::Earliest => Target::Position(StartPosition::Earliest.into()),
                Start::After(cursor, _) => Target::AfterCursor(cursor.to_string()),
                Start::Since(time) => Target::Since(timestamp(*time)),
            });
            let request = v1::SeekSubscriptionRequest { subscription_id, target };
            completed(client.seek_subscription(request).await?.into_inner().subscription)
        }
        OperationKind::Delete => {
            client.delete_subscription(v1::DeleteSubscriptionRequest { subscription_id }).await?;
            Some(Completion::Deleted)
        }
        OperationKind::Get => {
            let request = v1::GetSubscriptionRequest { subscription_id };
            completed(client.get_subscription(request).await?.into_inner().subscription)
        }
        OperationKind::Acknowledge { cursor, generation } => {
            let (cursor, generation) = (cursor.to_string(), *generation);
            let request = v1::AcknowledgeRequest { subscription_id, cursor, generation };
            let position = client.acknowledge(request).await?.into_inner().cursor.parse::<Cursor>();
            position.ok().map(|position| Completion::Ok {
                position,
                generation: None,
                expired: false,
                filter: Filter::default(),
            })
        }
    })
}

/// Classifies an error status.
fn failed(status: &Status) -> Completion {
    match status.get_error_details().error_info() {
        Some(info) if status.code() != Code::Unavailable => Completion::Fail(info.reason.clone()),
        // Without a reason, or with UNAVAILABLE: the operation can be retried, and it may have taken effect.
        Some(_) | None => Completion::Info,
    }
}
