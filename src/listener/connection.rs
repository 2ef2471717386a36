//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::future::{self, Future};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt as _;

use super::connection_state::ConnectionState;

/// The most bytes of a request's header; more are answered 431. As much as common proxies let through.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Serves a connection until its peer leaves, is too slow or has to make room, or until the listener stops.
pub(super) async fn converse(
    stream: TcpStream,
    router: Router,
    turn: Arc<ConnectionState>,
    stopping: CancellationToken,
) {
    // Answers are small and go out at once; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(ObservedIo { stream, turn: Arc::clone(&turn) });
    let service = service_fn(|request: Request<Incoming>| {
        let (router, turn) = (router.clone(), Arc::clone(&turn));
        async move {
            let arriving = turn.begin();
            let request = request.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &arriving;
                    frame
                }))
            });
            let answer = router.oneshot(request).await;
            turn.answer();
            answer as Result<_, Infallible>
        }
    });
    let served = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        // It would count from the end of the last request, and there is a time of its own for that.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut served = pin!(served);
    // How a connection ended is of no use to anybody: whoever got no answer has to ask again.
    tokio::select! {
        biased;
        () = in_time(served.as_mut(), &turn) => return,
        () = turn.cut() => return,
        () = stopping.cancelled() => {}
    }
    if turn.has_request() {
        served.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            () = in_time(served, &turn) => {}
            () = turn.cut() => {}
        }
    }
}

/// Drives a connection to its end, or to a deadline.
async fn in_time<F: Future>(mut served: Pin<&mut F>, turn: &ConnectionState) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now()));
    future::poll_fn(|cx| {
        if served.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // What was just done may have moved it.
        let Some(deadline) = turn.deadline() else { return Poll::Pending };
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    })
    .await;
}

/// The stream below HTTP, which sees what HTTP does not tell: that a header has begun, and that an answer was taken.
#[derive(Debug)]
struct ObservedIo {
    stream: TcpStream,
    turn: Arc<ConnectionState>,
}

impl AsyncRead for ObservedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.turn.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ObservedIo {
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
        // Hyper flushes the stream only after its own buffer is empty: the whole answer is in the socket. It makes no
        // other before.
        self.turn.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
