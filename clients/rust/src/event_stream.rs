//! A stream of events that continues across broken connections and restarts of the server.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tonic::{Code, Status, Streaming};

use crate::call::{BoxFuture, MAX_SERVER_DELAY};
use crate::progress::{Progress, Reopen, is_stale, is_transient};
use crate::v1::event_service_client::EventServiceClient;
use crate::v1::subscribe_response::Response;
use crate::v1::subscription_service_client::SubscriptionServiceClient;
use crate::v1::{AcknowledgeRequest, Event, SubscribeGap, SubscribeRequest, SubscribeResponse};
use crate::{Client, Error, Service};

/// How long a stream may take to start, and how long an acknowledgement may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The least time between two acknowledgements that the program did not ask for.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of a stream waits for its last acknowledgement.
const FINAL_ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(2);

/// A stream of events. [`Client::subscribe`] makes one.
///
/// ```no_run
/// # async fn example(client: switchboard_client::Client) -> Result<(), switchboard_client::Error> {
/// use switchboard_client::StreamItem;
/// use switchboard_client::v1::SubscribeRequest;
///
/// let mut events = client.subscribe(SubscribeRequest::default());
/// while let Some(item) = events.next().await? {
///     if let StreamItem::Event(event) = item {
///         println!("{} {}", event.event_id, event.r#type);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// The stream has a separate connection. If the connection breaks, if the server restarts, or if the stream is silent for
/// two heartbeat intervals, the client opens a new stream at the current position. No event is lost, and within one
/// `EventStream` none is delivered twice.
///
/// A call of [`next`](Self::next) marks the item before it as handled. If the stream belongs to a named subscription, the
/// client acknowledges handled events: about once a second while [`next`](Self::next) waits, before it reopens a stream, and
/// when the stream ends, which can then take two seconds. If the subscription is moved or given another filter, the stream
/// continues with the new position or filter.
///
/// The item that `next` returned last is not handled when the `EventStream` is dropped, so the next stream of the
/// subscription delivers it again. A dropped stream also does not send its last acknowledgement, so up to about one second
/// of handled events can be delivered again: call [`close`](Self::close) instead. To mark an event as handled without
/// another call of `next`, use [`acknowledge`](Self::acknowledge).
///
/// `EventStream` also implements [`Stream`], with the same items. Each poll for the next item marks the item before it as
/// handled, so a combinator that reads ahead, such as `buffered`, acknowledges events that the program has not handled.
pub struct EventStream {
    client: Client,
    progress: Progress,
    state: State,
    /// The connection of the stream and of its acknowledgements, once one is needed.
    connection: Option<Service>,
    /// How long the stream may be silent.
    max_silence: Duration,
    /// When the current state times out.
    deadline: Timer,
    /// Whether the program holds the last item. The time that it takes does not count as silence.
    is_delivered: bool,
    acknowledging: Option<Acknowledging>,
    /// When the next acknowledgement may start.
    acknowledge_at: Timer,
    /// Called before each reconnect.
    on_reconnect: Option<ReconnectHook>,
}

/// The state of a stream. All that the stream waits for is stored in [`EventStream`], so a dropped future of
/// [`EventStream::next`] loses nothing.
enum State {
    /// Waits until the deadline, then opens a stream.
    Waiting,
    /// Waits for the acknowledgement of handled events, then opens a stream. The server would deliver them again otherwise.
    Acknowledging,
    Opening(BoxFuture<Result<Streaming<SubscribeResponse>, Status>>),
    Open(Box<Streaming<SubscribeResponse>>),
    /// Waits for the last acknowledgement, until the deadline at most. Then the stream ends with this failure, if any.
    Ending(Option<Error>),
    Ended,
}

/// Receives the cause of a reconnect.
type ReconnectHook = Box<dyn FnMut(&Error) + Send>;

/// An acknowledgement in progress.
type Acknowledging = BoxFuture<(AcknowledgeRequest, Result<(), Error>)>;

/// An item of an [`EventStream`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "gaps are rare, so boxing events would save nothing")]
pub enum StreamItem {
    /// An event.
    Event(Event),
    /// Events are missing at this position because they expired. Only streams with `EXPIRED_POLICY_SKIP_WITH_GAP` have
    /// gaps.
    Gap(SubscribeGap),
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

impl Client {
    /// Subscribes to events from the start position of the request. The client sends nothing before the first
    /// [`EventStream::next`].
    pub fn subscribe(&self, request: SubscribeRequest) -> EventStream {
        let now = Instant::now();
        EventStream {
            client: self.clone(),
            progress: Progress::new(request),
            state: State::Waiting,
            connection: None,
            max_silence: RESPONSE_TIMEOUT,
            deadline: Timer::at(now),
            is_delivered: false,
            acknowledging: None,
            acknowledge_at: Timer::at(now + ACKNOWLEDGE_INTERVAL),
            on_reconnect: None,
        }
    }
}

impl EventStream {
    /// Sets a function for metrics and alerts. The client calls it when a stream broke or could not be opened, before it
    /// opens the next one. The client also logs each reconnect through [`tracing`](https://docs.rs/tracing).
    ///
    /// The function runs within [`next`](Self::next), so it must not block.
    #[must_use]
    pub fn on_reconnect(mut self, notify: impl FnMut(&Error) + Send + 'static) -> Self {
        self.on_reconnect = Some(Box::new(notify));
        self
    }

    /// The position of the stream: all events up to this cursor are handled.
    ///
    /// Another process can resume there with `after_cursor`. The cursor is empty until the stream has a position.
    pub fn cursor(&self) -> &str {
        self.progress.cursor()
    }

    /// Marks the item before as handled, and waits for the next one.
    ///
    /// Returns None after the request's own end of the stream (`max_events`, `idle_timeout`), and after a failure.
    ///
    /// This method is cancel safe: if its future is dropped, the next call continues where this one was.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses the stream for another reason than UNAVAILABLE. Fails as well if streams were reset six
    /// times in a row before they delivered anything. After a failure the stream has ended.
    pub async fn next(&mut self) -> Result<Option<StreamItem>, Error> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Marks `event` as handled if it is the last delivered event, and waits until the server has confirmed the position.
    ///
    /// With None, the last delivered event stays unhandled. Without a named subscription, the client sends nothing. The
    /// client acknowledges without this call too, about a second later.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses the acknowledgement, or does not confirm it within ten seconds. After a transient failure,
    /// the client sends the acknowledgement again later. The reason `SUBSCRIPTION_GENERATION_STALE` means that the
    /// subscription was moved or given another filter, so the event may be delivered again.
    pub async fn acknowledge(&mut self, event: impl Into<Option<&Event>>) -> Result<(), Error> {
        if let Some(event) = event.into() {
            self.progress.finish_at(&event.cursor);
        }
        poll_fn(|cx| self.poll_acknowledge_all(cx)).await
    }

    /// Ends the stream, and waits at most two seconds until the server has confirmed the position.
    ///
    /// The last delivered item stays unhandled unless [`acknowledge`](Self::acknowledge) has marked it.
    ///
    /// # Errors
    ///
    /// Fails as [`acknowledge`](Self::acknowledge) does. Some handled events may then be delivered again.
    pub async fn close(mut self) -> Result<(), Error> {
        // Ends the stream first: only the acknowledgement still needs the server.
        self.state = State::Ended;
        let acknowledged = poll_fn(|cx| self.poll_acknowledge_all(cx));
        timeout(FINAL_ACKNOWLEDGE_TIMEOUT, acknowledged).await.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded("the server did not confirm the last acknowledgement in time")
                .into())
        })
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<StreamItem>, Error>> {
        self.progress.finish();
        if mem::take(&mut self.is_delivered) {
            self.deadline.set(Instant::now() + self.max_silence);
        }
        loop {
            match &mut self.state {
                State::Waiting => {
                    ready!(self.deadline.poll(cx));
                    self.state = State::Acknowledging;
                }
                State::Acknowledging => match ready!(self.poll_acknowledge_all(cx)) {
                    Err(error) if error.code() == Code::DeadlineExceeded => {
                        self.reopen_after(unavailable(error.message()));
                    }
                    Err(error) if !is_stale(&error) => self.reopen_after(error),
                    _ => self.open(),
                },
                State::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => self.state = State::Open(Box::new(stream)),
                    Poll::Ready(Err(status)) => self.reopen_after(status.into()),
                    Poll::Pending => {
                        ready!(self.deadline.poll(cx));
                        self.reopen_after(unavailable("the stream did not open in time"));
                    }
                },
                State::Open(_) => {
                    if let Some(item) = ready!(self.poll_open(cx)) {
                        self.is_delivered = true;
                        return Poll::Ready(Ok(Some(item)));
                    }
                }
                State::Ending(_) => {
                    // A failure of the last acknowledgement is not reported: the events are delivered again.
                    if self.poll_acknowledge_all(cx).is_pending() {
                        ready!(self.deadline.poll(cx));
                    }
                    self.acknowledging = None;
                    if let State::Ending(Some(error)) = mem::replace(&mut self.state, State::Ended) {
                        return Poll::Ready(Err(error));
                    }
                }
                State::Ended => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn open(&mut self) {
        // One response holds at least one event, whose body may be longer than tonic's default limit of 4 MiB.
        let mut client = EventServiceClient::new(self.connection()).max_decoding_message_size(usize::MAX);
        let request = self.progress.request();
        let opening = async move { Ok(client.subscribe(request).await?.into_inner()) };
        self.state = State::Opening(Box::pin(opening));
        self.max_silence = RESPONSE_TIMEOUT;
        self.deadline.set(Instant::now() + RESPONSE_TIMEOUT);
    }

    /// Reads from the open stream, and acknowledges handled events meanwhile.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamItem>> {
        while let Poll::Ready(result) = self.poll_background_acknowledge(cx) {
            match result {
                Err(error) if is_transient(&error) => {
                    let requested = error.retry_delay().unwrap_or_default().min(MAX_SERVER_DELAY);
                    let delay = ACKNOWLEDGE_INTERVAL.max(requested);
                    let subscription_id = self.progress.subscription_id();
                    tracing::info!(
                        subscription_id,
                        ?delay,
                        %error,
                        "switchboard acknowledgement failed, retrying"
                    );
                    self.acknowledge_at.set(Instant::now() + delay);
                }
                Err(error) if !is_stale(&error) => {
                    self.end(Some(error));
                    return Poll::Ready(None);
                }
                _ => {}
            }
        }
        let State::Open(stream) = &mut self.state else { return Poll::Ready(None) };
        match Pin::new(stream.as_mut()).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => return Poll::Ready(self.receive(message)),
            Poll::Ready(Some(Err(status))) => self.reopen_after(status.into()),
            Poll::Ready(None) if self.progress.is_closed() => self.end(None),
            Poll::Ready(None) => self.reopen_after(unavailable("the stream ended without a `closing`")),
            Poll::Pending => {
                ready!(self.deadline.poll(cx));
                self.reopen_after(unavailable("the stream was silent for too long"));
            }
        }
        Poll::Ready(None)
    }

    /// Starts an acknowledgement when one is due, and returns its result. Pending also means that none is due.
    fn poll_background_acknowledge(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.acknowledging.is_none() {
            if self.progress.pending().is_none() {
                return Poll::Pending;
            }
            ready!(self.acknowledge_at.poll(cx));
            self.start_acknowledge();
        }
        self.poll_acknowledge(cx)
    }

    fn receive(&mut self, message: SubscribeResponse) -> Option<StreamItem> {
        let item = match message.response {
            Some(Response::Started(started)) => {
                self.max_silence = self.progress.start(started);
                None
            }
            Some(response) => self.progress.receive(response),
            // A response that this version of the crate does not know.
            None => None,
        };
        self.deadline.set(Instant::now() + self.max_silence);
        item
    }

    /// Decides what follows a stream that broke or did not open.
    fn reopen_after(&mut self, error: Error) {
        // A new stream on the old connection could be just as dead. An acknowledgement in progress is sent again.
        self.connection = None;
        self.acknowledging = None;
        if self.progress.is_complete() {
            // All events arrived; only the `closing` after the last one did not.
            return self.end(None);
        }
        match self.progress.reopen_after(error) {
            Ok(Reopen { cause, failures, delay }) => {
                let subscription_id = self.progress.subscription_id();
                tracing::warn!(
                    subscription_id,
                    failures,
                    ?delay,
                    error = %cause,
                    "switchboard event stream broke, reconnecting"
                );
                if let Some(notify) = &mut self.on_reconnect {
                    notify(&cause);
                }
                self.deadline.set(Instant::now() + delay);
                self.state = State::Waiting;
            }
            Err(error) => self.end(Some(error)),
        }
    }

    fn end(&mut self, error: Option<Error>) {
        self.deadline.set(Instant::now() + FINAL_ACKNOWLEDGE_TIMEOUT);
        self.state = State::Ending(error);
    }

    fn connection(&mut self) -> Service {
        self.connection.get_or_insert_with(|| self.client.separate_connection()).clone()
    }

    /// Acknowledges all handled events, and waits for the server's responses.
    fn poll_acknowledge_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.acknowledging.is_some() || self.start_acknowledge() {
            ready!(self.poll_acknowledge(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Starts to acknowledge handled events. Returns whether there are any.
    fn start_acknowledge(&mut self) -> bool {
        let Some(request) = self.progress.pending().cloned() else { return false };
        let mut client = SubscriptionServiceClient::new(self.connection());
        self.acknowledge_at.set(Instant::now() + ACKNOWLEDGE_INTERVAL);
        self.acknowledging = Some(Box::pin(async move {
            let result = match timeout(RESPONSE_TIMEOUT, client.acknowledge(request.clone())).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(status)) => Err(status.into()),
                Err(_) => {
                    Err(Status::deadline_exceeded("the server did not confirm the acknowledgement in time")
                        .into())
                }
            };
            (request, result)
        }));
        true
    }

    /// Waits for the response to the acknowledgement in progress, and records it.
    fn poll_acknowledge(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(acknowledging) = &mut self.acknowledging else { return Poll::Pending };
        let (request, result) = ready!(acknowledging.as_mut().poll(cx));
        self.acknowledging = None;
        self.progress.acknowledged(&request, result.as_ref().err());
        Poll::Ready(result)
    }
}

/// The cause of a reconnect for which the transport reports no failure.
fn unavailable(message: &str) -> Error {
    Status::unavailable(message).into()
}

impl Stream for EventStream {
    type Item = Result<StreamItem, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx).map(Result::transpose)
    }
}

/// A timer that can be moved often: the runtime's timer is set only when someone waits for it.
struct Timer {
    at: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn at(at: Instant) -> Self {
        Self { at, sleep: None }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        if sleep.deadline() != self.at {
            sleep.as_mut().reset(self.at);
        }
        sleep.as_mut().poll(cx)
    }
}
