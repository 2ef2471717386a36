//! The connections of the gRPC listener, for tonic to serve.
//!
//! **Invariants.** The number of connections is bounded. A peer that does not begin to speak loses its connection after
//! [`HANDSHAKE_TIMEOUT`], and at a stop at once. Afterwards HTTP/2's keepalive finds peers that are gone. If the process
//! runs out of file descriptors, accepting pauses until a connection has ended, so it does not use the processor and
//! leaves descriptors to the other ports.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{LOG_INTERVAL, is_peer_error};
use crate::telemetry::log_throttle::LogThrottle;

/// How long a new connection may take to send the preface of HTTP/2.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The length of the preface of HTTP/2.
const PREFACE_BYTES: usize = 24;

/// The longest pause after an `accept` that failed for lack of a resource, nearly always file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Accepts connections until `stopping` is cancelled. At most `max_connections` are open at once; another one is closed
/// as soon as it is accepted, because its client then fails at once instead of waiting for its deadline.
pub fn connections(
    listener: TcpListener,
    max_connections: usize,
    stopping: CancellationToken,
) -> impl Stream<Item = io::Result<GrpcConnection>> {
    let acceptor = GrpcAcceptor {
        listener,
        max_connections,
        slots: Arc::new(Semaphore::new(max_connections)),
        stopping,
        limit_log: LogThrottle::new(LOG_INTERVAL),
        accept_error_log: LogThrottle::new(LOG_INTERVAL),
    };
    stream::unfold(acceptor, |acceptor| async move {
        let connection = acceptor.accept().await?;
        Some((Ok(connection), acceptor))
    })
}

struct GrpcAcceptor {
    listener: TcpListener,
    max_connections: usize,
    slots: Arc<Semaphore>,
    stopping: CancellationToken,
    limit_log: LogThrottle,
    accept_error_log: LogThrottle,
}

impl GrpcAcceptor {
    /// Returns the next connection, or none at a stop.
    async fn accept(&self) -> Option<GrpcConnection> {
        loop {
            let accepted = self.stopping.run_until_cancelled(self.listener.accept()).await?;
            match accepted {
                Ok((stream, _)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => return Some(GrpcConnection::new(stream, slot, self.stopping.clone())),
                    Err(_) => {
                        if let Some(suppressed) = self.limit_log.allow() {
                            tracing::warn!(
                                listener = "grpc",
                                max_connections = self.max_connections,
                                suppressed,
                                "connection limit reached: closed a new connection"
                            );
                        }
                    }
                },
                Err(error) if is_peer_error(&error) => {}
                Err(error) => {
                    if let Some(suppressed) = self.accept_error_log.allow() {
                        tracing::warn!(listener = "grpc", %error, suppressed, "connection accept failed");
                    }
                    self.pause().await;
                }
            }
        }
    }

    /// Waits until a connection has ended, but not for long, because the descriptor may come from elsewhere.
    async fn pause(&self) {
        let open = self.max_connections - self.slots.available_permits();
        let free = u32::try_from(self.max_connections - open + 1).unwrap_or(u32::MAX);
        let one_ended = async {
            if open == 0 {
                return std::future::pending().await;
            }
            let _ = self.slots.acquire_many(free).await;
        };
        tokio::select! {
            () = one_ended => {}
            () = sleep(ACCEPT_PAUSE) => {}
            () = self.stopping.cancelled() => {}
        }
    }
}

/// A connection. It occupies a slot until it is dropped.
#[derive(Debug)]
pub struct GrpcConnection {
    stream: TcpStream,
    /// Absent once the peer has sent the preface.
    handshake: Option<Handshake>,
    _slot: OwnedSemaphorePermit,
}

/// Waits for the preface.
#[derive(Debug)]
struct Handshake {
    received: usize,
    timeout: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl GrpcConnection {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit, stopping: CancellationToken) -> Self {
        // Messages are written whole and are sent at once. A socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let handshake = Handshake {
            received: 0,
            timeout: Box::pin(sleep(HANDSHAKE_TIMEOUT)),
            stopping: Box::pin(stopping.cancelled_owned()),
        };
        Self { stream, handshake: Some(handshake), _slot: slot }
    }
}

impl Connected for GrpcConnection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, handshake, .. } = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(stream).poll_read(cx, buf);
        let Some(waiting) = handshake else { return read };
        if read.is_pending() {
            return waiting.poll_expired(cx).map(Err);
        }
        ready!(read)?;
        waiting.received += buf.filled().len() - before;
        if waiting.received >= PREFACE_BYTES {
            *handshake = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Handshake {
    /// Whether the peer has had its time, or the server is stopping.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is stopping"));
        }
        self.timeout
            .as_mut()
            .poll(cx)
            .map(|()| io::Error::new(io::ErrorKind::TimedOut, "the connection sent no HTTP/2 preface"))
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
