//! Sends against their floor.

use std::time::{Duration, Instant};

use switchboard::pb::v1::SendMessagesRequest;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::send_messages_response::Result as Answer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use ulid::Ulid;

use crate::disk::Disk;
use crate::measure::{Load, Seen};
use crate::process::{Role, Server};
use crate::table::{Table, Wanted, spread};
use crate::{Result, sample};

/// One of the two servers.
struct Side {
    server: Server,
    client: MessageServiceClient<Channel>,
}

/// How messages are sent.
#[derive(Clone, Copy)]
enum Way {
    /// `SendMessage`.
    Plain,
    /// `SendMessage` with a `request_id` each.
    Keyed,
    /// One stream of `SendMessages`.
    Stream,
    /// One stream of `SendMessages`, with a `request_id` each.
    KeyedStream,
}

/// One measurement, and what was seen.
struct Run {
    side: usize,
    way: Way,
    in_flight: usize,
    seen: Seen,
}

const FLOOR: usize = 0;
const OURS: usize = 1;

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, lasting) =
        if quick { (2, Duration::from_millis(500)) } else { (7, Duration::from_millis(1_200)) };
    let upstream = Server::start(Role::Upstream, disk.folder(), None)?;
    let mut sides = [
        Side::start(Role::BareSends, disk, &upstream).await?,
        Side::start(Role::Gateway, disk, &upstream).await?,
    ];
    for side in &sides {
        unary(&side.client, false, 64, lasting / 2).await?;
    }
    let run = |side, way, in_flight| Run { side, way, in_flight, seen: Seen::default() };
    let mut runs = [
        run(FLOOR, Way::Plain, 1),
        run(OURS, Way::Plain, 1),
        run(OURS, Way::Keyed, 1),
        run(FLOOR, Way::Plain, 64),
        run(OURS, Way::Plain, 64),
        run(OURS, Way::Keyed, 64),
        run(OURS, Way::Stream, 64),
        run(OURS, Way::KeyedStream, 64),
    ];
    for round in 0..rounds {
        // Those of one number in flight are compared, so they take turns at being first.
        for group in [0..3, 3..8] {
            let group = &mut runs[group];
            let first = round % group.len();
            for at in 0..group.len() {
                let run = &mut group[(first + at) % group.len()];
                run.round(&mut sides[run.side], lasting).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Sends through one channel, against SendMessage of a bare server; the provider is a fixed reply in a process of \
         its own. {rounds} rounds of {} ms.",
        lasting.as_millis()
    ));
    let [floor_1, plain_1, keyed_1, floor_64, plain_64, keyed_64, stream_64, keyed_stream_64] = &runs;
    table.load("send", 1, &floor_1.seen, &plain_1.seen, None);
    table.load("send with request_id", 1, &floor_1.seen, &keyed_1.seen, None);
    table.load("send", 64, &floor_64.seen, &plain_64.seen, Some(Wanted::AtLeast(0.85)));
    table.load("send with request_id", 64, &floor_64.seen, &keyed_64.seen, Some(Wanted::AtLeast(0.5)));
    table.load("streamed send", 64, &floor_64.seen, &stream_64.seen, Some(Wanted::AtLeast(1.0)));
    table.load("streamed send with request_id", 64, &floor_64.seen, &keyed_stream_64.seen, None);
    for (what, ours) in [("", plain_1), (" with request_id", keyed_1)] {
        let added = ours.seen.p50.with(&floor_1.seen.p50, |ours, floor| ours - floor);
        table.note(format!("added to p50 at 1 in flight{what}: {} us", spread(&added)));
    }
    for side in sides {
        side.server.stop()?;
    }
    upstream.stop()?;
    Ok(table)
}

impl Side {
    async fn start(role: Role, disk: &Disk, upstream: &Server) -> Result<Self> {
        let server = Server::start(role, disk.folder(), Some(upstream))?;
        let channel = Endpoint::from_shared(format!("http://{}", server.address()))?.connect().await?;
        Ok(Self { server, client: MessageServiceClient::new(channel) })
    }
}

impl Run {
    async fn round(&mut self, side: &mut Side, lasting: Duration) -> Result<()> {
        let before = side.server.cpu()?;
        let load = match self.way {
            Way::Plain => unary(&side.client, false, self.in_flight, lasting).await?,
            Way::Keyed => unary(&side.client, true, self.in_flight, lasting).await?,
            Way::Stream => streamed(&side.client, false, self.in_flight, lasting).await?,
            Way::KeyedStream => streamed(&side.client, true, self.in_flight, lasting).await?,
        };
        let spent = side.server.cpu()? - before;
        self.seen.push(&load, spent);
        Ok(())
    }
}

/// A send, with an id of its own if it is to be repeatable.
fn request(keyed: bool) -> switchboard::pb::v1::SendMessageRequest {
    let request_id = if keyed { Ulid::generate().to_string() } else { String::new() };
    switchboard::pb::v1::SendMessageRequest { request_id, ..sample::send() }
}

/// Keeps so many sends in flight for a while.
async fn unary(
    client: &MessageServiceClient<Channel>,
    keyed: bool,
    in_flight: usize,
    lasting: Duration,
) -> Result<Load> {
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let mut client = client.clone();
        senders.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < lasting {
                let sent = Instant::now();
                client.send_message(request(keyed)).await?;
                latencies.push(sent.elapsed());
            }
            Ok::<_, tonic::Status>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    Ok(Load::new(latencies, started.elapsed()))
}

/// Keeps so many sends in flight on one stream for a while.
async fn streamed(
    client: &MessageServiceClient<Channel>,
    keyed: bool,
    in_flight: usize,
    lasting: Duration,
) -> Result<Load> {
    let (requests, waiting) = mpsc::channel(in_flight);
    let mut client = client.clone();
    let started = Instant::now();
    let mut sent: Vec<Instant> = Vec::new();
    let next = |sent: &mut Vec<Instant>| {
        sent.push(Instant::now());
        SendMessagesRequest { tag: (sent.len() - 1).to_string(), request: Some(request(keyed)) }
    };
    for _ in 0..in_flight {
        requests.send(next(&mut sent)).await?;
    }
    let mut requests = Some(requests);
    let mut answers = client.send_messages(ReceiverStream::new(waiting)).await?.into_inner();
    let mut latencies = Vec::new();
    while let Some(answer) = answers.message().await? {
        let Some(Answer::Response(_)) = answer.result else { return Err("a send was not accepted".into()) };
        latencies.push(sent[answer.tag.parse::<usize>()?].elapsed());
        if started.elapsed() >= lasting {
            requests = None;
        } else if let Some(requests) = &requests {
            requests.send(next(&mut sent)).await?;
        }
    }
    Ok(Load::new(latencies, started.elapsed()))
}
