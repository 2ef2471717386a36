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
const LOG_INTERVAL: Duration = Duration::from_secs(10);

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
    let mut acceptor = Acceptor {
        section: limits.section,
        max_connections: limits.connections,
        idle_queue: Arc::new(IdleQueue::default()),
        connections: JoinSet::new(),
        eviction_log: LogThrottle::new(LOG_INTERVAL),
        accept_error_log: LogThrottle::new(LOG_INTERVAL),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(_) = acceptor.connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let ready = async {
            match accepted {
                Ok((stream, _)) => {
                    acceptor.wait_for_slot().await;
                    let state = Arc::new(ConnectionState::new(Arc::clone(&acceptor.idle_queue), limits));
                    let serving = connection::serve(stream, router.clone(), state, stopping.clone());
                    acceptor.connections.spawn(serving);
                }
                Err(error) if is_peer_error(&error) => {}
                Err(error) => acceptor.on_accept_error(&error).await,
            }
        };
        if stopping.run_until_cancelled(ready).await.is_none() {
            break;
        }
    }
    drop(listener);
    while acceptor.connections.join_next().await.is_some() {}
}

/// What is open, and how more gets in.
struct Acceptor {
    section: &'static str,
    max_connections: usize,
    idle_queue: Arc<IdleQueue>,
    connections: JoinSet<()>,
    eviction_log: LogThrottle,
    accept_error_log: LogThrottle,
}

impl Acceptor {
    /// Waits until there is room for one more. When requests of all connections are worked on, that is when the first
    /// of them ends or waits for its peer again.
    async fn wait_for_slot(&mut self) {
        while self.connections.len() >= self.max_connections {
            let inserted = self.idle_queue.inserted();
            if self.idle_queue.evict_oldest() {
                if let Some(suppressed) = self.eviction_log.allow() {
                    tracing::warn!(
                        listener = self.section,
                        max_connections = self.max_connections,
                        suppressed,
                        "all connections are taken: the one that waited longest for its peer was closed"
                    );
                }
                self.connections.join_next().await;
            } else {
                tokio::select! {
                    _ = self.connections.join_next() => {}
                    () = inserted => {}
                }
            }
        }
    }

    /// There are too few file descriptors, or too little memory. Those who wait are the ones to make room, here too.
    async fn on_accept_error(&self, error: &io::Error) {
        self.idle_queue.evict_oldest();
        if let Some(suppressed) = self.accept_error_log.allow() {
            tracing::warn!(listener = self.section, %error, suppressed, "a connection could not be taken in");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether only the connection that was to be accepted is broken.
fn is_peer_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
