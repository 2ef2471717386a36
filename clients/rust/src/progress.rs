//! The position of an event stream across its connections: the part of the state that no connection affects.

use std::time::Duration;

use backon::ExponentialBackoff;
use tonic::Code;

use crate::call::{MAX_SERVER_DELAY, backoff};
use crate::v1::subscribe_request::Start;
use crate::v1::subscribe_response::Response;
use crate::v1::{
    AcknowledgeRequest, ClosingReason, ExpiredPolicy, SubscribeClosing, SubscribeRequest, SubscribeStarted,
};
use crate::{Error, Reason, StreamItem, parse_reason};

/// The heartbeat interval if the server does not report one.
const DEFAULT_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// The longest delay before a stream is reopened, in addition to the delay that the server requests.
const MAX_REOPEN_DELAY: Duration = Duration::from_secs(5);

/// How many times in a row a stream may be reset before it delivered anything. A response that the client cannot decode
/// looks like a reset, and would recur on every stream.
const MAX_RESETS: u32 = 5;

/// A stream that broke, and when the next one is opened.
#[derive(Debug)]
pub(crate) struct Reopen {
    pub(crate) cause: Error,
    /// How many streams in a row broke before they started, or one if this one had started.
    pub(crate) failures: u32,
    pub(crate) delay: Duration,
}

#[derive(Debug)]
pub(crate) struct Progress {
    request: SubscribeRequest,
    /// All events up to this cursor are handled. It is empty until the stream has a position.
    cursor: String,
    /// The cursor of the last item that the program received and has not handled yet.
    in_flight: Option<String>,
    delivered_events: u64,
    /// The generation of a named subscription, as the current stream reported it.
    generation: u64,
    /// For a named subscription: the position that the server has not confirmed yet.
    pending: Option<AcknowledgeRequest>,
    closing: Option<SubscribeClosing>,
    backoff: ExponentialBackoff,
    /// How many streams in a row were reset before they delivered anything.
    resets: u32,
    /// How many streams in a row broke before they started.
    failures: u32,
}

impl Progress {
    pub(crate) fn new(request: SubscribeRequest) -> Self {
        let cursor = match &request.start {
            Some(Start::AfterCursor(cursor)) => cursor.clone(),
            _ => String::new(),
        };
        Self {
            request,
            cursor,
            in_flight: None,
            delivered_events: 0,
            generation: 0,
            pending: None,
            closing: None,
            backoff: backoff(),
            resets: 0,
            failures: 0,
        }
    }

    pub(crate) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Whether `max_events` events were delivered.
    pub(crate) fn is_complete(&self) -> bool {
        self.request.max_events > 0 && self.delivered_events >= self.request.max_events
    }

    /// The request that resumes at the current position.
    pub(crate) fn request(&self) -> SubscribeRequest {
        let mut request = self.request.clone();
        request.max_events = request.max_events.saturating_sub(self.delivered_events);
        if !self.cursor.is_empty() && self.subscription_id().is_none() {
            request.start = Some(Start::AfterCursor(self.cursor.clone()));
        }
        request
    }

    /// The id of the named subscription.
    pub(crate) fn subscription_id(&self) -> Option<&String> {
        match &self.request.start {
            Some(Start::SubscriptionId(id)) => Some(id),
            _ => None,
        }
    }

    /// Records that a stream has started. Returns how long the stream may be silent.
    pub(crate) fn start(&mut self, started: SubscribeStarted) -> Duration {
        self.backoff = backoff();
        self.failures = 0;
        self.generation = started.generation;
        // Only a stream that starts at a time reports the gap before its first event. Until that gap has arrived, each
        // new stream must start at the same time.
        let gap_may_follow = self.cursor.is_empty()
            && matches!(self.request.start, Some(Start::Since(_)))
            && self.request.expired_policy() == ExpiredPolicy::SkipWithGap
            && started.cursor == started.oldest_cursor;
        if !gap_may_follow && !started.cursor.is_empty() {
            self.cursor = started.cursor;
        }
        let interval = started.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
        2 * interval.filter(|interval| !interval.is_zero()).unwrap_or(DEFAULT_HEARTBEAT_INTERVAL)
    }

    /// Records a response other than `started`. Returns the item for the program, if the response contains one.
    pub(crate) fn receive(&mut self, response: Response) -> Option<StreamItem> {
        match response {
            Response::Event(event) => {
                self.resets = 0;
                self.delivered_events += 1;
                self.in_flight = Some(event.cursor.clone());
                Some(StreamItem::Event(event))
            }
            Response::Gap(gap) => {
                self.resets = 0;
                self.in_flight = Some(gap.resume_cursor.clone());
                Some(StreamItem::Gap(gap))
            }
            Response::Heartbeat(heartbeat) => {
                self.resets = 0;
                self.advance(heartbeat.cursor);
                None
            }
            Response::Closing(closing) => {
                match closing.reason() {
                    // The pending position belongs to the subscription as it was before the change.
                    ClosingReason::SubscriptionChanged | ClosingReason::SubscriptionDeleted => {
                        self.pending = None;
                    }
                    _ => self.advance(closing.cursor.clone()),
                }
                self.closing = Some(closing);
                None
            }
            Response::Started(_) => None,
        }
    }

    /// Marks the last delivered item as handled.
    pub(crate) fn finish(&mut self) {
        if let Some(cursor) = self.in_flight.take() {
            self.advance(cursor);
        }
    }

    /// Marks the last delivered item as handled, if it has this cursor.
    pub(crate) fn finish_at(&mut self, cursor: &str) {
        if self.in_flight.as_deref() == Some(cursor) {
            self.finish();
        }
    }

    fn advance(&mut self, cursor: String) {
        if cursor.is_empty() || cursor == self.cursor {
            return;
        }
        if let Some(subscription_id) = self.subscription_id() {
            // A position is acknowledged only with the generation of the stream that delivered it.
            self.pending = Some(AcknowledgeRequest {
                subscription_id: subscription_id.clone(),
                cursor: cursor.clone(),
                generation: self.generation,
            });
        }
        self.cursor = cursor;
    }

    /// The acknowledgement to send next.
    pub(crate) fn pending(&self) -> Option<&AcknowledgeRequest> {
        self.pending.as_ref()
    }

    /// Records the result of an acknowledgement. After a refusal by the server the position is dropped, because on the
    /// next stream it could belong to another state of the subscription.
    pub(crate) fn acknowledged(&mut self, request: &AcknowledgeRequest, error: Option<&Error>) {
        let is_kept = |error: &Error| error.reason().is_empty() || is_transient(error);
        if self.pending.as_ref() == Some(request) && !error.is_some_and(is_kept) {
            self.pending = None;
        }
    }

    /// Whether the request asked for the end of the stream, if the stream ends with OK now.
    pub(crate) fn is_closed(&self) -> bool {
        use ClosingReason::{Shutdown, SubscriptionChanged, SubscriptionDeleted};
        self.closing.as_ref().is_some_and(|closing| {
            !matches!(closing.reason(), Shutdown | SubscriptionChanged | SubscriptionDeleted)
        })
    }

    /// How long to wait after a stream broke until the next one is opened.
    ///
    /// # Errors
    ///
    /// Returns the failure of the stream if another stream would fail too.
    pub(crate) fn reopen_after(&mut self, error: Error) -> Result<Reopen, Error> {
        let closing = self.closing.take().and_then(|closing| closing.retry_delay);
        let mut requested = closing.and_then(|delay| Duration::try_from(delay).ok()).unwrap_or_default();
        let is_reset = is_reset(&error);
        self.resets += u32::from(is_reset);
        if error.code() != Code::Unavailable && !(is_reset && self.resets <= MAX_RESETS) {
            if error.code() == Code::NotFound {
                self.pending = None;
            }
            return Err(error);
        }
        requested = requested.max(error.retry_delay().unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        let backoff = self.backoff.next().unwrap_or(MAX_REOPEN_DELAY).min(MAX_REOPEN_DELAY);
        // The backoff has jitter, so subscribers that the server gave the same delay do not all return at once.
        let delay = requested.min(MAX_SERVER_DELAY) + backoff;
        Ok(Reopen { cause: error, failures: self.failures, delay })
    }
}

/// Whether the client sends a failed acknowledgement again.
pub(crate) fn is_transient(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded) || is_reset(error)
}

/// Whether the server refused an acknowledgement because the subscription was moved or has another filter since. The
/// stream does not fail: the server ends it, and the next one starts at the new position of the subscription.
pub(crate) fn is_stale(error: &Error) -> bool {
    parse_reason(error.reason()) == Reason::SubscriptionGenerationStale
}

/// Whether something between client and server may have ended the call. A failure that comes from the server has a reason.
fn is_reset(error: &Error) -> bool {
    error.reason().is_empty() && matches!(error.code(), Code::Internal | Code::Unknown | Code::Cancelled)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::v1::Event;

    fn unavailable(retry_delay: Duration) -> Error {
        let details = ErrorDetails::with_retry_info(Some(retry_delay));
        Status::with_error_details(Code::Unavailable, "later", details).into()
    }

    #[test]
    fn reopen_delay_is_longest_requested_plus_backoff() {
        let (second, hour) = (Duration::from_secs(20), Duration::from_secs(3_600));
        for (closing, failure, expected) in [
            (second, None, second),
            (second, Some(hour), MAX_SERVER_DELAY),
            (hour, Some(second), MAX_SERVER_DELAY),
        ] {
            let mut progress = Progress::new(SubscribeRequest::default());
            let retry_delay = Some(closing.try_into().expect("short"));
            let reason = ClosingReason::Shutdown.into();
            progress.receive(Response::Closing(SubscribeClosing {
                reason,
                retry_delay,
                ..Default::default()
            }));
            assert!(!progress.is_closed());
            let delay =
                progress.reopen_after(unavailable(failure.unwrap_or_default())).expect("reopens").delay;
            assert!(delay > expected && delay <= expected + MAX_REOPEN_DELAY, "{delay:?}");
            // The request of an earlier stream no longer applies.
            assert!(progress.reopen_after(unavailable(Duration::ZERO)).expect("reopens").delay < second);
        }
    }

    #[test]
    fn same_requested_delay_gives_different_delays() {
        let delays: HashSet<_> = (0..10)
            .map(|_| {
                let mut progress = Progress::new(SubscribeRequest::default());
                let failure = unavailable(Duration::from_secs(5));
                progress.reopen_after(failure).expect("reopens").delay
            })
            .collect();
        assert!(delays.len() > 1, "{delays:?}");
    }

    #[test]
    fn pending_position_keeps_generation_of_its_stream() {
        let start = Some(Start::SubscriptionId("billing".to_owned()));
        let mut progress = Progress::new(SubscribeRequest { start, ..SubscribeRequest::default() });
        let started =
            |generation| SubscribeStarted { generation, cursor: "0".to_owned(), ..Default::default() };
        progress.start(started(1));
        progress.receive(Response::Event(Event { cursor: "1".to_owned(), ..Event::default() }));
        assert_eq!(progress.pending(), None, "the event is not handled yet");
        progress.finish();
        // The next stream starts before the server has confirmed the position.
        progress.start(started(2));
        assert_eq!(progress.cursor(), "0");
        let pending = progress.pending().cloned().expect("the position is not confirmed");
        assert_eq!((pending.cursor.as_str(), pending.generation), ("1", 1));

        // A position stays pending after a transient failure, and is dropped after a refusal.
        progress.acknowledged(&pending, Some(&unavailable(Duration::ZERO)));
        assert_eq!(progress.pending(), Some(&pending));
        let details = ErrorDetails::with_error_info("SUBSCRIPTION_GENERATION_STALE", "switchboard", []);
        let stale = Status::with_error_details(Code::FailedPrecondition, "moved", details).into();
        progress.acknowledged(&pending, Some(&stale));
        assert_eq!(progress.pending(), None);
    }
}
