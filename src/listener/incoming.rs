//! The connections of the gRPC listener, which tonic serves.
//!
//! **Invariants.** Connections have a limit. A connection that has not sent the HTTP/2 preface waits for a bounded time,
//! ends at a stop, and gives way to a new connection at the limit. Without file descriptors, the loop waits until a
//! connection has closed.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::idle_queue::{IdleQueue, Ticket};
use super::{LOG_INTERVAL, is_peer_error};
use crate::telemetry::log_throttle::LogThrottle;

/// The length of the preface that starts each HTTP/2 connection. A shorter HTTP/1.1 request does not exist in gRPC-Web.
const PREFACE_BYTES: usize = 24;

/// The maximum wait for a closed connection after an `accept` that failed for lack of a resource. Other parts of the
/// process use file descriptors too.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The time that an evicted connection has to release its slot.
const EVICTION_WAIT: Duration = Duration::from_secs(1);

/// The limits for clients.
#[derive(Clone, Copy, Debug)]
pub struct GrpcLimits {
    /// The maximum number of open connections.
    pub connections: usize,
    /// How long a client may take to send the HTTP/2 preface.
    pub handshake: Duration,
}

/// Accepts connections until the stream is dropped. The stream has no end and no errors.
pub fn incoming(
    listener: TcpListener,
    limits: GrpcLimits,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<GrpcConnection, io::Error>> {
    let acceptor = GrpcAcceptor {
        listener,
        limits,
        stopping,
        slots: Arc::new(Semaphore::new(limits.connections)),
        idle_queue: Arc::default(),
        closed: Arc::default(),
        limit_log: LogThrottle::new(LOG_INTERVAL),
        accept_error_log: LogThrottle::new(LOG_INTERVAL),
    };
    stream::unfold(acceptor, |acceptor| async {
        let connection = acceptor.next().await;
        Some((Ok(connection), acceptor))
    })
}

struct GrpcAcceptor {
    listener: TcpListener,
    limits: GrpcLimits,
    stopping: CancellationToken,
    slots: Arc<Semaphore>,
    /// The connections that have not sent the preface.
    idle_queue: Arc<IdleQueue>,
    /// Notified when a connection has closed its socket.
    closed: Arc<Notify>,
    limit_log: LogThrottle,
    accept_error_log: LogThrottle,
}

impl GrpcAcceptor {
    async fn next(&self) -> GrpcConnection {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Some(slot) = self.slot().await {
                        // A TLS handshake belongs into the connection, not here: one slow peer must not delay others.
                        return self.connection(stream, slot);
                    }
                }
                Err(error) if is_peer_error(&error) => {}
                Err(error) => self.on_accept_error(&error).await,
            }
        }
    }

    /// Takes a slot. At the limit, the connection that has been silent the longest is evicted. If all clients speak, the
    /// new connection is closed, so that its client fails at once and can use another server.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        let evicted = self.idle_queue.evict_oldest();
        if let Some(suppressed) = self.limit_log.allow() {
            tracing::warn!(
                listener = "grpc",
                max_connections = self.limits.connections,
                evicted,
                suppressed,
                "connection limit reached"
            );
        }
        if !evicted {
            return None;
        }
        let slot = Arc::clone(&self.slots).acquire_owned();
        tokio::time::timeout(EVICTION_WAIT, slot).await.ok()?.ok()
    }

    fn connection(&self, stream: TcpStream, slot: OwnedSemaphorePermit) -> GrpcConnection {
        // Responses are small and are sent at once. A socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let eviction = CancellationToken::new();
        let ticket = self.idle_queue.insert(eviction.clone());
        let (stopping, handshake) = (self.stopping.clone(), self.limits.handshake);
        let expiry = Box::pin(async move {
            tokio::select! {
                () = tokio::time::sleep(handshake) => {}
                () = eviction.cancelled() => {}
                () = stopping.cancelled() => {}
            }
        });
        let idle_queue = Arc::clone(&self.idle_queue);
        GrpcConnection {
            stream,
            handshake: Some(Handshake { missing: PREFACE_BYTES, expiry, idle_queue, ticket }),
            _closed: NotifyOnDrop(Arc::clone(&self.closed)),
            _slot: slot,
        }
    }

    /// Handles a lack of file descriptors or memory.
    async fn on_accept_error(&self, error: &io::Error) {
        let closed = self.closed.notified();
        self.idle_queue.evict_oldest();
        if let Some(suppressed) = self.accept_error_log.allow() {
            tracing::warn!(listener = "grpc", %error, suppressed, "connection accept failed");
        }
        // A connection that closed before this call may have left a notification. Then the next `accept` fails again,
        // and the wait after it is a real one.
        let _ = tokio::time::timeout(ACCEPT_PAUSE, closed).await;
    }
}

/// A connection of a client.
#[derive(Debug)]
pub struct GrpcConnection {
    // The order of the fields is the order of drops: the socket closes before others learn of it.
    stream: TcpStream,
    /// Absent once the preface has arrived.
    handshake: Option<Handshake>,
    _closed: NotifyOnDrop,
    _slot: OwnedSemaphorePermit,
}

/// The state of a connection whose preface has not arrived completely.
struct Handshake {
    missing: usize,
    /// Ends when the connection must not wait any longer.
    expiry: Pin<Box<dyn Future<Output = ()> + Send>>,
    idle_queue: Arc<IdleQueue>,
    ticket: Ticket,
}

#[derive(Debug)]
struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.idle_queue.remove(self.ticket);
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Connected for GrpcConnection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        let local: Option<SocketAddr> = self.stream.local_addr().ok();
        TcpConnectInfo { local_addr: local, remote_addr: self.stream.peer_addr().ok() }
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(handshake) = &mut self.handshake
            && handshake.expiry.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if let Some(handshake) = &mut self.handshake {
            handshake.missing = handshake.missing.saturating_sub(read);
            if handshake.missing == 0 {
                self.handshake = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
