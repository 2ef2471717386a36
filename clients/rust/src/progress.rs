//! How far a loop over events has come, over all of its streams: the part of it that no connection matters to.

use std::time::Duration;

use backon::ExponentialBackoff;
use tonic::Code;

use super::call::{LONGEST_ASKED, delays};
use super::{Error, Happened};
use crate::pb::v1::subscribe_request::Start;
use crate::pb::v1::subscribe_response::Response;
use crate::pb::v1::{
    AcknowledgeRequest, ClosingReason, ExpiredPolicy, SubscribeClosing, SubscribeRequest, SubscribeStarted,
};

/// The interval of heartbeats where a stream does not tell its own.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The longest wait before a stream is opened again, unless the gateway asks for a longer one.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// How often in a row a stream may be reset before anything came on it: something that cannot be read looks the same, and
/// would come again and again.
const MOST_RESETS: u32 = 5;

/// The place of a loop.
#[derive(Debug)]
pub(super) struct Progress {
    request: SubscribeRequest,
    /// The place up to which all is done with. Empty as long as nothing is known.
    cursor: String,
    /// The place of what was given out last, and is not done with.
    given: Option<String>,
    /// How many events were given out.
    seen: u64,
    /// Of a named subscription, as the stream told it.
    generation: u64,
    /// Of a named subscription: what is done with, and the gateway does not know it yet.
    pending: Option<AcknowledgeRequest>,
    closing: Option<SubscribeClosing>,
    delays: ExponentialBackoff,
    /// How often in a row streams were reset without anything in between.
    resets: u32,
}

impl Progress {
    pub(super) fn new(request: SubscribeRequest) -> Self {
        let cursor = match &request.start {
            Some(Start::AfterCursor(cursor)) => cursor.clone(),
            _ => String::new(),
        };
        Self {
            request,
            cursor,
            given: None,
            seen: 0,
            generation: 0,
            pending: None,
            closing: None,
            delays: delays(),
            resets: 0,
        }
    }

    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Whether all events came that were asked for.
    pub(super) fn is_complete(&self) -> bool {
        self.request.max_events > 0 && self.seen >= self.request.max_events
    }

    /// The request that goes on where the loop has come to.
    pub(super) fn request(&self) -> SubscribeRequest {
        let mut request = self.request.clone();
        request.max_events = request.max_events.saturating_sub(self.seen);
        if !self.cursor.is_empty() && self.subscription().is_none() {
            request.start = Some(Start::AfterCursor(self.cursor.clone()));
        }
        request
    }

    fn subscription(&self) -> Option<&String> {
        match &self.request.start {
            Some(Start::Subscription(subscription)) => Some(subscription),
            _ => None,
        }
    }

    /// Takes that a stream stands. Says for how long it may be silent.
    pub(super) fn start(&mut self, started: SubscribeStarted) -> Duration {
        self.delays = delays();
        self.generation = started.generation;
        // What is missing at a start in time is told only to whoever starts there: until the gap has come, that time is
        // asked for again.
        let gap_may_come = self.cursor.is_empty()
            && matches!(self.request.start, Some(Start::Since(_)))
            && self.request.expired_policy() == ExpiredPolicy::SkipWithGap
            && started.cursor == started.oldest_cursor;
        if !gap_may_come && !started.cursor.is_empty() {
            self.cursor = started.cursor;
        }
        let interval = started.heartbeat_interval.and_then(|interval| Duration::try_from(interval).ok());
        2 * interval.filter(|interval| !interval.is_zero()).unwrap_or(HEARTBEAT)
    }

    /// Takes what else comes on a stream. Says what of it is for the program.
    pub(super) fn take(&mut self, response: Response) -> Option<Happened> {
        match response {
            Response::Event(event) => {
                self.resets = 0;
                self.seen += 1;
                self.given = Some(event.cursor.clone());
                Some(Happened::Event(event))
            }
            Response::Gap(gap) => {
                self.resets = 0;
                self.given = Some(gap.resume_cursor.clone());
                Some(Happened::Gap(gap))
            }
            Response::Heartbeat(heartbeat) => {
                self.resets = 0;
                self.move_to(heartbeat.cursor);
                None
            }
            Response::Closing(closing) => {
                match closing.reason() {
                    // What is done with is about the subscription as it was.
                    ClosingReason::SubscriptionChanged | ClosingReason::SubscriptionDeleted => {
                        self.pending = None;
                    }
                    _ => self.move_to(closing.cursor.clone()),
                }
                self.closing = Some(closing);
                None
            }
            Response::Started(_) => None,
        }
    }

    /// Is done with what was given out last.
    pub(super) fn finish(&mut self) {
        if let Some(cursor) = self.given.take() {
            self.move_to(cursor);
        }
    }

    /// Is done with what was given out last, if it has this place.
    pub(super) fn finish_at(&mut self, cursor: &str) {
        if self.given.as_deref() == Some(cursor) {
            self.finish();
        }
    }

    fn move_to(&mut self, cursor: String) {
        if cursor.is_empty() || cursor == self.cursor {
            return;
        }
        if let Some(subscription) = self.subscription() {
            // What came with one generation is never acknowledged with another.
            self.pending = Some(AcknowledgeRequest {
                subscription: subscription.clone(),
                cursor: cursor.clone(),
                generation: self.generation,
            });
        }
        self.cursor = cursor;
    }

    /// What is to be acknowledged.
    pub(super) fn pending(&self) -> Option<&AcknowledgeRequest> {
        self.pending.as_ref()
    }

    /// Takes what came of an acknowledgement. What the gateway has refused is not kept: with the next stream it could be
    /// a place of another subscription.
    pub(super) fn settle(&mut self, acknowledged: &AcknowledgeRequest, failed: Option<&Error>) {
        let kept = |error: &Error| error.reason().is_empty() || is_passing(error);
        if self.pending.as_ref() == Some(acknowledged) && !failed.is_some_and(kept) {
            self.pending = None;
        }
    }

    /// Whether an end of the stream with OK is the end that was asked for.
    pub(super) fn is_closed(&self) -> bool {
        use ClosingReason::{Shutdown, SubscriptionChanged, SubscriptionDeleted};
        self.closing.as_ref().is_some_and(|closing| {
            !matches!(closing.reason(), Shutdown | SubscriptionChanged | SubscriptionDeleted)
        })
    }

    /// How long to wait, now that a stream broke, until it is opened again.
    ///
    /// # Errors
    ///
    /// When another stream would not mend it.
    pub(super) fn after(&mut self, error: Option<Error>) -> Result<Duration, Error> {
        let closing = self.closing.take().and_then(|closing| closing.retry_after);
        let mut asked = closing.and_then(|delay| Duration::try_from(delay).ok()).unwrap_or_default();
        if let Some(error) = error {
            let reset = is_reset(&error);
            self.resets += u32::from(reset);
            if error.code() != Code::Unavailable && !(reset && self.resets <= MOST_RESETS) {
                if error.code() == Code::NotFound {
                    self.pending = None;
                }
                return Err(error);
            }
            asked = asked.max(error.retry_delay().unwrap_or_default());
        }
        let delay = self.delays.next().unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY);
        Ok(delay.max(asked.min(LONGEST_ASKED)))
    }
}

/// Whether an acknowledgement that failed is to be tried again.
pub(super) fn is_passing(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded) || is_reset(error)
}

/// Whether an acknowledgement came after the subscription was moved or given another filter. That is no failure: the
/// gateway ends the stream, and the next one starts where the subscription is then.
pub(super) fn is_stale(error: &Error) -> bool {
    error.reason() == "SUBSCRIPTION_GENERATION_STALE"
}

/// Whether something on the way may have ended a call: what the gateway itself says has a reason.
fn is_reset(error: &Error) -> bool {
    error.reason().is_empty() && matches!(error.code(), Code::Internal | Code::Unknown | Code::Cancelled)
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::pb::v1::Event;

    fn asking(delay: Duration) -> Error {
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::Unavailable, "later", details).into()
    }

    #[test]
    fn the_longer_delay_that_is_asked_for_is_waited_for_but_not_for_long() {
        let (second, hour) = (Duration::from_secs(20), Duration::from_secs(3_600));
        for (closing, failure, waits) in
            [(second, None, second), (second, Some(hour), LONGEST_ASKED), (hour, Some(second), LONGEST_ASKED)]
        {
            let mut progress = Progress::new(SubscribeRequest::default());
            let retry_after = Some(closing.try_into().expect("short"));
            let reason = ClosingReason::Shutdown.into();
            progress.take(Response::Closing(SubscribeClosing { reason, retry_after, ..Default::default() }));
            assert!(!progress.is_closed());
            assert_eq!(progress.after(failure.map(asking)).expect("goes on"), waits);
            // What an earlier stream asked for is past.
            assert!(progress.after(None).expect("goes on") < second);
        }
    }

    #[test]
    fn what_is_done_with_keeps_the_generation_of_the_stream_that_gave_it() {
        let start = Some(Start::Subscription("billing".to_owned()));
        let mut progress = Progress::new(SubscribeRequest { start, ..SubscribeRequest::default() });
        let started =
            |generation| SubscribeStarted { generation, cursor: "0".to_owned(), ..Default::default() };
        progress.start(started(1));
        progress.take(Response::Event(Event { cursor: "1".to_owned(), ..Event::default() }));
        assert_eq!(progress.pending(), None, "it is at hand");
        progress.finish();
        // Its acknowledgement did not get through before the next stream.
        progress.start(started(2));
        assert_eq!(progress.cursor(), "0");
        let pending = progress.pending().cloned().expect("to be acknowledged");
        assert_eq!((pending.cursor.as_str(), pending.generation), ("1", 1));

        // What is not answered is kept; what is refused is not.
        progress.settle(&pending, Some(&asking(Duration::ZERO)));
        assert_eq!(progress.pending(), Some(&pending));
        let details = ErrorDetails::with_error_info("SUBSCRIPTION_GENERATION_STALE", "switchboard", []);
        let stale = Status::with_error_details(Code::FailedPrecondition, "moved", details).into();
        progress.settle(&pending, Some(&stale));
        assert_eq!(progress.pending(), None);
    }
}
