//! From the first byte of a webhook to the subscriber's hand, at a steady rate: webhooks come when they come, and do not
//! wait for each other.

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

/// Enough for what is under way at once.
const CONNECTIONS: usize = 64;

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, lasting) = if quick { (2, 1) } else { (5, 5) };
    let server = Server::start(Role::Gateway, disk.folder(), None)?;
    let mut client = EventServiceClient::connect(format!("http://{}", server.address())).await?;
    let mut stream = client.subscribe(SubscribeRequest::default()).await?.into_inner();
    round(&server, &mut stream, PER_SECOND as usize / 2).await?;
    let (mut p50, mut p99, mut sync) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        let (median, _) = disk.sync()?;
        sync.push(median);
        let latencies = round(&server, &mut stream, PER_SECOND as usize * lasting).await?;
        p50.push(percentile(&latencies, 50).map_or(f64::NAN, micros));
        p99.push(percentile(&latencies, 99).map_or(f64::NAN, micros));
    }
    drop(stream);
    server.stop()?;
    let mut table = Table::new(format!(
        "Latency: from a webhook's POST to the subscriber's hand, {PER_SECOND} webhooks/s. {rounds} rounds of {lasting} s.",
    ));
    table.row("p50 in us, over one fdatasync", &sync, &p50, None);
    table.row("p99 in us, over one fdatasync", &sync, &p99, None);
    table.note("the floor is what one fdatasync of a small append takes on this disk: the least that a durable event waits");
    Ok(table)
}

/// Brings so many webhooks at the rate; says how long each took to come out, sorted.
async fn round(
    server: &Server,
    stream: &mut Streaming<SubscribeResponse>,
    count: usize,
) -> Result<Vec<Duration>> {
    let (requests, waiting) = mpsc::unbounded_channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let connection = TcpStream::connect(server.webhook()).await?;
        connection.set_nodelay(true)?;
        senders.spawn(bring(connection, Arc::clone(&waiting)));
    }
    let made: Vec<(String, Vec<u8>)> = (0..count).map(|_| sample::named_webhook_request()).collect();
    let pacing = async {
        let mut due = interval(Duration::from_secs(1) / PER_SECOND);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut begun = Vec::with_capacity(count);
        for (id, request) in made {
            // When it was due, not when we came to it: a late start is not the server's gain.
            begun.push((id, due.tick().await));
            requests.send(request).map_err(|_| "the senders are gone")?;
        }
        drop(requests);
        Ok::<_, Error>(begun)
    };
    let receiving = async {
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
    let (paced, arrived) = tokio::try_join!(pacing, receiving)?;
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let begun: HashMap<String, Instant> = paced.into_iter().collect();
    let mut latencies = Vec::with_capacity(count);
    for (id, at) in arrived {
        let begun = begun.get(&id).ok_or("an event that nobody brought")?;
        latencies.push(at.saturating_duration_since(*begun));
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// Requests that are due.
type Waiting = Arc<Mutex<mpsc::UnboundedReceiver<Vec<u8>>>>;

/// Brings webhooks over one connection, whichever are next.
async fn bring(mut connection: TcpStream, waiting: Waiting) -> Result<()> {
    let mut response = [0; 1_024];
    loop {
        let Some(request) = waiting.lock().await.recv().await else { return Ok(()) };
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
            return Err("a webhook was not taken".into());
        }
    }
}
