//! One subscriber that reads a journal longer than its in-memory tail from the beginning: its rate, and whether the last
//! tenth is as fast as the first.

use std::time::{Duration, Instant};

use switchboard::pb::v1::subscribe_request::Start;
use switchboard::pb::v1::{StartPosition, SubscribeRequest};

use crate::Result;
use crate::disk::Disk;
use crate::measure::{Rounds, micros};
use crate::process::{Role, Server};
use crate::subscribers::subscribe;
use crate::table::{Table, Target};

/// The number of equal segments of the journal. The first and the last are compared.
const SEGMENTS: usize = 10;

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, events) = if quick { (2, 40_000) } else { (5, 1_000_000) };
    let mut server = Server::start(Role::Streams, disk.folder(), None)?;
    server.publish(events)?;
    server.published()?;

    let (mut rate, mut first, mut last) = (Rounds::default(), Rounds::default(), Rounds::default());
    let mut cpu = Rounds::default();
    // A warm-up read: the first-use work of SQLite and the allocator is not counted.
    read(&mut server, events).await?;
    for _ in 0..rounds {
        let (segments, spent) = read(&mut server, events).await?;
        let per_second = |segment: &Duration| events as f64 / SEGMENTS as f64 / segment.as_secs_f64();
        rate.push(events as f64 / segments.iter().sum::<Duration>().as_secs_f64());
        first.push(per_second(&segments[0]));
        last.push(per_second(&segments[SEGMENTS - 1]));
        cpu.push(micros(spent) / events as f64);
    }
    server.stop()?;

    let mut table = Table::new(format!(
        "Catch-up: one subscriber from the beginning of a journal of {events} events. {rounds} rounds.",
    ));
    table.figure("events/s", &rate, Some(Target::AtLeast(300_000.0)));
    table.figure("server CPU us per event", &cpu, None);
    table.row("events/s, last tenth over first tenth", &first, &last, Some(Target::AtLeast(0.9)));
    table.note(
        "events/s depends on this machine. The last row shows whether the rate depends on the position in the journal.",
    );
    Ok(table)
}

/// Reads the whole journal. Returns the time for each segment and the server's total CPU time.
async fn read(server: &mut Server, events: usize) -> Result<(Vec<Duration>, Duration)> {
    let client = server.connect(1).await?.pop().ok_or("no connection")?;
    let start = Some(Start::Position(StartPosition::Earliest.into()));
    let before = server.cpu()?;
    let mut since = Instant::now();
    let mut stream = subscribe(client, SubscribeRequest { start, ..SubscribeRequest::default() }).await?;
    let mut segments = Vec::with_capacity(SEGMENTS);
    let mut seen = 0;
    while segments.len() < SEGMENTS {
        seen += usize::from(stream.message().await?.ok_or("a stream ended early")?);
        if seen == (segments.len() + 1) * (events / SEGMENTS) {
            segments.push(since.elapsed());
            since = Instant::now();
        }
    }
    Ok((segments, server.cpu()? - before))
}
