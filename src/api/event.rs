//! `EventService`: reads what a subscriber wants; `stream` does it.

use std::time::Duration;

use tonic::{Request, Response, Status, async_trait};

use super::served::v1::event_service_server::EventService;
use super::status;
use super::stream::{EventStream, Wanted};
use super::violations::{Fault, Violations};
use super::{Api, parse};
use crate::domain::{AccountId, Cursor, EventType};
use crate::journal::Start;
use crate::pb::v1::{EventFilter, StartPosition, SubscribeRequest, subscribe_request};
use crate::provider::Accounts;

const HEARTBEAT: Duration = Duration::from_secs(15);

/// The most accounts, and the most types, of one filter.
const FILTER_ITEMS: usize = 256;

#[async_trait]
impl EventService for Api {
    type SubscribeStream = EventStream;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let filter = request.filter.unwrap_or_default();
        let accounts = accounts(&filter, self.dispatch.accounts(), &mut violations)?;
        let types = types(&filter, &mut violations);
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
        violations.check()?;

        let wanted = Wanted {
            accounts,
            types,
            heartbeat_interval: heartbeat_interval.unwrap_or(HEARTBEAT),
            idle_timeout: idle_timeout.filter(|timeout| !timeout.is_zero()),
            max_events: Some(request.max_events).filter(|&most| most > 0),
            include_raw: request.include_raw,
        };
        let start = start?;
        if self.stopping.is_cancelled() {
            return Err(status::stopping());
        }
        let reader = self.journal.read(start, wanted.include_raw)?;
        Ok(Response::new(EventStream::new(&self.journal, reader, wanted, self.stopping.clone())))
    }
}

/// The accounts of a filter; none means all.
fn accounts(
    filter: &EventFilter,
    known: &Accounts,
    violations: &mut Violations,
) -> Result<Vec<AccountId>, Status> {
    let mut accounts = Vec::new();
    for (at, id) in
        parse::few("filter.accounts", &filter.accounts, FILTER_ITEMS, violations).iter().enumerate()
    {
        let account = parse::account(&format!("filter.accounts[{at}]"), id, known, violations)?;
        accounts.extend(account.map(|account| account.id().clone()));
    }
    Ok(accounts)
}

/// The types of a filter; none means all.
fn types(filter: &EventFilter, violations: &mut Violations) -> Vec<EventType> {
    let mut types = Vec::new();
    for (at, word) in parse::few("filter.types", &filter.types, FILTER_ITEMS, violations).iter().enumerate() {
        let named = |event_type: &EventType| match word.strip_suffix('*') {
            Some(first) => first.ends_with('.') && event_type.as_str().starts_with(first),
            None => event_type.as_str() == word,
        };
        let found: Vec<EventType> = EventType::ALL.into_iter().filter(named).collect();
        if found.is_empty() {
            let known = EventType::ALL.map(EventType::as_str).join("`, `");
            let allowed = format!("must be one of `{known}`, or all under a first word, like `message.*`");
            violations.add(format!("filter.types[{at}]"), Fault::UnknownValue, allowed);
        }
        types.extend(found);
    }
    types
}

/// Where to start. A cursor that cannot be read has a reason of its own, told when nothing else is wrong.
fn start(start: Option<subscribe_request::Start>, violations: &mut Violations) -> Result<Start, Status> {
    match start {
        None => Ok(Start::Latest),
        Some(subscribe_request::Start::AfterCursor(cursor)) => {
            cursor.parse::<Cursor>().map(Start::After).map_err(|_| status::cursor_malformed("after_cursor"))
        }
        Some(subscribe_request::Start::Position(position)) => match StartPosition::try_from(position) {
            Ok(StartPosition::Unspecified | StartPosition::Latest) => Ok(Start::Latest),
            Ok(StartPosition::Earliest) => Ok(Start::Earliest),
            Err(_) => {
                let allowed = "must be START_POSITION_LATEST or START_POSITION_EARLIEST";
                violations.add("position", Fault::UnknownValue, allowed);
                Ok(Start::Latest)
            }
        },
    }
}
