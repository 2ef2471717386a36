//! Memory per subscriber while no events occur.

use futures_util::StreamExt as _;
use switchboard::pb::v1::SubscribeRequest;
use tonic::Streaming;

use crate::Result;
use crate::disk::Disk;
use crate::measure::Rounds;
use crate::process::{Role, Server};
use crate::subscribers::subscribe;
use crate::table::{Table, Target};

/// How subscribers share connections: a label, the number of connections, and Switchboard's target in KiB each.
const CONNECTION_LAYOUTS: [(&str, Option<usize>, f64); 2] =
    [("separate connections", None, 32.0), ("eight connections", Some(8), 10.0)];

pub(crate) async fn measure(disk: &Disk, quick: bool) -> Result<Table> {
    let (rounds, subscribers) = if quick { (1, 200) } else { (3, 2_000) };
    let mut table = Table::new(format!(
        "Idle: {subscribers} subscribers and no event. {rounds} rounds, each with new servers.",
    ));
    for (how, connections, limit) in CONNECTION_LAYOUTS {
        let (mut baseline, mut switchboard) = (Rounds::default(), Rounds::default());
        for _ in 0..rounds {
            for (role, rounds) in [(Role::BaselineStream, &mut baseline), (Role::Streams, &mut switchboard)] {
                rounds.push(
                    memory_per_subscriber(role, disk, connections.unwrap_or(subscribers), subscribers)
                        .await?,
                );
            }
        }
        table.row(format!("KiB per subscriber, {how}: over the baseline"), &baseline, &switchboard, None);
        table.figure(format!("KiB per subscriber, {how}"), &switchboard, Some(Target::AtMost(limit)));
    }
    table.note(
        "the growth of the server's resident memory when the streams open, divided by the number of streams",
    );
    Ok(table)
}

/// The server's memory per subscriber, in KiB.
async fn memory_per_subscriber(
    role: Role,
    disk: &Disk,
    connections: usize,
    subscribers: usize,
) -> Result<f64> {
    let mut server = Server::start(role, disk.folder(), None)?;
    // Allocations for the first stream are not counted.
    let first = open(&server, 1, 1, role).await?;
    let before = server.memory()?;
    let streams = open(&server, connections, subscribers, role).await?;
    let growth = (server.memory()? - before) / 1_024.0 / subscribers as f64;
    drop((first, streams));
    server.stop()?;
    Ok(growth)
}

/// Opens the streams and waits until all of them have started.
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
