//! A connection that can be cut at points that HTTP alone does not offer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection_flags::ConnectionFlags;
use super::exchange::Exchange;

/// Longer than every request line that the sandbox knows.
const PEEKED_BYTES: usize = 4096;

/// The stream below hyper.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    exchange: Arc<Exchange>,
    flags: Arc<ConnectionFlags>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, exchange: Arc<Exchange>, flags: Arc<ConnectionFlags>) -> Self {
        Self { stream, exchange, flags }
    }

    /// Peeks at the start of the next request, and fails if a fault cuts the request. Its bytes stay unread in the
    /// socket, so closing the socket resets the connection.
    fn poll_request_start(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [0; PEEKED_BYTES];
        let mut peeked = ReadBuf::new(&mut buffer);
        ready!(self.stream.poll_peek(cx, &mut peeked))?;
        if !peeked.filled().is_empty() {
            let (method, path) = request_line(peeked.filled());
            if self.exchange.cuts_before_reading(&method, path) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            self.flags.begin_request();
        }
        Poll::Ready(Ok(()))
    }
}

/// The method and the path of a request, as far as they have arrived. On loopback, a request line arrives whole.
fn request_line(bytes: &[u8]) -> (Method, &str) {
    let line = bytes.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let method = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let target = words.next().unwrap_or_default();
    (method, target.split('?').next().unwrap_or_default())
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flags.has_ended() {
            return Poll::Ready(Ok(()));
        }
        if self.flags.awaits_request() {
            ready!(self.poll_request_start(cx))?;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
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
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // Hyper flushes the stream only after its own buffer is empty, so the whole reply is in the socket.
        if self.flags.end_if_last_reply_written() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
