//! One reader that starts at the beginning of a long journal, out of what memory holds: how fast it comes to the end, and
//! whether it is as fast at the end as at the beginning.

use std::time::{Duration, Instant};

use switchboard::pb::v1::subscribe_request::Start;
use switchboard::pb::v1::{StartPosition, SubscribeRequest};

use crate::Result;
use crate::disk::Disk;
use crate::measure::{Rounds, micros};
use crate::process::{Role, Server};
use crate::subscribers::subscribe;
use crate::table::{Table, Wanted};

/// Into how many pieces of equal length the journal is cut, to compare the first with the last.
const PIECES: usize = 10;

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, events) = if quick { (2, 40_000) } else { (5, 1_000_000) };
    let mut server = Server::start(Role::Streams, disk.folder(), None)?;
    server.publish(events)?;
    server.published()?;

    let (mut rate, mut first, mut last) = (Rounds::default(), Rounds::default(), Rounds::default());
    let mut cpu = Rounds::default();
    // Once for nothing: what the engine and the allocator do the first time is not the reader's.
    read(&mut server, events).await?;
    for _ in 0..rounds {
        let (pieces, spent) = read(&mut server, events).await?;
        let per_second = |piece: &Duration| events as f64 / PIECES as f64 / piece.as_secs_f64();
        rate.push(events as f64 / pieces.iter().sum::<Duration>().as_secs_f64());
        first.push(per_second(&pieces[0]));
        last.push(per_second(&pieces[PIECES - 1]));
        cpu.push(micros(spent) / events as f64);
    }
    server.stop()?;

    let mut table = Table::new(format!(
        "Catch-up: one reader from the beginning of a journal of {events} events. {rounds} rounds.",
    ));
    table.figure("events/s", &rate, Some(Wanted::AtLeast(300_000.0)));
    table.figure("server CPU us per event", &cpu, None);
    table.row("events/s, last tenth over first tenth", &first, &last, Some(Wanted::AtLeast(0.9)));
    table.note(
        "events/s is a bare number of this machine; the last line, a ratio, says whether length matters.",
    );
    Ok(table)
}

/// Reads all; says how long each piece took, and what CPU all of it took the server.
async fn read(server: &mut Server, events: usize) -> Result<(Vec<Duration>, Duration)> {
    let client = server.connect(1).await?.pop().ok_or("no connection")?;
    let start = Some(Start::Position(StartPosition::Earliest.into()));
    let before = server.cpu()?;
    let mut since = Instant::now();
    let mut stream = subscribe(client, SubscribeRequest { start, ..SubscribeRequest::default() }).await?;
    let mut pieces = Vec::with_capacity(PIECES);
    let mut seen = 0;
    while pieces.len() < PIECES {
        seen += usize::from(stream.message().await?.ok_or("a stream ended early")?);
        if seen == (pieces.len() + 1) * (events / PIECES) {
            pieces.push(since.elapsed());
            since = Instant::now();
        }
    }
    Ok((pieces, server.cpu()? - before))
}
