//! Listeners that limit what their peers can hold: HTTP/1 for webhooks and the operator, and the connections of the gRPC
//! listener ([`incoming()`]).
//!
//! **Invariants of HTTP/1.** A connection waits for its peer only for a bounded time. If all connections are in use, a new one
//! replaces the one that has waited for its peer the longest. So a peer that holds many connections evicts its own. A
//! connection whose request has arrived completely is never evicted. A connection without a request does not delay the
//! shutdown.

mod connection;
mod connection_state;
mod idle_queue;
mod incoming;

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
pub use incoming::{GrpcConnection, GrpcLimits, incoming};

/// The pause after an `accept` that failed for lack of a resource, nearly always file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The minimum time between two log lines of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The limits for peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The section of the configuration that the listener belongs to, for the log.
    pub section: &'static str,
    /// The maximum number of open connections. One more waits until another was evicted or has ended.
    pub connections: usize,
    /// How long a connection may stay open without a request.
    pub idle: Duration,
    /// How long a request's header may take to arrive, and then how long its response may take to be read. The service
    /// limits the time of the body.
    pub slow: Duration,
}

/// Serves until `stopping` is cancelled. Then it closes connections without a request at once, and returns when the
/// others have sent their responses. Dropping the future aborts all connections.
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
                Ok((stream, peer)) => {
                    acceptor.wait_for_slot().await;
                    let state = Arc::new(ConnectionState::new(Arc::clone(&acceptor.idle_queue), limits));
                    let serving = connection::serve(stream, peer, router.clone(), state, stopping.clone());
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

/// The open connections and their limit.
struct Acceptor {
    section: &'static str,
    max_connections: usize,
    idle_queue: Arc<IdleQueue>,
    connections: JoinSet<()>,
    eviction_log: LogThrottle,
    accept_error_log: LogThrottle,
}

impl Acceptor {
    /// Waits until one more connection fits. If requests of all connections are being processed, it waits until one of
    /// them ends or waits for its peer again.
    async fn wait_for_slot(&mut self) {
        while self.connections.len() >= self.max_connections {
            let inserted = self.idle_queue.inserted();
            if self.idle_queue.evict_oldest() {
                if let Some(suppressed) = self.eviction_log.allow() {
                    tracing::warn!(
                        listener = self.section,
                        max_connections = self.max_connections,
                        suppressed,
                        "connection limit reached: evicted the connection that had waited longest for its peer"
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

    /// Handles a lack of file descriptors or memory. The connection that has waited the longest is evicted here too.
    async fn on_accept_error(&self, error: &io::Error) {
        self.idle_queue.evict_oldest();
        if let Some(suppressed) = self.accept_error_log.allow() {
            tracing::warn!(listener = self.section, %error, suppressed, "connection accept failed");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Returns whether only the connection that was being accepted is broken.
fn is_peer_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
