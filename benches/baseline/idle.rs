//! What a subscriber costs in memory while nothing happens.

use futures_util::StreamExt as _;
use switchboard::pb::v1::SubscribeRequest;
use tonic::Streaming;

use crate::Result;
use crate::disk::Disk;
use crate::measure::Rounds;
use crate::process::{Role, Server};
use crate::subscribers::subscribe;
use crate::table::{Table, Wanted};

/// How the subscribers are spread, and what one may take of ours, in KiB.
const SPREADS: [(&str, Option<usize>, f64); 2] =
    [("on a connection of its own", None, 32.0), ("on eight connections", Some(8), 10.0)];

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, subscribers) = if quick { (1, 200) } else { (3, 2_000) };
    let mut table = Table::new(format!(
        "Idle: {subscribers} subscribers and no event. {rounds} rounds, each with servers of its own.",
    ));
    for (how, connections, most) in SPREADS {
        let (mut floor, mut ours) = (Rounds::default(), Rounds::default());
        for _ in 0..rounds {
            for (role, rounds) in [(Role::BareStream, &mut floor), (Role::Streams, &mut ours)] {
                rounds.push(taken(role, disk, connections.unwrap_or(subscribers), subscribers).await?);
            }
        }
        table.row(format!("KiB per subscriber, {how}: over the floor"), &floor, &ours, None);
        table.figure(format!("KiB per subscriber, {how}"), &ours, Some(Wanted::AtMost(most)));
    }
    table.note("the server's resident memory with the streams open, less that before, over their number.");
    Ok(table)
}

/// The KiB of a server's memory that each subscriber takes.
async fn taken(role: Role, disk: &Disk, connections: usize, subscribers: usize) -> Result<f64> {
    let mut server = Server::start(role, disk.folder(), None)?;
    // Whatever is made for the first stream is not counted.
    let first = open(&server, 1, 1, role).await?;
    let before = server.memory()?;
    let streams = open(&server, connections, subscribers, role).await?;
    let taken = (server.memory()? - before) / 1_024.0 / subscribers as f64;
    drop((first, streams));
    server.stop()?;
    Ok(taken)
}

/// Opens so many streams, and returns when all stand.
async fn open(
    server: &Server,
    connections: usize,
    subscribers: usize,
    role: Role,
) -> Result<Vec<Streaming<bool>>> {
    let clients = server.connect(connections).await?;
    let mut streams = Vec::with_capacity(subscribers);
    for client in clients.into_iter().cycle().take(subscribers) {
        let mut stream = subscribe(client, SubscribeRequest::default()).await?;
        if role == Role::Streams {
            // `started`.
            stream.next().await.ok_or("a stream ended early")??;
        }
        streams.push(stream);
    }
    Ok(streams)
}
