//! Sends against their floor.

use std::time::{Duration, Instant};

use switchboard::pb::v1::message_service_client::MessageServiceClient;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::disk::Disk;
use crate::measure::{Load, Seen};
use crate::process::{Role, Server};
use crate::table::{Table, Wanted, spread};
use crate::{Result, sample};

/// One of the two servers, and what was seen of it.
struct Side {
    server: Server,
    client: MessageServiceClient<Channel>,
    seen: [Seen; IN_FLIGHT.len()],
}

const IN_FLIGHT: [usize; 2] = [1, 64];

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, lasting) =
        if quick { (2, Duration::from_millis(500)) } else { (7, Duration::from_millis(1_200)) };
    let upstream = Server::start(Role::Upstream, disk.folder(), None)?;
    let mut floor = Side::start(Role::BareSends, disk, &upstream).await?;
    let mut ours = Side::start(Role::Gateway, disk, &upstream).await?;
    for side in [&mut floor, &mut ours] {
        load(&side.client, 64, lasting / 2).await?;
    }
    for round in 0..rounds {
        for at in 0..IN_FLIGHT.len() {
            let mut turns = [&mut floor, &mut ours];
            turns.rotate_left(round % 2);
            for side in turns {
                side.round(at, lasting).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Sends: SendMessage through one channel; the provider is a fixed reply in a process of its own. {rounds} rounds \
         of {} ms.",
        lasting.as_millis()
    ));
    for (at, in_flight) in IN_FLIGHT.iter().enumerate() {
        let (floor, ours) = (&floor.seen[at], &ours.seen[at]);
        let wanted = (*in_flight == 64).then_some(Wanted::AtLeast(0.85));
        table.load("send", *in_flight, floor, ours, wanted);
    }
    let added = ours.seen[0].p50.with(&floor.seen[0].p50, |ours, floor| ours - floor);
    table.note(format!("added to p50 at 1 in flight: {} us", spread(&added)));
    floor.server.stop()?;
    ours.server.stop()?;
    upstream.stop()?;
    Ok(table)
}

impl Side {
    async fn start(role: Role, disk: &Disk, upstream: &Server) -> Result<Self> {
        let server = Server::start(role, disk.folder(), Some(upstream))?;
        let channel = Endpoint::from_shared(format!("http://{}", server.address()))?.connect().await?;
        Ok(Self { server, client: MessageServiceClient::new(channel), seen: Default::default() })
    }

    async fn round(&mut self, at: usize, lasting: Duration) -> Result<()> {
        let before = self.server.cpu()?;
        let load = load(&self.client, IN_FLIGHT[at], lasting).await?;
        let spent = self.server.cpu()? - before;
        self.seen[at].push(&load, spent);
        Ok(())
    }
}

/// Keeps so many sends in flight for a while.
async fn load(client: &MessageServiceClient<Channel>, in_flight: usize, lasting: Duration) -> Result<Load> {
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let mut client = client.clone();
        senders.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < lasting {
                let sent = Instant::now();
                client.send_message(sample::send()).await?;
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
