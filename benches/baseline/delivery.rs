//! Delivery of bursts to many subscribers against its floor.
//!
//! What is measured, per round and server: each of N subscribers opens a connection of its own and a stream on it.
//! Then a burst happens in the server's process, and the round ends when every subscriber has all of it. The server's
//! CPU time over the round, **less that of the same burst without any subscriber**, over the number of deliveries is
//! the cost of a delivery. So the price of ingest is in neither: not our commits, not the floor's making of messages.
//! The time on the clock holds everything. What was just committed is still in memory, in the same runs that live
//! subscribers are served from; so ours is also measured with subscribers that ask for a burst that is already there.
//! That is delivery and nothing else.
//!
//! The subscribers count messages and decode nothing, to leave the cores to the server.

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
use crate::table::{Table, Wanted, spread};
use crate::{Result, sample};

/// How many subscribers, how many events each, and what the cost of a delivery should be.
struct Burst {
    subscribers: usize,
    events: usize,
    /// Whether live delivery can be told from ingest: to one subscriber it is the smaller part by far, and the
    /// difference would be noise.
    live: bool,
    wanted: Option<Wanted>,
}

const BURSTS: [Burst; 3] = [
    Burst { subscribers: 1, events: 15_000, live: false, wanted: None },
    Burst { subscribers: 100, events: 10_000, live: true, wanted: Some(Wanted::AtMost(0.7)) },
    Burst { subscribers: 1_000, events: 1_500, live: true, wanted: Some(Wanted::AtMost(0.7)) },
];

/// The most events of a burst that is to stay in memory: our journal's tail holds 16 MiB, of raw bodies too.
const IN_MEMORY: usize = 15_000;

/// One of the servers, and what was seen of it.
struct Side {
    server: Server,
    /// Whether events can be read after they happened.
    keeps: bool,
    seen: [Seen; BURSTS.len()],
}

#[derive(Default)]
struct Seen {
    live: Deliveries,
    /// Of ours alone.
    memory: Deliveries,
    /// The CPU of a burst without subscribers, per event.
    burst_alone: Rounds,
}

#[derive(Default)]
struct Deliveries {
    per_second: Rounds,
    /// The server's CPU time for a delivery, in microseconds.
    cpu: Rounds,
}

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, part) = if quick { (2, 5) } else { (5, 1) };
    let mut floor = Side::start(Role::BareStream, disk)?;
    let mut shared = Side::start(Role::BareStreamShared, disk)?;
    let mut ours = Side::start(Role::Streams, disk)?;
    for side in [&mut floor, &mut shared, &mut ours] {
        side.server.burst_to(100, 1_000).await?;
    }
    for (at, burst) in BURSTS.iter().enumerate() {
        for round in 0..rounds {
            let mut turns = [&mut floor, &mut shared, &mut ours];
            turns.rotate_left(round % 3);
            for side in turns {
                side.round(at, burst.subscribers, burst.events / part).await?;
            }
        }
    }

    let mut table = Table::new(format!(
        "Delivery: a burst of {} byte messages to N subscribers, each on a connection of its own. {rounds} rounds.",
        sample::response().encoded_len()
    ));
    for (at, burst) in BURSTS.iter().enumerate() {
        let (floor, shared, ours, to) =
            (&floor.seen[at], &shared.seen[at], &ours.seen[at], burst.subscribers);
        let (live, memory) = (&ours.live, &ours.memory);
        if burst.live {
            let what = format!("server CPU us per delivery, to {to}: live");
            table.row(what, &floor.live.cpu, &live.cpu, burst.wanted);
            table.row("  live, floor that clones nothing", &shared.live.cpu, &live.cpu, None);
        }
        table.row(
            format!("server CPU us per delivery, to {to}: from memory"),
            &floor.live.cpu,
            &memory.cpu,
            (!burst.live).then_some(Wanted::AtMost(0.7)),
        );
        table.row("  from memory, floor that clones nothing", &shared.live.cpu, &memory.cpu, None);
        if burst.live {
            let wanted = Some(Wanted::AtLeast(1.0));
            table.row(
                format!("deliveries/s, to {to}: live"),
                &floor.live.per_second,
                &live.per_second,
                wanted,
            );
        }
        table.row(
            format!("deliveries/s, to {to}: from memory"),
            &floor.live.per_second,
            &memory.per_second,
            None,
        );
    }
    let alone = |side: &Side| spread(&side.seen[side.seen.len() - 1].burst_alone);
    for note in [
        "Live: the server's CPU over the burst, less that over the same burst without subscribers, which is in us per",
        &format!(
            "event: ours {}, floor {}. Ours are durable commits of {COMMIT} events each,",
            alone(&ours),
            alone(&floor)
        ),
        "made in-process; the clock, and so deliveries/s, takes nothing off.",
        "From memory: ours is asked for a burst that was just committed; nothing is taken off, opening the streams is in",
        "it. To 1 subscriber only this tells delivery from ingest.",
        "The floor is always live: a broadcast channel, which clones a message for each subscriber; the floor that clones",
        "nothing sends an Arc through it. Both encode for each subscriber.",
    ] {
        table.note(note);
    }
    for side in [floor, shared, ours] {
        side.server.stop()?;
    }
    Ok(table)
}

impl Side {
    fn start(role: Role, disk: &Disk) -> Result<Self> {
        let server = Server::start(role, disk.folder(), None)?;
        Ok(Self { server, keeps: role == Role::Streams, seen: Default::default() })
    }

    async fn round(&mut self, at: usize, subscribers: usize, events: usize) -> Result<()> {
        let (alone, _) = self.server.burst_to(0, events).await?;
        let (spent, elapsed) = self.server.burst_to(subscribers, events).await?;
        let seen = &mut self.seen[at];
        seen.burst_alone.push(micros(alone) / events as f64);
        seen.live.push(subscribers * events, micros(spent) - micros(alone), elapsed);
        if self.keeps {
            let events = events.min(IN_MEMORY);
            let (spent, elapsed) = self.server.burst_before(subscribers, events).await?;
            self.seen[at].memory.push(subscribers * events, micros(spent), elapsed);
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
    /// Makes a burst happen for so many subscribers; says what CPU it took the server and how long it took to arrive.
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
        let counted = all(counting).await?;
        let elapsed = started.elapsed();
        self.published()?;
        let spent = self.cpu()? - before;
        // Only now do the connections close.
        drop(counted);
        Ok((spent, elapsed))
    }

    /// The same when the burst has happened already and is still in memory: then only delivery is left to be done.
    async fn burst_before(&mut self, subscribers: usize, events: usize) -> Result<(Duration, Duration)> {
        let mut clients = self.connect(subscribers + 1).await?;
        let here = clients.pop().ok_or("no connection")?;
        let request = SubscribeRequest { start: Some(self.newest(here).await?), ..Default::default() };
        self.publish(events)?;
        self.published()?;

        let before = self.cpu()?;
        let started = Instant::now();
        let mut counting = JoinSet::new();
        for client in clients {
            let request = request.clone();
            counting.spawn(async move { count(subscribe(client, request).await?, events).await });
        }
        let counted = all(counting).await?;
        let elapsed = started.elapsed();
        let spent = self.cpu()? - before;
        drop(counted);
        Ok((spent, elapsed))
    }
}

/// Waits for all subscribers.
async fn all(mut counting: JoinSet<Result<Streaming<bool>>>) -> Result<Vec<Streaming<bool>>> {
    let mut streams = Vec::with_capacity(counting.len());
    while let Some(counted) = counting.join_next().await {
        streams.push(counted??);
    }
    Ok(streams)
}
