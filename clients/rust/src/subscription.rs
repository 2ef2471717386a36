//! Named subscriptions: creating one, or changing it to the wanted state.

use prost_types::FieldMask;
use tokio::time::Instant;
use tonic::Code;

use crate::call::DEFAULT_RETRY_TIME;
use crate::v1::{
    CreateSubscriptionRequest, EventFilter, GetSubscriptionRequest, Subscription, UpdateSubscriptionRequest,
};
use crate::{Client, Error, Reason, parse_reason};

impl Client {
    /// Makes the server store the named subscription of the request, and returns it. Call it when the program starts.
    ///
    /// If no subscription of this id exists, the client creates one at the request's start position. If one exists with
    /// another filter or other labels, the client changes these and keeps the position; open streams of the subscription
    /// then continue with the new filter. An absent filter means all events, and absent labels mean none.
    ///
    /// All steps together may take the client's [`timeout`](crate::Builder::timeout), or 60 seconds without one. Every step
    /// is retried after UNAVAILABLE, because a repeated step changes nothing.
    ///
    /// # Errors
    ///
    /// Returns the failure of the last attempt, or DEADLINE_EXCEEDED when the time is up.
    pub async fn ensure_subscription(
        &self,
        request: CreateSubscriptionRequest,
    ) -> Result<Subscription, Error> {
        let deadline = Instant::now() + self.timeout.unwrap_or(DEFAULT_RETRY_TIME);
        loop {
            match self.call_repeatable(request.clone(), deadline).await {
                Err(error) if error.code() == Code::AlreadyExists => {}
                created => return Ok(created?.subscription.unwrap_or_default()),
            }
            let wanted = Subscription {
                subscription_id: request.subscription_id.clone(),
                ..request.subscription.clone().unwrap_or_default()
            };
            match self.update_subscription(wanted, deadline).await {
                // Another client has deleted the subscription meanwhile.
                Err(error) if parse_reason(error.reason()) == Reason::SubscriptionNotFound => {}
                stored => return stored,
            }
        }
    }

    /// Changes the filter and the labels of an existing subscription if they differ from the wanted ones.
    async fn update_subscription(
        &self,
        wanted: Subscription,
        deadline: Instant,
    ) -> Result<Subscription, Error> {
        let get = GetSubscriptionRequest { subscription_id: wanted.subscription_id.clone() };
        let stored = self.call_repeatable(get, deadline).await?.subscription.unwrap_or_default();
        let mut paths = Vec::new();
        if sorted(stored.filter.as_ref()) != sorted(wanted.filter.as_ref()) {
            paths.push("filter".to_owned());
        }
        if stored.labels != wanted.labels {
            paths.push("labels".to_owned());
        }
        if paths.is_empty() {
            return Ok(stored);
        }
        let update =
            UpdateSubscriptionRequest { subscription: Some(wanted), update_mask: Some(FieldMask { paths }) };
        Ok(self.call_repeatable(update, deadline).await?.subscription.unwrap_or_default())
    }
}

/// The filter with sorted lists, because the order of their values has no meaning.
fn sorted(filter: Option<&EventFilter>) -> EventFilter {
    // Names every field, so a new one cannot be left unsorted.
    let EventFilter { mut accounts, mut types, mut customers } = filter.cloned().unwrap_or_default();
    for values in [&mut accounts, &mut types, &mut customers] {
        values.sort_unstable();
    }
    EventFilter { accounts, types, customers }
}
