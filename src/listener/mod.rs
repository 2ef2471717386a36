//! An HTTP/1 listener that bounds what its peers can hold: time, connections, header bytes.
//!
//! **Invariants.** A connection waits for its peer for a bounded time only. When all connections are taken, a newcomer
//! gets the place of the one that has waited for its peer the longest, so that whoever holds many connections pushes out
//! their own; a connection for whose request everything is there is never closed for a newcomer. A connection without a
//! request does not delay the end.

mod connection;
mod connection_state;
mod idle_queue;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::telemetry::log_throttle::LogThrottle;
use connection_state::ConnectionState;
use idle_queue::IdleQueue;

/// A pause after an `accept` that failed for a lack of something, which is nearly always file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the log tells of the same.
const SPARINGLY: Duration = Duration::from_secs(10);

/// What peers may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The section of the configuration that the listener belongs to, for the log.
    pub section: &'static str,
    /// The most open connections. One more waits until it has been given the place of another.
    pub connections: usize,
    /// How long a connection may stand without a request.
    pub idle: Duration,
    /// How long a request's header may take to arrive, and then its answer to be taken. The time of its body is for
    /// the service to bound.
    pub slow: Duration,
}

/// Serves until `stopping` is cancelled. Then connections without a request are closed at once, and this ends when the
/// others have got their answers. Dropping it cuts all of them off.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stopping: CancellationToken) {
    let mut doors = Acceptor {
        section: limits.section,
        most: limits.connections,
        line: Arc::new(IdleQueue::default()),
        connections: JoinSet::new(),
        pushed_out: LogThrottle::new(SPARINGLY),
        short: LogThrottle::new(SPARINGLY),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(_) = doors.connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let ready = async {
            match accepted {
                Ok((stream, _)) => {
                    doors.make_room().await;
                    let turn = Arc::new(ConnectionState::new(Arc::clone(&doors.line), limits));
                    let conversation = connection::converse(stream, router.clone(), turn, stopping.clone());
                    doors.connections.spawn(conversation);
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => doors.fall_short(&error).await,
            }
        };
        if stopping.run_until_cancelled(ready).await.is_none() {
            break;
        }
    }
    drop(listener);
    while doors.connections.join_next().await.is_some() {}
}

/// What is open, and how more gets in.
struct Acceptor {
    section: &'static str,
    most: usize,
    line: Arc<IdleQueue>,
    connections: JoinSet<()>,
    pushed_out: LogThrottle,
    short: LogThrottle,
}

impl Acceptor {
    /// Waits until there is room for one more. When requests of all connections are worked on, that is when the first
    /// of them ends or waits for its peer again.
    async fn make_room(&mut self) {
        while self.connections.len() >= self.most {
            let joined = self.line.joined();
            if self.line.cut_first() {
                if let Some(suppressed) = self.pushed_out.now() {
                    tracing::warn!(
                        listener = self.section,
                        most = self.most,
                        suppressed,
                        "all connections are taken: the one that waited longest for its peer was closed"
                    );
                }
                self.connections.join_next().await;
            } else {
                tokio::select! {
                    _ = self.connections.join_next() => {}
                    () = joined => {}
                }
            }
        }
    }

    /// There are too few file descriptors, or too little memory. Those who wait are the ones to make room, here too.
    async fn fall_short(&self, error: &io::Error) {
        self.line.cut_first();
        if let Some(suppressed) = self.short.now() {
            tracing::warn!(listener = self.section, %error, suppressed, "a connection could not be taken in");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether only the connection that was to be accepted is broken.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
