//! Durable ingest of signed webhooks, compared with the baseline.
//!
//! The client sends requests that were built and signed in advance, and reads only the head of each response.
//! This leaves the CPU cores to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::disk::Disk;
use crate::measure::{LoadResult, LoadRounds, Rounds};
use crate::process::{Role, Server};
use crate::table::{Table, Target, spread};
use crate::{Result, sample};

/// One of the two servers and its results.
struct TestedServer {
    server: Server,
    rounds: [LoadRounds; IN_FLIGHT.len()],
}

const IN_FLIGHT: [usize; 2] = [64, 256];

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, webhooks) = if quick { (2, 8_000) } else { (5, 40_000) };
    let mut baseline = TestedServer::start(Role::BaselineIngress, disk)?;
    let mut switchboard = TestedServer::start(Role::Gateway, disk)?;
    for tested in [&mut baseline, &mut switchboard] {
        load(tested.server.webhook(), 64, requests(webhooks / 4)).await?;
    }
    let (mut sync, mut sync_p99) = (Rounds::default(), Rounds::default());
    for round in 0..rounds {
        let (median, p99) = disk.sync()?;
        sync.push(median);
        sync_p99.push(p99);
        for at in 0..IN_FLIGHT.len() {
            let mut order = [&mut baseline, &mut switchboard];
            order.rotate_left(round % 2);
            for tested in order {
                tested.round(at, requests(webhooks)).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Ingest: signed webhooks over keep-alive connections, committed to disk before the 200; the baseline stores nothing. {rounds} \
         rounds of {webhooks} webhooks of {} bytes.",
        requests(1)[0].len()
    ));
    for (at, in_flight) in IN_FLIGHT.iter().enumerate() {
        let (baseline, switchboard) = (&baseline.rounds[at], &switchboard.rounds[at]);
        let target = (!disk.is_memory()).then_some(Target::AtLeast(0.5));
        table.load("webhook", *in_flight, baseline, switchboard, target);
    }
    table.note(format!(
        "the disk, before each round: one fdatasync of a small append takes {} us, p99 {} us",
        spread(&sync),
        spread(&sync_p99),
    ));
    if disk.is_memory() {
        table.note("NOT COMPARED WITH A TARGET: the journal is in memory, not on a disk");
    }
    baseline.server.stop()?;
    switchboard.server.stop()?;
    Ok(table)
}

impl TestedServer {
    fn start(role: Role, disk: &Disk) -> Result<Self> {
        Ok(Self { server: Server::start(role, disk.folder(), None)?, rounds: Default::default() })
    }

    async fn round(&mut self, at: usize, requests: Arc<[Vec<u8>]>) -> Result<()> {
        let before = self.server.cpu()?;
        let load = load(self.server.webhook(), IN_FLIGHT[at], requests).await?;
        let spent = self.server.cpu()? - before;
        self.rounds[at].push(&load, spent);
        Ok(())
    }
}

/// New webhooks, each with a new message id.
fn requests(count: usize) -> Arc<[Vec<u8>]> {
    (0..count).map(|_| sample::webhook_request()).collect()
}

/// Sends all webhooks over the given number of connections, one at a time on each.
async fn load(address: SocketAddr, connections: usize, requests: Arc<[Vec<u8>]>) -> Result<LoadResult> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for stream in streams {
        senders.spawn(send_webhooks(stream, Arc::clone(&requests), Arc::clone(&next)));
    }
    let mut latencies = Vec::with_capacity(requests.len());
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    Ok(LoadResult::new(latencies, started.elapsed()))
}

async fn send_webhooks(
    mut stream: TcpStream,
    requests: Arc<[Vec<u8>]>,
    next: Arc<AtomicUsize>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut response = [0; 1_024];
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let sent = Instant::now();
        stream.write_all(request).await?;
        let mut filled = 0;
        while !response[..filled].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut response[filled..]).await?;
            if read == 0 {
                return Err("the server closed a connection, or its response is too long".into());
            }
            filled += read;
        }
        latencies.push(sent.elapsed());
        if !response.starts_with(b"HTTP/1.1 200 ") {
            let line = response[..filled].split(|&byte| byte == b'\r').next().unwrap_or_default();
            return Err(format!("a webhook was not accepted: {}", String::from_utf8_lossy(line)).into());
        }
    }
    Ok(latencies)
}
