//! `SubscriptionService`: manages subscriptions and acknowledges events.

use std::collections::HashMap;

use tonic::{Request, Response, Status, async_trait};

use crate::api::error::status;
use crate::api::request::position::{Position, cursor, position, since};
use crate::api::request::violations::{CHECKED, ViolationReason, Violations};
use crate::api::served::v1::subscription_service_server::SubscriptionService;
use crate::api::{Api, request::filter, request::page_token, request::parse, response::convert};
use crate::domain::{AccountId, Filter, SubscriptionId, TypePattern};
use crate::journal::{self, Journal, Progress, Start, SubscriptionError};
use crate::pb::v1;

const LIST: &str = "SubscriptionService.ListSubscriptions";

/// The default and the maximum number of subscriptions on a page.
const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 100;

#[async_trait]
impl SubscriptionService for Api {
    async fn create_subscription(
        &self,
        request: Request<v1::CreateSubscriptionRequest>,
    ) -> Result<Response<v1::CreateSubscriptionResponse>, Status> {
        create(self, request.into_inner()).await.map(Response::new)
    }

    async fn get_subscription(
        &self,
        request: Request<v1::GetSubscriptionRequest>,
    ) -> Result<Response<v1::GetSubscriptionResponse>, Status> {
        get(self, request.into_inner()).await.map(Response::new)
    }

    async fn list_subscriptions(
        &self,
        request: Request<v1::ListSubscriptionsRequest>,
    ) -> Result<Response<v1::ListSubscriptionsResponse>, Status> {
        list(self, request.into_inner()).await.map(Response::new)
    }

    async fn update_subscription(
        &self,
        request: Request<v1::UpdateSubscriptionRequest>,
    ) -> Result<Response<v1::UpdateSubscriptionResponse>, Status> {
        update(self, request.into_inner()).await.map(Response::new)
    }

    async fn seek_subscription(
        &self,
        request: Request<v1::SeekSubscriptionRequest>,
    ) -> Result<Response<v1::SeekSubscriptionResponse>, Status> {
        seek(self, request.into_inner()).await.map(Response::new)
    }

    async fn delete_subscription(
        &self,
        request: Request<v1::DeleteSubscriptionRequest>,
    ) -> Result<Response<v1::DeleteSubscriptionResponse>, Status> {
        delete(self, request.into_inner()).await.map(Response::new)
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeRequest>,
    ) -> Result<Response<v1::AcknowledgeResponse>, Status> {
        acknowledge(self, request.into_inner()).await.map(Response::new)
    }
}

/// `SubscriptionService.CreateSubscription`.
async fn create(
    api: &Api,
    request: v1::CreateSubscriptionRequest,
) -> Result<v1::CreateSubscriptionResponse, Status> {
    use v1::create_subscription_request::Start as RequestedStart;
    let mut violations = Violations::default();
    let id = id(&request.subscription_id, &mut violations);
    let v1::Subscription { filter, .. } = request.subscription.unwrap_or_default();
    let filter = filter::read("subscription.filter", filter, api.dispatch.accounts(), &mut violations)?;
    let start = match request.start {
        None => Ok(Start::Latest),
        Some(RequestedStart::Position(value)) => Ok(match position(value, &mut violations) {
            None | Some(Position::Latest) => Start::Latest,
            Some(Position::Earliest) => Start::Earliest,
        }),
        Some(RequestedStart::AfterCursor(text)) => cursor("after_cursor", &text).map(Start::After),
        Some(RequestedStart::Since(moment)) => Ok(Start::Since(since(moment, &mut violations))),
    };
    violations.check()?;

    let id = id.expect(CHECKED);
    let created = api.journal.create_subscription(id.clone(), filter, start?).await;
    let subscription =
        to_proto(&api.journal, created.map_err(|error| status::subscription_error(&id, error))?);
    Ok(v1::CreateSubscriptionResponse { subscription: Some(subscription) })
}

/// `SubscriptionService.GetSubscription`.
async fn get(api: &Api, request: v1::GetSubscriptionRequest) -> Result<v1::GetSubscriptionResponse, Status> {
    let id = only_id(&request.subscription_id)?;
    let progress =
        api.journal.subscription(&id).await.map_err(|error| status::subscription_error(&id, error))?;
    Ok(v1::GetSubscriptionResponse { subscription: Some(to_proto(&api.journal, progress)) })
}

/// `SubscriptionService.ListSubscriptions`.
async fn list(
    api: &Api,
    request: v1::ListSubscriptionsRequest,
) -> Result<v1::ListSubscriptionsResponse, Status> {
    let mut violations = Violations::default();
    let size = match request.page_size {
        0 => DEFAULT_PAGE_SIZE,
        size => size,
    };
    if size > MAX_PAGE_SIZE {
        let allowed = format!("must be from 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}");
        violations.add("page_size", ViolationReason::OutOfRange, allowed);
    }
    violations.check()?;
    let after: Option<String> = page_token::decode(LIST, None, &request.page_token)?;
    let after = after.map(|id| id.parse::<SubscriptionId>()).transpose();
    let after = after.map_err(|_| status::page_token_malformed())?;

    // One more than the page has shows whether there is a next page.
    let mut page = api.journal.subscriptions(after.as_ref(), size + 1).await?;
    let more = page.len() > size as usize;
    page.truncate(size as usize);
    let next_page_token = match page.last() {
        Some(last) if more => page_token::encode(LIST, None, &last.subscription.id.as_str()),
        _ => String::new(),
    };
    let subscriptions = page.into_iter().map(|progress| to_proto(&api.journal, progress)).collect();
    Ok(v1::ListSubscriptionsResponse { subscriptions, next_page_token })
}

/// `SubscriptionService.UpdateSubscription`.
async fn update(
    api: &Api,
    request: v1::UpdateSubscriptionRequest,
) -> Result<v1::UpdateSubscriptionResponse, Status> {
    let mut violations = Violations::default();
    let v1::Subscription { subscription_id, filter, .. } = request.subscription.unwrap_or_default();
    let id = parse::required("subscription.subscription_id", &subscription_id, &mut violations);
    if filter.is_none() {
        let problem = "must be given: an empty filter matches all events";
        violations.add("subscription.filter", ViolationReason::Required, problem);
    }
    let filter = filter::read("subscription.filter", filter, api.dispatch.accounts(), &mut violations)?;
    violations.check()?;

    let id: SubscriptionId = id.expect(CHECKED);
    let changed = api.journal.update_subscription(id.clone(), filter).await;
    let subscription =
        to_proto(&api.journal, changed.map_err(|error| status::subscription_error(&id, error))?);
    Ok(v1::UpdateSubscriptionResponse { subscription: Some(subscription) })
}

/// `SubscriptionService.SeekSubscription`.
async fn seek(
    api: &Api,
    request: v1::SeekSubscriptionRequest,
) -> Result<v1::SeekSubscriptionResponse, Status> {
    use v1::seek_subscription_request::Target as RequestedStart;
    let mut violations = Violations::default();
    let id = id(&request.subscription_id, &mut violations);
    let start = match request.target {
        None => {
            let allowed = "must be given: `position`, `after_cursor` or `since`";
            violations.add("target", ViolationReason::Required, allowed);
            Ok(None)
        }
        Some(RequestedStart::Position(value)) => Ok(match position(value, &mut violations) {
            None => {
                let allowed = "must be given: START_POSITION_LATEST or START_POSITION_EARLIEST";
                violations.add("position", ViolationReason::Required, allowed);
                None
            }
            Some(Position::Latest) => Some(Start::Latest),
            Some(Position::Earliest) => Some(Start::Earliest),
        }),
        Some(RequestedStart::AfterCursor(text)) => {
            cursor("after_cursor", &text).map(|at| Some(Start::After(at)))
        }
        Some(RequestedStart::Since(moment)) => Ok(Some(Start::Since(since(moment, &mut violations)))),
    };
    violations.check()?;

    let (id, start) = (id.expect(CHECKED), start?.expect(CHECKED));
    let changed = api.journal.seek_subscription(id.clone(), start).await;
    let subscription =
        to_proto(&api.journal, changed.map_err(|error| status::subscription_error(&id, error))?);
    Ok(v1::SeekSubscriptionResponse { subscription: Some(subscription) })
}

/// `SubscriptionService.DeleteSubscription`.
async fn delete(
    api: &Api,
    request: v1::DeleteSubscriptionRequest,
) -> Result<v1::DeleteSubscriptionResponse, Status> {
    let id = only_id(&request.subscription_id)?;
    let deleted = api.journal.delete_subscription(id.clone()).await;
    deleted.map_err(|error| status::subscription_error(&id, error))?;
    Ok(v1::DeleteSubscriptionResponse {})
}

/// `SubscriptionService.Acknowledge`.
async fn acknowledge(api: &Api, request: v1::AcknowledgeRequest) -> Result<v1::AcknowledgeResponse, Status> {
    let mut violations = Violations::default();
    let id = id(&request.subscription_id, &mut violations);
    if request.cursor.is_empty() {
        violations.add("cursor", ViolationReason::Required, "must be given");
    }
    violations.check()?;

    let id = id.expect(CHECKED);
    let up_to = cursor("cursor", &request.cursor)?;
    let generation = Some(request.generation).filter(|&generation| generation > 0);
    let acknowledged = api.journal.acknowledge(id.clone(), up_to, generation).await;
    let cursor = acknowledged.map_err(|error| match error {
        SubscriptionError::Journal(journal::Error::ForeignCursor) => status::cursor_malformed("cursor"),
        error => status::subscription_error(&id, error),
    })?;
    Ok(v1::AcknowledgeResponse { cursor: cursor.to_string() })
}

/// Parses the field `subscription_id`.
pub(in crate::api) fn id(text: &str, violations: &mut Violations) -> Option<SubscriptionId> {
    parse::required("subscription_id", text, violations)
}

/// Parses the field `subscription_id` of a request that has no other field.
fn only_id(text: &str) -> Result<SubscriptionId, Status> {
    let mut violations = Violations::default();
    let id = id(text, &mut violations);
    violations.check()?;
    Ok(id.expect(CHECKED))
}

fn to_proto(journal: &Journal, progress: Progress) -> v1::Subscription {
    let Progress { subscription, lag_events, lag_time, expired } = progress;
    let Filter { accounts, types } = &subscription.filter;
    let filter = (subscription.filter != Filter::default()).then(|| v1::EventFilter {
        accounts: accounts.iter().map(AccountId::to_string).collect(),
        types: types.iter().map(TypePattern::to_string).collect(),
        customers: Vec::new(),
    });
    v1::Subscription {
        subscription_id: subscription.id.to_string(),
        filter,
        labels: HashMap::new(),
        cursor: journal.cursor(subscription.sequence).to_string(),
        generation: subscription.generation,
        create_time: Some(convert::timestamp(subscription.create_time)),
        update_time: Some(convert::timestamp(subscription.update_time)),
        acknowledge_time: subscription.acknowledge_time.map(convert::timestamp),
        lag_events: Some(lag_events),
        lag_time: Some(convert::duration(lag_time)),
        expired,
    }
}
