//! One subscriber's stream.
//!
//! It takes runs of events from a journal reader and gives them out one by one, without a task or a channel in
//! between: while events are at hand it is always ready, so that the transport packs many of them into one frame, and
//! when the subscriber does not read, nothing here goes on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use metrics::gauge;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, ReusableBoxFuture, WaitForCancellationFutureOwned};
use tonic::Status;

use crate::api::Encoded;
use crate::api::error::status;
use crate::api::response::convert;
use crate::domain::{Cursor, Filter, UnixMillis};
use crate::journal::{self, EventBatch, Gap, Invalidated, Journal, Next, Reader, SubscriptionWatch};
use crate::pb::v1::subscribe_response::Response;
use crate::pb::v1::{
    ClosingReason, GapReason, SubscribeClosing, SubscribeGap, SubscribeHeartbeat, SubscribeResponse,
    SubscribeStarted,
};
use crate::telemetry::metrics::SUBSCRIBERS;

/// What a subscriber asked for.
#[derive(Debug)]
pub(in crate::api) struct Wanted {
    pub(in crate::api) filter: Filter,
    pub(in crate::api) heartbeat_interval: Duration,
    pub(in crate::api) idle_timeout: Option<Duration>,
    pub(in crate::api) max_events: Option<u64>,
    pub(in crate::api) include_raw: bool,
}

/// The subscription that a stream reads, as it stands.
#[derive(Debug)]
pub(in crate::api) struct Followed {
    generation: u64,
    watching: SubscriptionWatch,
    /// Wakes the stream when the subscription is changed.
    told: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Followed {
    pub(in crate::api) fn new(generation: u64, watching: SubscriptionWatch) -> Self {
        Self { generation, told: Box::pin(watching.invalidated()), watching }
    }
}

/// The stream that `Subscribe` answers with.
#[expect(unreachable_pub, reason = "the generated trait names it")]
pub struct EventStream {
    wanted: Wanted,
    /// The events at hand, and how many of them are dealt with.
    run: Option<(EventBatch, usize)>,
    next_run: ReusableBoxFuture<'static, (Reader, Result<Next, journal::Error>)>,
    /// What goes out before anything else.
    ready: VecDeque<Result<Encoded, Status>>,
    /// Nothing comes behind what is ready.
    ended: bool,
    /// The place that the stream has come to: behind the last event that was sent or passed over.
    at: Cursor,
    /// Where the journal ended when the stream was opened.
    history: u64,
    sent: u64,
    /// Since the clock was last read.
    sent_anything: bool,
    sent_event: bool,
    last_sent: Instant,
    last_event: Instant,
    /// When to look at the clock again.
    alarm: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    followed: Option<Followed>,
    _counted: Counted,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream")
            .field("wanted", &self.wanted)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Counts a stream for as long as it is open.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!(SUBSCRIBERS).increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(SUBSCRIBERS).decrement(1);
    }
}

impl EventStream {
    pub(in crate::api) fn new(
        journal: &Journal,
        reader: Reader,
        wanted: Wanted,
        followed: Option<Followed>,
        stopping: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let at = reader.cursor();
        let log_range = journal.log_range();
        let history = log_range.newest.max(at.sequence);
        let started = Response::Started(SubscribeStarted {
            cursor: at.to_string(),
            oldest_cursor: journal.cursor(log_range.oldest - 1).to_string(),
            newest_cursor: journal.cursor(history).to_string(),
            heartbeat_interval: Some(convert::duration(wanted.heartbeat_interval)),
            generation: followed.as_ref().map_or(0, |followed| followed.generation),
        });
        Self {
            run: None,
            next_run: ReusableBoxFuture::new(next_run(reader)),
            ready: VecDeque::from([Ok(response(started))]),
            ended: false,
            at,
            history,
            sent: 0,
            sent_anything: false,
            sent_event: false,
            last_sent: now,
            last_event: now,
            alarm: Box::pin(sleep_until(now)),
            stopping: Box::pin(stopping.cancelled_owned()),
            followed,
            wanted,
            _counted: Counted::new(),
        }
    }

    /// The next wanted event at hand.
    fn event_at_hand(&mut self) -> Option<Encoded> {
        let (run, dealt_with) = self.run.as_mut()?;
        let events = run.events();
        while let Some(event) = events.get(*dealt_with) {
            *dealt_with += 1;
            self.at.sequence = event.sequence;
            if self.wanted.filter.matches(&event.account, event.event_type) {
                let raw = if self.wanted.include_raw { event.raw.clone() } else { None };
                return Some(Encoded::Event { event: event.event.clone(), raw });
            }
        }
        self.run = None;
        None
    }

    /// Says what is missing, and goes on behind it.
    fn tell(&mut self, gap: Gap) {
        self.at = gap.resume;
        let told = SubscribeGap {
            after_cursor: gap.after.map(|after| after.to_string()).unwrap_or_default(),
            resume_cursor: gap.resume.to_string(),
            reason: GapReason::Expired.into(),
            missed: gap.missed(),
        };
        self.ready.push_back(Ok(response(Response::Gap(told))));
    }

    /// Ends the stream when the subscription that it reads is not what it was.
    fn heed_changes(&mut self) {
        let Some(Followed { watching, .. }) = &self.followed else { return };
        let (reason, status) = match watching.invalidation() {
            None => return,
            Some(Invalidated::Changed) => {
                (ClosingReason::SubscriptionChanged, status::subscription_changed(watching.id()))
            }
            Some(Invalidated::Deleted) => {
                (ClosingReason::SubscriptionDeleted, status::subscription_not_found(watching.id()))
            }
        };
        self.close(reason, Some(status));
    }

    fn close(&mut self, reason: ClosingReason, status: Option<Status>) {
        let retry_delay =
            (reason == ClosingReason::Shutdown).then(|| convert::duration(status::OUTAGE_DELAY));
        let closing = SubscribeClosing { cursor: self.at.to_string(), reason: reason.into(), retry_delay };
        self.ready.push_back(Ok(response(Response::Closing(closing))));
        self.ready.extend(status.map(Err));
        self.ended = true;
    }

    /// Looks at the clock: whether it is time to close, or for a heartbeat. Sets the alarm for the next look.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            // The clock is read when there is nothing to send, not for each event: those just sent count as sent now.
            if std::mem::take(&mut self.sent_anything) {
                self.last_sent = now;
            }
            // To be still on the way to where the journal ended is not to be idle.
            if std::mem::take(&mut self.sent_event) || self.at.sequence < self.history {
                self.last_event = now;
            }
            if let Some(idle_timeout) = self.wanted.idle_timeout
                && now >= self.last_event + idle_timeout
            {
                self.close(ClosingReason::IdleTimeout, None);
                return Poll::Ready(());
            }
            if now >= self.last_sent + self.wanted.heartbeat_interval {
                let heartbeat = SubscribeHeartbeat {
                    cursor: self.at.to_string(),
                    server_time: Some(convert::timestamp(UnixMillis::now())),
                };
                self.ready.push_back(Ok(response(Response::Heartbeat(heartbeat))));
                return Poll::Ready(());
            }
            let heartbeat_due = self.last_sent + self.wanted.heartbeat_interval;
            let due = match self.wanted.idle_timeout {
                Some(idle_timeout) => heartbeat_due.min(self.last_event + idle_timeout),
                None => heartbeat_due,
            };
            if self.alarm.deadline() > due || self.alarm.is_elapsed() {
                self.alarm.as_mut().reset(due);
            }
            ready!(self.alarm.as_mut().poll(cx));
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Encoded, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(item) = this.ready.pop_front() {
                this.sent_anything = true;
                return Poll::Ready(Some(item));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            // Before every event: whoever has changed the subscription gets no more of what it was.
            this.heed_changes();
            if this.ended {
                continue;
            }
            if let Some(event) = this.event_at_hand() {
                this.sent += 1;
                this.sent_anything = true;
                this.sent_event = true;
                if this.wanted.max_events == Some(this.sent) {
                    this.close(ClosingReason::MaxEvents, None);
                }
                return Poll::Ready(Some(Ok(event)));
            }
            if this.stopping.as_mut().poll(cx).is_ready() {
                this.close(ClosingReason::Shutdown, Some(status::stopping()));
                continue;
            }
            if let Some(followed) = &mut this.followed
                && followed.told.as_mut().poll(cx).is_ready()
            {
                continue;
            }
            match this.next_run.poll(cx) {
                Poll::Ready((reader, Ok(next))) => {
                    this.next_run.set(next_run(reader));
                    match next {
                        Next::Events(run) => this.run = Some((run, 0)),
                        Next::Gap(gap) => this.tell(gap),
                        Next::MovedOn(place) => this.at = place,
                    }
                }
                Poll::Ready((_, Err(error))) => {
                    this.ready.push_back(Err(error.into()));
                    this.ended = true;
                }
                Poll::Pending => ready!(this.poll_clock(cx)),
            }
        }
    }
}

async fn next_run(mut reader: Reader) -> (Reader, Result<Next, journal::Error>) {
    let next = reader.next().await;
    (reader, next)
}

fn response(response: Response) -> Encoded {
    SubscribeResponse { response: Some(response) }.into()
}

#[cfg(test)]
mod tests;
