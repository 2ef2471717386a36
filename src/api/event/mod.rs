//! `EventService`: parses requests. `stream` and the journal execute them.

pub(in crate::api) mod stream;

use std::time::Duration;

use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::event::stream::{EventStream, SubscribeOptions, WatchedSubscription};
use crate::api::request::position::{Position, cursor, position, since};
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::request::{filter, paging, parse};
use crate::api::{Api, EncodedList, subscription};
use crate::domain::{Filter, SubscriptionId};
use crate::journal::{self, FollowedSubscription, ListStart, OnExpired, PageLimits, Start};
use crate::pb::v1::{
    ExpiredPolicy, ListEventsRequest, ListEventsResponse, SubscribeRequest, list_events_request,
    subscribe_request,
};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// `EventService.Subscribe`.
pub(in crate::api) async fn subscribe(
    api: &Api,
    call: Call<SubscribeRequest>,
) -> Result<EventStream, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let filter = match (&request.start, request.filter) {
        (Some(subscribe_request::Start::SubscriptionId(_)), Some(_)) => {
            violations.add(
                "filter",
                ViolationReason::Mismatch,
                "must be absent: a subscription has its own filter",
            );
            Filter::default()
        }
        (_, filter) => filter::read("filter", filter, api.dispatch.accounts(), &mut violations)?,
    };
    let heartbeat_interval = parse::duration(
        "heartbeat_interval",
        request.heartbeat_interval,
        Duration::from_secs(1)..=Duration::from_secs(300),
        &mut violations,
    );
    let idle_timeout = parse::duration(
        "idle_timeout",
        request.idle_timeout,
        Duration::ZERO..=Duration::from_secs(24 * 60 * 60),
        &mut violations,
    );
    let start = start(request.start, &mut violations);
    let on_expired = on_expired(request.expired_policy, &mut violations);
    violations.check()?;

    let options = SubscribeOptions {
        filter,
        heartbeat_interval: heartbeat_interval.unwrap_or(HEARTBEAT),
        idle_timeout: idle_timeout.filter(|timeout| !timeout.is_zero()),
        max_events: Some(request.max_events).filter(|&max| max > 0),
        include_raw: request.include_raw,
    };
    let start = start?;
    if api.stopping.is_cancelled() {
        return Err(status::stopping());
    }
    let (reader, options, watched) = match start {
        StreamStart::Position(start) => {
            (api.journal.read(start, on_expired, options.include_raw).await?, options, None)
        }
        StreamStart::Subscription(id) => {
            let following = api.journal.follow(&id, on_expired, options.include_raw).await;
            let FollowedSubscription { subscription, reader, watch } =
                following.map_err(|error| status::subscription_error(&id, error))?;
            let watched = WatchedSubscription::new(subscription.generation, watch);
            (reader, SubscribeOptions { filter: subscription.filter, ..options }, Some(watched))
        }
    };
    let stopping = api.stopping.clone();
    Ok(EventStream::new(&api.journal, reader, options, watched, stopping))
}

/// `EventService.ListEvents`.
pub(in crate::api) async fn list_events(
    api: &Api,
    call: Call<ListEventsRequest>,
) -> Result<EncodedList, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let filter = filter::read("filter", request.filter, api.dispatch.accounts(), &mut violations)?;
    let list_start = list_start(request.anchor, &mut violations);
    let events = paging::page_size(request.page_size, &mut violations);
    violations.check()?;

    let list_start = list_start?;
    let limits = PageLimits { events, bytes: paging::MAX_PAGE_BYTES };
    let listed = api.journal.list(list_start, limits, request.include_raw, |event| {
        filter.matches(&event.account, event.event_type, &event.customer)
    });
    let page = listed.await.map_err(|error| match (error, list_start) {
        (journal::Error::ForeignCursor, ListStart::Before(_)) => status::cursor_malformed("before_cursor"),
        (error, _) => error.into(),
    })?;
    let rest = ListEventsResponse {
        events: Vec::new(),
        next_cursor: page.next.to_string(),
        previous_cursor: page.previous.to_string(),
        reached_newest: page.reached_newest,
        reached_oldest: page.reached_oldest,
    };
    let events = page.events.into_iter().map(|event| (event.event, event.raw)).collect();
    Ok(EncodedList::new(events, &rest))
}

/// Where a stream starts.
enum StreamStart {
    Position(Start),
    Subscription(SubscriptionId),
}

/// Parses the start. A malformed cursor has its own reason, so it is reported only if the request has no violation.
fn start(
    start: Option<subscribe_request::Start>,
    violations: &mut Violations,
) -> Result<StreamStart, Status> {
    Ok(StreamStart::Position(match start {
        None => Start::Latest,
        Some(subscribe_request::Start::AfterCursor(text)) => Start::After(cursor("after_cursor", &text)?),
        Some(subscribe_request::Start::Position(named)) => match position(named, violations) {
            None | Some(Position::Latest) => Start::Latest,
            Some(Position::Earliest) => Start::Earliest,
        },
        Some(subscribe_request::Start::Since(moment)) => Start::Since(since(moment, violations)),
        Some(subscribe_request::Start::SubscriptionId(text)) => {
            let id = subscription::id(&text, violations);
            return Ok(id.map_or(StreamStart::Position(Start::Latest), StreamStart::Subscription));
        }
    }))
}

/// Parses which part of the journal to list. Errors are as in [`start`].
fn list_start(
    list_start: Option<list_events_request::Anchor>,
    violations: &mut Violations,
) -> Result<ListStart, Status> {
    match list_start {
        None => Ok(ListStart::Newest),
        Some(list_events_request::Anchor::AfterCursor(text)) => {
            cursor("after_cursor", &text).map(ListStart::After)
        }
        Some(list_events_request::Anchor::BeforeCursor(text)) => {
            cursor("before_cursor", &text).map(ListStart::Before)
        }
        Some(list_events_request::Anchor::Position(named)) => Ok(match position(named, violations) {
            None | Some(Position::Latest) => ListStart::Newest,
            Some(Position::Earliest) => ListStart::Oldest,
        }),
        Some(list_events_request::Anchor::Since(moment)) => Ok(ListStart::Since(since(moment, violations))),
    }
}

/// Parses what happens to a stream whose next events were trimmed.
fn on_expired(policy: i32, violations: &mut Violations) -> OnExpired {
    match ExpiredPolicy::try_from(policy) {
        Ok(ExpiredPolicy::Unspecified | ExpiredPolicy::Fail) => OnExpired::Fail,
        Ok(ExpiredPolicy::SkipWithGap) => OnExpired::Skip,
        Err(_) => {
            let allowed = "must be EXPIRED_POLICY_FAIL or EXPIRED_POLICY_SKIP_WITH_GAP";
            violations.add("expired_policy", ViolationReason::UnknownValue, allowed);
            OnExpired::Fail
        }
    }
}
