//! `SendMessage` and `SendMessages`, compared with the baseline.

use std::time::{Duration, Instant};

use switchboard::pb::v1::SendMessagesRequest;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::send_messages_response::Result as SendResult;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use ulid::Ulid;

use crate::disk::Disk;
use crate::measure::{LoadResult, LoadRounds};
use crate::process::{Role, Server};
use crate::table::{Table, Target, spread};
use crate::{Result, sample};

/// One of the two servers.
struct TestedServer {
    server: Server,
    client: MessageServiceClient<Channel>,
}

/// How messages are sent.
#[derive(Clone, Copy)]
enum CallKind {
    /// `SendMessage` without a `request_id`.
    Unary,
    /// `SendMessage` with a new `request_id` for each call.
    UnaryWithRequestId,
    /// One stream of `SendMessages`, without a `request_id`.
    Stream,
    /// One stream of `SendMessages`, with a new `request_id` for each message.
    StreamWithRequestId,
}

/// One measurement and its results.
struct Measurement {
    /// The server's index: [`BASELINE`] or [`SWITCHBOARD`].
    server: usize,
    kind: CallKind,
    in_flight: usize,
    rounds: LoadRounds,
}

const BASELINE: usize = 0;
const SWITCHBOARD: usize = 1;

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, duration) =
        if quick { (2, Duration::from_millis(500)) } else { (7, Duration::from_millis(1_200)) };
    let upstream = Server::start(Role::Upstream, disk.folder(), None)?;
    let mut servers = [
        TestedServer::start(Role::BaselineSends, disk, &upstream).await?,
        TestedServer::start(Role::Gateway, disk, &upstream).await?,
    ];
    for tested in &servers {
        unary(&tested.client, false, 64, duration / 2).await?;
    }
    let measurement =
        |server, kind, in_flight| Measurement { server, kind, in_flight, rounds: LoadRounds::default() };
    let mut measurements = [
        measurement(BASELINE, CallKind::Unary, 1),
        measurement(SWITCHBOARD, CallKind::Unary, 1),
        measurement(SWITCHBOARD, CallKind::UnaryWithRequestId, 1),
        measurement(BASELINE, CallKind::Unary, 64),
        measurement(SWITCHBOARD, CallKind::Unary, 64),
        measurement(SWITCHBOARD, CallKind::UnaryWithRequestId, 64),
        measurement(SWITCHBOARD, CallKind::Stream, 64),
        measurement(SWITCHBOARD, CallKind::StreamWithRequestId, 64),
    ];
    for round in 0..rounds {
        // Measurements with the same concurrency are compared, so each round starts with a different one.
        for group in [0..3, 3..8] {
            let group = &mut measurements[group];
            let first = round % group.len();
            for at in 0..group.len() {
                let measurement = &mut group[(first + at) % group.len()];
                measurement.round(&mut servers[measurement.server], duration).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Sends on one channel, compared with SendMessage of a minimal server. The provider is a separate process with a \
         fixed reply. {rounds} rounds of {} ms.",
        duration.as_millis()
    ));
    let [
        baseline_1,
        send_1,
        send_with_id_1,
        baseline_64,
        send_64,
        send_with_id_64,
        stream_64,
        stream_with_id_64,
    ] = &measurements;
    table.load("send", 1, &baseline_1.rounds, &send_1.rounds, None);
    table.load("send with request_id", 1, &baseline_1.rounds, &send_with_id_1.rounds, None);
    table.load("send", 64, &baseline_64.rounds, &send_64.rounds, Some(Target::AtLeast(0.85)));
    table.load(
        "send with request_id",
        64,
        &baseline_64.rounds,
        &send_with_id_64.rounds,
        Some(Target::AtLeast(0.5)),
    );
    table.load("streamed send", 64, &baseline_64.rounds, &stream_64.rounds, Some(Target::AtLeast(1.0)));
    table.load("streamed send with request_id", 64, &baseline_64.rounds, &stream_with_id_64.rounds, None);
    for (what, switchboard) in [("", send_1), (" with request_id", send_with_id_1)] {
        let added = switchboard
            .rounds
            .p50
            .with(&baseline_1.rounds.p50, |switchboard, baseline| switchboard - baseline);
        table.note(format!("added to p50 at 1 in flight{what}: {} us", spread(&added)));
    }
    for tested in servers {
        tested.server.stop()?;
    }
    upstream.stop()?;
    Ok(table)
}

impl TestedServer {
    async fn start(role: Role, disk: &Disk, upstream: &Server) -> Result<Self> {
        let server = Server::start(role, disk.folder(), Some(upstream))?;
        let channel = Endpoint::from_shared(format!("http://{}", server.address()))?.connect().await?;
        Ok(Self { server, client: MessageServiceClient::new(channel) })
    }
}

impl Measurement {
    async fn round(&mut self, tested: &mut TestedServer, duration: Duration) -> Result<()> {
        let before = tested.server.cpu()?;
        let load = match self.kind {
            CallKind::Unary => unary(&tested.client, false, self.in_flight, duration).await?,
            CallKind::UnaryWithRequestId => unary(&tested.client, true, self.in_flight, duration).await?,
            CallKind::Stream => streamed(&tested.client, false, self.in_flight, duration).await?,
            CallKind::StreamWithRequestId => streamed(&tested.client, true, self.in_flight, duration).await?,
        };
        let spent = tested.server.cpu()? - before;
        self.rounds.push(&load, spent);
        Ok(())
    }
}

/// A send request, with a new `request_id` if asked for.
fn request(with_request_id: bool) -> switchboard::pb::v1::SendMessageRequest {
    let request_id = if with_request_id { Ulid::generate().to_string() } else { String::new() };
    switchboard::pb::v1::SendMessageRequest { request_id, ..sample::send() }
}

/// Keeps `in_flight` unary sends in flight for the given time.
async fn unary(
    client: &MessageServiceClient<Channel>,
    with_request_id: bool,
    in_flight: usize,
    duration: Duration,
) -> Result<LoadResult> {
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let mut client = client.clone();
        senders.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < duration {
                let sent = Instant::now();
                client.send_message(request(with_request_id)).await?;
                latencies.push(sent.elapsed());
            }
            Ok::<_, tonic::Status>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    Ok(LoadResult::new(latencies, started.elapsed()))
}

/// Keeps `in_flight` sends in flight on one stream for the given time.
async fn streamed(
    client: &MessageServiceClient<Channel>,
    with_request_id: bool,
    in_flight: usize,
    duration: Duration,
) -> Result<LoadResult> {
    let (requests, queue) = mpsc::channel(in_flight);
    let mut client = client.clone();
    let started = Instant::now();
    let mut sent: Vec<Instant> = Vec::new();
    let next = |sent: &mut Vec<Instant>| {
        sent.push(Instant::now());
        SendMessagesRequest { tag: (sent.len() - 1).to_string(), request: Some(request(with_request_id)) }
    };
    for _ in 0..in_flight {
        requests.send(next(&mut sent)).await?;
    }
    let mut requests = Some(requests);
    let mut responses = client.send_messages(ReceiverStream::new(queue)).await?.into_inner();
    let mut latencies = Vec::new();
    while let Some(response) = responses.message().await? {
        let Some(SendResult::Response(_)) = response.result else {
            return Err("a send was not accepted".into());
        };
        latencies.push(sent[response.tag.parse::<usize>()?].elapsed());
        if started.elapsed() >= duration {
            requests = None;
        } else if let Some(requests) = &requests {
            requests.send(next(&mut sent)).await?;
        }
    }
    Ok(LoadResult::new(latencies, started.elapsed()))
}
