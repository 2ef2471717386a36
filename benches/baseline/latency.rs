//! Latency from the moment a webhook is due until the subscriber receives its event, under an open-loop load: webhooks
//! are due at a fixed rate, whether or not earlier ones have finished.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{SubscribeRequest, SubscribeResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::Streaming;

use crate::disk::Disk;
use crate::measure::{Rounds, micros, percentile};
use crate::process::{Role, Server};
use crate::table::Table;
use crate::{Error, Result, sample};

const PER_SECOND: u32 = 1_000;

/// More than the number of webhooks in flight at once.
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, duration) = if quick { (2, 1) } else { (5, 5) };
    let server = Server::start(Role::Gateway, disk.folder(), None)?;
    let mut client = EventServiceClient::connect(format!("http://{}", server.address())).await?;
    let mut stream = client.subscribe(SubscribeRequest::default()).await?.into_inner();
    round(&server, &mut stream, PER_SECOND as usize / 2).await?;
    let (mut p50, mut p99, mut sync) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        let (median, _) = disk.sync()?;
        sync.push(median);
        let latencies = round(&server, &mut stream, PER_SECOND as usize * duration).await?;
        p50.push(percentile(&latencies, 50).map_or(f64::NAN, micros));
        p99.push(percentile(&latencies, 99).map_or(f64::NAN, micros));
    }
    drop(stream);
    server.stop()?;
    let mut table = Table::new(format!(
        "Latency: from a webhook's POST to the subscriber, {PER_SECOND} webhooks/s. {rounds} rounds of {duration} s.",
    ));
    table.row("p50 in us, over one fdatasync", &sync, &p50, None);
    table.row("p99 in us, over one fdatasync", &sync, &p99, None);
    table.note("the baseline is one fdatasync of a small append on this disk, which every durable event must wait for");
    Ok(table)
}

/// Sends `count` webhooks at the fixed rate. Returns the sorted latencies.
async fn round(
    server: &Server,
    stream: &mut Streaming<SubscribeResponse>,
    count: usize,
) -> Result<Vec<Duration>> {
    let (requests, queue) = mpsc::unbounded_channel();
    let queue = Arc::new(Mutex::new(queue));
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let connection = TcpStream::connect(server.webhook()).await?;
        connection.set_nodelay(true)?;
        senders.spawn(send_webhooks(connection, Arc::clone(&queue)));
    }
    let webhooks: Vec<(String, Vec<u8>)> = (0..count).map(|_| sample::webhook_request_with_id()).collect();
    let send_at_rate = async {
        let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut due_times = Vec::with_capacity(count);
        for (id, request) in webhooks {
            // Latency counts from the due time, so a delayed sender does not improve the result.
            due_times.push((id, ticks.tick().await));
            requests.send(request).map_err(|_| "the senders have stopped")?;
        }
        drop(requests);
        Ok::<_, Error>(due_times)
    };
    let receive = async {
        let mut arrived = Vec::with_capacity(count);
        while arrived.len() < count {
            let message = stream.message().await?.ok_or("the stream ended early")?;
            if let Some(Response::Event(event)) = message.response
                && let Some(Payload::MessageReceived(received)) = event.payload
            {
                arrived.push((received.provider_message_id, Instant::now()));
            }
        }
        Ok::<_, Error>(arrived)
    };
    let (due_times, arrived) = tokio::try_join!(send_at_rate, receive)?;
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let due_times: HashMap<String, Instant> = due_times.into_iter().collect();
    let mut latencies = Vec::with_capacity(count);
    for (id, at) in arrived {
        let due = due_times.get(&id).ok_or("received an event that was not sent")?;
        latencies.push(at.saturating_duration_since(*due));
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// Requests that are due, shared by all connections.
type Queue = Arc<Mutex<mpsc::UnboundedReceiver<Vec<u8>>>>;

/// Sends webhooks from the shared queue over one connection.
async fn send_webhooks(mut connection: TcpStream, queue: Queue) -> Result<()> {
    let mut response = [0; 1_024];
    loop {
        let Some(request) = queue.lock().await.recv().await else { return Ok(()) };
        connection.write_all(&request).await?;
        let mut filled = 0;
        while !response[..filled].ends_with(b"\r\n\r\n") {
            let read = connection.read(&mut response[filled..]).await?;
            if read == 0 {
                return Err("the server closed a connection, or its response is too long".into());
            }
            filled += read;
        }
        if !response.starts_with(b"HTTP/1.1 200 ") {
            return Err("a webhook was not accepted".into());
        }
    }
}
