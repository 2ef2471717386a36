//! `EventService`: reads what a reader of the journal wants; `stream` and the journal do it.

use std::time::Duration;

use tonic::{Request, Response, Status, async_trait};

use super::served::v1::event_service_server::EventService;
use super::status;
use super::stream::{EventStream, Wanted};
use super::violations::{Fault, Violations};
use super::{Api, EncodedList, filter, parse};
use crate::domain::{Cursor, UnixMillis};
use crate::journal::{self, Bounds, Gone, Place, Start};
use crate::pb::v1::{
    ExpiredPolicy, ListEventsRequest, ListEventsResponse, StartPosition, SubscribeRequest,
    list_events_request, subscribe_request,
};

const HEARTBEAT: Duration = Duration::from_secs(15);

/// How many events a page holds when nothing is said, and the most that it may.
const PAGE_EVENTS: u32 = 100;
const MOST_PAGE_EVENTS: u32 = 1_000;

/// The most bytes of events in a page: clients take messages of 4 MiB, and the page's cursors want room too.
const PAGE_BYTES: usize = (4 << 20) - 1_024;

#[async_trait]
impl EventService for Api {
    type SubscribeStream = EventStream;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let filter = filter::read(request.filter, self.dispatch.accounts(), &mut violations)?;
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
        let gone = gone(request.expired_policy, &mut violations);
        violations.check()?;

        let wanted = Wanted {
            filter,
            heartbeat_interval: heartbeat_interval.unwrap_or(HEARTBEAT),
            idle_timeout: idle_timeout.filter(|timeout| !timeout.is_zero()),
            max_events: Some(request.max_events).filter(|&most| most > 0),
            include_raw: request.include_raw,
        };
        let start = start?;
        if self.stopping.is_cancelled() {
            return Err(status::stopping());
        }
        let reader = self.journal.read(start, gone, wanted.include_raw).await?;
        Ok(Response::new(EventStream::new(&self.journal, reader, wanted, self.stopping.clone())))
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<EncodedList>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let filter = filter::read(request.filter, self.dispatch.accounts(), &mut violations)?;
        let place = place(request.place, &mut violations);
        let events = match request.page_size {
            0 => PAGE_EVENTS,
            events => events,
        };
        if events > MOST_PAGE_EVENTS {
            let allowed = format!("must be from 1 to {MOST_PAGE_EVENTS}, or 0 for {PAGE_EVENTS}");
            violations.add("page_size", Fault::OutOfRange, allowed);
        }
        violations.check()?;

        let place = place?;
        let bounds = Bounds { events: events as usize, bytes: PAGE_BYTES };
        let listed = self.journal.list(place, bounds, request.include_raw, |event| {
            filter.matches(&event.account, event.event_type)
        });
        let piece = listed.await.map_err(|error| match (error, place) {
            (journal::Error::ForeignCursor, Place::Before(_)) => status::cursor_malformed("before_cursor"),
            (error, _) => error.into(),
        })?;
        let rest = ListEventsResponse {
            events: Vec::new(),
            next_cursor: piece.next.to_string(),
            previous_cursor: piece.previous.to_string(),
            reached_newest: piece.reached_newest,
            reached_oldest: piece.reached_oldest,
        };
        let events = piece.events.into_iter().map(|event| (event.event, event.raw)).collect();
        Ok(Response::new(EncodedList::new(events, &rest)))
    }

    async fn create_subscription(
        &self,
        _: Request<crate::pb::v1::CreateSubscriptionRequest>,
    ) -> Result<Response<crate::pb::v1::CreateSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn get_subscription(
        &self,
        _: Request<crate::pb::v1::GetSubscriptionRequest>,
    ) -> Result<Response<crate::pb::v1::GetSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_subscriptions(
        &self,
        _: Request<crate::pb::v1::ListSubscriptionsRequest>,
    ) -> Result<Response<crate::pb::v1::ListSubscriptionsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn update_subscription(
        &self,
        _: Request<crate::pb::v1::UpdateSubscriptionRequest>,
    ) -> Result<Response<crate::pb::v1::UpdateSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn seek_subscription(
        &self,
        _: Request<crate::pb::v1::SeekSubscriptionRequest>,
    ) -> Result<Response<crate::pb::v1::SeekSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn delete_subscription(
        &self,
        _: Request<crate::pb::v1::DeleteSubscriptionRequest>,
    ) -> Result<Response<crate::pb::v1::DeleteSubscriptionResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn acknowledge(
        &self,
        _: Request<crate::pb::v1::AcknowledgeRequest>,
    ) -> Result<Response<crate::pb::v1::AcknowledgeResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}

/// Where to start. A cursor that cannot be read has a reason of its own, told when nothing else is wrong.
fn start(start: Option<subscribe_request::Start>, violations: &mut Violations) -> Result<Start, Status> {
    match start {
        None => Ok(Start::Latest),
        Some(subscribe_request::Start::AfterCursor(text)) => cursor("after_cursor", &text).map(Start::After),
        Some(subscribe_request::Start::Position(named)) => Ok(match position(named, violations) {
            Position::Latest => Start::Latest,
            Position::Earliest => Start::Earliest,
        }),
        Some(subscribe_request::Start::Since(moment)) => Ok(Start::Since(since(moment, violations))),
        Some(subscribe_request::Start::Subscription(_)) => Err(Status::unimplemented("not yet")),
    }
}

/// Which piece of the journal; as [`start`].
fn place(place: Option<list_events_request::Place>, violations: &mut Violations) -> Result<Place, Status> {
    match place {
        None => Ok(Place::Newest),
        Some(list_events_request::Place::AfterCursor(text)) => {
            cursor("after_cursor", &text).map(Place::After)
        }
        Some(list_events_request::Place::BeforeCursor(text)) => {
            cursor("before_cursor", &text).map(Place::Before)
        }
        Some(list_events_request::Place::Position(named)) => Ok(match position(named, violations) {
            Position::Latest => Place::Newest,
            Position::Earliest => Place::Oldest,
        }),
        Some(list_events_request::Place::Since(moment)) => Ok(Place::Since(since(moment, violations))),
    }
}

fn cursor(field: &str, text: &str) -> Result<Cursor, Status> {
    text.parse().map_err(|_| status::cursor_malformed(field))
}

/// A place that is named.
enum Position {
    Latest,
    Earliest,
}

fn position(named: i32, violations: &mut Violations) -> Position {
    match StartPosition::try_from(named) {
        Ok(StartPosition::Unspecified | StartPosition::Latest) => Position::Latest,
        Ok(StartPosition::Earliest) => Position::Earliest,
        Err(_) => {
            let allowed = "must be START_POSITION_LATEST or START_POSITION_EARLIEST";
            violations.add("position", Fault::UnknownValue, allowed);
            Position::Latest
        }
    }
}

/// The seconds of the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS_OF_MILLI: u32 = 1_000_000;

/// The first full millisecond that is not before the moment: receive times have no finer ones.
fn since(moment: prost_types::Timestamp, violations: &mut Violations) -> UnixMillis {
    match u32::try_from(moment.nanos) {
        Ok(nanos) if nanos < 1_000 * NANOS_OF_MILLI && SECONDS.contains(&moment.seconds) => {
            UnixMillis(moment.seconds * 1_000 + i64::from(nanos.div_ceil(NANOS_OF_MILLI)))
        }
        _ => {
            let allowed = "must be a time of the years 1 to 9999, with nanos from 0 to 999,999,999";
            violations.add("since", Fault::Malformed, allowed);
            UnixMillis(0)
        }
    }
}

/// What becomes of a reader whose events are gone.
fn gone(policy: i32, violations: &mut Violations) -> Gone {
    match ExpiredPolicy::try_from(policy) {
        Ok(ExpiredPolicy::Unspecified | ExpiredPolicy::Fail) => Gone::Fail,
        Ok(ExpiredPolicy::SkipWithGap) => Gone::Skip,
        Err(_) => {
            let allowed = "must be EXPIRED_POLICY_FAIL or EXPIRED_POLICY_SKIP_WITH_GAP";
            violations.add("expired_policy", Fault::UnknownValue, allowed);
            Gone::Fail
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_first_millisecond_that_is_not_before_it() {
        let read = |seconds, nanos| {
            let mut violations = Violations::default();
            let moment = since(prost_types::Timestamp { seconds, nanos }, &mut violations);
            violations.check().map(|()| moment.0).ok()
        };
        assert_eq!(read(0, 0), Some(0));
        assert_eq!(read(1, 1), Some(1_001));
        assert_eq!(read(1, 1_000_000), Some(1_001));
        assert_eq!(read(1, 999_999_999), Some(2_000));
        assert_eq!(read(-1, 500_000_000), Some(-500));
        assert_eq!(read(*SECONDS.start(), 0), Some(-62_135_596_800_000));
        assert_eq!(read(*SECONDS.end(), 999_999_999), Some(253_402_300_800_000));
        for (seconds, nanos) in
            [(0, -1), (0, 1_000_000_000), (SECONDS.end() + 1, 0), (SECONDS.start() - 1, 0), (i64::MAX, 0)]
        {
            assert_eq!(read(seconds, nanos), None, "{seconds} {nanos}");
        }
    }
}
