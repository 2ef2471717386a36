//! Subscribers: clients that read event streams. Each has its own behavior and records every item that it receives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::Cursor;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{EventFilter, ExpiredPolicy, StartPosition, SubscribeRequest, SubscribeResponse};
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use crate::coverage::{LEFT_THE_TAIL, TRIMMED, TRIMMED_BY_SIZE, end_counter, start_counter};
use crate::history::{
    Completion, CursorOrigin, Filter, ObservedEvent, OperationKind, Start, Stream, StreamEnd, StreamItem,
};
use crate::nemesis::ServerFault;
use crate::recorder::{Recorder, lock};
use crate::subscription_manager::{self, ManagedSubscription};

/// The heartbeat interval that subscribers request.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The idle timeout of a stream. Two heartbeat intervals would be enough; the rest allows for a slow machine.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Delay before a subscriber that received no item reconnects.
const RETRY_DELAY: Duration = Duration::from_millis(50);

pub(crate) const CURSOR_EXPIRED: &str = "CURSOR_EXPIRED";
pub(crate) const CURSOR_LOST: &str = "CURSOR_LOST";

/// More bytes of events than the server's in-memory tail holds.
const MORE_THAN_THE_TAIL: usize = 20 << 20;

/// The longest stall of a slow subscriber.
const LONGEST_STALL: Duration = Duration::from_secs(45);

/// How long an absent subscriber stays disconnected, in milliseconds.
const ABSENCE_MILLIS: std::ops::Range<u64> = 1_000..4_000;

/// What a subscriber does in addition to reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriberBehavior {
    /// It stays connected.
    Steady,
    /// It disconnects at random and resumes after its last item, or after an earlier event.
    Reconnecting,
    /// It disconnects at random and resumes since the receive time of its last event.
    ReconnectingByTime,
    /// It stops reading until more is published than the server's tail holds.
    Slow,
    /// It reads a subscription and acknowledges what it receives.
    Acknowledging,
    /// It reads a subscription, disconnects at random, and acknowledges events that it received a while ago.
    AcknowledgingLate,
    /// Like `AcknowledgingLate`, and it stays disconnected for seconds.
    Absent,
}

/// A client that reads event streams.
pub(crate) struct Subscriber {
    pub(crate) name: String,
    pub(crate) behavior: SubscriberBehavior,
    pub(crate) filter: Filter,
    pub(crate) wants_gaps: bool,
    pub(crate) start: Start,
    /// The subscription that it reads, if any.
    pub(crate) subscription: Option<Arc<ManagedSubscription>>,
    pub(crate) server: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) recorder: Arc<Recorder>,
}

/// When a subscriber disconnects: after this many items, or at this time.
struct DisconnectAt {
    after: usize,
    at: Instant,
}

impl Subscriber {
    /// Reads one stream after another until it reaches the target.
    pub(crate) async fn run(mut self) {
        let mut channel = None;
        let mut start = self.start;
        loop {
            let invoked = self.recorder.now();
            let mut stream = Stream {
                subscriber: self.name.clone(),
                filter: self.filter.clone(),
                start,
                wants_gaps: self.wants_gaps,
                invoked,
                started_at: 0,
                items: Vec::new(),
                end: StreamEnd::ConnectionLost,
            };
            stream.end = self.read(&mut channel, &mut stream).await;
            if stream.items.is_empty() {
                stream.started_at = self.recorder.now();
            }
            let done = matches!(stream.end, StreamEnd::CaughtUp | StreamEnd::NotCaughtUp);
            start = self.next_start(&stream);
            if let StreamEnd::Failed { reason, position: Some(oldest), .. } = &stream.end
                && reason == CURSOR_EXPIRED
            {
                // A subscription resumes from the cursor that the failure reports.
                self.acknowledge(&mut channel, *oldest, 0).await;
            }
            let keeps_connection = stream.end == StreamEnd::Disconnected && self.random.bool();
            if !keeps_connection {
                channel = None;
            }
            let received_nothing = stream.items.is_empty();
            self.recorder.count(end_counter(&stream.end));
            if let StreamEnd::Failed { reason, .. } = &stream.end {
                let prefix = if stream.subscription().is_some() { "subscription streams" } else { "streams" };
                self.recorder.count(&format!("{prefix} failed: {reason}"));
            }
            lock(&self.recorder.streams).push(stream);
            if done {
                return;
            }
            if received_nothing {
                tokio::time::sleep(RETRY_DELAY).await;
            } else if self.behavior == SubscriberBehavior::Absent {
                let absence = Duration::from_millis(self.random.u64(ABSENCE_MILLIS));
                let mut target = self.recorder.target.subscribe();
                let _ = timeout(absence, target.wait_for(Option::is_some)).await;
            }
        }
    }

    /// The start of the next stream after `stream`.
    fn next_start(&mut self, stream: &Stream) -> Start {
        match &stream.end {
            _ if stream.subscription().is_some() => return stream.start,
            StreamEnd::Failed { reason, position: Some(position), .. } if reason == CURSOR_LOST => {
                return Start::After(*position, CursorOrigin::Lost);
            }
            // The failure reports the oldest cursor that is left.
            StreamEnd::Failed { position: Some(oldest), .. } => {
                return Start::After(*oldest, CursorOrigin::Expired);
            }
            StreamEnd::Failed { position: None, .. }
            | StreamEnd::Disconnected
            | StreamEnd::CaughtUp
            | StreamEnd::IdleTimeout
            | StreamEnd::Ok
            | StreamEnd::ConnectionLost
            | StreamEnd::NotCaughtUp => {}
        }
        let Some((cursor, origin)) = stream.items.iter().rev().find_map(StreamItem::position) else {
            return stream.start;
        };
        let events: Vec<&ObservedEvent> = stream.events().collect();
        match self.behavior {
            SubscriberBehavior::ReconnectingByTime => match events.last() {
                Some(event) => Start::Since(event.receive_ms),
                None => Start::After(cursor, origin),
            },
            // The subscriber has processed only part of what it received.
            SubscriberBehavior::Reconnecting if self.random.u8(0..3) == 0 && !events.is_empty() => {
                let processed = events.len() - 1 - self.random.usize(0..events.len().min(50));
                Start::After(events[processed].cursor, CursorOrigin::EarlierEvent)
            }
            SubscriberBehavior::Reconnecting
            | SubscriberBehavior::Steady
            | SubscriberBehavior::Slow
            | SubscriberBehavior::Acknowledging
            | SubscriberBehavior::AcknowledgingLate
            | SubscriberBehavior::Absent => Start::After(cursor, origin),
        }
    }

    /// Reads one stream and returns how it ended.
    async fn read(&mut self, channel: &mut Option<Channel>, stream: &mut Stream) -> StreamEnd {
        let abort = self.recorder.abort.clone();
        tokio::select! {
            end = self.read_until_end(channel, stream) => end,
            () = abort.cancelled() => StreamEnd::NotCaughtUp,
        }
    }

    async fn read_until_end(&mut self, channel: &mut Option<Channel>, stream: &mut Stream) -> StreamEnd {
        if channel.is_none() {
            *channel = connect(self.server).await;
        }
        let Some(connected) = channel.clone() else { return StreamEnd::ConnectionLost };
        let mut client = EventServiceClient::new(connected);
        let mut streaming = match timeout(IDLE_TIMEOUT, client.subscribe(self.request(stream.start))).await {
            Err(_) => return StreamEnd::IdleTimeout,
            Ok(Err(status)) => return classify(&status),
            Ok(Ok(response)) => response.into_inner(),
        };
        let disconnect = DisconnectAt {
            after: self.random.usize(1..400),
            at: Instant::now() + Duration::from_millis(self.random.u64(0..3_000)),
        };
        // The first stall begins at once, before the first fault: then only the slow subscriber holds up the stream.
        let mut stall_at = Instant::now();
        let mut target = self.recorder.target.subscribe();
        loop {
            // The last item may have arrived before the target was set. Otherwise the next item is after the target.
            let position = stream.items.iter().rev().find_map(StreamItem::position).map(|(cursor, _)| cursor);
            let current_target = *target.borrow_and_update();
            if let Some((position, target)) = position.zip(current_target)
                && position.sequence >= target
            {
                let acknowledged = self.acknowledge(channel, position, generation(stream)).await;
                return if acknowledged { StreamEnd::CaughtUp } else { StreamEnd::ConnectionLost };
            }
            let disconnects = match self.behavior {
                SubscriberBehavior::Reconnecting
                | SubscriberBehavior::ReconnectingByTime
                | SubscriberBehavior::AcknowledgingLate
                | SubscriberBehavior::Absent => {
                    stream.items.len() >= disconnect.after || Instant::now() >= disconnect.at
                }
                SubscriberBehavior::Steady | SubscriberBehavior::Slow | SubscriberBehavior::Acknowledging => {
                    false
                }
            };
            if disconnects && target.borrow().is_none() {
                return StreamEnd::Disconnected;
            }
            if self.behavior == SubscriberBehavior::Slow
                && stream.events().next().is_some()
                && Instant::now() >= stall_at
            {
                self.stall().await;
                stall_at = self.next_stall();
            }
            let next = tokio::select! {
                next = timeout(IDLE_TIMEOUT, streaming.message()) => next,
                _ = target.changed() => continue,
            };
            let item = match next {
                Err(_) => return StreamEnd::IdleTimeout,
                Ok(Err(status)) => return classify(&status),
                Ok(Ok(None)) => return StreamEnd::Ok,
                Ok(Ok(Some(response))) => parse_item(response),
            };
            if let (StreamItem::Started { generation, .. }, Some(subscription)) = (&item, &self.subscription)
            {
                stream.filter = subscription.filter_at(*generation);
            }
            if stream.items.is_empty() {
                stream.started_at = self.recorder.now();
            }
            self.count_item(&item, stream);
            stream.items.push(item);
            if let Some(cursor) = self.cursor_to_acknowledge(stream) {
                let generation = if self.random.u8(0..4) == 0 { 0 } else { generation(stream) };
                self.acknowledge(channel, cursor, generation).await;
            }
        }
    }

    /// The cursor to acknowledge after the last item, if any.
    fn cursor_to_acknowledge(&mut self, stream: &Stream) -> Option<Cursor> {
        let late = match self.behavior {
            SubscriberBehavior::Acknowledging => false,
            SubscriberBehavior::AcknowledgingLate | SubscriberBehavior::Absent => true,
            SubscriberBehavior::Steady
            | SubscriberBehavior::Reconnecting
            | SubscriberBehavior::ReconnectingByTime
            | SubscriberBehavior::Slow => return None,
        };
        match stream.items.last()? {
            StreamItem::Event(event) if !late => (self.random.u8(0..8) == 0).then_some(event.cursor),
            StreamItem::Event(_) => {
                let events: Vec<&ObservedEvent> = stream.events().collect();
                let before = self.random.usize(0..events.len().min(50));
                (self.random.u8(0..6) == 0).then(|| events[events.len() - 1 - before].cursor)
            }
            StreamItem::Heartbeat(cursor) => (!late || self.random.bool()).then_some(*cursor),
            StreamItem::Gap { resume, .. } => Some(*resume),
            StreamItem::Started { .. } | StreamItem::Closing { .. } | StreamItem::Malformed(_) => None,
        }
    }

    /// Acknowledges, if it reads a subscription. Returns false if the acknowledgement did not complete with OK.
    async fn acknowledge(&self, channel: &mut Option<Channel>, cursor: Cursor, generation: u64) -> bool {
        let Some(subscription) = &self.subscription else { return true };
        if channel.is_none() {
            *channel = connect(self.server).await;
        }
        let Some(connected) = channel.clone() else { return false };
        let kind = OperationKind::Acknowledge { cursor, generation };
        let completion =
            subscription_manager::invoke(&self.recorder, connected, subscription.id, kind, IDLE_TIMEOUT)
                .await;
        matches!(completion, Completion::Ok { .. })
    }

    fn request(&self, start: Start) -> SubscribeRequest {
        let policy = if self.wants_gaps { ExpiredPolicy::SkipWithGap } else { ExpiredPolicy::Fail };
        SubscribeRequest {
            filter: self.subscription.is_none().then(|| event_filter(&self.filter)).flatten(),
            start: Some(match start {
                Start::Latest => From::Position(StartPosition::Latest.into()),
                Start::Earliest => From::Position(StartPosition::Earliest.into()),
                Start::After(cursor, _) => From::AfterCursor(cursor.to_string()),
                Start::Since(time) => From::Since(timestamp(time)),
                Start::Subscription(id) => From::SubscriptionId(id.to_owned()),
            }),
            heartbeat_interval: Some(HEARTBEAT.try_into().expect("the interval fits in a protobuf Duration")),
            expired_policy: policy.into(),
            // Events without an identity are matched by the digest of their raw body.
            include_raw: self.name.starts_with("all"),
            ..SubscribeRequest::default()
        }
    }

    /// Counts a received item.
    fn count_item(&mut self, item: &StreamItem, stream: &Stream) {
        self.recorder.count(match item {
            StreamItem::Started { oldest, .. } => {
                if oldest.sequence > 0 {
                    let by_size = !self.recorder.has_counted(&ServerFault::Expire.to_string());
                    self.recorder.count(if by_size { TRIMMED_BY_SIZE } else { TRIMMED });
                }
                start_counter(stream.start)
            }
            StreamItem::Event(event) => {
                if self.random.u8(0..32) == 0 {
                    self.recorder.remember_cursor(event.cursor, event.receive_ms);
                }
                match stream.started() {
                    Some((_, _, newest)) if event.sequence() > newest.sequence => "events received live",
                    _ => "events received from the journal",
                }
            }
            StreamItem::Heartbeat(_) => "heartbeats",
            StreamItem::Gap { .. } if stream.subscription().is_some() => "subscription gaps",
            StreamItem::Gap { .. } => "gaps",
            StreamItem::Closing { .. } => "closings",
            StreamItem::Malformed(_) => "malformed items",
        });
    }

    /// When the next stall begins.
    fn next_stall(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.random.u64(200..5_000))
    }

    /// Stops reading until more is published than the server's tail holds.
    async fn stall(&self) {
        self.recorder.count("slow subscriber stalls");
        self.recorder.stalled_subscribers.send_modify(|subscribers| *subscribers += 1);
        let mut published = self.recorder.published_bytes.subscribe();
        let mut target = self.recorder.target.subscribe();
        let until = *published.borrow() + MORE_THAN_THE_TAIL;
        tokio::select! {
            _ = published.wait_for(|bytes| *bytes >= until) => self.recorder.count(LEFT_THE_TAIL),
            _ = target.wait_for(Option::is_some) => {}
            () = self.recorder.stop_publishing.cancelled() => {}
            () = tokio::time::sleep(LONGEST_STALL) => {}
        }
        self.recorder.stalled_subscribers.send_modify(|subscribers| *subscribers -= 1);
    }
}

/// Connects, if the server accepts connections.
pub(crate) async fn connect(server: SocketAddr) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))
        .expect("an address is a valid URI")
        .connect_timeout(IDLE_TIMEOUT);
    timeout(IDLE_TIMEOUT, endpoint.connect()).await.ok()?.ok()
}

/// Reads the journal from the oldest to the newest event, with raw bodies, while no fault is active. Returns the
/// cursor before the oldest event, and all events.
pub(crate) async fn read_whole_journal(server: SocketAddr) -> Result<(Cursor, Vec<ObservedEvent>), String> {
    let channel = connect(server).await.ok_or("cannot connect to read the whole journal")?;
    let request = SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        include_raw: true,
        ..SubscribeRequest::default()
    };
    let failed = |status: Status| format!("the whole journal cannot be read: {status}");
    let mut stream: Streaming<SubscribeResponse> =
        EventServiceClient::new(channel).subscribe(request).await.map_err(failed)?.into_inner();
    let mut events = Vec::new();
    let mut next = stream.message().await.map_err(failed)?.map(parse_item);
    let Some(StreamItem::Started { cursor, newest, .. }) = next else {
        return Err(format!("expected `started`, got {next:?}"));
    };
    while events.last().map_or(cursor.sequence, ObservedEvent::sequence) < newest.sequence {
        next = stream.message().await.map_err(failed)?.map(parse_item);
        match next {
            Some(StreamItem::Event(event)) => events.push(event),
            Some(StreamItem::Heartbeat(_)) => {}
            other => return Err(format!("expected an event or a heartbeat, got {other:?}")),
        }
    }
    Ok((cursor, events))
}

pub(crate) fn event_filter(filter: &Filter) -> Option<EventFilter> {
    (*filter != Filter::default()).then(|| EventFilter {
        accounts: filter.accounts.clone(),
        types: filter.types.clone(),
        customers: Vec::new(),
    })
}

pub(crate) fn timestamp(millis: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000).expect("less than a second");
    prost_types::Timestamp { seconds: millis.div_euclid(1_000), nanos }
}

/// Classifies an error status. A status without a reason comes from the connection.
fn classify(status: &Status) -> StreamEnd {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return StreamEnd::ConnectionLost };
    let position = match info.reason.as_str() {
        CURSOR_EXPIRED => info.metadata.get("oldest_cursor"),
        CURSOR_LOST => info.metadata.get("newest_cursor"),
        _ => None,
    };
    StreamEnd::Failed {
        code: status.code(),
        reason: info.reason.clone(),
        position: position.and_then(|position| position.parse().ok()),
    }
}

/// The generation that the stream's `started` reported.
fn generation(stream: &Stream) -> u64 {
    match stream.items.first() {
        Some(StreamItem::Started { generation, .. }) => *generation,
        _ => 0,
    }
}

fn parse_item(response: SubscribeResponse) -> StreamItem {
    let received = format!("{:?}", response.response.as_ref().map(std::mem::discriminant));
    try_parse_item(response).unwrap_or(StreamItem::Malformed(received))
}

/// Returns `None` if a field is missing or a cursor is invalid.
fn try_parse_item(response: SubscribeResponse) -> Option<StreamItem> {
    let cursor = |text: &str| text.parse::<Cursor>().ok();
    Some(match response.response? {
        Response::Started(started) => StreamItem::Started {
            cursor: cursor(&started.cursor)?,
            oldest: cursor(&started.oldest_cursor)?,
            newest: cursor(&started.newest_cursor)?,
            generation: started.generation,
        },
        Response::Event(event) => StreamItem::Event(ObservedEvent::from_proto(event)?),
        Response::Heartbeat(heartbeat) => StreamItem::Heartbeat(cursor(&heartbeat.cursor)?),
        Response::Gap(gap) => StreamItem::Gap {
            after: match gap.after_cursor.as_str() {
                "" => None,
                after => Some(cursor(after)?),
            },
            resume: cursor(&gap.resume_cursor)?,
            missed: gap.missed,
        },
        Response::Closing(closing) => {
            StreamItem::Closing { cursor: cursor(&closing.cursor)?, reason: closing.reason() }
        }
    })
}
