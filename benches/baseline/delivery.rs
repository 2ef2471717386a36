//! Delivery of bursts to many subscribers, compared with the baseline.
//!
//! In each round, each of N subscribers opens a separate connection and one stream on it. The server process then
//! publishes a burst. The round ends when every subscriber has received the whole burst.
//!
//! The cost of a delivery is the server's CPU time for the round, **minus its CPU time for the same burst without
//! subscribers**, divided by the number of deliveries. This excludes ingest on both sides: Switchboard's commits and
//! the baseline's creation of messages. The elapsed time excludes nothing.
//!
//! Events that were just committed are still in memory, in the same batches that serve live subscribers. Switchboard
//! is therefore also measured with subscribers that request a burst after its commit, which is delivery only.
//!
//! The subscribers count messages without decoding them, which leaves the CPU cores to the server.

use std::time::{Duration, Instant};

use prost::Message as _;
use switchboard::pb::v1::SubscribeRequest;
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::disk::Disk;
use crate::measure::{Rounds, micros};
use crate::process::{Role, Server};
use crate::subscribers::{count, subscribe};
use crate::switchboard::COMMIT;
use crate::table::{Table, Target, spread};
use crate::{Result, sample};

/// A burst: the number of subscribers, the events for each, and the target for the cost of a delivery.
struct Burst {
    subscribers: usize,
    events: usize,
    /// Whether to report live delivery. With one subscriber, ingest takes nearly all of the CPU time, so the
    /// difference would be noise.
    live: bool,
    target: Option<Target>,
}

const BURSTS: [Burst; 3] = [
    Burst { subscribers: 1, events: 15_000, live: false, target: None },
    Burst { subscribers: 100, events: 10_000, live: true, target: Some(Target::AtMost(0.7)) },
    Burst { subscribers: 1_000, events: 1_500, live: true, target: Some(Target::AtMost(0.7)) },
];

/// The largest burst that stays in memory. Switchboard's journal tail holds 16 MiB, raw bodies included.
const IN_MEMORY: usize = 15_000;

/// One of the servers and its results.
struct TestedServer {
    server: Server,
    /// Whether subscribers can request events that were published earlier.
    has_journal: bool,
    bursts: [BurstRounds; BURSTS.len()],
}

#[derive(Default)]
struct BurstRounds {
    live: Deliveries,
    /// Switchboard only: the baseline stores no events.
    memory: Deliveries,
    /// The CPU time for each event of a burst without subscribers, in microseconds.
    without_subscribers: Rounds,
}

#[derive(Default)]
struct Deliveries {
    per_second: Rounds,
    /// The server's CPU time per delivery, in microseconds.
    cpu: Rounds,
}

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, divisor) = if quick { (2, 5) } else { (5, 1) };
    let mut baseline = TestedServer::start(Role::BaselineStream, disk)?;
    let mut shared = TestedServer::start(Role::BaselineStreamShared, disk)?;
    let mut switchboard = TestedServer::start(Role::Streams, disk)?;
    for tested in [&mut baseline, &mut shared, &mut switchboard] {
        tested.server.burst_to(100, 1_000).await?;
    }
    for (at, burst) in BURSTS.iter().enumerate() {
        for round in 0..rounds {
            let mut order = [&mut baseline, &mut shared, &mut switchboard];
            order.rotate_left(round % 3);
            for tested in order {
                tested.round(at, burst.subscribers, burst.events / divisor).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Delivery: a burst of {} byte messages to N subscribers, each on a separate connection. {rounds} rounds.",
        sample::response().encoded_len()
    ));
    for (at, burst) in BURSTS.iter().enumerate() {
        let (baseline, shared, switchboard, to) =
            (&baseline.bursts[at], &shared.bursts[at], &switchboard.bursts[at], burst.subscribers);
        let (live, memory) = (&switchboard.live, &switchboard.memory);
        if burst.live {
            let what = format!("server CPU us per delivery, to {to}: live");
            table.row(what, &baseline.live.cpu, &live.cpu, burst.target);
            table.row("  live, baseline without clones", &shared.live.cpu, &live.cpu, None);
        }
        table.row(
            format!("server CPU us per delivery, to {to}: from memory"),
            &baseline.live.cpu,
            &memory.cpu,
            (!burst.live).then_some(Target::AtMost(0.7)),
        );
        table.row("  from memory, baseline without clones", &shared.live.cpu, &memory.cpu, None);
        if burst.live {
            let target = Some(Target::AtLeast(1.0));
            table.row(
                format!("deliveries/s, to {to}: live"),
                &baseline.live.per_second,
                &live.per_second,
                target,
            );
        }
        table.row(
            format!("deliveries/s, to {to}: from memory"),
            &baseline.live.per_second,
            &memory.per_second,
            None,
        );
    }
    let ingest = |tested: &TestedServer| spread(&tested.bursts[tested.bursts.len() - 1].without_subscribers);
    for note in [
        "Live: the server's CPU time for the burst, minus that for the same burst without subscribers. The latter, in us",
        &format!(
            "per event: switchboard {}, baseline {}. Switchboard makes durable commits of {COMMIT} events in-process.",
            ingest(&switchboard),
            ingest(&baseline)
        ),
        "deliveries/s uses the elapsed time, from which nothing is subtracted.",
        "From memory: subscribers request a burst that switchboard has just committed. Nothing is subtracted, and the time",
        "to open the streams is included. With 1 subscriber, only this row separates delivery from ingest.",
        "The baseline is always live: a broadcast channel that clones a message for each subscriber. The baseline without",
        "clones sends an Arc through the channel. Both encode the message for each subscriber.",
    ] {
        table.note(note);
    }
    for tested in [baseline, shared, switchboard] {
        tested.server.stop()?;
    }
    Ok(table)
}

impl TestedServer {
    fn start(role: Role, disk: &Disk) -> Result<Self> {
        let server = Server::start(role, disk.folder(), None)?;
        Ok(Self { server, has_journal: role == Role::Streams, bursts: Default::default() })
    }

    async fn round(&mut self, at: usize, subscribers: usize, events: usize) -> Result<()> {
        let (ingest, _) = self.server.burst_to(0, events).await?;
        let (spent, elapsed) = self.server.burst_to(subscribers, events).await?;
        let bursts = &mut self.bursts[at];
        bursts.without_subscribers.push(micros(ingest) / events as f64);
        bursts.live.push(subscribers * events, micros(spent) - micros(ingest), elapsed);
        if self.has_journal {
            let events = events.min(IN_MEMORY);
            let (spent, elapsed) = self.server.burst_from_memory(subscribers, events).await?;
            self.bursts[at].memory.push(subscribers * events, micros(spent), elapsed);
        }
        Ok(())
    }
}

impl Deliveries {
    fn push(&mut self, count: usize, cpu_micros: f64, elapsed: Duration) {
        self.per_second.push(count as f64 / elapsed.as_secs_f64());
        self.cpu.push(cpu_micros / count as f64);
    }
}

impl Server {
    /// Publishes a burst to live subscribers. Returns the server's CPU time and the time until all events arrived.
    async fn burst_to(&mut self, subscribers: usize, events: usize) -> Result<(Duration, Duration)> {
        let mut streams = JoinSet::new();
        for client in self.connect(subscribers).await? {
            streams.spawn(subscribe(client, SubscribeRequest::default()));
        }
        let mut counting = JoinSet::new();
        while let Some(stream) = streams.join_next().await {
            counting.spawn(count(stream??, events));
        }

        let before = self.cpu()?;
        let started = Instant::now();
        self.publish(events)?;
        let counted = wait_for_all(counting).await?;
        let elapsed = started.elapsed();
        self.published()?;
        let spent = self.cpu()? - before;
        // The connections stay open until the CPU time has been read.
        drop(counted);
        Ok((spent, elapsed))
    }

    /// Publishes a burst, then opens the subscribers, which read it from memory. Measures delivery only.
    async fn burst_from_memory(&mut self, subscribers: usize, events: usize) -> Result<(Duration, Duration)> {
        let mut clients = self.connect(subscribers + 1).await?;
        let client = clients.pop().ok_or("no connection")?;
        let request =
            SubscribeRequest { start: Some(self.newest_cursor(client).await?), ..Default::default() };
        self.publish(events)?;
        self.published()?;

        let before = self.cpu()?;
        let started = Instant::now();
        let mut counting = JoinSet::new();
        for client in clients {
            let request = request.clone();
            counting.spawn(async move { count(subscribe(client, request).await?, events).await });
        }
        let counted = wait_for_all(counting).await?;
        let elapsed = started.elapsed();
        let spent = self.cpu()? - before;
        drop(counted);
        Ok((spent, elapsed))
    }
}

/// Waits until every subscriber has counted its events.
async fn wait_for_all(mut counting: JoinSet<Result<Streaming<bool>>>) -> Result<Vec<Streaming<bool>>> {
    let mut streams = Vec::with_capacity(counting.len());
    while let Some(counted) = counting.join_next().await {
        streams.push(counted??);
    }
    Ok(streams)
}
