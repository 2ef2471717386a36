//! A connection that can be cut at the places where HTTP alone would not let us.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::exchange::Exchange;

/// Enough for every request line the sandbox knows.
const PEEKED_BYTES: usize = 4096;

/// What the exchange and the connection below it tell each other.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    /// A request is being read or answered; whatever comes otherwise is the start of a new one.
    busy: AtomicBool,
    /// The last byte of a reply after which the connection ends has been handed to the writer.
    last_reply_written: AtomicBool,
    /// The client is treated as gone.
    ended: AtomicBool,
}

impl ConnectionState {
    /// The request was answered; the next bytes begin another.
    pub(super) fn await_request(&self) {
        self.busy.store(false, Ordering::Release);
    }

    /// As soon as what was written so far is flushed, the connection ends.
    pub(super) fn end_after_flush(&self) {
        self.last_reply_written.store(true, Ordering::Release);
    }
}

/// The stream under hyper.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    exchange: Arc<Exchange>,
    state: Arc<ConnectionState>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, exchange: Arc<Exchange>, state: Arc<ConnectionState>) -> Self {
        Self { stream, exchange, state }
    }

    /// Looks at the request that is about to be read, and fails if it is to be cut. Its bytes stay unread
    /// in the socket, so that closing it resets the connection.
    fn poll_new_request(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; PEEKED_BYTES];
        let mut peeked = ReadBuf::new(&mut space);
        ready!(self.stream.poll_peek(cx, &mut peeked))?;
        if !peeked.filled().is_empty() {
            let (method, path) = request_line(peeked.filled());
            if self.exchange.cuts_before_reading(&method, path) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            self.state.busy.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

/// Method and path of a request, as far as they are there: on loopback a request line comes whole.
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
        if self.state.ended.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        if !self.state.busy.load(Ordering::Acquire) {
            ready!(self.poll_new_request(cx))?;
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
        // Hyper flushes the stream only after its own buffer is empty: the whole reply is in the socket.
        if self.state.last_reply_written.load(Ordering::Acquire)
            && !self.state.ended.swap(true, Ordering::AcqRel)
        {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
