//! Events as they happen, also over broken connections and restarts of the gateway.

use std::error::Error as _;
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status, Streaming};

use super::call::delays;
use super::{Client, Error};
use crate::pb::v1::event_service_client::EventServiceClient;
use crate::pb::v1::subscribe_request::Start;
use crate::pb::v1::subscribe_response::Response;
use crate::pb::v1::{
    AcknowledgeRequest, ClosingReason, Event, ExpiredPolicy, SubscribeGap, SubscribeRequest,
    SubscribeResponse,
};

/// How long a stream may take to stand.
const OPENING: Duration = Duration::from_secs(10);

/// How long what is finished may wait to be acknowledged, while more happens.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_secs(1);

/// The longest wait before a stream is opened again.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// A loop over events.
///
/// ```no_run
/// # async fn example(client: switchboard::client::Client) -> Result<(), switchboard::client::Error> {
/// use switchboard::client::Happened;
/// use switchboard::pb::v1::SubscribeRequest;
///
/// let mut events = client.subscribe(SubscribeRequest::default());
/// while let Some(happened) = events.next().await? {
///     if let Happened::Event(event) = happened {
///         println!("{} {}", event.id, event.r#type);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// It has a connection of its own. When that breaks, when the gateway restarts, or when nothing was heard for two
/// heartbeats, the stream is opened again where the loop has come to: no event is lost, and none comes twice. To call
/// [`next`](Self::next) is to be done with what came before.
///
/// Of a named subscription, what is done with is acknowledged by and by, and before the stream is opened again.
#[derive(Debug)]
pub struct Events {
    client: Client,
    request: SubscribeRequest,
    stream: Option<Streaming<SubscribeResponse>>,
    /// The place up to which all is done with. Empty as long as nothing is known.
    cursor: String,
    /// The place of what was given out last.
    given: Option<String>,
    seen: u64,
    /// How long the stream may be silent.
    silence: Duration,
    delays: ExponentialBackoff,
    acknowledged: Acknowledged,
    ended: bool,
}

/// How far a named subscription was acknowledged.
#[derive(Debug)]
struct Acknowledged {
    cursor: String,
    generation: u64,
    at: Instant,
}

/// What a loop over events is given.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a gap is rare, and an event must be held somewhere")]
pub enum Happened {
    /// An event.
    Event(Event),
    /// Events are missing here: only with `EXPIRED_POLICY_SKIP_WITH_GAP`.
    Gap(SubscribeGap),
}

/// What came of one try at the stream.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Came {
    Happened(Happened),
    /// Only that it lives.
    Nothing,
    /// The stream ended as was asked for.
    End,
    /// It is to be opened again, after so long at least.
    Broke(Duration),
}

impl Client {
    /// Follows events from where the request says. Nothing is asked before the first [`Events::next`].
    pub fn subscribe(&self, request: SubscribeRequest) -> Events {
        let cursor = match &request.start {
            Some(Start::AfterCursor(cursor)) => cursor.clone(),
            _ => String::new(),
        };
        Events {
            client: self.clone(),
            request,
            stream: None,
            cursor,
            given: None,
            seen: 0,
            silence: OPENING,
            delays: delays(),
            acknowledged: Acknowledged { cursor: String::new(), generation: 0, at: Instant::now() },
            ended: false,
        }
    }
}

impl Events {
    /// The place up to which all is done with: to go on there in another process, give it as `after_cursor`. Empty as
    /// long as nothing is known.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Is done with what came before, and waits for what comes next. None when the stream has ended as the request asked
    /// for (`max_events`, `idle_timeout`).
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// When the gateway refuses the stream for another reason than that it is not there now.
    pub async fn next(&mut self) -> Result<Option<Happened>, Error> {
        if let Some(cursor) = self.given.take() {
            self.cursor = cursor;
        }
        if self.ended {
            return Ok(None);
        }
        loop {
            if self.acknowledged.at.elapsed() >= ACKNOWLEDGE_AFTER {
                self.acknowledge_if_possible().await?;
            }
            match self.come().await {
                Ok(Came::Happened(happened)) => {
                    self.given = Some(match &happened {
                        Happened::Event(event) => event.cursor.clone(),
                        Happened::Gap(gap) => gap.resume_cursor.clone(),
                    });
                    return Ok(Some(happened));
                }
                Ok(Came::Nothing) => {}
                Ok(Came::End) => {
                    self.ended = true;
                    self.acknowledge_if_possible().await?;
                    return Ok(None);
                }
                Ok(Came::Broke(least)) => {
                    self.stream = None;
                    let delay = self.delays.next().unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY);
                    sleep(delay.max(least)).await;
                }
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// Of a named subscription, makes it durable at the gateway how far the loop has come. Without one, does nothing.
    ///
    /// # Errors
    ///
    /// When the gateway does not take it.
    pub async fn acknowledge(&mut self) -> Result<(), Error> {
        self.acknowledged.at = Instant::now();
        let Some(Start::Subscription(subscription)) = &self.request.start else { return Ok(()) };
        if self.cursor.is_empty() || self.cursor == self.acknowledged.cursor {
            return Ok(());
        }
        let cursor = self.cursor.clone();
        let request = AcknowledgeRequest {
            subscription: subscription.clone(),
            cursor: cursor.clone(),
            generation: self.acknowledged.generation,
        };
        self.client.call(request).await?;
        self.acknowledged.cursor = cursor;
        Ok(())
    }

    /// Acknowledges, unless that must wait for the gateway, or the subscription was moved away.
    async fn acknowledge_if_possible(&mut self) -> Result<(), Error> {
        match self.acknowledge().await {
            Err(error) if error.code() == Code::Unavailable => Ok(()),
            Err(error) if error.reason() == "SUBSCRIPTION_GENERATION_STALE" => Ok(()),
            result => result,
        }
    }

    async fn come(&mut self) -> Result<Came, Error> {
        if self.stream.is_none() {
            self.acknowledge_if_possible().await?;
            match timeout(OPENING, self.client.open(self.request())).await {
                Ok(Ok(stream)) => self.stream = Some(stream),
                Ok(Err(status)) => return broken(status),
                Err(_) => return Ok(Came::Broke(Duration::ZERO)),
            }
            self.silence = OPENING;
        }
        let Some(stream) = &mut self.stream else { return Ok(Came::Broke(Duration::ZERO)) };
        loop {
            let message = match timeout(self.silence, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Err(status)) => return broken(status),
                // An end without a word, or silence.
                Ok(Ok(None)) | Err(_) => return Ok(Came::Broke(Duration::ZERO)),
            };
            match message.response {
                Some(Response::Started(started)) => {
                    let interval = started.heartbeat_interval.and_then(|interval| interval.try_into().ok());
                    self.silence = interval.map_or(OPENING, |interval: Duration| 2 * interval);
                    self.delays = delays();
                    self.acknowledged.generation = started.generation;
                    // What is missing at a start in time is told only to whoever starts there.
                    let gap_may_come = matches!(self.request.start, Some(Start::Since(_)))
                        && self.request.expired_policy() == ExpiredPolicy::SkipWithGap
                        && started.cursor == started.oldest_cursor;
                    if self.cursor.is_empty() && !gap_may_come {
                        self.cursor = started.cursor;
                    }
                }
                Some(Response::Event(event)) => {
                    self.seen += 1;
                    return Ok(Came::Happened(Happened::Event(event)));
                }
                Some(Response::Gap(gap)) => return Ok(Came::Happened(Happened::Gap(gap))),
                Some(Response::Heartbeat(heartbeat)) => {
                    self.cursor = heartbeat.cursor;
                    return Ok(Came::Nothing);
                }
                Some(Response::Closing(closing)) => match closing.reason() {
                    ClosingReason::MaxEvents | ClosingReason::IdleTimeout => return Ok(Came::End),
                    // The status says what comes of it.
                    ClosingReason::Unspecified
                    | ClosingReason::Shutdown
                    | ClosingReason::SubscriptionChanged
                    | ClosingReason::SubscriptionDeleted => {}
                },
                // Something that this version does not know.
                None => {}
            }
        }
    }

    /// The request that goes on where the loop has come to.
    fn request(&self) -> SubscribeRequest {
        let mut request = self.request.clone();
        if request.max_events > 0 {
            request.max_events = (request.max_events - self.seen).max(1);
        }
        if !self.cursor.is_empty() && !matches!(request.start, Some(Start::Subscription(_))) {
            request.start = Some(Start::AfterCursor(self.cursor.clone()));
        }
        request
    }
}

impl Client {
    /// Opens a stream on a connection of its own.
    async fn open(&self, request: SubscribeRequest) -> Result<Streaming<SubscribeResponse>, Status> {
        // Large bodies are asked for one by one, and may be longer than 4 MiB with all that is around them.
        let mut client = EventServiceClient::new(self.apart()).max_decoding_message_size(usize::MAX);
        Ok(client.subscribe(request).await?.into_inner())
    }
}

/// What a stream's failure means: one that came from the gateway counts as what it says, and one that was made here, of a
/// connection that broke, proves nothing.
fn broken(status: Status) -> Result<Came, Error> {
    let made_here = status.source().is_some();
    let error = Error::from(status);
    if made_here || error.code() == Code::Unavailable {
        Ok(Came::Broke(error.retry_delay().unwrap_or_default()))
    } else {
        Err(error)
    }
}
