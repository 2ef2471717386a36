//! Durable ingest of signed webhooks against its floor.
//!
//! The client writes requests that were made and signed beforehand and reads no more of a response than it must, to
//! leave the cores to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::disk::Disk;
use crate::measure::{Load, Rounds, Seen};
use crate::process::{Role, Server};
use crate::table::{Table, Wanted, spread};
use crate::{Result, sample};

/// One of the two servers, and what was seen of it.
struct Side {
    server: Server,
    seen: [Seen; IN_FLIGHT.len()],
}

const IN_FLIGHT: [usize; 2] = [64, 256];

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, webhooks) = if quick { (2, 8_000) } else { (5, 40_000) };
    let mut floor = Side::start(Role::BareIngress, disk)?;
    let mut ours = Side::start(Role::Gateway, disk)?;
    for side in [&mut floor, &mut ours] {
        load(side.server.webhook(), 64, requests(webhooks / 4)).await?;
    }
    let (mut sync, mut sync_p99) = (Rounds::default(), Rounds::default());
    for round in 0..rounds {
        let (median, p99) = disk.sync()?;
        sync.push(median);
        sync_p99.push(p99);
        for at in 0..IN_FLIGHT.len() {
            let mut turns = [&mut floor, &mut ours];
            turns.rotate_left(round % 2);
            for side in turns {
                side.round(at, requests(webhooks)).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Ingest: signed webhooks over keep-alive connections, on disk before the 200; the floor keeps nothing. {rounds} \
         rounds of {webhooks} webhooks of {} bytes.",
        requests(1)[0].len()
    ));
    for (at, in_flight) in IN_FLIGHT.iter().enumerate() {
        let (floor, ours) = (&floor.seen[at], &ours.seen[at]);
        let wanted = (!disk.is_memory()).then_some(Wanted::AtLeast(0.5));
        table.load("webhook", *in_flight, floor, ours, wanted);
    }
    table.note(format!(
        "the disk, before each round: one fdatasync of a small append takes {} us, p99 {} us",
        spread(&sync),
        spread(&sync_p99),
    ));
    if disk.is_memory() {
        table.note("NOT JUDGED: the journal is in memory, not on a disk");
    }
    floor.server.stop()?;
    ours.server.stop()?;
    Ok(table)
}

impl Side {
    fn start(role: Role, disk: &Disk) -> Result<Self> {
        Ok(Self { server: Server::start(role, disk.folder(), None)?, seen: Default::default() })
    }

    async fn round(&mut self, at: usize, requests: Arc<[Vec<u8>]>) -> Result<()> {
        let before = self.server.cpu()?;
        let load = load(self.server.webhook(), IN_FLIGHT[at], requests).await?;
        let spent = self.server.cpu()? - before;
        self.seen[at].push(&load, spent);
        Ok(())
    }
}

/// Webhooks that nobody has seen before.
fn requests(count: usize) -> Arc<[Vec<u8>]> {
    (0..count).map(|_| sample::webhook_request()).collect()
}

/// Brings all webhooks over so many connections, one at a time on each.
async fn load(address: SocketAddr, connections: usize, requests: Arc<[Vec<u8>]>) -> Result<Load> {
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
        senders.spawn(bring(stream, Arc::clone(&requests), Arc::clone(&next)));
    }
    let mut latencies = Vec::with_capacity(requests.len());
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    Ok(Load::new(latencies, started.elapsed()))
}

async fn bring(
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
            return Err(format!("a webhook was not taken: {}", String::from_utf8_lossy(line)).into());
        }
    }
    Ok(latencies)
}
