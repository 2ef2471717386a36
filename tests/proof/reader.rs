//! Readers of streams: each with its habits, each writing down all that it is given.

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

use crate::ledger::{Ledger, held};
use crate::record::{Answer, End, Given, Kept, Seen, Start, Stream, Wanted, What};
use crate::subscription::{self, Known};
use crate::summary::{FELL_BEHIND, TRIMMED, TRIMMED_BY_SIZE, of_end, of_start};
use crate::trouble::Fault;

/// The interval of heartbeats that readers ask for.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A stream that is silent for so long is dead. Two intervals would do; machines are busy.
const SILENCE: Duration = Duration::from_secs(5);

/// How long a reader that found nobody waits before it comes again.
const BEFORE_AGAIN: Duration = Duration::from_millis(50);

pub(crate) const CURSOR_EXPIRED: &str = "CURSOR_EXPIRED";
pub(crate) const CURSOR_LOST: &str = "CURSOR_LOST";

/// More bytes of events than the server's tail in memory holds.
const MORE_THAN_THE_TAIL: usize = 20 << 20;

/// The longest that a slow reader does not read.
const LONGEST_STALL: Duration = Duration::from_secs(45);

/// How long one that stays away does, in milliseconds.
const AWAY: std::ops::Range<u64> = 1_000..4_000;

/// What a reader does beside reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing.
    Steady,
    /// It breaks off now and then, and goes on behind the last that it was given, or behind an event before that.
    Leaving,
    /// As above, but it goes on since a time.
    ComingBackSince,
    /// It does not read until more has gone by than the server has in memory.
    Slow,
    /// It reads a subscription, and acknowledges what it is given.
    Acknowledging,
    /// As above, but it breaks off now and then, and acknowledges late: what it was given a while ago.
    Late,
    /// As above, and it stays away for long.
    Away,
}

/// One reader.
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) habit: Habit,
    pub(crate) wanted: Wanted,
    pub(crate) skips: bool,
    pub(crate) start: Start,
    /// The subscription that it reads.
    pub(crate) subscription: Option<Arc<Known>>,
    pub(crate) to: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) ledger: Arc<Ledger>,
}

/// When to leave a stream.
struct Leave {
    after: usize,
    at: Instant,
}

impl Reader {
    /// Reads on one stream after the other, until it has come to the goal.
    pub(crate) async fn run(mut self) {
        let mut channel = None;
        let mut start = self.start;
        loop {
            let opened = self.ledger.now();
            let mut stream = Stream {
                reader: self.name.clone(),
                wanted: self.wanted.clone(),
                start,
                skips: self.skips,
                opened,
                began: 0,
                given: Vec::new(),
                end: End::Broken,
            };
            stream.end = self.read(&mut channel, &mut stream).await;
            if stream.given.is_empty() {
                stream.began = self.ledger.now();
            }
            let done = matches!(stream.end, End::Settled | End::Lagging);
            start = self.next_start(&stream);
            if let End::Refused { reason, place: Some(oldest), .. } = &stream.end
                && reason == CURSOR_EXPIRED
            {
                // A subscription goes on where it is told to.
                self.acknowledge(&mut channel, *oldest, 0).await;
            }
            let keeps_connection = stream.end == End::Left && self.random.bool();
            if !keeps_connection {
                channel = None;
            }
            let found_nobody = stream.given.is_empty();
            self.ledger.count(of_end(&stream.end));
            if let End::Refused { reason, .. } = &stream.end {
                let whose = if stream.subscription().is_some() { "subscriptions " } else { "" };
                self.ledger.count(&format!("{whose}refused: {reason}"));
            }
            held(&self.ledger.streams).push(stream);
            if done {
                return;
            }
            if found_nobody {
                tokio::time::sleep(BEFORE_AGAIN).await;
            } else if self.habit == Habit::Away {
                let away = Duration::from_millis(self.random.u64(AWAY));
                let mut goal = self.ledger.goal.subscribe();
                let _ = timeout(away, goal.wait_for(Option::is_some)).await;
            }
        }
    }

    /// Where to go on behind a stream.
    fn next_start(&mut self, stream: &Stream) -> Start {
        match &stream.end {
            _ if stream.subscription().is_some() => return stream.start,
            End::Refused { reason, place: Some(place), .. } if reason == CURSOR_LOST => {
                return Start::After(*place, Kept::Lost);
            }
            // What was kept is gone, and that is the oldest there is.
            End::Refused { place: Some(oldest), .. } => return Start::After(*oldest, Kept::Expired),
            End::Refused { place: None, .. }
            | End::Left
            | End::Settled
            | End::Silent
            | End::Ok
            | End::Broken
            | End::Lagging => {}
        }
        let Some((cursor, kept)) = stream.given.iter().rev().find_map(Given::place) else {
            return stream.start;
        };
        let events: Vec<&Seen> = stream.events().collect();
        match self.habit {
            Habit::ComingBackSince => match events.last() {
                Some(event) => Start::Since(event.receive_ms),
                None => Start::After(cursor, kept),
            },
            // It had dealt with a part of what it was given.
            Habit::Leaving if self.random.u8(0..3) == 0 && !events.is_empty() => {
                let dealt_with = events.len() - 1 - self.random.usize(0..events.len().min(50));
                Start::After(events[dealt_with].cursor, Kept::EarlierEvent)
            }
            Habit::Leaving
            | Habit::Steady
            | Habit::Slow
            | Habit::Acknowledging
            | Habit::Late
            | Habit::Away => Start::After(cursor, kept),
        }
    }

    /// Reads one stream, and says how it ended.
    async fn read(&mut self, channel: &mut Option<Channel>, stream: &mut Stream) -> End {
        let give_up = self.ledger.give_up.clone();
        tokio::select! {
            end = self.read_on(channel, stream) => end,
            () = give_up.cancelled() => End::Lagging,
        }
    }

    async fn read_on(&mut self, channel: &mut Option<Channel>, stream: &mut Stream) -> End {
        if channel.is_none() {
            *channel = connect(self.to).await;
        }
        let Some(line) = channel.clone() else { return End::Broken };
        let mut client = EventServiceClient::new(line);
        let mut streaming = match timeout(SILENCE, client.subscribe(self.request(stream.start))).await {
            Err(_) => return End::Silent,
            Ok(Err(status)) => return ended(&status),
            Ok(Ok(answer)) => answer.into_inner(),
        };
        let leave = Leave {
            after: self.random.usize(1..400),
            at: Instant::now() + Duration::from_millis(self.random.u64(0..3_000)),
        };
        // The first time at once: before faults fall, so that it is the reader alone that holds the stream up.
        let mut stall_at = Instant::now();
        let mut goal = self.ledger.goal.subscribe();
        loop {
            // The last was given before the goal was set, or what is given next is behind it.
            let place = stream.given.iter().rev().find_map(Given::place).map(|(cursor, _)| cursor);
            let goal_now = *goal.borrow_and_update();
            if let Some((place, goal)) = place.zip(goal_now)
                && place.number >= goal
            {
                let settled = self.acknowledge(channel, place, generation(stream)).await;
                return if settled { End::Settled } else { End::Broken };
            }
            let leaves = match self.habit {
                Habit::Leaving | Habit::ComingBackSince | Habit::Late | Habit::Away => {
                    stream.given.len() >= leave.after || Instant::now() >= leave.at
                }
                Habit::Steady | Habit::Slow | Habit::Acknowledging => false,
            };
            if leaves && goal.borrow().is_none() {
                return End::Left;
            }
            if self.habit == Habit::Slow && stream.events().next().is_some() && Instant::now() >= stall_at {
                self.stall().await;
                stall_at = self.between_stalls();
            }
            let next = tokio::select! {
                next = timeout(SILENCE, streaming.message()) => next,
                _ = goal.changed() => continue,
            };
            let given = match next {
                Err(_) => return End::Silent,
                Ok(Err(status)) => return ended(&status),
                Ok(Ok(None)) => return End::Ok,
                Ok(Ok(Some(response))) => given(response),
            };
            if let (Given::Started { generation, .. }, Some(subscription)) = (&given, &self.subscription) {
                stream.wanted = subscription.wanted(*generation);
            }
            if stream.given.is_empty() {
                stream.began = self.ledger.now();
            }
            self.note(&given, stream);
            stream.given.push(given);
            if let Some(cursor) = self.dealt_with(stream) {
                let generation = if self.random.u8(0..4) == 0 { 0 } else { generation(stream) };
                self.acknowledge(channel, cursor, generation).await;
            }
        }
    }

    /// What to acknowledge with what a stream has just given, if anything.
    fn dealt_with(&mut self, stream: &Stream) -> Option<Cursor> {
        let late = match self.habit {
            Habit::Acknowledging => false,
            Habit::Late | Habit::Away => true,
            Habit::Steady | Habit::Leaving | Habit::ComingBackSince | Habit::Slow => return None,
        };
        match stream.given.last()? {
            Given::Event(event) if !late => (self.random.u8(0..8) == 0).then_some(event.cursor),
            Given::Event(_) => {
                let events: Vec<&Seen> = stream.events().collect();
                let before = self.random.usize(0..events.len().min(50));
                (self.random.u8(0..6) == 0).then(|| events[events.len() - 1 - before].cursor)
            }
            Given::Heartbeat(cursor) => (!late || self.random.bool()).then_some(*cursor),
            Given::Gap { resume, .. } => Some(*resume),
            Given::Started { .. } | Given::Closing { .. } | Given::Nonsense(_) => None,
        }
    }

    /// Acknowledges, if it reads a subscription. False if it was not answered that it is done.
    async fn acknowledge(&self, channel: &mut Option<Channel>, cursor: Cursor, generation: u64) -> bool {
        let Some(subscription) = &self.subscription else { return true };
        if channel.is_none() {
            *channel = connect(self.to).await;
        }
        let Some(line) = channel.clone() else { return false };
        let what = What::Acknowledge { cursor, generation };
        let answer = subscription::ask(&self.ledger, line, subscription.id, what, SILENCE).await;
        matches!(answer, Answer::Stands { .. })
    }

    fn request(&self, start: Start) -> SubscribeRequest {
        let policy = if self.skips { ExpiredPolicy::SkipWithGap } else { ExpiredPolicy::Fail };
        SubscribeRequest {
            filter: self.subscription.is_none().then(|| filter(&self.wanted)).flatten(),
            start: Some(match start {
                Start::Latest => From::Position(StartPosition::Latest.into()),
                Start::Earliest => From::Position(StartPosition::Earliest.into()),
                Start::After(cursor, _) => From::AfterCursor(cursor.to_string()),
                Start::Since(moment) => From::Since(timestamp(moment)),
                Start::SubscriptionId(id) => From::Subscription(id.to_owned()),
            }),
            heartbeat_interval: Some(HEARTBEAT.try_into().expect("in range")),
            expired_policy: policy.into(),
            // What has no identity is known by its body.
            include_raw: self.name.starts_with("all"),
            ..SubscribeRequest::default()
        }
    }

    /// Counts what a stream gave.
    fn note(&mut self, given: &Given, stream: &Stream) {
        self.ledger.count(match given {
            Given::Started { oldest, .. } => {
                if oldest.number > 0 {
                    let by_size = !self.ledger.has(&Fault::Expire.to_string());
                    self.ledger.count(if by_size { TRIMMED_BY_SIZE } else { TRIMMED });
                }
                of_start(stream.start)
            }
            Given::Event(event) => {
                if self.random.u8(0..32) == 0 {
                    self.ledger.knows(event.cursor, event.receive_ms);
                }
                match stream.started() {
                    Some((_, _, newest)) if event.number() > newest.number => "events given live",
                    _ => "events given from the journal",
                }
            }
            Given::Heartbeat(_) => "heartbeats",
            Given::Gap { .. } if stream.subscription().is_some() => "gaps of subscriptions",
            Given::Gap { .. } => "gaps",
            Given::Closing { .. } => "closings",
            Given::Nonsense(_) => "nonsense",
        });
    }

    /// When to stall next.
    fn between_stalls(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.random.u64(200..5_000))
    }

    /// Does not read, until more has gone by than the server has in memory.
    async fn stall(&self) {
        self.ledger.count("slow reader stalls");
        self.ledger.stalled.send_modify(|readers| *readers += 1);
        let mut published = self.ledger.published.subscribe();
        let mut goal = self.ledger.goal.subscribe();
        let until = *published.borrow() + MORE_THAN_THE_TAIL;
        tokio::select! {
            _ = published.wait_for(|bytes| *bytes >= until) => self.ledger.count(FELL_BEHIND),
            _ = goal.wait_for(Option::is_some) => {}
            () = self.ledger.enough.cancelled() => {}
            () = tokio::time::sleep(LONGEST_STALL) => {}
        }
        self.ledger.stalled.send_modify(|readers| *readers -= 1);
    }
}

/// Connects, if somebody is there.
pub(crate) async fn connect(to: SocketAddr) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{to}")).expect("a URI").connect_timeout(SILENCE);
    timeout(SILENCE, endpoint.connect()).await.ok()?.ok()
}

/// Reads a stream on which nothing is to go wrong up to the journal's newest event, with raw bodies. Gives the place
/// before the oldest event, and all events.
pub(crate) async fn whole(to: SocketAddr) -> Result<(Cursor, Vec<Seen>), String> {
    let channel = connect(to).await.ok_or("cannot connect")?;
    let request = SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        include_raw: true,
        ..SubscribeRequest::default()
    };
    let said = |status: Status| format!("the whole journal cannot be read: {status}");
    let mut stream: Streaming<SubscribeResponse> =
        EventServiceClient::new(channel).subscribe(request).await.map_err(said)?.into_inner();
    let mut events = Vec::new();
    let mut next = stream.message().await.map_err(said)?.map(given);
    let Some(Given::Started { cursor, newest, .. }) = next else {
        return Err(format!("not started: {next:?}"));
    };
    while events.last().map_or(cursor.number, Seen::number) < newest.number {
        next = stream.message().await.map_err(said)?.map(given);
        match next {
            Some(Given::Event(event)) => events.push(event),
            Some(Given::Heartbeat(_)) => {}
            other => return Err(format!("neither an event nor a heartbeat: {other:?}")),
        }
    }
    Ok((cursor, events))
}

pub(crate) fn filter(wanted: &Wanted) -> Option<EventFilter> {
    (*wanted != Wanted::default())
        .then(|| EventFilter { accounts: wanted.accounts.clone(), types: wanted.types.clone() })
}

pub(crate) fn timestamp(millis: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000).expect("less than a second");
    prost_types::Timestamp { seconds: millis.div_euclid(1_000), nanos }
}

/// What a status says: who gave up, and why.
fn ended(status: &Status) -> End {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return End::Broken };
    let place = match info.reason.as_str() {
        CURSOR_EXPIRED => info.metadata.get("oldest_cursor"),
        CURSOR_LOST => info.metadata.get("newest_cursor"),
        _ => None,
    };
    End::Refused {
        code: status.code(),
        reason: info.reason.clone(),
        place: place.and_then(|place| place.parse().ok()),
    }
}

/// The generation that a stream said.
fn generation(stream: &Stream) -> u64 {
    match stream.given.first() {
        Some(Given::Started { generation, .. }) => *generation,
        _ => 0,
    }
}

fn given(response: SubscribeResponse) -> Given {
    let told = format!("{:?}", response.response.as_ref().map(std::mem::discriminant));
    read(response).unwrap_or(Given::Nonsense(told))
}

/// None where something is missing, or is no cursor.
fn read(response: SubscribeResponse) -> Option<Given> {
    let cursor = |text: &str| text.parse::<Cursor>().ok();
    Some(match response.response? {
        Response::Started(started) => Given::Started {
            cursor: cursor(&started.cursor)?,
            oldest: cursor(&started.oldest_cursor)?,
            newest: cursor(&started.newest_cursor)?,
            generation: started.generation,
        },
        Response::Event(event) => Given::Event(Seen::of(event)?),
        Response::Heartbeat(heartbeat) => Given::Heartbeat(cursor(&heartbeat.cursor)?),
        Response::Gap(gap) => Given::Gap {
            after: match gap.after_cursor.as_str() {
                "" => None,
                after => Some(cursor(after)?),
            },
            resume: cursor(&gap.resume_cursor)?,
            missed: gap.missed,
        },
        Response::Closing(closing) => {
            Given::Closing { cursor: cursor(&closing.cursor)?, reason: closing.reason() }
        }
    })
}
