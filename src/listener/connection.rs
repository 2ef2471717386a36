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
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    state: Arc<ConnectionState>,
    stopping: CancellationToken,
) {
    // Answers are small and go out at once; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(ObservedIo { stream, state: Arc::clone(&state) });
    let service = service_fn(|request: Request<Incoming>| {
        let (router, state) = (router.clone(), Arc::clone(&state));
        async move {
            let in_flight = state.on_request();
            let request = request.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &in_flight;
                    frame
                }))
            });
            let response = router.oneshot(request).await;
            state.on_response();
            response as Result<_, Infallible>
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        // It would count from the end of the last request, and there is a time of its own for that.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    // How a connection ended is of no use to anybody: whoever got no answer has to ask again.
    tokio::select! {
        biased;
        () = run_until_deadline(connection.as_mut(), &state) => return,
        () = state.evicted() => return,
        () = stopping.cancelled() => {}
    }
    if state.has_request() {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            () = run_until_deadline(connection, &state) => {}
            () = state.evicted() => {}
        }
    }
}

/// Drives a connection to its end, or to a deadline.
async fn run_until_deadline<F: Future>(mut connection: Pin<&mut F>, state: &ConnectionState) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now()));
    future::poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // What was just done may have moved it.
        let Some(deadline) = state.deadline() else { return Poll::Pending };
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
    state: Arc<ConnectionState>,
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
            self.state.on_read();
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
        self.state.on_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
