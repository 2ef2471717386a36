//! Events as they happen, also over broken connections and restarts of the gateway.

use std::fmt;
use std::future::pending;
use std::mem;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::{Code, Status, Streaming};

use super::call::LONGEST_ASKED;
use super::progress::{Progress, is_passing, is_stale};
use super::{Client, Error, Service};
use crate::pb::v1::event_service_client::EventServiceClient;
use crate::pb::v1::subscribe_response::Response;
use crate::pb::v1::{AcknowledgeRequest, Event, SubscribeGap, SubscribeRequest, SubscribeResponse};

/// How long a stream may take to stand, and how long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The least time between two acknowledgements that nobody asked for.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_secs(1);

/// How long the end of a loop waits for its last acknowledgement.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
/// Of a named subscription, what is done with is acknowledged about every second while [`next`](Self::next) waits, before
/// the stream is opened again, and when the loop ends, which may take two seconds then. When somebody moves the
/// subscription or gives it another filter, the loop goes on with that. What was given out last when this is dropped is
/// not done with, and comes again to the next loop; call [`acknowledge`](Self::acknowledge) where that is not wanted.
pub struct Events {
    client: Client,
    progress: Progress,
    state: State,
    /// The connection of the stream and of what is acknowledged, once it is needed.
    connection: Option<Service>,
    /// How long the stream may be silent.
    silence: Duration,
    /// When the silence has lasted too long.
    until: Instant,
    /// Whether the program has what came last: the time that it takes is not the stream's silence.
    handed_out: bool,
    acknowledging: Option<Acknowledging>,
    /// When the next acknowledgement may begin.
    acknowledge_at: Instant,
}

/// Where a loop stands. All that it waits for is kept here, so that a [`Events::next`] that is dropped goes on with the
/// next one.
enum State {
    /// No stream is opened before that moment.
    Waiting(Instant),
    Opening(BoxFuture<'static, Result<Streaming<SubscribeResponse>, Status>>),
    Open(Box<Streaming<SubscribeResponse>>),
    /// Until that moment at most, it waits for its last acknowledgement. Then this was why it ended, if it failed.
    Ending(Instant, Option<Error>),
    Ended,
}

/// An acknowledgement that is under way.
type Acknowledging = BoxFuture<'static, (AcknowledgeRequest, Result<(), Error>)>;

/// What a loop over events is given.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a gap is rare, and an event must be held somewhere")]
pub enum Happened {
    /// An event.
    Event(Event),
    /// Events are missing here: only with `EXPIRED_POLICY_SKIP_WITH_GAP`.
    Gap(SubscribeGap),
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}

impl Client {
    /// Follows events from where the request says. Nothing is asked before the first [`Events::next`].
    pub fn subscribe(&self, request: SubscribeRequest) -> Events {
        let now = Instant::now();
        Events {
            client: self.clone(),
            progress: Progress::new(request),
            state: State::Waiting(now),
            connection: None,
            silence: PATIENCE,
            until: now,
            handed_out: false,
            acknowledging: None,
            acknowledge_at: now + ACKNOWLEDGE_AFTER,
        }
    }
}

impl Events {
    /// The place up to which all is done with: to go on there in another process, give it as `after_cursor`. Empty as
    /// long as nothing is known.
    pub fn cursor(&self) -> &str {
        self.progress.cursor()
    }

    /// Is done with what came before, and waits for what comes next. None when the stream has ended as the request asked
    /// for (`max_events`, `idle_timeout`).
    ///
    /// Dropping the future loses nothing: the next one goes on where it was.
    ///
    /// # Errors
    ///
    /// When the gateway refuses the stream for another reason than that it is not there now. A stream that something on
    /// the way resets, again and again before anything came on it, fails at the sixth time. After a failure the loop has
    /// ended.
    pub async fn next(&mut self) -> Result<Option<Happened>, Error> {
        self.progress.finish();
        if mem::take(&mut self.handed_out) {
            self.until = Instant::now() + self.silence;
        }
        loop {
            match &mut self.state {
                State::Waiting(at) => {
                    sleep_until(*at).await;
                    self.open().await;
                }
                State::Opening(opening) => match timeout_at(self.until, opening).await {
                    Ok(Ok(stream)) => self.state = State::Open(Box::new(stream)),
                    Ok(Err(status)) => self.broke(Some(status.into())),
                    Err(_) => self.broke(None),
                },
                State::Open(_) => {
                    if let Some(happened) = self.read().await {
                        self.handed_out = true;
                        return Ok(Some(happened));
                    }
                }
                State::Ending(until, _) => {
                    // Nobody is left to try it again.
                    let _ = timeout_at(*until, self.acknowledge_all()).await;
                    self.acknowledging = None;
                    if let State::Ending(_, Some(error)) = mem::replace(&mut self.state, State::Ended) {
                        return Err(error);
                    }
                }
                State::Ended => return Ok(None),
            }
        }
    }

    /// Of a named subscription, is done with the event, if it is the one that was given out last, and makes it durable at
    /// the gateway how far the loop has come. The loop does that by itself a little later. With None, the event at hand is
    /// not done with yet. Without a named subscription nothing is sent.
    ///
    /// # Errors
    ///
    /// When the gateway does not take it, or does not answer within ten seconds. Where that passes, the loop tries it
    /// again. `SUBSCRIPTION_GENERATION_STALE` says that somebody moved the subscription or gave it another filter: the
    /// event may come again.
    pub async fn acknowledge(&mut self, event: impl Into<Option<&Event>>) -> Result<(), Error> {
        if let Some(event) = event.into() {
            self.progress.finish_at(&event.cursor);
        }
        self.acknowledge_all().await
    }

    /// Opens a stream, when the gateway knows what is done with: that would come again.
    async fn open(&mut self) {
        match self.acknowledge_all().await {
            Err(error) if error.code() == Code::DeadlineExceeded => return self.broke(None),
            Err(error) if !is_stale(&error) => return self.broke(Some(error)),
            _ => {}
        }
        // Large bodies are asked for one by one, and may be longer than 4 MiB with all that is around them.
        let mut client = EventServiceClient::new(self.connection()).max_decoding_message_size(usize::MAX);
        let request = self.progress.request();
        let opening = async move { Ok(client.subscribe(request).await?.into_inner()) };
        self.state = State::Opening(Box::pin(opening));
        self.silence = PATIENCE;
        self.until = Instant::now() + PATIENCE;
    }

    /// Reads from the stream that is open, and acknowledges what is due meanwhile.
    async fn read(&mut self) -> Option<Happened> {
        let State::Open(stream) = &mut self.state else { return None };
        let due = self.acknowledging.is_none() && self.progress.pending().is_some();
        tokio::select! {
            message = timeout_at(self.until, stream.message()) => match message {
                Ok(Ok(Some(message))) => return self.take(message),
                Ok(Ok(None)) if self.progress.is_closed() => self.end(None),
                Ok(Err(status)) => self.broke(Some(status.into())),
                // An end without a word, or silence.
                Ok(Ok(None)) | Err(_) => self.broke(None),
            },
            (request, result) = outcome(&mut self.acknowledging) => match self.settle(&request, result) {
                Err(error) if is_passing(&error) => {
                    let asked = error.retry_delay().unwrap_or_default().min(LONGEST_ASKED);
                    self.acknowledge_at = Instant::now() + ACKNOWLEDGE_AFTER.max(asked);
                }
                Err(error) if !is_stale(&error) => self.end(Some(error)),
                _ => {}
            },
            () = sleep_until(self.acknowledge_at), if due => {
                self.begin_to_acknowledge();
            }
        }
        None
    }

    fn take(&mut self, message: SubscribeResponse) -> Option<Happened> {
        let happened = match message.response {
            Some(Response::Started(started)) => {
                self.silence = self.progress.start(started);
                None
            }
            Some(response) => self.progress.take(response),
            // Something that this version does not know.
            None => None,
        };
        self.until = Instant::now() + self.silence;
        happened
    }

    /// Decides what comes after a stream that broke, or was not opened.
    fn broke(&mut self, error: Option<Error>) {
        // On the old connection, a new stream could be as dead. What is under way there is asked again.
        self.connection = None;
        self.acknowledging = None;
        if self.progress.is_complete() {
            // The last event came, and the word that it was the last did not.
            return self.end(None);
        }
        match self.progress.after(error) {
            Ok(delay) => self.state = State::Waiting(Instant::now() + delay),
            Err(error) => self.end(Some(error)),
        }
    }

    fn end(&mut self, error: Option<Error>) {
        self.state = State::Ending(Instant::now() + LAST_WORDS, error);
    }

    fn connection(&mut self) -> Service {
        self.connection.get_or_insert_with(|| self.client.apart()).clone()
    }

    /// Acknowledges all that is done with, and waits until the gateway has answered.
    async fn acknowledge_all(&mut self) -> Result<(), Error> {
        while self.acknowledging.is_some() || self.begin_to_acknowledge() {
            let (request, result) = outcome(&mut self.acknowledging).await;
            self.settle(&request, result)?;
        }
        Ok(())
    }

    /// Begins to acknowledge what is done with. Says whether there is anything.
    fn begin_to_acknowledge(&mut self) -> bool {
        let Some(request) = self.progress.pending().cloned() else { return false };
        let mut client = EventServiceClient::new(self.connection());
        self.acknowledge_at = Instant::now() + ACKNOWLEDGE_AFTER;
        self.acknowledging = Some(Box::pin(async move {
            let result = match timeout(PATIENCE, client.acknowledge(request.clone())).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(status)) => Err(status.into()),
                Err(_) => Err(Status::deadline_exceeded("the acknowledgement was not answered").into()),
            };
            (request, result)
        }));
        true
    }

    fn settle(&mut self, request: &AcknowledgeRequest, result: Result<(), Error>) -> Result<(), Error> {
        self.progress.settle(request, result.as_ref().err());
        result
    }
}

/// What came of the acknowledgement that is under way. Waits for ever when there is none.
async fn outcome(acknowledging: &mut Option<Acknowledging>) -> (AcknowledgeRequest, Result<(), Error>) {
    let Some(running) = acknowledging else { return pending().await };
    let outcome = running.await;
    *acknowledging = None;
    outcome
}
