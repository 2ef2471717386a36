//! The stream of one subscriber.
//!
//! It takes batches of events from a journal reader and yields them one by one, without a task or a channel in
//! between. While it has buffered events it is always ready, so the transport packs many events into one frame. While
//! the subscriber does not read, it does no work.

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

/// The options of a subscriber's request.
#[derive(Debug)]
pub(in crate::api) struct SubscribeOptions {
    pub(in crate::api) filter: Filter,
    pub(in crate::api) heartbeat_interval: Duration,
    pub(in crate::api) idle_timeout: Option<Duration>,
    pub(in crate::api) max_events: Option<u64>,
    pub(in crate::api) include_raw: bool,
}

/// The subscription of a stream, at one generation.
#[derive(Debug)]
pub(in crate::api) struct WatchedSubscription {
    generation: u64,
    watch: SubscriptionWatch,
    /// Wakes the stream when the subscription is changed or deleted.
    changed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl WatchedSubscription {
    pub(in crate::api) fn new(generation: u64, watch: SubscriptionWatch) -> Self {
        Self { generation, changed: Box::pin(watch.invalidated()), watch }
    }
}

/// The response stream of `Subscribe`.
#[expect(unreachable_pub, reason = "the generated trait names it")]
pub struct EventStream {
    options: SubscribeOptions,
    /// The buffered events, and how many of them are sent or skipped.
    batch: Option<(EventBatch, usize)>,
    next_batch: ReusableBoxFuture<'static, (Reader, Result<Next, journal::Error>)>,
    /// Items that are sent before any event.
    ready: VecDeque<Result<Encoded, Status>>,
    /// Whether the stream ends after the items in `ready`.
    ended: bool,
    /// The position that the stream has reached: after the last event that was sent or skipped.
    position: Cursor,
    /// The end of the journal when the stream was opened.
    initial_end: u64,
    sent: u64,
    /// Whether anything was sent since the clock was last read.
    sent_anything: bool,
    /// Whether an event was sent since the clock was last read.
    sent_event: bool,
    last_sent: Instant,
    last_event: Instant,
    /// When to read the clock again.
    timer: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    watched: Option<WatchedSubscription>,
    _guard: SubscriberGuard,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream")
            .field("options", &self.options)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Counts a stream in the metric while it is open.
struct SubscriberGuard;

impl SubscriberGuard {
    fn new() -> Self {
        gauge!(SUBSCRIBERS).increment(1);
        Self
    }
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        gauge!(SUBSCRIBERS).decrement(1);
    }
}

impl EventStream {
    pub(in crate::api) fn new(
        journal: &Journal,
        reader: Reader,
        options: SubscribeOptions,
        watched: Option<WatchedSubscription>,
        stopping: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let position = reader.cursor();
        let log_range = journal.log_range();
        let initial_end = log_range.newest.max(position.sequence);
        let started = Response::Started(SubscribeStarted {
            cursor: position.to_string(),
            oldest_cursor: journal.cursor(log_range.oldest - 1).to_string(),
            newest_cursor: journal.cursor(initial_end).to_string(),
            heartbeat_interval: Some(convert::duration(options.heartbeat_interval)),
            generation: watched.as_ref().map_or(0, |watched| watched.generation),
        });
        Self {
            batch: None,
            next_batch: ReusableBoxFuture::new(next_batch(reader)),
            ready: VecDeque::from([Ok(response(started))]),
            ended: false,
            position,
            initial_end,
            sent: 0,
            sent_anything: false,
            sent_event: false,
            last_sent: now,
            last_event: now,
            timer: Box::pin(sleep_until(now)),
            stopping: Box::pin(stopping.cancelled_owned()),
            watched,
            options,
            _guard: SubscriberGuard::new(),
        }
    }

    /// Returns the next buffered event that matches the filter.
    fn next_buffered_event(&mut self) -> Option<Encoded> {
        let (batch, consumed) = self.batch.as_mut()?;
        let events = batch.events();
        while let Some(event) = events.get(*consumed) {
            *consumed += 1;
            self.position.sequence = event.sequence;
            if self.options.filter.matches(&event.account, event.event_type, &event.customer) {
                let raw = if self.options.include_raw { event.raw.clone() } else { None };
                return Some(Encoded::Event { event: event.event.clone(), raw });
            }
        }
        self.batch = None;
        None
    }

    /// Sends a gap, and continues after it.
    fn push_gap(&mut self, gap: Gap) {
        self.position = gap.resume;
        let gap = SubscribeGap {
            after_cursor: gap.after.map(|after| after.to_string()).unwrap_or_default(),
            resume_cursor: gap.resume.to_string(),
            reason: GapReason::Expired.into(),
            missed: gap.missed(),
        };
        self.ready.push_back(Ok(response(Response::Gap(gap))));
    }

    /// Ends the stream if its subscription was changed or deleted.
    fn close_if_changed(&mut self) {
        let Some(WatchedSubscription { watch, .. }) = &self.watched else { return };
        let (reason, status) = match watch.invalidation() {
            None => return,
            Some(Invalidated::Changed) => {
                (ClosingReason::SubscriptionChanged, status::subscription_changed(watch.id()))
            }
            Some(Invalidated::Deleted) => {
                (ClosingReason::SubscriptionDeleted, status::subscription_not_found(watch.id()))
            }
        };
        self.close(reason, Some(status));
    }

    fn close(&mut self, reason: ClosingReason, status: Option<Status>) {
        let retry_delay =
            (reason == ClosingReason::Shutdown).then(|| convert::duration(status::OUTAGE_DELAY));
        let closing =
            SubscribeClosing { cursor: self.position.to_string(), reason: reason.into(), retry_delay };
        self.ready.push_back(Ok(response(Response::Closing(closing))));
        self.ready.extend(status.map(Err));
        self.ended = true;
    }

    /// Reads the clock. Closes the stream or sends a heartbeat if one is due, and sets the timer for the next time.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            // The clock is read only if there is nothing to send, not for each event. Recent events count as sent now.
            if std::mem::take(&mut self.sent_anything) {
                self.last_sent = now;
            }
            // A stream is not idle before it has reached the initial end of the journal.
            if std::mem::take(&mut self.sent_event) || self.position.sequence < self.initial_end {
                self.last_event = now;
            }
            if let Some(idle_timeout) = self.options.idle_timeout
                && now >= self.last_event + idle_timeout
            {
                self.close(ClosingReason::IdleTimeout, None);
                return Poll::Ready(());
            }
            if now >= self.last_sent + self.options.heartbeat_interval {
                let heartbeat = SubscribeHeartbeat {
                    cursor: self.position.to_string(),
                    server_time: Some(convert::timestamp(UnixMillis::now())),
                };
                self.ready.push_back(Ok(response(Response::Heartbeat(heartbeat))));
                return Poll::Ready(());
            }
            let heartbeat_due = self.last_sent + self.options.heartbeat_interval;
            let due = match self.options.idle_timeout {
                Some(idle_timeout) => heartbeat_due.min(self.last_event + idle_timeout),
                None => heartbeat_due,
            };
            if self.timer.deadline() > due || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
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
            // Checked before every event, so a client that changed the subscription gets no event of the old
            // generation.
            this.close_if_changed();
            if this.ended {
                continue;
            }
            if let Some(event) = this.next_buffered_event() {
                this.sent += 1;
                this.sent_anything = true;
                this.sent_event = true;
                if this.options.max_events == Some(this.sent) {
                    this.close(ClosingReason::MaxEvents, None);
                }
                return Poll::Ready(Some(Ok(event)));
            }
            if this.stopping.as_mut().poll(cx).is_ready() {
                this.close(ClosingReason::Shutdown, Some(status::stopping()));
                continue;
            }
            if let Some(watched) = &mut this.watched
                && watched.changed.as_mut().poll(cx).is_ready()
            {
                continue;
            }
            match this.next_batch.poll(cx) {
                Poll::Ready((reader, Ok(next))) => {
                    this.next_batch.set(next_batch(reader));
                    match next {
                        Next::Events(batch) => this.batch = Some((batch, 0)),
                        Next::Gap(gap) => this.push_gap(gap),
                        Next::MovedOn(position) => this.position = position,
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

async fn next_batch(mut reader: Reader) -> (Reader, Result<Next, journal::Error>) {
    let next = reader.next().await;
    (reader, next)
}

fn response(response: Response) -> Encoded {
    SubscribeResponse { response: Some(response) }.into()
}

#[cfg(test)]
mod tests;
